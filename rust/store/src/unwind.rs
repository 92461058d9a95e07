//! Panics of library code on malformed files, and on types that it does not support.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Run library code, and return the message of its panic as an error; the panic hook does not print it.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !EXPECTED.get() {
                previous(panic);
            }
        }));
    });
    let before = EXPECTED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(before);
    outcome.map_err(|payload| match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => {
            payload.downcast_ref::<&str>().map_or_else(|| "a panic".into(), |message| (*message).into())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catch_panic_silences_the_hook_only_within() {
        assert_eq!(catch_panic(|| EXPECTED.get()), Ok(true));
        assert!(!EXPECTED.get());
        let gave_up = || -> Result<(), String> { catch_panic(|| panic!("at byte {}", 7)) };
        assert_eq!(gave_up(), Err("at byte 7".into()));
        assert!(!EXPECTED.get());
        assert_eq!(catch_panic(|| (gave_up().is_err(), EXPECTED.get())), Ok((true, true)));
        assert!(!EXPECTED.get());
    }
}
