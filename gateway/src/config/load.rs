//! Reads configuration: defaults, then one TOML file, then `TALLYGATE__SECTION__FIELD` variables.
//! Never opens what the configuration names, but a model's folder must exist.
//! Called by every command that needs a `Config`.

use std::{collections::HashSet, fs, io, path::Path, path::PathBuf};

use domain::Fault;
use toml::Value;

use super::{Config, ModelSource};

/// Variables with this prefix override the file; `__` separates section, field and list index.
const ENVIRONMENT_PREFIX: &str = "TALLYGATE__";

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
    /// Values that are good alone and do not fit together.
    #[error("{origin}: model {model}: {reason}")]
    Model {
        /// The file, or "configuration" when there is none.
        origin: String,
        /// The model's name.
        model: String,
        /// What does not fit.
        reason: String,
    },
    /// No model at all.
    #[error("{origin}: at least one [[model]] is needed")]
    NoModel {
        /// The file, or "configuration" when there is none.
        origin: String,
    },
}

impl ConfigError {
    /// The operator's input is at fault.
    pub fn fault(&self) -> Fault {
        Fault::Invalid
    }
}

/// The configuration from a file (when given) and the variables of the environment.
///
/// Errors: the first fault found, with file and line or the variable's name.
pub fn load(path: Option<&Path>, environment: &[(String, String)]) -> Result<Config, ConfigError> {
    let mut table = toml::Table::new();
    let mut config = Config::default();
    if let Some(path) = path {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        config = toml::from_str(&text).map_err(|error| file_error(path, &text, &error))?;
        table = toml::from_str(&text).map_err(|error| file_error(path, &text, &error))?;
    }
    let mut variables: Vec<_> =
        environment.iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)).collect();
    variables.sort();
    for (name, text) in variables {
        config = apply_variable(&mut table, name, text)?;
    }
    let origin = path.map_or_else(|| "configuration".to_owned(), |path| path.display().to_string());
    check_models(&config, &origin)?;
    Ok(config)
}

fn file_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..at).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    ConfigError::File { path: path.to_owned(), line, column, reason: error.message().to_owned() }
}

/// Lays one variable over the table; reads it as a TOML value first and as plain text when that does not fit.
fn apply_variable(table: &mut toml::Table, name: &str, text: &str) -> Result<Config, ConfigError> {
    let field: Vec<String> =
        name[ENVIRONMENT_PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    let fault = |reason: String| ConfigError::Environment { variable: name.to_owned(), reason };
    let typed = toml::from_str::<toml::Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut parsed| parsed.remove("value"));
    let candidates = [typed, Some(Value::String(text.to_owned()))];
    let mut reason = String::new();
    for value in candidates.into_iter().flatten() {
        let mut trial = Value::Table(table.clone());
        set(&mut trial, &field, value).map_err(fault)?;
        match trial.clone().try_into::<Config>() {
            Ok(config) => {
                if let Value::Table(applied) = trial {
                    *table = applied;
                }
                return Ok(config);
            }
            Err(error) if reason.is_empty() => error.message().clone_into(&mut reason),
            Err(_) => {}
        }
    }
    Err(fault(reason))
}

fn set(at: &mut Value, field: &[String], value: Value) -> Result<(), String> {
    let Some((first, rest)) = field.split_first() else {
        *at = value;
        return Ok(());
    };
    let next = match at {
        Value::Table(table) => {
            let empty = match rest.first().is_some_and(|name| name.parse::<usize>().is_ok()) {
                true => Value::Array(Vec::new()),
                false => Value::Table(toml::Table::new()),
            };
            table.entry(first.clone()).or_insert(empty)
        }
        Value::Array(items) => {
            let index: usize = first.parse().map_err(|_| format!("{first:?} is not a list index"))?;
            if index == items.len() {
                items.push(Value::Table(toml::Table::new()));
            }
            let length = items.len();
            items.get_mut(index).ok_or(format!("list index {index} is beyond the {length} entries"))?
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
            return Err(format!("{first:?} is below a plain value"));
        }
    };
    set(next, rest, value)
}

