//! Lines read back: `word=value` pairs in their order, and a last word.

/// The names and values of a line's pairs, and what else it says.
pub struct Line<'a> {
    pub pairs: Vec<(&'a str, &'a str)>,
    pub words: Vec<&'a str>,
}

impl<'a> Line<'a> {
    pub fn read(text: &'a str) -> Self {
        let (mut pairs, mut words) = (Vec::new(), Vec::new());
        for word in text.split(' ') {
            match word.split_once('=') {
                Some(pair) => pairs.push(pair),
                None => words.push(word),
            }
        }
        Self { pairs, words }
    }

    pub fn names(&self) -> Vec<&'a str> {
        self.pairs.iter().map(|(name, _)| *name).collect()
    }

    pub fn value(&self, name: &str) -> &'a str {
        self.pairs.iter().find(|pair| pair.0 == name).unwrap_or_else(|| panic!("no {name}=")).1
    }

    pub fn number(&self, name: &str) -> f64 {
        self.value(name).parse().unwrap_or_else(|_| panic!("{name}={} is no number", self.value(name)))
    }
}
