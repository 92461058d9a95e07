//! What fuzz targets do with an input, and what must hold whatever it is.
//!
//! The targets in `fuzz/` call these functions with inputs that nightly's libFuzzer makes up; the tests here, with
//! the inputs that are kept: the corpus that the fuzzer begins with, and every input that ever broke something.
//! They reach what the crate keeps to itself, and are no part of its interface: the feature `fuzzing` is for the
//! targets alone.

#![allow(missing_docs, reason = "what each holds is said where it is written")]
#![allow(clippy::missing_panics_doc, reason = "a panic is how an input is told of")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "as above")]

mod footer;
mod name;
mod projection;
mod scan;

pub use footer::footer;
pub use name::name;
pub use projection::projection;
pub use scan::scan;

/// A field of each kind, since the schema of records changes and kept inputs do not.
const SCHEMA: &str = r#"[
    {"name": "schema_version", "kind": "text", "default": "2.0"},
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

/// Names of everything in [`SCHEMA`] that is a column.
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

/// Rows of a trace that are read: a footer may count any number, and pages of some bytes hold as many.
const MOST_ROWS: u64 = 1 << 17;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// Hand on each input that is kept for a target.
    fn kept(target: &str, check: impl Fn(&[u8], &Path)) {
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
        assert!(inputs > 0, "no input is kept for {target}");
    }

    #[test]
    fn names_that_are_kept_are_legal() {
        kept("name", |input, _| name(input));
    }

    #[test]
    fn traces_that_are_kept_are_read_or_refused() {
        kept("footer", footer);
    }

    #[test]
    fn records_that_are_kept_are_read_as_a_plain_parser_reads_them() {
        kept("projection", |input, _| projection(input));
    }

    #[test]
    fn trees_that_are_kept_are_rows_and_errors() {
        kept("scan", scan);
    }
}
