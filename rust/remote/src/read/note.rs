//! The objects of a result as a listing shows them, in a few bytes, so that no reader lists them again.

use llem_store::{FAILURE, RECORD, SIDECAR};

use super::Files;
use super::order::Directory;
use crate::client::Found;
use crate::fields::take;

/// The names of the objects, by their numbers in a note.
const NAMES: [&str; 3] = [RECORD, SIDECAR, FAILURE];

/// Return the note of the objects of a result.
pub fn note(files: &Files) -> Vec<u8> {
    let mut note = Vec::new();
    for (kind, name) in NAMES.into_iter().enumerate() {
        let Some(found) = files.get(name) else { continue };
        note.extend(u8::try_from(kind));
        note.extend(found.size.to_le_bytes());
        note.extend(found.modified.to_le_bytes());
        let etag = found.etag.as_deref().unwrap_or_default().as_bytes();
        // An etag is a hash in hexadecimal digits; without it, the cache has no such object.
        let length = u8::try_from(etag.len()).unwrap_or(0);
        note.push(length);
        note.extend(&etag[..length.into()]);
    }
    note
}

/// Return the objects of a result by their note; `None` if it is not one.
pub fn noted(mut note: &[u8]) -> Option<Directory> {
    let mut files = Files::new();
    while let Some([kind]) = take(&mut note) {
        let size = u64::from_le_bytes(take(&mut note)?);
        let modified = i64::from_le_bytes(take(&mut note)?);
        let [length] = take(&mut note)?;
        let (etag, rest) = note.split_at_checked(length.into())?;
        note = rest;
        let etag = Some(String::from_utf8(etag.to_vec()).ok()?).filter(|etag| !etag.is_empty());
        let name = *NAMES.get(usize::from(kind))?;
        files.insert(name.to_owned(), Found { size, etag, modified });
    }
    Some(Directory { files, directories: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_of_objects_returns_them() {
        let found = |size, etag: Option<&str>| Found {
            size,
            etag: etag.map(str::to_owned),
            modified: -size.cast_signed(),
        };
        let files = Files::from([
            (RECORD.to_owned(), found(9000, Some("0123abcd-2"))),
            (SIDECAR.to_owned(), found(1 << 40, None)),
        ]);
        let note = note(&files);
        assert_eq!(noted(&note).unwrap().files, files);
        assert!((1..note.len()).filter(|length| noted(&note[..*length]).is_some()).count() <= 1);
    }
}
