//! The number of results that a reading expects, for its progress.

use std::sync::Mutex;
use std::sync::PoisonError;

/// The number of results that a listing found; known once the listing has ended.
///
/// A walk learns at a visit that a directory is no result: then it expects the directories in it instead.
#[derive(Debug, Default)]
pub struct Expected(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    results: u64,
    is_listed: bool,
}

impl Expected {
    /// Return the number, once it is known.
    #[must_use]
    pub fn get(&self) -> Option<u64> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.is_listed.then_some(counted.results)
    }

    /// Expect more results.
    pub fn add(&self, results: usize) {
        self.change(|counted| counted.results += results as u64);
    }

    /// Expect other results instead of one.
    pub(crate) fn replace(&self, results: usize) {
        self.change(|counted| counted.results = (counted.results + results as u64).saturating_sub(1));
    }

    /// The listing has ended.
    pub fn end(&self) {
        self.change(|counted| counted.is_listed = true);
    }

    fn change(&self, change: impl FnOnce(&mut Counted)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_before_the_end_of_the_listing_is_none() {
        let expected = Expected::default();
        expected.add(3);
        assert_eq!(expected.get(), None);
        expected.end();
        assert_eq!(expected.get(), Some(3));
        expected.replace(5);
        assert_eq!(expected.get(), Some(7));
    }
}
