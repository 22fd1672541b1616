//! Buffers of connections, which hold them only while bytes come or go.
//!
//! A connection that waits for its client needs no room to read into or to write to, and thousands may wait: what is empty is put down
//! for whoever is next on the same thread, and the beginning of a request that is slow to come is kept in as little room as it takes.
//! What is taken up was used a moment ago, so that it is still in the processor's cache. Buffers that one large request or reply has made
//! grow are not kept.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Room that is made for each read from the socket, in bytes.
const READ_BYTES: usize = 16 * 1024;
/// What waits for the rest of a request is moved into room of its own up to so many bytes.
const BEGUN_BYTES: usize = 1024;
/// The room of a buffer: what had begun to come fits in beside what is read.
const BYTES: usize = READ_BYTES + BEGUN_BYTES;
/// A buffer that has grown past this many bytes is not kept.
const KEPT_BYTES: usize = 256 * 1024;
/// As many empty buffers lie ready for a thread.
const SPARE_MAX: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Gives `buffer` room, if it has been [put down](put_down).
pub(super) fn take_up(buffer: &mut BytesMut) {
    if buffer.capacity() > BEGUN_BYTES {
        return;
    }
    let spare = SPARE.with_borrow_mut(Vec::pop);
    let mut roomy = spare.unwrap_or_default();
    // One that is shared with parts of it that are still in use stays theirs.
    roomy.reserve(BYTES);
    roomy.extend_from_slice(buffer);
    *buffer = roomy;
}

/// Leaves `buffer` no more room than what it holds, where that is little.
pub(super) fn put_down(buffer: &mut BytesMut) {
    if buffer.len() > BEGUN_BYTES {
        return;
    }
    let begun = BytesMut::from(&**buffer);
    let mut roomy = std::mem::replace(buffer, begun);
    roomy.clear();
    // One that was never taken up, or of which hardly anything is left, is of no use to others; what has grown is asked for as a whole,
    // since it may show no more than its end.
    if roomy.capacity() >= BEGUN_BYTES && !roomy.try_reclaim(KEPT_BYTES + 1) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                spare.push(roomy);
            }
        });
    }
}

/// Reads what comes into `input`, behind what is there; how much. While nothing comes, `input` is put down.
///
/// # Errors
/// When the connection is lost.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|context| {
        take_up(input);
        input.reserve(READ_BYTES);
        let read = pin!(from.read_buf(input)).poll(context);
        if read.is_pending() {
            put_down(input);
        }
        read
    })
    .await
}

#[cfg(test)]
mod tests {
    use bytes::Buf as _;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Polls a read once, that finds nothing.
    async fn wait(from: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) {
        tokio::select! {
            biased;
            read = read(from, input) => panic!("{read:?} came"),
            () = std::future::ready(()) => {}
        }
    }

    #[tokio::test]
    async fn who_waits_holds_no_more_than_has_come() {
        let (mut client, mut server) = tokio::io::duplex(64 * 1024);
        let mut input = BytesMut::new();
        wait(&mut server, &mut input).await;
        assert_eq!(input.capacity(), 0);
        for begun in [10, BEGUN_BYTES] {
            let missing = vec![b'x'; begun - input.len()];
            client.write_all(&missing).await.unwrap();
            assert_eq!(read(&mut server, &mut input).await.unwrap(), missing.len());
            assert!(input.capacity() >= READ_BYTES, "there is room while it comes");
            wait(&mut server, &mut input).await;
            assert_eq!(input, vec![b'x'; begun]);
            assert!(input.capacity() <= BEGUN_BYTES, "{} for {begun}", input.capacity());
        }
    }

    #[tokio::test]
    async fn buffers_lie_ready_for_the_next() {
        let (mut client, mut server) = tokio::io::duplex(64 * 1024);
        let mut input = BytesMut::new();
        client.write_all(b"hello").await.unwrap();
        read(&mut server, &mut input).await.unwrap();
        let room = input.as_ptr();
        let hello = input.split().freeze();
        put_down(&mut input);
        drop(hello);
        client.write_all(b"again").await.unwrap();
        read(&mut server, &mut input).await.unwrap();
        assert_eq!((&*input, input.as_ptr()), (&b"again"[..], room));
        let held = input.split().freeze();
        put_down(&mut input);
        take_up(&mut input);
        assert_ne!(input.as_ptr(), room, "what is held is not written over");
        assert_eq!(held, "again");
    }

    #[test]
    fn what_has_grown_is_not_kept() {
        let grown = || BytesMut::zeroed(2 * KEPT_BYTES);
        let mut whole = grown();
        whole.clear();
        let mut sent = grown();
        sent.advance(KEPT_BYTES + 1);
        sent.clear();
        let mut asked = grown();
        drop(asked.split_to(KEPT_BYTES + 1).freeze());
        asked.clear();
        for mut grown in [whole, sent, asked] {
            put_down(&mut grown);
            assert_eq!((grown.capacity(), SPARE.with_borrow(Vec::len)), (0, 0));
        }
    }
}