fn check_models(config: &Config, origin: &str) -> Result<(), ConfigError> {
    if config.models.is_empty() {
        return Err(ConfigError::NoModel { origin: origin.to_owned() });
    }
    let mut names = HashSet::new();
    for model in &config.models {
        let fault = |reason: String| {
            Err(ConfigError::Model { origin: origin.to_owned(), model: model.name.to_string(), reason })
        };
        if !names.insert(&model.name) {
            return fault("the name is used twice".to_owned());
        }
        match (model.source, &model.path, &model.sim) {
            (ModelSource::Folder, None, _) => {
                return fault("source = \"folder\" needs path = \"…\"".to_owned());
            }
            (ModelSource::Folder, Some(path), _) if !path.is_dir() => {
                return fault(format!("{} is not a folder", path.display()));
            }
            (ModelSource::Demo | ModelSource::Sim, Some(_), _) => {
                return fault("path belongs to source = \"folder\"".to_owned());
            }
            (ModelSource::Demo | ModelSource::Folder, _, Some(_)) => {
                return fault("[model.sim] belongs to source = \"sim\"".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn check(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let mut temporary = tempfile::NamedTempFile::new().expect("a temporary file");
        temporary.write_all(file.as_bytes()).expect("written");
        let variables: Vec<_> =
            environment.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        let path = temporary.path();
        load(Some(path), &variables).map_err(|e| e.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn the_empty_file_is_the_default() {
        let config = check("", &[]).expect("defaults");
        assert_eq!(config.models[0].name.as_str(), "demo");
        assert_eq!(config.ledger_url(), "sqlite://tallygate-data/ledger.sqlite");
        assert!(load(None, &[]).is_ok());
    }

    #[test]
    fn variables_override_the_file() {
        let file = "[server]\nlisten = \"127.0.0.1:1\"\n[[model]]\nname = \"a\"\nsource = \"sim\"\n";
        let environment = [
            ("TALLYGATE__SERVER__LISTEN", "127.0.0.1:2"),
            ("TALLYGATE__SERVER__WORKERS", "3"),
            ("TALLYGATE__MODEL__0__SIM__SEED", "7"),
            ("TALLYGATE__MODEL__1__NAME", "b"),
            ("OTHER__SERVER__WORKERS", "x"),
        ];
        let with_source = [&environment[..3], &environment[4..]].concat();
        let config = check(file, &with_source).expect("good");
        assert_eq!((config.server.listen.port(), config.server.workers), (2, 3));
        assert_eq!(config.models[0].sim.as_ref().map(|sim| sim.seed), Some(7));
        assert!(check(file, &environment).is_err(), "a model without a source");
    }

    /// A file, variables, and how the complaint begins.
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

    #[test]
    fn faults_name_their_place() {
        let rows: &[Row<'_>] = &[
            ("[server]\nlisten = 3\n", &[], "FILE:2:10: "),
            ("[server]\nworkers = 2000\n", &[], "FILE:2:11: 2000 is not between 0 and 1024"),
            ("[server]\nlisen = \"x\"\n", &[], "FILE:2:1: unknown field `lisen`"),
            ("[servr]\n", &[], "FILE:1:2: unknown field `servr`"),
            ("a = [1,\n", &[], "FILE:"),
            ("[ledger]\nurl = \"mysql://x\"\n", &[], "FILE:2:7: a ledger url must start with"),
            ("model = []\n", &[], "FILE: at least one [[model]]"),
            ("[[model]]\nname = \"a b\"\nsource = \"sim\"\n", &[], "FILE:2:8: a model name must be"),
            (
                "[[model]]\nname = \"a\"\nsource = \"folder\"\n",
                &[],
                "FILE: model a: source = \"folder\" needs",
            ),
            (
                "[[model]]\nname = \"a\"\nsource = \"folder\"\npath = \"/nowhere/at/all\"\n",
                &[],
                "FILE: model a: /nowhere/at/all is not a folder",
            ),
            (
                "[[model]]\nname = \"a\"\nsource = \"sim\"\n[[model]]\nname = \"a\"\nsource = \"sim\"\n",
                &[],
                "FILE: model a: the name is used twice",
            ),
            (
                "",
                &[("TALLYGATE__SERVER__WORKERS", "many")],
                "environment variable TALLYGATE__SERVER__WORKERS: ",
            ),
            (
                "",
                &[("TALLYGATE__SERVER__NAME", "x")],
                "environment variable TALLYGATE__SERVER__NAME: unknown field",
            ),
            ("", &[("TALLYGATE__SERVER", "x")], "environment variable TALLYGATE__SERVER: "),
        ];
        for (file, environment, expected) in rows {
            let found = check(file, environment).expect_err(file);
            assert!(found.starts_with(expected), "{file:?} {environment:?}\n  {found}\n  {expected}");
        }
    }
}
