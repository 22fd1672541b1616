//! The declaration, and the commands that are worth typing.

use forebay_app_stocks::app;

#[test]
fn commands_worth_typing_name_declared_things() {
    let declaration: toml::Table = app().declaration.parse().unwrap();
    assert_eq!(declaration["keyspace"].as_str(), Some(app().name));
    let namespaces = declaration["namespace"].as_table().unwrap();
    assert_eq!(
        namespaces.keys().collect::<Vec<_>>(),
        ["API_CACHE", "MARKET_DATA", "STOCK_CACHE", "USER_SESSIONS", "movers"]
    );
    assert_eq!(app().tries.len(), 5);
}
