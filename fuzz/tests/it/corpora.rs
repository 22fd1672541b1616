//! Every target beside its corpus.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use forebay_fuzz::hunt::{Hunt, Unwatched, Watch};
use forebay_fuzz::{Target, corpus, targets};
use forebay_wire::resp::{Request, commands, resolve};

/// The largest file of a corpus, in bytes.
const FILE_BYTES_MAX: usize = 300_000;

fn hunt(target: &Target, seed: u64) -> Hunt<'_> {
    let inputs = corpus::of(target.name).unwrap_or_else(|error| panic!("{error}"));
    Hunt::begin(target, inputs, seed, Box::new(Unwatched)).unwrap_or_else(|fault| panic!("{fault}"))
}

/// Replays the corpus of the target `name`, and tries as many inputs made of it.
fn attack(name: &str, made: u32) {
    let target = targets::find(name).unwrap();
    let mut hunt = hunt(target, 20_261_121);
    let ended = hunt.replay().and_then(|()| (0..made).try_for_each(|_| hunt.step()));
    if let Err(found) = ended {
        panic!("{name}: {}\nthe line for its corpus:\n{}", found.fault, corpus::line(&found.input));
    }
    assert!(hunt.seen() > 3, "{name}: too little was seen to happen: {}", hunt.seen());
}

#[test]
fn requests_of_resp() {
    attack("resp_request", 3_000);
}

#[test]
fn replies_of_resp() {
    attack("resp_reply", 3_000);
}

#[test]
fn commands_of_resp() {
    attack("command", 5_000);
}

#[test]
fn globs() {
    attack("glob", 5_000);
}

#[test]
fn requests_of_http() {
    attack("http_request", 100);
}

#[test]
fn paths_of_http() {
    attack("http_path", 200);
}

#[test]
fn bodies_of_http() {
    attack("http_body", 200);
}

#[test]
fn declarations() {
    attack("declaration", 500);
}

#[test]
fn segments_of_journals() {
    attack("journal", 3_000);
}

#[test]
fn records_on_disk() {
    attack("records", 5_000);
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let names: BTreeSet<String> = targets::ALL.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names.len(), targets::ALL.len(), "two targets have one name");
    let files = std::fs::read_dir(corpus::folder()).unwrap().map(|file| file.unwrap().file_name());
    let files: BTreeSet<String> =
        files.map(|file| file.to_str().unwrap().strip_suffix(".txt").unwrap().to_owned()).collect();
    assert_eq!(names, files);
}

#[test]
fn a_corpus_is_written_in_one_way_and_small() {
    for target in targets::ALL {
        let text = std::fs::read_to_string(corpus::folder().join(format!("{}.txt", target.name))).unwrap();
        assert!(text.len() <= FILE_BYTES_MAX, "{}: {} bytes", target.name, text.len());
        let written = text.lines().filter(|line| !line.starts_with("# ") && !line.is_empty());
        let inputs = corpus::of(target.name).unwrap();
        assert!(inputs.len() >= 20, "{}: {} inputs", target.name, inputs.len());
        for (line, input) in written.zip(&inputs) {
            assert_eq!(line, corpus::line(input), "{}", target.name);
        }
        let once: BTreeSet<&Vec<u8>> = inputs.iter().collect();
        assert_eq!(once.len(), inputs.len(), "{}: an input stands twice", target.name);
    }
}

#[test]
fn what_is_no_line_of_a_corpus_is_told_with_its_place() {
    let read = corpus::read("# a remark\n\na\\x00\\n\\\\\\'\\\"\\t\\r\n#b\n").unwrap();
    assert_eq!(read, [b"a\0\n\\'\"\t\r".to_vec(), b"#b".to_vec()]);
    for (text, line) in [("a\n\\x0", 2), ("\\xzz", 1), ("\\q", 1), ("a\\", 1)] {
        assert_eq!(corpus::read(text).unwrap_err().line, line, "{text}");
    }
    for input in [&b"# a"[..], b"#", b"#a", b" "] {
        assert_eq!(corpus::read(&corpus::line(input)).unwrap(), [input]);
    }
}

#[test]
fn every_command_of_the_table_is_attacked() {
    let inputs = corpus::of("command").unwrap();
    let found = inputs.iter().filter_map(|input| {
        let request = Request::from_args(input.split(|byte| *byte == b' '))?;
        resolve(&request).ok().map(|spec| spec.name)
    });
    let found: BTreeSet<&str> = found.collect();
    // A name that holds others is none of its own.
    let missing = commands().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands));
    let missing = missing.filter(|spec| spec.subcommands.is_empty());
    let missing: Vec<_> = missing.map(|spec| spec.name).filter(|name| !found.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "add a line for each to fuzz/corpus/command.txt");
}

/// Remembers what was tried.
struct Told(Rc<RefCell<Vec<Vec<u8>>>>);

impl Watch for Told {
    fn tried(&mut self, input: &[u8]) {
        self.0.borrow_mut().push(input.to_vec());
    }
}

#[test]
fn a_seed_makes_the_same_inputs_again() {
    let target = targets::find("glob").unwrap();
    let made = |seed| {
        let told = Rc::new(RefCell::new(Vec::new()));
        let inputs = corpus::of(target.name).unwrap();
        let mut hunt = Hunt::begin(target, inputs, seed, Box::new(Told(Rc::clone(&told)))).unwrap();
        (0..200).for_each(|_| hunt.step().unwrap());
        told.take()
    };
    assert_eq!(made(7), made(7));
    assert_ne!(made(7), made(8));
}
