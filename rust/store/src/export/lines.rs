//! JSON Lines: an object a row, whose keys are the names of the columns.
//!
//! Nulls are written, lists are arrays, times ISO 8601, and non-finite floats the strings that a record has.

use std::io::{self, Write};

use arrow_schema::SchemaRef;

use super::values::{Values, json_string};

/// Write rows.
pub fn write(
    schema: &SchemaRef,
    columns: &[Values<'_>],
    rows: usize,
    target: &mut impl Write,
) -> io::Result<()> {
    let columns: Vec<(Vec<u8>, &Values<'_>)> = schema
        .fields()
        .iter()
        .zip(columns)
        .map(|(field, values)| {
            let mut key = Vec::new();
            json_string(field.name(), &mut key);
            key.push(b':');
            (key, values)
        })
        .collect();
    let mut line = Vec::new();
    for row in 0..rows {
        line.clear();
        line.push(b'{');
        for (place, (key, values)) in columns.iter().enumerate() {
            if place > 0 {
                line.push(b',');
            }
            line.extend(key);
            values.json(row, &mut line);
        }
        line.extend(b"}\n");
        target.write_all(&line)?;
    }
    Ok(())
}
