//! Code of others that gives up by a panic on what a stranger's file claims, or on a type it has no code for.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Run such code; `None` where it panics.
///
/// Such a panic is an answer, and not printed, as any other panic is.
pub(crate) fn unless_it_panics<T>(work: impl FnOnce() -> T) -> Option<T> {
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
    outcome.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_expected_within_and_nowhere_else() {
        assert_eq!(unless_it_panics(|| EXPECTED.get()), Some(true));
        assert!(!EXPECTED.get());
        assert_eq!(unless_it_panics(|| panic!("of a parser")), None::<()>);
        assert!(!EXPECTED.get());
        let within = unless_it_panics(|| (unless_it_panics(|| panic!("of a parser")), EXPECTED.get()));
        assert_eq!(within, Some((None::<()>, true)));
        assert!(!EXPECTED.get());
    }
}
