//! Clients that are not ours, as their registries have them, and our own, for the tests that run them against the server.
//!
//! Of those that are not ours it guarantees that exactly the files are installed of which a checksum is committed (`crates/forebay-server/tests/clients`), that
//! they land in a folder of their own under the user's cache and nowhere else, and that a folder that is there is whole: it gets its
//! name when the installation has ended. A change of the versions makes another folder. The programs that install are found by
//! [`needs`]; what the clients are to do is the tests' matter.

use std::env;
use std::fs;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, cargo, needs};

/// Where the versions and their checksums are.
const LOCKS: &str = "crates/forebay-server/tests/clients";

/// A language whose clients are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// redis-py, in a virtual environment.
    Python,
    /// ioredis, in a `node_modules`.
    JavaScript,
}

/// The languages, each with clients.
pub const ALL: [Language; 2] = [Language::Python, Language::JavaScript];

impl Language {
    /// The clients as people call them.
    #[must_use]
    pub fn clients(self) -> &'static str {
        match self {
            Self::Python => "redis-py",
            Self::JavaScript => "ioredis",
        }
    }

    /// What says which files, and their checksums.
    fn locks(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["requirements.txt"],
            Self::JavaScript => &["package.json", "package-lock.json"],
        }
    }

    /// Where the files come from.
    fn registry(self) -> &'static str {
        match self {
            Self::Python => "PyPI",
            Self::JavaScript => "npm",
        }
    }

    /// The program that runs scripts.
    fn interpreter(self) -> &'static str {
        match self {
            Self::Python => "python3",
            Self::JavaScript => "node",
        }
    }
}

/// A command that runs `script` (by its path in the repository) with the clients of `language`, which are installed where they are not
/// there yet.
///
/// # Errors
/// When a program is missing, or the registry cannot be reached: the message says what is missing and how to get it.
///
/// ```no_run
/// let path = "crates/forebay-server/tests/clients/redis_py.py";
/// let mut command = xtask::clients::script(xtask::clients::Language::Python, path)?;
/// assert!(command.status().is_ok_and(|status| status.success()));
/// # Ok::<(), xtask::Error>(())
/// ```
pub fn script(language: Language, script: &str) -> Result<Command, Error> {
    let folder = provide(language)?;
    let path = cargo::root().join(script);
    let mut command = match language {
        Language::Python => {
            let mut python = Command::new(folder.join("bin/python"));
            // Neither what the user has installed nor compiled files beside the scripts.
            python.args(["-I", "-B"]);
            python
        }
        Language::JavaScript => {
            let mut node = Command::new(program("node")?);
            node.env("NODE_PATH", folder.join("node_modules"));
            node
        }
    };
    command.arg(path);
    Ok(command)
}

/// A command that runs `script` (by its path in the repository) with nothing but Node: it imports our own client, which depends
/// on nothing.
///
/// # Errors
/// When Node is missing: the message says how to get it.
pub fn own(script: &str) -> Result<Command, Error> {
    let mut node = Command::new(program("node")?);
    node.arg(cargo::root().join(script));
    Ok(node)
}

/// The folder of the clients of `language`, installed where they are not there yet.
///
/// # Errors
/// As for [`script`].
pub fn provide(language: Language) -> Result<PathBuf, Error> {
    let root = cargo::root();
    let cache = cache()?;
    let folder = cache.join(format!("{}-{:016x}", language.clients(), mark(&root, language)?));
    if folder.is_dir() {
        return Ok(folder);
    }
    let making = || Error::io(format!("installing {} in {}", language.clients(), cache.display()));
    fs::create_dir_all(&cache).map_err(making())?;
    let making_of = tempfile::Builder::new().prefix("installing-").tempdir_in(&cache).map_err(making())?;
    eprintln!("installing {} from {} in {}", language.clients(), language.registry(), folder.display());
    install(&root, language, making_of.path())?;
    match fs::rename(making_of.path(), &folder) {
        Ok(()) => {
            // It has another name now.
            let _ = making_of.keep();
            Ok(folder)
        }
        // Somebody else has installed the same meanwhile.
        Err(_) if folder.is_dir() => Ok(folder),
        Err(source) => Err(making()(source)),
    }
}

/// `${XDG_CACHE_HOME:-$HOME/.cache}/forebay/clients`.
fn cache() -> Result<PathBuf, Error> {
    let named = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    base.map(|base| base.join("forebay/clients")).ok_or_else(|| Error::Missing {
        missing: "a folder for the clients that are not ours: neither HOME nor XDG_CACHE_HOME is set"
            .to_owned(),
        mend: "export HOME=/root".to_owned(),
    })
}

/// What the folder of an installation is called by: its files' checksums, and the interpreter that they were installed for.
fn mark(root: &Path, language: Language) -> Result<u64, Error> {
    let mut command = Command::new(program(language.interpreter())?);
    let version = cargo::output(command.arg("--version"), "see what it says")?;
    // A change of this function costs an installation, and no more.
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(version.as_bytes());
    for lock in language.locks() {
        let path = root.join(LOCKS).join(lock);
        hasher.write(&fs::read(&path).map_err(Error::io(format!("reading {}", path.display())))?);
    }
    Ok(hasher.finish())
}

/// Installs what the locks name, and nothing else, in `folder`.
fn install(root: &Path, language: Language, folder: &Path) -> Result<(), Error> {
    let locks = root.join(LOCKS);
    let mend = format!(
        "{} comes from {}: let this machine reach it (or a mirror that its configuration names) and try again; the versions are in \
         {LOCKS}/{}",
        language.clients(),
        language.registry(),
        language.locks().join(" and "),
    );
    match language {
        Language::Python => {
            cargo::output(Command::new(program("python3")?).args(["-m", "venv"]).arg(folder), &mend)?;
            let mut pip = Command::new(folder.join("bin/python"));
            pip.args([
                "-I",
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-cache-dir",
            ]);
            pip.args(["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r"]);
            pip.arg(locks.join("requirements.txt"));
            cargo::output(&mut pip, &mend).map(drop)
        }
        Language::JavaScript => {
            for lock in language.locks() {
                fs::copy(locks.join(lock), folder.join(lock))
                    .map_err(Error::io(format!("copying {lock} to {}", folder.display())))?;
            }
            let cache = folder.join("npm-cache");
            let mut npm = Command::new(program("npm")?);
            npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--cache"]);
            npm.arg(&cache).current_dir(folder);
            cargo::output(&mut npm, &mend)?;
            fs::remove_dir_all(&cache).map_err(Error::io("removing what npm downloaded"))
        }
    }
}

fn program(name: &str) -> Result<PathBuf, Error> {
    needs::find(name).ok_or_else(|| Error::Missing {
        missing: name.to_owned(),
        mend: "cargo xtask needs --test".to_owned(),
    })
}
