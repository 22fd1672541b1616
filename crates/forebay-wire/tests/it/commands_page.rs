//! `docs/commands.md` is made from the command table: `UPDATE_EXPECT=1` writes it anew.

use std::fmt::Write as _;

use expect_test::expect_file;
use forebay_wire::resp::{self, CommandSpec, Group};

const HEAD: &str = "\
# RESP commands

Clients of Redis speak to Forebay in RESP2 or, after `HELLO 3`, in RESP3. These are the commands they can use, from
the table that the server itself works with. What a command does to a key depends on the key's namespace: a read of a
cache with a source loads what is missing, a write goes where the namespace says.

*Needs* is what a client's [token](features/access.md) must allow: `connection` is given to everyone let in, `read`, `write`
and `invalidate` are for the keys named, or all where none is, `observe` is for the workings of the server or of the key
named, `subscribe` and `publish` are for channels, and `operate` is an operator's. *Since* is the Redis version whose
behaviour is followed; for `FB.` commands it is Forebay's own.

This page is generated; change the table instead.
";

fn rows(page: &mut String, spec: &CommandSpec) {
    let name = spec.name.replace('|', " ");
    let usage = format!("{name} {}", spec.arguments).trim_end().replace('|', "\\|");
    let needs = spec.access.word();
    writeln!(page, "| `{usage}` | {} | {} | {needs} | {} |", spec.summary, spec.complexity, spec.since)
        .unwrap();
    for sub in spec.subcommands {
        rows(page, sub);
    }
}

#[test]
fn the_page_is_what_the_table_says() {
    let mut page = HEAD.to_owned();
    for group in Group::ALL {
        let mut title = group.word().to_owned();
        title[..1].make_ascii_uppercase();
        writeln!(
            page,
            "\n## {title}\n\n| command | what it does | cost | needs | since |\n|---|---|---|---|---|"
        )
        .unwrap();
        resp::commands().filter(|spec| spec.group == group).for_each(|spec| rows(&mut page, spec));
    }
    expect_file!["../../../../docs/commands.md"].assert_eq(&page);
}
