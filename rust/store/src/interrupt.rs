//! The question that every long operation asks now and then: has the caller cancelled?

use std::fmt;

use crate::error::{Error, Result};

/// A caller's means to cancel a long operation, which reports its progress with the same call.
///
/// ```
/// use llem_store::Interrupt;
///
/// let is_cancelled = |records| records >= 100;
/// let interrupt = Interrupt::new(&is_cancelled);
/// assert!(interrupt.at(99).check().is_ok());
/// assert!(interrupt.at(100).check().is_err());
/// ```
#[derive(Clone, Copy)]
pub struct Interrupt<'a> {
    is_cancelled: &'a dyn Fn(u64) -> bool,
    records: u64,
}

impl<'a> Interrupt<'a> {
    /// The interrupt of a caller that never cancels.
    pub const NEVER: Interrupt<'static> = Interrupt { is_cancelled: &|_| false, records: 0 };

    /// Ask `is_cancelled`, which receives the number of records read so far.
    pub const fn new(is_cancelled: &'a dyn Fn(u64) -> bool) -> Self {
        Self { is_cancelled, records: 0 }
    }

    /// Report another number of records with the next check.
    #[must_use]
    pub const fn at(self, records: u64) -> Self {
        Self { records, ..self }
    }

    /// Return `true` once the caller has cancelled.
    #[must_use]
    pub fn is_cancelled(self) -> bool {
        (self.is_cancelled)(self.records)
    }

    /// Fail once the caller has cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`].
    pub fn check(self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

impl fmt::Debug for Interrupt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt").field("records", &self.records).finish_non_exhaustive()
    }
}
