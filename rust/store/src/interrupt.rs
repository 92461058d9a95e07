//! The question that every long operation asks now and then: has the caller cancelled?

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

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
