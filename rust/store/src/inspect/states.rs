//! An exhaustive search over all interleavings of a saver, two cleaners, a kill at any step, and a later cleaner.
//!
//! The cleaners run the code of this crate on directories in memory; the saver makes the calls that a crash test
//! compares with those of a real save. One step is one system call. An actor takes its next step by running from its
//! beginning with the recorded answers of its earlier calls, so that a state is the tree and the answers that each
//! actor has seen, and equal states are searched once.
//!
//! Two faults of the protocol before locks and owners, together, let the search find a committed result without its trace.

mod memory;

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::rc::Rc;

use super::TRASH;
use super::clean::{Outcome, clean_one};
use super::place::Place;
use crate::fs::dir::EntryKind;
use crate::{RECORD, SIDECAR};
use memory::{Answer, Memory, Mutant, Node, Run, Tree};

const NAME: &str = "gpt2_pytorch_2026-02-18T14-30";
const ROOT: usize = 0;

/// The calls by which a save of a result with a trace changes the tree, and those of its end where one has failed.
///
/// `tests/crash/test_modelled_save.py` compares them with the calls of the program.
const SAVE_CALLS: &str = include_str!("states/save_calls.txt");

/// Save one result with a trace; return true after the commit.
fn save_one(root: &Memory) -> io::Result<bool> {
    let (save, undo) = SAVE_CALLS.split_once("\n\n").unwrap();
    let mut claim = Claim::default();
    let saved = save.lines().try_for_each(|line| claim.call(root, line));
    if saved.is_err() {
        for line in undo.lines() {
            let _: io::Result<()> = claim.call(root, line);
        }
    }
    saved.map(|()| true)
}

/// The directory of a save, once it is made and open.
#[derive(Default)]
struct Claim {
    name: Option<OsString>,
    dir: Option<Memory>,
}

impl Claim {
    /// Carry out a line of [`SAVE_CALLS`].
    fn call(&mut self, root: &Memory, line: &str) -> io::Result<()> {
        let words: Vec<_> = line.split(' ').map(OsStr::new).collect();
        let missing = || io::Error::from(ErrorKind::NotFound);
        match (words[0].to_str().unwrap(), &words[1..]) {
            ("mkdirat", [_]) => self.name = Some(make_free(root)?),
            (call, [name]) if *name == "NAME" => {
                let name = self.name.as_ref().ok_or_else(missing)?;
                match (call, &self.dir) {
                    ("openat", _) => self.dir = Some(root.open_dir(name)?),
                    ("unlinkat", Some(dir)) if !root.holds(name, dir) => {}
                    ("unlinkat", _) => root.remove_dir(name)?,
                    _ => panic!("{line}"),
                }
            }
            (call, names) => {
                let dir = self.dir.as_ref().ok_or_else(missing)?;
                match (call, names) {
                    ("openat", [name]) => dir.create(name, Node::File)?,
                    ("renameat2", [from, to]) => dir.move_to(from, dir, to)?,
                    ("unlinkat", [name]) => dir.remove_file(name)?,
                    _ => panic!("{line}"),
                }
            }
        }
        Ok(())
    }
}

/// Make the directory `NAME`, `NAME_1`, ...; return its name.
fn make_free(root: &Memory) -> io::Result<OsString> {
    let mut names = (0..).map(|n| if n == 0 { NAME.into() } else { OsString::from(format!("{NAME}_{n}")) });
    let made = names.find_map(|name| match root.make_dir(&name) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
        made => Some(made.map(|()| name)),
    });
    made.unwrap_or_else(|| Err(ErrorKind::Other.into()))
}

