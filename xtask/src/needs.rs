//! The programs that the chores need: declared once, looked for, and installed where that is allowed.
//!
//! It guarantees that nothing is installed unannounced, that no package starts a service of its own, and that without
//! root's rights it says exactly which packages are missing. Installed packages stay; their services are switched off.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// Which chore needs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// `cargo xtask test`.
    Test,
    /// Benchmarks against peers.
    Bench,
}

/// Programs that come in one package.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// The Debian package.
    pub package: &'static str,
    /// Its programs that are called.
    pub programs: &'static [&'static str],
    /// What for.
    pub purpose: &'static str,
    /// Which chore.
    pub by: For,
    /// The service that the package would start at boot.
    pub service: Option<&'static str>,
    /// What its programs must be able to run (`-c`) to count as found: another package has them without that.
    pub able: Option<&'static str>,
}

/// Everything that is needed.
pub const NEEDS: &[Need] = &[
    need("redis-server", &["redis-server"], "a private Redis", For::Test).with_service("redis-server"),
    need("redis-tools", &["redis-cli"], "a client that is not ours", For::Test),
    need(
        "postgresql",
        &["initdb", "postgres", "pg_basebackup"],
        "a private PostgreSQL and its replica",
        For::Test,
    ),
    need("postgresql-client", &["psql"], "looking into PostgreSQL", For::Test),
    need("gcc", &["cc"], "a library that lets calls to the system fail", For::Test),
    need("curl", &["curl"], "an HTTP client that is not ours", For::Test),
    need("util-linux", &["setpriv", "unshare"], "servers that die with us, disks of a test's own", For::Test),
    need("nodejs", &["node"], "JavaScript clients", For::Test),
    need("npm", &["npm"], "installing JavaScript clients", For::Test),
    need("python3-venv", &["python3"], "Python clients", For::Test).that_can("import ensurepip, venv"),
    need("nginx-light", &["nginx"], "the peer for HTTP hits", For::Bench).with_service("nginx"),
    need("wrk", &["wrk"], "load for HTTP", For::Bench),
];

const fn need(
    package: &'static str,
    programs: &'static [&'static str],
    purpose: &'static str,
    by: For,
) -> Need {
    Need { package, programs, purpose, by, service: None, able: None }
}

/// Folders outside of everybody's `PATH` that Debian puts programs in.
const SYSTEM_FOLDERS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";
const CREATE_CLUSTER: &str = "/etc/postgresql-common/createcluster.conf";
const POLICY: &str = "/usr/sbin/policy-rc.d";

impl Need {
    const fn with_service(self, service: &'static str) -> Self {
        Self { service: Some(service), ..self }
    }

    const fn that_can(self, code: &'static str) -> Self {
        Self { able: Some(code), ..self }
    }

    /// The programs that are not found, or cannot do what they are for.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.programs.iter().copied().filter(|program| self.find(program).is_none()).collect()
    }

    /// Where a program of it is that can do what it is for.
    fn find(&self, program: &str) -> Option<PathBuf> {
        let path = find(program)?;
        let is_able = |code| crate::cargo::output(Command::new(&path).args(["-c", code]), "").is_ok();
        self.able.is_none_or(is_able).then_some(path)
    }
}

/// Where `program` is: in PostgreSQL's own folders (the newest version first), in `PATH`, in the system's folders.
///
/// PostgreSQL's own folders come first, since what Debian puts in `PATH` are wrappers that want a configured cluster.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let in_path: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let folders =
        postgres_folders().into_iter().chain(in_path).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|path| is_program(path))
}

fn postgres_folders() -> Vec<PathBuf> {
    let versions = fs::read_dir(POSTGRES_VERSIONS).into_iter().flatten().flatten();
    let number = |name: &str| name.parse::<u32>().ok();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((number(&entry.file_name().to_string_lossy())?, entry.path().join("bin"))))
        .filter(|(_, folder)| is_program(&folder.join("postgres")))
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, folder)| folder).collect()
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
}

