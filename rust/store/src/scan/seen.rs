//! The last long list under a field: that of the packages is the same in all records of a sweep.

use std::sync::RwLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::json::cursor::Cursor;

/// Bytes of a list that is worth the comparison.
const LEAST: usize = 256;
/// Bytes of a list that is worth the memory.
const MOST: usize = 1 << 16;

/// A list that passed the check of its field; the same bytes pass it again, at the cost of their comparison.
///
/// A list ends with its bracket, so that no longer one begins with the same bytes.
#[derive(Debug, Default)]
pub(super) struct Seen {
    text: RwLock<Box<str>>,
    /// Lists in a row that were others.
    misses: AtomicU32,
}

impl Seen {
    /// Take the list that begins here, if it is the seen one.
    #[inline]
    pub fn take(&self, cursor: &mut Cursor<'_>) -> bool {
        // Another thread may hold the lock to write: then the list is checked.
        let is_seen = self.text.try_read().is_ok_and(|text| !text.is_empty() && cursor.eat(&text));
        if is_seen && self.misses.load(Ordering::Relaxed) > 0 {
            self.misses.store(0, Ordering::Relaxed);
        }
        is_seen
    }

    /// Keep a list that passed the check, more and more rarely where each is another.
    pub fn note(&self, text: &str) {
        if !(LEAST..=MOST).contains(&text.len()) {
            return;
        }
        let misses = self.misses.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if misses.is_power_of_two()
            && let Ok(mut seen) = self.text.try_write()
        {
            *seen = text.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Interrupt;

    fn list(item: &str) -> String {
        format!("[{}\"end\"]", format!("\"{item}\", ").repeat(LEAST / 4))
    }

    fn takes(seen: &Seen, text: &str) -> usize {
        let mut cursor = Cursor::new(text, Interrupt::NEVER);
        assert_eq!(seen.take(&mut cursor), cursor.place() > 0);
        cursor.place()
    }

    #[test]
    fn take_seen_list_ends_behind_it() {
        let (seen, text) = (Seen::default(), list("a==1"));
        assert_eq!(takes(&seen, &text), 0);
        seen.note(&text);
        assert_eq!(takes(&seen, &format!("{text}, 1]")), text.len());
        let others = ["", "[]", &text[..text.len() - 1], &list("a==2"), &text.replacen(", ", ",", 1)];
        assert_eq!(others.map(|other| takes(&seen, other)), [0; 5]);
    }

    #[test]
    fn note_of_short_and_huge_lists_keeps_nothing() {
        let seen = Seen::default();
        for text in ["[]".to_owned(), list(&"x".repeat(MOST))] {
            seen.note(&text);
            assert_eq!(takes(&seen, &text), 0);
        }
    }

    #[test]
    fn note_of_changing_lists_keeps_ever_fewer() {
        let seen = Seen::default();
        let lists: Vec<String> = (0..40).map(|n| list(&n.to_string())).collect();
        let mut kept = Vec::new();
        for (n, text) in lists.iter().enumerate() {
            seen.note(text);
            kept.extend((takes(&seen, text) > 0).then_some(n));
            seen.misses.store(u32::try_from(n).unwrap() + 1, Ordering::Relaxed);
        }
        assert_eq!(kept, [0, 1, 3, 7, 15, 31]);
        seen.misses.store(0, Ordering::Relaxed);
        seen.note(&lists[5]);
        assert!(takes(&seen, &lists[5]) > 0);
    }
}
