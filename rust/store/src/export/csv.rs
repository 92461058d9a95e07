//! CSV by RFC 4180, with a line feed at the end of a line.
//!
//! The first line has the names of the columns. A null is an empty cell, and an empty string is `""`. Times are
//! ISO 8601, booleans `true` and `false`, non-finite floats `NaN`, `Infinity` and `-Infinity`, and lists JSON.

use std::io::{self, Write};

use arrow_schema::SchemaRef;

use super::values::Values;

/// Append the header.
pub fn header(schema: &SchemaRef, line: &mut Vec<u8>) {
    for (place, field) in schema.fields().iter().enumerate() {
        if place > 0 {
            line.push(b',');
        }
        text(field.name().as_bytes(), line);
    }
    line.push(b'\n');
}

/// Write rows.
pub fn write(columns: &[Values<'_>], rows: usize, target: &mut impl Write) -> io::Result<()> {
    // Readers skip blank lines; a null in a table of one column would be one.
    let null: &[u8] = if columns.len() == 1 { b"\"\"" } else { b"" };
    let (mut line, mut cell) = (Vec::new(), Vec::new());
    for row in 0..rows {
        line.clear();
        for (place, values) in columns.iter().enumerate() {
            if place > 0 {
                line.push(b',');
            }
            if values.is_null(row) {
                line.extend(null);
            } else if let Values::Text(_) | Values::List(..) = values {
                cell.clear();
                values.plain(row, &mut cell);
                text(&cell, &mut line);
            } else {
                values.plain(row, &mut line);
            }
        }
        line.push(b'\n');
        target.write_all(&line)?;
    }
    Ok(())
}

/// Append text, in quotes if it is ambiguous without.
fn text(text: &[u8], line: &mut Vec<u8>) {
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_whitespace);
    let is_bare = !edge(text.first())
        && !edge(text.last())
        && !text.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if is_bare {
        line.extend(text);
        return;
    }
    line.push(b'"');
    for byte in text {
        if *byte == b'"' {
            line.push(b'"');
        }
        line.push(*byte);
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::values::columns;
    use arrow_array::{RecordBatch, StringArray};
    use arrow_schema::{DataType, Field, Schema};
    use std::sync::Arc;

    fn cell(value: &str) -> String {
        let mut line = Vec::new();
        text(value.as_bytes(), &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn write_ambiguous_text_quotes_it() {
        assert_eq!(cell("meta-llama/Llama 3.1"), "meta-llama/Llama 3.1");
        assert_eq!(cell("a,b"), "\"a,b\"");
        assert_eq!(cell("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(cell("two\nlines"), "\"two\nlines\"");
        assert_eq!(cell(""), "\"\"");
        assert_eq!(cell(" x"), "\" x\"");
    }

    #[test]
    fn write_null_in_one_column_is_not_a_blank_line() {
        let schema = Schema::new(vec![Field::new("x", DataType::Utf8, true)]);
        let column = Arc::new(StringArray::from(vec![None, Some("y")]));
        let batch = RecordBatch::try_new(schema.into(), vec![column]).unwrap();
        let mut lines = Vec::new();
        write(&columns(batch.columns()).unwrap(), 2, &mut lines).unwrap();
        assert_eq!(lines, b"\"\"\ny\n");
    }
}
