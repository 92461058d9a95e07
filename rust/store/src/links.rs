//! The symlinks to directories of a tree: counted where they are not followed, and chosen where they are.
//!
//! A walk that follows links visits each directory once. The directories that are reached without a link come first,
//! then the links in the order of their paths, so that the choice depends on the tree alone, and a loop ends.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::RECORD;
use crate::fs::dir::{Dir, Identity, Leads, Subdirectories};
use crate::interrupt::Interrupt;

/// The symlinks that a reader of a tree did not follow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkippedLinks {
    /// The number of links to directories.
    pub directories: u64,
    /// The number of links that lead to nothing, to themselves, or to a place that this user cannot see.
    pub broken: u64,
    /// The first link in the order of the paths, relative to the root.
    pub first: Option<PathBuf>,
}

/// The skipped links of a walk in progress.
#[derive(Debug, Default)]
pub struct LinkLog(Mutex<SkippedLinks>);

impl LinkLog {
    /// Return the links that were skipped so far.
    #[must_use]
    pub fn skipped(&self) -> SkippedLinks {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn add(&self, place: &Path, leads: Leads) {
        let mut skipped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match leads {
            Leads::Directory => skipped.directories += 1,
            Leads::Nowhere => skipped.broken += 1,
        }
        if skipped.first.as_deref().is_none_or(|first| place < first) {
            skipped.first = Some(place.to_owned());
        }
    }
}

/// The links that a walk follows, so that it visits each directory once.
#[derive(Debug, Default)]
pub(crate) struct LinkPlan {
    followed: HashSet<PathBuf>,
    /// Directories below followed links that are reached by another path too.
    repeated: HashSet<PathBuf>,
}

impl LinkPlan {
    /// Plan a walk below an open root; stop early, with a part of the plan, once the walk is `closed`.
    ///
    /// Directories that cannot be read are not in the plan: the walk reports them.
    pub fn new(root: &Dir, closed: &dyn Fn() -> bool) -> Self {
        let (plan, seen, links) = (Self::default(), HashSet::new(), BTreeSet::new());
        let mut planner = Planner { root, closed, plan, seen, links };
        planner.explore(Path::new(""), false);
        while let Some(link) = planner.links.pop_first() {
            planner.explore(&link, true);
        }
        planner.plan
    }

    /// Return `true` where a walk enters a directory.
    pub fn enters(&self, place: &Path) -> bool {
        !self.repeated.contains(place)
    }

    /// Return `true` where a walk follows a link.
    pub fn follows(&self, link: &Path) -> bool {
        self.followed.contains(link)
    }
}

struct Planner<'r> {
    root: &'r Dir,
    closed: &'r dyn Fn() -> bool,
    plan: LinkPlan,
    seen: HashSet<Identity>,
    /// Links to directories that were found, and not looked at yet.
    links: BTreeSet<PathBuf>,
}

