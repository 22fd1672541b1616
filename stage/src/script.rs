//! Scripts in other languages, which test what is served with clients of theirs.

use std::process::{Command, Output};

/// What a script of tests came to.
#[derive(Debug)]
pub struct Scripted {
    pub succeeded: bool,
    /// All that it has said.
    pub said: String,
}

/// Runs a command with these variables, beside what the test does.
pub async fn scripted<C>(command: C, variables: &[(&'static str, String)]) -> Scripted
where
    C: FnOnce() -> Command + Send + 'static,
{
    let variables = variables.to_vec();
    let work = move || command().envs(variables).output().unwrap();
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(work).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    Scripted { succeeded: status.success(), said }
}

impl Scripted {
    /// How many tests it has run, by its own words.
    pub fn ran(&self) -> usize {
        let count = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["Ran", count, ..] | [_, "tests", count] => count.parse().ok(),
                _ => None,
            }
        };
        self.said.lines().find_map(count).unwrap_or(0)
    }

    /// It must have ended well, having run `tests` or more.
    pub fn passed(&self, name: &str, tests: usize) {
        assert!(self.succeeded, "{name}: {}", self.said);
        assert!(self.ran() >= tests, "{name} runs fewer tests than it had: {}", self.said);
    }
}
