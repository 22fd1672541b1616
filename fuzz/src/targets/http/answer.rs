//! Answers of HTTP/1, read strictly (RFC 9112): whatever is not written as it must be is told.

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The names of its headers, in small letters, in order.
    pub(super) names: Vec<String>,
    pub(super) body: Vec<u8>,
}

/// The answers in `came`, interim ones (100) left out. Where the connection was cut, the last may be unfinished and is left out; where
/// heads alone were asked for, an answer may end where its body would begin.
pub(super) fn read(
    mut came: &[u8],
    was_cut: bool,
    asks_for_heads: bool,
) -> Result<Vec<Answer>, &'static str> {
    let mut answers = Vec::new();
    while !came.is_empty() {
        let Some((head, rest)) = head(came)? else {
            return if was_cut { Ok(answers) } else { Err("the last head is unfinished") };
        };
        let Some((body, rest)) = body(&head, rest, asks_for_heads)? else {
            return if was_cut { Ok(answers) } else { Err("the last body is unfinished") };
        };
        came = rest;
        if head.status >= 200 {
            let names = head.headers.into_iter().map(|(name, _)| name).collect();
            answers.push(Answer { status: head.status, names, body });
        }
    }
    Ok(answers)
}

struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

type Found<'a, T> = Result<Option<(T, &'a [u8])>, &'static str>;

/// The line that `bytes` begin with, without its end.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|window| window == b"\r\n")?;
    Some((bytes.get(..end)?, bytes.get(end + 2..)?))
}

fn head(came: &[u8]) -> Found<'_, Head> {
    let Some((first, mut rest)) = line(came) else { return Ok(None) };
    let first = first.strip_prefix(b"HTTP/1.1 ").or_else(|| first.strip_prefix(b"HTTP/1.0 "));
    let status = first.and_then(|first| first.get(..3)).and_then(|status| std::str::from_utf8(status).ok());
    let status: u16 = status.and_then(|status| status.parse().ok()).ok_or("no line of a status")?;
    if !(100..600).contains(&status) {
        return Err("no status");
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    loop {
        let Some((header, behind)) = line(rest) else { return Ok(None) };
        rest = behind;
        if header.is_empty() {
            break;
        }
        if header.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err("a header with a control character in it");
        }
        let header = header.escape_ascii().to_string();
        let (name, value) = header.split_once(':').ok_or("a header without a colon")?;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err("a header whose name is no token");
        }
        let name = name.to_ascii_lowercase();
        let is_single =
            ["content-length", "transfer-encoding", "etag", "content-type"].contains(&name.as_str());
        if is_single && headers.iter().any(|(known, _)| *known == name) {
            return Err("a header that may stand once, and stands twice");
        }
        headers.push((name, value.trim().to_owned()));
    }
    Ok(Some((Head { status, headers }, rest)))
}

fn body<'a>(head: &Head, rest: &'a [u8], asks_for_heads: bool) -> Found<'a, Vec<u8>> {
    let length = head.header("content-length");
    let chunked = head.header("transfer-encoding");
    if length.is_some() && chunked.is_some() {
        return Err("an answer that says twice how long it is");
    }
    if head.status < 200 || [204, 304].contains(&head.status) {
        return if chunked.is_some() {
            Err("chunks of an answer without a body")
        } else {
            Ok(Some((Vec::new(), rest)))
        };
    }
    let next_begins = rest.is_empty() || rest.starts_with(b"HTTP/1.");
    if asks_for_heads && next_begins {
        return Ok(Some((Vec::new(), rest)));
    }
    if chunked.is_some() {
        return chunks(rest);
    }
    match length {
        Some(length) => {
            let length: usize = length.parse().map_err(|_| "no length of a body")?;
            Ok(rest.split_at_checked(length).map(|(body, rest)| (body.to_vec(), rest)))
        }
        // It ends with the connection.
        None => Ok(Some((rest.to_vec(), &[]))),
    }
}

fn chunks(mut rest: &[u8]) -> Found<'_, Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let Some((size, behind)) = line(rest) else { return Ok(None) };
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or("no size of a chunk")?;
        let Some((chunk, behind)) = behind.split_at_checked(size) else { return Ok(None) };
        let Some((end, behind)) = behind.split_at_checked(2) else { return Ok(None) };
        if end != b"\r\n" {
            return Err("a chunk that is longer than it says");
        }
        body.extend_from_slice(chunk);
        rest = behind;
        if size == 0 {
            return Ok(Some((body, rest)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn answers_are_told_apart() {
        let came = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 204 No Content\r\n\r\n\
            HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let answers = read(came, false, false).unwrap();
        let told: Vec<_> = answers.iter().map(|answer| (answer.status, &answer.body[..])).collect();
        assert_eq!(told, [(200, &b"ab"[..]), (204, b""), (200, b"abc")]);
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
        assert!(read(head, false, false).is_err());
        assert_eq!(read(head, true, false).unwrap(), []);
        assert_eq!(read(head, false, true).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for came in [
            &b"hello\r\n\r\n"[..],
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
            b"HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\na",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        ] {
            assert!(read(came, false, false).is_err(), "{}", came.escape_ascii());
        }
    }
}
