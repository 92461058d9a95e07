//! Inspection of a store: check it for damage, and remove the leftovers of interrupted saves.

pub mod clean;
mod contents;
mod place;
mod record;
#[cfg(test)]
mod states;
mod trash;
mod verify;

pub(crate) use contents::Contents;
pub use verify::{CheckedRecord, Finding, Inspection, Status, VerifyBatch, VerifyOptions};
pub(crate) use verify::{TRASH, reason, reason_of};

#[cfg(test)]
mod testing {
    use std::fs;
    use std::path::Path;

    /// Write a file below a root, and create its directory.
    pub fn put(root: &Path, path: &str, content: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Return the names in a directory, sorted.
    pub fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