impl Planner<'_> {
    /// Note the root or the target of a link, and all directories below it that no further link leads to.
    fn explore(&mut self, start: &Path, is_link: bool) {
        let mut waiting = vec![start.to_owned()];
        while let Some(place) = waiting.pop() {
            if (self.closed)() {
                return;
            }
            let opened = self.root.open_dir_below(&place).and_then(|dir| Ok((dir.identity()?, dir)));
            let Ok((identity, dir)) = opened else {
                // The walk enters it, and reports the error.
                self.plan.followed.insert(place);
                continue;
            };
            if !self.seen.insert(identity) && is_link {
                self.plan.repeated.insert(place);
                continue;
            }
            if is_link && place == start {
                self.plan.followed.insert(place.clone());
            }
            self.list(&dir, &place, &mut waiting);
        }
    }

    /// List a directory that the walk searches: one without a record, or the root.
    fn list(&mut self, dir: &Dir, place: &Path, waiting: &mut Vec<PathBuf>) {
        let is_root = place.as_os_str().is_empty();
        if !is_root && dir.is_taken(RECORD.as_ref()).unwrap_or(false) {
            return;
        }
        let closed = |_| (self.closed)();
        let listed = dir.subdirectories(Path::new(""), Interrupt::new(&closed));
        let Ok(Subdirectories { names, links }) = listed else { return };
        waiting.extend(names.into_iter().map(|name| place.join(name)));
        let links = links.into_iter().filter(|link| link.leads == Leads::Directory);
        self.links.extend(links.map(|link| place.join(link.name)));
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Limit;
    use crate::scan::{Documents, RecordCheck, RecordSchema};
    use crate::store::Store;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    /// Return the directories of the results that a walk finds, in its order, and the links that it skips.
    fn walked(root: &Path, follow_links: bool) -> (Vec<String>, SkippedLinks) {
        let schema = r#"[{"name": "schema_version", "kind": "text", "default": "2.0"}]"#;
        let check = RecordCheck::new(&RecordSchema::from_json(schema).unwrap()).unwrap();
        let mut documents =
            Documents::open(&Store::at(root), Arc::new(check), Limit::USUAL, follow_links, Interrupt::NEVER)
                .unwrap();
        let mut found = Vec::new();
        while let Some(read) = documents.next(Interrupt::NEVER).unwrap() {
            let place = |path: &Path| path.parent().unwrap().strip_prefix(root).unwrap().to_owned();
            let places = read.into_iter().map(|document| place(&document.unwrap().path));
            found.extend(places.map(|place| place.into_os_string().into_string().unwrap()));
        }
        (found, documents.links().skipped())
    }

    fn put(root: &Path, places: &[&str]) {
        for place in places {
            fs::create_dir_all(root.join(place)).unwrap();
            fs::write(root.join(place).join(RECORD), b"{}").unwrap();
        }
    }

    #[test]
    fn walk_counts_links_and_does_not_follow_them() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        put(&root, &["a", "b/c"]);
        put(temp.path(), &["outside/d"]);
        symlink("..", root.join("b/up")).unwrap();
        symlink("../outside", root.join("out")).unwrap();
        symlink("nothing", root.join("x")).unwrap();
        symlink("a/result.json", root.join("file")).unwrap();
        symlink("..", root.join(".hidden")).unwrap();
        let expected = SkippedLinks { directories: 2, broken: 1, first: Some("b/up".into()) };
        assert_eq!(walked(&root, false), (vec!["a".into(), "b/c".into()], expected));
    }

    #[test]
    fn walk_following_links_enters_each_directory_once() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        put(&root, &["a", "m/c"]);
        put(temp.path(), &["outside/d", "outside/e/f"]);
        symlink("../m", root.join("m/again")).unwrap();
        symlink("../outside", root.join("l")).unwrap();
        symlink("../outside/e", root.join("k")).unwrap();
        symlink("m", root.join("b")).unwrap();
        symlink("../outside/d", root.join("z")).unwrap();
        symlink("../root", temp.path().join("outside/up")).unwrap();
        symlink("nothing", root.join("x")).unwrap();
        // Directories come before links to them; of two links, the first counts.
        let found = ["a", "k/f", "l/d", "m/c"].map(str::to_owned).to_vec();
        let expected = SkippedLinks { directories: 0, broken: 1, first: Some("x".into()) };
        assert_eq!(walked(&root, true), (found, expected));
    }

    #[test]
    fn walk_following_a_link_above_the_root_ends() {
        let temp = tempfile::tempdir().unwrap();
        put(temp.path(), &["root/a", "near"]);
        symlink("..", temp.path().join("root/up")).unwrap();
        let (found, _) = walked(&temp.path().join("root"), true);
        assert_eq!(found, ["a", "up/near"]);
    }

    #[test]
    fn walk_stopped_while_it_plans_ends() {
        let temp = tempfile::tempdir().unwrap();
        put(temp.path(), &["a", "b"]);
        let root = Dir::open(temp.path()).unwrap().following();
        assert!(LinkPlan::new(&root, &|| true).followed.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Directories 0 to 5 hold results; links lead from any of their parents to any of them.
        #[test]
        fn walk_of_any_links_finds_each_result_once(
            parents in prop::collection::vec(0_usize..6, 6),
            links in prop::collection::vec((0_usize..6, 0_usize..6), 0..12),
        ) {
            let temp = tempfile::tempdir().unwrap();
            // Each directory lies in an earlier one, or next to the root.
            let mut places = vec![temp.path().join("root")];
            for (number, parent) in parents.iter().enumerate() {
                let above = places.get(*parent).map_or(temp.path().join("outside"), Clone::clone);
                places.push(above.join(format!("d{number}")));
            }
            for (number, place) in places.iter().enumerate() {
                put(place, &[&format!("result{number}")]);
            }
            for (number, (from, to)) in links.iter().enumerate() {
                symlink(&places[*to], places[*from].join(format!("link{number}"))).unwrap();
            }
            let (found, skipped) = walked(&places[0], true);
            let mut counts: BTreeMap<_, usize> = BTreeMap::new();
            for place in &found {
                *counts.entry(fs::canonicalize(places[0].join(place)).unwrap()).or_default() += 1;
            }
            prop_assert!(counts.values().all(|count| *count == 1), "{found:?}");
            prop_assert!(found.is_sorted_by(|one, other| Path::new(one) < Path::new(other)), "{found:?}");
            prop_assert_eq!(skipped, SkippedLinks::default());
            prop_assert_eq!(&walked(&places[0], true).0, &found);
            // Every link of a directory that the walk reaches leads to results that it has found.
            for (from, to) in &links {
                let reached = |place: usize| {
                    let result = fs::canonicalize(places[place].join(format!("result{place}"))).unwrap();
                    counts.contains_key(&result)
                };
                prop_assert!(!reached(*from) || reached(*to), "{from} {to} {found:?}");
            }
        }
    }
}
