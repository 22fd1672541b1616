use std::fs;

use expect_test::expect_file;
use forebay_server::configuration::{Declaration, Style};

use super::{SECRET, environment, folder, parse};

/// Each `bad/NAME.toml` is refused with exactly the report in `bad/NAME.txt`.
#[test]
fn bad_declarations_are_refused_with_the_mend() {
    let mut names: Vec<_> = fs::read_dir(folder().join("bad"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 40, "{} declarations", names.len());
    for path in names {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.file_name().unwrap().to_str().unwrap();
        let report = match Declaration::parse(file, &text, &environment()) {
            Ok(_) => panic!("{file} was accepted"),
            Err(report) => report,
        };
        let shown = report.to_string();
        assert!(!shown.contains(SECRET), "{file} shows a secret: {shown}");
        assert!(!format!("{report:?}").contains(SECRET), "{file}");
        for error in report.errors() {
            assert!(!error.message().is_empty() && !error.mend().is_empty(), "{file}");
            assert!(
                shown.contains(&format!("{file}:{}:{}", error.line(), error.column())),
                "{file}: {shown}"
            );
        }
        expect_file![path.with_extension("txt")].assert_eq(&format!("{shown}\n"));
    }
}

#[test]
fn colour_is_an_option() {
    let report = parse("keyspace = 1").unwrap_err();
    assert!(!report.render(Style::Plain).contains('\u{1b}'));
    assert!(report.render(Style::Colour).contains('\u{1b}'));
}

#[test]
fn every_error_is_reported_at_once() {
    let text =
        "keyspace = 'a b'\ntypo = 1\n[namespace.a]\nkey = 'a:{x'\nttl = 3\n[namespace.b]\nmode = 'cache'\n";
    let report = parse(text).unwrap_err();
    let lines: Vec<_> = report.errors().iter().map(|error| (error.line(), error.column())).collect();
    assert_eq!(lines, [(1, 12), (2, 1), (3, 12), (4, 10), (5, 7), (6, 12), (6, 12)], "{report}");
}

#[test]
fn a_report_shows_a_hundred_errors_and_counts_the_rest() {
    let report = |errors: usize| {
        let lines: String = (0..errors).map(|number| format!("unknown{number} = 1\n")).collect();
        parse(&format!("keyspace = 'shop'\n{lines}")).unwrap_err()
    };
    assert!(!report(100).to_string().contains("more error"));
    assert!(report(101).to_string().ends_with("\n\nand 1 more error: mend these first"));
    let long = report(250);
    assert_eq!((long.errors().len(), long.to_string().matches("unknown99 = 1").count()), (250, 1));
    assert!(
        long.to_string().ends_with("\n\nand 150 more errors: mend these first")
            && !long.to_string().contains("unknown100")
    );
}
