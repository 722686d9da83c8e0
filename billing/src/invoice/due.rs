//! Issues, by itself, what is due: each period of each tenant that is over for long enough.
//! Never before the grace period ends, never while usage may still come, and never a period twice.
//! Called by the serving process; any number of them may do it at once.

use std::collections::BTreeSet;

use domain::{Period, Timestamp};

use super::{issue, issue_at_threshold};
use crate::ledger::{Ledger, LedgerError, Tenant};

/// Periods of one tenant that are looked at in one go: ten years of months. What is left comes the next time.
const PERIODS_MAX: usize = 120;
/// Issued invoices read at once.
const PAGE_ROWS: usize = 500;

/// What one look at all tenants did.
#[derive(Debug, Default)]
pub struct DueReport {
    /// Numbers of the invoices that were issued.
    pub issued: Vec<String>,
    /// Tenants whose usage may still be on its way, and what is waited for.
    pub waiting: Vec<(String, String)>,
    /// Tenants whose invoice could not be issued, and why.
    pub failed: Vec<(String, LedgerError)>,
}

/// Issues the invoice of every period that ended before `now` less the grace period, oldest first.
///
/// Unit of `grace_us`: microseconds; late records get in for so long.
/// Errors: the ledger does not answer. What fails for one tenant is in the report, and stops nobody else.
pub async fn issue_due(ledger: &Ledger, now: Timestamp, grace_us: i64) -> Result<DueReport, LedgerError> {
    let mut report = DueReport::default();
    let before = Timestamp::from_unix_micros(now.unix_micros().saturating_sub(grace_us));
    for tenant in ledger.tenants().await? {
        match issue_for(ledger, &tenant, (before, now), &mut report).await {
            Ok(()) => {}
            Err(error @ LedgerError::JournalsBehind { .. }) => {
                report.waiting.push((tenant.name, error.to_string()));
            }
            Err(error) => report.failed.push((tenant.name, error)),
        }
    }
    Ok(report)
}

/// Issues an invoice for what of each running period is not invoiced, where that has reached a tenant's threshold.
///
/// Errors: the ledger does not answer. What fails for one tenant is in the report, and stops nobody else.
pub async fn issue_thresholds(ledger: &Ledger, now: Timestamp) -> Result<DueReport, LedgerError> {
    let mut report = DueReport::default();
    for tenant in ledger.tenants().await? {
        match issue_at_threshold(ledger, &tenant, now).await {
            Ok(invoice) => report.issued.extend(invoice.and_then(|invoice| invoice.number)),
            Err(error) => report.failed.push((tenant.name, error)),
        }
    }
    Ok(report)
}

async fn issue_for(
    ledger: &Ledger,
    tenant: &Tenant,
    (before, now): (Timestamp, Timestamp),
    report: &mut DueReport,
) -> Result<(), LedgerError> {
    for period in open_periods(ledger, tenant, before).await? {
        ledger.check_complete(period.end(), &BTreeSet::new()).await?;
        let invoice = issue(ledger, tenant, &period, now).await?;
        report.issued.extend(invoice.number);
    }
    Ok(())
}

/// The tenant's periods that ended by an instant and have no invoice, oldest first.
async fn open_periods(
    ledger: &Ledger,
    tenant: &Tenant,
    before: Timestamp,
) -> Result<Vec<Period>, LedgerError> {
    let mut issued = BTreeSet::new();
    let mut after = None;
    loop {
        let page = ledger.invoices_page(tenant.id, after, PAGE_ROWS).await?;
        after = page.last().map(|invoice| invoice.period.start());
        let is_last = page.len() < PAGE_ROWS;
        issued.extend(page.into_iter().map(|invoice| invoice.period.start()));
        if is_last {
            break;
        }
    }
    ledger.open_periods(tenant, (before, PERIODS_MAX), &issued).await
}
