//! `tallygate reconcile`: usage from the engines' counts to the exports, and the first difference at each hand-over.
//! Never changes anything; progress goes to standard error.
//! Called by `Cli::run`, also while a server runs.

use std::time::{Duration, Instant};

use billing::{
    ledger::Ledger,
    reconcile::{self, HandOver, Progress, Report, Scope},
};
use clap::Args;
use domain::{Clock as _, Period, SystemClock};

use super::{CliError, open, out};
use crate::{config::Config, stripe::Stripe};

/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only this month, as YYYY-MM in each tenant's zone; all time without it.
    #[arg(long, value_name = "YYYY-MM")]
    period: Option<String>,
    /// Only this tenant: its name or id.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

/// Tells of progress every two seconds.
struct Told(Instant);

impl Progress for Told {
    fn compared(&mut self, hand_over: HandOver, count: u64) {
        if self.0.elapsed() >= TOLD_EVERY {
            out::complain(&format!("{hand_over}: {count} compared"));
            self.0 = Instant::now();
        }
    }
}

/// Compares and prints what was compared and what differs.
///
/// Errors: a difference; what cannot be read.
pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    let tenant = match &arguments.tenant {
        Some(name) => Some(open::tenant(&ledger, name).await?),
        None => None,
    };
    let folder = config.journal_folder();
    let journal = folder.exists().then_some(folder);
    if journal.is_none() {
        out::complain("there is no journal here: what the engine counted is not compared");
    }
    let scope = Scope { journal, tenant, month: arguments.period };
    let report = reconcile::reconcile(&ledger, &scope, &mut Told(Instant::now())).await;
    let mut report = report.map_err(|error| CliError::Usage(error.to_string()))?;
    with_stripe(config, (&ledger, &scope), &mut report).await?;
    show(&report)
}

/// The last hand-over, where there is an account at Stripe.
async fn with_stripe(
    config: &Config,
    (ledger, scope): (&Ledger, &Scope),
    report: &mut Report,
) -> Result<(), CliError> {
    let Some(stripe) = Stripe::new(&config.stripe, ledger).map_err(CliError::Usage)? else {
        return Ok(());
    };
    let tenants = match &scope.tenant {
        Some(tenant) => vec![tenant.clone()],
        None => ledger.tenants().await?,
    };
    for tenant in &tenants {
        let period = scope.month.as_ref().map(|month| Period::month(month, &tenant.zone)).transpose()?;
        let compared = stripe.reconcile(report, (tenant, period.as_ref()), SystemClock.now()).await;
        compared.map_err(|error| CliError::Usage(error.to_string()))?;
    }
    Ok(())
}

fn show(report: &Report) -> Result<(), CliError> {
    let units =
        ["requests", "records", "days of tallies", "invoices", "exported records", "invoices at Stripe"];
    for (hand_over, (count, unit)) in HandOver::ALL.into_iter().zip(report.compared.iter().zip(units)) {
        out::say(&format!("{:<18} {count} {unit} compared", hand_over.to_string()));
    }
    let remarks = [
        (report.records_not_shipped, "records in the journal are not yet shipped"),
        (report.records_late, "records came after their invoices were issued, and are not on them"),
        (
            report.records_detached,
            "records were detached with their months; their hashes hold the chain together",
        ),
        (
            report.invoices_not_compared,
            "invoices of detached months, or of before there were seals and with late records, were not recomputed",
        ),
        (report.stripe_pending, "invoices are still on their way at Stripe"),
    ];
    for (count, text) in remarks.into_iter().filter(|(count, _)| *count > 0) {
        out::say(&format!("{count} {text}"));
    }
    if report.findings.is_empty() {
        out::say("All of it says the same.");
        return Ok(());
    }
    for finding in &report.findings {
        out::say(&format!("DIFFERENCE {finding}"));
    }
    let count = report.findings.len();
    Err(CliError::Usage(format!(
        "{count} of {} hand-overs differ; see DIFFERENCE above",
        HandOver::ALL.len()
    )))
}
