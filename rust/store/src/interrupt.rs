//! The question that every long operation asks now and then: has the caller cancelled?

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// A caller's means to cancel a long operation, which reports its progress with the same call.
///
/// ```
/// use llem_store::{Interrupt, Reached};
///
/// let is_cancelled = |reached: Reached| reached.records >= 100;
/// let interrupt = Interrupt::new(&is_cancelled);
/// assert!(interrupt.at(99, None).check().is_ok());
/// assert!(interrupt.at(100, None).check().is_err());
/// ```
#[derive(Clone, Copy)]
pub struct Interrupt<'a> {
    is_cancelled: &'a dyn Fn(Reached) -> bool,
    reached: Reached,
}

/// How far an operation has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// The number of records that it has read.
    pub records: u64,
    /// The number of records that it expects to read; `None` where it is not known yet.
    pub total: Option<u64>,
}

impl<'a> Interrupt<'a> {
    /// The interrupt of a caller that never cancels.
    pub const NEVER: Interrupt<'static> =
        Interrupt { is_cancelled: &|_| false, reached: Reached { records: 0, total: None } };

    /// Ask `is_cancelled`, which receives how far the operation has come.
    pub const fn new(is_cancelled: &'a dyn Fn(Reached) -> bool) -> Self {
        Self { is_cancelled, reached: Reached { records: 0, total: None } }
    }

    /// Report another number of records with the next check.
    #[must_use]
    pub const fn at(self, records: u64, total: Option<u64>) -> Self {
        Self { reached: Reached { records, total }, ..self }
    }

    /// Return `true` once the caller has cancelled.
    #[must_use]
    pub fn is_cancelled(self) -> bool {
        (self.is_cancelled)(self.reached)
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
        f.debug_struct("Interrupt").field("reached", &self.reached).finish_non_exhaustive()
    }
}

/// The time between two questions of a tight loop.
const INTERVAL: Duration = Duration::from_millis(20);

/// An interrupt for a tight loop, in which most checks cost only a look at the clock.
pub(crate) struct Pace<'a> {
    interrupt: Interrupt<'a>,
    asked: Option<Instant>,
}

impl<'a> Pace<'a> {
    pub const fn new(interrupt: Interrupt<'a>) -> Self {
        Self { interrupt, asked: None }
    }

    /// Return `true` once the caller has cancelled; the first call only notes the time.
    pub fn is_cancelled(&mut self) -> bool {
        let now = Instant::now();
        let asked = *self.asked.get_or_insert(now);
        if now.duration_since(asked) < INTERVAL {
            return false;
        }
        self.asked = Some(now);
        self.interrupt.is_cancelled()
    }

    /// Fail once the caller has cancelled.
    pub fn check(&mut self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Fail with [`io::ErrorKind::Interrupted`] once the caller has cancelled.
    pub fn check_io(&mut self) -> io::Result<()> {
        if self.is_cancelled() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::thread;

    #[test]
    fn pace_check_asks_once_per_interval() {
        let asked = Cell::new(0);
        let is_cancelled = |_| {
            asked.set(asked.get() + 1);
            asked.get() > 1
        };
        let mut pace = Pace::new(Interrupt::new(&is_cancelled));
        let mut checks = 0;
        while pace.check().is_ok() {
            checks += 1;
            thread::sleep(INTERVAL / 10);
        }
        assert_eq!(asked.get(), 2);
        assert!((2..=40).contains(&checks), "{checks}");
    }
}
