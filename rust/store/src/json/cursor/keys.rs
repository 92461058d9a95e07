//! The keys of one object, none of which may occur twice.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Refusal;

/// The keys of an object, to find one that occurs twice.
pub(super) struct Keys<'de> {
    /// The number of keys of the objects around it.
    pub base: usize,
    /// A bit for a hash of each key: a key whose bit is not set is new.
    marks: u64,
    /// The keys of a large object.
    many: Option<HashSet<Cow<'de, str>>>,
}

impl<'de> Keys<'de> {
    /// From here on, a search of all keys costs more than a hash.
    const FEW: usize = 64;

    pub fn new(base: usize) -> Self {
        Self { base, marks: 0, many: None }
    }

    #[inline]
    pub fn add(&mut self, key: Cow<'de, str>, few: &mut Vec<Cow<'de, str>>) -> Result<(), Refusal> {
        let bytes = key.as_bytes();
        let hash = match bytes {
            [first, .., last] => usize::from(*first) + 7 * usize::from(*last) + 13 * bytes.len(),
            _ => bytes.first().map_or(0, |byte| usize::from(*byte)),
        };
        let mark = 1 << (hash % 64);
        let is_new = self.marks & mark == 0;
        self.marks |= mark;
        if let Some(many) = &mut self.many {
            if many.contains(&key) {
                return Err(twice(&key));
            }
            many.insert(key);
            return Ok(());
        }
        let earlier = few.get(self.base..).unwrap_or_default();
        if !is_new && earlier.contains(&key) {
            return Err(twice(&key));
        }
        if earlier.len() < Self::FEW {
            few.push(key);
        } else {
            self.many = Some(few.drain(self.base..).chain([key]).collect());
        }
        Ok(())
    }
}

#[cold]
fn twice(key: &str) -> Refusal {
    Refusal::new(format_args!("has the key {key:?} twice"))
}
