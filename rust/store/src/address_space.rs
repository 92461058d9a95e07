//! The address space that is left to the process, where `ulimit -v` limits it.
//!
//! An allocation that fails in Rust ends the process. The allocator of glibc reserves 64 MiB of address space for each
//! of the first threads (8 per core). So a limited process starts fewer threads, reads less ahead, and checks for room
//! before each step whose size depends on a file.

use std::io::{self, ErrorKind};

/// The address space of a thread: its stack, and its share of the allocator.
const PER_THREAD: u64 = (64 + 2) << 20;
/// The address space that stays free for the allocations of the threads.
const RESERVE: u64 = 128 << 20;
/// The address space that small allocations need until the next check.
const HEADROOM: u64 = 10 << 20;

/// Return `true` where the process is limited.
pub(crate) fn is_limited() -> bool {
    free().is_some()
}

/// Return how many of the wanted threads fit into the address space that is left.
pub(crate) fn affordable(wanted: usize) -> usize {
    let Some(free) = free() else { return wanted };
    at_most(wanted, free.saturating_sub(RESERVE) / PER_THREAD)
}

/// Return the wanted amount, or where the process is limited at most a part of the address space that is left: one
/// unit for each `bytes`.
pub(crate) fn part(wanted: usize, bytes: u64) -> usize {
    let Some(free) = free() else { return wanted };
    at_most(wanted, free / bytes.max(1)).max(1)
}

/// Fail where the process is limited and has no room for some bytes.
pub(crate) fn check(bytes: u64) -> io::Result<()> {
    match free() {
        Some(free) if free < bytes.saturating_add(HEADROOM) => Err(io::Error::new(
            ErrorKind::OutOfMemory,
            format!(
                "expected {bytes} bytes of address space to spare, got {free}; raise the limit (ulimit -v)"
            ),
        )),
        _ => Ok(()),
    }
}

/// As [`check`], for copies of some bytes; pass where not even one fits, since its allocation reports that.
pub(crate) fn check_copies(bytes: u64, copies: u64) -> io::Result<()> {
    if free().is_some_and(|free| free < bytes) { Ok(()) } else { check(bytes.saturating_mul(copies)) }
}

fn at_most(wanted: usize, limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX).min(wanted)
}

/// Return the bytes of address space that the process may still use; `None` without a limit.
#[cfg(target_os = "linux")]
fn free() -> Option<u64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let kibibytes: u64 = size.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(limit.saturating_sub(kibibytes.saturating_mul(1 << 10)))
}

#[cfg(not(target_os = "linux"))]
fn free() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affordable_and_part_return_at_most_the_wanted_number() {
        for wanted in [1, 64] {
            assert!(affordable(wanted) <= wanted);
            assert!((1..=wanted).contains(&part(wanted, 1 << 20)));
        }
    }
}
