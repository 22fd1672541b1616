//! Declarations and the files of TLS on disk, watched for changes.
//!
//! It guarantees that a change is told once it has been left alone for a moment, whether the file was written in place, replaced by
//! another (as editors do), or lies behind a link that was turned: their folders are watched, and their texts compared. A file that
//! cannot be read just now is looked at again with the next change. What is to follow is the caller's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::Clock;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use crate::Failure;

/// How long a change is left alone before the files are read: who writes one is mostly done by then.
const SETTLES: Duration = Duration::from_millis(200);

/// Files whose texts are watched.
pub(crate) struct Watched {
    files: Vec<PathBuf>,
    /// What they said when they were last looked at; nothing of one that could not be read.
    texts: Vec<Option<Vec<u8>>>,
    /// Told whenever something happens in their folders.
    stirred: Arc<Notify>,
    _watcher: Option<RecommendedWatcher>,
}

impl Watched {
    /// Watches `files` from now on.
    pub(crate) fn new(files: &[PathBuf]) -> Result<Self, Failure> {
        let (files, stirred) = (files.to_vec(), Arc::new(Notify::new()));
        let watcher = if files.is_empty() { None } else { Some(watcher(&files, &stirred)?) };
        let texts = texts(&files);
        Ok(Self { files, texts, stirred, _watcher: watcher })
    }

    /// Watches `files` in place of those before, where they are others.
    pub(crate) fn follow(&mut self, files: &[PathBuf]) -> Result<(), Failure> {
        if self.files != files {
            *self = Self::new(files)?;
        }
        Ok(())
    }

    /// Waits until one of them says something else than when it was last looked at. It may be given up at any point.
    pub(crate) async fn changed(&mut self) {
        loop {
            self.stirred.notified().await;
            Clock::system().sleep(SETTLES).await;
            let texts = texts(&self.files);
            // One that is gone just now is about to be replaced, or is told by whoever reads it next.
            let is_new = |(now, before): (&Option<Vec<u8>>, &Option<Vec<u8>>)| now.is_some() && now != before;
            if texts.iter().zip(&self.texts).any(is_new) {
                self.texts = texts;
                return;
            }
        }
    }
}

fn texts(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| std::fs::read(file).ok()).collect()
}

fn watcher(files: &[PathBuf], stirred: &Arc<Notify>) -> Result<RecommendedWatcher, Failure> {
    let stirs = Arc::clone(stirred);
    let failed = |error: notify::Error| {
        Failure(format!(
            "cannot watch the declarations for changes: {error}; `--no-watch` serves without it, and SIGHUP has them read again"
        ))
    };
    let told = move |event: notify::Result<Event>| {
        // Our own reading is no change. What the system could not tell may be one.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            stirs.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(told).map_err(failed)?;
    let folder = |file: &PathBuf| match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    for folder in files.iter().map(folder).collect::<BTreeSet<_>>() {
        watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(failed)?;
    }
    Ok(watcher)
}
