//! `tallygate grant`: money given to a tenant, or taken back.
//! Never changes a grant: a mistake is corrected by a further one, below zero.
//! Called by `Cli::run`; a running server takes changes over within two seconds.

use billing::ledger::{Granted, Ledger, NewGrant, Tenant};
use clap::Subcommand;
use domain::{Clock as _, GrantId, Money, SystemClock};

use super::{CliError, open, out};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Give a tenant money to spend, or take some back with a minus.
    Add {
        /// The tenant's name or id.
        tenant: String,
        /// How much, in the tenant's currency: 25.00, or -5 to take back.
        #[arg(allow_negative_numbers = true)]
        amount: String,
        /// Giving it again with the same key is one grant; without one, each call is a grant of its own.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
        /// Why, for people.
        #[arg(long, default_value = "", value_name = "TEXT")]
        note: String,
    },
    /// List a tenant's grants and its balance.
    List {
        /// The tenant's name or id.
        tenant: String,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    match command {
        Command::Add { tenant, amount, idempotency_key, note } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            let now = SystemClock.now();
            let amount = Money::parse(&amount, tenant.currency);
            let amount = amount.map_err(|error| CliError::Usage(format!("the amount: {error}")))?;
            let key = idempotency_key.unwrap_or_else(|| GrantId::generate(now).to_string());
            let new = NewGrant { amount, idempotency_key: &key, note: &note };
            let (grant, granted) = ledger.add_grant(tenant.id, &new, now).await?;
            let (amount, currency, name) = (grant.amount, tenant.currency, &tenant.name);
            out::say(&match granted {
                Granted::New => format!("granted {amount} {currency} to tenant {name} ({})", grant.id),
                Granted::Already => format!(
                    "{amount} {currency} were granted to tenant {name} before with this key ({}, {}); nothing changed",
                    grant.id, grant.created_at
                ),
            });
            say_balance(&ledger, &tenant).await
        }
        Command::List { tenant } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            list(&ledger, &tenant).await
        }
    }
}

async fn list(ledger: &Ledger, tenant: &Tenant) -> Result<(), CliError> {
    let grants = ledger.grants(tenant.id).await?;
    let rows: Vec<_> = grants
        .into_iter()
        .map(|grant| {
            let (amount, created) = (grant.amount.to_string(), grant.created_at.to_string());
            [created, amount, grant.idempotency_key, grant.note, grant.id.to_string()]
        })
        .collect();
    out::table(["CREATED", "AMOUNT", "KEY", "NOTE", "ID"], &rows);
    say_balance(ledger, tenant).await
}

async fn say_balance(ledger: &Ledger, tenant: &Tenant) -> Result<(), CliError> {
    let balance = ledger.balance(tenant.id).await?;
    let (left, granted, charged) = (balance.left(), balance.granted, balance.charged);
    out::say(&format!("balance: {left} {} ({granted} granted, {charged} charged)", tenant.currency));
    Ok(())
}
