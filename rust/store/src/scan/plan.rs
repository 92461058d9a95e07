//! What to read of each record: the schema, and the part of it that was asked for.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::config::Keys;
use super::filter::Filter;
use crate::load::Limit;

/// The column that stands for every key of the configuration.
pub const CONFIG: &str = "effective_config";
/// Columns that are not of the record: where it is, whether a sidecar lies beside it, when it was written.
pub const PATH: &str = "path";
/// See [`PATH`].
pub const HAS_TIMESERIES: &str = "has_timeseries";
/// See [`PATH`].
pub const SAVED_AT: &str = "saved_at";
/// Ends the name of the column of instants that belongs to a column of times.
pub const UTC: &str = ".utc";
const VERSION: &str = "schema_version";
const TIMESERIES: &str = "timeseries";

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// An integer.
    Int,
    /// A number, or the name of one that is not finite.
    Float,
    /// A string.
    Text,
    /// An ISO 8601 time, with a zone or without.
    Time,
    /// A list of numbers.
    Floats,
    /// A list of strings.
    Texts,
    /// Any JSON; in a table, its text.
    Json,
    /// An object of the configuration.
    Config,
    /// An object of these fields.
    Object(Vec<Field>),
    /// A list of such objects.
    Objects(Vec<Field>),
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it is where it is absent; `None` where it must not be.
    pub default: Option<Value>,
}

/// The fields of a record.
#[derive(Debug, Clone)]
pub struct RecordSchema {
    fields: Vec<Field>,
    version: String,
}

impl RecordSchema {
    /// Read a schema from JSON: a list of objects with `name`, `kind`, and where they apply `nullable`, `default` and
    /// `fields`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let fields = fields(&value)?;
        let version =
            fields.iter().find(|field| field.name == VERSION).and_then(|field| field.default.as_ref());
        let version = version.and_then(Value::as_str).ok_or("there is no schema_version")?.to_owned();
        Ok(Self { fields, version })
    }
}

fn fields(value: &Value) -> Result<Vec<Field>, String> {
    /// Whether a field was seen is a bit.
    const MOST: usize = u64::BITS as usize;
    let fields =
        value.as_array().filter(|fields| fields.len() <= MOST).ok_or("fields are a list of up to 64")?;
    fields.iter().map(field).collect()
}

fn field(value: &Value) -> Result<Field, String> {
    let object = value.as_object().ok_or("a field is an object")?;
    let text = |key: &str| object.get(key).and_then(Value::as_str).ok_or(format!("a field has a {key}"));
    let below = |object: &Map<String, Value>| fields(object.get("fields").unwrap_or(&Value::Null));
    let kind = match text("kind")? {
        "bool" => Kind::Bool,
        "int" => Kind::Int,
        "float" => Kind::Float,
        "text" => Kind::Text,
        "time" => Kind::Time,
        "floats" => Kind::Floats,
        "texts" => Kind::Texts,
        "json" => Kind::Json,
        "config" => Kind::Config,
        "object" => Kind::Object(below(object)?),
        "objects" => Kind::Objects(below(object)?),
        other => return Err(format!("no field is {other}")),
    };
    let nullable = object.get("nullable") == Some(&Value::Bool(true));
    Ok(Field { name: text("name")?.to_owned(), kind, nullable, default: object.get("default").cloned() })
}

/// What is done with the value of a field.
#[derive(Debug)]
pub enum Action {
    /// It is checked to be JSON, and no more.
    Skip,
    /// It goes into a slot.
    Leaf {
        slot: usize,
        kind: Kind,
    },
    Object(Node),
    /// Each object adds an item to each slot below it.
    Objects(Node),
    /// The keys of the configuration.
    Config,
}

#[derive(Debug)]
pub struct Entry {
    pub name: Box<str>,
    /// The name with those of the objects around it.
    pub path: Box<str>,
    pub action: Action,
    pub nullable: bool,
    pub default: Option<Value>,
    /// The slots that it fills.
    pub slots: Vec<usize>,
}

/// The fields of an object, and what is done with each.
#[derive(Debug)]
pub struct Node {
    pub entries: Vec<Entry>,
}

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    Path,
    HasTimeseries,
    SavedAt,
    Slot(usize),
    /// The instant of the time in a slot.
    Instant(usize),
    /// A key of the configuration, by its column there.
    Config(usize),
    /// All keys of the configuration.
    AllConfig,
}

/// A column that does not depend on what the records hold.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub origin: Origin,
    pub kind: Kind,
    pub nullable: bool,
    /// It lies in a list of objects, and each value is a list.
    pub listed: bool,
}

/// What is read of each record.
#[derive(Debug)]
pub struct Plan {
    pub(super) version: String,
    pub(super) record: Node,
    pub(super) slots: usize,
    /// The slot of `schema_version`.
    pub(super) version_slot: usize,
    /// The slot of `timeseries`, where it is wanted.
    pub(super) timeseries_slot: Option<usize>,
    pub(super) columns: Vec<Column>,
    pub(super) filters: Vec<Filter>,
    /// The keys of the configuration that are wanted.
    pub(super) keys: Arc<Keys>,
    pub(super) batch_size: usize,
    /// Whether the path of a result is in the table, or asked for.
    pub(super) tells_path: bool,
    pub(super) limit: Limit,
    infer: bool,
}

/// What a name stands for, while a plan is made.
struct Leaf {
    kind: Kind,
    slot: usize,
    nullable: bool,
    listed: bool,
}

