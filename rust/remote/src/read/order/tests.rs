use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn found() -> Found {
    Found { size: 1, etag: None, modified: 0 }
}

/// A listing in an order, and what it released.
struct Run<'k> {
    order: Order,
    keys: &'k BTreeSet<String>,
    released: Vec<(String, Directory)>,
    questions: usize,
    most_held: usize,
}

impl<'k> Run<'k> {
    fn new(keys: &'k BTreeSet<String>, limit: usize) -> Self {
        Self { order: Order::new(limit), keys, released: Vec::new(), questions: 0, most_held: 0 }
    }

    fn of(keys: &'k BTreeSet<String>, limit: usize) -> Self {
        let mut run = Self::new(keys, limit);
        run.push_all(keys.iter());
        run
    }

    fn push_all<'s>(&mut self, sorted: impl Iterator<Item = &'s String>) {
        for key in sorted {
            self.order.push(key.clone(), found());
            self.most_held = self.most_held.max(self.order.held.len());
            while self.order.is_full() {
                match self.order.release() {
                    Ok(released) => {
                        self.released.extend(released);
                        break;
                    }
                    Err(question) => self.answer(question),
                }
            }
        }
        self.released.extend(self.order.finish());
    }

    fn answer(&mut self, question: Question) {
        self.questions += 1;
        let answer = match &question {
            Question::File(key) if self.keys.contains(key) => Answer::File(found()),
            Question::Directory(place) => {
                let below = format!("{place}/");
                match self.keys.range(below.clone()..).next() {
                    Some(key) if key.starts_with(&below) => Answer::Directory,
                    _ => Answer::Absent,
                }
            }
            Question::File(_) => Answer::Absent,
        };
        self.order.answer(question, answer);
    }

    /// Check that a listing that holds everything to the end released the same.
    fn check(&self, sorted: &Run<'_>) {
        let places = |run: &Run<'_>| run.released.iter().map(|(place, _)| place.clone()).collect::<Vec<_>>();
        assert_eq!(places(self), places(sorted));
        for ((place, directory), (_, whole)) in self.released.iter().zip(&sorted.released) {
            let has_record = whole.files.contains_key(RECORD);
            assert_eq!(directory.files.contains_key(RECORD), has_record, "{place}");
            if place.is_empty() {
                // The root is released first, with both its files.
                let has_sidecar = |root: &Directory| root.files.contains_key(SIDECAR);
                assert!(!has_record || has_sidecar(directory) == has_sidecar(whole));
            } else if has_record {
                assert_eq!(directory.files, whole.files, "{place}");
            } else {
                assert!(directory.files.keys().all(|file| whole.files.contains_key(file)), "{place}");
                assert!(whole.directories.starts_with(&directory.directories), "{place}");
                // A directory of directories is not taken for a leftover.
                assert_eq!(directory.directories.is_empty(), whole.directories.is_empty(), "{place}");
            }
        }
    }
}

fn keys() -> impl Strategy<Value = BTreeSet<String>> {
    let name = prop::sample::select(vec![
        "a",
        "a-",
        "a-b",
        "a-b.c",
        "a.b",
        "a0",
        "aé-b",
        "b",
        "b-c",
        ".h",
        "result.json-x",
        "result.j",
        "s",
        "z",
    ]);
    let file =
        prop::sample::select(vec!["result.json", "result.json", "timeseries.parquet", "a", "notes.txt", "z"]);
    let key = (prop::collection::vec(name, 0..4), file).prop_map(|(mut names, file)| {
        names.push(file);
        names.join("/")
    });
    prop::collection::btree_set(key, 0..60)
}

proptest! {
    #[test]
    fn release_gives_what_a_sorted_listing_gives(keys in keys(), limit in 1_usize..12) {
        Run::of(&keys, limit).check(&Run::of(&keys, usize::MAX));
    }

    #[test]
    fn release_of_a_listing_by_components_gives_the_same(keys in keys(), limit in 1_usize..12) {
        let mut by_components: Vec<_> = keys.iter().collect();
        by_components.sort_by_key(|key| components(key));
        let mut run = Run::new(&keys, limit);
        run.push_all(by_components.into_iter());
        prop_assert!(!run.order.holds_all);
        let mut sorted = Run::new(&keys, usize::MAX);
        let mut by_components: Vec<_> = keys.iter().collect();
        by_components.sort_by_key(|key| components(key));
        sorted.push_all(by_components.into_iter());
        run.check(&sorted);
    }
}

#[test]
fn release_of_flat_names_holds_few_and_asks_little() {
    let mut keys = BTreeSet::new();
    for model in ["meta-llama-llama-3.1-8b", "gpt2", "mistralai-mistral-7b-v0.1"] {
        for minute in 0..10_000 {
            let (day, hour, minute) = (minute / 1440, minute / 60 % 24, minute % 60);
            let name = format!("{model}_vllm_2026-02-{:02}T{hour:02}-{minute:02}", 1 + day);
            keys.insert(format!("{name}/{RECORD}"));
            keys.insert(format!("{name}_1/{RECORD}"));
            keys.insert(format!("{name}_1/{SIDECAR}"));
        }
    }
    let run = Run::of(&keys, 2000);
    run.check(&Run::of(&keys, usize::MAX));
    assert!(run.most_held < 2010, "{}", run.most_held);
    // 45 releases: of each, the names of a day and an hour are new.
    assert!(run.questions < 150, "{}", run.questions);
}

#[test]
fn release_of_directories_of_results_holds_few() {
    let keys: BTreeSet<_> = (0..20_000).map(|n| format!("sweep/part-{}/r{n}/{RECORD}", n / 7000)).collect();
    let run = Run::of(&keys, 1000);
    run.check(&Run::of(&keys, usize::MAX));
    assert!(run.most_held < 1010, "{}", run.most_held);
}

#[test]
fn release_of_directory_whose_name_begins_that_of_others_comes_first() {
    let mut keys: BTreeSet<_> = (0..100).map(|n| format!("a-{n:03}/{RECORD}")).collect();
    keys.insert(format!("a/{RECORD}"));
    keys.insert(format!("b/{RECORD}"));
    let run = Run::of(&keys, 10);
    run.check(&Run::of(&keys, usize::MAX));
    assert_eq!(run.released[1].0, "a");
    assert_eq!(run.most_held, 102);
}

#[test]
fn listing_in_no_order_is_held_to_the_end() {
    let keys: BTreeSet<_> = (0..100).map(|n| format!("r{n:03}/{RECORD}")).collect();
    let mut run = Run::new(&keys, 90);
    let mut mixed: Vec<_> = keys.iter().collect();
    mixed.swap(10, 80);
    run.push_all(mixed.into_iter());
    run.check(&Run::of(&keys, usize::MAX));
    assert_eq!(run.questions, 0);
}

#[test]
fn directories_come_in_the_order_of_components_without_those_of_results() {
    let keys = [
        "a-b/result.json",
        "a/result.json",
        "a/below/result.json",
        "a/timeseries.parquet",
        "b/c/result.json",
        "b/notes.txt",
        ".hidden/x/result.json",
        "d/timeseries.parquet",
        "top.txt",
    ];
    let keys = keys.map(str::to_owned).into();
    let listed = Run::of(&keys, usize::MAX).released;
    let places: Vec<_> = listed.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["", "a", "a-b", "b", "b/c", "d"]);
    assert_eq!(listed[0].1.directories, [".hidden", "a-b", "a", "b", "d"]);
    assert_eq!(listed[1].1.files.keys().collect::<Vec<_>>(), ["result.json", "timeseries.parquet"]);
}
