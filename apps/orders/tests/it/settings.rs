//! What `[app.orders]` may say.

use std::time::Duration;

use forebay_app_orders::settings::Settings;

fn parse(text: &str) -> Result<Settings, String> {
    Settings::parse(&text.parse().unwrap()).map_err(|error| error.to_string())
}

#[test]
fn what_is_said_counts_and_what_is_not_said_is_the_default() {
    assert_eq!(parse("").unwrap(), Settings { expires_after: Duration::from_secs(300), opens_periods: true });
    let said = parse("expires_after = '90s'\nperiods = 'announced'").unwrap();
    assert_eq!(said, Settings { expires_after: Duration::from_secs(90), opens_periods: false });
}

#[test]
fn what_cannot_be_meant_is_told_with_what_to_write() {
    for (text, says) in [
        ("expires_after = 'soon'", "write one as \"5m\""),
        ("expires_after = '0s'", "write one as \"5m\""),
        ("expires_after = '-5m'", "write one as \"5m\""),
        ("periods = 'closed'", "announced"),
        ("expires = '5m'", "expires_after"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with("[app.orders]: ") && error.contains(says), "{text}: {error}");
    }
}
