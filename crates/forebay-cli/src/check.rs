//! `forebay check` and `forebay explain`: declarations read, nothing touched; databases asked only where that is wanted.

use std::path::Path;
use std::process::ExitCode;

use forebay_server::app::App;
use forebay_server::configuration::{
    self, Declaration, Deployment, ProcessEnvironment, Report, Style, served,
};
use forebay_server::{connect, jobs, tls};
use serde_json::{Value, json};

use crate::arguments::{Check, DEFAULT_FILE, Explain, files_or_default};
use crate::{Failure, apps, runtime, say};

/// Checks every declaration named, each by itself and all together.
pub(crate) fn check(asked: &Check, apps: &[App]) -> Result<ExitCode, Failure> {
    let checked = checked(asked, apps);
    let (told, code) = match (checked, asked.json) {
        (Ok(deployment), true) => (as_object(&deployment), ExitCode::SUCCESS),
        (Ok(deployment), false) => (as_lines(&deployment), ExitCode::SUCCESS),
        (Err(Unchecked::Wrong(errors)), true) => (wrong_as_object(&errors), ExitCode::FAILURE),
        (Err(Unchecked::Wrong(errors)), false) => return Err(Failure(rendered(errors))),
        (Err(Unchecked::NotServed(errors)), true) => (wrong_as_object(&errors), ExitCode::FAILURE),
        (Err(Unchecked::NotServed(errors)), false) => {
            let said = "the declaration is right; this version does not serve all of it";
            return Err(Failure(format!("{}\n{said}", rendered(errors))));
        }
        (Err(Unchecked::Failed(failure)), _) => return Err(failure),
    };
    say(&told)?;
    Ok(code)
}

/// Why declarations are not right, or could not be looked at.
enum Unchecked {
    Wrong(Vec<configuration::Error>),
    /// They are right, but this version does not serve all of them.
    NotServed(Vec<configuration::Error>),
    Failed(Failure),
}

impl From<Report> for Unchecked {
    fn from(report: Report) -> Self {
        Self::Wrong(report.errors().to_vec())
    }
}

fn checked(asked: &Check, apps: &[App]) -> Result<Deployment, Unchecked> {
    let files = files_or_default(&asked.files, &asked.app);
    let of_apps = apps::named(&asked.app, apps).map_err(Unchecked::Failed)?;
    let mut texts = Vec::new();
    for file in &files {
        texts.push((file.display().to_string(), text_of(file).map_err(Unchecked::Failed)?));
    }
    texts.extend(of_apps.iter().map(|app| (app.file(), app.declaration.to_owned())));
    let (mut declarations, mut errors) = (Vec::new(), Vec::new());
    for (name, text) in &texts {
        match Declaration::parse(name, text, &ProcessEnvironment) {
            Ok(declaration) => declarations.push(declaration),
            Err(report) => errors.extend_from_slice(report.errors()),
        }
    }
    if !errors.is_empty() {
        return Err(Unchecked::Wrong(errors));
    }
    let deployment = Deployment::assemble(declarations)?;
    let not_served: Vec<_> = deployment.declarations.iter().flat_map(served::refuse).collect();
    if !not_served.is_empty() {
        return Err(Unchecked::NotServed(not_served));
    }
    jobs::have_functions(&deployment, &of_apps)?;
    if asked.connect {
        connected(&deployment)?;
    }
    Ok(deployment)
}

/// Reads what connections are to be secured with, and prepares every query against its database.
fn connected(deployment: &Deployment) -> Result<(), Unchecked> {
    let runtime = runtime().map_err(Unchecked::Failed)?;
    if let Some(declared) = &deployment.server.tls {
        runtime.block_on(tls::check(declared)).map_err(|error| Unchecked::Failed(Failure::new(&error)))?;
    }
    Ok(runtime.block_on(connect::check(deployment))?)
}

fn rendered(errors: Vec<configuration::Error>) -> String {
    Report::of(errors).map(|report| report.render(style())).unwrap_or_default()
}

