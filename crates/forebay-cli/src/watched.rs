//! Declarations and the files of TLS on disk, watched for changes.
//!
//! It guarantees that a change is told once it is whole as far as can be seen: nobody has the file open who writes it, nothing has happened
//! to it for a moment, and two reads of it say the same. That holds whether the file was written in place, replaced by another (as editors
//! do), or is reached by links or through folders that were turned or moved: whatever is on the way to it is watched, and texts are compared.
//! A file that cannot be read just now is looked at again with the next change. What is to follow is the caller's.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use forebay::rt::{Clock, Mutex, Tick};
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use crate::Failure;

/// How long a change is left alone before the files are read.
const SETTLES: Duration = Duration::from_millis(200);
/// The same of a file that somebody has written to and not closed: who pauses in the middle of it goes on within this.
const IS_OPEN: Duration = Duration::from_secs(5);
/// The longest that a change is waited for to settle: in a file that is written over and over each text may be one to serve.
const LATEST: Duration = Duration::from_secs(30);
/// The most links that are followed on the way to one file; as many as Linux follows.
const LINKS_MAX: usize = 40;

/// Files whose texts are watched.
pub(crate) struct Watched {
    files: Vec<PathBuf>,
    /// What they said when they were last looked at; nothing of one that could not be read.
    texts: Vec<Option<Vec<u8>>>,
    stirs: Arc<Stirs>,
    /// Whether something has happened that was not looked at yet: who gives up waiting does not lose it.
    is_stirred: bool,
    watcher: Option<RecommendedWatcher>,
    clock: Clock,
}

impl Watched {
    /// Watches `files` from now on.
    pub(crate) fn new(files: &[PathBuf]) -> Result<Self, Failure> {
        let stirs = Arc::new(Stirs::default());
        let watcher = if files.is_empty() { None } else { Some(watcher(&stirs).map_err(cannot_watch)?) };
        let mut watched = Self {
            files: files.to_vec(),
            texts: Vec::new(),
            stirs,
            is_stirred: false,
            watcher,
            clock: Clock::system(),
        };
        watched.follow().map_err(cannot_watch)?;
        watched.texts = texts(&watched.files);
        Ok(watched)
    }

    /// Watches `files` in place of those before. A change of one that stays is still told.
    pub(crate) fn turn_to(&mut self, files: &[PathBuf]) -> Result<(), Failure> {
        if self.files == files {
            return Ok(());
        }
        if self.watcher.is_none() {
            self.watcher = Some(watcher(&self.stirs).map_err(cannot_watch)?);
        }
        let before = std::mem::replace(&mut self.files, files.to_vec());
        self.follow().map_err(cannot_watch)?;
        let known: BTreeMap<&PathBuf, Option<Vec<u8>>> =
            before.iter().zip(std::mem::take(&mut self.texts)).collect();
        let text = |file| known.get(file).cloned().unwrap_or_else(|| std::fs::read(file).ok());
        self.texts = files.iter().map(text).collect();
        Ok(())
    }

    /// Waits until one of them says something else than when it was last looked at. It may be given up at any point.
    pub(crate) async fn changed(&mut self) {
        loop {
            if !self.is_stirred {
                self.stirs.happened.notified().await;
                self.is_stirred = true;
            }
            let texts = self.settled().await;
            self.is_stirred = false;
            // One that is gone just now is about to be replaced, or is told by whoever reads it next.
            let is_new = |(now, before): (&Option<Vec<u8>>, &Option<Vec<u8>>)| now.is_some() && now != before;
            if texts.iter().zip(&self.texts).any(is_new) {
                self.texts = texts;
                return;
            }
        }
    }

    /// What the files say when nothing has happened to them for a while, and two reads have found the same.
    async fn settled(&mut self) -> Vec<Option<Vec<u8>>> {
        let latest = self.clock.now().after(LATEST);
        let mut before = None;
        loop {
            self.stirs.quiet(&self.clock, latest).await;
            // What cannot be watched now is told by the folders above it when it is back.
            let _ = self.follow();
            let now = texts(&self.files);
            if before.as_ref() == Some(&now) || self.clock.now() >= latest {
                return now;
            }
            before = Some(now);
        }
    }

    /// Watches every folder that is now on the way to a file. Only those of the files themselves must be there.
    fn follow(&mut self) -> notify::Result<()> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        for file in &self.files {
            let file = std::path::absolute(file)?;
            let way = Way::to(&file);
            self.stirs.names.lock().extend(way.names);
            for folder in way.folders {
                let watched = watcher.watch(&folder, RecursiveMode::NonRecursive);
                if file.parent() == Some(&folder) {
                    watched?;
                }
            }
        }
        Ok(())
    }
}

fn texts(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| std::fs::read(file).ok()).collect()
}

/// What has happened on the way to the files, as the system tells it.
#[derive(Debug, Default)]
struct Stirs {
    /// The names of whatever is on the way.
    names: Mutex<BTreeSet<OsString>>,
    /// Whether a file was written to and is not closed yet.
    is_open: Mutex<bool>,
    happened: Notify,
}

