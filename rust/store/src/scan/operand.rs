//! Operands of conditions, and the meanings of a typed one.

use super::error::PlanError;
use super::kinds::Kinds;
use super::schema::FieldType;
use super::value::{FieldValue, TIMES, parse_time};

/// The right side of a comparison.
#[derive(Debug, Clone)]
pub enum Operand {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer; for a time, microseconds since 1970.
    Int(i128),
    /// A number.
    Float(f64),
    /// A string; for a time, ISO 8601, whose last digit tells how long the interval is that it stands for.
    Text(String),
    /// A text as a person types it, or a table prints it: its column gives it a meaning.
    Typed(String),
    /// An interval of time: microseconds since 1970, the first inclusive and the second exclusive.
    Span(i128, i128),
    /// A list of values.
    List(Vec<Operand>),
    /// An object: its keys, sorted, and their values.
    Object(Vec<(String, Operand)>),
}

/// The same operand: NaN equals itself, so that a test that has not changed is found to be the same.
impl PartialEq for Operand {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::Float(one), Self::Float(other)) => one.to_bits() == other.to_bits(),
            (Self::Text(one), Self::Text(other)) | (Self::Typed(one), Self::Typed(other)) => one == other,
            (Self::Span(from, to), Self::Span(other_from, other_to)) => (from, to) == (other_from, other_to),
            (Self::List(one), Self::List(other)) => one == other,
            (Self::Object(one), Self::Object(other)) => one == other,
            _ => false,
        }
    }
}

impl Operand {
    /// Describe the operand in an error.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Null => "None".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(text) => format!("the text '{text}'"),
            Self::Typed(text) => format!("'{text}'"),
            Self::Span(..) => "a time".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Object(_) => "an object".to_owned(),
        }
    }

    /// Return whether a column with these kinds of values can have values of the operand's kind.
    ///
    /// With `by_equality`, a non-finite float and its name fit wherever there is one.
    pub(super) fn fits(&self, kinds: Kinds, by_equality: bool) -> bool {
        let is_name = by_equality && kinds.has(Kinds::NOT_FINITE);
        let kinds = kinds.with_decided_names();
        match self {
            Self::Null | Self::Span(..) => true,
            Self::Bool(_) => kinds.has(Kinds::BOOL),
            Self::Float(value) if is_name && !value.is_finite() => true,
            Self::Int(_) | Self::Float(_) => kinds.has(Kinds::NUMBER),
            Self::Text(text) | Self::Typed(text) => {
                kinds.has(Kinds::TEXT) || (is_name && is_float_name(text))
            }
            Self::List(_) => kinds.has(Kinds::LIST.and(Kinds::TEXTS)),
            Self::Object(_) => kinds.has(Kinds::OBJECT),
        }
    }
}

/// Return whether a text is the name of a non-finite float in a record.
fn is_float_name(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity")
}

/// The text of null in the tables of the command line, which quote a text that looks the same.
pub(super) const ABSENT: &str = "-";

/// Return whether a typed text stands for null: as JSON, Python and the tables of the command line write it.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "null" | "None" | ABSENT)
}

/// Return the meanings that a typed text can have, the likeliest first; the last one is the text itself.
///
/// A JSON string in quotes is a text and nothing else.
pub(super) fn meanings(text: &str) -> Vec<Operand> {
    if let Some(quoted) = quoted(text) {
        return vec![Operand::Text(quoted)];
    }
    let first = truth(text).map(Operand::Bool).or_else(|| number(text)).or_else(|| container(text));
    first.into_iter().chain([Operand::Text(text.to_owned())]).collect()
}

/// Return the meaning of a typed text under a key with these kinds of values.
///
/// A table shows a text without quotes, unless it reads as a value of another kind and the column has such kinds.
pub(super) fn meaning(text: &str, kinds: Kinds) -> Operand {
    let is_bare = kinds.are_texts() && kinds.has(Kinds::TEXT);
    let is_name = kinds.names_are_texts() && is_float_name(text);
    let mut meanings = meanings(text);
    let index = if is_bare || is_name { meanings.len() - 1 } else { 0 };
    meanings.swap_remove(index)
}

/// Return the text that `~` searches for a typed one: a JSON string in quotes stands for its text.
pub(super) fn searched(text: &str) -> Operand {
    Operand::Text(quoted(text).unwrap_or_else(|| text.to_owned()))
}

