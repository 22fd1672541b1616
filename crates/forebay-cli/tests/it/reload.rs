//! Declarations that change while they are served: on disk, or at a signal.

use std::path::Path;

use crate::running::{run, start, stderr, stdout};

/// A declaration of namespaces that are kept in memory.
fn declare(names: &[&str]) -> String {
    let namespace = |name: &&str| {
        format!("[namespace.{name}]\nkey = \"{name}:{{id}}\"\nttl = \"1h\"\nmode = \"cache\"\n")
    };
    format!("keyspace = \"shop\"\n{}", names.iter().map(namespace).collect::<String>())
}

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("forebay.toml"), text).unwrap();
}

#[test]
fn a_changed_file_is_taken_over_and_a_bad_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &declare(&["a"]));
    let mut running = start(folder.path(), &["serve", "--config", "forebay.toml"]);
    assert_eq!(running.resp("SET a:1 kept"), "+OK\r\n+OK\r\n");

    write(folder.path(), &declare(&["a", "b"]));
    running.says("Reloaded: added shop/b.");

    // Written by half.
    write(folder.path(), "keyspace = \"shop\"\n[namespace.a]\nkey = \"a:{id");
    let said = running.complains("-->");
    assert!(said.contains("Not reloaded, what was declared before stays in service"), "{said}");
    assert!(said.contains("forebay.toml:3"), "{said}");
    assert_eq!(running.get("a:1").as_deref(), Some("kept"));

    // As editors save: another file is put in its place.
    std::fs::write(folder.path().join("forebay.toml.new"), declare(&["a", "c"])).unwrap();
    std::fs::rename(folder.path().join("forebay.toml.new"), folder.path().join("forebay.toml")).unwrap();
    running.says("Reloaded: added shop/c; removed shop/b.");
    assert_eq!(running.get("a:1").as_deref(), Some("kept"), "what did not change was lost");

    write(folder.path(), &format!("{}[server]\ndata = \"elsewhere\"\n", declare(&["a"])));
    running.complains("`[server] data` cannot change while the process runs");
    running.complains("= help: restart to change it");
    assert_eq!(running.get("a:1").as_deref(), Some("kept"));
    assert_eq!(running.stop().0, Some(0));
}

#[test]
fn a_signal_has_the_files_read_again() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &declare(&["a"]));
    let mut running = start(folder.path(), &["serve", "--no-watch", "--config", "forebay.toml"]);
    running.signal("-HUP");
    running.says("Reloaded: nothing has changed.");
    write(folder.path(), &declare(&["b"]));
    running.signal("-HUP");
    let said = running.says("Reloaded: ");
    assert!(said.contains("Reloaded: added shop/b; removed shop/a."), "{said}");
    assert_eq!(running.stop().0, Some(0));
}

#[test]
fn a_command_has_the_files_read_again_and_tells_what_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &declare(&["a"]));
    let mut running = start(folder.path(), &["serve", "--no-watch", "--config", "forebay.toml"]);
    let address = format!("127.0.0.1:{}", running.resp);
    let reload = |more: &[&str]| run(folder.path(), &[&["reload", "--resp", &address], more].concat());
    assert_eq!(stdout(&reload(&[])), "reloaded: nothing has changed\n");

    write(folder.path(), &declare(&["b"]));
    assert_eq!(
        stdout(&reload(&["--json"])),
        "{\"added\":[\"shop/b\"],\"changed\":[],\"removed\":[\"shop/a\"]}\n"
    );
    running.says("Reloaded: added shop/b; removed shop/a.");

    write(folder.path(), "keyspace = \"shop\"\n[namespace.a]\nkey = \"a:{id");
    let refused = reload(&[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = stderr(&refused);
    assert!(said.contains("what was declared before stays in service"), "{said}");
    assert!(said.contains("--> forebay.toml:3"), "the report has lost its lines: {said}");
    assert_eq!(running.stop().0, Some(0));
}

#[test]
fn links_that_are_turned_and_folders_that_are_moved_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let release = |name: &str, namespaces: &[&str]| {
        std::fs::create_dir_all(root.join(name)).unwrap();
        write(&root.join(name), &declare(namespaces));
    };
    release("releases/1", &["a"]);
    release("releases/2", &["b"]);
    std::os::unix::fs::symlink("releases/1", root.join("now")).unwrap();
    let mut running = start(root, &["serve", "--config", "now/forebay.toml"]);

    std::os::unix::fs::symlink("releases/2", root.join("next")).unwrap();
    std::fs::rename(root.join("next"), root.join("now")).unwrap();
    running.says("Reloaded: added shop/b; removed shop/a.");
    release("releases/2", &["b", "c"]);
    running.says("Reloaded: added shop/c.");

    release("moved/2", &["d"]);
    std::fs::rename(root.join("releases"), root.join("old")).unwrap();
    std::fs::rename(root.join("moved"), root.join("releases")).unwrap();
    running.says("Reloaded: added shop/d; removed shop/b, shop/c.");
    release("releases/2", &["d", "e"]);
    running.says("Reloaded: added shop/e.");
    assert_eq!(running.stop().0, Some(0));
}
