//! The bytes of a record become the values that a plan asks for; the rest is checked to be JSON and skipped.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use speedate::{Date, DateTime, MicrosecondsPrecisionOverflowBehavior, TimeConfig};

use super::plan::{Action, Entry, Kind, Node};
use crate::json::text::{Key, check_escapes, fail};

/// A value that was asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Slot<'de> {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'de, str>),
    /// Microseconds since 1970 on the clock that was read, and seconds that this clock is ahead of UTC.
    Time(i64, Option<i32>),
    Floats(Vec<f64>),
    Texts(Vec<Cow<'de, str>>),
    Json(Cow<'de, str>),
    /// One for each object of a list.
    Items(Vec<Slot<'de>>),
}

/// What was read of a record.
#[derive(Debug)]
pub struct Row<'de> {
    pub slots: Vec<Slot<'de>>,
    /// The text of the configuration.
    pub config: Option<&'de str>,
}

/// Read a record.
pub fn read<'de>(bytes: &'de [u8], node: &Node, slots: usize) -> Result<Row<'de>, serde_json::Error> {
    let mut row = Row { slots: vec![Slot::Null; slots], config: None };
    // Strings that are skipped are not looked into: all of the text is, here.
    let text = std::str::from_utf8(bytes).map_err(fail)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // How deep records may be nested is checked where something recurses; skipping does not.
    ObjectSeed { node, row: &mut row, place: None }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(row)
}

struct ObjectSeed<'p, 'r, 'de> {
    node: &'p Node,
    row: &'r mut Row<'de>,
    /// The field that holds the object; none holds the record.
    place: Option<&'p Entry>,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(entry) => write!(f, "an object in {}", entry.path),
            None => f.write_str("an object"),
        }
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        match self.place {
            Some(entry) if entry.nullable => {
                set_null(entry, self.row);
                Ok(())
            }
            _ => Err(E::invalid_type(serde::de::Unexpected::Unit, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { node, row, .. } = self;
        // Fields stand in the order of the schema, mostly.
        let (mut seen, mut next) = (0_u64, 0);
        while let Some(Key(key)) = map.next_key()? {
            let Some(index) = node.find(&key, next) else {
                return Err(A::Error::custom(format_args!(
                    "it has a field that the schema does not: {}",
                    self.place.map_or_else(|| key.to_string(), |entry| format!("{}.{key}", entry.path))
                )));
            };
            let entry = &node.entries[index];
            if seen & (1 << index) != 0 {
                return Err(A::Error::custom(format_args!("it has {} twice", entry.path)));
            }
            seen |= 1 << index;
            next = index + 1;
            match &entry.action {
                Action::Skip => drop(map.next_value::<IgnoredAny>()?),
                Action::Leaf { slot, kind } => {
                    row.slots[*slot] = map.next_value_seed(LeafSeed { entry, kind })?;
                }
                Action::Object(node) => map.next_value_seed(ObjectSeed { node, row, place: Some(entry) })?,
                Action::Objects(node) => map.next_value_seed(ObjectsSeed { node, row, entry })?,
                Action::Config => row.config = Some(map.next_value::<&'de RawValue>()?.get()),
            }
        }
        for (index, entry) in node.entries.iter().enumerate() {
            if seen & (1 << index) == 0 {
                let Some(default) = &entry.default else {
                    return Err(A::Error::custom(format_args!("it lacks {}", entry.path)));
                };
                set_default(entry, default, row);
            }
        }
        Ok(())
    }
}

impl Node {
    fn find(&self, name: &str, next: usize) -> Option<usize> {
        match self.entries.get(next) {
            Some(entry) if *entry.name == *name => Some(next),
            _ => self.entries.iter().position(|entry| *entry.name == *name),
        }
    }
}

fn set_null(entry: &Entry, row: &mut Row<'_>) {
    for slot in &entry.slots {
        row.slots[*slot] = Slot::Null;
    }
}

/// What a field is where it is absent.
fn set_default(entry: &Entry, default: &Value, row: &mut Row<'_>) {
    match (&entry.action, default) {
        (Action::Skip | Action::Config, _) => {}
        (Action::Leaf { slot, kind }, default) => row.slots[*slot] = default_of(kind, default),
        (Action::Object(node), Value::Object(_)) => {
            for below in &node.entries {
                set_default(below, below.default.as_ref().unwrap_or(&Value::Null), row);
            }
        }
        (Action::Objects(_), Value::Array(_)) => {
            for slot in &entry.slots {
                row.slots[*slot] = Slot::Items(Vec::new());
            }
        }
        _ => set_null(entry, row),
    }
}

fn default_of(kind: &Kind, default: &Value) -> Slot<'static> {
    match (kind, default) {
        (_, Value::Null) => Slot::Null,
        (Kind::Json, value) => Slot::Json(value.to_string().into()),
        (Kind::Floats, _) => Slot::Floats(Vec::new()),
        (Kind::Texts, _) => Slot::Texts(Vec::new()),
        (_, Value::Bool(value)) => Slot::Bool(*value),
        (Kind::Int, value) => value.as_i64().map_or(Slot::Null, Slot::Int),
        (_, Value::Number(number)) => number.as_f64().map_or(Slot::Null, Slot::Float),
        (_, Value::String(text)) => Slot::Text(text.clone().into()),
        _ => Slot::Null,
    }
}

struct ObjectsSeed<'p, 'r, 'de> {
    node: &'p Node,
    row: &'r mut Row<'de>,
    entry: &'p Entry,
}

