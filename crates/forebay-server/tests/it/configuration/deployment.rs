use std::path::PathBuf;

use expect_test::expect;
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