impl Plan {
    /// Find what is to be read for some columns and some conditions.
    ///
    /// Without `infer`, the columns of the configuration are the JSON texts of the values, and those that are not named
    /// are left out; then nothing needs to be read to know them.
    ///
    /// # Errors
    ///
    /// What is wrong with a name or a condition.
    pub fn new(
        schema: &RecordSchema,
        columns: &[String],
        conditions: Vec<super::filter::Condition>,
        batch_size: usize,
        infer: bool,
    ) -> Result<Self, String> {
        let mut planner = Planner { slots: Vec::new(), keys: Keys::default() };
        let wanted: Vec<&str> =
            columns.iter().map(String::as_str).chain(conditions.iter().map(|c| c.column.as_str())).collect();
        let record = planner.node(&schema.fields, "", false, false, &|path| {
            path == VERSION || wanted.iter().any(|name| *name == path || name.strip_suffix(UTC) == Some(path))
        });
        let columns =
            columns.iter().map(|name| planner.column(name)).collect::<Result<Vec<Column>, String>>()?;
        let filters = conditions
            .into_iter()
            .map(|condition| {
                let column = planner.column(&condition.column)?;
                condition.on(&column)
            })
            .collect::<Result<Vec<Filter>, String>>()?;
        let slot =
            |name: &str| planner.slots.iter().find(|(path, _)| path == name).map(|(_, leaf)| leaf.slot);
        let of_columns = columns.iter().map(|column| &column.origin);
        let tells_path =
            of_columns.chain(filters.iter().map(|filter| &filter.origin)).any(|o| *o == Origin::Path);
        Ok(Self {
            version: schema.version.clone(),
            version_slot: slot(VERSION).ok_or("there is no schema_version")?,
            timeseries_slot: slot(TIMESERIES),
            slots: planner.slots.len(),
            record,
            columns,
            filters,
            keys: Arc::new(planner.keys),
            batch_size,
            tells_path,
            limit: Limit::USUAL,
            infer,
        })
    }

    /// Read records of other sizes than the usual ones.
    #[must_use]
    pub fn with_limit(self, limit: Limit) -> Self {
        Self { limit, ..self }
    }

    /// Whether the types of some columns depend on what the records hold.
    pub(super) fn is_open(&self) -> bool {
        let is_config = |column: &Column| matches!(column.origin, Origin::Config(_) | Origin::AllConfig);
        self.infer && self.columns.iter().any(is_config)
    }
}

struct Planner {
    /// What has a slot, by its path.
    slots: Vec<(String, Leaf)>,
    keys: Keys,
}

impl Planner {
    fn node(
        &mut self,
        fields: &[Field],
        above: &str,
        nullable: bool,
        listed: bool,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Node {
        let entries = fields.iter().map(|field| {
            let path = if above.is_empty() { field.name.clone() } else { format!("{above}.{}", field.name) };
            let before = self.slots.len();
            let may_be_null = nullable || field.nullable;
            let action = match &field.kind {
                Kind::Config if above.is_empty() => Action::Config,
                Kind::Objects(_) if wanted(&path) => self.leaf(&path, &Kind::Json, may_be_null, listed),
                Kind::Objects(below) if !listed => match self.node(below, &path, may_be_null, true, wanted) {
                    _ if self.slots.len() == before => Action::Skip,
                    node => Action::Objects(node),
                },
                Kind::Object(below) => match self.node(below, &path, may_be_null, listed, wanted) {
                    _ if self.slots.len() == before => Action::Skip,
                    node => Action::Object(node),
                },
                Kind::Config | Kind::Floats | Kind::Texts if listed && wanted(&path) => {
                    self.leaf(&path, &Kind::Json, may_be_null, listed)
                }
                kind if wanted(&path) => self.leaf(&path, kind, may_be_null, listed),
                _ => Action::Skip,
            };
            Entry {
                name: field.name.clone().into(),
                path: path.into(),
                action,
                nullable: field.nullable,
                default: field.default.clone(),
                slots: (before..self.slots.len()).collect(),
            }
        });
        Node { entries: entries.collect() }
    }

    fn leaf(&mut self, path: &str, kind: &Kind, nullable: bool, listed: bool) -> Action {
        let slot = self.slots.len();
        self.slots.push((path.to_owned(), Leaf { kind: kind.clone(), slot, nullable, listed }));
        Action::Leaf { slot, kind: kind.clone() }
    }

    fn column(&mut self, name: &str) -> Result<Column, String> {
        let fixed =
            |origin, kind| Column { name: name.to_owned(), origin, kind, nullable: false, listed: false };
        match name {
            PATH => return Ok(fixed(Origin::Path, Kind::Text)),
            HAS_TIMESERIES => return Ok(fixed(Origin::HasTimeseries, Kind::Bool)),
            SAVED_AT => return Ok(Column { nullable: true, ..fixed(Origin::SavedAt, Kind::Time) }),
            CONFIG => {
                self.keys.want_all();
                return Ok(Column { nullable: true, ..fixed(Origin::AllConfig, Kind::Json) });
            }
            _ => {}
        }
        if let Some(key) = name.strip_prefix(CONFIG).and_then(|rest| rest.strip_prefix('.')) {
            let column = self.keys.want(key)?;
            return Ok(Column { nullable: true, ..fixed(Origin::Config(column), Kind::Json) });
        }
        let find = |name: &str| self.slots.iter().find(|(path, _)| path == name).map(|(_, leaf)| leaf);
        if let Some(leaf) = find(name) {
            let Leaf { kind, slot, nullable, listed } = leaf;
            let column = fixed(Origin::Slot(*slot), kind.clone());
            return Ok(Column { nullable: *nullable, listed: *listed, ..column });
        }
        match name.strip_suffix(UTC).and_then(find) {
            Some(Leaf { kind: Kind::Time, slot, listed: false, .. }) => {
                Ok(Column { nullable: true, ..fixed(Origin::Instant(*slot), Kind::Time) })
            }
            _ => Err(format!("there is no column {name}")),
        }
    }
}
