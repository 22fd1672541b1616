use std::path::PathBuf;

use expect_test::expect;
use forebay_server::access::{Digest, Right};
use forebay_server::configuration::{Declaration, Deployment, Report};

use super::environment;

fn declared(file: &str, text: &str) -> Declaration {
    Declaration::parse(file, text, &environment()).unwrap_or_else(|report| panic!("{report}"))
}

fn refused(declarations: &[(&str, &str)]) -> Report {
    let declarations = declarations.iter().map(|(file, text)| declared(file, text)).collect();
    Deployment::assemble(declarations).unwrap_err()
}

#[test]
fn environments_are_keyspaces_with_data_of_their_own() {
    let shop = "keyspace = 'shop'\n[server]\ndata = 'd'\n[database.main]\nurl = 'sqlite:d/main.db'\n\
                [namespace.a]\nkey = 'a:{x}'\nttl = '1s'\nmode = 'cache'\n\
                [environment.preview]\ndb = 3\ndatabase.main.url = 'sqlite:d/preview.db'\n";
    let deployment =
        Deployment::assemble(vec![declared("a", shop), declared("b", "keyspace = 'b'\ndb = 1")]).unwrap();
    let seen: Vec<_> = deployment
        .keyspaces
        .iter()
        .map(|it| (it.name.as_str(), it.db, it.environment.as_deref(), it.data.clone(), it.namespaces.len()))
        .collect();
    let data = PathBuf::from("d");
    assert_eq!(
        seen,
        [
            ("shop", 0, None, data.clone(), 1),
            ("shop-preview", 3, Some("preview"), data.join("environments/preview"), 1),
            ("b", 1, None, data, 0),
        ]
    );
    assert_eq!(deployment.keyspaces[1].databases["main"].url.sqlite_path(), Some("d/preview.db"));
}

#[test]
fn equal_tables_may_stand_in_several_files() {
    let one = "keyspace = 'a'\n[memory]\nbudget = '64 MiB'";
    let other = "keyspace = 'b'\ndb = 1\n[memory]\nbudget = '65536 KiB'";
    let deployment = Deployment::assemble(vec![declared("a", one), declared("b", other)]).unwrap();
    assert_eq!(deployment.memory.budget_bytes, 64 << 20);
    assert_eq!(Deployment::assemble(Vec::new()).unwrap().keyspaces.len(), 0);
}

