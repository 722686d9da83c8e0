//! Reads configuration: defaults, then one TOML file, then `TALLYGATE__SECTION__FIELD` variables.
//! Never opens what the configuration names, but a model's folder must exist.
//! Called by every command that needs a `Config`.

use std::{ffi::OsString, io, path::Path, path::PathBuf};

use domain::Fault;
use serde_path_to_error::Segment;
use toml::Table;

use super::{
    Config, Role, rules,
    sources::{Field, SourceFile, Sources},
    variables,
};

/// Why the configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file has a fault at a place.
    #[error("{}:{line}:{column}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A variable has a fault.
    #[error("environment variable {variable}: {reason}")]
    Environment {
        /// Its name.
        variable: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither file nor variable: the defaults do not fit together.
    #[error("the default configuration: {reason}")]
    Defaults {
        /// What does not fit.
        reason: String,
    },
}

impl ConfigError {
    /// The operator's input is at fault.
    pub fn fault(&self) -> Fault {
        Fault::Invalid
    }
}

/// Where the configuration comes from, beside the variables of the environment.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file.
    pub path: Option<PathBuf>,
    /// The role that the command line names; it counts more than file and variables.
    pub role: Option<Role>,
}

impl Source {
    /// Reads it anew.
    ///
    /// Errors: as [`load`].
    pub fn load(&self) -> Result<Config, ConfigError> {
        let Some(role) = self.role else { return load(self.path.as_deref(), std::env::vars_os()) };
        let others = std::env::vars_os().filter(|(name, _)| !name.eq_ignore_ascii_case(ROLE_VARIABLE));
        let named = (OsString::from(ROLE_VARIABLE), OsString::from(role.as_str()));
        load(self.path.as_deref(), others.chain([named]))
    }
}

/// The variable that names the role.
const ROLE_VARIABLE: &str = "TALLYGATE__ROLE";

/// The configuration from a file (when given) and the variables of the environment.
///
/// Errors: the first fault found, with file and line or the variable's name.
pub fn load(
    path: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, ConfigError> {
    let file = path.map(SourceFile::read).transpose()?;
    let table = match &file {
        Some(file) => toml::from_str(&file.text).map_err(|error| file.fault(&error))?,
        None => Table::new(),
    };
    let mut sources = Sources { file, variables: variables::read(environment)? };
    let config = read(&table, &mut sources)?;
    rules::check(&config, &sources)?;
    Ok(config)
}

/// Reads file and variables as one. A variable counts as a TOML value first, and as plain text where that does
/// not fit: each round takes one variable as text, so there is at most one round more than variables.
fn read(file: &Table, sources: &mut Sources) -> Result<Config, ConfigError> {
    loop {
        let table = variables::lay_over(file, &sources.variables)?;
        let has_models = table.contains_key("model");
        let error = match serde_path_to_error::deserialize::<_, Config>(table) {
            Ok(mut config) => {
                // The demo model is for whoever has named nothing to serve, and may run models at all.
                if !has_models && (!config.backends.is_empty() || config.role == Role::Gateway) {
                    config.models.clear();
                }
                return Ok(config);
            }
            Err(error) => error,
        };
        let field = field_of(error.path());
        let reason = error.into_inner().message().to_owned();
        let mut setting = sources.variables.iter_mut().filter(|variable| field.starts_with(&variable.field));
        if !setting.any(|variable| variable.take_as_text(&reason)) {
            return Err(sources.fault_reading(&field, reason));
        }
    }
}

fn field_of(path: &serde_path_to_error::Path) -> Field {
    let part = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(part).collect()
}
