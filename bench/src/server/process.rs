//! Servers that are measured: started on one core, on a free port, with nothing on disk; ended when dropped.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Programs, SERVERS_CORE, program};
use crate::error::Error;
use crate::stores::now;

/// How long a server may take until it accepts connections.
const START: Duration = Duration::from_secs(30);
/// How long a clock tick of `/proc/PID/stat` is, in seconds: `USER_HZ` is 100 on Linux.
const TICK_S: f64 = 0.01;

/// A server that runs.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Where HTTP is served beside RESP.
    pub(crate) http: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

/// What a process has used of a processor, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    pub(super) user_s: f64,
    pub(super) system_s: f64,
}

impl Used {
    pub(super) fn all_s(self) -> f64 {
        self.user_s + self.system_s
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self { user_s: self.user_s - before.user_s, system_s: self.system_s - before.system_s }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended by itself needs no more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The declaration that is served: what is written is held in memory, with a TTL, as in a Redis that keeps nothing on disk.
const DECLARATION: &str = r#"
keyspace = "bench"

[memory]
budget = "2 GiB"

[namespace.entries]
mode = "cache"
key = "key:{number}"
ttl = "1d"

[namespace.hashes]
mode = "cache"
key = "hash:{number}"
ttl = "1d"
"#;

impl Server {
    /// Forebay with [`DECLARATION`].
    pub(super) fn forebay(programs: &Programs) -> Result<Self, Error> {
        Self::declared(programs, DECLARATION)
    }

    /// Forebay with a declaration.
    pub(crate) fn declared(programs: &Programs, declaration: &str) -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("forebay.toml"), declaration)?;
        Self::serving(programs, &["--config", "forebay.toml"], folder)
    }

    /// Forebay with one of its apps, in a folder of its own.
    pub(crate) fn app(programs: &Programs, name: &str) -> Result<Self, Error> {
        Self::serving(programs, &["--app", name], tempfile::tempdir()?)
    }

    fn serving(programs: &Programs, what: &[&str], folder: tempfile::TempDir) -> Result<Self, Error> {
        let path = program(programs.forebay.as_ref(), "--forebay")?;
        let (resp, http) = (free_address()?, free_address()?);
        let mut command = pinned(path, folder.path());
        command.arg("serve").args(what);
        command.args(["--resp", &resp.to_string(), "--http", &http.to_string()]);
        Self::start(command, resp, http, folder)
    }

    /// redis-server that writes nothing to the disk.
    pub(crate) fn redis(programs: &Programs) -> Result<Self, Error> {
        let path = program(programs.redis_server.as_ref(), "--redis-server")?;
        let folder = tempfile::tempdir()?;
        let address = free_address()?;
        let mut command = pinned(path, folder.path());
        command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--databases", "1"]);
        Self::start(command, address, address, folder)
    }

    /// nginx with one worker, which answers `/` from its cache of what `body` a second address of its own gives.
    pub(super) fn nginx(programs: &Programs, body: &str) -> Result<Self, Error> {
        let path = program(programs.nginx.as_ref(), "--nginx")?;
        let folder = tempfile::tempdir()?;
        let (address, origin) = (free_address()?, free_address()?);
        let at = folder.path().display();
        let configuration = format!(
            r#"
daemon off;
master_process off;
worker_processes 1;
pid {at}/pid;
error_log {at}/error.log crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {at}/body;
    proxy_temp_path {at}/proxy;
    fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi;
    scgi_temp_path {at}/scgi;
    proxy_cache_path {at}/cache keys_zone=hits:10m;
    server {{
        listen {address};
        location / {{
            proxy_pass http://{origin};
            proxy_cache hits;
            proxy_cache_valid 200 1h;
            add_header X-Cache $upstream_cache_status;
        }}
    }}
    server {{
        listen {origin};
        default_type application/json;
        location / {{ return 200 '{body}'; }}
    }}
}}
"#
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration)?;
        // Its worker is another user where it is started as root.
        open_to_all(folder.path())?;
        let mut command = pinned(path, folder.path());
        command.arg("-e").arg(folder.path().join("error.log")).arg("-c").arg(&file);
        Self::start(command, address, address, folder)
    }

    fn start(
        mut command: Command,
        address: SocketAddr,
        http: SocketAddr,
        folder: tempfile::TempDir,
    ) -> Result<Self, Error> {
        let said = folder.path().join("said");
        let log = std::fs::File::create(&said)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn()?;
        let mut server = Self { address, http, child, _folder: folder };
        let begun = now();
        while TcpStream::connect(address).and_then(|_| TcpStream::connect(http)).is_err() {
            if let Some(status) = server.child.try_wait()? {
                let said = std::fs::read_to_string(said).unwrap_or_default();
                return Err(Error::Server {
                    problem: format!("{command:?} ended at once, {status}: {said}"),
                });
            }
            if begun.elapsed() > START {
                return Err(Error::Server { problem: format!("{command:?} does not listen on {address}") });
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "nothing tells a program of another when it listens"
            )]
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// What it and the processes that it started have used of a processor since they began.
    pub(super) fn used(&self) -> Result<Used, Error> {
        let mut used = Used::default();
        for process in self.processes()? {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
            // The name stands in brackets and may hold anything; after it come the state and, eleven fields on, the two times.
            let fields: Vec<&str> =
                stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
            let seconds = |at: usize| -> Result<f64, Error> {
                let ticks = fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok());
                let problem = || Error::Server { problem: format!("/proc/{process}/stat tells no times") };
                Ok(ticks.ok_or_else(problem)? * TICK_S)
            };
            used.user_s += seconds(11)?;
            used.system_s += seconds(12)?;
        }
        Ok(used)
    }

    /// Its memory that is not swapped out, in bytes.
    pub(super) fn resident_bytes(&self) -> Result<f64, Error> {
        crate::memory::resident_bytes_of(&self.child.id().to_string())
    }

    fn processes(&self) -> Result<Vec<u32>, Error> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        Ok(std::iter::once(id).chain(children).collect())
    }
}

/// A command on the servers' core that dies with the thread that starts it.
fn pinned(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "-c", SERVERS_CORE]).arg(program).current_dir(folder);
    command
}

fn open_to_all(folder: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777))?;
    Ok(())
}

/// An address of this machine that nobody listens on.
fn free_address() -> Result<SocketAddr, Error> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