#[test]
fn contradictions_between_files_show_both() {
    let report = refused(&[
        ("a.toml", "keyspace = 'shop'\n[memory]\nbudget = '64 MiB'\n[app.x]\nspeed = 1"),
        ("b.toml", "keyspace = 'shop'\n[memory]\nbudget = '65 MiB'\n[app.x]\nspeed = 2"),
    ]);
    expect![[r#"
        error: the keyspace `shop` is declared twice
         --> b.toml:1:12
          |
        1 | keyspace = 'shop'
          |            ^^^^^^ the same name
          |
         ::: a.toml:1:12
          |
        1 | keyspace = 'shop'
          |            ------ here
          |
          = help: rename one of them: the name is in its paths

        error: the number 0 is taken by the keyspace `shop`
         --> b.toml:1:12
          |
        1 | keyspace = 'shop'
          |            ^^^^^^ taken
          |
         ::: a.toml:1:12
          |
        1 | keyspace = 'shop'
          |            ------ taken here
          |
          = help: pick another one, like `db = 1`

        error: `[memory]` says something else than in another file
         --> b.toml:2:2
          |
        2 | [memory]
          |  ^^^^^^ another one
          |
         ::: a.toml:2:2
          |
        2 | [memory]
          |  ------ here
          |
          = help: keep `[memory]` in one file; one process has one

        error: `[app.x]` stands in two files
         --> b.toml:4:6
          |
        4 | [app.x]
          |      ^ another one
          |
         ::: a.toml:4:6
          |
        4 | [app.x]
          |      - here
          |
          = help: keep the app's settings in one file
    "#]]
    .assert_eq(&format!("{report}\n"));
}

#[test]
fn budgets_of_their_own_leave_the_others_something() {
    let text = "keyspace = 'a'\n[memory]\nbudget = '10 MiB'\n\
                [namespace.a]\nkey = 'a'\nttl = '1s'\nmode = 'cache'\nmemory.budget = '6 MiB'\n\
                [namespace.b]\nkey = 'b'\nttl = '1s'\nmode = 'cache'\nmemory.share = '50 %'\n";
    let report = refused(&[("a.toml", text)]);
    expect![[r#"
        error: the namespaces' own budgets are together 11 MiB of `[memory] budget`, 10 MiB
          --> a.toml:13:1
           |
        13 | memory.share = '50 %'
           | ^^^^^^ too much
           |
           = help: write less than 10 MiB, or raise `[memory] budget`
    "#]]
    .assert_eq(&format!("{report}\n"));
}

#[test]
fn a_share_is_enough_to_work_with_and_something_is_left_to_share() {
    let namespace = |memory: &str| {
        format!(
            "keyspace = 'a'\n[memory]\nbudget = '4 MiB'\n[namespace.a]\nkey = 'a'\nttl = '1s'\nmode = 'cache'\nmemory.{memory}\n"
        )
    };
    let report = refused(&[("a.toml", &namespace("share = '1 %'"))]);
    expect![[r#"
        error: a share of 1 % of `[memory] budget`, 4 MiB, is 41943 B, which is too small to work with
         --> a.toml:8:1
          |
        8 | memory.share = '1 %'
          | ^^^^^^ too small
          |
          = help: write a share that is at least 64 KiB, or raise `[memory] budget`
    "#]]
    .assert_eq(&format!("{report}\n"));
    let report = refused(&[("a.toml", &namespace("share = '76 %'"))]);
    expect![[r#"
        error: the namespaces' own budgets are together 3187671 B of `[memory] budget`, 4 MiB, and leave the others less than 1 MiB
         --> a.toml:8:1
          |
        8 | memory.share = '76 %'
          | ^^^^^^ too much
          |
          = help: leave at least 1 MiB to share: write less here, or raise `[memory] budget`
    "#]]
    .assert_eq(&format!("{report}\n"));
}

#[test]
fn nobody_else_is_let_in_without_tokens() {
    let open = "keyspace = 'a'\n[server]\nhttp = '0.0.0.0:80'\nresp = '[::]:6380'";
    expect![[r#"
        error: `http` would listen beyond this machine, and there are no tokens
         --> a.toml:3:8
          |
        3 | http = '0.0.0.0:80'
          |        ^^^^^^^^^^^^ not a loopback address
          |
          = help: declare who may come: `forebay token new` makes a token and its lines; or write "127.0.0.1:PORT"

        error: `resp` would listen beyond this machine, and there are no tokens
         --> a.toml:4:8
          |
        4 | resp = '[::]:6380'
          |        ^^^^^^^^^^^ not a loopback address
          |
          = help: declare who may come: `forebay token new` makes a token and its lines; or write "127.0.0.1:PORT""#]].assert_eq(&refused(&[("a.toml", open)]).to_string());
    let token = "keyspace = 'b'\ndb = 1\n[token.reader]\nmay = ['read']\n\
                 hash = 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'";
    let declarations = vec![declared("a.toml", open), declared("b.toml", token)];
    let deployment = Deployment::assemble(declarations).unwrap();
    assert_eq!(deployment.tokens["reader"].may, Right::Read);
    assert!(!deployment.server.http.ip().is_loopback());
}

#[test]
fn tokens_are_one_of_each_and_for_what_is_declared() {
    let token = |name: &str, hash: &str, rest: &str| {
        let hash = Digest::of(hash.as_bytes());
        format!("[token.{name}]\nhash = '{hash}'\nmay = ['read']\n{rest}")
    };
    let one = format!(
        "keyspace = 'shop'\n[namespace.item]\nkey = 'i:{{x}}'\nttl = '1s'\nmode = 'cache'\n{}",
        token("a", "a", "")
    );
    let other = [
        token("a", "b", ""),
        token("b", "a", ""),
        token("c", "c", "keyspace = 'shpo'\n"),
        token("d", "d", "keyspace = 'shop'\nnamespaces = ['item', 'default', 'note']\n"),
        token("e", "e", "namespaces = ['itme']\n"),
    ];
    let other = format!("keyspace = 'other'\ndb = 1\n{}", other.concat());
    expect![[r#"
        error: the token `a` is declared twice
         --> b.toml:3:8
          |
        3 | [token.a]
          |        ^ the same name
          |
         ::: a.toml:6:8
          |
        6 | [token.a]
          |        - here
          |
          = help: rename one of them

        error: the token `b` is the same as `a`, so nobody could tell whose rights it has
         --> b.toml:7:8
          |
        7 | hash = 'sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'
          |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ the same token
          |
         ::: a.toml:7:8
          |
        7 | hash = 'sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'
          |        ------------------------------------------------------------------------- here
          |
          = help: make one of its own for each: `forebay token new`

        error: there is no keyspace `shpo`
          --> b.toml:12:12
           |
        12 | keyspace = 'shpo'
           |            ^^^^^^ not declared
           |
           = help: did you mean `shop`?

        error: there is no namespace `note` in the keyspace `shop`
          --> b.toml:17:34
           |
        17 | namespaces = ['item', 'default', 'note']
           |                                  ^^^^^^ not declared
           |
           = help: write the name of a declared one, or `default`

        error: there is no namespace `itme`
          --> b.toml:21:15
           |
        21 | namespaces = ['itme']
           |               ^^^^^^ not declared
           |
           = help: did you mean `item`?"#]]
    .assert_eq(&refused(&[("a.toml", &one), ("b.toml", &other)]).to_string());
}
