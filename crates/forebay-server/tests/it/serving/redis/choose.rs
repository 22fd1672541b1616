//! Chance, in words that makers of commands use.

use bytes::Bytes;

/// The words of a command.
pub(super) type Words = Vec<Bytes>;

/// The words of a line that has no blanks within words.
pub(super) fn words(line: &str) -> Words {
    line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

/// A command as people read it.
pub(super) fn shown(command: &Words) -> String {
    let word = |word: &Bytes| match word.is_empty() {
        true => "\"\"".to_owned(),
        false => word.escape_ascii().to_string(),
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Chooses, from a seed.
pub(super) struct Choose(fastrand::Rng);

impl Choose {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// The numbers below `len`, each once.
    pub(super) fn order(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        self.0.shuffle(&mut order);
        order
    }

    pub(super) fn one_in(&mut self, many: u32) -> bool {
        self.0.u32(..many) == 0
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.usize(..all.len())]
    }

    pub(super) fn number(&mut self, range: std::ops::Range<i64>) -> i64 {
        self.0.i64(range)
    }

    /// What `make` makes.
    pub(super) fn call(&mut self, make: fn(&mut fastrand::Rng) -> Vec<String>) -> Vec<String> {
        make(&mut self.0)
    }

    /// Bytes that are no text and no number.
    pub(super) fn bytes(&mut self) -> Bytes {
        let any = (0..self.0.usize(..12)).map(|_| self.0.u8(..));
        std::iter::once(0xff).chain(any).collect::<Vec<u8>>().into()
    }

    /// One of few keys.
    pub(super) fn key(&mut self) -> &'static str {
        self.of(&["a", "b", "c", "d", "e"])
    }

    /// One to three keys, some of them the same.
    pub(super) fn keys(&mut self) -> Vec<&'static str> {
        (0..self.0.usize(1..=3)).map(|_| self.key()).collect()
    }

    /// What a string may be: numbers, near numbers, texts, bytes.
    pub(super) fn value(&mut self) -> Bytes {
        let long = Bytes::from(vec![b'x'; self.0.usize(40..50)]);
        let bytes = Bytes::from((0..self.0.usize(..6)).map(|_| self.0.u8(..)).collect::<Vec<u8>>());
        let small = Bytes::from(self.number(-20..20).to_string());
        let texts =
            ["", "0", "hello", "ohmytext", "mynewtext", "9223372036854775807", "-9223372036854775808"];
        let odd = [
            "01",
            "+5",
            " 1",
            "1 ",
            "-0",
            "3.5",
            "-0.25",
            "5e1",
            "abc",
            "1.0",
            "nan",
            "a\r\nb",
            "12345678901234567890",
        ];
        match self.0.u8(..8) {
            0 => long,
            1 => bytes,
            2..=4 => small,
            5 | 6 => Bytes::from_static(self.of(&texts).as_bytes()),
            _ => Bytes::from_static(self.of(&odd).as_bytes()),
        }
    }

    /// A whole number as an argument; seldom none.
    pub(super) fn integer(&mut self) -> String {
        let odd = [
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "abc",
            "",
            "1.5",
            "01",
            "+1",
        ];
        match self.0.u8(..8) {
            0 => (self.of(&odd)).to_owned(),
            1 => self.number(-1000..1000).to_string(),
            _ => self.number(-12..12).to_string(),
        }
    }

    /// Words that some option takes, or none of them.
    pub(super) fn maybe(&mut self, options: &[&str]) -> String {
        if self.one_in(3) { format!(" {}", self.of(options)) } else { String::new() }
    }

    /// `NAME`, a key, and a line of further words.
    pub(super) fn with_key(&mut self, name: &str, rest: &str) -> Words {
        words(format!("{name} {} {rest}", self.key()).trim_end())
    }
}
