//! Hashes.

use forebay_wire::resp::Version;

use super::{check, check_both};

#[test]
fn fields_are_written_and_read() {
    check_both(
        r#"
        hset h a 1 => :1
        hset h a 2 b 3 b 4 => :1
        hget h a => 2
        hget h c => nil
        hget none a => nil
        hmget h b c a b => [4 nil 2 4]
        hmget none a b => [nil nil]
        hlen h => :2
        hlen none => :0
        hexists h a => :1
        hexists h c => :0
        hexists none a => :0
        hstrlen h a => :1
        hstrlen h c => :0
        hstrlen none c => :0
        hmset h c 5 => +OK
        hmset h c => -ERR wrong number of arguments for 'hmset' command
        hset h a 1 b => -ERR wrong number of arguments for 'hset' command
        hsetnx h a 9 => :0
        hsetnx h d "" => :1
        hget h d => ""
        hdel h a a c x => :2
        hdel h x => :0
        hdel none a => :0
        hdel h d => :1
        hkeys h => [b]
        hvals h => [4]
        hdel h b => :1
        type h => +none
        hkeys h => []
        hvals h => []
        "#,
    );
    check(Version::Resp2, "hset h a 1 => :1\n hgetall h => [a 1]\n hgetall none => []");
    check(Version::Resp3, "hset h a 1 => :1\n hgetall h => {a:1}\n hgetall none => {}");
}

#[test]
fn numbers_of_fields_are_added_to() {
    check_both(
        r#"
        hincrby h a 5 => :5
        hincrby h a -7 => :-2
        hget h a => -2
        hset h text x float 1.5 max 9223372036854775807 inf inf zero 01 => :5
        hincrby h text 1 => -ERR hash value is not an integer
        hincrby h float 1 => -ERR hash value is not an integer
        hincrby h zero 1 => -ERR hash value is not an integer
        hincrby h max 1 => -ERR increment or decrement would overflow
        hincrby h a x => -ERR value is not an integer or out of range
        hincrby h a 1.5 => -ERR value is not an integer or out of range
        hincrbyfloat h float 3.0e3 => 3001.5
        hincrbyfloat h float -0x10 => 2985.5
        hincrbyfloat h new .5 => 0.5
        hincrbyfloat h a 2 => 0
        hincrbyfloat h text 1 => -ERR hash value is not a float
        hincrbyfloat h inf 1 => -ERR increment would produce NaN or Infinity
        hincrbyfloat h a inf => -ERR value is NaN or Infinity
        hincrbyfloat h a nan => -ERR value is not a valid float
        hincrbyfloat h a "" => -ERR value is not a valid float
        hincrbyfloat h a " 1" => -ERR value is not a valid float
        "#,
    );
}

#[test]
fn another_kind_is_refused_after_the_words() {
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let calls = [
        "hget s a",
        "hmget s a",
        "hgetall s",
        "hkeys s",
        "hvals s",
        "hlen s",
        "hexists s a",
        "hstrlen s a",
        "hset s a 1",
        "hmset s a 1",
        "hsetnx s a 1",
        "hdel s a",
        "hincrby s a 1",
        "hincrbyfloat s a 1",
        "hrandfield s",
        "hrandfield s 1",
        "hscan s 0",
        "hscan s 0 foo",
    ];
    let refused: String = calls.iter().map(|call| format!("{call} => {wrong}\n")).collect();
    check_both(&format!(
        "set s x => +OK\n{refused}
        hincrby s a x => -ERR value is not an integer or out of range
        hincrbyfloat s a x => -ERR value is not a valid float
        hrandfield s x => -ERR value is not an integer or out of range
        hrandfield s 1 foo => -ERR syntax error
        hscan s x => -ERR invalid cursor
        get s => x"
    ));
}

#[test]
fn fields_are_drawn_by_chance() {
    check_both(
        r#"
        hset h a 1 => :1
        hrandfield h => a
        hrandfield h 5 => [a]
        hrandfield h -3 => [a a a]
        hrandfield h 0 => []
        hrandfield none => nil
        hrandfield none 3 => []
        hrandfield none 3 withvalues => []
        hrandfield h 1 foo => -ERR syntax error
        hrandfield h 1 withvalues foo => -ERR syntax error
        hrandfield h 1.5 => -ERR value is not an integer or out of range
        hrandfield h 9223372036854775807 => [a]
        hrandfield h 9223372036854775807 withvalues => -ERR value is out of range
        hrandfield h -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        "#,
    );
    check(Version::Resp2, "hset h a 1 => :1\n hrandfield h -2 withvalues => [a 1 a 1]");
    check(Version::Resp3, "hset h a 1 => :1\n hrandfield h -2 WITHVALUES => [[a 1] [a 1]]");
}

#[test]
fn fields_are_scanned() {
    check_both(
        r#"
        hset h field 1 => :1
        hscan h 0 => [0 [field 1]]
        hscan h 0 match f* count 1 => [0 [field 1]]
        hscan h 0 match x* => [0 []]
        hscan h "" => [0 [field 1]]
        hscan h +0 => [0 [field 1]]
        hscan h -0 => [0 [field 1]]
        hscan none 0 => [0 []]
        hscan none 0 foo => [0 []]
        hscan none x => -ERR invalid cursor
        hscan h " 0" => -ERR invalid cursor
        hscan h +-0 => -ERR invalid cursor
        hscan h 18446744073709551616 => -ERR invalid cursor
        hscan h 0 foo => -ERR syntax error
        hscan h 0 match => -ERR syntax error
        hscan h 0 type hash => -ERR syntax error
        hscan h 0 count 0 => -ERR syntax error
        hscan h 0 count x => -ERR value is not an integer or out of range
        hscan h 0 count -1 foo => -ERR syntax error
        "#,
    );
}
