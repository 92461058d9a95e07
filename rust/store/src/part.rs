//! Parts of a location: results of one listing, which a reader reads without another listing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::dir::Dir;
use crate::interrupt::Interrupt;
use crate::links::SkippedLinks;
use crate::storage::{Entry, FoundDirectory, Storage, Wanted};
use crate::walk::{Tree, Turn, Visit};
use crate::{FAILURE, RECORD};

/// Results of one listing, in its order; also the directories that could not be listed, whose readers meet the error.
///
/// A result takes about 50 bytes: the bytes of its path, and what its location notes of it.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Part {
    entries: Vec<u8>,
    count: usize,
}

/// The weight of a result, where parts are to be of equal weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Each result counts as one.
    Count,
    /// A result counts as the bytes of its record.
    Bytes,
    /// A result counts as the time of its save, in microseconds since 1970: for [`Listed::newest`].
    Time,
}

/// All results of a location.
#[derive(Debug)]
pub struct Listed {
    /// The results.
    pub part: Part,
    /// The weight of each.
    weights: Vec<u64>,
    /// The number of failures that a listing of results met.
    pub failures: u64,
    /// The symbolic links that were not followed.
    pub links: SkippedLinks,
}

impl Listed {
    /// List the results of a location, or those of a part of it, without reading their records.
    ///
    /// ```
    /// use llem_store::part::{Listed, Weight};
    /// use llem_store::{Interrupt, Store, Wanted};
    ///
    /// # let temp = tempfile::tempdir()?;
    /// for name in ["a", "b", "c"] {
    ///     std::fs::create_dir(temp.path().join(name))?;
    ///     std::fs::write(temp.path().join(name).join("result.json"), "{}")?;
    /// }
    /// let listed = Listed::of(&Store::at(temp.path()), &Wanted::Names, Weight::Count, false, Interrupt::NEVER)?;
    /// let parts = listed.split(2);
    /// assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The root cannot be listed; the caller cancels.
    pub fn of(
        storage: &Arc<dyn Storage>,
        wanted: &Wanted,
        weight: Weight,
        follow_links: bool,
        interrupt: Interrupt<'_>,
    ) -> Result<Self> {
        let visitor = Arc::new(Names { root: storage.root().to_owned(), weight });
        let mut tree = Tree::of(storage, wanted, visitor, follow_links, interrupt)?;
        let mut listed =
            Self { part: Part::default(), weights: Vec::new(), failures: 0, links: SkippedLinks::default() };
        while let Some(chunk) = tree.next(tree.reach(listed.part.count as u64, interrupt))? {
            listed.part.append(&chunk.part);
            listed.weights.extend(chunk.weights);
            listed.failures += chunk.failures;
            tree.reach(listed.part.count as u64, interrupt).check()?;
        }
        listed.links = tree.links().skipped();
        Ok(listed)
    }

    /// Return the results of an earlier listing, without their sizes.
    pub(crate) fn again(part: &Part) -> Self {
        Self { part: part.clone(), weights: Vec::new(), failures: 0, links: SkippedLinks::default() }
    }

    /// Return the newest results, the newest first, of a listing by [`Weight::Time`].
    #[must_use]
    pub fn newest(&self, count: usize) -> Part {
        let mut newest = BinaryHeap::new();
        for (index, (place, note)) in self.part.raw().enumerate() {
            newest.push(Reverse((self.weights.get(index).copied().unwrap_or(0), place, note)));
            if newest.len() > count {
                newest.pop();
            }
        }
        let mut part = Part::default();
        newest.into_sorted_vec().iter().for_each(|Reverse((_, place, note))| part.push(place, note));
        part
    }

    /// Divide the results into at most so many parts of about equal weights, in their order. No part is empty, except
    /// the only part of a location without results.
    #[must_use]
    pub fn split(&self, parts: usize) -> Vec<Part> {
        let parts = parts.clamp(1, self.part.count.max(1));
        let weight_of = |index: usize| self.weights.get(index).copied().unwrap_or(1).max(1);
        let mut left: u128 = (0..self.part.count).map(|index| u128::from(weight_of(index))).sum();
        let mut all = Vec::with_capacity(parts);
        let (mut part, mut weight) = (Part::default(), 0_u128);
        for (index, (place, note)) in self.part.raw().enumerate() {
            let missing = parts - all.len();
            let own = u128::from(weight_of(index));
            // As many results must remain as parts; a result goes where it leaves the parts most equal.
            let is_full = part.count > 0 && (2 * weight + own) * missing as u128 > 2 * left;
            let must_end = self.part.count - index < missing;
            if missing > 1 && (is_full || (part.count > 0 && must_end)) {
                left -= weight;
                all.push(std::mem::take(&mut part));
                weight = 0;
            }
            part.push(place, note);
            weight += own;
        }
        all.push(part);
        all
    }
}

impl Part {
    /// Return the number of results.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Return whether there is no result.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Return the directories relative to the root, each with what its location noted of it.
    pub fn iter(&self) -> impl Iterator<Item = (PathBuf, &[u8])> {
        self.raw().map(|(place, note)| (to_path(place), note))
    }

