//! Where a setting came from: a place in the file or a variable, so that a complaint can name it.
//! Never decides whether a setting is good: `load` and `rules` do.
//! Called by `load` and `rules` when they refuse something.

use std::path::{Path, PathBuf};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Config, ConfigError, variables::Variable};

/// The way to a setting: section, list index, field.
pub(super) type Field = Vec<String>;

/// What the configuration was read from.
pub(super) struct Sources {
    pub(super) file: Option<SourceFile>,
    pub(super) variables: Vec<Variable>,
}

/// A configuration file as it was read.
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// The way to a setting, from its names.
pub(super) fn field<const N: usize>(names: [&str; N]) -> Field {
    names.map(str::to_owned).to_vec()
}

impl Sources {
    /// A complaint about a value that does not read.
    pub(super) fn fault_reading(&self, field: &Field, reason: String) -> ConfigError {
        if let Some(variable) = self.variable_setting(field) {
            return variable.fault(reason);
        }
        // The file's own reading knows keys from values; it counts when it stumbles over the same thing.
        if let Some(file) = &self.file
            && let Err(error) = toml::from_str::<Config>(&file.text)
            && error.message() == reason
        {
            return file.fault(&error);
        }
        self.fault(std::slice::from_ref(field), reason)
    }

    /// A complaint about settings that are good alone; it names the first of them that was set.
    pub(super) fn fault(&self, fields: &[Field], reason: String) -> ConfigError {
        if let Some(variable) = fields.iter().find_map(|field| self.variable_setting(field)) {
            return variable.fault(reason);
        }
        let written = |file: &SourceFile| fields.iter().find_map(|field| offset_of(&file.text, field));
        if let Some(file) = &self.file
            && let Some(offset) = written(file)
        {
            // A variable below it began what the file alone has whole.
            return match fields.iter().find_map(|field| self.variable_below(field)) {
                Some(variable) => variable.fault(reason),
                None => file.fault_at(offset, reason),
            };
        }
        if let Some(variable) = fields.iter().find_map(|field| self.variable_below(field)) {
            return variable.fault(reason);
        }
        let around = |file: &SourceFile| {
            let above = |field: &Field| {
                (1..field.len()).rev().find_map(|length| offset_of(&file.text, &field[..length]))
            };
            fields.iter().find_map(above).unwrap_or(0)
        };
        match &self.file {
            Some(file) => file.fault_at(around(file), reason),
            None => ConfigError::Defaults { reason },
        }
    }

    /// The variable that sets a field, or the nearest part above it.
    fn variable_setting(&self, field: &Field) -> Option<&Variable> {
        let above = self.variables.iter().filter(|variable| field.starts_with(&variable.field));
        above.max_by_key(|variable| variable.field.len())
    }

    fn variable_below(&self, field: &Field) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.field.starts_with(field))
    }
}

impl SourceFile {
    /// What the TOML reader says about the file.
    pub(super) fn fault(&self, error: &toml::de::Error) -> ConfigError {
        self.fault_at(error.span().map_or(0, |span| span.start), error.message().to_owned())
    }

    fn fault_at(&self, offset: usize, reason: String) -> ConfigError {
        let (line, column) = line_and_column(&self.text, offset);
        ConfigError::File { path: self.path.clone(), line, column, reason }
    }

    /// Errors: the file cannot be read, or is not UTF-8; then with the place of the first wrong byte.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let file = |text| Self { path: path.to_owned(), text };
        String::from_utf8(bytes).map(file).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            file(text).fault_at(good, "this byte is not UTF-8".to_owned())
        })
    }
}

/// Both from 1; a column is a character.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    (line, before.rsplit('\n').next().unwrap_or("").chars().count() + 1)
}

/// Where a setting's value begins; `None` when the file does not have it.
fn offset_of(text: &str, field: &[String]) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let (first, rest) = field.split_first()?;
    let mut at = value_of(table.get_ref(), first)?;
    for name in rest {
        at = match at.get_ref() {
            DeValue::Table(table) => value_of(table, name)?,
            DeValue::Array(items) => items.get(name.parse::<usize>().ok()?)?,
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => return None,
        };
    }
    Some(at.span().start)
}

fn value_of<'t, 'i>(table: &'t DeTable<'i>, name: &str) -> Option<&'t Spanned<DeValue<'i>>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
}
