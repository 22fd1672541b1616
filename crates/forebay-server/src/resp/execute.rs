//! From a request to whoever carries it out. The table of commands and their arguments is `forebay-wire`'s.

use std::io;

use bytes::{Bytes, BytesMut};
use forebay_wire::resp::{
    AclCommand, Command, CommandError, CommandSpec, Data, Request, StringCommand, TransactionCommand,
    describe, reply, resolve,
};

use super::replies::Replies;
use super::session::Session;
use super::transaction::{self, Queue};
use super::{
    Service, client, data, freshness, keyspace, limited, operators, pubsub, rights, server, slowlog, tracking,
};

/// Carries out one request and writes its one reply, unless the client asked for none.
///
/// # Errors
/// When the client no longer takes replies.
pub(super) async fn execute(
    request: &Request,
    service: &Service,
    session: &mut Session,
    replies: &mut Replies<'_>,
) -> io::Result<()> {
    session.is_as_noted = false;
    if !session.silence.begin() {
        return answer(request, service, session, replies).await;
    }
    let is_skipped = !session.silence.off;
    // Messages are no replies: those that wait are not dropped with them.
    session.write_waiting(&mut replies.out);
    let mut unsent = Replies::dropped();
    answer(request, service, session, &mut unsent).await?;
    replies.out.extend_from_slice(&session.aside.split());
    // The command that ends the silence is itself answered; not a RESET that is skipped, as in Redis.
    let is_kept = session.silence.is_kept() || is_skipped && session.command == "RESET";
    if !is_kept {
        replies.out.extend_from_slice(&unsent.out);
    }
    Ok(())
}

async fn answer(
    request: &Request,
    service: &Service,
    session: &mut Session,
    replies: &mut Replies<'_>,
) -> io::Result<()> {
    #[cfg(test)]
    crate::panics::planted(request.name());
    let resolved = resolve(request);
    session.tally.count(resolved.as_ref().ok().map(|spec| spec.name), &service.asked);
    let spec = match resolved {
        Ok(spec) => spec,
        Err(error) => {
            unresolved(&error.to_string(), request, session, &mut replies.out);
            return Ok(());
        }
    };
    session.command = spec.name;
    if !may_begin(spec, request, service, session, &mut replies.out).await {
        return Ok(());
    }
    service.monitors.tell(spec, request, session);
    let asked = spec.parse(request);
    if session.is_listening_only()
        && !matches!(&asked, Ok(Command::PubSub(asked)) if pubsub::is_subscription(asked))
        && !matches!(asked, Ok(Command::Ping { .. } | Command::Quit | Command::Reset))
    {
        let name = spec.display_name();
        let refusal = format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        );
        reply::error(&mut replies.out, &refusal);
        return Ok(());
    }
    let Some(operations) = limited::begin(asked.as_ref().ok(), spec, request, session, replies) else {
        return Ok(());
    };
    if session.queue.is_some() && transaction::waits(&asked) {
        wait_for_exec(request, spec, &asked, session, &mut replies.out);
        operations.ended(replies, true);
        return Ok(());
    }
    let began = slowlog::Began::now(service);
    let done = match asked {
        Ok(command) => {
            // Before it looks: who changes what it reads tells it from then on.
            session.reading = session
                .keyspace
                .as_deref()
                .and_then(|keyspace| tracking::reading(session, keyspace, spec, request));
            let done = carry_out(request, spec, command, service, session, replies).await;
            session.reading = None;
            done
        }
        Err(error) => {
            reply::error(&mut replies.out, &error.to_string());
            Ok(())
        }
    };
    operations.ended(replies, false);
    slowlog::look(began, request, service, session);
    if let Some(tracked) = &mut session.tracked
        && session.queue.is_none()
        && !spec.name.starts_with("CLIENT|")
    {
        tracked.command_ended();
    }
    done
}

/// Answers what is no command, or has not as many words as one. An EXEC ends its transaction however it is written.
fn unresolved(why: &str, request: &Request, session: &mut Session, out: &mut BytesMut) {
    if request.name().eq_ignore_ascii_case(b"EXEC") {
        (session.queue, session.watch) = (None, None);
        let why = why.strip_prefix("ERR ").unwrap_or(why);
        return reply::error(out, &format!("EXECABORT Transaction discarded because of: {why}"));
    }
    session.queue.iter_mut().for_each(Queue::spoil);
    reply::error(out, why);
}

/// Whether a command may go on: the connection has the right to it, before and after it has waited for a pause to end. A refusal is
/// answered.
async fn may_begin(
    spec: &'static CommandSpec,
    request: &Request,
    service: &Service,
    session: &mut Session,
    out: &mut BytesMut,
) -> bool {
    // Keys are judged in the keyspace that the command is carried out in.
    session.look_again();
    if session.closing || !rights::allow(spec, request, session, out) {
        return false;
    }
    let writes = transaction::writes(spec, session);
    if !service.clients.is_paused(writes) {
        return true;
    }
    session.connected.note(session);
    if !service.clients.passed(writes, &mut session.stop).await {
        session.closing = true;
        return false;
    }
    session.look_again();
    !session.closing && rights::allow(spec, request, session, out)
}

