//! Code of others that gives up by a panic on what a stranger's file claims, or on a type it has no code for.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Run such code; an error, with what it said, where it panics.
///
/// Such a panic is an answer, and not printed, as any other panic is.
pub(crate) fn unless_it_panics<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !EXPECTED.get() {
                others(panic);
            }
        }));
    });
    let before = EXPECTED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(before);
    outcome.map_err(|said| match said.downcast::<String>() {
        Ok(said) => *said,
        Err(said) => said.downcast_ref::<&str>().map_or_else(|| "a panic".into(), |said| (*said).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_expected_within_and_nowhere_else() {
        assert_eq!(unless_it_panics(|| EXPECTED.get()), Ok(true));
        assert!(!EXPECTED.get());
        let gave_up = || -> Result<(), String> { unless_it_panics(|| panic!("at byte {}", 7)) };
        assert_eq!(gave_up(), Err("at byte 7".into()));
        assert!(!EXPECTED.get());
        assert_eq!(unless_it_panics(|| (gave_up().is_err(), EXPECTED.get())), Ok((true, true)));
        assert!(!EXPECTED.get());
    }
}
