//! `tallygate migrate` and `tallygate database`: bringing tables up to date, and who may do what with them.
//! Never serves: these are for the role that owns the tables, so that gateways can do without it.
//! Called by `Cli::run`.

use billing::ledger::Ledger;
use clap::Subcommand;

use super::{CliError, open, out};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Give a PostgreSQL role what a gateway needs: no tables of its own to make or change, and no right to change or
    /// delete records, issued invoices, the audit log and whatever else never changes. Run it after each `migrate`.
    Grant {
        /// The role, which is there already.
        #[arg(long, value_name = "NAME")]
        role: String,
    },
}

/// Opening a ledger brings it up to date, or says why not.
pub(super) async fn migrate(config: &Config) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    ledger.close().await;
    out::say(&format!("the ledger's tables are at migration {}", Ledger::version()));
    Ok(())
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let Command::Grant { role } = command;
    let ledger = open::existing_ledger(config).await?;
    let rows: Vec<_> =
        ledger.grant_role(&role).await?.into_iter().map(|row| [row.table_name, row.rights]).collect();
    out::table(["TABLE", "RIGHTS"], &rows);
    Ok(())
}
