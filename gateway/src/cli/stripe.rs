//! `tallygate stripe`: which tenants are billed through Stripe, pages for them, and what is still to be done there.
//! Never a call that the worker makes: links and steps are kept in the ledger, and a running server does them.
//! Called by `Cli::run`; only pages are made at Stripe at once.

use billing::{
    ledger::{Collection, Ledger, StepState, StripeTenant},
    rate::MinorUnits,
};
use clap::Subcommand;
use domain::{Clock as _, SystemClock};

use super::{CliError, open, out};
use crate::{
    config::Config,
    stripe::{PageFor, Stripe},
};

/// Steps listed at once.
const STEPS_MAX: usize = 200;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bill a tenant through Stripe from its next invoice on; again: change how it pays.
    Link {
        /// The tenant's name or id.
        tenant: String,
        /// charge: its card is charged; send: the invoice is sent by mail.
        #[arg(long, default_value = "charge", value_name = "HOW")]
        collection: Collection,
        /// Its customer at Stripe, cus_…; without it, one is made.
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
    },
    /// Bill a tenant without Stripe from its next invoice on; what went there goes on there.
    Unlink {
        /// The tenant's name or id.
        tenant: String,
    },
    /// Show how a tenant is billed through Stripe.
    Show {
        /// The tenant's name or id.
        tenant: String,
    },
    /// List what is to be done at Stripe, or was.
    Steps {
        /// Only these: pending, done or parked.
        #[arg(long, value_name = "STATE")]
        state: Option<StepState>,
    },
    /// Let a parked step go on, after what was in its way is gone.
    Retry {
        /// What the step is about, as `stripe steps` shows it.
        subject: String,
        /// Its place there.
        sequence: u64,
    },
    /// Make a page at Stripe on which a tenant leaves a card.
    Card {
        /// The tenant's name or id.
        tenant: String,
    },
    /// Make a page at Stripe on which a tenant pays in advance.
    TopUp {
        /// The tenant's name or id.
        tenant: String,
        /// How much, in the tenant's currency.
        amount: String,
    },
    /// Make a page at Stripe on which a tenant looks after its cards and invoices.
    Portal {
        /// The tenant's name or id.
        tenant: String,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    let now = SystemClock.now();
    match command {
        Command::Link { tenant, collection, customer } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            let how = (collection, customer.as_deref());
            show(&ledger.link_stripe(tenant.id, how, now).await?);
        }
        Command::Unlink { tenant } => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            show(&ledger.unlink_stripe(tenant.id, now).await?);
        }
        Command::Show { tenant } => {
            let found = open::tenant(&ledger, &tenant).await?;
            match ledger.stripe_tenant(found.id).await? {
                Some(linked) => show(&linked),
                None => out::say(&format!("tenant {} is not billed through Stripe", found.name)),
            }
        }
        Command::Steps { state } => steps(&ledger, state).await?,
        Command::Retry { subject, sequence } => {
            let step = ledger.retry_stripe_step((&subject, sequence), now).await?;
            out::say(&format!("step {subject}:{sequence} ({}) goes on", step.kind.as_str()));
        }
        Command::Card { tenant } => page(config, &ledger, &tenant, |_| Ok(PageFor::Card)).await?,
        Command::Portal { tenant } => page(config, &ledger, &tenant, |_| Ok(PageFor::Portal)).await?,
        Command::TopUp { tenant, amount } => {
            let read = |currency: domain::Currency| {
                let parsed = MinorUnits::parse(&amount, currency);
                let wrong = || CliError::Usage(format!("{amount:?} is no amount in {currency}"));
                parsed.map(PageFor::TopUp).ok_or_else(wrong)
            };
            page(config, &ledger, &tenant, read).await?;
        }
    }
    Ok(())
}

fn show(linked: &StripeTenant) {
    let customer = linked.customer_id.as_deref().unwrap_or("not made yet; a running server makes it");
    out::say(&format!("collection  {}", linked.collection.as_str()));
    out::say(&format!("customer    {customer}"));
    out::say(&format!("linked      {}", linked.linked_at));
    if let Some(at) = linked.unlinked_at {
        out::say(&format!("unlinked    {at}"));
    }
}

async fn steps(ledger: &Ledger, state: Option<StepState>) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for step in ledger.stripe_steps_page(state, None, STEPS_MAX).await? {
        rows.push([
            step.subject,
            step.sequence.to_string(),
            step.kind.as_str().to_owned(),
            step.state.as_str().to_owned(),
            step.attempts.to_string(),
            step.due_at.to_string(),
            step.outcome,
        ]);
    }
    out::table(["SUBJECT", "PLACE", "STEP", "STATE", "TRIES", "NEXT", "OUTCOME"], &rows);
    Ok(())
}

async fn page(
    config: &Config,
    ledger: &Ledger,
    tenant: &str,
    what: impl FnOnce(domain::Currency) -> Result<PageFor, CliError>,
) -> Result<(), CliError> {
    let tenant = open::tenant(ledger, tenant).await?;
    let what = what(tenant.currency)?;
    let stripe = Stripe::new(&config.stripe, ledger).map_err(CliError::Usage)?;
    let missing = || CliError::Usage("there is no account at Stripe: set stripe.secret_key".to_owned());
    let made = stripe.ok_or_else(missing)?.make_page(ledger, (&tenant, what), SystemClock.now()).await;
    let made = made.map_err(|error| CliError::Usage(error.to_string()))?;
    out::say(&made.url);
    Ok(())
}