    /// Return the bytes that [`Part::from_bytes`] takes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.entries
    }

    /// Return the part that bytes stand for; `None` if they are not those of a part.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (mut rest, mut count) = (bytes, 0);
        while !rest.is_empty() {
            take(&mut rest)?;
            take(&mut rest)?;
            count += 1;
        }
        Some(Self { entries: bytes.to_vec(), count })
    }

    fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.entries.as_slice();
        std::iter::from_fn(move || Some((take(&mut rest)?, take(&mut rest)?)))
    }

    fn push(&mut self, place: &[u8], note: &[u8]) {
        for text in [place, note] {
            // A path has at most some thousand bytes, and so has a note.
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            self.entries.extend_from_slice(&length.to_le_bytes());
            self.entries.extend_from_slice(&text[..length as usize]);
        }
        self.count += 1;
    }

    fn append(&mut self, other: &Self) {
        self.entries.extend_from_slice(&other.entries);
        self.count += other.count;
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Part({} results)", self.count)
    }
}

fn take<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (taken, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(unix)]
fn to_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(bytes.to_owned()).into()
}

#[cfg(not(unix))]
fn to_path(bytes: &[u8]) -> PathBuf {
    OsString::from(String::from_utf8_lossy(bytes).into_owned()).into()
}

/// The visitor of a listing.
struct Names {
    root: PathBuf,
    weight: Weight,
}

#[derive(Default)]
struct NamesChunk {
    part: Part,
    weights: Vec<u64>,
    failures: u64,
}

impl Visit for Names {
    type Chunk = NamesChunk;

    fn begin(&self) -> NamesChunk {
        NamesChunk::default()
    }

    fn visit(&self, chunk: &mut NamesChunk, entry: &dyn Entry, _: Turn<'_>) {
        chunk.part.push(entry.place().as_os_str().as_encoded_bytes(), &entry.note());
        // The reader of the part meets the error.
        match self.weight {
            Weight::Count => {}
            Weight::Bytes => chunk.weights.push(entry.size().unwrap_or(0)),
            Weight::Time => {
                chunk.weights.push(entry.saved_at().map_or(0, |time| u64::try_from(time).unwrap_or(0)));
            }
        }
    }

    fn search(&self, chunk: &mut NamesChunk, root: &Dir, place: &Path, _: Interrupt<'_>) {
        chunk.failures += u64::from(root.has_file(&place.join(FAILURE)));
    }

    fn meet(&self, chunk: &mut NamesChunk, found: FoundDirectory) {
        chunk.failures += u64::from(found.has_file(FAILURE));
    }

    fn fail(&self, chunk: &mut NamesChunk, error: Error) {
        let place = error.path().and_then(|path| path.strip_prefix(&self.root).ok());
        let place = place.map(|place| match place.file_name() {
            Some(name) if name == RECORD || name == FAILURE => place.parent().unwrap_or(place),
            _ => place,
        });
        let place = place.unwrap_or(Path::new(""));
        chunk.part.push(place.as_os_str().as_encoded_bytes(), &[]);
        if self.weight != Weight::Count {
            chunk.weights.push(0);
        }
    }

    fn is_full(&self, _: &NamesChunk) -> bool {
        false
    }

    fn is_empty(&self, chunk: &NamesChunk) -> bool {
        chunk.part.is_empty() && chunk.failures == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(weights: &[u64]) -> Listed {
        let mut part = Part::default();
        (0..weights.len()).for_each(|index| part.push(format!("r{index}").as_bytes(), b"note"));
        Listed { part, weights: weights.to_vec(), failures: 0, links: SkippedLinks::default() }
    }

    proptest! {
        #[test]
        fn split_keeps_each_result_once_in_order(
            weights in prop::collection::vec(0_u64..1000, 0..40), parts in 0_usize..50,
        ) {
            let listed = listed(&weights);
            let split = listed.split(parts);
            prop_assert_eq!(split.len(), parts.clamp(1, weights.len().max(1)));
            prop_assert!(split.iter().all(|part| weights.is_empty() || !part.is_empty()));
            let joined: Vec<_> = split.iter().flat_map(Part::iter).collect();
            prop_assert_eq!(joined, listed.part.iter().collect::<Vec<_>>());
            for part in split {
                prop_assert_eq!(Part::from_bytes(part.as_bytes()), Some(part));
            }
        }

        #[test]
        fn split_by_equal_weights_returns_equal_parts(count in 1_usize..200, parts in 1_usize..20) {
            let lengths: Vec<_> = listed(&vec![7; count]).split(parts).iter().map(Part::len).collect();
            let (least, most) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
            prop_assert!(most - least <= 1, "{lengths:?}");
        }

        #[test]
        fn read_part_of_any_bytes_returns(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(part) = Part::from_bytes(&bytes) {
                prop_assert_eq!(part.iter().count(), part.len());
            }
        }
    }

    #[test]
    fn newest_returns_the_last_saves_in_reverse() {
        let listed = listed(&[5, 9, 0, 7, 9]);
        let names = |count| {
            let newest = listed.newest(count);
            newest.iter().map(|(place, _)| place.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(0), Vec::<String>::new());
        assert_eq!(names(3), ["r4", "r1", "r3"]);
        assert_eq!(names(9), ["r4", "r1", "r3", "r0", "r2"]);
        assert_eq!(listed.newest(1).iter().next().unwrap().1, b"note");
    }

    #[test]
    fn split_by_bytes_balances_the_weights() {
        let sums = |weights: &[u64], parts| {
            let mut rest = weights.iter();
            let split = listed(weights).split(parts);
            split.iter().map(|part| rest.by_ref().take(part.len()).sum::<u64>()).collect::<Vec<_>>()
        };
        assert_eq!(sums(&[1, 1, 1, 9, 1, 1, 1], 3), [3, 9, 3]);
        assert_eq!(sums(&[9, 1, 1, 1], 2), [9, 3]);
        assert_eq!(sums(&[0, 0, 0], 3), [0, 0, 0]);
    }
}
