//! `tallygate statement`: an issuer's signed word on an issued invoice and the usage behind it.
//! Never signs twice with one key: the statement that is there is given again, byte for byte.
//! Called by `Cli::run`, and by `invoice` after it has issued one.

use std::path::PathBuf;

use billing::{
    ledger::{Ledger, StoredStatement},
    statement,
};
use clap::Args;
use domain::{Clock as _, SystemClock};

use super::{CliError, open, out, statement_key};
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The invoice's number, such as TG-000001.
    number: String,
    /// Write it to a file instead of the terminal.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Prints the statement by the configured key, and signs it when there is none yet. Without a key in the configuration:
/// the one that was signed last.
///
/// Errors: no such invoice; nothing is signed and there is no key.
pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    let number = &arguments.number;
    let stored = match signed(config, &ledger, number).await? {
        Some(stored) => stored,
        None => ledger.find_statement(number).await?.ok_or_else(|| {
            CliError::Usage(format!(
                "no statement of invoice {number} is signed, and statements.signing_key names no key; \
                 `tallygate statement-key create` makes one"
            ))
        })?,
    };
    out::give_to(arguments.output.as_deref(), stored.body.as_bytes())
}

/// States an invoice with the configured key. `None`: there is none.
///
/// Errors: a key that cannot be read; those of the ledger.
pub(super) async fn signed(
    config: &Config,
    ledger: &Ledger,
    number: &str,
) -> Result<Option<StoredStatement>, CliError> {
    let Some(key) = statement_key::configured(config)? else { return Ok(None) };
    Ok(Some(statement::state(ledger, number, &key, SystemClock.now()).await?))
}
