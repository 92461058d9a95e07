//! Directories in memory, and the steps of one actor on them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::rc::Rc;

use super::ROOT;
use crate::fs::dir::{EntryKind, Nanos};
use crate::inspect::TRASH;
use crate::inspect::place::Place;
use crate::{RECORD, SIDECAR};

/// Nodes that one actor creates at most.
const NODES: usize = 1000;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Node {
    File,
    /// The entries; a removed directory has `None`.
    Directory(Option<BTreeMap<OsString, usize>>),
}

/// The tree, and the actor that has locked each directory.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Tree {
    /// By numbers that name the actor, so that independent steps commute.
    pub(super) nodes: BTreeMap<usize, Node>,
    pub(super) locks: BTreeMap<usize, usize>,
}

/// The answer of a call.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Answer {
    Done,
    Node(usize),
    Flag(bool),
    Entries(Vec<(OsString, EntryKind)>),
    Failed(ErrorKind),
}

/// The faults of a cleaner that the search must find.
#[derive(Clone, Copy, Default)]
pub(super) struct Mutant {
    /// A lock is granted to everybody, as where a file system ignores it.
    pub(super) no_lock: bool,
    /// Nothing is known of the directory that a trace belongs to.
    pub(super) no_owner: bool,
}

/// One step of one actor.
pub(super) struct Run {
    pub(super) tree: Tree,
    pub(super) history: Vec<Answer>,
    /// The calls that were answered from the history.
    pub(super) replayed: usize,
    pub(super) stepped: bool,
    /// The actor wants another step: every further call fails and does nothing.
    pub(super) ended: bool,
    pub(super) actor: usize,
    pub(super) mutant: Mutant,
    pub(super) names: usize,
}

#[derive(Clone)]
pub(super) struct Memory {
    pub(super) run: Rc<RefCell<Run>>,
    pub(super) node: usize,
    pub(super) locked: Rc<RefCell<bool>>,
}

impl Memory {
    fn at(&self, node: usize) -> Self {
        Self { run: self.run.clone(), node, locked: Rc::default() }
    }

    /// Answer a call: from the history, or once by carrying it out.
    fn call(&self, act: impl FnOnce(&mut Run) -> Answer) -> Result<Answer, io::Error> {
        let mut run = self.run.borrow_mut();
        let answer = if run.replayed < run.history.len() {
            run.replayed += 1;
            run.history[run.replayed - 1].clone()
        } else if run.stepped {
            run.ended = true;
            return Err(ErrorKind::Other.into());
        } else {
            run.stepped = true;
            let answer = act(&mut run);
            run.history.push(answer.clone());
            run.replayed += 1;
            answer
        };
        match answer {
            Answer::Failed(kind) => Err(kind.into()),
            answer => Ok(answer),
        }
    }

    fn done(&self, act: impl FnOnce(&mut Tree) -> Result<(), ErrorKind>) -> io::Result<()> {
        self.call(|run| act(&mut run.tree).map_or_else(Answer::Failed, |()| Answer::Done)).map(drop)
    }

    pub(super) fn create(&self, name: &OsStr, node: Node) -> io::Result<()> {
        let actor = self.run.borrow().actor;
        self.done(|tree| tree.create(actor, self.node, name, node))
    }

    fn flag(&self, act: impl FnOnce(&mut Run) -> bool) -> io::Result<bool> {
        Ok(self.call(|run| Answer::Flag(act(run)))? == Answer::Flag(true))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut run = self.run.borrow_mut();
        if *self.locked.borrow() && run.stepped && !run.ended && run.replayed == run.history.len() {
            run.tree.locks.remove(&self.node);
        }
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { nodes: [(ROOT, Node::Directory(Some(BTreeMap::new())))].into(), locks: BTreeMap::new() }
    }

    pub(super) fn entries(&mut self, dir: usize) -> Result<&mut BTreeMap<OsString, usize>, ErrorKind> {
        match self.nodes.get_mut(&dir) {
            Some(Node::Directory(Some(entries))) => Ok(entries),
            Some(Node::File) => Err(ErrorKind::NotADirectory),
            _ => Err(ErrorKind::NotFound),
        }
    }

    fn find(&mut self, dir: usize, name: &OsStr) -> Result<usize, ErrorKind> {
        self.entries(dir)?.get(name).copied().ok_or(ErrorKind::NotFound)
    }

