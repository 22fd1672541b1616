//! Pages whose blocks are run: what a `console` block shows is what its commands say.
//!
//! A line that starts with `$ ` is a command; what follows up to the next is its output, in which `…` stands for anything within a line, and
//! a line of `…` alone for any lines.

use std::path::Path;
use std::process::Command;

use crate::Running;

/// A fenced block of a page: the number of its first line, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub line: usize,
    pub text: String,
}

/// The blocks of a page that are `language`.
pub fn blocks(page: &str, language: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in page.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take().filter(|block| block.line > 0)),
            (Some(block), None) => block.text.push_str(&format!("{line}\n")),
            (None, Some(info)) => {
                let line = if info == language { number + 2 } else { 0 };
                open = Some(Block { line, text: String::new() });
            }
            (None, None) => {}
        }
    }
    blocks
}

/// Runs the commands of a `console` block in `folder`, beside what is `running` and with its ports in place of the usual ones: each must say
/// what the block shows, which is at `place`. Programs are looked for beside `binary` first.
pub fn shows(place: &str, block: &Block, running: &Running, binary: &Path, folder: &Path) {
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    for command in block.text.split("$ ").skip(1) {
        let (line, shown) = command.split_once('\n').unwrap();
        let run = line.replace("6380", &running.resp.to_string()).replace("8080", &running.http.to_string());
        let output =
            Command::new("sh").args(["-c", &run]).current_dir(folder).env("PATH", &path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let said = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(
            matches(shown.trim_end(), said.trim_end()),
            "{place}:{}: $ {line}\nthe page shows:\n{shown}\nit says:\n{said}",
            block.line
        );
    }
}

/// Whether `said` is what `shown` allows.
fn matches(shown: &str, said: &str) -> bool {
    let (shown, said): (Vec<&str>, Vec<&str>) = (shown.lines().collect(), said.lines().collect());
    lines_match(&shown, &said)
}

fn lines_match(shown: &[&str], said: &[&str]) -> bool {
    match shown {
        [] => said.is_empty(),
        [first, rest @ ..] if first.trim() == "…" => {
            (0..=said.len()).any(|skip| lines_match(rest, &said[skip..]))
        }
        [first, rest @ ..] => {
            said.first().is_some_and(|line| line_matches(first, line)) && lines_match(rest, &said[1..])
        }
    }
}

fn line_matches(shown: &str, said: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = said.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn shown_output_is_compared() {
        assert!(matches("a…c\n…\nz", "abc\nx\ny\nz"));
        assert!(matches("…", ""));
        assert!(!matches("a…c", "abd"));
        assert!(!matches("a", "a\nb"));
        assert!(!matches("a\nb", "a"));
    }
}
