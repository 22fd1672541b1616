//! Clients that are not ours: installed once, from their registries, and named where these are out of reach.

use std::fs;
use std::process::Command;

use xtask::clients::{ALL, Language, provide, script};

#[test]
fn what_is_installed_is_there_for_all() {
    for language in ALL {
        let folder = provide(language).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(provide(language).unwrap(), folder);
        let package = match language {
            Language::Python => "bin/python",
            Language::JavaScript => "node_modules/ioredis/package.json",
        };
        assert!(folder.join(package).exists(), "{}", folder.display());
    }
    let missing = script(Language::Python, "no_such_script.py").unwrap().output().unwrap();
    assert!(!missing.status.success(), "it is run by the client's own interpreter");
}

#[test]
fn a_registry_that_cannot_be_reached_is_named() {
    let cache = tempfile::tempdir().unwrap();
    let mut chore = Command::new(env!("CARGO_BIN_EXE_xtask"));
    chore.args(["needs", "--test"]).env("XDG_CACHE_HOME", cache.path());
    // Nobody listens there.
    chore.env("PIP_INDEX_URL", "http://127.0.0.1:1/simple").env("PIP_RETRIES", "0");
    chore.env_remove("PIP_FIND_LINKS").env("PIP_CONFIG_FILE", "/dev/null");
    let said = chore.output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.status.success(), "{text}");
    for part in ["redis-py comes from PyPI", "requirements.txt", "try again"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let clients = cache.path().join("forebay/clients");
    assert_eq!(fs::read_dir(clients).unwrap().count(), 0, "nothing half installed is left");
}
