//! Parsers with a fault each, which the hunt must find: an invariant that cannot fail proves nothing.

use forebay_fuzz::allocation::{Bound, within};
use forebay_fuzz::hunt::{Hunt, Unwatched};
use forebay_fuzz::split::same_however_cut;
use forebay_fuzz::{Fault, Seen, Target};

/// The most inputs that are tried.
const TRIES: u32 = 50_000;

/// What the hunt finds in `target`, from inputs that show nothing.
fn found(begin: fn() -> Result<Box<dyn forebay_fuzz::Attack>, Fault>) -> (Vec<u8>, Fault) {
    let target = Target {
        name: "planted",
        attacks: "a parser with a fault",
        words: &[b"*", b"\r\n"],
        large: &[],
        begin,
    };
    let corpus = vec![b"*1\r\n+OK\r\n".to_vec(), b"+hello\r\n".to_vec()];
    let mut hunt = Hunt::begin(&target, corpus, 3, Box::new(Unwatched)).unwrap();
    hunt.replay().unwrap();
    let found = (0..TRIES).find_map(|_| hunt.step().err()).expect("the fault is found");
    (found.input, found.fault)
}

/// Forgets, at the end of each piece, that a line was begun.
fn forgetful(pieces: &[&[u8]]) -> usize {
    let lines = |piece: &[u8]| piece.windows(2).filter(|window| *window == b"\r\n").count();
    let whole = pieces.concat();
    if whole.starts_with(b"+") { lines(&whole) } else { pieces.iter().map(|piece| lines(piece).min(3)).sum() }
}

#[test]
fn a_decoder_that_differs_by_the_cut() {
    let (input, fault) = found(|| {
        Ok(Box::new(|input: &[u8], _: &mut Seen| {
            // What it does with few lines is right.
            if input.windows(2).filter(|window| *window == b"\r\n").count() < 4 {
                return Ok(());
            }
            same_however_cut(input, forgetful).map(drop)
        }))
    });
    assert!(matches!(fault, Fault::Split { .. }), "{fault}");
    assert!(input.len() <= 12, "it was not made smaller: {}", input.escape_ascii());
}

/// The number behind the star, however large, as room for so many.
fn generous(input: &[u8]) -> usize {
    let digits = input.strip_prefix(b"*").unwrap_or_default();
    let digits: String =
        digits.iter().map(|byte| char::from(*byte)).take_while(char::is_ascii_digit).collect();
    let announced = digits.parse::<usize>().unwrap_or_default().min(1 << 24);
    std::hint::black_box(Vec::<u8>::with_capacity(announced)).capacity()
}

#[test]
fn a_decoder_that_allocates_what_is_announced() {
    let (input, fault) = found(|| {
        Ok(Box::new(|input: &[u8], _: &mut Seen| {
            within(Bound::STRANGERS, input.len(), || generous(input)).map(drop)
        }))
    });
    let Fault::Allocation { allocated_bytes, input_bytes, bound_bytes } = fault else { panic!("{fault}") };
    assert!(allocated_bytes > bound_bytes && bound_bytes == Bound::STRANGERS.of(input_bytes));
    assert!(input.starts_with(b"*") && input.len() <= 8, "{}", input.escape_ascii());
}

#[test]
fn a_decoder_that_panics() {
    let (input, fault) = found(|| {
        Ok(Box::new(|input: &[u8], _: &mut Seen| {
            let first =
                input.iter().position(|byte| *byte == b'\n').and_then(|at| input.get(at + 1).copied());
            within(Bound::STRANGERS, input.len(), || assert_ne!(first, Some(b'*'), "planted"))
        }))
    });
    assert!(matches!(&fault, Fault::Panic(_)), "{fault}");
    assert!(input.len() <= 2, "{}", input.escape_ascii());
    // The counter of allocations has not lost its way.
    within(Bound { factor: 0, base_bytes: 0 }, 0, || ()).unwrap();
    assert!(within(Bound { factor: 0, base_bytes: 8 }, 0, || vec![0_u8; 9].len()).is_err());
}

/// Words one behind the other, of which each alone changes nothing: chance would need millions of inputs for all of them.
const STAIRS: &[u8] = b"\r\n**\r\n*\r\n\r\n**";

#[test]
fn inputs_that_show_something_new_are_changed_further() {
    let (input, fault) = found(|| {
        Ok(Box::new(|input: &[u8], seen: &mut Seen| {
            let right = input.iter().zip(STAIRS).take_while(|(one, other)| one == other).count();
            seen.note(("right", right));
            if right == STAIRS.len() { Err(Fault::Broken("planted".to_owned())) } else { Ok(()) }
        }))
    });
    assert!(matches!(fault, Fault::Broken(_)), "{fault}");
    assert_eq!(input, STAIRS);
}
