//! Commands about the server: what it has done, what time it is, how it is set up.

use bytes::{Bytes, BytesMut};
use forebay_wire::resp::{ServerCommand, describe, glob, reply};

use super::Service;
use super::info::{Counted, info};
use super::session::Session;
use super::slowlog;
use super::time::now;

/// Carries out one of these commands.
pub(super) async fn carry_out(
    asked: ServerCommand,
    service: &Service,
    session: &mut Session,
    out: &mut BytesMut,
) {
    match asked {
        ServerCommand::Info { sections } => {
            reply::verbatim(out, session.version, *b"txt", info(service, &sections).await.as_bytes());
        }
        ServerCommand::Time => {
            let now = now();
            reply::array(out, 2);
            reply::bulk(out, now.as_secs().to_string().as_bytes());
            reply::bulk(out, now.subsec_micros().to_string().as_bytes());
        }
        ServerCommand::ConfigGet { patterns } => config_get(&patterns, service, session, out),
        ServerCommand::ConfigSet { settings } => config_set(&settings, service, out),
        ServerCommand::ConfigResetStat => {
            *service.counted_before.lock() = Counted::now(service);
            reply::ok(out);
        }
        ServerCommand::ConfigRewrite => {
            reply::error(
                out,
                "ERR the server does not write its declaration: change the file, and it is taken over",
            );
        }
        ServerCommand::Monitor => {
            // One that watches already leaves first: it would take the new place away.
            session.monitoring = None;
            session.monitoring = Some(service.monitors.enter(session));
            reply::ok(out);
        }
        ServerCommand::Slowlog(asked) => slowlog::carry_out(asked, service, out),
        ServerCommand::DebugSleep { span } => {
            session.connected.note(session);
            tokio::select! {
                () = service.clock.sleep(span) => {}
                () = session.stop.asked() => session.closing = true,
            }
            reply::ok(out);
        }
        ServerCommand::DebugNothing | ServerCommand::FunctionFlush => reply::ok(out),
        ServerCommand::Help { container } => describe::help(out, container),
    }
}

/// What is set up, under the names that Redis has for it.
fn settings(service: &Service) -> Vec<(&'static str, String)> {
    let databases = service.keyspaces.now().all().next_back().map_or(0, |(last, _)| last.saturating_add(1));
    vec![
        ("appendonly", "yes".into()),
        ("databases", databases.to_string()),
        ("maxclients", service.places.all().to_string()),
        ("maxmemory", service.memory_bytes.to_string()),
        ("proto-max-bulk-len", forebay_wire::resp::VALUE_BYTES_MAX.to_string()),
        ("save", String::new()),
        ("timeout", "0".into()),
        // Bounded in bytes, not in keys, which Redis says so.
        ("tracking-table-max-keys", "0".into()),
    ]
}

fn config_get(patterns: &[Bytes], service: &Service, session: &Session, out: &mut BytesMut) {
    let asked = |name: &str| {
        patterns.iter().any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let found: Vec<_> = settings(service).into_iter().filter(|(name, _)| asked(name)).collect();
    reply::map(out, session.version, found.len());
    for (name, value) in found {
        reply::bulk(out, name.as_bytes());
        reply::bulk(out, value.as_bytes());
    }
}

/// Takes what is so already. What is declared is changed in the declaration, so that it is the same after the next start.
fn config_set(asked: &[(Bytes, Bytes)], service: &Service, out: &mut BytesMut) {
    let settings = settings(service);
    for (name, value) in asked {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        match settings.iter().find(|(known, _)| *known == name) {
            Some((_, now)) if now.as_bytes() == value.as_ref() => {}
            Some(_) => {
                let refusal = format!(
                    "ERR CONFIG SET failed (possibly related to argument '{name}') - it is declared: change the declaration"
                );
                return reply::error(out, &refusal);
            }
            None => {
                let refusal = format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'");
                return reply::error(out, &refusal);
            }
        }
    }
    reply::ok(out);
}
