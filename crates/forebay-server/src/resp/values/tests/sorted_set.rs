//! Sorted sets.

use forebay_wire::resp::Version;

use super::{check, check_both};

#[test]
fn members_are_given_scores() {
    check_both(
        r#"
        zadd z 1 a 2 b 3 a => :2
        zcard z => :2
        zcard none => :0
        zadd z nx 9 a 4 c => :1
        zadd z xx ch 5 a 9 d => :1
        zadd z gt ch 4 a 3 b 7 e => :2
        zadd z lt ch 9 a 1 b => :1
        zrange z 0 -1 => [b c a e]
        zadd z ch 1 b => :0
        zadd none xx 1 a => :0
        zadd none xx incr 1 a => nil
        zadd z nx incr 1 a => nil
        zadd z gt incr -1 a => nil
        zadd z gt incr 0 a => nil
        zadd z lt incr -0 a => nil
        type none => +none
        zrem z a a x => :1
        zrem z x => :0
        zrem none x => :0
        zrem z b c e => :3
        type z => +none
        zadd z 1 => -ERR wrong number of arguments for 'zadd' command
        zadd z nx 1 => -ERR syntax error
        zadd z nx xx => -ERR syntax error
        zadd z 1 a 2 => -ERR syntax error
        zadd z nx xx x a => -ERR XX and NX options at the same time are not compatible
        zadd z nx gt x a => -ERR GT, LT, and/or NX options at the same time are not compatible
        zadd z gt lt x a => -ERR GT, LT, and/or NX options at the same time are not compatible
        zadd z incr x a y b => -ERR INCR option supports a single increment-element pair
        zadd z 1 a x b => -ERR value is not a valid float
        zadd z nan a => -ERR value is not a valid float
        zadd z "" a => -ERR value is not a valid float
        zadd z 1e400 a => -ERR value is not a valid float
        zcard z => :0
        zincrby z x a => -ERR value is not a valid float
        zadd z -inf a => :1
        zadd z incr +inf a => -ERR resulting score is not a number (NaN)
        "#,
    );
}

#[test]
fn scores_are_told() {
    check(
        Version::Resp2,
        r#"
        zadd z 0x10 hex 1e3 thousand inf most -0 zero .1 tenth => :5
        zscore z hex => 16
        zscore z most => inf
        zscore z zero => 0
        zscore z tenth => 0.1
        zscore z none => nil
        zscore none a => nil
        zmscore z thousand none => [1000 nil]
        zmscore none a b => [nil nil]
        zincrby z 1.5 hex => 17.5
        zadd z incr 1 new => 1
        "#,
    );
    check(
        Version::Resp3,
        r#"
        zincrby z 1.5 a => ,1.5
        zscore z a => ,1.5
        zmscore z a none => [,1.5 nil]
        "#,
    );
}

#[test]
fn ranks_are_told() {
    check_both(
        r#"
        zadd z 1 a 2 b 2 c => :3
        zrank z a => :0
        zrank z c => :2
        zrevrank z a => :2
        zrank z none => nil
        zrank none a => nil
        zrank z a foo => -ERR syntax error
        zrank z a withscore foo => -ERR wrong number of arguments for 'zrank' command
        "#,
    );
    let table = "zadd z 1 a 2 b => :2\n zrank z b withscore => [:1 2]\n zrevrank z b WITHSCORE => [:0 2]\n";
    check(Version::Resp2, &format!("{table} zrank z none withscore => nil-array"));
    check(Version::Resp3, &format!("{} zrank z none withscore => nil", table.replace(" 2]", " ,2]")));
}

