//! Variables `TALLYGATE__SECTION__FIELD`, and `TALLYGATE_LOG`: reading them, and laying them over the file's table.
//! Never decides whether a value fits its field: `load` tries the whole.
//! Called by `load`.

use std::{cmp::Ordering, ffi::OsString};

use toml::{Table, Value};

use super::{
    ConfigError,
    sources::{Field, field},
};

/// Variables with this prefix override the file; `__` separates section, field and list index.
const ENVIRONMENT_PREFIX: &str = "TALLYGATE__";

/// A short name for `TALLYGATE__LOG__FILTER`, which is stronger where both are set.
const LOG: &str = "TALLYGATE_LOG";

/// One setting made by a variable.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) field: Field,
    text: String,
    /// The text as a TOML value, while that may still be what was meant.
    typed: Option<Value>,
    /// Why the TOML value did not fit.
    misfit: Option<String>,
}

impl Variable {
    fn new(name: String, text: String) -> Self {
        if name == LOG {
            // Never a TOML value: a filter that looks like one is a filter all the same.
            return Self { field: field(["log", "filter"]), typed: None, misfit: None, name, text };
        }
        let parts = name.get(ENVIRONMENT_PREFIX.len()..).unwrap_or("").split("__");
        // An index has one spelling: 01 is 1.
        let field = parts.map(|part| match part.parse::<usize>() {
            Ok(index) => index.to_string(),
            Err(_) => part.to_ascii_lowercase(),
        });
        Self { field: field.collect(), typed: text.parse().ok(), misfit: None, name, text }
    }

    /// A complaint about this variable; why its TOML value did not fit says more than why its text did not.
    pub(super) fn fault(&self, reason: String) -> ConfigError {
        ConfigError::Environment {
            variable: self.name.clone(),
            reason: self.misfit.clone().unwrap_or(reason),
        }
    }

    /// From now on its plain text is meant. `false`: it was already.
    pub(super) fn take_as_text(&mut self, misfit: &str) -> bool {
        let was_typed = self.typed.take().is_some();
        if was_typed {
            self.misfit = Some(misfit.to_owned());
        }
        was_typed
    }

    fn value(&self) -> Value {
        self.typed.clone().unwrap_or_else(|| Value::String(self.text.clone()))
    }
}

/// The variables that are settings, in the order in which they are laid over the file.
///
/// Errors: one of them is not UTF-8.
pub(super) fn read(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Variable>, ConfigError> {
    let mut variables = Vec::new();
    for (name, text) in environment {
        if name != LOG && !name.as_encoded_bytes().starts_with(ENVIRONMENT_PREFIX.as_bytes()) {
            continue;
        }
        let shown = name.to_string_lossy().into_owned();
        match (name.into_string(), text.into_string()) {
            (Ok(name), Ok(text)) => variables.push(Variable::new(name, text)),
            (Err(_), _) => return Err(not_utf8(shown, "name")),
            (_, Err(_)) => return Err(not_utf8(shown, "value")),
        }
    }
    variables.sort_by(|one, other| order(&one.field, &other.field).then_with(|| one.name.cmp(&other.name)));
    Ok(variables)
}

/// Parts that are numbers by their size: entry 10 comes after entry 2.
fn order(one: &Field, other: &Field) -> Ordering {
    let part = |one: &String, other: &String| match (one.parse::<usize>(), other.parse::<usize>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        _ => one.cmp(other),
    };
    let parts = one.iter().zip(other).map(|(one, other)| part(one, other));
    parts.fold(Ordering::Equal, Ordering::then).then_with(|| one.len().cmp(&other.len()))
}

fn not_utf8(variable: String, what: &str) -> ConfigError {
    ConfigError::Environment { variable, reason: format!("its {what} is not UTF-8") }
}

/// The file's table with every variable laid over it.
///
/// Errors: a variable that lies below a plain value or beyond the end of a list.
pub(super) fn lay_over(file: &Table, variables: &[Variable]) -> Result<Table, ConfigError> {
    let mut table = file.clone();
    for variable in variables {
        if is_model_field(&variable.field) && !table.contains_key(MODEL) {
            table.insert(MODEL.to_owned(), Value::Array(vec![default_model()]));
        }
        set_in(&mut table, &variable.field, variable.value()).map_err(|reason| {
            let misfits =
                |above: &&Variable| above.misfit.is_some() && variable.field.starts_with(&above.field);
            variables.iter().find(misfits).unwrap_or(variable).fault(reason)
        })?;
    }
    Ok(table)
}

const MODEL: &str = "model";

/// Whether it is a field of an entry of the models, not the list itself.
fn is_model_field(field: &Field) -> bool {
    field.len() > 1 && field.first().is_some_and(|name| name == MODEL)
}

/// What the first entry is when nothing was said about models, so that one variable can change a part of it.
fn default_model() -> Value {
    let field = |name: &str, text: &str| (name.to_owned(), Value::String(text.to_owned()));
    Value::Table([field("name", "demo"), field("source", "demo")].into_iter().collect())
}

fn set_in(table: &mut Table, field: &[String], value: Value) -> Result<(), String> {
    let Some((first, rest)) = field.split_first() else {
        return Ok(());
    };
    let empty = match rest.first().is_some_and(|name| name.parse::<usize>().is_ok()) {
        true => Value::Array(Vec::new()),
        false => Value::Table(Table::new()),
    };
    set(table.entry(first.clone()).or_insert(empty), rest, value)
}

fn set(at: &mut Value, field: &[String], value: Value) -> Result<(), String> {
    let Some((first, rest)) = field.split_first() else {
        *at = value;
        return Ok(());
    };
    match at {
        Value::Table(table) => set_in(table, field, value),
        Value::Array(items) => {
            let index: usize = first.parse().map_err(|_| format!("{first:?} is not a list index"))?;
            if index == items.len() {
                items.push(Value::Table(Table::new()));
            }
            let length = items.len();
            let item = items.get_mut(index);
            set(item.ok_or(format!("list index {index} is beyond the {length} entries"))?, rest, value)
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
            Err(format!("{first:?} is below a plain value"))
        }
    }
}
