//! What the fuzz targets share: where files are put.
//!
//! libfuzzer-sys ends the process at any panic, by a hook that runs before anything can catch it. Those of the Parquet
//! decoder do not reach it: the store expects them, and its own hook, which comes later, keeps them to itself.

use std::env;
use std::fs;
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
