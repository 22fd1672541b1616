//! Forebay's protocols as pure functions: bytes to commands, replies to bytes.
//!
//! **It is** the part of Forebay that knows what travels on a wire: how a request is cut out of a stream
//! that arrives in pieces, which commands exist and what their arguments mean, what an answer looks like to
//! a client of either protocol version, and what each refusal says, to the letter.
//!
//! **It is not** a server. Nothing here opens a socket, waits, reads a clock, keeps a key or checks a
//! password; no function blocks, and none panics whatever bytes it is given. Whoever owns the socket owns
//! its buffers, its time-outs and its connections, and calls in here with what has arrived.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use forebay_wire::resp::{self, Command, Data, Limits, State, StringCommand};
//!
//! let mut arrived = BytesMut::from(&b"*2\r\n$3\r\nGET\r\n$12\r\nstock:600000\r\n"[..]);
//! let mut answer = BytesMut::new();
//! let mut state = State::default();
//!
//! while let Some(request) = resp::decode(&mut arrived, &Limits::AUTHENTICATED, &mut state)? {
//!     match resp::parse(&request) {
//!         Ok(Command::Data(Data::String(StringCommand::Get { key }))) => {
//!             assert_eq!(key, Bytes::from_static(b"stock:600000"));
//!             resp::reply::bulk(&mut answer, br#"{"price":"10.52"}"#);
//!         }
//!         Ok(other) => panic!("not asked here: {other:?}"),
//!         Err(refusal) => resp::reply::error(&mut answer, &refusal.to_string()),
//!     }
//! }
//! assert_eq!(&answer[..], b"$17\r\n{\"price\":\"10.52\"}\r\n");
//! # Ok::<(), forebay_wire::resp::ProtocolError>(())
//! ```

pub mod resp;
