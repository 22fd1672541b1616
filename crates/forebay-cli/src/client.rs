//! A client of a serving process, for what only that one can answer. It speaks RESP, as any Redis client does.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Duration;

use bytes::BytesMut;
use forebay_wire::resp::{Reply, ReplyLimits, ReplyState, decode_reply, encode_request};
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::arguments::At;
use crate::connect::{Limits, Place, Stream};

const LIMITS: Limits = Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(30) };

/// A connection to a serving process.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    place: Place,
    limits: Limits,
    input: BytesMut,
    state: ReplyState,
}

/// Why no answer came.
enum Silence {
    /// There was none in time.
    Late,
    /// The connection is no more of use.
    Lost(Failure),
}

impl Client {
    /// Connects to the process that `at` names, and picks its keyspace.
    pub(crate) fn connect(at: &At) -> Result<Self, Failure> {
        let place = Place::find(at.resp.as_ref(), at.tls.ca.as_deref(), |server| server.resp)?;
        let mut client = Self::open(place, LIMITS)?;
        match &at.token {
            Some(token) => client.call(&["HELLO", "3", "AUTH", "default", token])?,
            None => client.call(&["HELLO", "3"])?,
        };
        // Unasked: a token of one keyspace begins there, and may pick no other.
        if let Some(db) = at.db {
            client.call(&["SELECT", &db.to_string()])?;
        }
        Ok(client)
    }

    /// Where it is connected to.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    fn open(place: Place, limits: Limits) -> Result<Self, Failure> {
        let stream = place.connect(limits, "--resp")?;
        Ok(Self { stream, place, limits, input: BytesMut::new(), state: ReplyState::default() })
    }

    /// What one command is answered; an error reply is a failure, and so is none in time.
    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Result<Reply, Failure> {
        self.ask(words)?;
        match self.answer() {
            Ok(reply) => reply,
            Err(Silence::Late) => Err(self.late(words)),
            Err(Silence::Lost(failure)) => Err(failure),
        }
    }

    /// What one command is answered that may take any time, such as a backup of large stores: it is waited for as long as the process
    /// answers others.
    pub(crate) fn call_long<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Result<Reply, Failure> {
        self.ask(words)?;
        loop {
            match self.answer() {
                Ok(reply) => return reply,
                Err(Silence::Lost(failure)) => return Err(failure),
                Err(Silence::Late) => {
                    let other = Self::open(self.place.clone(), self.limits).and_then(|mut it| it.is_alive());
                    other.map_err(|Failure(why)| Failure(format!("{}; {why}", self.late(words).0)))?;
                }
            }
        }
    }

    /// Sees that the process answers at all: that it asks for a token is an answer too.
    fn is_alive(&mut self) -> Result<(), Failure> {
        let ping = ["PING"];
        self.ask(&ping)?;
        match self.answer() {
            Ok(Ok(_) | Err(_)) => Ok(()),
            Err(Silence::Late) => Err(self.late(&ping)),
            Err(Silence::Lost(failure)) => Err(failure),
        }
    }

    fn ask<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Result<(), Failure> {
        let mut request = BytesMut::new();
        encode_request(&mut request, words);
        self.stream.write_all(&request).map_err(|error| self.lost(&error))
    }

    /// The answer to the oldest command that has none.
    fn answer(&mut self) -> Result<Result<Reply, Failure>, Silence> {
        let mut piece = [0; 16 * 1024];
        loop {
            let reply = decode_reply(&mut self.input, &ReplyLimits::default(), &mut self.state);
            match reply.map_err(|error| Silence::Lost(self.lost(&error)))? {
                Some(Reply::Error(error)) => {
                    return Ok(Err(Failure(String::from_utf8_lossy(&error).into_owned())));
                }
                Some(reply) => return Ok(Ok(reply)),
                None => {}
            }
            let read = self.stream.read(&mut piece).map_err(|error| match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Silence::Late,
                _ => Silence::Lost(self.lost(&error)),
            })?;
            match piece.get(..read) {
                Some(piece) if read > 0 => self.input.extend_from_slice(piece),
                _ => return Err(Silence::Lost(self.lost(&"it closed the connection before it answered"))),
            }
        }
    }

    fn lost(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure(format!("{} went away: {error}", self.place.address))
    }

    fn late<A: AsRef<[u8]>>(&self, words: &[A]) -> Failure {
        let asked = words.first().map(|word| String::from_utf8_lossy(word.as_ref())).unwrap_or_default();
        Failure(format!(
            "{} has not answered {asked} for {:?}, and may still do it: see that it is a Forebay server and not overloaded, then look \
             what it did before you ask again",
            self.place.address, self.limits.answer
        ))
    }
}

/// What a short answer says, as text.
pub(crate) fn text(reply: &Reply) -> String {
    match reply {
        Reply::Simple(bytes) | Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::Integer(number) => number.to_string(),
        _ => String::new(),
    }
}

/// What a map tells, as the members of an object.
pub(crate) fn object(fields: &[(Reply, Reply)]) -> Map<String, Value> {
    let value = |reply: &Reply| match reply {
        Reply::Integer(number) => json!(number),
        Reply::Null => Value::Null,
        other => json!(text(other)),
    };
    fields.iter().map(|(name, reply)| (text(name), value(reply))).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::thread::JoinHandle;

    use super::*;

    const SHORT: Limits = Limits { connect: Duration::from_secs(5), answer: Duration::from_millis(50) };

    fn place(address: SocketAddr) -> Place {
        Place::find(Some(&address.into()), None, |server| server.resp).unwrap()
    }

    /// A server of so many connections, each of which answers as `answers` says by its number.
    fn serve(connections: usize, answers: fn(usize, &mut TcpStream)) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test joins it")]
        let serving = std::thread::spawn(move || {
            // Each stays open until the last is done.
            let mut open = Vec::new();
            for number in 0..connections {
                let mut stream = listener.accept().unwrap().0;
                answers(number, &mut stream);
                open.push(stream);
            }
            let _ = open[0].read_to_end(&mut Vec::new());
        });
        (address, serving)
    }

    #[test]
    fn a_server_that_never_answers_is_told_and_not_waited_for() {
        let (address, serving) = serve(1, |_, _| {});
        let mut client = Client::open(place(address), SHORT).unwrap();
        let Failure(told) = client.call(&["FB.DEADLETTERS", "LIST"]).unwrap_err();
        assert!(told.contains("has not answered FB.DEADLETTERS for 50ms"), "{told}");
        drop(client);
        serving.join().unwrap();
    }

    #[test]
    fn what_takes_long_is_waited_for_as_long_as_the_server_answers_others() {
        let (address, serving) = serve(4, |number, stream| match number {
            1 => stream.write_all(b"+PONG\r\n").unwrap(),
            // Who asks for a token answers as well.
            2 => stream.write_all(b"-NOAUTH Authentication required.\r\n").unwrap(),
            _ => {}
        });
        let mut client = Client::open(place(address), SHORT).unwrap();
        let Failure(told) = client.call_long(&["FB.BACKUP", "/b"]).unwrap_err();
        assert!(told.contains("has not answered FB.BACKUP") && told.contains("answered PING"), "{told}");
        drop(client);
        serving.join().unwrap();
    }
}
