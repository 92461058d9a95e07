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
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn only_a_panic_that_is_expected_is_kept_from_the_hook() {
        static TOLD: AtomicUsize = AtomicUsize::new(0);
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref::<&str>() == Some(&"of this test") {
                TOLD.fetch_add(1, Ordering::Relaxed);
            } else {
                others(panic);
            }
        }));
        assert_eq!(unless_it_panics(|| 7), Some(7));
        let before = TOLD.load(Ordering::Relaxed);
        assert_eq!(unless_it_panics(|| panic!("of this test")), None::<()>);
        let within = unless_it_panics(|| unless_it_panics(|| panic!("of this test")));
        assert_eq!(within, Some(None::<()>));
        assert_eq!(TOLD.load(Ordering::Relaxed), before);
        assert!(panic::catch_unwind(|| panic!("of this test")).is_err());
        assert_eq!(TOLD.load(Ordering::Relaxed), before + 1);
    }
}
