//! What the fuzz targets share: which panics count, and where files are put.

use std::cell::Cell;
use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process;
use std::sync::LazyLock;

/// A directory for what an input becomes. libFuzzer ends the process without any clearing up; `make fuzz` has
/// `TMPDIR` in memory, and removes it.
pub static TEMP: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = env::temp_dir().join(format!("llem-fuzz-{}", process::id()));
    fs::create_dir_all(&path).expect("a directory can be made");
    path
});

thread_local! {
    /// Where the last panic of the thread was, and what it said.
    static LAST: Cell<String> = Cell::default();
}

/// Let panics be, until one gets out.
///
/// libfuzzer-sys ends the process at any panic, by a hook that runs before anything can catch it. The store catches
/// those of the Parquet decoder, which panics on some files, and makes errors of them: that is its promise, and no
/// crash. So its hook is replaced by one that keeps what was said, in silence.
pub fn begin() {
    panic::set_hook(Box::new(|panic| LAST.set(panic.to_string())));
}

/// Do what a target does with an input; a panic that gets out of it is a crash.
///
/// Threads of the store catch their own panics and tell of them in an error, which the checks do not take for one of
/// the input's.
pub fn run(target: impl FnOnce()) {
    if panic::catch_unwind(AssertUnwindSafe(target)).is_err() {
        eprintln!("{}", LAST.take());
        process::abort();
    }
}
