//! The socket that tests ask for services.
//!
//! One thread owns the servers and answers one question at a time, since the first who asks for a server starts it and all
//! others want the same one. It ends, with its servers, when the [`Host`] is dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::Services;
use crate::Error;

/// Longest question, in bytes.
const QUESTION_BYTES: u64 = 64;

/// How long who connected may take to ask.
const ASK: Duration = Duration::from_secs(10);

/// Answers tests until it is dropped.
#[derive(Debug)]
pub struct Host {
    path: PathBuf,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Listens in `folder`; servers will live there too. None is started yet.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("ask");
        let listener =
            UnixListener::bind(&path).map_err(Error::io(format!("listening on {}", path.display())))?;
        let over = Arc::new(AtomicBool::new(false));
        let (until, folder) = (Arc::clone(&over), folder.to_path_buf());
        let thread = Builder::new().name("services".to_owned()).spawn(move || {
            let mut services = Services::new(&folder);
            for stream in listener.incoming() {
                if until.load(Ordering::Acquire) {
                    break;
                }
                // Who hangs up before the answer has lost interest.
                let _ = stream.and_then(|stream| answer(stream, &mut services));
            }
        });
        Ok(Self { path, over, thread: Some(thread.map_err(Error::io("starting a thread"))?) })
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Wakes the thread; where nobody listens, it has ended already.
        let _ = UnixStream::connect(&self.path);
        if let Some(thread) = self.thread.take() {
            // Servers of a thread that panicked died with it.
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: UnixStream, services: &mut Services) -> std::io::Result<()> {
    stream.set_read_timeout(Some(ASK))?;
    stream.set_write_timeout(Some(ASK))?;
    let mut question = String::new();
    BufReader::new(Read::by_ref(&mut stream).take(QUESTION_BYTES)).read_line(&mut question)?;
    let answer = match services.url(question.trim()) {
        Ok(url) => format!("ok {url}\n"),
        Err(error) => format!("error {}\n", error.to_string().replace('\n', " | ")),
    };
    stream.write_all(answer.as_bytes())
}
