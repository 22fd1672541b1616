//! A client of a serving process, for what only that one can answer. It speaks RESP, as any Redis client does.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use forebay_wire::resp::{Reply, ReplyLimits, ReplyState, decode_reply, encode_request};

use crate::arguments::At;
use crate::{Failure, check};

/// The longest that a process may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection to a serving process.
pub(crate) struct Client {
    stream: TcpStream,
    address: SocketAddr,
    input: BytesMut,
    state: ReplyState,
}

impl Client {
    /// Connects to the process that `at` names, and picks its keyspace.
    pub(crate) fn connect(at: &At) -> Result<Self, Failure> {
        let address = match at.resp {
            Some(address) => address,
            None => check::declared_here()?.server.resp,
        };
        let stream = TcpStream::connect_timeout(&address, CONNECT).map_err(|error| {
            Failure(format!(
                "nobody serves at {address} ({error}): start the server, or name its address by --resp"
            ))
        })?;
        let mut client = Self { stream, address, input: BytesMut::new(), state: ReplyState::default() };
        client.call(&["HELLO", "3"])?;
        client.call(&["SELECT", &at.db.to_string()])?;
        Ok(client)
    }

    /// What one command is answered; an error reply is a failure. It waits as long as the process works on it.
    pub(crate) fn call(&mut self, words: &[&str]) -> Result<Reply, Failure> {
        let mut request = BytesMut::new();
        encode_request(&mut request, words);
        let lost = |error: &dyn std::fmt::Display| Failure(format!("{} went away: {error}", self.address));
        self.stream.write_all(&request).map_err(|error| lost(&error))?;
        let mut piece = [0; 16 * 1024];
        loop {
            let reply = decode_reply(&mut self.input, &ReplyLimits::default(), &mut self.state);
            match reply.map_err(|error| lost(&error))? {
                Some(Reply::Error(error)) => {
                    return Err(Failure(String::from_utf8_lossy(&error).into_owned()));
                }
                Some(reply) => return Ok(reply),
                None => {}
            }
            let read = self.stream.read(&mut piece).map_err(|error| lost(&error))?;
            match piece.get(..read) {
                Some(piece) if read > 0 => self.input.extend_from_slice(piece),
                _ => return Err(lost(&"it closed the connection before it answered")),
            }
        }
    }
}
