//! `forebay warm`: a running server loads what is declared to be warm, and how far it is is shown until it is done.
//!
//! The server does the work, at its own pace: this command looks at it, and has it stopped at Ctrl-C.

use std::process::ExitCode;
use std::time::Duration;

use forebay::rt::Clock;
use forebay_server::app::Progress as _;
use forebay_wire::resp::Reply;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arguments::Warm;
use crate::client::{Client, text};
use crate::progress::Shown;
use crate::{Failure, runtime, say, say_error};

/// How long it is left alone before it is looked at again.
const AGAIN: Duration = Duration::from_millis(100);

/// How far the warming of one namespace is.
struct Told {
    namespace: String,
    state: String,
    keys: u64,
    done: u64,
    absent: u64,
    failed: u64,
}

/// Has it begun, and waits until it is over.
pub(crate) fn warm(asked: &Warm) -> Result<ExitCode, Failure> {
    let told = runtime()?.block_on(until_over(asked))?;
    for told in &told {
        say(&if asked.json { told.object() } else { told.line() })?;
    }
    let is_whole = told.iter().all(|told| told.state == "done" && told.failed == 0);
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn until_over(asked: &Warm) -> Result<Vec<Told>, Failure> {
    // Before it begins, so that Ctrl-C stops it whenever it comes.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| Failure::new(&error))?;
    let mut client = Client::connect(&asked.at)?;
    let shown = Shown::aside();
    let mut told = ask(&mut client, "START", asked)?;
    loop {
        for one in &told {
            shown.step(&one.namespace, one.ended(), one.keys);
        }
        if told.iter().all(|told| told.state != "running") {
            return Ok(told);
        }
        if is_interrupted(&mut interrupt).await {
            say_error("stopped: the server loads no more");
            return ask(&mut client, "STOP", asked);
        }
        told = ask(&mut client, "STATUS", asked)?;
    }
}

/// Waits for the next look; whether Ctrl-C came first.
async fn is_interrupted(interrupt: &mut Signal) -> bool {
    tokio::select! {
        _ = interrupt.recv() => true,
        () = Clock::system().sleep(AGAIN) => false,
    }
}

fn ask(client: &mut Client, verb: &str, asked: &Warm) -> Result<Vec<Told>, Failure> {
    let words: Vec<&str> = ["FB.WARM", verb].into_iter().chain(asked.namespace.as_deref()).collect();
    let Reply::Array(all) = client.call(&words)? else { return Err(Failure::unknown_answer()) };
    all.iter().map(Told::read).collect::<Option<_>>().ok_or_else(Failure::unknown_answer)
}

impl Told {
    fn read(reply: &Reply) -> Option<Self> {
        let Reply::Map(fields) = reply else { return None };
        let field =
            |name: &str| fields.iter().find(|(field, _)| text(field) == name).map(|(_, value)| text(value));
        let number = |name: &str| field(name)?.parse().ok();
        Some(Self {
            namespace: field("namespace")?,
            state: field("state")?,
            keys: number("keys")?,
            done: number("done")?,
            absent: number("absent")?,
            failed: number("failed")?,
        })
    }

    fn ended(&self) -> u64 {
        self.done.saturating_add(self.absent).saturating_add(self.failed)
    }

    fn line(&self) -> String {
        let Self { namespace, state, keys, done, absent, failed } = self;
        format!("{namespace}: {state}, {done} of {keys} loaded, {absent} do not exist, {failed} failed")
    }

    fn object(&self) -> String {
        let Self { namespace, state, keys, done, absent, failed } = self;
        json!({ "namespace": namespace, "state": state, "keys": keys, "done": done, "absent": absent, "failed": failed })
            .to_string()
    }
}
