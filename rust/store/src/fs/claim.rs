//! The claim of a directory by one save.
//!
//! `mkdir` decides every claim; no test for existence ever does. The suffix to *begin* with is only a hint: the last
//! one that this process claimed under the name, or the result of a galloping search with existence probes. So the n-th save under
//! one name costs O(log n) system calls in a fresh process and O(1) after that, on NFS without listing.
//!
//! Another program may have taken any name. Where the search meets taken names up to [`LAST`], each name is tried in
//! turn, from the first.

mod hint;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{At, Error, Result, Step};
use crate::fs::dir::Dir;
use crate::interrupt::{Interrupt, Pace};
use hint::Hint;

/// The last suffix that a save gives. Ten digits fit the longest name, and a [`Hint`].
const LAST: u64 = u32::MAX as u64;

/// A directory that belongs to one save.
///
/// Dropped without [`Claim::keep`], it removes the directory and what this save put into it.
#[derive(Debug)]
pub struct Claim {
    root: Arc<Dir>,
    name: OsString,
    dir: Arc<Dir>,
    contents: Vec<&'static str>,
    kept: bool,
}

impl Claim {
    /// The claimed directory.
    pub fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// Note a file of this save, to be removed with the claim.
    pub fn holds(&mut self, file: &'static str) {
        self.contents.push(file);
    }

    /// Remove a file of this save.
    pub fn take_back(&mut self, file: &'static str) -> io::Result<()> {
        self.dir.remove_file(file.as_ref())?;
        self.contents.retain(|held| *held != file);
        Ok(())
    }

    /// Leave the directory where it is.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        for file in &self.contents {
            let _ = self.dir.remove_file(file.as_ref());
        }
        // A clean may have moved the directory away, and another save claimed the name since.
        if self.root.holds(&self.name, &self.dir) {
            let _ = self.root.remove_dir(&self.name);
        }
    }
}

/// Claim `base`, or the first free one of `base_1`, `base_2`, ... in a directory.
pub fn claim(root: &Arc<Dir>, base: &OsStr, interrupt: Interrupt<'_>) -> Result<Claim> {
    let hint = Hint::of(root.path(), base);
    let (claim, suffix) = claim_from(root, base, hint.start(root, base), LAST, interrupt)?;
    hint.set(suffix);
    Ok(claim)
}

/// Claim `base_n` for a free n from `suffix` on, where 0 means `base` itself; returns n too.
fn claim_from(
    root: &Arc<Dir>,
    base: &OsStr,
    mut suffix: u64,
    last: u64,
    interrupt: Interrupt<'_>,
) -> Result<(Claim, u64)> {
    let claim_error = |name: &OsStr, error| Error::io(Step::Claim, root.path().join(name), error);
    let mut pace = Pace::new(interrupt);
    let mut in_turn = suffix > last;
    if in_turn {
        suffix = 0;
    }
    let name = loop {
        pace.check()?;
        let name = suffixed(base, suffix);
        match root.make_dir(&name) {
            Ok(()) => break name,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(claim_error(&name, error)),
        }
        if in_turn && suffix >= last {
            return Err(claim_error(base, all_taken(base, last)));
        } else if in_turn {
            suffix += 1;
            continue;
        }
        let free = first_free_after(suffix, last, |n| root.is_taken(&suffixed(base, n)));
        let free = free.map_err(|error| claim_error(&name, error))?;
        in_turn = free.is_none();
        suffix = free.unwrap_or(0);
    };
    match root.open_dir(&name) {
        Ok(dir) => {
            let claim =
                Claim { root: root.clone(), name, dir: Arc::new(dir), contents: Vec::new(), kept: false };
            Ok((claim, suffix))
        }
        Err(error) => {
            let _ = root.remove_dir(&name);
            Err(error).at(Step::Claim, || root.path().join(name))
        }
    }
}

/// A counter of suffixes for the saves of one process, which needs no look at the directory.
///
/// A suffix that another process took meanwhile costs another search, as in [`claim`].
#[derive(Debug, Default)]
pub struct SuffixCounter(Mutex<HashMap<OsString, u64>>);

/// Maximum number of remembered names; a sweep over more models searches again for those that it forgot.
const REMEMBERED: usize = 4096;

impl SuffixCounter {
    /// Claim the next free one of `base`, `base_1`, ...
    pub fn claim(&self, root: &Arc<Dir>, base: &OsStr, interrupt: Interrupt<'_>) -> Result<Claim> {
        let hint = Hint::of(root.path(), base);
        let next = self.take(base, || hint.start(root, base));
        let (claim, suffix) = claim_from(root, base, next, LAST, interrupt)?;
        if suffix != next {
            self.skip_to(base, suffix + 1);
        }
        hint.set(suffix);
        Ok(claim)
    }

