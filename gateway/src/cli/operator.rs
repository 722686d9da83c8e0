//! `tallygate operator`: who may use the admin API.
//! Never shows a token twice and never stores one.
//! Called by `Cli::run`; a running server takes changes over within two seconds.

use billing::ledger::{Ledger, NewOperator, Operator, OperatorRole, SecretHash};
use clap::Subcommand;
use domain::{Clock as _, SystemClock};

use super::{CliError, open, out};
use crate::{authenticate::key, config::Config};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create an operator; the token is shown this once.
    Create {
        /// The name the audit log shows: letters, digits and . _ - @.
        name: String,
        /// What the operator may do: admin, `read_only`, or events (send usage events, nothing else).
        #[arg(long, default_value = "read_only", value_name = "ROLE")]
        role: OperatorRole,
    },
    /// List operators, disabled ones included.
    List,
    /// Refuse an operator's token from now on. The last one who may change things stays.
    Disable {
        /// The operator's name.
        name: String,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    match command {
        Command::Create { name, role } => create(&ledger, &name, role).await,
        Command::List => {
            list(&ledger.operators().await?);
            Ok(())
        }
        Command::Disable { name } => {
            ledger.disable_operator(&name, SystemClock.now()).await?;
            out::say(&format!("disabled operator {name}"));
            Ok(())
        }
    }
}

async fn create(ledger: &Ledger, name: &str, role: OperatorRole) -> Result<(), CliError> {
    let fresh = key::generate_operator_token()?;
    let secret_hash = SecretHash::from_bytes(fresh.secret_hash);
    let new = NewOperator { name, token_id: fresh.key_id, secret_hash, role };
    ledger.create_operator(&new, SystemClock.now()).await?;
    out::say(&format!("created operator {name} ({role})"));
    out::say("");
    out::say(&format!("  operator token  {}", fresh.text.reveal()));
    out::say("");
    out::say("It is shown this once; only its hash is stored.");
    Ok(())
}

fn list(operators: &[Operator]) {
    let rows: Vec<_> = operators
        .iter()
        .map(|operator| {
            let state = if operator.disabled_at.is_some() { "disabled" } else { "active" };
            [
                operator.name.clone(),
                operator.role.to_string(),
                operator.token_id.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
                state.to_owned(),
                operator.created_at.to_string(),
            ]
        })
        .collect();
    out::table(["OPERATOR", "ROLE", "TOKEN", "STATE", "CREATED"], &rows);
}
