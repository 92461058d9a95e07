//! Projection pushdown: a record is parsed into the planned values; the rest is only checked to be JSON.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::plan::{FieldAction, FieldPlan, ObjectPlan, Plan};
use super::schema::FieldType;
use super::value::{FieldValue, ValueSeed};
use crate::json::text::{Key, fail};

/// The values of a record.
#[derive(Debug)]
pub(super) struct ParsedRecord<'de> {
    pub values: Vec<FieldValue<'de>>,
    /// The text of the configuration.
    pub config: Option<&'de str>,
}

/// Parse the planned fields of a record.
pub(super) fn parse<'de>(bytes: &'de [u8], plan: &Plan) -> Result<ParsedRecord<'de>, serde_json::Error> {
    let mut record = ParsedRecord { values: vec![FieldValue::Null; plan.width], config: None };
    // `serde_json` does not check the strings that it skips.
    let text = std::str::from_utf8(bytes).map_err(fail)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    ObjectSeed { plan: &plan.record, record: &mut record, field: None }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(record)
}

struct ObjectSeed<'p, 'r, 'de> {
    plan: &'p ObjectPlan,
    record: &'r mut ParsedRecord<'de>,
    /// The field of the object; `None` for the record itself.
    field: Option<&'p FieldPlan>,
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
        match self.field {
            Some(field) => write!(f, "an object in {}", field.path),
            None => f.write_str("an object"),
        }
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        match self.field {
            Some(field) if field.nullable => {
                set_null(field, self.record);
                Ok(())
            }
            _ => Err(E::invalid_type(serde::de::Unexpected::Unit, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { plan, record, .. } = self;
        // Fields are mostly in the order of the schema.
        let (mut seen, mut next) = (0_u64, 0);
        while let Some(Key(key)) = map.next_key()? {
            let Some(index) = plan.find(&key, next) else {
                return Err(A::Error::custom(format_args!(
                    "unknown field {}",
                    self.field.map_or_else(|| key.to_string(), |field| format!("{}.{key}", field.path))
                )));
            };
            let field = &plan.fields[index];
            if seen & (1 << index) != 0 {
                return Err(A::Error::custom(format_args!("it has {} twice", field.path)));
            }
            seen |= 1 << index;
            next = index + 1;
            match &field.action {
                FieldAction::Skip => drop(map.next_value::<IgnoredAny>()?),
                FieldAction::Keep { index, field_type } => {
                    let (path, nullable) = (&*field.path, field.nullable);
                    record.values[*index] = map.next_value_seed(ValueSeed { path, nullable, field_type })?;
                }
                FieldAction::Object(plan) => {
                    map.next_value_seed(ObjectSeed { plan, record, field: Some(field) })?;
                }
                FieldAction::Objects(plan) => map.next_value_seed(ObjectsSeed { plan, record, field })?,
                FieldAction::Config => record.config = Some(map.next_value::<&'de RawValue>()?.get()),
            }
        }
        for (index, field) in plan.fields.iter().enumerate() {
            if seen & (1 << index) == 0 {
                let Some(default) = &field.default else {
                    return Err(A::Error::custom(format_args!("it lacks {}", field.path)));
                };
                set_default(field, default, record);
            }
        }
        Ok(())
    }
}

impl ObjectPlan {
    fn find(&self, name: &str, next: usize) -> Option<usize> {
        match self.fields.get(next) {
            Some(field) if *field.name == *name => Some(next),
            _ => self.fields.iter().position(|field| *field.name == *name),
        }
    }
}

fn set_null(field: &FieldPlan, record: &mut ParsedRecord<'_>) {
    for index in &field.indexes {
        record.values[*index] = FieldValue::Null;
    }
}

/// Set the values of an absent field.
fn set_default(field: &FieldPlan, default: &Value, record: &mut ParsedRecord<'_>) {
    match (&field.action, default) {
        (FieldAction::Skip | FieldAction::Config, _) => {}
        (FieldAction::Keep { index, field_type }, default) => {
            record.values[*index] = default_of(field_type, default);
        }
        (FieldAction::Object(plan), Value::Object(_)) => {
            for below in &plan.fields {
                set_default(below, below.default.as_ref().unwrap_or(&Value::Null), record);
            }
        }
        (FieldAction::Objects(_), Value::Array(_)) => {
            for index in &field.indexes {
                record.values[*index] = FieldValue::Items(Vec::new());
            }
        }
        _ => set_null(field, record),
    }
}

fn default_of(field_type: &FieldType, default: &Value) -> FieldValue<'static> {
    match (field_type, default) {
        (_, Value::Null) => FieldValue::Null,
        (FieldType::Json, value) => FieldValue::Json(value.to_string().into()),
        (FieldType::Floats, _) => FieldValue::Floats(Vec::new()),
        (FieldType::Texts, _) => FieldValue::Texts(Vec::new()),
        (_, Value::Bool(value)) => FieldValue::Bool(*value),
        (FieldType::Int, value) => value.as_i64().map_or(FieldValue::Null, FieldValue::Int),
        (_, Value::Number(number)) => number.as_f64().map_or(FieldValue::Null, FieldValue::Float),
        (_, Value::String(text)) => FieldValue::Text(text.clone().into()),
        _ => FieldValue::Null,
    }
}

struct ObjectsSeed<'p, 'r, 'de> {
    plan: &'p ObjectPlan,
    record: &'r mut ParsedRecord<'de>,
    field: &'p FieldPlan,
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
        write!(f, "a list of objects in {}", self.field.path)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        if !self.field.nullable {
            return Err(E::invalid_type(serde::de::Unexpected::Unit, &self));
        }
        set_null(self.field, self.record);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { plan, record, field } = self;
        let mut items: Vec<Vec<FieldValue<'de>>> = vec![Vec::new(); field.indexes.len()];
        while list.next_element_seed(ObjectSeed { plan, record, field: Some(field) })?.is_some() {
            for (items, index) in items.iter_mut().zip(&field.indexes) {
                items.push(std::mem::take(&mut record.values[*index]));
            }
        }
        for (items, index) in items.into_iter().zip(&field.indexes) {
            record.values[*index] = FieldValue::Items(items);
        }
        Ok(())
    }
}
