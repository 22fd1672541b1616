//! `forebay serve` and the demonstration: everything is made ready, then the ports open, then what to try is printed.
//!
//! Declarations are read again when they change or SIGHUP says so; what came of that is printed in one line, or as a report of what is
//! wrong. What is served then is the process' matter (`forebay_server::process`).

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use forebay_server::app::App;
use forebay_server::configuration::Deployment;
use forebay_server::observe::log;
use forebay_server::process::{self, Process};
use forebay_server::reloads::Answer;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Listen, LogForm, Serve};
use crate::progress::Shown;
use crate::watched::Watched;
use crate::{Failure, apps, check, runtime_of_threads, say, say_aside, say_error};

/// How it ends at once, as shells tell of who ended by a signal: 128 and its number.
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

/// Serves declarations and apps until it is told to stop.
pub(crate) fn serve(asked: &Serve, apps: &[App]) -> Result<ExitCode, Failure> {
    if asked.config.is_empty() && asked.app.is_empty() {
        let mend = "name a declaration (`--config forebay.toml`) or an app (`--app stocks`)";
        return Err(Failure(format!(
            "there is nothing to serve: {mend}; `forebay demo` starts the demonstration"
        )));
    }
    run(asked, apps::named(&asked.app, apps)?)
}

/// Serves the demonstration until it is told to stop.
pub(crate) fn demo(listen: &Listen, apps: &[App]) -> Result<ExitCode, Failure> {
    let app = apps::demonstration(apps)?;
    say(&format!("The demonstration: {}.", app.summary))?;
    run(&Serve { listen: listen.clone(), ..Serve::default() }, vec![app])
}

fn run(asked: &Serve, apps: Vec<App>) -> Result<ExitCode, Failure> {
    // From before they are read for the first time, so that no change is missed.
    let mut watched = Watched::new(&watched_files(asked, None))?;
    let deployment = declared(asked, &apps)?;
    watched.turn_to(&watched_files(asked, Some(&deployment)))?;
    log_to_stderr(asked.listen.log.unwrap_or_default())?;
    tell_panics();
    let runtime = runtime_of_threads()?;
    let ended = runtime.block_on(until_stopped(asked, &deployment, &apps, watched));
    // What is stopped is closed by now; who asked twice does not wait for a disk, or for the answer to a name, that hangs.
    runtime.shutdown_background();
    ended
}

/// What the files and apps that are asked for declare now.
fn declared(asked: &Serve, apps: &[App]) -> Result<Deployment, Failure> {
    let files = asked.config.iter().map(|file| check::read_file(file));
    let declarations = files.chain(apps.iter().map(check::of_app)).collect::<Result<_, _>>()?;
    let mut deployment = check::assemble(declarations)?;
    deployment.server.http = asked.listen.http.unwrap_or(deployment.server.http);
    deployment.server.resp = asked.listen.resp.unwrap_or(deployment.server.resp);
    Ok(deployment)
}

/// Reads the declarations again and puts what they say in service; how that ended.
async fn reload(process: &mut Process, watched: &mut Watched, asked: &Serve, apps: &[App]) -> Answer {
    match declared(asked, apps) {
        Ok(deployment) => match watched.turn_to(&watched_files(asked, Some(&deployment))) {
            Ok(()) => process.reload(deployment).await.map_err(|error| error.to_string()),
            Err(Failure(why)) => Err(why),
        },
        Err(Failure(report)) => Err(report),
    }
}

/// Tells how a reload ended. That it cannot be told ends nothing: the process serves.
fn tell(reloaded: &Answer) {
    let told = match reloaded {
        Ok(reloaded) => say(&format!("Reloaded: {reloaded}.")),
        Err(why) => {
            say_aside(&format!(
                "Not reloaded, what was declared before stays in service: {}",
                why.trim_end()
            ));
            Ok(())
        }
    };
    if let Err(Failure(why)) = told {
        say_error(&why);
    }
}

