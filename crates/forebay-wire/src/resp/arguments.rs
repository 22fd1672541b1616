//! A row's arguments as a tree, read from how the row writes them for people.
//!
//! Words in capitals are tokens, other words are values; `[…]` may be left out, `a | b` is one of them, and what stands in brackets before
//! `...` may come again. A token has the values that follow it. The tree is what `COMMAND DOCS` tells, from which clients make their
//! help and their hints. The texts are the table's own; nothing that came over a wire is read here.

use bytes::BytesMut;

use super::reply::{self, Version};

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Argument<'t> {
    token: Option<&'t str>,
    what: What<'t>,
    optional: bool,
    multiple: bool,
    /// Its token comes again with it.
    multiple_token: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What<'t> {
    /// Nothing but its token.
    Token,
    Value(&'t str),
    OneOf(Vec<Argument<'t>>),
    Block(Vec<Argument<'t>>),
}

/// Writes the arguments that `text` tells as the array of Redis 7.
pub(super) fn write(out: &mut BytesMut, version: Version, text: &str) {
    list(out, version, &parse(text));
}

fn list(out: &mut BytesMut, version: Version, arguments: &[Argument<'_>]) {
    reply::array(out, arguments.len());
    for argument in arguments {
        argument.write(out, version);
    }
}

impl<'t> Argument<'t> {
    fn of(what: What<'t>) -> Self {
        Self { token: None, what, optional: false, multiple: false, multiple_token: false }
    }

    /// One that holds `all`, of which there may be just one.
    fn block(mut all: Vec<Self>) -> Self {
        match all.pop() {
            Some(only) if all.is_empty() && !only.optional && !only.multiple => only,
            Some(last) => {
                all.push(last);
                Self::of(What::Block(all))
            }
            None => Self::of(What::Block(all)),
        }
    }

    fn name(&self) -> &str {
        match (&self.what, self.token) {
            (What::Value(name), _) => name,
            (What::Token, token) => token.unwrap_or_default(),
            (_, Some(token)) => token,
            (What::OneOf(all) | What::Block(all), None) => all.first().map_or("", Self::name),
        }
    }

    /// Its words where it is made of nothing but values.
    fn values(&self) -> Vec<&'t str> {
        match &self.what {
            What::Value(name) => vec![name],
            What::Block(all) => all.iter().flat_map(Self::values).collect(),
            What::Token | What::OneOf(_) => Vec::new(),
        }
    }

    fn write(&self, out: &mut BytesMut, version: Version) {
        let (kind, parts) = match &self.what {
            What::Token => ("pure-token", None),
            What::Value(name) => (kind(name), None),
            What::OneOf(all) => ("oneof", Some(all)),
            What::Block(all) => ("block", Some(all)),
        };
        let flags = [
            (self.optional, "optional"),
            (self.multiple, "multiple"),
            (self.multiple_token, "multiple_token"),
        ];
        let flags: Vec<_> = flags.into_iter().filter_map(|(is_so, flag)| is_so.then_some(flag)).collect();
        let more = [self.token.is_some(), !flags.is_empty(), parts.is_some()];
        reply::map(out, version, more.iter().filter(|is_there| **is_there).count().saturating_add(2));
        for (name, text) in [("name", self.name().to_ascii_lowercase().as_str()), ("type", kind)] {
            reply::bulk(out, name.as_bytes());
            reply::bulk(out, text.as_bytes());
        }
        if let Some(token) = self.token {
            reply::bulk(out, b"token");
            reply::bulk(out, token.as_bytes());
        }
        if !flags.is_empty() {
            reply::bulk(out, b"flags");
            reply::set(out, version, flags.len());
            flags.iter().for_each(|flag| reply::simple(out, flag));
        }
        if let Some(parts) = parts {
            reply::bulk(out, b"arguments");
            list(out, version, parts);
        }
    }
}

/// What Redis calls values of this name.
fn kind(name: &str) -> &'static str {
    match name {
        "key" | "key1" | "key2" | "newkey" | "source" | "destination" => "key",
        "pattern" => "pattern",
        "score" | "weight" => "double",
        "client-id" | "count" | "cursor" | "decrement" | "end" | "index" | "limit" | "milliseconds"
        | "min-match-len" | "numkeys" | "offset" | "seconds" | "start" | "stop" | "timeout" => "integer",
        _ if name.starts_with("unix-time") => "unix-time",
        _ => "string",
    }
}

fn is_token(word: &str) -> bool {
    !word.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// The tree that `text` tells.
fn parse(text: &str) -> Vec<Argument<'_>> {
    sequence(&mut words(text).into_iter().peekable()).0
}

/// Its words, with each bracket as one.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for mut word in text.split_whitespace() {
        while let Some(rest) = word.strip_prefix('[') {
            words.push("[");
            word = rest;
        }
        let bare = word.trim_end_matches(']');
        words.extend(Some(bare).filter(|bare| !bare.is_empty()));
        words.extend(std::iter::repeat_n("]", word.len().saturating_sub(bare.len())));
    }
    words
}

