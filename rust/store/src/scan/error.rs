//! The errors of scans.

use std::fmt;
use std::path::PathBuf;

use arrow_schema::{ArrowError, DataType};

use crate::error::Error;
use crate::load::RecordFault;

/// The reason why a scan stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The root cannot be read, or the caller cancelled.
    #[error(transparent)]
    Store(#[from] Error),
    /// A record or a power trace cannot be read, and the options stop the scan at the first.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The scan asks for something that its columns cannot answer.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Arrow failed.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// The reason why columns or conditions cannot be read from a tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No column has this name; similar names.
    #[error("there is no column '{}'{}", .0, hint(.1))]
    UnknownColumn(String, Vec<String>),
    /// A column contains another one.
    #[error("{0} and {1} cannot be in one scan: the first contains the second; choose one")]
    Overlap(String, String),
    /// A condition names an object; its first column.
    #[error(
        "a condition expects a column of single values, got the object {0}; use one of its columns, such as {1}"
    )]
    ObjectCondition(String, String),
    /// A name that is declared as optional is not one of a key.
    #[error("there is no column '{0}'; write config.{0} to declare a key of the configuration")]
    NotAKey(String),
    /// A type that the caller gave has an unknown name, or is not that of a key.
    #[error(
        "{column} expects a type bool, int64, uint64, double, string, list<int64>, list<double>, list<string> or json, got {got:?}"
    )]
    UnknownType {
        /// The column.
        column: String,
        /// The name.
        got: String,
    },
    /// A column of the configuration has an invalid name.
    #[error(
        "{0:?} is not the name of a key; join keys with dots, and quote a key that has a dot, a comma or an operator"
    )]
    InvalidKey(String),
    /// No result has a key; similar names, or names of keys.
    #[error("no result has the key '{name}'{}", hint(.similar))]
    UnknownKey {
        /// The key.
        name: String,
        /// The names to suggest.
        similar: Vec<String>,
    },
    /// A condition names a column without scalar values.
    #[error(
        "{column} holds lists or JSON, which a condition does not compare{}",
        if *.is_searchable { "; search its texts with ~" } else { "" }
    )]
    NotScalar {
        /// The column.
        column: String,
        /// The column has texts.
        is_searchable: bool,
    },
    /// A condition searches a column without texts.
    #[error("~ expects a column of text, got {0}; compare it with = < >")]
    NotText(String),
    /// A condition compares a column with a text that is not of its type.
    #[error("{column} expects {expected}, got '{got}'")]
    Operand {
        /// The column.
        column: String,
        /// The values of the column, in words.
        expected: &'static str,
        /// The operand.
        got: String,
    },
    /// A condition compares a column of local times with a time that has a zone.
    #[error("{column} expects a local time without a zone, got '{got}'; compare {column}.utc with it")]
    LocalTime {
        /// The column.
        column: String,
        /// The operand.
        got: String,
    },
    /// A condition compares a key of the configuration with a value of a kind that no result has.
    #[error("{column} holds {holds}, got {got}; compare it with a value of its kind")]
    Misfit {
        /// The column.
        column: String,
        /// The kinds of its values, in words.
        holds: String,
        /// The operand, in words.
        got: String,
    },
    /// A condition compares a column with an operand of another type.
    #[error("{column} cannot be compared {operand}: it holds {holds}")]
    Incomparable {
        /// The column.
        column: String,
        /// The operand, in words.
        operand: &'static str,
        /// The values of the column, in words.
        holds: String,
    },
    /// The configurations have too many keys for a table.
    #[error("the configurations of these results have more than {limit} different keys")]
    TooManyKeys {
        /// The maximum.
        limit: usize,
    },
    /// No power trace has a column of this name.
    #[error("no trace has a column {0}")]
    UnknownTraceColumn(String),
    /// Two power traces have a column in types that no common type holds.
    #[error("the column {column} is {one} in one trace and {other} in another")]
    TraceTypes {
        /// The column.
        column: String,
        /// Its type in one trace.
        one: DataType,
        /// Its type in another.
        other: DataType,
    },
}

fn hint(similar: &[String]) -> String {
    if similar.is_empty() { String::new() } else { format!("; there is {}", similar.join(", ")) }
}

/// The error of a record or power trace that is not a row, or of a directory that cannot be read.
#[derive(Debug)]
pub struct RecordError {
    /// The file or directory.
    pub path: PathBuf,
    /// The size of the file in bytes.
    pub size: u64,
    /// The reason.
    pub kind: RecordErrorKind,
}

/// The kinds of a [`RecordError`].
#[derive(Debug)]
pub enum RecordErrorKind {
    /// The file cannot be read.
    Io(Error),
    /// The file is not a record of this schema line.
    Fault(RecordFault),
    /// The file is a row, in which this column is null: its integer has more than 64 bits.
    Beyond(String),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            RecordErrorKind::Io(error) => error.fmt(f),
            RecordErrorKind::Fault(fault) => {
                write!(f, "{} ({} bytes) {fault}", self.path.display(), self.size)
            }
            RecordErrorKind::Beyond(column) => write!(
                f,
                "{column} of {} is null in the table, expected an integer of 64 bits, got a larger one; load the result",
                self.path.display()
            ),
        }
    }
}

impl std::error::Error for RecordError {}