impl<'de> DeserializeSeed<'de> for ObjectsSeed<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ObjectsSeed<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of objects in {}", self.entry.path)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        if !self.entry.nullable {
            return Err(E::invalid_type(serde::de::Unexpected::Unit, &self));
        }
        set_null(self.entry, self.row);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { node, row, entry } = self;
        let mut items: Vec<Vec<Slot<'de>>> = vec![Vec::new(); entry.slots.len()];
        while list.next_element_seed(ObjectSeed { node, row, place: Some(entry) })?.is_some() {
            for (items, slot) in items.iter_mut().zip(&entry.slots) {
                items.push(std::mem::take(&mut row.slots[*slot]));
            }
        }
        for (items, slot) in items.into_iter().zip(&entry.slots) {
            row.slots[*slot] = Slot::Items(items);
        }
        Ok(())
    }
}

struct LeafSeed<'p> {
    entry: &'p Entry,
    kind: &'p Kind,
}

impl<'de> DeserializeSeed<'de> for LeafSeed<'_> {
    type Value = Slot<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Slot<'de>, D::Error> {
        if *self.kind != Kind::Json {
            return deserializer.deserialize_any(self);
        }
        let text = <&'de RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        check_escapes(text).map_err(D::Error::custom)?;
        Ok(if text == "null" { Slot::Null } else { Slot::Json(crate::json::text::minify(text)) })
    }
}

impl LeafSeed<'_> {
    fn text<'de, E: serde::de::Error>(&self, text: Cow<'de, str>) -> Result<Slot<'de>, E> {
        match (self.kind, &*text) {
            (Kind::Text, _) => Ok(Slot::Text(text)),
            (Kind::Float, "NaN") => Ok(Slot::Float(f64::NAN)),
            (Kind::Float, "Infinity") => Ok(Slot::Float(f64::INFINITY)),
            (Kind::Float, "-Infinity") => Ok(Slot::Float(f64::NEG_INFINITY)),
            (Kind::Time, text) => time(text).ok_or_else(|| {
                E::custom(format_args!("{} is not an ISO 8601 time: {text:?}", self.entry.path))
            }),
            (_, text) => Err(E::invalid_type(serde::de::Unexpected::Str(text), self)),
        }
    }
}

