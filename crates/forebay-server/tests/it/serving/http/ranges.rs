//! Parts of values.

use super::{A, ITEM_A, put, stage};

#[tokio::test]
async fn a_part_of_a_value_is_sent_alone() {
    let stage = stage().await;
    let whole = stage.get(ITEM_A).await;
    assert_eq!(whole.header("accept-ranges"), "bytes");
    for (range, body, shown) in [
        ("bytes=0-0", "{", format!("bytes 0-0/{}", A.len())),
        ("bytes=1-6", "\"code\"", format!("bytes 1-6/{}", A.len())),
        ("bytes=-2", "1}", format!("bytes {}-{}/{}", A.len() - 2, A.len() - 1, A.len())),
        ("bytes=18-", &A[18..], format!("bytes 18-{}/{}", A.len() - 1, A.len())),
    ] {
        let part = stage.ask("GET", ITEM_A, &format!("Range: {range}\r\n")).await;
        assert_eq!((part.status, part.seen()), (206, ("HIT", body)), "{range}");
        assert_eq!(part.header("content-range"), shown);
        assert_eq!(
            (part.header("content-length"), part.bytes.len()),
            (body.len().to_string().as_str(), body.len())
        );
        for name in ["etag", "content-type", "accept-ranges"] {
            assert_eq!(part.header(name), whole.header(name), "{name}");
        }
    }
}

#[tokio::test]
async fn what_is_no_single_range_is_the_whole() {
    let stage = stage().await;
    for asked in ["bytes=0-0,2-3", "bytes=3-2", "lines=0-0", "bytes=x"] {
        let whole = stage.ask("GET", ITEM_A, &format!("Range: {asked}\r\n")).await;
        assert_eq!(
            (whole.status, whole.body.as_str(), whole.header("content-range")),
            (200, A, ""),
            "{asked}"
        );
    }
    let head = stage.ask("HEAD", ITEM_A, "Range: bytes=0-0\r\n").await;
    assert_eq!((head.status, head.header("content-length")), (200, A.len().to_string().as_str()));
    assert_eq!(head.header("accept-ranges"), "bytes");
}

#[tokio::test]
async fn a_part_of_another_value_is_sent_whole() {
    let stage = stage().await;
    let etag = stage.get(ITEM_A).await.header("etag").to_owned();
    for (held, status) in [(etag.as_str(), 206), ("\"other\"", 200), ("Sat, 29 Oct 1994 19:43:31 GMT", 200)] {
        let asked = format!("Range: bytes=0-0\r\nIf-Range: {held}\r\n");
        assert_eq!(stage.ask("GET", ITEM_A, &asked).await.status, status, "{held}");
    }
    let known = format!("Range: bytes=0-0\r\nIf-None-Match: {etag}\r\n");
    assert_eq!(stage.ask("GET", ITEM_A, &known).await.status, 304, "conditions are judged first");
}

#[tokio::test]
async fn bytes_that_a_value_does_not_have_are_told() {
    let stage = stage().await;
    let problem = stage.ask("GET", ITEM_A, "Range: bytes=99-\r\n").await;
    assert_eq!((problem.status, problem.problem().as_str()), (416, "no_such_range"));
    assert_eq!(problem.header("content-range"), format!("bytes */{}", A.len()));
    assert_eq!(problem.header("cache-control"), "no-store");
    let empty = "/v1/shop/paste/paste:empty";
    assert_eq!(put(&stage, empty, "", "").await.status, 204);
    let problem = stage.ask("GET", empty, "Range: bytes=0-\r\n").await;
    assert_eq!((problem.status, problem.header("content-range")), (416, "bytes */0"));
}
