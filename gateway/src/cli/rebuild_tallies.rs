//! `tallygate rebuild-tallies`: hourly sums and what budgets count, made anew where they are not the sums of records.
//! Never touches what is right, and goes on where an earlier run stopped.
//! Called by `Cli::run`, also while a server runs.

use billing::ledger::{Ledger, SpendDifference};
use clap::Args;

use super::{CliError, open, out};
use crate::config::Config;

/// Chunks between two lines about progress: about a year of one tenant.
const TOLD_EVERY: u64 = 365;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Begin anew, also when an earlier run stopped half way.
    #[arg(long)]
    restart: bool,
}

/// Looks at every tenant and day.
///
/// Errors: the ledger's; what was mended until then stays.
pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    if arguments.restart {
        ledger.restart_rebuild().await?;
    }
    if let Some((tenant, hour)) = ledger.rebuild_position().await? {
        out::complain(&format!("going on with tenant {tenant} at {hour}; --restart begins anew"));
    }
    let (mut days, mut mended) = (0_u64, 0_u64);
    while let Some(chunk) = ledger.rebuild_next().await? {
        days += 1;
        if let Some(difference) = chunk.mended {
            mended += 1;
            out::say(&format!(
                "tenant {}, {} to {}: made anew; the hour from {} ({}) had {} {} instead of {}",
                chunk.tenant_id,
                chunk.from,
                chunk.to,
                difference.hour,
                difference.group,
                difference.told(),
                difference.count,
                difference.records
            ));
        }
        if days.is_multiple_of(TOLD_EVERY) {
            out::complain(&format!(
                "{days} days compared, now at {} of tenant {}",
                chunk.to, chunk.tenant_id
            ));
        }
    }
    out::say(&format!("{days} days compared, {mended} made anew"));
    spending(&ledger).await
}

/// Looks at what budgets count of every tenant.
async fn spending(ledger: &Ledger) -> Result<(), CliError> {
    let (tenants, mut mended) = (ledger.tenants().await?, 0_u64);
    for tenant in &tenants {
        let Some(difference) = ledger.rebuild_spending(tenant.id).await? else { continue };
        mended += 1;
        let SpendDifference { quarter, group, count, kept, records } = difference;
        out::say(&format!(
            "tenant {}: what budgets count was made anew; the quarter of an hour from {quarter} ({group}) had {kept} \
             {count} instead of {records}",
            tenant.name
        ));
    }
    out::say(&format!("spending of {} tenants compared, {mended} made anew", tenants.len()));
    Ok(())
}
