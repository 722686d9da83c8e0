//! `tallygate tenant`: who is billed.
//! Never deletes: a tenant is disabled, its usage and invoices stay.
//! Called by `Cli::run`; a running server takes changes over within two seconds.

use billing::ledger::{Ledger, LimitScope, NewTenant, Tenant, TenantTerms};
use clap::Subcommand;
use domain::{Clock as _, SystemClock};

use super::{
    CliError,
    open::{self, LimitArguments, limit_text},
    out,
};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a tenant under a plan.
    Create {
        /// A short unique name: lower-case letters, digits and -.
        name: String,
        /// The plan that prices its requests.
        #[arg(long, default_value = "demo", value_name = "PLAN")]
        plan: String,
        /// The IANA time zone whose months are billed.
        #[arg(long, default_value = "UTC", value_name = "ZONE")]
        zone: String,
        #[command(flatten)]
        limits: LimitArguments,
    },
    /// List all tenants.
    List,
    /// Show one tenant.
    Show {
        /// Its name or id.
        tenant: String,
    },
    /// Set these three limits at once; one left out is taken away. `limit set` sets single ones, and all others.
    SetLimits {
        /// Its name or id.
        tenant: String,
        #[command(flatten)]
        limits: LimitArguments,
    },
    /// Put a tenant under another plan of the same currency, from now on.
    SetPlan {
        /// Its name or id.
        tenant: String,
        /// The other plan's name.
        plan: String,
    },
    /// Refuse all its requests from now on.
    Disable {
        /// Its name or id.
        tenant: String,
    },
    /// Accept the requests of a disabled tenant again.
    Enable {
        /// Its name or id.
        tenant: String,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    let now = SystemClock.now();
    match command {
        Command::Create { name, plan, zone, limits } => {
            let (limits, terms) = (limits.to_limits(), TenantTerms::default());
            let new = NewTenant { name: &name, plan_name: &plan, zone: &zone, limits, terms };
            let tenant = ledger.create_tenant(&new, now).await?;
            out::say(&format!(
                "created tenant {} ({}) under plan {}",
                tenant.name, tenant.id, tenant.plan_name
            ));
            out::say(&format!("next: tallygate key create {}", tenant.name));
        }
        Command::List => list(&ledger.tenants().await?),
        Command::Show { tenant } => show(&open::tenant(&ledger, &tenant).await?),
        Command::SetLimits { tenant, limits } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            let change = |found| limits.replace_in(found);
            ledger.change_limits(tenant.id, &LimitScope::Tenant, None, change).await?;
            show_again(&ledger, &tenant).await?;
        }
        Command::SetPlan { tenant, plan } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            ledger.set_tenant_plan(tenant.id, &plan).await?;
            show_again(&ledger, &tenant).await?;
        }
        Command::Disable { tenant } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            ledger.disable_tenant(tenant.id, now).await?;
            show_again(&ledger, &tenant).await?;
        }
        Command::Enable { tenant } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            ledger.enable_tenant(tenant.id).await?;
            show_again(&ledger, &tenant).await?;
        }
    }
    Ok(())
}

fn list(tenants: &[Tenant]) {
    let rows: Vec<_> = tenants
        .iter()
        .map(|tenant| {
            [
                tenant.name.clone(),
                tenant.plan_name.clone(),
                tenant.zone.clone(),
                limit_text(tenant.limits.requests_per_minute),
                limit_text(tenant.limits.tokens_per_minute),
                limit_text(tenant.limits.concurrency),
                if tenant.disabled_at.is_some() { "disabled" } else { "active" }.to_owned(),
                tenant.id.to_string(),
            ]
        })
        .collect();
    let headings = ["NAME", "PLAN", "ZONE", "REQUESTS/MIN", "TOKENS/MIN", "CONCURRENCY", "STATE", "ID"];
    out::table(headings, &rows);
}

fn show(tenant: &Tenant) {
    let disabled = tenant.disabled_at.map_or_else(|| "no".to_owned(), |at| format!("since {at}"));
    let rows = [
        ("name", tenant.name.clone()),
        ("id", tenant.id.to_string()),
        ("plan", format!("{} ({})", tenant.plan_name, tenant.currency)),
        ("zone", tenant.zone.clone()),
        ("requests/min", limit_text(tenant.limits.requests_per_minute)),
        ("tokens/min", limit_text(tenant.limits.tokens_per_minute)),
        ("concurrency", limit_text(tenant.limits.concurrency)),
        ("created", tenant.created_at.to_string()),
        ("disabled", disabled),
    ];
    for (name, text) in rows {
        out::say(&format!("{name:<13} {text}"));
    }
}

async fn show_again(ledger: &Ledger, tenant: &Tenant) -> Result<(), CliError> {
    show(&open::tenant(ledger, &tenant.id.to_string()).await?);
    Ok(())
}