impl<'de> Visitor<'de> for LeafSeed<'_> {
    type Value = Slot<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Bool => "true or false",
            Kind::Int => "an integer",
            Kind::Float => "a number",
            Kind::Text => "a string",
            Kind::Time => "an ISO 8601 time",
            Kind::Floats => "a list of numbers",
            Kind::Texts => "a list of strings",
            _ => "JSON",
        };
        write!(f, "{what} in {}", self.entry.path)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        if self.entry.nullable {
            Ok(Slot::Null)
        } else {
            Err(E::invalid_type(serde::de::Unexpected::Unit, &self))
        }
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
        match self.kind {
            Kind::Bool => Ok(Slot::Bool(value)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        match self.kind {
            Kind::Int => Ok(Slot::Int(value)),
            #[allow(clippy::cast_precision_loss, reason = "the nearest float is what loading gives, too")]
            Kind::Float => Ok(Slot::Float(value as f64)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        match (self.kind, i64::try_from(value)) {
            (_, Ok(value)) => self.visit_i64(value),
            #[allow(clippy::cast_precision_loss, reason = "as visit_i64")]
            (Kind::Float, Err(_)) => Ok(Slot::Float(value as f64)),
            (Kind::Int, Err(_)) => Err(E::custom(format_args!(
                "{} is {value}, and a table holds integers of 64 bits with a sign",
                self.entry.path
            ))),
            (_, Err(_)) => Err(E::invalid_type(serde::de::Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        /// From here on, floats are integers that need not be what was written.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self.kind {
            Kind::Float => Ok(Slot::Float(value)),
            #[allow(clippy::cast_possible_truncation, reason = "it has no fraction and is small")]
            Kind::Int if value.fract() == 0.0 && value.abs() < EXACT => Ok(Slot::Int(value as i64)),
            Kind::Int if value.abs() >= EXACT => Err(E::custom(format_args!(
                "{} is {value:e}, and a table holds integers of 64 bits with a sign",
                self.entry.path
            ))),
            _ => Err(E::invalid_type(serde::de::Unexpected::Float(value), &self)),
        }
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<Self::Value, E> {
        self.text(Cow::Borrowed(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        self.text(Cow::Owned(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let item = match self.kind {
            Kind::Floats => Kind::Float,
            Kind::Texts => Kind::Text,
            _ => return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self)),
        };
        let entry = Entry {
            name: "".into(),
            path: format!("{}[]", self.entry.path).into(),
            action: Action::Skip,
            nullable: false,
            default: None,
            slots: Vec::new(),
        };
        let (mut floats, mut texts) = (Vec::new(), Vec::new());
        while let Some(slot) = list.next_element_seed(LeafSeed { entry: &entry, kind: &item })? {
            match slot {
                Slot::Float(value) => floats.push(value),
                Slot::Text(value) => texts.push(value),
                _ => {}
            }
        }
        Ok(if item == Kind::Float { Slot::Floats(floats) } else { Slot::Texts(texts) })
    }
}

/// A time as pydantic reads it, too: digits beyond the microsecond are cut off, and a number is seconds (or, where it
/// is large, milliseconds) since 1970 in UTC.
fn time(text: &str) -> Option<Slot<'static>> {
    let config = TimeConfig {
        microseconds_precision_overflow_behavior: MicrosecondsPrecisionOverflowBehavior::Truncate,
        ..TimeConfig::default()
    };
    let slot = if let Ok(time) = DateTime::parse_bytes_rfc3339_with_config(text.as_bytes(), &config) {
        let micros = time.timestamp().checked_mul(1_000_000)?.checked_add(time.time.microsecond.into())?;
        Slot::Time(micros, time.time.tz_offset)
    } else if let Ok(date) = Date::parse_str_rfc3339(text) {
        Slot::Time(date.timestamp().checked_mul(1_000_000)?, None)
    } else {
        let time = DateTime::parse_str(text).ok()?;
        let micros = time.timestamp().checked_mul(1_000_000)?.checked_add(time.time.microsecond.into())?;
        Slot::Time(micros, Some(0))
    };
    matches!(slot, Slot::Time(micros, _) if TIMES.contains(&micros)).then_some(slot)
}

/// The years 1 to 9999, which a `datetime` holds, in microseconds since 1970.
pub const TIMES: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;
