//! A keyspace in memory, for commands without an engine.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use forebay::Value;
use forebay_wire::resp::{self, Command, Limits, ReplyLimits, ReplyState, Request, State, Version, reply};

use super::shown;
use crate::resp::values::{Answer, Cell, View, run};

/// Values by their keys; none of them ends.
pub(crate) struct Memory {
    values: BTreeMap<Bytes, Value>,
    version: Version,
}

impl Memory {
    pub(crate) fn new(version: Version) -> Self {
        Self { values: BTreeMap::new(), version }
    }

    /// The reply to a command, which is written as in an inline request.
    pub(crate) fn said(&mut self, line: &str) -> String {
        let mut line = BytesMut::from(format!("{line}\r\n").as_bytes());
        let request = resp::decode(&mut line, &Limits::AUTHENTICATED, &mut State::default());
        let mut out = self.reply(&request.unwrap().unwrap());
        if &out[..] == b"*-1\r\n" {
            return "nil-array".into();
        }
        let reply = resp::decode_reply(&mut out, &ReplyLimits::default(), &mut ReplyState::default());
        assert!(out.is_empty(), "more than one reply");
        shown(&reply.unwrap().unwrap())
    }

    /// The bytes of the reply to a command.
    pub(crate) fn reply(&mut self, request: &Request) -> BytesMut {
        let mut out = BytesMut::new();
        let parsed = resp::resolve(request).and_then(|spec| Ok((spec, spec.parse(request)?)));
        let (spec, data) = match parsed {
            Ok((spec, Command::Data(data))) => (spec, data),
            Ok((_, other)) => panic!("{other:?} is not about values"),
            Err(refusal) => {
                reply::error(&mut out, &refusal.to_string());
                return out;
            }
        };
        let keys = spec.key_indexes(request).filter_map(|at| request.bytes(at));
        let mut view = View::new(keys.map(|key| {
            let value = self.values.get(&key).cloned();
            (key, Cell::new(value, None))
        }));
        let answered = {
            let mut answer = Answer::new(&mut out, self.version);
            pin!(run(&data, &mut view, &mut answer)).poll(&mut Context::from_waker(Waker::noop()))
        };
        let Poll::Ready(answered) = answered else { panic!("{data:?} takes too long for a table") };
        if let Err(refusal) = answered {
            out.clear();
            reply::error(&mut out, &refusal.to_string());
            return out;
        }
        for (key, cell) in view.into_cells() {
            match cell.changed() {
                Some((Some(value), _)) => drop(self.values.insert(key, value)),
                Some((None, _)) => drop(self.values.remove(&key)),
                None => {}
            }
        }
        out
    }
}