/// Lets a command wait for EXEC, where it may.
fn wait_for_exec(
    request: &Request,
    spec: &'static CommandSpec,
    asked: &Result<Command, CommandError>,
    session: &mut Session,
    out: &mut BytesMut,
) {
    let refusal = asked.as_ref().ok().and_then(|command| rights::may_wait(command, session).err());
    let Some(queue) = &mut session.queue else { return };
    match refusal {
        Some(refusal) => {
            queue.spoil();
            reply::error(out, refusal);
        }
        None => queue.push(request, spec, out),
    }
}

/// Carries out one command.
pub(super) async fn carry_out(
    request: &Request,
    spec: &CommandSpec,
    command: Command,
    service: &Service,
    session: &mut Session,
    replies: &mut Replies<'_>,
) -> io::Result<()> {
    let out = &mut replies.out;
    if spec.keys.are_there() && session.keyspace.is_none() {
        no_keyspace(session, out);
        return Ok(());
    }
    match command {
        Command::Data(Data::String(StringCommand::Get { key })) => data::get(&key, session, out).await,
        Command::Data(asked) => {
            let keys: Vec<Bytes> = spec.key_indexes(request).filter_map(|at| request.bytes(at)).collect();
            data::carry_out(&asked, &keys, spec.keys.usage, service, session, replies).await?;
        }
        Command::PubSub(asked) => pubsub::carry_out(asked, service, session, out).await,
        Command::Transaction(asked) => transact(asked, service, session, replies).await?,
        Command::Keyspace(_) if session.keyspace.is_none() => no_keyspace(session, out),
        Command::Keyspace(asked) => keyspace::carry_out(asked, service, session, out).await,
        Command::Freshness(asked) => freshness::carry_out(asked, session, out).await,
        Command::Operators(asked) => operators::carry_out(asked, service, session, replies).await?,
        Command::Ping { message } if session.is_listening_only() => {
            reply::array(out, 2);
            reply::bulk(out, b"pong");
            reply::bulk(out, &message.unwrap_or_default());
        }
        Command::Ping { message: None } => reply::simple(out, "PONG"),
        Command::Ping { message: Some(message) } | Command::Echo { message } => reply::bulk(out, &message),
        Command::Auth(shown) => rights::auth(&shown, service, session, out),
        Command::Acl(AclCommand::WhoAmI) => reply::bulk(out, session.rights.name()),
        Command::Acl(AclCommand::Help) => describe::help(out, "ACL"),
        Command::Hello(hello) => client::hello(hello, service, session, out),
        Command::Select { index } => match rights::may_select(index, session) {
            Ok(()) if session.select(index) => reply::ok(out),
            Ok(()) => reply::error(out, &CommandError::NoSuchIndex.to_string()),
            Err(denied) => reply::error(out, &denied),
        },
        Command::Client(asked) => client::client(asked, service, session, out),
        Command::Describe(asked) => describe::answer(out, session.version, &asked),
        Command::Server(asked) => server::carry_out(asked, service, session, out).await,
        Command::Quit => {
            session.closing = true;
            reply::ok(out);
        }
        Command::Reset => {
            session.reset(service, out);
            reply::simple(out, "RESET");
        }
    }
    Ok(())
}

/// Carries out a command on the connection's transaction. Messages stand before the one reply that holds those of all commands, not
/// within it, where they would be counted among them.
async fn transact(
    asked: TransactionCommand,
    service: &Service,
    session: &mut Session,
    replies: &mut Replies<'_>,
) -> io::Result<()> {
    let begun = replies.out.len();
    session.held = Some(BytesMut::new());
    let done = transaction::carry_out(asked, service, session, replies).await;
    if let Some(held) = session.held.take().filter(|held| !held.is_empty()) {
        let replied = replies.out.split_off(begun.min(replies.out.len()));
        replies.out.extend_from_slice(&held);
        replies.out.extend_from_slice(&replied);
    }
    done
}

/// A key has no meaning where no keyspace is picked.
pub(super) fn no_keyspace(session: &Session, out: &mut BytesMut) {
    let numbers = session.served.now().all().map(|(number, _)| number);
    // Who is kept to one keyspace is not told which others there are.
    let numbers = numbers.filter(|number| rights::may_select(*number, session).is_ok());
    let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
    reply::error(
        out,
        &format!("ERR no keyspace has db {}: SELECT one of {}", session.db, numbers.join(", ")),
    );
}

pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
