//! The directories of a listing, in the order of the components of their paths.
//!
//! The keys of a listing come in the order of their bytes, in which `a-b/x` and `a.b/x` precede `a/x`; readers want `a`
//! first. A key also comes before the record of the directories that it is in. So keys are held. Once they are many, a
//! few [questions](Question) find what can still precede them: directories whose names begin those of the last key, and
//! the records of the directories that it is in. Everything before the last key is then released. A directory `a` that
//! does follow more names `a-...` than are held keeps all of these in memory, and no other tree does.

use std::collections::{BTreeMap, HashMap};
use std::mem;

use llem_store::{RECORD, SIDECAR};

use crate::client::Found;

/// Answers that are remembered.
const MAX_KNOWN: usize = 1024;

/// A directory of a listing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Directory {
    pub files: BTreeMap<String, Found>,
    /// The names of the directories in it; of one that was released before its end, the first ones.
    pub directories: Vec<String>,
}

type Names = Vec<String>;

/// A question that decides whether keys can be released.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// Find an object.
    File(String),
    /// Find any object in a directory.
    Directory(String),
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Absent,
    File(Found),
    Directory,
}

/// The directories of a listing that were not released yet.
#[derive(Debug)]
pub struct Order {
    held: BTreeMap<Names, Directory>,
    /// Keys that may be held before some should be released.
    limit: usize,
    /// Keys since the last release.
    keys: usize,
    /// The last key.
    last: String,
    /// Everything before this directory was released, and the directories that it is in.
    cut: Option<Names>,
    known: HashMap<Question, Answer>,
    /// The keys come in no known order, or a question has no answer: everything is held to the end.
    holds_all: bool,
}

impl Order {
    pub fn new(limit: usize) -> Self {
        Self {
            held: BTreeMap::from([(Names::new(), Directory::default())]),
            limit,
            keys: 0,
            last: String::new(),
            cut: None,
            known: HashMap::new(),
            holds_all: false,
        }
    }

    /// Add the next object.
    pub fn push(&mut self, key: String, found: Found) {
        let mut names: Names = key.split('/').map(str::to_owned).collect();
        let Some(file) = names.pop().filter(|file| !file.is_empty()) else { return };
        // Some stores list by components.
        self.holds_all |= key < self.last && components(&key) < components(&self.last);
        self.last = key;
        self.keys += 1;
        for depth in 0..names.len() {
            if self.is_released(&names[..depth]) {
                continue;
            }
            let above = self.held.entry(names[..depth].to_vec()).or_default();
            // The names come in the order of the keys, in which those of one directory are together.
            if above.directories.last() != Some(&names[depth]) {
                above.directories.push(names[depth].clone());
            }
        }
        if !self.is_released(&names) {
            self.held.entry(names).or_default().files.insert(file, found);
        }
    }

    /// Return `true` for a directory that was released before its end.
    fn is_released(&self, names: &[String]) -> bool {
        self.cut.as_ref().is_some_and(|cut| names.len() < cut.len() && cut.starts_with(names))
    }

    /// Return `true` where so much is held that some should be released.
    pub const fn is_full(&self) -> bool {
        self.keys >= self.limit && !self.holds_all
    }

    /// Hold everything to the end.
    pub const fn hold_all(&mut self) {
        self.holds_all = true;
    }

    /// Note the answer to a question.
    pub fn answer(&mut self, question: Question, answer: Answer) {
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(question, answer);
    }

    /// Release the directories that no later key can precede or belong to, in order.
    ///
    /// # Errors
    ///
    /// The question that has to be answered first.
    pub fn release(&mut self) -> Result<Vec<(String, Directory)>, Question> {
        let (cut, is_result) = self.find_cut()?;
        self.keys = 0;
        let mut rest = self.held.split_off(&cut);
        if is_result {
            // No reader enters a result.
            rest.retain(|names, _| names.len() == cut.len() || !names.starts_with(&cut));
        }
        self.cut = self.cut.take().max(Some(cut));
        Ok(entered(mem::replace(&mut self.held, rest)))
    }

    /// Release the others, at the end of the listing.
    pub fn finish(&mut self) -> Vec<(String, Directory)> {
        entered(mem::take(&mut self.held))
    }

    /// Return the first directory that is not complete, besides those that it is in; `true` for one that is a result.
    fn find_cut(&mut self) -> Result<(Names, bool), Question> {
        let mut names: Names = self.last.split('/').map(str::to_owned).collect();
        if names.len() > 1 {
            names.pop();
        }
        for depth in 0..names.len() {
            let above = &names[..depth];
            if !self.is_released(above) && self.has_record(above)? && depth > 0 {
                return Ok((above.to_vec(), true));
            }
            // No prefix ends inside a character, whose bytes are larger.
            let bytes = names[depth].bytes().enumerate().skip(1);
            for (end, _) in bytes.filter(|(_, byte)| *byte < b'/') {
                let before = [above, &[names[depth][..end].to_owned()]].concat();
                if !self.is_complete(&before)
                    && self.known(Question::Directory(before.join("/")))? != Answer::Absent
                {
                    return Ok((before, false));
                }
            }
        }
        Ok((names, false))
    }

    /// Return `true` for a directory whose keys have come, though its name begins that of a later one: some stores list
    /// by components.
    fn is_complete(&self, names: &Names) -> bool {
        self.held.contains_key(names) || self.cut.as_ref().is_some_and(|cut| names < cut)
    }

    /// Return `true` for a directory with a record; find both files of the root, which is released before its end.
    fn has_record(&mut self, names: &[String]) -> Result<bool, Question> {
        let has_record = self.finds(names, RECORD)?;
        if has_record && names.is_empty() {
            self.finds(names, SIDECAR)?;
        }
        Ok(has_record)
    }

    fn finds(&mut self, names: &[String], file: &str) -> Result<bool, Question> {
        if self.held.get(names).is_some_and(|directory| directory.files.contains_key(file)) {
            return Ok(true);
        }
        let key = [names, &[file.to_owned()]].concat().join("/");
        if self.last >= key {
            return Ok(false);
        }
        let Answer::File(found) = self.known(Question::File(key))? else { return Ok(false) };
        self.held.entry(names.to_vec()).or_default().files.insert(file.to_owned(), found);
        Ok(true)
    }

    fn known(&self, question: Question) -> Result<Answer, Question> {
        self.known.get(&question).cloned().ok_or(question)
    }
}

fn components(key: &str) -> Vec<&str> {
    key.split('/').collect()
}

/// Return the directories that a walk enters.
///
/// It does not enter directories with a dot at the beginning of their names, nor those in a result other than the root.
fn entered(all: BTreeMap<Names, Directory>) -> Vec<(String, Directory)> {
    let mut kept: Vec<(String, Directory)> = Vec::with_capacity(all.len());
    let mut result: Option<Names> = None;
    for (names, mut directory) in all {
        let is_hidden = names.iter().any(|name| name.starts_with('.'));
        let is_inside = result.as_ref().is_some_and(|result| names.starts_with(result));
        if is_hidden || is_inside {
            continue;
        }
        let place = names.join("/");
        if !names.is_empty() && directory.files.contains_key(RECORD) {
            result = Some(names);
        }
        directory.directories.dedup();
        kept.push((place, directory));
    }
    kept
}

#[cfg(test)]
mod tests;
