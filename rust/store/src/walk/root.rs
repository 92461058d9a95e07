//! The visit of the root of a walk, which may be a result itself.

use std::path::Path;

use super::{FoundRecord, Turn, Visit};
use crate::error::{Error, Result, Step};
use crate::fs::dir::Dir;
use crate::interrupt::Interrupt;
use crate::kind::Kind;

/// Visit the root, if it has a record; return the number of its records.
pub(super) fn visit_root<V: Visit>(
    dir: &Dir,
    kind: Kind,
    visit: &V,
    chunk: &mut V::Chunk,
    interrupt: Interrupt<'_>,
) -> Result<usize> {
    match dir.open_file(Path::new(kind.file())) {
        Ok(Some(_)) if kind.yields_in(dir, Path::new("")) => {}
        Ok(Some(record)) => {
            let found = FoundRecord { root: dir, place: Path::new(""), kind, record };
            visit.visit(chunk, &found, Turn::only(interrupt));
            interrupt.check()?;
            return Ok(1);
        }
        Ok(None) => {}
        Err(error) => visit.fail(chunk, Error::io(Step::Read, dir.path().join(kind.file()), error)),
    }
    Ok(0)
}