/// What comes until a bracket that closes, and whether it may come again.
fn sequence<'t>(words: &mut std::iter::Peekable<impl Iterator<Item = &'t str>>) -> (Vec<Argument<'t>>, bool) {
    let mut all: Vec<Argument<'t>> = Vec::new();
    let mut again = false;
    // The next one is another choice beside the last.
    let mut or = false;
    while let Some(word) = words.next() {
        let next = match word {
            "]" => break,
            "|" => {
                or = true;
                continue;
            }
            "..." => {
                again = true;
                continue;
            }
            "[" => {
                let (inner, again) = sequence(words);
                if again && repeat(&mut all, &inner) {
                    continue;
                }
                Argument { optional: true, multiple: again, ..Argument::block(inner) }
            }
            token if is_token(token) => {
                let is_value = |word: &&str| !matches!(*word, "[" | "]" | "|" | "...") && !is_token(word);
                let values = std::iter::from_fn(|| words.next_if(is_value));
                let values: Vec<_> = values.map(|name| Argument::of(What::Value(name))).collect();
                let what = if values.is_empty() { What::Token } else { Argument::block(values).what };
                Argument { token: Some(token), ..Argument::of(what) }
            }
            name => Argument::of(What::Value(name)),
        };
        match all.last_mut().filter(|_| std::mem::take(&mut or)) {
            Some(Argument { token: None, what: What::OneOf(choices), .. }) => choices.push(next),
            Some(last) => {
                let first = std::mem::replace(last, Argument::of(What::Token));
                last.what = What::OneOf(vec![first, next]);
            }
            None => all.push(next),
        }
    }
    (all, again)
}

/// Marks the end of `all` as what may come again, where that is what `inner` says; whether it is.
fn repeat<'t>(all: &mut Vec<Argument<'t>>, inner: &[Argument<'t>]) -> bool {
    let Some(last) = all.last_mut() else { return false };
    if let ([again], Some(_)) = (inner, last.token)
        && again == last
    {
        (last.multiple, last.multiple_token) = (true, true);
        return true;
    }
    let values: Vec<&str> = inner.iter().flat_map(Argument::values).collect();
    if !values.is_empty() && last.values() == values {
        last.multiple = true;
        return true;
    }
    if let What::Block(parts) = &mut last.what {
        return repeat(parts, inner);
    }
    let Some(from) = all.len().checked_sub(values.len()) else { return false };
    let ends = all.get(from..).unwrap_or_default();
    let is_same = values.len() > 1
        && ends.iter().all(|end| end.token.is_none())
        && ends.iter().flat_map(Argument::values).eq(values);
    if is_same {
        let block = Argument::of(What::Block(all.split_off(from)));
        all.push(Argument { multiple: true, ..block });
    }
    is_same
}

#[cfg(test)]
mod tests {
    use super::super::commands;
    use super::{Argument, What, parse};

    /// As redis-cli writes it.
    fn shown(argument: &Argument<'_>) -> String {
        let all = |all: &[Argument<'_>], between| all.iter().map(shown).collect::<Vec<_>>().join(between);
        let own = match &argument.what {
            What::Token => String::new(),
            What::Value(name) => (*name).to_owned(),
            What::OneOf(choices) => all(choices, "|"),
            What::Block(parts) => all(parts, " "),
        };
        let token = argument.token.map(|token| format!("{token} ")).unwrap_or_default();
        let mut text = format!("{token}{own}").trim_end().to_owned();
        if argument.multiple {
            let again = if argument.multiple_token { &text } else { &own };
            text = format!("{text} [{again} ...]");
        }
        if argument.optional { format!("[{text}]") } else { text }
    }

    fn shown_all(text: &str) -> String {
        parse(text).iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn texts_become_trees() {
        let token = |token| Argument { token: Some(token), ..Argument::of(What::Token) };
        let value = |name| Argument::of(What::Value(name));
        let either = Argument::of(What::OneOf(vec![token("NX"), token("XX")]));
        let seconds = Argument { token: Some("EX"), optional: true, ..value("seconds") };
        assert_eq!(
            parse("key [NX | XX] [EX seconds]"),
            [value("key"), Argument { optional: true, ..either }, seconds]
        );
        let pair = Argument::of(What::Block(vec![value("key"), value("value")]));
        assert_eq!(parse("key value [key value ...]"), [Argument { multiple: true, ..pair }]);
        let weights = Argument { token: Some("WEIGHTS"), multiple: true, optional: false, ..value("weight") };
        assert_eq!(parse("WEIGHTS weight [weight ...]"), std::slice::from_ref(&weights));
        let prefixes = Argument { token: Some("PREFIX"), multiple_token: true, ..weights };
        let prefixes = Argument { what: What::Value("prefix"), ..prefixes };
        assert_eq!(parse("PREFIX prefix [PREFIX prefix ...]"), [prefixes]);
        assert_eq!(parse(""), []);
    }

    #[test]
    fn every_row_is_told_as_it_is_written() {
        for spec in commands().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)) {
            let plain = |text: &str| text.replace(" | ", "|").replace("[[", "[").replace("]]", "]");
            assert_eq!(plain(&shown_all(spec.arguments)), plain(spec.arguments), "{}", spec.name);
        }
    }
}
