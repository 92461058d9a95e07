//! The reason why a text is refused.

use std::fmt;

/// The reason why a text is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal(Box<str>);

impl Refusal {
    #[cold]
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string().into())
    }

    /// Return the refusal of a text whose reader has cancelled; it has no reason.
    #[cold]
    pub(super) fn cancelled() -> Self {
        Self(Box::default())
    }

    /// Return whether the reader has cancelled, and the text may be valid.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_empty()
    }

    /// Name the value that the reason is about.
    #[cold]
    pub fn within(self, path: &str) -> Self {
        if self.is_cancelled() {
            return self;
        }
        Self::new(format_args!("{path} {self}"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
