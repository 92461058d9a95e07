//! The types of columns as their writer declared them, where Parquet has no place for them.
//!
//! Arrow writers keep their schema in the metadata of the file: base64 of an IPC message, which is a flatbuffer. A
//! duration is a bare integer in Parquet, and only this schema has its unit.

use std::collections::HashMap;
use std::fmt;

use arrow_schema::DataType;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flatbuffers::VerifierOptions;
use parquet::arrow::ARROW_SCHEMA_META_KEY;
use parquet::file::metadata::FileMetaData;

use crate::unwind::catch_panic;

const EXTENSION: &str = "ARROW:extension:name";
/// Some writers put this and the length before the message.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// A flatbuffer may name the same bytes any number of times; decoding repeats them. A column takes a few tables.
const LIMITS: VerifierOptions = VerifierOptions {
    max_depth: 64,
    max_tables: 1 << 18,
    max_apparent_size: 64 << 20,
    ignore_missing_null_terminator: false,
};

/// The type of a column, as its writer declared it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Declared {
    Arrow(DataType),
    /// An extension type, whose values need not mean what their storage does.
    Extension(String),
    /// A type that this build does not know.
    Unknown(String),
}

impl fmt::Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrow(data_type) => data_type.fmt(f),
            Self::Extension(name) => write!(f, "the extension type {name:?}"),
            Self::Unknown(reason) => write!(f, "an unknown type ({reason})"),
        }
    }
}

impl Declared {
    /// Return the type of a column of a type of Parquet that was declared so.
    pub fn on(self, stored: &DataType) -> Self {
        use DataType::{Date32, Date64, Duration, Int32, Int64, Interval, Time32, Time64, Timestamp};
        let is_time = |declared: &DataType| {
            matches!(
                declared,
                Duration(_) | Timestamp(..) | Date32 | Date64 | Time32(_) | Time64(_) | Interval(_)
            )
        };
        match self {
            // Parquet's own type is right where both have one: tools copy the schema and change the columns.
            Self::Arrow(declared) if matches!(stored, Int32 | Int64) && is_time(&declared) => {
                Self::Arrow(declared)
            }
            Self::Arrow(_) => Self::Arrow(stored.clone()),
            other => other,
        }
    }
}

/// Return the declared types of the top-level columns of some names.
///
/// # Errors
///
/// The reason why the schema cannot be read.
pub(super) fn declared_types(
    metadata: &FileMetaData,
    names: &[&str],
) -> Result<HashMap<String, Declared>, String> {
    let pairs = metadata.key_value_metadata().into_iter().flatten();
    // The last one counts, as in a map.
    let mut schemas = pairs.filter(|pair| pair.key == ARROW_SCHEMA_META_KEY);
    match schemas.next_back().and_then(|pair| pair.value.as_deref()) {
        Some(schema) => decode(schema, names).map_err(|reason| {
            format!("the types in its metadata {ARROW_SCHEMA_META_KEY} cannot be read: {reason}")
        }),
        None => Ok(HashMap::new()),
    }
}

fn decode(encoded: &str, names: &[&str]) -> Result<HashMap<String, Declared>, String> {
    let bytes = BASE64_STANDARD.decode(encoded).map_err(|error| error.to_string())?;
    let message = match bytes.strip_prefix(&CONTINUATION) {
        Some(rest) => rest.get(4..).unwrap_or_default(),
        None => &bytes,
    };
    let read = catch_panic(|| {
        let message = arrow_ipc::root_as_message_with_opts(&LIMITS, message);
        let message =
            message.map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())?;
        let schema = message.header_as_schema().ok_or("the message is not a schema")?;
        let fields = schema.fields().into_iter().flatten();
        let wanted = fields.filter(|field| field.name().is_some_and(|name| names.contains(&name)));
        Ok(wanted.map(|field| (field.name().unwrap_or_default().to_owned(), declared(field))).collect())
    });
    read.unwrap_or_else(Err)
}

fn declared(field: arrow_ipc::Field<'_>) -> Declared {
    let pairs = field.custom_metadata().into_iter().flatten();
    if let Some(name) = pairs.filter(|pair| pair.key() == Some(EXTENSION)).find_map(|pair| pair.value()) {
        return Declared::Extension(name.to_owned());
    }
    // The conversion panics on units and widths that it does not know.
    match catch_panic(|| arrow_schema::Field::from(field)) {
        Ok(field) => Declared::Arrow(values_of(field.data_type())),
        Err(reason) => Declared::Unknown(reason),
    }
}

/// Return the type of the values of an encoded type.
fn values_of(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => values_of(values),
        DataType::RunEndEncoded(_, values) => values_of(values.data_type()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::{Field, Schema, TimeUnit};
    use parquet::arrow::encode_arrow_schema;
    use proptest::prelude::*;

    fn types(schema: &Schema) -> HashMap<String, Declared> {
        decode(&encode_arrow_schema(schema), &["a", "b"]).unwrap()
    }

    #[test]
    fn decode_returns_the_types_of_the_named_columns() {
        let seconds = DataType::Duration(TimeUnit::Second);
        let encoded = DataType::Dictionary(Box::new(DataType::Int8), Box::new(seconds.clone()));
        let boolean = Field::new("b", DataType::Int8, true)
            .with_metadata([(EXTENSION.to_owned(), "arrow.bool8".to_owned())].into());
        let schema =
            Schema::new(vec![Field::new("a", encoded, true), boolean, Field::new("c", DataType::Null, true)]);
        let expected = [
            ("a".to_owned(), Declared::Arrow(seconds)),
            ("b".to_owned(), Declared::Extension("arrow.bool8".to_owned())),
        ];
        assert_eq!(types(&schema), expected.into());
    }

    #[test]
    fn declared_type_counts_where_parquet_has_a_bare_integer() {
        let on = |declared, stored| match Declared::Arrow(declared).on(&stored) {
            Declared::Arrow(data_type) => data_type,
            other => panic!("{other}"),
        };
        let micros = DataType::Duration(TimeUnit::Microsecond);
        assert_eq!(on(micros.clone(), DataType::Int64), micros);
        assert_eq!(on(micros, DataType::Float64), DataType::Float64);
        assert_eq!(on(DataType::Float64, DataType::Int64), DataType::Int64);
    }

    #[test]
    fn decode_repeated_text_beyond_the_limit_fails() {
        // Fields of one name and one long metadata; the encoder writes each, the verifier counts them all.
        let long = Schema::new_with_metadata(
            vec![Field::new("a", DataType::Int8, true)],
            [("k".to_owned(), "v".repeat(65 << 20))].into(),
        );
        assert!(decode(&encode_arrow_schema(&long), &["a"]).unwrap_err().contains("size too large"));
    }

    #[test]
    fn decode_other_text_fails() {
        for text in ["", "x", "////", "/////wAAAAA=", "AAAA"] {
            assert!(decode(text, &["a"]).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn decode_changed_bytes_does_not_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
        ) {
            let fields = vec![
                Field::new("a", DataType::Duration(TimeUnit::Second), true),
                Field::new("b", DataType::Decimal128(9, 3), true),
            ];
            let encoded = encode_arrow_schema(&Schema::new(fields));
            let mut bytes = BASE64_STANDARD.decode(encoded).unwrap();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let _ = decode(&BASE64_STANDARD.encode(bytes), &["a", "b"]);
        }
    }
}