/// Whether this process runs as root.
#[must_use]
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// A table of all needs, found or missing.
#[must_use]
pub fn table() -> String {
    let mut lines = Vec::new();
    for need in NEEDS {
        let by = match need.by {
            For::Test => "test",
            For::Bench => "bench",
        };
        for program in need.programs {
            let place =
                need.find(program).map_or_else(|| "MISSING".to_owned(), |path| path.display().to_string());
            lines.push(format!("{program:<14} {by:<12} {:<18} {place}  ({})", need.package, need.purpose));
        }
    }
    lines.join("\n")
}

/// Finds what `by` needs, or installs it as root on Debian.
///
/// # Errors
/// [`Error::Missing`] with the command to run where it may not install; otherwise when the installation fails.
pub fn provide(by: For) -> Result<(), Error> {
    let missing = missing(by);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> =
        missing.iter().map(|need| need.package).collect::<BTreeSet<_>>().into_iter().collect();
    if !is_root() || find("apt-get").is_none() {
        return Err(tell(&missing, &packages));
    }
    eprintln!("installing {} (they stay installed)", packages.join(" "));
    install(&packages)?;
    for service in missing.iter().filter_map(|need| need.service) {
        // Where nothing is started at boot in that way, there is nothing to switch off.
        let _ = crate::cargo::output(Command::new("update-rc.d").args([service, "disable"]), "");
    }
    let still = self::missing(by);
    if still.is_empty() { Ok(()) } else { Err(tell(&still, &packages)) }
}

fn missing(by: For) -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| need.by == by && !need.missing().is_empty()).collect()
}

fn tell(missing: &[&Need], packages: &[&str]) -> Error {
    let lines = missing.iter().map(|need| {
        format!("\n  {} (package {}: {})", need.missing().join(", "), need.package, need.purpose)
    });
    let mend = format!("sudo apt-get install -y --no-install-recommends {}", packages.join(" "));
    Error::Missing { missing: lines.collect(), mend }
}

fn install(packages: &[&str]) -> Result<(), Error> {
    let _quiet = Quiet::begin(packages)?;
    let index = apt(&["update"]);
    // An index that cannot be refreshed may still know the packages; the installation tells.
    if let Err(error) = index {
        eprintln!("{error}");
    }
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    // The answer about createcluster.conf, which was there before its package.
    arguments.extend(["-o", "Dpkg::Options::=--force-confold"]);
    arguments.extend(packages);
    apt(&arguments)
}

fn apt(arguments: &[&str]) -> Result<(), Error> {
    let mut command = Command::new("apt-get");
    command.args(["-q", "-o", "DPkg::Lock::Timeout=120"]).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    crate::cargo::output(&mut command, "look at what apt-get says, mend it, and try again").map(drop)
}

/// While it lives, installed packages start no service.
struct Quiet {
    policy: bool,
}

impl Quiet {
    fn begin(packages: &[&str]) -> Result<Self, Error> {
        if packages.contains(&"postgresql") && !Path::new(CREATE_CLUSTER).exists() {
            eprintln!("writing {CREATE_CLUSTER}: the package makes no cluster of its own");
            let folder = Path::new(CREATE_CLUSTER).parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(folder).map_err(Error::io("making the folder of createcluster.conf"))?;
            fs::write(CREATE_CLUSTER, "create_main_cluster = false\n")
                .map_err(Error::io("writing createcluster.conf"))?;
        }
        let policy = !Path::new(POLICY).exists();
        if policy {
            fs::write(POLICY, "#!/bin/sh\nexit 101\n").map_err(Error::io(format!("writing {POLICY}")))?;
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(POLICY, mode).map_err(Error::io(format!("writing {POLICY}")))?;
        }
        Ok(Self { policy })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if self.policy {
            // It was ours alone; where it cannot be removed, nothing else can be done about it.
            let _ = fs::remove_file(POLICY);
        }
    }
}
