//! The apps that come with the command.

use forebay_server::app::App;

use crate::Failure;

/// Every app, in the order of their keyspaces' numbers.
fn all() -> [App; 5] {
    [
        forebay_app_stocks::app(),
        forebay_app_orders::app(),
        forebay_app_checkin::app(),
        forebay_app_launchpad::app(),
        forebay_app_quant::app(),
    ]
}

/// The apps called `names`.
pub(crate) fn named(names: &[String]) -> Result<Vec<App>, Failure> {
    names
        .iter()
        .map(|name| {
            all().into_iter().find(|app| app.name == name).ok_or_else(|| {
                let list: Vec<String> =
                    all().iter().map(|app| format!("{} ({})", app.name, app.summary)).collect();
                Failure(format!("no app is called `{name}`; there are: {}", list.join(", ")))
            })
        })
        .collect()
}

/// The app that the demonstration shows.
pub(crate) fn demonstration() -> App {
    forebay_app_stocks::app()
}
