//! The keys of configurations that become columns: their names, and the types of their values.

use std::borrow::Cow;

use super::error::PlanError;
use super::json_type::JsonTypes;

/// The requested keys of the configuration.
#[derive(Debug, Default)]
pub(super) struct ConfigKeys {
    /// Every key is a column.
    pub all: bool,
    pub paths: Vec<Vec<String>>,
    /// The names of the paths as the caller wrote them.
    pub names: Vec<String>,
    /// Paths that no result needs to have.
    pub optional: Vec<Vec<String>>,
    /// The types of paths that the caller gave; they are optional, too.
    pub declared: Vec<(Vec<String>, JsonTypes)>,
}

impl ConfigKeys {
    pub fn request_all(&mut self) {
        self.all = true;
    }

    /// Request a key by its name in a table, without the prefix; return its index.
    pub fn request(&mut self, key: &str, name: &str) -> Result<usize, PlanError> {
        let path = parse(key)?;
        Ok(self.paths.iter().position(|other| *other == path).unwrap_or_else(|| {
            self.paths.push(path);
            self.names.push(name.to_owned());
            self.paths.len() - 1
        }))
    }

    /// Return the type of a path that the caller gave.
    pub fn declared_type(&self, path: &[String]) -> Option<JsonTypes> {
        self.declared.iter().find(|(other, _)| other == path).map(|(_, types)| *types)
    }

    pub fn is_empty(&self) -> bool {
        !self.all && self.paths.is_empty()
    }
}

/// The types of the columns of the configuration: of the requested keys, then of the keys that occur.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ConfigTypes {
    pub requested: Vec<JsonTypes>,
    pub found: Vec<(Vec<String>, JsonTypes)>,
}

impl ConfigTypes {
    /// Return types that hold the JSON texts of any values of the requested keys, or the types that the caller gave.
    pub fn texts(keys: &ConfigKeys) -> Self {
        let declared = |path: &Vec<String>| keys.declared_type(path).unwrap_or_else(JsonTypes::any);
        Self { requested: keys.paths.iter().map(declared).collect(), found: Vec::new() }
    }
}

/// Return the name of a path of keys in a table: the quoted keys, joined with dots.
pub(super) fn name_of(path: &[String]) -> String {
    path.iter().map(|key| quoted_key(key)).collect::<Vec<_>>().join(".")
}

/// Return a key as a part of a name: in quotes unless it can stand bare in a list of names and before an operator.
///
/// The name has printable characters only: a quoted key has the escapes of JSON.
#[must_use]
pub fn quoted_key(key: &str) -> Cow<'_, str> {
    const SPECIAL: [char; 8] = ['.', '"', ',', '=', '!', '<', '>', '~'];
    let is_plain = !key.is_empty() && !key.contains(SPECIAL) && key.trim() == key;
    if is_plain && key.chars().all(is_printable) {
        return key.into();
    }
    let quoted = serde_json::Value::from(key).to_string();
    let mut name = String::with_capacity(quoted.len());
    for mark in quoted.chars() {
        if is_printable(mark) {
            name.push(mark);
        } else {
            let units = &mut [0; 2];
            name.extend(mark.encode_utf16(units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    name.into()
}

/// Return whether a terminal shows a character as it is; a combining mark counts after a letter.
fn is_printable(mark: char) -> bool {
    const LETTER_AND_MARK: usize = 2;
    match mark {
        ' '..='~' => true,
        _ => format!("a{mark}").escape_debug().count() == LETTER_AND_MARK,
    }
}

/// Return the path of a key, by its name without the prefix.
pub(super) fn parse(name: &str) -> Result<Vec<String>, PlanError> {
    split(name).ok_or_else(|| PlanError::InvalidKey(name.to_owned()))
}

fn split(name: &str) -> Option<Vec<String>> {
    let (mut path, mut rest) = (Vec::new(), name);
    loop {
        if rest.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
            path.push(values.next()?.ok()?);
            rest = rest.get(values.byte_offset()..)?;
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            path.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        match rest.strip_prefix('.') {
            Some(more) => rest = more,
            None => return rest.is_empty().then_some(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quote_key_only_where_a_name_needs_it() {
        for key in ["model", "with space", "é", "e\u{301}", "a'b", "\\", "*", "ไม้"] {
            assert_eq!(quoted_key(key), key);
        }
        for (key, name) in [
            ("", r#""""#),
            ("a.b", r#""a.b""#),
            ("a,b", r#""a,b""#),
            ("a=b", r#""a=b""#),
            (" a", r#"" a""#),
            ("z\0", r#""z\u0000""#),
            ("\u{202e}x\u{7f}", r#""\u202ex\u007f""#),
            ("\u{e0001}", r#""\udb40\udc01""#),
        ] {
            assert_eq!(quoted_key(key), name);
        }
    }

    proptest! {
        #[test]
        fn parse_name_of_a_path_returns_the_path(path in prop::collection::vec(".{0,4}|[.,=\"\\\\ ]{0,3}", 1..4)) {
            let name = name_of(&path);
            prop_assert_eq!(split(&name), Some(path));
            prop_assert!(!name.chars().any(char::is_control));
        }
    }
}
