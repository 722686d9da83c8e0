//! A plan's text as values, each with its place: the one form that TOML and JSON have in common.
//! Never reads a term: a value only says what stands where.
//! Made by `terms`, read through `Table`.

use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Range};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use toml::de::{DeTable, DeValue};

use super::table::Found;
use crate::plan::PlanProblem;

/// Tables within tables. The deepest term is a tier of a charge.
const DEPTH_MAX: usize = 16;

/// A value and its bytes in the text.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) span: Range<usize>,
    pub(super) form: Form,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Form {
    Text(String),
    /// Its digits as they stand, and their base. A sign is part of them.
    Integer {
        digits: String,
        radix: u32,
    },
    Float,
    Boolean,
    Date,
    Null,
    List(Vec<Value>),
    Table(Fields),
}

/// Fields by their names, with the place of each name.
pub(super) type Fields = BTreeMap<String, (Range<usize>, Value)>;

impl Value {
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.form {
            Form::Text(text) => Some(text),
            Form::Integer { .. }
            | Form::Float
            | Form::Boolean
            | Form::Date
            | Form::Null
            | Form::List(_)
            | Form::Table(_) => None,
        }
    }

    pub(super) fn as_list(&self) -> Option<&[Self]> {
        match &self.form {
            Form::List(list) => Some(list),
            Form::Text(_)
            | Form::Integer { .. }
            | Form::Float
            | Form::Boolean
            | Form::Date
            | Form::Null
            | Form::Table(_) => None,
        }
    }

    pub(super) fn as_table(&self) -> Option<&Fields> {
        match &self.form {
            Form::Table(fields) => Some(fields),
            Form::Text(_)
            | Form::Integer { .. }
            | Form::Float
            | Form::Boolean
            | Form::Date
            | Form::Null
            | Form::List(_) => None,
        }
    }

    /// What it is, in words.
    pub(super) fn type_name(&self) -> &'static str {
        match &self.form {
            Form::Text(_) => "a text",
            Form::Integer { .. } => "a whole number",
            Form::Float => "a float",
            Form::Boolean => "true or false",
            Form::Date => "a date without quotes",
            Form::Null => "null",
            Form::List(_) => "a list",
            Form::Table(_) => "a table",
        }
    }
}

/// The fields of the whole text: JSON when it begins with a brace, which no TOML does.
///
/// Errors: it is neither.
pub(super) fn root(text: &str) -> Found<Fields> {
    if text.trim_start().starts_with('{') {
        let start = text.len() - text.trim_start().len();
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| not_json(text, 0, &error))?;
        let value = of_json(text, raw, DEPTH_MAX)?;
        return match value.form {
            Form::Table(fields) => Ok(fields),
            Form::Text(_)
            | Form::Integer { .. }
            | Form::Float
            | Form::Boolean
            | Form::Date
            | Form::Null
            | Form::List(_) => Err((start..start, PlanProblem::NotJson("not an object".to_owned()))),
        };
    }
    let table = DeTable::parse(text).map_err(|error| {
        let message = error.message().trim().replace('\n', ", ");
        (error.span().unwrap_or(0..0), PlanProblem::Syntax(message))
    })?;
    Ok(fields_of_toml(table.get_ref()))
}

fn fields_of_toml(table: &DeTable<'_>) -> Fields {
    let field = |(name, value): (&toml::Spanned<Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
        (name.get_ref().to_string(), (name.span(), of_toml(value)))
    };
    table.iter().map(field).collect()
}

fn of_toml(value: &toml::Spanned<DeValue<'_>>) -> Value {
    let form = match value.get_ref() {
        DeValue::String(text) => Form::Text(text.to_string()),
        DeValue::Integer(integer) => {
            Form::Integer { digits: integer.as_str().to_owned(), radix: integer.radix() }
        }
        DeValue::Float(_) => Form::Float,
        DeValue::Boolean(_) => Form::Boolean,
        DeValue::Datetime(_) => Form::Date,
        DeValue::Array(list) => Form::List(list.iter().map(of_toml).collect()),
        DeValue::Table(table) => Form::Table(fields_of_toml(table)),
    };
    Value { span: value.span(), form }
}

/// Every value of JSON is a slice of its text: where it lies is where it stands.
fn of_json(text: &str, raw: &RawValue, depth: usize) -> Found<Value> {
    let slice = raw.get();
    let start = (slice.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let span = start..start + slice.len();
    let wrong = |error: serde_json::Error| not_json(slice, start, &error);
    let deeper = || {
        let too_deep = || PlanProblem::NotJson(format!("values are more than {DEPTH_MAX} deep"));
        depth.checked_sub(1).ok_or_else(|| (span.clone(), too_deep()))
    };
    let form = match slice.as_bytes().first() {
        Some(b'{') => {
            let members: Members<'_> = serde_json::from_str(slice).map_err(wrong)?;
            Form::Table(fields_of_json(text, members, deeper()?)?)
        }
        Some(b'[') => {
            let entries: Vec<&RawValue> = serde_json::from_str(slice).map_err(wrong)?;
            let depth = deeper()?;
            Form::List(entries.into_iter().map(|entry| of_json(text, entry, depth)).collect::<Found<_>>()?)
        }
        Some(b'"') => Form::Text(serde_json::from_str(slice).map_err(wrong)?),
        Some(b't' | b'f') => Form::Boolean,
        Some(b'n') | None => Form::Null,
        Some(_) if slice.contains(['.', 'e', 'E']) => Form::Float,
        Some(_) => Form::Integer { digits: slice.to_owned(), radix: 10 },
    };
    Ok(Value { span, form })
}

fn fields_of_json(text: &str, members: Members<'_>, depth: usize) -> Found<Fields> {
    let mut fields = Fields::new();
    for (name, raw) in members.0 {
        let value = of_json(text, raw, depth)?;
        let span = value.span.clone();
        if fields.contains_key(&name) {
            return Err((span, PlanProblem::Duplicate { what: "the field", name }));
        }
        fields.insert(name, (span, value));
    }
    Ok(fields)
}

/// Line and column of an error count from where its text begins.
fn not_json(text: &str, start: usize, error: &serde_json::Error) -> (Range<usize>, PlanProblem) {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let line: usize = lines.map(str::len).sum();
    let at = start + (line + error.column().saturating_sub(1)).min(text.len());
    let message = error.to_string();
    // The place is told apart.
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    (at..at, PlanProblem::NotJson(message))
}

/// An object's members in order, so that one that stands there twice is seen.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        input.deserialize_map(Read)
    }
}