/// The files that make for a reload when they change: declarations, and what connections are secured with as far as that is known.
fn watched_files(asked: &Serve, deployment: Option<&Deployment>) -> Vec<PathBuf> {
    if asked.no_watch {
        return Vec::new();
    }
    let tls = deployment.and_then(|deployment| deployment.server.tls.as_ref()).into_iter();
    let tls = tls.flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]);
    asked.config.iter().cloned().chain(tls).collect()
}

async fn until_stopped(
    asked: &Serve,
    deployment: &Deployment,
    apps: &[App],
    mut watched: Watched,
) -> Result<ExitCode, Failure> {
    // Before anything is open, so that no signal finds the process with its default of dying at once.
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| Failure::new(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| Failure::new(&error))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| Failure::new(&error))?;
    let mut process = tokio::select! {
        started = process::start(deployment, apps, Arc::new(Shown::default())) => {
            started.map_err(|error| Failure::new(&error))?
        }
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    };
    // That it cannot be told ends nothing: the process serves.
    if let Err(Failure(why)) = welcome(deployment, apps, &process) {
        say_error(&why);
    }
    let mut asked_reloads = process.asked_reloads();
    loop {
        let asked_for = tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => None,
            () = watched.changed() => None,
            client = asked_reloads.next() => Some(client),
        };
        let reloaded = tokio::select! {
            reloaded = reload(&mut process, &mut watched, asked, apps) => reloaded,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        tell(&reloaded);
        if let Some(client) = asked_for {
            client.answer(reloaded);
        }
    }
    let drained = tokio::select! {
        drained = process.stop() => drained,
        // Asked twice: at once.
        _ = terminate.recv() => return Ok(ExitCode::from(TERMINATED)),
        _ = interrupt.recv() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    if drained {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure("some requests took longer than the ten seconds given to end, and were cut".into()))
}

/// Says where it serves and what is worth typing.
fn welcome(deployment: &Deployment, apps: &[App], process: &Process) -> Result<(), Failure> {
    for note in &process.notes {
        say(note)?;
    }
    let (resp, http) = (process.resp, process.http);
    match process.is_secure() {
        true => say(&format!("\nRESP  rediss://{resp}\nHTTP  https://{http}"))?,
        false => say(&format!("\nRESP  {resp}\nHTTP  http://{http}"))?,
    }
    let data = &deployment.server.data;
    say(&format!("data  {}", data.canonicalize().unwrap_or_else(|_| data.clone()).display()))?;
    // What is worth typing is written for clients without TLS.
    let apps = if process.is_secure() { &[] } else { apps };
    if apps.iter().any(|app| !app.tries.is_empty()) {
        say("\nTry, in another terminal:")?;
    }
    let binary = std::env::current_exe().ok();
    let binary = binary.as_ref().map_or("forebay".into(), |path| path.to_string_lossy());
    for one in apps.iter().flat_map(|app| app.tries) {
        let command = one
            .command
            .replace("{resp}", &process.resp.port().to_string())
            .replace("{http}", &process.http.port().to_string())
            .replace("{forebay}", &binary);
        say(&format!("  {command}\n      {}", one.shows))?;
    }
    say("\nCtrl-C ends it.")
}

/// Has a panic told by its place alone: its message may hold what a client sent, or what a database said.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a panic, which costs one request: please report it");
    }));
}

/// Logs to standard error: warnings and the server's own news, or what `FOREBAY_LOG` says.
fn log_to_stderr(form: LogForm) -> Result<(), Failure> {
    let filter = std::env::var("FOREBAY_LOG").unwrap_or_else(|_| log::FILTER.to_owned());
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let form = match form {
        LogForm::Text => log::Form::Text,
        LogForm::Json => log::Form::Json,
    };
    log::install(log::to(form, &filter, colours, std::io::stderr).map_err(|error| Failure::new(&error))?);
    Ok(())
}