    fn create(&mut self, actor: usize, dir: usize, name: &OsStr, node: Node) -> Result<(), ErrorKind> {
        let first = 1 + actor * NODES;
        let new = first + self.nodes.range(first..first + NODES).count();
        let entries = self.entries(dir)?;
        if entries.contains_key(name) {
            return Err(ErrorKind::AlreadyExists);
        }
        entries.insert(name.to_owned(), new);
        self.nodes.insert(new, node);
        Ok(())
    }

    fn remove_file(&mut self, dir: usize, name: &OsStr) -> Result<(), ErrorKind> {
        self.find(dir, name)?;
        self.entries(dir)?.remove(name);
        Ok(())
    }

    fn remove_dir(&mut self, dir: usize, name: &OsStr) -> Result<(), ErrorKind> {
        let target = self.find(dir, name)?;
        if !self.entries(target)?.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty);
        }
        self.nodes.insert(target, Node::Directory(None));
        self.remove_file(dir, name)
    }

    fn rename(&mut self, from: (usize, &OsStr), to: (usize, &OsStr)) -> Result<(), ErrorKind> {
        let node = self.find(from.0, from.1)?;
        if self.entries(to.0)?.contains_key(to.1) {
            return Err(ErrorKind::AlreadyExists);
        }
        self.entries(from.0)?.remove(from.1);
        self.entries(to.0)?.insert(to.1.to_owned(), node);
        Ok(())
    }

    pub(super) fn has(&mut self, dir: usize, name: &str) -> bool {
        self.find(dir, OsStr::new(name)).is_ok()
    }
}

impl Place for Memory {
    fn make_dir(&self, name: &OsStr) -> io::Result<()> {
        let node = Node::Directory(Some(BTreeMap::new()));
        self.create(name, node)
    }

    fn open_dir(&self, name: &OsStr) -> io::Result<Self> {
        let open = |run: &mut Run| {
            let found = run.tree.find(self.node, name);
            let found = found.and_then(|node| run.tree.entries(node).map(|_| node));
            found.map_or_else(Answer::Failed, Answer::Node)
        };
        match self.call(open)? {
            Answer::Node(node) => Ok(self.at(node)),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }

    fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        self.done(|tree| tree.remove_dir(self.node, name))
    }

    fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        self.done(|tree| tree.remove_file(self.node, name))
    }

    fn move_to(&self, from: &OsStr, target: &Self, to: &OsStr) -> io::Result<()> {
        self.done(|tree| tree.rename((self.node, from), (target.node, to)))
    }

    fn entries(&self) -> io::Result<Vec<(OsString, EntryKind)>> {
        let list = |run: &mut Run| {
            // A removed directory that is open has no entries.
            let entries = run.tree.entries(self.node).map(|entries| entries.clone()).unwrap_or_default();
            let kind = |node: usize| match run.tree.nodes.get(&node) {
                Some(Node::Directory(_)) => EntryKind::Directory,
                _ => EntryKind::File,
            };
            Answer::Entries(entries.into_iter().map(|(name, node)| (name, kind(node))).collect())
        };
        match self.call(list)? {
            Answer::Entries(entries) => Ok(entries),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }

    fn is_taken(&self, name: &OsStr) -> io::Result<bool> {
        self.flag(|run| run.tree.find(self.node, name).is_ok())
    }

    fn has_record(&self) -> bool {
        // No failure is saved here; a second call would only multiply the states.
        self.is_taken(RECORD.as_ref()).unwrap_or(true)
    }

    fn modified(&self) -> io::Result<Nanos> {
        Ok(0)
    }

    fn modified_of(&self, _: &OsStr) -> io::Result<Nanos> {
        Ok(0)
    }

    fn holds(&self, name: &OsStr, dir: &Self) -> bool {
        self.flag(|run| run.tree.find(self.node, name) == Ok(dir.node)).unwrap_or(false)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.node == other.node
    }

    fn inode(&self) -> io::Result<u64> {
        if self.run.borrow().mutant.no_owner {
            Err(ErrorKind::Unsupported.into())
        } else {
            Ok(self.node as u64)
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        let locked = self.flag(|run| {
            let holder = *run.tree.locks.entry(self.node).or_insert(run.actor);
            holder == run.actor || run.mutant.no_lock
        })?;
        *self.locked.borrow_mut() = locked;
        Ok(locked)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn lacks_sidecar(&self) -> bool {
        let lacks = |run: &mut Run| {
            !run.mutant.no_owner && run.tree.has(self.node, RECORD) && !run.tree.has(self.node, SIDECAR)
        };
        self.flag(lacks).unwrap_or(true)
    }

    fn unused_name(&self) -> OsString {
        let mut run = self.run.borrow_mut();
        run.names += 1;
        format!("{TRASH}{}-{}", run.actor, run.names).into()
    }
}
