//! The kinds of values under a key of the configuration: they decide which operands fit, and what a typed one means.

use super::json_type::is_not_finite;
use crate::json::text::items;

/// A set of kinds of values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kinds(u16);

impl Kinds {
    pub const NULL: Self = Self(1);
    pub const BOOL: Self = Self(1 << 1);
    pub const NUMBER: Self = Self(1 << 2);
    /// The name of a non-finite float: a number, unless its column has texts and no numbers.
    pub const NOT_FINITE: Self = Self(1 << 3);
    pub const TEXT: Self = Self(1 << 4);
    pub const LIST: Self = Self(1 << 5);
    /// A list that has a text other than such a name.
    pub const TEXTS: Self = Self(1 << 6);
    pub const OBJECT: Self = Self(1 << 7);

    /// The names of the kinds in errors.
    const NAMES: [(Self, &'static str); 6] = [
        (Self::BOOL, "true or false"),
        (Self::NUMBER, "numbers"),
        (Self::TEXT, "texts"),
        (Self(Self::LIST.0 | Self::TEXTS.0), "lists"),
        (Self::OBJECT, "objects"),
        (Self::NULL, "null"),
    ];

    /// Return the kind of a JSON text.
    pub fn of(text: &str) -> Self {
        match text.as_bytes().first() {
            Some(b'n') => Self::NULL,
            Some(b't' | b'f') => Self::BOOL,
            Some(b'"') if is_not_finite(text) => Self::NOT_FINITE,
            Some(b'"') => Self::TEXT,
            Some(b'[') if items(text).any(|item| item.starts_with('"') && !is_not_finite(item)) => {
                Self::TEXTS.and(Self::LIST)
            }
            Some(b'[') => Self::LIST,
            Some(b'{') => Self::OBJECT,
            _ => Self::NUMBER,
        }
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Return whether a kind of the other set is in this one.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Return whether nothing but null is in the set.
    pub fn is_null(self) -> bool {
        self.0 & !Self::NULL.0 == 0
    }

    /// Return whether there are no values but texts and null: the table shows such a text without quotes.
    pub fn are_texts(self) -> bool {
        self.0 & !(Self::TEXT.0 | Self::NOT_FINITE.0 | Self::NULL.0) == 0
    }

    /// Return whether the names of non-finite floats are texts: among texts, without numbers.
    pub fn names_are_texts(self) -> bool {
        self.has(Self::NOT_FINITE) && self.has(Self::TEXT.and(Self::TEXTS)) && !self.has(Self::NUMBER)
    }

    /// Return the kinds with the names of non-finite floats as numbers or as texts.
    #[must_use]
    pub fn with_decided_names(self) -> Self {
        let decided = match (self.has(Self::NOT_FINITE), self.names_are_texts()) {
            (false, _) => 0,
            (true, true) => Self::TEXT.0,
            (true, false) => Self::NUMBER.0,
        };
        Self((self.0 & !Self::NOT_FINITE.0) | decided)
    }

    pub fn bits(self) -> u16 {
        self.0
    }

    pub fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Return the kinds in words, without null.
    pub fn words(self) -> String {
        let names =
            Self::NAMES.iter().filter(|(kind, name)| *name != "null" && self.with_decided_names().has(*kind));
        let names: Vec<&str> = names.map(|(_, name)| *name).collect();
        match names.split_last() {
            None => "nothing but null".to_owned(),
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
        }
    }
}
