//! One connection: bytes in, requests carried out one after the other, replies out.
//!
//! A memory hit is answered without leaving this loop. Replies are gathered while further whole requests are at hand, so
//! that a pipeline costs one write; they are sent early when they pass a bound, so that a client that does not read its
//! replies holds no more than that and the socket's own buffer.

use std::io;

use bytes::BytesMut;
use forebay_wire::resp::{Limits, State, decode, reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Service;
use super::execute::execute;
use super::session::Session;
use crate::stop::Stop;

/// Replies are sent when they pass this many bytes.
const REPLIES_BYTES: usize = 64 * 1024;
/// Room made for each read from the socket, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// Serves a connection until the client closes it, breaks the protocol, or the process stops.
pub(super) async fn run(mut stream: TcpStream, service: &Service, mut stop: Stop) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut session = Session::new(service);
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let mut output = BytesMut::with_capacity(READ_BYTES);
    let mut state = State::default();
    loop {
        loop {
            match decode(&mut input, &Limits::AUTHENTICATED, &mut state) {
                Ok(Some(request)) => execute(&request, service, &mut session, &mut output).await,
                Ok(None) => break,
                Err(error) => {
                    reply::error(&mut output, &error.to_string());
                    session.closing = true;
                }
            }
            if session.closing {
                stream.write_all(&output).await?;
                return stream.shutdown().await;
            }
            if output.len() >= REPLIES_BYTES {
                stream.write_all(&output).await?;
                output.clear();
            }
        }
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
        input.reserve(READ_BYTES);
        let read = tokio::select! {
            read = stream.read_buf(&mut input) => read?,
            () = stop.asked() => return stream.shutdown().await,
        };
        if read == 0 {
            return Ok(());
        }
    }
}
