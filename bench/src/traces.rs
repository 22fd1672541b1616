//! Access traces: zstd-compressed text files, one request per line.
//!
//! A line is a key by itself, or `TIMESTAMP KEY SIZE`. Keys become numbers in the order of their first use, so that every
//! cache is given the same cheap key.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use ruzstd::decoding::StreamingDecoder;

use crate::error::Error;

/// The traces that come with this crate.
pub(crate) const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/traces");
const ENDING: &str = ".txt.zst";

/// One trace.
pub(crate) struct Trace {
    /// The name of its file, without the ending.
    pub(crate) name: String,
    /// What was asked for, in order: numbers from 0 up, dense.
    pub(crate) requests: Vec<u32>,
    /// How many different keys were asked for.
    pub(crate) distinct: u32,
}

/// Every trace of `folder`, in the order of their names; of each the first `limit` requests.
///
/// # Errors
/// When the folder has none, or one cannot be read.
pub(crate) fn read(folder: &Path, limit: usize) -> Result<Vec<Trace>, Error> {
    let fail = |problem: String| Error::Trace { path: folder.to_path_buf(), problem };
    let mut paths: Vec<_> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(|error| fail(error.to_string()))?;
    paths.sort();
    let traces: Vec<Trace> = paths
        .iter()
        .filter_map(|path| Some((path, path.file_name()?.to_str()?.strip_suffix(ENDING)?)))
        .map(|(path, name)| read_one(path, name, limit))
        .collect::<Result<_, _>>()?;
    if traces.is_empty() { Err(fail(format!("no file there ends in {ENDING}"))) } else { Ok(traces) }
}

fn read_one(path: &Path, name: &str, limit: usize) -> Result<Trace, Error> {
    let fail = |problem: String| Error::Trace { path: path.to_path_buf(), problem };
    let file = File::open(path).map_err(|error| fail(error.to_string()))?;
    let mut decoder = StreamingDecoder::new(BufReader::new(file)).map_err(|error| fail(error.to_string()))?;
    let mut text = String::new();
    decoder.read_to_string(&mut text).map_err(|error| fail(error.to_string()))?;
    let (requests, distinct) = numbered(text.lines().take(limit).map(key));
    Ok(Trace { name: name.to_owned(), requests, distinct })
}

/// The key of a line.
fn key(line: &str) -> &str {
    line.split(' ').nth(1).unwrap_or(line)
}

/// Keys as numbers in the order of their first use, and how many there are.
fn numbered<'t>(keys: impl Iterator<Item = &'t str>) -> (Vec<u32>, u32) {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut next = 0;
    let requests = keys
        .map(|key| {
            *numbers.entry(key).or_insert_with(|| {
                next += 1;
                next - 1
            })
        })
        .collect();
    (requests, next)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{OWN, key, numbered, read};

    #[test]
    fn both_forms_of_a_line_give_the_key() {
        assert_eq!((key("/a/b"), key("17 /a/b 512")), ("/a/b", "/a/b"));
    }

    #[test]
    fn keys_are_numbered_by_first_use() {
        assert_eq!(numbered(["b", "a", "b", "c"].into_iter()), (vec![0, 1, 0, 2], 3));
    }

    #[test]
    fn the_committed_traces_are_what_their_page_says() {
        let page = include_str!("../traces/README.md");
        let traces = read(Path::new(OWN), usize::MAX).unwrap();
        for trace in &traces {
            let row = page.lines().find(|line| line.contains(&format!("`{}.txt.zst`", trace.name)));
            let row = row.unwrap_or_else(|| panic!("{} has no row", trace.name)).replace(',', "");
            let figures = format!("| {} | {} |", trace.requests.len(), trace.distinct);
            assert!(row.contains(&figures), "{}: {figures} is not in {row}", trace.name);
        }
        assert_eq!(traces.len(), 4);
    }

    #[test]
    fn a_folder_without_traces_is_told() {
        let error = read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), 1).err().unwrap();
        assert!(error.to_string().contains("ends in .txt.zst"), "{error}");
    }
}