impl Stirs {
    fn note(&self, event: notify::Result<Event>) {
        // What the system could not tell may be a change.
        let Ok(event) = event else { return self.happened.notify_one() };
        let names = self.names.lock();
        let is_on_the_way = |path: &PathBuf| path.file_name().is_none_or(|name| names.contains(name));
        if !event.paths.is_empty() && !event.paths.iter().any(is_on_the_way) {
            return;
        }
        drop(names);
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => *self.is_open.lock() = false,
            // Our own reading is no change.
            EventKind::Access(_) => return,
            EventKind::Modify(notify::event::ModifyKind::Data(_)) => *self.is_open.lock() = true,
            _ => {}
        }
        self.happened.notify_one();
    }

    /// Waits until nothing has happened for a while, at most until `latest`.
    async fn quiet(&self, clock: &Clock, latest: Tick) {
        while clock.now() < latest {
            let span = if *self.is_open.lock() { IS_OPEN } else { SETTLES };
            if clock.timeout(span, self.happened.notified()).await.is_err() {
                // Who has not closed it for so long keeps it open, as a log is kept.
                *self.is_open.lock() = false;
                return;
            }
        }
    }
}

fn watcher(stirs: &Arc<Stirs>) -> notify::Result<RecommendedWatcher> {
    let stirs = Arc::clone(stirs);
    notify::recommended_watcher(move |event| stirs.note(event))
}

fn cannot_watch(error: notify::Error) -> Failure {
    let mend = "`--no-watch` serves without it, and SIGHUP has them read again";
    Failure(format!("cannot watch the declarations for changes: {error}; {mend}"))
}

/// What lies on the way from the root to a file, links and what they lead to included.
#[derive(Debug, Default)]
struct Way {
    folders: BTreeSet<PathBuf>,
    names: BTreeSet<OsString>,
}

impl Way {
    /// The way to `file`, which begins at the root.
    fn to(file: &Path) -> Self {
        let mut way = Self::default();
        let mut ahead = vec![file.to_owned()];
        let mut links = 0;
        while let Some(path) = ahead.pop() {
            for step in path.ancestors() {
                let (Some(folder), Some(name)) = (step.parent(), step.file_name()) else { continue };
                way.folders.insert(folder.to_owned());
                way.names.insert(name.to_owned());
                let Ok(target) = std::fs::read_link(step) else { continue };
                links += 1;
                if let (Ok(rest), true) = (path.strip_prefix(step), links <= LINKS_MAX) {
                    let target = folder.join(target);
                    ahead.push(if rest.as_os_str().is_empty() { target } else { target.join(rest) });
                }
            }
        }
        way
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{DataChange, ModifyKind};

    use super::*;

    fn told(kind: EventKind, path: &str) -> notify::Result<Event> {
        Ok(Event::new(kind).add_path(path.into()))
    }

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));

    #[tokio::test]
    async fn who_pauses_in_the_middle_of_a_file_is_waited_for() {
        let (stirs, clock) = (Stirs::default(), Clock::simulated());
        stirs.names.lock().insert("shop.toml".into());
        let latest = clock.now().after(LATEST);
        let mut quiet = Box::pin(stirs.quiet(&clock, latest));
        stirs.note(told(WRITTEN, "/etc/shop.toml"));
        let mut is_quiet = async || {
            tokio::select! {
                biased;
                () = &mut quiet => true,
                () = tokio::task::yield_now() => false,
            }
        };
        assert!(!is_quiet().await);
        clock.advance(SETTLES * 5);
        assert!(!is_quiet().await, "half a file is taken for a whole one");
        stirs.note(told(CLOSED, "/etc/shop.toml"));
        assert!(!is_quiet().await);
        clock.advance(SETTLES / 2);
        // Others in its folder do not hold it up.
        stirs.note(told(WRITTEN, "/etc/journal"));
        assert!(!is_quiet().await);
        clock.advance(SETTLES / 2);
        assert!(is_quiet().await);
    }

    #[test]
    fn the_way_to_a_file_leads_through_links_and_what_they_lead_to() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("releases/1/etc")).unwrap();
        std::fs::create_dir(root.join("served")).unwrap();
        std::os::unix::fs::symlink("releases/1", root.join("now")).unwrap();
        std::os::unix::fs::symlink("../now/etc/shop.toml", root.join("served/shop.toml")).unwrap();
        std::os::unix::fs::symlink("ring", root.join("ring")).unwrap();
        let way = Way::to(&root.join("served/shop.toml"));
        let has = |folder: &str| way.folders.iter().any(|one| one.ends_with(folder));
        assert!(has("served") && has("releases") && has("releases/1/etc"), "{way:?}");
        assert!(
            way.folders.contains(Path::new("/")) && way.names.contains(&OsString::from("now")),
            "{way:?}"
        );
        assert!(Way::to(&root.join("ring")).folders.len() < 100, "it goes round in a ring");
    }
}
