//! `forebay check` and `forebay explain`: declarations read, nothing touched; databases asked only where that is wanted.

use std::path::Path;

use forebay_server::app::App;
use forebay_server::configuration::{
    self, Declaration, Deployment, ProcessEnvironment, Report, Style, served,
};
use forebay_server::{connect, tls};

use crate::arguments::{Check, DEFAULT_FILE, Explain, files_or_default};
use crate::{Failure, apps, say};

/// Checks every declaration named, each by itself and all together.
pub(crate) fn check(asked: &Check) -> Result<(), Failure> {
    let files = files_or_default(&asked.files, &asked.app);
    let mut declarations = Vec::new();
    let mut reports = String::new();
    let read = files.iter().map(|file| read_file(file));
    let of_apps = apps::named(&asked.app)?;
    for declaration in read.chain(of_apps.iter().map(of_app)) {
        match declaration {
            Ok(declaration) => declarations.push(declaration),
            Err(Failure(report)) => reports.push_str(&report),
        }
    }
    if !reports.is_empty() {
        return Err(Failure(reports));
    }
    let deployment = assemble(declarations)?;
    let not_served = deployment.declarations.iter().flat_map(served::refuse).collect();
    if let Some(report) = Report::of(not_served) {
        let said = "the declaration is right; this version does not serve all of it";
        return Err(Failure(format!("{}\n{said}", report.render(style()))));
    }
    if asked.connect {
        connected(&deployment)?;
    }
    for keyspace in &deployment.keyspaces {
        let names: Vec<&str> = keyspace.namespaces.keys().map(String::as_str).collect();
        say(&format!("ok: keyspace {} (db {}): {}", keyspace.name, keyspace.db, names.join(", ")));
    }
    Ok(())
}

/// Reads what connections are to be secured with, and prepares every query against its database.
fn connected(deployment: &Deployment) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure(format!("cannot connect: {error}")))?;
    if let Some(declared) = &deployment.server.tls {
        runtime.block_on(tls::check(declared)).map_err(|error| Failure::new(&error))?;
    }
    let checked = runtime.block_on(connect::check(deployment));
    checked.map_err(|report| Failure(report.render(style())))
}

/// Says what one namespace will do.
pub(crate) fn explain(asked: &Explain) -> Result<(), Failure> {
    let declaration = match &asked.app {
        Some(name) => of_app(&apps::named(std::slice::from_ref(name))?.remove(0))?,
        None => {
            let files = files_or_default(asked.config.as_slice(), &[]);
            files.first().map_or_else(|| Err(Failure("name a declaration".into())), |file| read_file(file))?
        }
    };
    let text = configuration::explain(&declaration, &asked.namespace).ok_or_else(|| {
        let names: Vec<&str> = declaration.namespaces.keys().map(String::as_str).collect();
        Failure(format!(
            "{} declares no namespace `{}`; it has: {}",
            declaration.file,
            asked.namespace,
            names.join(", ")
        ))
    })?;
    say(text.trim_end());
    Ok(())
}

/// The checked declaration of a file.
pub(crate) fn read_file(file: &Path) -> Result<Declaration, Failure> {
    let name = file.display().to_string();
    let text =
        std::fs::read_to_string(file).map_err(|error| Failure(format!("cannot read {name}: {error}\n")))?;
    parse(&name, &text)
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
