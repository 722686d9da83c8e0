//! `tallygate grant`: money given to a tenant, or taken back.
//! Never changes a grant: a mistake is corrected by a further one, below zero.
//! Called by `Cli::run`; a running server takes changes over within two seconds.

use std::collections::BTreeSet;

use billing::ledger::{GrantKind, Granted, Ledger, NewGrant, Tenant};
use clap::{Args, Subcommand};
use domain::{Clock as _, GrantId, ModelName, Money, SystemClock};

use super::{CliError, key::Expiry, open, out};
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
        #[command(flatten)]
        terms: Terms,
    },
    /// List a tenant's grants and its balance.
    List {
        /// The tenant's name or id.
        tenant: String,
    },
}

/// What a grant is for and how long it lasts.
#[derive(Debug, Args)]
pub(super) struct Terms {
    /// Where the money comes from: paid, promotional or refund.
    #[arg(long, default_value = "paid", value_name = "KIND")]
    kind: GrantKind,
    /// Grants with lower ones are used first: 0 to 49 with --model, 50 to 99 without [default: 25 or 50].
    #[arg(long, value_name = "N")]
    priority: Option<u8>,
    /// When it ends: an instant such as 2027-01-31T00:00:00Z, or a span such as 30d.
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
    /// Pay for this model alone; may be given several times.
    #[arg(long, value_name = "MODEL")]
    model: Vec<ModelName>,
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    match command {
        Command::Add { tenant, amount, idempotency_key, note, terms } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            let now = SystemClock.now();
            let amount = Money::parse(&amount, tenant.currency);
            let amount = amount.map_err(|error| CliError::Usage(format!("the amount: {error}")))?;
            let key = idempotency_key.unwrap_or_else(|| GrantId::generate(now).to_string());
            let models: BTreeSet<_> = terms.model.into_iter().collect();
            let new = NewGrant {
                kind: terms.kind,
                priority: terms.priority,
                expires_at: terms.expires.map(|expires| expires.resolve(now)),
                models: (!models.is_empty()).then_some(&models),
                ..NewGrant::paid(amount, &key, &note)
            };
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
    let open = ledger.open_grants(tenant.id).await?;
    let rows: Vec<_> = grants
        .into_iter()
        .map(|grant| {
            let left = open.iter().find(|open| open.id == grant.id).map(|open| open.remaining);
            let left = left.map_or_else(|| "-".to_owned(), |left| money(left.get().into(), tenant));
            let models = grant
                .models
                .map(|models| models.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
            [
                grant.created_at.to_string(),
                grant.kind.as_str().to_owned(),
                grant.amount.to_string(),
                left,
                grant.priority.to_string(),
                grant.expires_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
                models.unwrap_or_else(|| "all".to_owned()),
                grant.idempotency_key,
                grant.note,
                grant.id.to_string(),
            ]
        })
        .collect();
    let headings =
        ["CREATED", "KIND", "AMOUNT", "LEFT", "PRIORITY", "EXPIRES", "MODELS", "KEY", "NOTE", "ID"];
    out::table(headings, &rows);
    say_balance(ledger, tenant).await
}

/// Billionths of a tenant's currency, as people write them.
pub(super) fn money(nanos: i128, tenant: &Tenant) -> String {
    Money::from_nanos(nanos, tenant.currency).to_string()
}

pub(super) async fn say_balance(ledger: &Ledger, tenant: &Tenant) -> Result<(), CliError> {
    let balance = ledger.balance(tenant.id).await?;
    let (left, granted, charged) = (balance.left(), balance.granted, balance.charged);
    out::say(&format!("balance: {left} {} ({granted} granted, {charged} charged)", tenant.currency));
    Ok(())
}
