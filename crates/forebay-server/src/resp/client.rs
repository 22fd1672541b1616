//! What a connection says of itself: HELLO and CLIENT.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use forebay_wire::resp::{ClientAttribute, ClientCommand, ClientFilter, Hello, Replying, describe, reply};

use super::info::REDIS_VERSION;
use super::session::{Session, Silence};
use super::tracking::{self, Asked, Tracked};
use super::{Service, rights};

/// Chooses the version of the protocol, and describes the server.
pub(super) fn hello(hello: Hello, service: &Service, session: &mut Session, out: &mut BytesMut) {
    if let Err(denied) = rights::hello(hello.auth.as_ref(), service, session) {
        return reply::error(out, &denied);
    }
    if let Some(version) = hello.version {
        session.version = version;
    }
    if let Some(name) = hello.name {
        session.name = Bytes::copy_from_slice(&name);
    }
    reply::map(out, session.version, 7);
    for (name, value) in
        [("server", "redis"), ("version", REDIS_VERSION), ("mode", "standalone"), ("role", "master")]
    {
        reply::bulk(out, name.as_bytes());
        reply::bulk(out, value.as_bytes());
    }
    reply::bulk(out, b"proto");
    reply::integer(out, session.version.number());
    reply::bulk(out, b"id");
    reply::integer(out, session.id);
    reply::bulk(out, b"modules");
    reply::array(out, 0);
}

/// Carries out a sub-command of `CLIENT`.
pub(super) fn client(asked: ClientCommand, service: &Service, session: &mut Session, out: &mut BytesMut) {
    let clients = &service.clients;
    session.connected.note(session);
    match asked {
        ClientCommand::Id => reply::integer(out, session.id),
        ClientCommand::GetName if session.name.is_empty() => reply::null(out, session.version),
        ClientCommand::GetName => reply::bulk(out, &session.name),
        ClientCommand::SetName { name } => {
            session.name = Bytes::copy_from_slice(&name);
            reply::ok(out);
        }
        ClientCommand::SetInfo { attribute, value } => {
            let place = match attribute {
                ClientAttribute::LibName => &mut session.library,
                ClientAttribute::LibVersion => &mut session.library_version,
            };
            *place = Bytes::copy_from_slice(&value);
            reply::ok(out);
        }
        ClientCommand::Info => lines(&clients.list(None, &[session.id]), session, out),
        ClientCommand::List { kind, ids } => lines(&clients.list(kind, &ids), session, out),
        ClientCommand::Kill { filters, skip_me } => kill(&filters, skip_me, service, session, out),
        ClientCommand::KillAddress { address } => {
            match clients.kill(&[ClientFilter::Address(address)], None) {
                0 => reply::error(out, "ERR No such client"),
                _ => reply::ok(out),
            }
        }
        ClientCommand::Pause { ms, writes_only } => {
            clients.pause(Duration::from_millis(ms), writes_only);
            reply::ok(out);
        }
        ClientCommand::Unpause => {
            clients.unpause();
            reply::ok(out);
        }
        // No client is blocked by a command.
        ClientCommand::Unblock { .. } => reply::integer(out, 0),
        ClientCommand::NoEvict | ClientCommand::NoTouch => reply::ok(out),
        ClientCommand::Reply { replying } => {
            let silence = &mut session.silence;
            match replying {
                Replying::On => {
                    *silence = Silence::default();
                    reply::ok(out);
                }
                Replying::Off => silence.off = true,
                Replying::Skip => silence.next = !silence.off,
            }
        }
        ClientCommand::Track(asked) => tracking::carry_out(Asked::Track(asked), service, session, out),
        ClientCommand::TrackNothing => {
            session.tracked = None;
            reply::ok(out);
        }
        ClientCommand::Caching { keeps } => {
            tracking::carry_out(Asked::Caching(keeps), service, session, out);
        }
        ClientCommand::GetRedirection => {
            reply::integer(out, session.tracked.as_ref().map_or(-1, Tracked::redirect));
        }
        ClientCommand::TrackingInfo => tracking::info(session, out),
        ClientCommand::Help => describe::help(out, "CLIENT"),
    }
}

fn lines(lines: &str, session: &Session, out: &mut BytesMut) {
    reply::verbatim(out, session.version, *b"txt", lines.as_bytes());
}

fn kill(filters: &[ClientFilter], skip_me: bool, service: &Service, session: &Session, out: &mut BytesMut) {
    let unknown = filters.iter().find_map(|filter| match filter {
        ClientFilter::User(user) if !service.door.knows(user) => Some(user),
        _ => None,
    });
    if let Some(user) = unknown {
        return reply::error(out, &format!("ERR No such user '{}'", String::from_utf8_lossy(user)));
    }
    let killed = service.clients.kill(filters, skip_me.then_some(session.id));
    reply::integer(out, i64::try_from(killed).unwrap_or(i64::MAX));
}
