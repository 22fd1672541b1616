//! How far long work has come: a bar where a person looks, a line now and then where a file does.

use std::collections::HashMap;
use std::io::IsTerminal as _;

use forebay::rt::Mutex;
use forebay_server::app::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{say, say_aside};

/// Shows progress on a terminal as bars, elsewhere as lines.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    bars: Mutex<HashMap<String, ProgressBar>>,
    /// The tenth of the work that was last told, by work.
    told: Mutex<HashMap<String, u64>>,
    /// Whether standard output has results alone, so that lines go to standard error.
    is_aside: bool,
}

impl Progress for Shown {
    fn step(&self, what: &str, done: u64, total: u64) {
        if std::io::stderr().is_terminal() {
            self.bar(what, done, total)
        } else {
            self.line(what, done, total)
        }
    }
}

impl Shown {
    /// Beside results: nothing of it goes to standard output.
    pub(crate) fn aside() -> Self {
        Self { is_aside: true, ..Self::default() }
    }

    fn bar(&self, what: &str, done: u64, total: u64) {
        let mut bars = self.bars.lock();
        let bar = bars.entry(what.to_owned()).or_insert_with(|| {
            let bar = ProgressBar::new(total).with_message(what.to_owned());
            match ProgressStyle::with_template("{msg:30} {bar:40} {pos}/{len}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        bar.set_length(total);
        bar.set_position(done);
        if done >= total {
            bar.finish();
        }
    }

    fn line(&self, what: &str, done: u64, total: u64) {
        let tenth = (done * 10).checked_div(total).unwrap_or(10);
        let mut told = self.told.lock();
        if told.get(what) != Some(&tenth) {
            told.insert(what.to_owned(), tenth);
            let line = format!("{what}: {done} of {total}");
            match self.is_aside {
                true => say_aside(&line),
                // That nobody can read how far the work has come keeps it from nothing.
                false => drop(say(&line)),
            }
        }
    }
}
