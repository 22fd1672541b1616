//! Keys: the caller's values become the text of a key, and the text becomes values for the source.
//!
//! Short keys are put together on the stack, so that a hit allocates nothing.

use smallvec::SmallVec;

use crate::error::Error;

/// The text of a key; up to 128 bytes lie on the stack.
pub type KeyBuf = SmallVec<[u8; 128]>;

/// What takes the parameters of a key, as text, one after the other in the order of the pattern.
pub trait TakeParts {
    /// Takes the next parameter.
    fn take(&mut self, text: &[u8]);
}

/// One parameter of a key.
pub trait KeyPart {
    /// Gives its canonical text to `to`.
    fn give(&self, to: &mut impl TakeParts);
}

impl KeyPart for str {
    fn give(&self, to: &mut impl TakeParts) {
        to.take(self.as_bytes());
    }
}

impl KeyPart for String {
    fn give(&self, to: &mut impl TakeParts) {
        to.take(self.as_bytes());
    }
}

impl KeyPart for i64 {
    fn give(&self, to: &mut impl TakeParts) {
        let mut text = arrayed(self.unsigned_abs());
        if self.is_negative() {
            text.insert(0, b'-');
        }
        to.take(&text);
    }
}

impl<T: KeyPart + ?Sized> KeyPart for &T {
    fn give(&self, to: &mut impl TakeParts) {
        (**self).give(to);
    }
}

/// The decimal digits of `number`, on the stack.
fn arrayed(mut number: u64) -> SmallVec<[u8; 24]> {
    let mut digits = SmallVec::new();
    loop {
        digits.push(b'0' + u8::try_from(number % 10).unwrap_or_default());
        number /= 10;
        if number == 0 {
            digits.reverse();
            return digits;
        }
    }
}

/// What a typed reader names a key by: one parameter, or a tuple of them in the order of the pattern.
pub trait Key {
    /// Gives its parameters to `to`.
    fn give_parts(&self, to: &mut impl TakeParts);
}

impl<T: KeyPart> Key for T {
    fn give_parts(&self, to: &mut impl TakeParts) {
        self.give(to);
    }
}

/// One parameter of a key as a source is given it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Param {
    /// Text, also of a `uuid` parameter.
    Text(String),
    /// An `integer` parameter.
    Integer(i64),
}

impl KeyPart for Param {
    fn give(&self, to: &mut impl TakeParts) {
        match self {
            Self::Text(text) => text.give(to),
            Self::Integer(number) => number.give(to),
        }
    }
}

/// The parameters of one key as a source gives them.
impl Key for [Param] {
    fn give_parts(&self, to: &mut impl TakeParts) {
        for param in self {
            param.give(to);
        }
    }
}

/// What a typed loader takes its keys as: the parameters of one key, read back.
pub trait FromParams: Sized {
    /// Reads the parameters; `namespace` is named in the error.
    ///
    /// # Errors
    /// [`Error::Build`] when their number or types are not the loader's.
    fn from_params(namespace: &str, params: &[Param]) -> Result<Self, Error>;
}

fn mismatch(namespace: &str, wanted: &str, params: &[Param]) -> Error {
    Error::Build {
        namespace: namespace.into(),
        problem: format!(
            "its loader takes {wanted}, its pattern gives {params:?}: write the pattern's parameters to match"
        ),
    }
}

/// One parameter read back as a Rust value.
pub trait FromParam: Sized {
    /// What it takes, for messages.
    const WANTED: &'static str;
    /// Reads it; `None` where the type differs.
    fn from_param(param: &Param) -> Option<Self>;
}

impl FromParam for String {
    const WANTED: &'static str = "text";
    fn from_param(param: &Param) -> Option<Self> {
        match param {
            Param::Text(text) => Some(text.clone()),
            Param::Integer(_) => None,
        }
    }
}

impl FromParam for i64 {
    const WANTED: &'static str = "an integer (`{name:integer}`)";
    fn from_param(param: &Param) -> Option<Self> {
        match param {
            Param::Integer(number) => Some(*number),
            Param::Text(_) => None,
        }
    }
}

impl<A: FromParam> FromParams for A {
    fn from_params(namespace: &str, params: &[Param]) -> Result<Self, Error> {
        match params {
            [a] => A::from_param(a),
            _ => None,
        }
        .ok_or_else(|| mismatch(namespace, A::WANTED, params))
    }
}

/// Parameters that are text already.
impl Key for [&[u8]] {
    fn give_parts(&self, to: &mut impl TakeParts) {
        for part in self {
            to.take(part);
        }
    }
}

macro_rules! tuples {
    ($($name:ident $value:ident),+) => {
        impl<$($name: KeyPart),+> Key for ($($name,)+) {
            fn give_parts(&self, to: &mut impl TakeParts) {
                let ($($value,)+) = self;
                $($value.give(to);)+
            }
        }

        impl<$($name: FromParam),+> FromParams for ($($name,)+) {
            fn from_params(namespace: &str, params: &[Param]) -> Result<Self, Error> {
                let read = match params {
                    [$($value),+] => (|| Some(($($name::from_param($value)?,)+)))(),
                    _ => None,
                };
                read.ok_or_else(|| mismatch(namespace, &[$($name::WANTED),+].join(", "), params))
            }
        }
    };
}

tuples!(A a, B b);
tuples!(A a, B b, C c);
tuples!(A a, B b, C c, D d);
