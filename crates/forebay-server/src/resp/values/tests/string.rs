//! Strings.

use forebay_wire::resp::Version;

use super::{check, check_both};

#[test]
fn strings_are_written_whole_and_in_parts() {
    check_both(
        r#"
        setnx a 1 => :1
        setnx a 2 => :0
        getset a 3 => 1
        getset none 1 => nil
        getdel none => 1
        getdel none => nil
        mset b 1 c 2 b 3 => +OK
        mget a b c d => [3 3 2 nil]
        msetnx d 1 a 2 => :0
        exists d => :0
        msetnx d 1 e 2 d 3 => :1
        mget d e => [3 2]
        append d 45 => :3
        append new "" => :0
        get new => ""
        strlen new => :0
        setrange gap 3 ab => :5
        get gap => \x00\x00\x00ab
        setrange gap 1 x => :5
        getrange gap 1 -2 => x\x00a
        setrange none 5 "" => :0
        exists none => :0
        setrange gap 536870911 ab => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        setrange gap 9223372036854775807 a => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        setrange gap 536870912 "" => :5
        set t abcdef => +OK
        getrange t 0 0 => a
        getrange t 2 1 => ""
        getrange t -3 -1 => def
        getrange t -1 -3 => ""
        getrange t -100 100 => abcdef
        getrange t 0 -100 => a
        getrange t 6 9 => ""
        substr t -2 9223372036854775807 => ef
        getrange t -9223372036854775808 2 => abc
        getex t => abcdef
        getex none ex x => nil
        getex t ex x => -ERR value is not an integer or out of range
        getex t exat 1 => abcdef
        get t => nil
        "#,
    );
}

#[test]
fn numbers_are_added_to() {
    check_both(
        r#"
        incr n => :1
        incrby n 41 => :42
        decr n => :41
        decrby n -9 => :50
        get n => 50
        set n 9223372036854775807 => +OK
        incr n => -ERR increment or decrement would overflow
        get n => 9223372036854775807
        set n 01 => +OK
        incr n => -ERR value is not an integer or out of range
        set n "" => +OK
        incr n => -ERR value is not an integer or out of range
        incrbyfloat f 0.1 => 0.1
        incrbyfloat f 0.2 => 0.3
        incrbyfloat f -0.3 => 0
        incrbyfloat f x => -ERR value is not a valid float
        incrbyfloat f nan => -ERR value is not a valid float
        incrbyfloat f inf => -ERR increment would produce NaN or Infinity
        set n abc => +OK
        incrbyfloat n 1 => -ERR value is not a valid float
        set n 5e3 => +OK
        incrbyfloat n 1 => 5001
        "#,
    );
}

#[test]
fn other_kinds_are_no_strings() {
    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    for command in [
        "get h",
        "strlen h",
        "getrange h 0 1",
        "append h x",
        "setrange h 0 x",
        "setrange h 0 \"\"",
        "incr h",
        "incrby h 1",
        "incrbyfloat h x",
        "getdel h",
        "getex h ex 0",
        "getset h x",
        "set h x get",
    ] {
        check_both(&format!("hset h f v => :1\n {command} => {WRONG}\n hget h f => v"));
    }
    check_both(
        "hset h f v => :1
         getrange h x 0 => -ERR value is not an integer or out of range
         setrange h -1 x => -ERR offset is out of range
         incrby h x => -ERR value is not an integer or out of range
         mget h => [nil]
         setnx h x => :0
         msetnx h x a 1 => :0
         lcs h a foo => -ERR The specified keys must contain string values
         set h x => +OK
         get h => x",
    );
}

#[test]
fn what_strings_have_in_common() {
    check_both(
        r#"
        mset a ohmytext b mynewtext => +OK
        lcs a b => mytext
        lcs a b len => :6
        lcs a none => ""
        lcs none none len => :0
        lcs a b len idx => -ERR If you want both the length and indexes, please just use IDX.
        lcs a b minmatchlen => -ERR syntax error
        "#,
    );
    let state = "mset a ohmytext b mynewtext => +OK\n";
    check(
        Version::Resp2,
        &format!(
            "{state} lcs a b idx => [matches [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] len :6]
             lcs a b idx minmatchlen 4 withmatchlen => [matches [[[:4 :7] [:5 :8] :4]] len :6]
             lcs a none idx => [matches [] len :0]"
        ),
    );
    check(
        Version::Resp3,
        &format!("{state} lcs a b idx => {{matches:[[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] len::6}}"),
    );
}
