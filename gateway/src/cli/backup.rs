//! `tallygate backup`: a copy of a SQLite ledger, as it is at one moment.
//! Never over a file that is there, and never of PostgreSQL, which has tools of its own.
//! Called by `Cli::run`.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, open, out};
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file to make.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) async fn run(config: &Config, arguments: &Arguments) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    ledger.backup(&arguments.file).await?;
    out::say(&format!("the ledger was copied to {}", arguments.file.display()));
    Ok(())
}
