//! Values of any kind.

use std::time::Duration;

use bytes::Bytes;
use forebay::{Blob, Value};
use forebay_wire::resp::{Expire, ExpireIf, Moment};

use super::check_both;
use crate::resp::time::now;
use crate::resp::values::{Cell, Ends, View, key::ttl_asked};

#[test]
fn values_get_other_keys() {
    check_both(
        r#"
        rename none a => -ERR no such key
        renamenx none a => -ERR no such key
        set a 1 => +OK
        rename a a => +OK
        renamenx a a => :0
        rename a b => +OK
        exists a b => :1
        hset h f v => :1
        renamenx b h => :0
        rename b h => +OK
        type h => +string
        copy h c => :1
        copy h c => :0
        append c 2 => :2
        get h => 1
        copy h c replace => :1
        get c => 1
        copy none c replace => :0
        get c => 1
        touch h c c none => :3
        unlink h h none => :1
        "#,
    );
}

#[test]
fn it_is_told_how_redis_would_hold_values() {
    let long = "x".repeat(45);
    check_both(&format!(
        "mset i -12 e 012 l {} r {long} => +OK
         object encoding i => int
         object encoding e => embstr
         object encoding l => embstr
         object encoding r => raw
         object encoding none => nil
         hset h f v => :1
         object encoding h => listpack
         hset h f {long}{long} => :0
         object encoding h => hashtable
         object refcount i => :1
         object idletime i => :0
         object freq none => nil
         memory usage none => nil",
        "x".repeat(44)
    ));
}

fn asked(at: Moment, condition: ExpireIf) -> Expire {
    Expire { key: Bytes::from_static(b"k"), at, condition }
}

#[test]
fn conditions_compare_with_the_present_end() {
    let ten = Some(Duration::from_secs(10));
    for (condition, none, earlier, later) in [
        (ExpireIf::Always, true, true, true),
        (ExpireIf::Endless, true, false, false),
        (ExpireIf::Ending, false, true, true),
        (ExpireIf::Later, false, false, true),
        (ExpireIf::Earlier, true, true, false),
        (ExpireIf::EndingEarlier, false, true, false),
    ] {
        let has_effect = |ms, left| ttl_asked(&asked(Moment::In(ms), condition), left).is_some();
        let seen = (has_effect(5_000, None), has_effect(9_000, ten), has_effect(11_000, ten));
        assert_eq!(seen, (none, earlier, later), "{condition:?}");
    }
}

#[test]
fn moments_that_have_passed_delete() {
    let ttl = |at| ttl_asked(&asked(at, ExpireIf::Always), None);
    assert_eq!(ttl(Moment::In(-1)), Some(Duration::ZERO));
    assert_eq!(ttl(Moment::In(i64::MIN)), Some(Duration::ZERO));
    assert_eq!(ttl(Moment::At(1)), Some(Duration::ZERO));
    assert_eq!(ttl(Moment::In(5)), Some(Duration::from_millis(5)));
    let soon = i64::try_from(now().as_millis()).unwrap() + 60_000;
    let left = ttl(Moment::At(soon)).unwrap();
    assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(60), "{left:?}");
}

#[test]
fn a_copy_ends_with_its_original() {
    let value = || Some(Value::from(Blob::opaque("x")));
    for (left, ends) in
        [(None, Ends::Never), (Some(Duration::from_secs(9)), Ends::After(Duration::from_secs(9)))]
    {
        let mut view = View::new([
            (Bytes::from_static(b"a"), Cell::new(value(), left)),
            (Bytes::from_static(b"b"), Cell::new(value(), Some(Duration::from_secs(1)))),
        ]);
        view.copy(b"a", b"b").unwrap();
        assert_eq!(view.left(b"b"), left);
        let cells: Vec<_> = view.into_cells().into_iter().map(|(_, cell)| cell.changed()).collect();
        assert!(cells[0].is_none());
        assert_eq!(cells[1].as_ref().unwrap().1, ends);
    }
}
