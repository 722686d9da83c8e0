//! `tallygate tenant`: who is billed.
//! Never deletes: a tenant is disabled, its usage and invoices stay.
//! Called by `Cli::run`; a running server takes changes over within two seconds.

use billing::ledger::{BillingMode, Ledger, LimitScope, NewTenant, ScopeLimits, Tenant, TenantTerms};
use clap::Subcommand;
use domain::{Clock as _, SystemClock};

use super::{
    CliError,
    limit::{self, LimitArguments, MinuteArguments, limit_cells},
    open, out, parties,
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
        /// It pays in advance: at a balance of zero nothing more is served; see `grant add`.
        #[arg(long)]
        prepaid: bool,
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
        limits: MinuteArguments,
    },
    /// Set what was agreed with a tenant beside its plan; what is not named stays.
    SetTerms {
        /// Its name or id.
        tenant: String,
        /// When it pays: postpaid (by invoice) or prepaid (from its grants).
        #[arg(long, value_name = "MODE")]
        billing: Option<BillingMode>,
        /// Whether its requests may be served in a looser latency class when their own cannot be met.
        #[arg(long, value_name = "true|false")]
        allow_slo_downgrade: Option<bool>,
        /// Whether its keys and requests may ask for a stricter latency class than the plan's.
        #[arg(long, value_name = "true|false")]
        allow_stricter_slo: Option<bool>,
    },
    /// Put a tenant under another plan of the same currency, from now on.
    SetPlan {
        /// Its name or id.
        tenant: String,
        /// The other plan's name.
        plan: String,
    },
    /// Say who is billed for a tenant, and how it is taxed.
    #[command(subcommand)]
    Billing(parties::BillingCommand),
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
        Command::Create { name, plan, zone, prepaid, limits } => {
            let billing = if prepaid { BillingMode::Prepaid } else { BillingMode::Postpaid };
            let (limits, terms) = (limits.to_limits()?, TenantTerms { billing, ..TenantTerms::default() });
            let new = NewTenant { name: &name, plan_name: &plan, zone: &zone, limits, terms };
            let tenant = ledger.create_tenant(&new, now).await?;
            out::say(&format!(
                "created tenant {} ({}) under plan {}",
                tenant.name, tenant.id, tenant.plan_name
            ));
            out::say(&format!("next: tallygate key create {}", tenant.name));
        }
        Command::List => list(&ledger.tenants().await?),
        Command::Show { tenant } => show(&ledger, &open::tenant(&ledger, &tenant).await?).await?,
        Command::SetLimits { tenant, limits } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            let change = |found| limits.replace_in(found);
            ledger.change_limits(tenant.id, &LimitScope::Tenant, None, change).await?;
            show_again(&ledger, &tenant).await?;
        }
        Command::SetTerms { tenant, billing, allow_slo_downgrade, allow_stricter_slo } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            let terms = TenantTerms {
                billing: billing.unwrap_or(tenant.terms.billing),
                allow_slo_downgrade: allow_slo_downgrade.unwrap_or(tenant.terms.allow_slo_downgrade),
                allow_stricter_slo: allow_stricter_slo.unwrap_or(tenant.terms.allow_stricter_slo),
            };
            ledger.set_tenant_terms(tenant.id, terms).await?;
            show_again(&ledger, &tenant).await?;
        }
        Command::SetPlan { tenant, plan } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            ledger.change_plan(tenant.id, &plan, now).await?;
            show_again(&ledger, &tenant).await?;
        }
        Command::Billing(command) => parties::tenant(&ledger, command).await?,
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
            let [requests, tokens, _, concurrency, _] = limit_cells(&tenant.limits);
            [
                tenant.name.clone(),
                tenant.plan_name.clone(),
                tenant.zone.clone(),
                requests,
                tokens,
                concurrency,
                if tenant.disabled_at.is_some() { "disabled" } else { "active" }.to_owned(),
                tenant.id.to_string(),
            ]
        })
        .collect();
    let headings = ["NAME", "PLAN", "ZONE", "REQUESTS/MIN", "TOKENS/MIN", "CONCURRENCY", "STATE", "ID"];
    out::table(headings, &rows);
}

async fn show(ledger: &Ledger, tenant: &Tenant) -> Result<(), CliError> {
    let balance = ledger.balance(tenant.id).await?;
    let (granted, charged) = (balance.granted, balance.charged);
    let own =
        ScopeLimits { tenant_id: tenant.id, scope: LimitScope::Tenant, model: None, limits: tenant.limits };
    let spent = limit::spent(ledger, tenant, &own).await?;
    let [requests, tokens, daily, concurrency, budget] = limit_cells(&tenant.limits);
    let budget = if tenant.limits.budget.is_some() { format!("{budget}, {spent} spent") } else { budget };
    let terms = &tenant.terms;
    let disabled = tenant.disabled_at.map_or_else(|| "no".to_owned(), |at| format!("since {at}"));
    let rows = [
        ("name", tenant.name.clone()),
        ("id", tenant.id.to_string()),
        ("plan", format!("{} ({})", tenant.plan_name, tenant.currency)),
        ("zone", tenant.zone.clone()),
        ("billing", terms.billing.as_str().to_owned()),
        ("balance", format!("{} ({granted} granted, {charged} charged)", balance.left())),
        ("requests/min", requests),
        ("tokens/min", tokens),
        ("requests/day", daily),
        ("concurrency", concurrency),
        ("budget", budget),
        ("slo downgrade", if terms.allow_slo_downgrade { "allowed" } else { "no" }.to_owned()),
        ("stricter slo", if terms.allow_stricter_slo { "allowed" } else { "no" }.to_owned()),
        ("created", tenant.created_at.to_string()),
        ("disabled", disabled),
    ];
    for (name, text) in rows {
        out::say(&format!("{name:<13} {text}"));
    }
    Ok(())
}

async fn show_again(ledger: &Ledger, tenant: &Tenant) -> Result<(), CliError> {
    show(ledger, &open::tenant(ledger, &tenant.id.to_string()).await?).await
}
