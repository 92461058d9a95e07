//! One record, and the sidecar that it names.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use super::{Status, reason};
use crate::error::{Error, Step};
use crate::load::check_name;
use crate::scan::RecordCheck;
use crate::storage::Entry;
use crate::timeseries::{Power, TraceFile, TraceMemory};
use crate::walk::Turn;
use crate::{RECORD, SIDECAR};

/// Check a record and look for the sidecar that it names; a deep check also reads the sidecar to its last page.
///
/// Return the power and energy of each GPU where the check is deep, the result has a sidecar, and it fits into memory.
///
/// # Errors
///
/// The status and the problem, where the result is not complete.
pub(super) fn check(
    entry: &dyn Entry,
    record: &[u8],
    check: &RecordCheck,
    deep: Option<&TraceMemory>,
    turn: Turn<'_>,
) -> Result<Option<BTreeMap<i32, Power>>, (Status, String)> {
    let sidecar = check
        .check(record, turn.interrupt)
        .map_err(|fault| (Status::Damaged, format!("{RECORD} ({} bytes) {fault}", record.len())))?;
    let exists = |name: &str| entry.has_file(name);
    let name = match &sidecar {
        Some(name) => {
            check_name(name, || exists(name)).map_err(|fault| {
                (Status::MissingSidecar, format!("{RECORD} names {name:?} as its sidecar, {fault}"))
            })?;
            name
        }
        None if deep.is_some() && exists(SIDECAR) => SIDECAR,
        None => return Ok(None),
    };
    let Some(memory) = deep else { return Ok(None) };
    read_through(entry, name, memory, turn).map_err(|problem| (Status::Damaged, problem))
}

fn read_through(
    entry: &dyn Entry,
    name: &str,
    memory: &TraceMemory,
    turn: Turn<'_>,
) -> Result<Option<BTreeMap<i32, Power>>, String> {
    let path = entry.path_of(name);
    let opened = entry.open(name).and_then(|source| {
        source.ok_or_else(|| Error::io(Step::ReadTimeseries, &path, ErrorKind::NotFound.into()))
    });
    let read = opened
        .and_then(|source| TraceFile::from_source(source, &path))
        .and_then(|file| file.read_through(memory, turn));
    read.map_err(|error| match error {
        Error::NotATrace { size, reason, .. } => {
            format!("{name} ({size} bytes) is not a power trace: {reason}")
        }
        Error::DamagedTrace { size, reason, .. } => {
            format!("{name} ({size} bytes) is not a complete power trace: {reason}")
        }
        error => format!("{name} cannot be read: {}", reason(&error)),
    })
}
