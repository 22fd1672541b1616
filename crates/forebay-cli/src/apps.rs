//! The apps that the command has, by their names.

use forebay_server::app::App;

use crate::Failure;

/// Those of `apps` that are called `names`.
pub(crate) fn named(names: &[String], apps: &[App]) -> Result<Vec<App>, Failure> {
    names
        .iter()
        .map(|name| {
            apps.iter().find(|app| app.name == name).cloned().ok_or_else(|| {
                let list: Vec<String> =
                    apps.iter().map(|app| format!("{} ({})", app.name, app.summary)).collect();
                Failure(format!("no app is called `{name}`; there are: {}", list.join(", ")))
            })
        })
        .collect()
}

/// The app that the demonstration shows.
pub(crate) fn demonstration(apps: &[App]) -> Result<App, Failure> {
    let first = apps.first().cloned();
    first.ok_or_else(|| {
        Failure("there is no app to show: serve a declaration, `--config forebay.toml`".to_owned())
    })
}
