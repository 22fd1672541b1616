use forebay_server::configuration::secrets::{self, SecretError};
use forebay_server::configuration::{Declaration, Report};

use super::{Fixed, SECRET};

/// A namespace whose query, headers and database hold what `stands_for` stands for.
fn text(stands_for: &str) -> String {
    format!(
        "keyspace = 'a'\n[shared]\nurl = 'redis://:{stands_for}@h'\nprefix = '{stands_for}'\n\
         [database.main]\nurl = 'postgres://u:{stands_for}@h/n'\n\
         [namespace.a]\nkey = 'a:{{x}}'\nttl = '1s'\nwarm = {{ x = ['1'] }}\n\
         source.sql = {{ database = 'main', query = \"select x, '{stands_for}' as s from t where x in {{keys}}\" }}\n\
         source.http = {{ url = 'http://{stands_for}/{{x}}', headers = {{ a = '{stands_for}' }} }}\nsource.merge = ['sql', 'http']\n\
         [app.demo]\ntoken = '{stands_for}'\n"
    )
}

fn parse(text: &str, environment: &Fixed) -> Result<Declaration, Report> {
    Declaration::parse("forebay.toml", text, environment)
}

fn assert_hidden(shown: &str) {
    assert!(!shown.contains(SECRET), "{shown}");
}

#[test]
fn variables_files_and_ciphertexts_are_expanded_and_never_shown() {
    let key = secrets::new_key().unwrap();
    let sealed = format!("${{enc:{}}}", secrets::encrypt(&key, SECRET).unwrap());
    let environment = Fixed::default()
        .variable("PASSWORD", SECRET)
        .variable("FOREBAY_SECRET_KEY", &key)
        .file("/run/secret", &format!("  {SECRET}\n"));
    for stands_for in ["${PASSWORD}", "${file:/run/secret}", sealed.as_str()] {
        let declaration = parse(&text(stands_for), &environment).unwrap_or_else(|report| panic!("{report}"));
        let url = &declaration.databases["main"].url.text;
        assert_eq!(url.expose(), format!("postgres://u:{SECRET}@h/n"));
        assert_eq!(declaration.apps["demo"].table["token"].as_str(), Some(SECRET));
        assert_hidden(&format!("{declaration:?}"));
        assert_hidden(&format!("{declaration:#?}"));
        assert_hidden(&format!("{url} {url:?} {}", serde_json::to_string(url).unwrap()));
        assert_hidden(&forebay_server::configuration::explain(&declaration, "a").unwrap());
        let refused = forebay_server::configuration::served::refuse(&declaration);
        assert_hidden(&Report::of(refused).unwrap().to_string());
    }
}

/// What is written for a variable that is not set is no secret: it stands in the declaration.
#[test]
fn a_variable_may_have_something_to_stand_for_it() {
    let url = |environment: &Fixed, url: &str| {
        let text = format!("keyspace = 'a'\n[database.main]\nurl = '{url}'");
        parse(&text, environment).unwrap().databases["main"].url.text.clone()
    };
    let written = "${SHOP_DATABASE:-sqlite:data/shop.db}";
    for environment in [Fixed::default(), Fixed::default().variable("SHOP_DATABASE", "")] {
        let text = url(&environment, written);
        assert_eq!(
            (text.expose(), text.to_string().as_str()),
            ("sqlite:data/shop.db", "sqlite:data/shop.db")
        );
    }
    let set = Fixed::default().variable("SHOP_DATABASE", "postgres://u@h/n");
    let text = url(&set, written);
    assert_eq!((text.expose(), text.to_string().as_str()), ("postgres://u@h/n", "***"));
    let both = Fixed::default().variable("PASSWORD", SECRET);
    assert_eq!(url(&both, "postgres://u:${PASSWORD}@${HOST:-h}/n").to_string(), "***");
}

#[test]
fn a_plain_password_is_covered_too() {
    let environment = Fixed::default();
    let declaration = parse(&text(SECRET).replace(&format!("= '{SECRET}'"), "= 'x'"), &environment).unwrap();
    let url = &declaration.databases["main"].url.text;
    assert_eq!(url.to_string(), "postgres://u:***@h/n");
    assert_hidden(&format!("{:?}", declaration.databases));
    assert_hidden(&format!("{:?}", declaration.shared));
    let wrong = format!("keyspace = 'a'\n[database.main]\nurl = 'postgre://u:{SECRET}@h/n'\n");
    let report = parse(&wrong, &environment).unwrap_err();
    assert_hidden(&report.to_string());
    assert_hidden(&format!("{report:?}"));
    assert_eq!(report.errors()[0].column(), 7);
}

