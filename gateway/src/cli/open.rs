//! Opens what several commands need: the data folder, the ledger, a tenant or project by name.
//! Never creates tenants or keys; commands do that in their own words.
//! Called by the other commands.

use std::{fs, io, os::unix::fs::DirBuilderExt as _, path::PathBuf};

use billing::ledger::{Ledger, Project, Tenant};

use super::CliError;
use crate::config::Config;

/// Makes the data folder, for its owner alone, if it is not there.
pub(super) fn data_folder(config: &Config) -> Result<(), CliError> {
    let folder = &config.data.folder;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| CliError::Io { what: format!("data folder {}", folder.display()), source })
}

/// Opens the ledger, makes it when it is not there, and brings its tables up to date. For `serve` alone: any other
/// command that made one in the wrong folder would find it empty and say so.
pub(super) async fn ledger(config: &Config) -> Result<Ledger, CliError> {
    data_folder(config)?;
    Ok(Ledger::connect(&config.ledger_url()).await?)
}

/// Opens the ledger for a command that must not make one.
///
/// Errors: a SQLite file that is not there; with the path that was looked for.
pub(super) async fn existing_ledger(config: &Config) -> Result<Ledger, CliError> {
    if let Some(path) = missing_ledger(config)? {
        let shown = std::path::absolute(&path).unwrap_or(path);
        let variable = match config.ledger.url {
            Some(_) => "TALLYGATE__LEDGER__URL",
            None => "TALLYGATE__DATA__FOLDER",
        };
        return Err(CliError::Usage(format!(
            "there is no ledger at {}; --config FILE or {variable} selects another, \
             and the first `tallygate serve` makes one",
            shown.display()
        )));
    }
    Ok(Ledger::connect(&config.ledger_url()).await?)
}

/// The SQLite file of the ledger, when it is not there. A PostgreSQL ledger is never missing, only away.
///
/// Errors: the system does not say whether it is there.
pub(super) fn missing_ledger(config: &Config) -> Result<Option<PathBuf>, CliError> {
    let url = config.ledger_url();
    let Some(path) = url.strip_prefix("sqlite://").map(PathBuf::from) else {
        return Ok(None);
    };
    match fs::metadata(&path) {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(path)),
        Err(source) => Err(CliError::Io { what: format!("ledger {}", path.display()), source }),
    }
}

/// The tenant with this name or id.
///
/// Errors: there is none; the message lists how to find the names.
pub(super) async fn tenant(ledger: &Ledger, name: &str) -> Result<Tenant, CliError> {
    let found = ledger.find_tenant(name).await?;
    found.ok_or_else(|| {
        CliError::Usage(format!("there is no tenant {name:?}; `tallygate tenant list` shows all"))
    })
}

/// The project of a tenant with this path or this id.
///
/// Errors: there is none; the message lists how to find the paths.
pub(super) async fn project(ledger: &Ledger, tenant: &Tenant, path: &str) -> Result<Project, CliError> {
    let found = ledger.find_project(tenant.id, path).await?;
    found.ok_or_else(|| {
        let name = &tenant.name;
        CliError::Usage(format!("there is no project {path:?}; `tallygate project list {name}` shows all"))
    })
}