/// Return the operand that a typed text is in a column of the schema.
pub(super) fn of_field(
    name: &str,
    field_type: &FieldType,
    is_instant: bool,
    text: &str,
) -> Result<Operand, PlanError> {
    let expected = |expected| PlanError::Operand { column: name.to_owned(), expected, got: text.to_owned() };
    match field_type {
        _ if is_null(text) => Ok(Operand::Null),
        FieldType::Bool => truth(text).map(Operand::Bool).ok_or_else(|| expected("true, false or null")),
        FieldType::Int | FieldType::Float => number(text).ok_or_else(|| expected("a number")),
        FieldType::Time => span(name, text, is_instant, true),
        _ => Ok(searched(text)),
    }
}

fn quoted(text: &str) -> Option<String> {
    text.starts_with('"').then(|| serde_json::from_str(text).ok()).flatten()
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "True" => Some(true),
        "false" | "False" => Some(false),
        _ => None,
    }
}

/// Parse a number in any form that a table prints: `1,234`, `1.5e-3`, `inf`, `NaN`.
fn number(text: &str) -> Option<Operand> {
    let plain = without_groups(text);
    let text = plain.as_deref().unwrap_or(text);
    match (text.parse::<i128>(), text.parse::<f64>()) {
        (Ok(integer), _) => Some(Operand::Int(integer)),
        (_, Ok(float)) => Some(Operand::Float(float)),
        _ => None,
    }
}

/// Remove the commas between groups of three digits; `None` if there are none.
fn without_groups(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').map_or((text, ""), |(whole, fraction)| (whole, fraction));
    let mut groups = whole.trim_start_matches(['-', '+']).split(',');
    let is_digits = |group: &str| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit());
    let first = groups.next().filter(|group| group.len() <= 3 && is_digits(group))?;
    let mut count = 0;
    for group in groups {
        count += usize::from(group.len() == 3 && is_digits(group));
        if group.len() != 3 || !is_digits(group) {
            return None;
        }
    }
    let is_plain = count > 0 && !first.is_empty() && (fraction.is_empty() || is_digits(fraction));
    is_plain.then(|| text.replace(',', ""))
}

/// Parse a JSON list or object.
fn container(text: &str) -> Option<Operand> {
    let is_container = text.starts_with(['[', '{']);
    is_container.then(|| serde_json::from_str(text).ok()).flatten().and_then(|value| of_json(&value))
}

fn of_json(value: &serde_json::Value) -> Option<Operand> {
    use serde_json::Value;
    Some(match value {
        Value::Null => Operand::Null,
        Value::Bool(value) => Operand::Bool(*value),
        Value::Number(number) => self::number(&number.to_string())?,
        Value::String(text) => Operand::Text(text.clone()),
        Value::Array(items) => Operand::List(items.iter().map(of_json).collect::<Option<_>>()?),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| Some((key.clone(), of_json(value)?)));
            let mut members: Vec<_> = members.collect::<Option<_>>()?;
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Operand::Object(members)
        }
    })
}

/// Return the interval that an ISO 8601 time stands for: a year, a month, a day, a minute, a second, or a part of one.
///
/// A column of instants needs a zone; for a typed text, as a table prints it, it is UTC.
pub(super) fn span(name: &str, text: &str, is_instant: bool, is_typed: bool) -> Result<Operand, PlanError> {
    const DAY: i128 = 86_400_000_000;
    let expected = |expected| PlanError::Operand { column: name.to_owned(), expected, got: text.to_owned() };
    let not_a_time = || expected("a time in ISO 8601");
    if let Some((from, to)) = year_or_month(text) {
        return if is_instant && !is_typed {
            Err(expected("a time with a zone"))
        } else {
            Ok(Operand::Span(from, to))
        };
    }
    if text.as_bytes().get(4) != Some(&b'-') || text.len() < 10 {
        return Err(not_a_time());
    }
    let Some(FieldValue::Time(micros, offset)) = parse_time(text) else { return Err(not_a_time()) };
    let micros = i128::from(micros);
    let micros = match (is_instant, offset) {
        (true, Some(offset)) => micros - i128::from(offset) * 1_000_000,
        (true, None) if !is_typed => return Err(expected("a time with a zone")),
        (false, Some(_)) => {
            return Err(PlanError::LocalTime { column: name.to_owned(), got: text.to_owned() });
        }
        _ => micros,
    };
    let clock = text.get(11..).unwrap_or_default();
    let clock = clock.split(['Z', 'z', '+', '-']).next().unwrap_or_default();
    let length = match clock.split_once(['.', ',']) {
        Some((_, fraction)) => 10_i128.pow(6_u32.saturating_sub(u32::try_from(fraction.len()).unwrap_or(6))),
        None if clock.is_empty() => DAY,
        None if clock.matches(':').count() >= 2 => 1_000_000,
        None => 60_000_000,
    };
    Ok(Operand::Span(micros, micros + length))
}