/// Every check that sees an expanded text, failing: the report says nothing of what it expanded to.
#[test]
fn no_error_shows_what_stood_for_a_secret() {
    let environment = Fixed::default().variable("S", SECRET);
    let head = "keyspace = 'a'\n[database.d]\nurl = 'sqlite:x'\n[namespace.n]\nkey = 'k:{x}'\n";
    let sql =
        |query: &str| format!("{head}ttl = '1s'\nsource.sql = {{ database = 'd', query = \"{query}\" }}\n");
    let http = |url: &str| format!("{head}ttl = '1s'\nsource.http = {{ url = '{url}' }}\n");
    for text in [
        "keyspace = '${S}'".to_owned(),
        "keyspace = 'a'\n[server]\nhttp = '${S}'".into(),
        "keyspace = 'a'\n[server]\nhttp = '0.0.0.0:${S}'\ndata = '${file:/x}'".into(),
        "keyspace = 'a'\n[memory]\nbudget = '${S}'".into(),
        "keyspace = 'a'\n[memory]\nbudget = '1 ${S}'".into(),
        "keyspace = 'a'\n[shared]\nurl = '${S}'".into(),
        "keyspace = 'a'\n[database.d]\nurl = '${S}'".into(),
        "keyspace = 'a'\n[database.d]\nurl = 'postgres://${S}'".into(),
        "keyspace = 'a'\n[database.d]\nurl = 'sqlite:${S}?x'\nfeed = '${S}'".into(),
        "keyspace = 'a'\n[database.d]\nurl = 'mysql://${S}/n'\nfeed = true".into(),
        format!("{head}ttl = '${{S}}'\nmode = '${{S}}'"),
        format!("{head}ttl = '3${{S}}'\nmode = 'store'\ndurability = '${{S}}'"),
        format!("{head}ttl = '1s'\nmode = 'store'\ndurability = 'interval ${{S}}'"),
        format!("{head}ttl = '1s'\nmemory.share = '${{S}}'\ntags = ['${{S}}']\nmode = 'cache'"),
        sql("${S}"),
        sql("select {${S}} from t"),
        sql("select '${S}' from t"),
        sql("select ${S} from t where ${S} in {keys}"),
        sql("select x from t; ${S}"),
        sql("select x from t where ${S} = {keys}"),
        sql("select x from t where (${S}, x) in {keys}"),
        sql("select x from t where x in {keys} and y = '${S}"),
        http("${S}"),
        http("http://h/{${S}}"),
        "keyspace = 'a'\n[database.d]\nurl = 'postgres://u:${S}@h/n'\n[environment.p]\ndb = 1\ndatabase.d.url = 'postgres://v:${S}@h/n'".into(),
        "keyspace = 'a'\n[app.x]\na = '${S}'\nb = '${UNSET}'".into(),
    ] {
        let report = parse(&text, &environment).map(|_| text.clone()).unwrap_err();
        assert_hidden(&report.to_string());
        assert_hidden(&format!("{report:?}"));
    }
}

#[test]
fn what_cannot_be_opened_says_why() {
    let key = secrets::new_key().unwrap();
    let sealed = secrets::encrypt(&key, SECRET).unwrap();
    let reason = |environment: Fixed, stands_for: &str| {
        let text = format!("keyspace = 'a'\n[shared]\nurl = 'redis://h'\nprefix = '{stands_for}'");
        parse(&text, &environment).unwrap_err().errors()[0].message().to_owned()
    };
    let with_key = |key: &str| Fixed::default().variable("FOREBAY_SECRET_KEY", key);
    let enc = format!("${{enc:{sealed}}}");
    let other = secrets::new_key().unwrap();
    let key_file = Fixed::default().variable("FOREBAY_SECRET_KEY_FILE", "/missing");
    let mut changed = sealed.clone().into_bytes();
    changed[40] = if changed[40] == b'A' { b'B' } else { b'A' };
    let changed = format!("${{enc:{}}}", String::from_utf8(changed).unwrap());
    for (environment, stands_for, error) in [
        (Fixed::default(), "${UNSET}", SecretError::Unset { name: "UNSET".into() }),
        (Fixed::default(), "${}", SecretError::BadName { name: String::new() }),
        (Fixed::default(), "${a b}", SecretError::BadName { name: "a b".into() }),
        (Fixed::default(), "${UNSET", SecretError::Unclosed),
        (Fixed::default(), &enc, SecretError::NoKey),
        (with_key("c2hvcnQ="), &enc, SecretError::BadKey),
        (with_key("?"), &enc, SecretError::BadKey),
        (with_key(&other), &enc, SecretError::DoesNotOpen),
        (with_key(&key), &changed, SecretError::DoesNotOpen),
        (with_key(&key), "${enc:AAAA}", SecretError::Malformed),
        (with_key(&key), "${enc:?}", SecretError::Malformed),
        (Fixed::default(), "${file:/missing}", missing()),
        (key_file, &enc, missing()),
    ] {
        assert_eq!(reason(environment, stands_for), error.to_string(), "{stands_for}");
    }
}

fn missing() -> SecretError {
    SecretError::Unreadable { path: "/missing".into(), reason: "there is no such file".into() }
}

#[test]
fn two_ciphertexts_of_one_text_differ_and_a_key_file_opens_them() {
    let key = secrets::new_key().unwrap();
    let (one, other) = (secrets::encrypt(&key, "x").unwrap(), secrets::encrypt(&key, "x").unwrap());
    assert_ne!(one, other);
    assert_ne!(key, secrets::new_key().unwrap());
    let environment =
        Fixed::default().variable("FOREBAY_SECRET_KEY_FILE", "/key").file("/key", &format!("{key}\n"));
    let text = format!("keyspace = 'a'\n[shared]\nurl = 'redis://h'\nprefix = '$${{${{enc:{one}}}y'");
    let declaration = parse(&text, &environment).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(declaration.shared.unwrap().prefix.expose(), "${xy");
}
