//! `tallygate audit`: who changed what, when, from what to what.
//! Never changes anything, and no secret is in what it prints: none is in the log.
//! Called by `Cli::run`.

use billing::ledger::AuditQuestion;
use clap::Args;
use serde_json::json;

use super::{CliError, open, out};
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only changes of this tenant and what belongs to it; its name or id.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only changes of what has this id.
    #[arg(long, value_name = "ID")]
    object: Option<String>,
    /// How many of the latest changes.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

/// Prints one change a line, as JSON, newest first.
pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    let tenant = match &arguments.tenant {
        Some(name) => Some(open::tenant(&ledger, name).await?.id),
        None => None,
    };
    let question =
        AuditQuestion { tenant, object_id: arguments.object.as_deref(), ..AuditQuestion::default() };
    for entry in ledger.audit_page(&question, usize::from(arguments.limit)).await? {
        let line = json!({
            "sequence": entry.sequence,
            "at": entry.at.to_string(),
            "actor_kind": entry.actor_kind,
            "actor": entry.actor,
            "action": entry.action,
            "object_id": entry.object_id,
            "tenant_id": entry.tenant_id,
            "request_id": entry.request_id,
            "before": entry.before,
            "after": entry.after,
        });
        out::say(&line.to_string());
    }
    Ok(())
}
