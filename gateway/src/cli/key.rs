//! `tallygate key`: the credentials of a tenant.
//! Never shows a secret twice and never stores one.
//! Called by `Cli::run`; a running server takes changes over within two seconds.

use billing::ledger::{Ledger, NewKey, SecretHash};
use clap::{Args, Subcommand};
use domain::{Clock as _, KeyId, ModelName, SystemClock};

use super::{
    CliError,
    open::{self, LimitArguments, limit_text},
    out,
};
use crate::{authenticate::key, config::Config};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a key; its text is shown this once.
    Create(CreateArguments),
    /// List keys, revoked ones included.
    List {
        /// Only this tenant's; its name or id.
        tenant: Option<String>,
    },
    /// Revoke a key for good.
    Revoke {
        /// The key's public id: the middle part of tg-<id>-….
        key_id: KeyId,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// The tenant's name or id.
    tenant: String,
    /// What its owner calls it.
    #[arg(long, default_value = "key", value_name = "NAME")]
    name: String,
    /// A model it may use; may be given several times. Without it, all models of the plan.
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<ModelName>,
    #[command(flatten)]
    limits: LimitArguments,
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    match command {
        Command::Create(arguments) => create(&ledger, arguments).await,
        Command::List { tenant } => list(&ledger, tenant).await,
        Command::Revoke { key_id } => {
            ledger.revoke_key(&key_id, SystemClock.now()).await?;
            out::say(&format!("revoked key {key_id}"));
            Ok(())
        }
    }
}

async fn create(ledger: &Ledger, arguments: CreateArguments) -> Result<(), CliError> {
    let tenant = open::tenant(ledger, &arguments.tenant).await?;
    let fresh = key::generate_key()?;
    let new = NewKey {
        limits: arguments.limits.to_limits(),
        models_allowed: Some(arguments.models).filter(|models| !models.is_empty()),
        ..NewKey::unlimited(fresh.key_id, &arguments.name, SecretHash::from_bytes(fresh.secret_hash))
    };
    let key = ledger.create_key(tenant.id, &new, SystemClock.now()).await?;
    out::say(&format!("created key {} for tenant {}", key.id, tenant.name));
    out::say("");
    out::say(&format!("  API key  {}", fresh.text.reveal()));
    out::say("");
    out::say("It is shown this once; only its hash is stored.");
    Ok(())
}

async fn list(ledger: &Ledger, tenant: Option<String>) -> Result<(), CliError> {
    let tenant = match tenant {
        Some(name) => Some(open::tenant(ledger, &name).await?),
        None => None,
    };
    let tenants = ledger.tenants().await?;
    let name_of = |id| tenants.iter().find(|tenant| tenant.id == id).map_or("?", |tenant| &tenant.name);
    let keys = ledger.keys(tenant.map(|tenant| tenant.id)).await?;
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let models = key.models_allowed.as_ref().map_or_else(
                || "all".to_owned(),
                |models| models.iter().map(ModelName::as_str).collect::<Vec<_>>().join(","),
            );
            [
                key.id.to_string(),
                name_of(key.tenant_id).to_owned(),
                key.name.clone(),
                models,
                limit_text(key.limits.requests_per_minute),
                limit_text(key.limits.tokens_per_minute),
                limit_text(key.limits.concurrency),
                if key.disabled_at.is_some() { "revoked" } else { "active" }.to_owned(),
                key.created_at.to_string(),
            ]
        })
        .collect();
    let headings =
        ["KEY", "TENANT", "NAME", "MODELS", "REQUESTS/MIN", "TOKENS/MIN", "CONCURRENCY", "STATE", "CREATED"];
    out::table(headings, &rows);
    Ok(())
}