#[test]
fn spans_are_counted() {
    check_both(
        r#"
        zadd z -inf a 1 b 2 c 2 d inf e => :5
        zcount z 1 2 => :3
        zcount z (1 2 => :2
        zcount z (1 (2 => :0
        zcount z -inf +inf => :5
        zcount z (-inf (inf => :3
        zcount z 2 1 => :0
        zcount none 1 2 => :0
        zcount z "" 2 => :3
        zcount z " 1" 2 => :3
        zcount z 1e999 2 => :0
        zcount z "1 " 2 => -ERR min or max is not a float
        zcount z nan 2 => -ERR min or max is not a float
        zcount z x 2 => -ERR min or max is not a float
        zadd l 0 a 0 b 0 c => :3
        zlexcount l - + => :3
        zlexcount l (a [c => :2
        zlexcount l + - => :0
        zlexcount l - - => :0
        zlexcount l + + => :0
        zlexcount l [c [a => :0
        zlexcount none - + => :0
        zlexcount l a c => -ERR min or max not valid string range item
        zlexcount l -a + => -ERR min or max not valid string range item
        "#,
    );
}

#[test]
fn ranges_are_answered() {
    check_both(
        r#"
        zadd z 1 a 2 b 3 c => :3
        zrange z 0 -1 => [a b c]
        zrange z -2 9 => [b c]
        zrange z 2 1 => []
        zrange z 0 0 rev => [c]
        zrevrange z 0 1 => [c b]
        zrange none 0 1 => []
        zrange z 2 3 byscore => [b c]
        zrange z 3 2 byscore rev => [c b]
        zrange z 2 3 byscore rev => []
        zrangebyscore z (1 +inf limit 1 1 => [c]
        zrevrangebyscore z +inf (1 limit 1 1 => [b]
        zrangebyscore z 0 9 limit 0 -1 => [a b c]
        zrangebyscore z 0 9 limit 1 -5 => [b c]
        zrangebyscore z 0 9 limit -1 5 => []
        zrangebyscore z 0 9 limit 9 5 => []
        zrangebyscore z 0 9 limit 0 0 => []
        zadd l 0 a 0 b 0 c => :3
        zrangebylex l - (c => [a b]
        zrevrangebylex l (c - => [b a]
        zrange l [a [b bylex => [a b]
        zrange l [b [a bylex rev limit 1 1 => [a]
        zrangebylex l + - => []
        zrange z 0 1 limit 5 -1 => [a b]
        zrange z 0 x => -ERR value is not an integer or out of range
        zrange z 0 1 limit x 1 => -ERR value is not an integer or out of range
        zrange z 0 1 limit 0 => -ERR syntax error
        zrange z 0 1 limit 0 1 => -ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX
        zrange l - + bylex withscores => -ERR syntax error, WITHSCORES not supported in combination with BYLEX
        zrangebylex l - + withscores => -ERR syntax error, WITHSCORES not supported in combination with BYLEX
        zrange z 0 1 byscore bylex => -ERR syntax error
        zrevrange z 0 1 rev => -ERR syntax error
        zrevrange z 0 1 byscore => -ERR syntax error
        zrangebyscore z x 1 => -ERR min or max is not a float
        zrange z x y bylex => -ERR min or max not valid string range item
        "#,
    );
    let table = "zadd z 1 a 2 b => :2\n";
    check(Version::Resp2, &format!("{table} zrange z 0 -1 withscores => [a 1 b 2]"));
    check(Version::Resp3, &format!("{table} zrange z 0 -1 withscores => [[a ,1] [b ,2]]"));
}

#[test]
fn ranges_are_written_and_removed() {
    check_both(
        r#"
        zadd z 1 a 2 b 3 c 4 d 5 e 6 f => :6
        set to x => +OK
        zrangestore to z 1 2 => :2
        zrange to 0 -1 => [b c]
        zrangestore to z 5 2 byscore rev limit 0 2 => :2
        zrange to 0 -1 => [d e]
        zrangestore z z 0 4 => :5
        zrangestore to none 0 1 => :0
        type to => +none
        zrangestore to z 0 1 withscores => -ERR syntax error
        zremrangebyrank z 0 0 => :1
        zremrangebyrank z -1 -1 => :1
        zremrangebyrank z 5 9 => :0
        zremrangebyscore z (2 3 => :1
        zremrangebyscore z x 3 => -ERR min or max is not a float
        zremrangebyrank z x 3 => -ERR value is not an integer or out of range
        zrange z 0 -1 => [b d]
        zremrangebyscore none 1 2 => :0
        zadd l 0 a 0 b 0 c => :3
        zremrangebylex l [b + => :2
        zremrangebylex l a b => -ERR min or max not valid string range item
        zremrangebylex l - + => :1
        type l => +none
        "#,
    );
}

#[test]
fn members_are_taken_from_the_ends() {
    let errors = r#"
        zpopmin none => []
        zpopmin none 2 => []
        zpopmin z 0 => []
        zpopmin z -1 => -ERR value is out of range, must be positive
        zpopmin z x => -ERR value is out of range, must be positive
        zpopmin z 1 2 => -ERR syntax error
        zmpop 0 z min => -ERR numkeys should be greater than 0
        zmpop x z min => -ERR numkeys should be greater than 0
        zmpop 2 z min => -ERR syntax error
        zmpop 1 z foo => -ERR syntax error
        zmpop 1 z min count => -ERR syntax error
        zmpop 1 z min count 0 => -ERR count should be greater than 0
        zmpop 1 z min count 1 count 1 => -ERR syntax error
        zmpop 1 z min foo 1 => -ERR syntax error
    "#;
    check(
        Version::Resp2,
        &format!(
            "zadd z 1 a 2 b 3 c 4 d 5 e 6 f => :6
            zpopmin z => [a 1]
            zpopmax z 2 => [f 6 e 5]
            zmpop 2 none z max => [z [[d 4]]]
            zmpop 1 none max => nil-array
            {errors}
            zmpop 1 z min count 9 => [z [[b 2] [c 3]]]
            type z => +none"
        ),
    );
    check(
        Version::Resp3,
        &format!(
            "zadd z 1 a 2 b 3 c 4 d 5 e 6 f => :6
            zpopmin z => [a ,1]
            zpopmax z 2 => [[f ,6] [e ,5]]
            zmpop 2 none z max => [z [[d ,4]]]
            zmpop 1 none max => nil
            {errors}
            zpopmin z 9 => [[b ,2] [c ,3]]
            type z => +none"
        ),
    );
}

#[test]
fn sets_are_put_together() {
    let sets = "zadd x 1 a 2 b 3 c => :3\n zadd y 10 b 20 c 30 d => :3\n";
    check_both(&format!(
        "{sets}
        zunion 2 x y => [a b c d]
        zinter 2 x y => [b c]
        zinter 3 x y none => []
        zdiff 2 x y => [a]
        zdiff 1 x => [a b c]
        zdiff 2 none x => []
        zintercard 2 x y => :2
        zintercard 2 x y limit 1 => :1
        zintercard 2 x y limit 0 => :2
        zintercard 1 none => :0
        zunionstore to 2 x y weights 2 -1 => :4
        zrange to 0 -1 => [d c b a]
        zinterstore to 2 x y aggregate max => :2
        zdiffstore to 2 y x => :1
        zrange to 0 -1 => [d]
        zinterstore to 2 x none => :0
        type to => +none
        zunionstore x 2 x y aggregate min => :4
        zunion 0 x => -ERR at least 1 input key is needed for 'zunion' command
        zunionstore to 0 x => -ERR at least 1 input key is needed for 'zunionstore' command
        zintercard -1 x => -ERR at least 1 input key is needed for 'zintercard' command
        zunion x x => -ERR value is not an integer or out of range
        zunion 2 x => -ERR syntax error
        zunion 1 x weights => -ERR syntax error
        zunion 1 x weights y => -ERR weight value is not a float
        zunion 1 x aggregate avg => -ERR syntax error
        zunion 1 x aggregate => -ERR syntax error
        zunionstore to 1 x withscores => -ERR syntax error
        zdiff 1 x weights 1 => -ERR syntax error
        zintercard 1 x limit -1 => -ERR LIMIT can't be negative
        zintercard 1 x limit y => -ERR LIMIT can't be negative
        zintercard 1 x limit => -ERR syntax error"
    ));
    check(
        Version::Resp2,
        &format!(
            "{sets} zunion 2 x y aggregate min withscores => [a 1 b 2 c 3 d 30]
            zadd i inf a => :1
            zadd j -inf a => :1
            zunion 2 i j withscores => [a 0]
            zunion 1 i weights 0 withscores => [a 0]"
        ),
    );
    check(Version::Resp3, &format!("{sets} zinter 2 x y withscores => [[b ,12] [c ,23]]"));
}

#[test]
fn members_are_drawn_and_scanned() {
    check_both(
        r#"
        zadd z 1.5 a => :1
        zrandmember z => a
        zrandmember z -2 => [a a]
        zrandmember z 2 => [a]
        zrandmember none => nil
        zrandmember none 2 withscores => []
        zrandmember z x => -ERR value is not an integer or out of range
        zrandmember z 1 foo => -ERR syntax error
        zscan z 0 => [0 [a 1.5]]
        zscan z 0 match b => [0 []]
        zscan none 0 foo => [0 []]
        zscan z 0 foo => -ERR syntax error
        zscan z foo => -ERR invalid cursor
        "#,
    );
    check(Version::Resp2, "zadd z 1 a => :1\n zrandmember z -2 withscores => [a 1 a 1]");
    check(Version::Resp3, "zadd z 1 a => :1\n zrandmember z -2 withscores => [[a ,1] [a ,1]]");
}

#[test]
fn another_kind_is_refused_after_the_words() {
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let calls = [
        "zadd s 1 a",
        "zadd s xx 1 a",
        "zincrby s 1 a",
        "zrem s a",
        "zcard s",
        "zscore s a",
        "zmscore s a",
        "zrank s a",
        "zrevrank s a",
        "zcount s 1 1",
        "zlexcount s - +",
        "zrange s 0 1",
        "zrevrange s 0 1",
        "zrangebyscore s 1 2",
        "zrangestore d s 0 1",
        "zremrangebyrank s 0 1",
        "zremrangebyscore s 0 1",
        "zremrangebylex s - +",
        "zpopmin s",
        "zpopmax s 0",
        "zmpop 2 none s min",
        "zrandmember s",
        "zscan s 0 foo",
        "zunion 1 s",
        "zunion 2 none s weights",
        "zinter 2 none s",
        "zdiff 1 s weights",
        "zintercard 1 s limit -1",
        "zunionstore d 1 s foo",
    ];
    let refused: String = calls.iter().map(|call| format!("{call} => {wrong}\n")).collect();
    check_both(&format!(
        "set s x => +OK\n{refused}
        zadd s x a => -ERR value is not a valid float
        zcount s x 1 => -ERR min or max is not a float
        zrange s 0 x => -ERR value is not an integer or out of range
        zpopmin s -1 => -ERR value is out of range, must be positive
        zadd z 1 a => :1
        zmpop 2 z s min count 0 => -ERR count should be greater than 0
        zmpop 2 z s min foo 1 => -ERR syntax error
        get s => x"
    ));
}