fn as_lines(deployment: &Deployment) -> String {
    let line = |keyspace: &configuration::Keyspace| {
        let names: Vec<&str> = keyspace.namespaces.keys().map(String::as_str).collect();
        format!("ok: keyspace {} (db {}): {}", keyspace.name, keyspace.db, names.join(", "))
    };
    deployment.keyspaces.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn as_object(deployment: &Deployment) -> String {
    let keyspace = |keyspace: &configuration::Keyspace| {
        let names: Vec<&String> = keyspace.namespaces.keys().collect();
        json!({ "keyspace": keyspace.name, "db": keyspace.db, "namespaces": names })
    };
    let keyspaces: Vec<Value> = deployment.keyspaces.iter().map(keyspace).collect();
    json!({ "ok": true, "keyspaces": keyspaces, "errors": [] }).to_string()
}

fn wrong_as_object(errors: &[configuration::Error]) -> String {
    let error = |error: &configuration::Error| {
        json!({
            "file": error.file(),
            "line": error.line(),
            "column": error.column(),
            "message": error.message(),
            "mend": error.mend(),
        })
    };
    let errors: Vec<Value> = errors.iter().map(error).collect();
    json!({ "ok": false, "keyspaces": [], "errors": errors }).to_string()
}

/// Says what one namespace will do.
pub(crate) fn explain(asked: &Explain, apps: &[App]) -> Result<(), Failure> {
    let declaration = match &asked.app {
        Some(name) => of_app(&apps::named(std::slice::from_ref(name), apps)?.remove(0))?,
        None => {
            let files = files_or_default(asked.config.as_slice(), &[]);
            files.first().map_or_else(|| Err(Failure("name a declaration".into())), |file| read_file(file))?
        }
    };
    let explained = configuration::explanation(&declaration, &asked.namespace).ok_or_else(|| {
        let names: Vec<&str> = declaration.namespaces.keys().map(String::as_str).collect();
        Failure(format!(
            "{} declares no namespace `{}`; it has: {}",
            declaration.file,
            asked.namespace,
            names.join(", ")
        ))
    })?;
    if asked.json {
        let said = explained.groups.iter().flatten();
        let said: Vec<Value> = said.map(|said| json!({ "about": said.about, "text": said.text })).collect();
        let object = json!({
            "keyspace": declaration.keyspace,
            "namespace": asked.namespace,
            "title": explained.title,
            "said": said,
        });
        say(&object.to_string())
    } else {
        say(explained.to_string().trim_end())
    }
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let name = file.display();
    std::fs::read_to_string(file).map_err(|error| Failure(format!("cannot read {name}: {error}\n")))
}

/// The checked declaration of a file.
pub(crate) fn read_file(file: &Path) -> Result<Declaration, Failure> {
    parse(&file.display().to_string(), &text_of(file)?)
}

/// The checked declaration of an app.
pub(crate) fn of_app(app: &App) -> Result<Declaration, Failure> {
    parse(&app.file(), app.declaration)
}

/// What would be served here: ./forebay.toml, or nothing with all defaults.
pub(crate) fn declared_here() -> Result<Deployment, Failure> {
    let file = Path::new(DEFAULT_FILE);
    assemble(if file.exists() { vec![read_file(file)?] } else { Vec::new() })
}

/// Puts declarations together.
pub(crate) fn assemble(declarations: Vec<Declaration>) -> Result<Deployment, Failure> {
    Deployment::assemble(declarations).map_err(|report| Failure(report.render(style())))
}

fn parse(name: &str, text: &str) -> Result<Declaration, Failure> {
    Declaration::parse(name, text, &ProcessEnvironment).map_err(|report| Failure(report.render(style())))
}

/// Colours where a person reads them.
fn style() -> Style {
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    if terminal && std::env::var_os("NO_COLOR").is_none() { Style::Colour } else { Style::Plain }
}