    fn take(&self, base: &OsStr, first: impl FnOnce() -> u64) -> u64 {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = names.get_mut(base) {
            *next += 1;
            return *next - 1;
        }
        if names.len() >= REMEMBERED {
            names.clear();
        }
        let first = first();
        names.insert(base.to_owned(), first + 1);
        first
    }

    fn skip_to(&self, base: &OsStr, suffix: u64) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = names.get_mut(base) {
            // Past the last one, the search began again from the first.
            *next = if *next > LAST { suffix } else { suffix.max(*next) };
        }
    }
}

fn suffixed(base: &OsStr, suffix: u64) -> OsString {
    let mut name = base.to_owned();
    if suffix > 0 {
        name.push(format!("_{suffix}"));
    }
    name
}

fn all_taken(base: &OsStr, last: u64) -> io::Error {
    let base = base.display();
    let said =
        format!("expected a free name from {base} to {base}_{last}, got none; save into another directory");
    io::Error::new(ErrorKind::AlreadyExists, said)
}

/// Return a free suffix with a taken predecessor, above a taken one; `None` where the search finds none up to `last`.
///
/// Strides of 4^k bracket it and halving closes in: at most 1.5·log2(n) + 4 probes for n taken ones.
fn first_free_after(
    mut taken: u64,
    last: u64,
    mut is_taken: impl FnMut(u64) -> io::Result<bool>,
) -> io::Result<Option<u64>> {
    let mut stride = 1_u64;
    let mut free = taken;
    loop {
        if taken >= last {
            return Ok(None);
        }
        free = free.saturating_add(stride).min(last);
        if !is_taken(free)? {
            break;
        }
        taken = free;
        stride = stride.saturating_mul(4);
    }
    while free - taken > 1 {
        let middle = taken + (free - taken) / 2;
        let half = if is_taken(middle)? { &mut taken } else { &mut free };
        *half = middle;
    }
    Ok(Some(free))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::fs;

    fn root() -> (tempfile::TempDir, Arc<Dir>) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Arc::new(Dir::open(temp.path()).unwrap());
        (temp, dir)
    }

    fn claimed(root: &Arc<Dir>, base: &str) -> String {
        let mut claim = claim(root, base.as_ref(), Interrupt::NEVER).unwrap();
        claim.keep();
        claim.name.to_str().unwrap().to_owned()
    }

    #[test]
    fn claim_taken_names_returns_first_free_suffix() {
        let (temp, root) = root();
        for taken in ["b", "b_1", "b_2"] {
            fs::create_dir(temp.path().join(taken)).unwrap();
        }
        assert_eq!([claimed(&root, "b"), claimed(&root, "b"), claimed(&root, "c")], ["b_3", "b_4", "c"]);
    }

    #[test]
    fn claim_next_to_file_or_dangling_symlink_skips_it() {
        let (temp, root) = root();
        fs::write(temp.path().join("b"), "").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("nowhere", temp.path().join("b_1")).unwrap();
        #[cfg(not(unix))]
        fs::write(temp.path().join("b_1"), "").unwrap();
        assert_eq!(claimed(&root, "b"), "b_2");
    }

    #[test]
    fn claim_after_deletion_begins_again() {
        let (temp, root) = root();
        assert_eq!([claimed(&root, "b"), claimed(&root, "b")], ["b", "b_1"]);
        fs::remove_dir(temp.path().join("b")).unwrap();
        fs::remove_dir(temp.path().join("b_1")).unwrap();
        assert_eq!(claimed(&root, "b"), "b");
    }

    #[test]
    fn claim_after_other_processes_skips_theirs() {
        let (temp, root) = root();
        assert_eq!(claimed(&root, "b"), "b");
        for n in 1..500 {
            fs::create_dir(temp.path().join(format!("b_{n}"))).unwrap();
        }
        assert_eq!(claimed(&root, "b"), "b_500");
    }

    #[test]
    fn claim_dropped_leaves_nothing() {
        let (temp, root) = root();
        let mut abandoned = claim(&root, "b".as_ref(), Interrupt::NEVER).unwrap();
        fs::write(temp.path().join("b/ours"), "").unwrap();
        abandoned.holds("ours");
        drop(abandoned);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn claim_in_racing_threads_returns_one_directory_each() {
        let (temp, root) = root();
        let names: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..100).map(|_| claimed(&root, "b")).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 800);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 800);
    }

    #[test]
    fn counter_claim_returns_free_suffixes_in_order() {
        let (temp, root) = root();
        for taken in ["b", "b_1", "b_4"] {
            fs::create_dir(temp.path().join(taken)).unwrap();
        }
        let names = SuffixCounter::default();
        let claimed = || {
            let mut claim = names.claim(&root, "b".as_ref(), Interrupt::NEVER).unwrap();
            claim.keep();
            claim.name.to_str().unwrap().to_owned()
        };
        assert_eq!([claimed(), claimed(), claimed(), claimed()], ["b_2", "b_3", "b_5", "b_6"]);
        fs::create_dir(temp.path().join("b_7")).unwrap();
        assert_eq!(claimed(), "b_8");
    }

    #[test]
    fn counter_take_does_not_probe() {
        let (temp, root) = root();
        let names = SuffixCounter::default();
        names.claim(&root, "b".as_ref(), Interrupt::NEVER).unwrap().keep();
        // A probe would find these holes, and a listing the last of them.
        for n in [3_u64, 4, 5] {
            assert_eq!(names.take("c".as_ref(), || 3), n);
        }
        assert!(!temp.path().join("c_3").exists());
    }

    #[test]
    fn claim_in_removed_root_names_the_step() {
        let (temp, root) = root();
        fs::remove_dir(temp.path()).unwrap();
        let error = claim(&root, "b".as_ref(), Interrupt::NEVER).unwrap_err();
        assert!(error.is_io(ErrorKind::NotFound) && error.step() == Step::Claim, "{error}");
    }

    #[test]
    fn first_free_after_n_taken_probes_log_n_times() {
        for n in (1_u64..3000).chain([9_999, 10_000, 10_001, 65_536, 1_000_000]) {
            let mut probes = 0;
            let free = first_free_after(0, LAST, |suffix| {
                probes += 1;
                Ok(suffix < n)
            });
            assert_eq!(free.unwrap(), Some(n));
            let mkdirs = 2;
            let bound = 2.0 * f64::from(u32::try_from(n).unwrap()).log2() + 4.0;
            assert!(f64::from(probes + mkdirs) <= bound, "{n} taken: {probes} probes and {mkdirs} mkdirs");
        }
    }

    #[test]
    fn first_free_after_with_holes_returns_free_suffix() {
        let taken: HashSet<u64> = [0, 1, 2, 4, 5, 6, 7, 30].into();
        let free = first_free_after(0, LAST, |suffix| Ok(taken.contains(&suffix))).unwrap().unwrap();
        assert!(!taken.contains(&free) && taken.contains(&(free - 1)));
    }

    #[test]
    fn first_free_after_without_free_suffix_ends() {
        for (taken, last) in [(0, LAST), (0, u64::MAX), (u64::MAX, u64::MAX), (LAST, LAST), (7, 0)] {
            let mut probes = 0;
            let free = first_free_after(taken, last, |_| {
                probes += 1;
                Ok(true)
            });
            assert_eq!(free.unwrap(), None);
            assert!(probes <= 34, "{probes}");
        }
    }

    #[test]
    fn claim_next_to_names_that_end_the_search_returns_first_free_one() {
        let (temp, root) = root();
        fs::create_dir(temp.path().join("b")).unwrap();
        let (mut suffix, mut stride) = (0, 1_u64);
        while suffix < LAST {
            suffix = LAST.min(suffix + stride);
            stride *= 4;
            fs::create_dir(temp.path().join(format!("b_{suffix}"))).unwrap();
        }
        assert_eq!([claimed(&root, "b"), claimed(&root, "b"), claimed(&root, "b")], ["b_2", "b_3", "b_4"]);
        assert_eq!([claimed(&root, "b"), claimed(&root, "b")], ["b_6", "b_7"]);
    }

    #[test]
    fn claim_without_free_name_fails() {
        let (temp, root) = root();
        for taken in ["b", "b_1", "b_2"] {
            fs::create_dir(temp.path().join(taken)).unwrap();
        }
        let base = OsStr::new("b");
        for start in 0..5 {
            let error = claim_from(&root, base, start, 2, Interrupt::NEVER).unwrap_err();
            assert!(error.is_io(ErrorKind::AlreadyExists) && error.to_string().contains("b_2"), "{error}");
        }
        fs::remove_dir(temp.path().join("b_1")).unwrap();
        assert_eq!(claim_from(&root, base, 3, 2, Interrupt::NEVER).unwrap().1, 1);
    }
}
