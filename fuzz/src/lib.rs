//! The directory that the fuzz targets share.
//!
//! libfuzzer-sys ends the process at any panic, by a hook that runs before `catch_unwind`. Panics of the Parquet decoder
//! do not reach that hook: the store installs its own later, which silences them.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::LazyLock;

/// The directory for the files of an input. libFuzzer ends the process without cleanup; `make fuzz` sets a `TMPDIR` in
/// memory, and removes it.
pub static TEMP: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = env::temp_dir().join(format!("llem-fuzz-{}", process::id()));
    fs::create_dir_all(&path).expect("a directory can be made");
    path
});