/// Clean as `clean` does: list first, then take one leftover after the other.
fn clean_all(root: &Memory) -> io::Result<bool> {
    for (name, kind) in root.entries()? {
        if kind == EntryKind::Directory {
            let _: io::Result<Option<Outcome>> = clean_one(root, &name, false, &mut |_| Ok(true));
        }
    }
    Ok(false)
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Phase {
    Active(Vec<Answer>),
    Ended { succeeded: bool },
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    tree: Tree,
    actors: Vec<Phase>,
}

type Actor = fn(&Memory) -> io::Result<bool>;

fn hash_of(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Let an actor take one step.
fn step(state: &State, actors: &[Actor], actor: usize, mutant: Mutant) -> Option<State> {
    let Phase::Active(history) = &state.actors[actor] else { return None };
    let run = Run {
        tree: state.tree.clone(),
        history: history.clone(),
        replayed: 0,
        stepped: false,
        ended: false,
        actor,
        mutant,
        names: 0,
    };
    let run = Rc::new(RefCell::new(run));
    let root = Memory { run: run.clone(), node: ROOT, locked: Rc::default() };
    let outcome = actors[actor](&root);
    drop(root);
    let Run { tree, history, ended, .. } = Rc::into_inner(run).unwrap().into_inner();
    let mut next = State { tree, actors: state.actors.clone() };
    next.actors[actor] = Phase::Active(history);
    if !ended {
        end(&mut next, actor, outcome.unwrap_or(false));
    }
    Some(next)
}

/// End an actor, killed or not: its locks are free.
fn end(state: &mut State, actor: usize, succeeded: bool) {
    state.actors[actor] = Phase::Ended { succeeded };
    state.tree.locks.retain(|_, holder| *holder != actor);
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    states: usize,
    committed: usize,
    lost: usize,
    left: usize,
}

/// Search every interleaving of the actors, the first `savers` of which save.
fn search(actors: &[Actor], savers: usize, tree: Tree, mutant: Mutant) -> Found {
    let start = State { tree, actors: vec![Phase::Active(Vec::new()); actors.len()] };
    let (mut seen, mut open) = (HashSet::from([hash_of(&start)]), vec![start]);
    let mut found = Found::default();
    while let Some(state) = open.pop().filter(|_| found.lost == 0) {
        found.states += 1;
        let mut reached = Vec::new();
        for actor in 0..actors.len() {
            if let Some(next) = step(&state, actors, actor, mutant) {
                reached.push(next);
                let mut killed = state.clone();
                end(&mut killed, actor, false);
                reached.push(killed);
            }
        }
        if reached.is_empty() {
            judge(state, savers, &mut found, mutant);
        }
        open.extend(reached.into_iter().filter(|state| seen.insert(hash_of(state))));
    }
    found
}

/// Clean once more, alone, and look for each committed result.
fn judge(mut state: State, savers: usize, found: &mut Found, mutant: Mutant) {
    let visible_records = |state: &mut State| {
        let root = state.tree.entries(ROOT).unwrap().clone();
        let visible = |name: &OsStr| !name.as_encoded_bytes().starts_with(b".");
        let dirs: Vec<usize> = root.iter().filter(|(name, _)| visible(name)).map(|(_, dir)| *dir).collect();
        let complete = |dir: &&usize| state.tree.has(**dir, RECORD) && state.tree.has(**dir, SIDECAR);
        dirs.iter().filter(complete).count()
    };
    // A killed saver has committed where a record exists at all.
    let records = |state: &mut State| {
        let all: Vec<usize> = state.tree.nodes.keys().copied().collect();
        all.into_iter().filter(|node| state.tree.has(*node, RECORD)).count()
    };
    let committed = records(&mut state);
    let acknowledged =
        state.actors[..savers].iter().filter(|actor| **actor == Phase::Ended { succeeded: true }).count();
    let later = [clean_all as Actor];
    state.actors = vec![Phase::Active(Vec::new())];
    while let Some(next) = step(&state, &later, 0, mutant) {
        state = next;
    }
    found.committed += committed;
    let kept = visible_records(&mut state);
    found.lost += usize::from(kept < committed.max(acknowledged));
    let left = |name: &OsString| name.as_encoded_bytes().starts_with(TRASH.as_bytes());
    found.left += usize::from(state.tree.entries(ROOT).unwrap().keys().any(left));
}

#[test]
fn search_saver_and_two_cleaners_loses_nothing() {
    let found = search(&[save_one, clean_all, clean_all], 1, Tree::new(), Mutant::default());
    assert_eq!((found.lost, found.left), (0, 0), "{found:?}");
    assert!(found.committed > 0 && found.states > 10_000, "{found:?}");
}

#[test]
fn search_without_locks_and_owners_finds_the_lost_trace() {
    let mutant = Mutant { no_lock: true, no_owner: true };
    let found = search(&[save_one, clean_all, clean_all], 1, Tree::new(), mutant);
    assert!(found.lost > 0, "{found:?}");
}
