//! A process of the test's own that serves: started, listened to, ended.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// The longest that anything local may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a tester's environment may hold that a `forebay` would heed.
const HEEDED: [&str; 4] = ["FOREBAY_LOG", "FOREBAY_SECRET_KEY", "FOREBAY_SECRET_KEY_FILE", "FOREBAY_TOKEN"];

/// A command that works in `folder`, without anything of the tester's environment that it would heed.
pub fn command(binary: &str, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(folder).stdin(Stdio::null());
    for name in HEEDED {
        command.env_remove(name);
    }
    command
}

/// A process that serves on ports of its own.
pub struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    /// The lines of its standard error, which are read as they come, so that it never waits for that.
    aside: Receiver<String>,
    /// Everything it printed until its ports were open.
    pub said: String,
    pub resp: u16,
    pub http: u16,
}

impl Running {
    /// Starts a `forebay` that is to serve, on free ports, and waits until it says that they are open.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .args(["--http", "127.0.0.1:0", "--resp", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (tell, aside) = channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        // It ends with the process.
        std::thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut said = String::new();
        while !said.contains("Ctrl-C ends it.") {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "it ended before it served; it said:\n{said}");
            said.push_str(&line);
        }
        let (resp, http) = (port(&said, "RESP "), port(&said, "HTTP "));
        Self { child, out, aside, said, resp, http }
    }

    /// What one HTTP request is answered: head and body.
    pub fn http(&self, request_line: &str, headers: &str) -> (String, String) {
        let request =
            format!("{request_line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        let reply = self.exchange(self.http, request.as_bytes());
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    }

    /// What one RESP command is answered, as it lies on the wire.
    pub fn resp(&self, command: &str) -> String {
        self.exchange(self.resp, format!("{command}\r\nQUIT\r\n").as_bytes())
    }

    /// The value of a RESP `GET`.
    pub fn get(&self, key: &str) -> Option<String> {
        let reply = self.resp(&format!("GET {key}"));
        let mut lines = reply.split("\r\n");
        let head = lines.next().unwrap();
        (head != "$-1").then(|| lines.next().unwrap().to_owned())
    }

    fn exchange(&self, port: u16, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request).unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        String::from_utf8(reply).unwrap()
    }

    /// What it prints from here on, up to the line that has `text`.
    pub fn says(&mut self, text: &str) -> String {
        let mut said = String::new();
        loop {
            let from = said.len();
            assert!(self.out.read_line(&mut said).unwrap() > 0, "it ended; it said:\n{said}");
            if said[from..].contains(text) {
                return said;
            }
        }
    }

    /// What it prints on standard error from here on, up to the line that has `text`.
    pub fn complains(&mut self, text: &str) -> String {
        let mut said = String::new();
        loop {
            let line = self.aside.recv().unwrap_or_else(|_| panic!("it ended; it complained:\n{said}"));
            said.push_str(&line);
            said.push('\n');
            if line.contains(text) {
                return said;
            }
        }
    }

    /// Waits for its end: its exit code.
    pub fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Sends it a signal, such as `-HUP`.
    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Ends it at once, as the system does when memory runs out.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as a service manager does, and waits: its exit code, and what it printed to the end.
    pub fn stop(mut self) -> (Option<i32>, String) {
        self.signal("-TERM");
        let code = self.child.wait().unwrap().code();
        self.out.read_to_string(&mut self.said).unwrap();
        (code, std::mem::take(&mut self.said))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn port(said: &str, label: &str) -> u16 {
    let line = said.lines().find(|line| line.starts_with(label)).unwrap();
    line.rsplit(':').next().unwrap().trim().parse().unwrap()
}
