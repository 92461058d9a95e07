//! The checks of the fuzz targets: properties that hold for every input.
//!
//! The targets in `fuzz/` call these functions with the inputs of libFuzzer. The tests here call them with the kept
//! inputs: the corpus that the fuzzer begins with, and every input that ever failed. The checks use private parts of
//! the crate, and are not part of its API: the feature `fuzzing` is for the targets alone.

#![allow(missing_docs, reason = "each module describes its check")]
#![allow(clippy::missing_panics_doc, reason = "a panic reports an input")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "as above")]

mod footer;
mod name;
mod projection;
mod scan;

pub use footer::footer;
pub use name::name;
pub use projection::projection;
pub use scan::scan;

/// A schema with a field of each type: the real schema changes, and kept inputs do not.
const SCHEMA: &str = r#"[
    {"name": "schema_version", "kind": "text", "default": "2.0"},
    {"name": "experiment_id", "kind": "text", "default": "x"},
    {"name": "measurement_config_hash", "kind": "text"},
    {"name": "timeseries", "kind": "text", "nullable": true, "default": null},
    {"name": "b", "kind": "bool", "default": false},
    {"name": "i", "kind": "int", "nullable": true, "default": 7},
    {"name": "f", "kind": "float", "default": 0.5},
    {"name": "t", "kind": "time", "nullable": true, "default": null},
    {"name": "fs", "kind": "floats", "default": []},
    {"name": "ts", "kind": "texts", "nullable": true, "default": null},
    {"name": "j", "kind": "json", "nullable": true, "default": null},
    {"name": "o", "kind": "object", "nullable": true, "default": null, "fields": [
        {"name": "f", "kind": "float"},
        {"name": "i", "kind": "int", "nullable": true, "default": null}
    ]},
    {"name": "l", "kind": "objects", "default": [], "fields": [
        {"name": "f", "kind": "float", "nullable": true, "default": null},
        {"name": "j", "kind": "json", "nullable": true, "default": null}
    ]},
    {"name": "effective_config", "kind": "config", "default": {}}
]"#;

/// The columns of [`SCHEMA`].
const COLUMNS: [&str; 14] = [
    "schema_version",
    "measurement_config_hash",
    "timeseries",
    "b",
    "i",
    "f",
    "t",
    "fs",
    "ts",
    "j",
    "o.f",
    "o.i",
    "l.f",
    "l.j",
];

/// Maximum rows of a trace to read: a footer may claim any number, and pages of a few bytes hold it.
const MAX_ROWS: u64 = 1 << 17;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// Call a check with each kept input of a target.
    fn check_kept_inputs(target: &str, check: impl Fn(&[u8], &Path)) {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
        let temp = tempfile::tempdir().unwrap();
        let mut inputs = 0;
        for kind in ["corpus", "crashes"] {
            for input in fs::read_dir(fuzz.join(kind).join(target)).into_iter().flatten() {
                let path = input.unwrap().path();
                println!("{}", path.display());
                check(&fs::read(path).unwrap(), temp.path());
                inputs += 1;
            }
        }
        assert!(inputs > 0, "there is no input for {target}");
    }

    #[test]
    fn name_kept_inputs_are_legal() {
        check_kept_inputs("name", |input, _| name(input));
    }

    #[test]
    fn footer_kept_inputs_are_read_or_rejected() {
        check_kept_inputs("footer", footer);
    }

    #[test]
    fn projection_kept_inputs_equal_a_plain_parser() {
        check_kept_inputs("projection", |input, _| projection(input));
    }

    #[test]
    fn scan_kept_inputs_are_rows_or_errors() {
        check_kept_inputs("scan", scan);
    }
}