/// Return the interval of a year, `2026`, or of a month, `2026-03`.
fn year_or_month(text: &str) -> Option<(i128, i128)> {
    let number = |digits: &str, count: usize| {
        let is_number = digits.len() == count && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse::<u16>().ok()).flatten()
    };
    let (year, month) = text.split_once('-').map_or((text, None), |(year, month)| (year, Some(month)));
    let year = number(year, 4)?;
    let (month, next) = match month.map(|month| number(month, 2)) {
        None => (1, (year + 1, 1)),
        Some(month) if month? == 12 => (12, (year + 1, 1)),
        Some(month) => (month?, (year, month? + 1)),
    };
    let begin = |(year, month): (u16, u16)| match parse_time(&format!("{year:04}-{month:02}-01"))? {
        FieldValue::Time(micros, _) => Some(i128::from(micros)),
        _ => None,
    };
    Some((begin((year, month))?, begin(next).unwrap_or(i128::from(*TIMES.end()) + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_number_accepts_forms_of_tables() {
        assert_eq!(number("1,234,567"), Some(Operand::Int(1_234_567)));
        assert_eq!(number("-1,234.5"), Some(Operand::Float(-1234.5)));
        assert_eq!(number("inf"), Some(Operand::Float(f64::INFINITY)));
        assert_eq!(number("-Infinity"), Some(Operand::Float(f64::NEG_INFINITY)));
        assert!(matches!(number("nan"), Some(Operand::Float(value)) if value.is_nan()));
        assert_eq!(number("1e3"), Some(Operand::Float(1000.0)));
        for text in ["", "1,23", "1,2345", ",123", "1234,567", "auto", "1.5,000", "0x10", "1_000"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn parse_typed_text_returns_meanings_in_order() {
        assert_eq!(meanings("8"), [Operand::Int(8), Operand::Text("8".into())]);
        assert_eq!(meanings("\"8\""), [Operand::Text("8".into())]);
        assert_eq!(meanings("True"), [Operand::Bool(true), Operand::Text("True".into())]);
        assert_eq!(meanings("auto"), [Operand::Text("auto".into())]);
        assert_eq!(meanings("\"half"), [Operand::Text("\"half".into())]);
        let object = Operand::Object(vec![("a".into(), Operand::Bool(true)), ("b".into(), Operand::Int(1))]);
        let text = r#"{"b": 1, "a": true}"#;
        assert_eq!(meanings(text), [object, Operand::Text(text.into())]);
        let list = Operand::List(vec![Operand::Int(1), Operand::Text("a".into())]);
        assert_eq!(meanings(r#"[1, "a"]"#), [list, Operand::Text(r#"[1, "a"]"#.into())]);
    }

    #[test]
    fn parse_time_returns_the_interval_that_its_digits_leave_open() {
        let length = |text: &str| match span("start_time", text, false, true) {
            Ok(Operand::Span(from, to)) => to - from,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(length("2026-02-18"), 86_400_000_000);
        assert_eq!(length("2026-02-18 14:30"), 60_000_000);
        assert_eq!(length("2026-02-18T14:30:05"), 1_000_000);
        assert_eq!(length("2026-02-18T14:30:05.250"), 1_000);
        assert_eq!(length("2026-02-18T14:30:05.250123"), 1);
        assert_eq!(length("2026-02"), 28 * 86_400_000_000);
        assert_eq!(length("2025-12"), 31 * 86_400_000_000);
        assert_eq!(length("2026"), 365 * 86_400_000_000);
        assert_eq!(length("9999"), 365 * 86_400_000_000);
        for text in [
            "noon",
            "",
            "20",
            "2026-",
            "2026-13",
            "2026-00",
            "0000",
            "1771425000",
            "2026-02-30",
            "2026-02-18T25:00",
        ] {
            assert!(
                matches!(span("start_time", text, false, true), Err(PlanError::Operand { .. })),
                "{text}"
            );
        }
        assert!(matches!(
            span("start_time", "2026-02-18T14:30Z", false, true),
            Err(PlanError::LocalTime { .. })
        ));
        assert!(span("saved_at", "2026-02-18T14:30", true, false).is_err());
        let elsewhere = span("saved_at", "2026-02-18T16:30+02:00", true, false).unwrap();
        assert_eq!(span("saved_at", "2026-02-18T14:30", true, true).unwrap(), elsewhere);
    }
}
