//! How many requests some bytes are, read strictly: who is in doubt reads no further.

/// How many requests `sent` begins with of which nobody can doubt where they end, and whether that is all of it.
pub(super) fn requests(mut sent: &[u8]) -> (usize, bool) {
    let mut count = 0;
    while !sent.is_empty() {
        let Some(rest) = request(sent) else { return (count + versions(sent), false) };
        sent = rest;
        count += 1;
    }
    (count, true)
}

/// The most requests that can be read of bytes in doubt.
fn versions(sent: &[u8]) -> usize {
    sent.windows(7).filter(|window| *window == b"HTTP/1.").count()
}

/// What comes behind the request that `sent` begins with.
fn request(sent: &[u8]) -> Option<&[u8]> {
    let (first, mut rest) = line(sent)?;
    let mut words = first.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    // Others are not kept open, or say of their bodies what these do not.
    let is_plain = [&b"GET"[..], b"PUT", b"POST", b"DELETE"].contains(&method)
        && target.starts_with(b"/")
        && target.iter().all(u8::is_ascii_graphic)
        && version == b"HTTP/1.1"
        && words.next().is_none();
    if !is_plain {
        return None;
    }
    let mut length = None;
    loop {
        let (header, behind) = line(rest)?;
        rest = behind;
        if header.is_empty() {
            // A body that nobody reads may end the connection.
            let reads = [&b"PUT"[..], b"POST"].contains(&method) || length.is_none_or(|length| length == 0);
            return rest.get(length.unwrap_or(0)..).filter(|_| reads);
        }
        let colon = header.iter().position(|byte| *byte == b':')?;
        let (name, value) = (header.get(..colon)?, header.get(colon + 1..)?.trim_ascii());
        if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            || !value.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        {
            return None;
        }
        match name.to_ascii_lowercase().as_slice() {
            b"content-length" if length.is_none() && value.iter().all(u8::is_ascii_digit) => {
                length = Some(std::str::from_utf8(value).ok()?.parse().ok()?);
            }
            // What says twice, or in another way, where the body ends, or whether another request comes.
            b"content-length" | b"transfer-encoding" | b"expect" | b"upgrade" | b"te" | b"trailer" => {
                return None;
            }
            b"connection" if !value.eq_ignore_ascii_case(b"close") || !rest.starts_with(b"\r\n") => {
                return None;
            }
            b"connection" if rest.len() > 2 => return None,
            _ => {}
        }
    }
}

/// The line that `bytes` begin with, without its end, and what is behind it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = bytes.get(..end)?.strip_suffix(b"\r")?;
    (!line.contains(&b'\r')).then_some((line, bytes.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::requests;

    #[test]
    fn requests_are_counted_where_nobody_can_doubt_where_they_end() {
        let get = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
        let put = "PUT /a HTTP/1.1\r\nContent-Length: 12\r\n\r\nGET HTTP/1.1";
        let last = "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n";
        for (sent, counted) in [
            ([get, put, last].concat(), (3, true)),
            ([put, put].concat(), (2, true)),
            (String::new(), (0, true)),
            ([get, last, get].concat(), (3, false)),
            (
                [get, "PUT /a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"].concat(),
                (2, false),
            ),
            ([get, "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"].concat(), (2, false)),
            (["\r\n", get].concat(), (1, false)),
            ("PUT /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nab".to_owned(), (1, false)),
            ("GET /a HTTP/1.1\nHost: a\n\n".to_owned(), (1, false)),
        ] {
            assert_eq!(requests(sent.as_bytes()), counted, "{sent:?}");
        }
    }
}
