//! CSV by RFC 4180, with a line feed at the end of a line.
//!
//! The first line has the names of the columns. A null is an empty cell, and an empty string is `""`. Times are
//! ISO 8601, booleans `true` and `false`, non-finite floats `NaN`, `Infinity` and `-Infinity`, and lists JSON.

use std::io::{self, Write};

use arrow_schema::SchemaRef;

use super::values::Values;

/// The treatment of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// They stay as they are.
    Plain,
    /// An apostrophe precedes a text that a spreadsheet would evaluate as a formula
    /// (<https://owasp.org/www-community/attacks/CSV_Injection>).
    Spreadsheet,
}

impl Dialect {
    /// Write the names of the columns.
    pub fn header(self, schema: &SchemaRef, target: &mut impl Write) -> io::Result<()> {
        let mut line = Vec::new();
        for (place, field) in schema.fields().iter().enumerate() {
            if place > 0 {
                line.push(b',');
            }
            self.text(field.name().as_bytes(), &mut line);
        }
        line.push(b'\n');
        target.write_all(&line)
    }

    /// Write rows.
    pub fn rows(self, columns: &[Values<'_>], rows: usize, target: &mut impl Write) -> io::Result<()> {
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
                    self.text(&cell, &mut line);
                } else {
                    values.plain(row, &mut line);
                }
            }
            line.push(b'\n');
            target.write_all(&line)?;
        }
        Ok(())
    }

    fn text(self, text: &[u8], line: &mut Vec<u8>) {
        if self == Self::Plain {
            quoted(text, false, line);
        } else if is_formula(text) {
            quoted(&[b"'", text].concat(), true, line);
        } else {
            // Some locales take a semicolon or a tab for the end of a cell.
            quoted(text, text.iter().any(|byte| matches!(byte, b';' | b'\t')), line);
        }
    }
}

/// Return whether a spreadsheet would evaluate a text; a number stays a number.
fn is_formula(text: &[u8]) -> bool {
    let wide = ["＝", "＋", "－", "＠"];
    let begins = matches!(text.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n'))
        || wide.iter().any(|sign| text.starts_with(sign.as_bytes()));
    begins && !is_number(text)
}

/// Return whether a text is a decimal number such as `-1.5e-3`.
fn is_number(text: &[u8]) -> bool {
    let is_plain = text.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte));
    is_plain && std::str::from_utf8(text).is_ok_and(|text| text.parse::<f64>().is_ok())
}

/// Append text, in quotes if it is ambiguous without, or always.
fn quoted(text: &[u8], always: bool, line: &mut Vec<u8>) {
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_whitespace);
    let is_bare = !edge(text.first())
        && !edge(text.last())
        && !text.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if is_bare && !always {
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
        Dialect::Plain.text(value.as_bytes(), &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn write_formula_for_a_spreadsheet_escapes_it() {
        let cell = |value: &str| {
            let mut line = Vec::new();
            Dialect::Spreadsheet.text(value.as_bytes(), &mut line);
            String::from_utf8(line).unwrap()
        };
        for formula in
            ["=1+1", "+cmd", "-x", "@sum", "\ttab", "\rreturn", "\nline", "＝1", "-1+1", "-", "-inf"]
        {
            assert_eq!(cell(formula), format!("\"'{formula}\""));
        }
        assert_eq!(cell("=\"x\""), "\"'=\"\"x\"\"\"");
        for same in ["plain", "-1.5e-3", "+5", "a=1", "'=1", "1-1", "\"\""] {
            assert_eq!(cell(same.trim_matches('"')), same);
        }
        assert_eq!(cell("a;=1"), "\"a;=1\"");
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
        Dialect::Plain.rows(&columns(batch.columns()).unwrap(), 2, &mut lines).unwrap();
        assert_eq!(lines, b"\"\"\ny\n");
    }
}
