//! The turn of a visit: has the caller cancelled, and does it wait for this visit?

use std::fmt;

use crate::interrupt::Interrupt;

/// The caller, as a visit in another thread sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn<'a> {
    /// Cancelled once the caller has cancelled or left the walk.
    pub interrupt: Interrupt<'a>,
    is_first: Question<'a>,
}

#[derive(Clone, Copy)]
struct Question<'a>(&'a dyn Fn() -> bool);

impl<'a> Turn<'a> {
    pub fn new(interrupt: Interrupt<'a>, is_first: &'a dyn Fn() -> bool) -> Self {
        Self { interrupt, is_first: Question(is_first) }
    }

    /// Return the turn of a read without others.
    pub fn only(interrupt: Interrupt<'a>) -> Self {
        Self::new(interrupt, &|| true)
    }

    /// Return `true` once the caller waits for this visit: no visit before it is in progress.
    pub fn is_first(self) -> bool {
        (self.is_first.0)()
    }
}

impl fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}
