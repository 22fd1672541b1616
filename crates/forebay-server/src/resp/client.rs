//! What a connection says of itself: HELLO and CLIENT.

use bytes::{Bytes, BytesMut};
use forebay_wire::resp::{ClientAttribute, ClientCommand, Hello, describe, reply};

use super::session::Session;

/// Chooses the version of the protocol, and describes the server.
pub(super) fn hello(hello: Hello, session: &mut Session, out: &mut BytesMut) {
    if hello.auth.is_some_and(|credentials| credentials.user != "default") {
        return reply::error(out, "WRONGPASS invalid username-password pair or user is disabled.");
    }
    if let Some(version) = hello.version {
        session.version = version;
    }
    if let Some(name) = hello.name {
        session.name = Bytes::copy_from_slice(&name);
    }
    reply::map(out, session.version, 7);
    for (name, value) in [
        ("server", "forebay"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("mode", "standalone"),
        ("role", "master"),
    ] {
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

/// Answers about the connection.
pub(super) fn client(client: ClientCommand, session: &mut Session, out: &mut BytesMut) {
    match client {
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
        ClientCommand::Info => {
            let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            let line = format!(
                "id={} name={} db={} lib-name={} lib-ver={} resp={}\n",
                session.id,
                text(&session.name),
                session.db,
                text(&session.library),
                text(&session.library_version),
                session.version.number()
            );
            reply::verbatim(out, session.version, *b"txt", line.as_bytes());
        }
        ClientCommand::Help => describe::help(out, "CLIENT"),
    }
}
