use std::fs;
use std::path::Path;
use std::time::Duration;

use expect_test::expect_file;
use forebay_server::configuration::{DatabaseKind, Declaration, Ttl, Writes, reference};

use super::{folder, parse};

fn read(name: &str) -> Declaration {
    parse(&fs::read_to_string(folder().join(name)).unwrap()).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn the_example_of_the_language_is_right() {
    let declaration = read("good.toml");
    assert_eq!(declaration.keyspace, "shop");
    assert_eq!(declaration.databases["main"].url.kind, DatabaseKind::Sqlite);
    assert_eq!(declaration.databases["main"].url.sqlite_path(), Some("data/main.db"));
    let stock = &declaration.namespaces["STOCK_CACHE"];
    assert_eq!(stock.ttl, Ttl::Fixed(Duration::from_secs(3)));
    assert_eq!(stock.writes, Writes::Cache);
    let columns = stock.source.as_ref().unwrap().sql.as_ref().unwrap().query.columns.clone().unwrap();
    assert_eq!(columns, ["code", "name", "price", "change", "change_pct", "volume", "timestamp"]);
    let price = &declaration.namespaces["price"];
    assert_eq!((price.absent_ttl, price.writes), (Duration::from_secs(30), Writes::Refuse));
    assert_eq!(price.loader.soft_timeout, Some(Duration::from_millis(100)));
    let sessions = &declaration.namespaces["sessions"];
    let (idle, max) = (Duration::from_secs(86_400), Duration::from_secs(30 * 86_400));
    assert_eq!((sessions.ttl, sessions.writes), (Ttl::Sliding { idle, max }, Writes::Store));
}

/// The checked form of a declaration that says everything: an option that is read and then forgotten shows here, as its
/// value is not its default.
#[test]
fn every_option_reaches_the_checked_form() {
    let declaration = read("full.toml");
    let shown = format!(
        "keyspace {:?} db {:?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n",
        declaration.keyspace,
        declaration.db,
        declaration.server,
        declaration.memory,
        declaration.shared,
        declaration.databases,
        declaration.namespaces,
        declaration.environments,
        declaration.apps
    );
    expect_file![folder().join("full.txt")].assert_eq(&shown);
}

/// `full.toml` leaves no option out.
#[test]
fn the_full_declaration_is_full() {
    let text = fs::read_to_string(folder().join("full.toml")).unwrap();
    let page = reference();
    let options =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |")).map(|(name, _)| name);
    for option in options.filter(|option| !option.starts_with('$')) {
        let word = |each: char| each.is_ascii_alphanumeric() || each == '_';
        assert!(text.split(|each| !word(each)).any(|found| found == option), "{option}");
    }
}

#[test]
fn the_reference_page_is_the_table_of_options() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    expect_file![page].assert_eq(&reference());
}

#[test]
fn what_cannot_be_told_of_a_query_is_left_to_the_database() {
    for query in [
        "with q as (select * from t) select * from q where code in {keys}",
        "select t.* from t where code in {keys}",
        "values {keys}",
    ] {
        let text = format!(
            "keyspace = 'a'\n[database.d]\nurl = 'sqlite:x'\n[namespace.n]\nkey = '{{code}}'\nttl = '1s'\n\
             source.sql = {{ database = 'd', query = '{query}' }}"
        );
        let parsed = parse(&text);
        assert_eq!(parsed.is_ok(), !query.starts_with("values"), "{query}");
    }
}

/// The defaults that the page tells are those that a declaration gets which says nothing.
#[test]
fn the_page_tells_the_real_defaults() {
    let page = reference();
    let told = |section: &str, option: &str| {
        let table =
            page.split(&format!("\n## `[{section}]`\n")).nth(1).unwrap().split("\n## ").next().unwrap();
        let row = table.lines().find_map(|line| line.strip_prefix(&format!("| `{option}` | "))).unwrap();
        row.split(" | ").nth(1).unwrap().trim_matches(['`', '"']).to_owned()
    };
    let text = |section: &str, options: &[&str]| {
        let lines = options.iter().map(|option| {
            let value = told(section, option);
            if value.parse::<u64>().is_ok() {
                format!("{option} = {value}\n")
            } else {
                format!("{option} = '{value}'\n")
            }
        });
        format!("[{section}]\n{}", lines.collect::<String>())
    };
    let base = "keyspace = 'a'\n[database.NAME]\nurl = 'sqlite:x'\n[namespace.NAME]\nkey = 'a:{x}'\nttl = '1h'\n\
                stale_if_error = '1h'\nsource.sql = { database = 'NAME', query = 'select x from t where x in {keys}' }\n";
    let web =
        "[namespace.web]\nkey = 'w:{x}'\nttl = '1h'\n[namespace.web.source.http]\nurl = 'https://h/{keys}'\n";
    let sized = ["keys", "keys_max", "remember", "size_max", "connect_timeout", "retries", "retry_budget"];
    let of_requests = text("namespace.NAME.source.http", &sized)
        + &text("namespace.NAME.source.http", &["redirects", "connections", "idle_timeout"]);
    let of_requests: Vec<&str> = of_requests.lines().filter(|line| !line.starts_with('[')).collect();
    let base = format!("{base}{web}");
    let said = [
        format!("{base}{}\n", of_requests.join("\n")),
        text("server", &["http", "resp", "data"]),
        text("memory", &["budget"]),
        text("database.NAME.pool", &["max", "wait", "max_lifetime", "ping_after_idle"]),
        text("namespace.NAME.loader", &["timeout", "concurrency", "queue"]),
        text("namespace.NAME.loader.breaker", &["failures", "successes", "pause"]),
        text("namespace.NAME.memory", &["policy"]),
    ]
    .concat();
    let (said, unsaid) = (parse(&said).unwrap_or_else(|report| panic!("{report}")), parse(&base).unwrap());
    assert_eq!(said.server.unwrap(), Default::default());
    assert_eq!(said.memory.unwrap(), Default::default());
    assert_eq!(said.databases, unsaid.databases);
    assert_eq!(format!("{:?}", said.namespaces), format!("{:?}", unsaid.namespaces));
}
