//! What is kept beside usage records and documents to be quick: hourly sums, what budgets count, and the next numbers.
//! Never a sum of a detached month: what is left of those is all there is.
//! Called by `reconcile`, tenant by tenant; the numbers once.

use domain::Timestamp;

use super::{Finding, HandOver, ReconcileError, Walk};
use crate::ledger::{SerialDifference, Tenant};

/// The hourly sums of a tenant, and what its budgets count, against its records.
pub(super) async fn compare(
    walk: &mut Walk<'_>,
    tenant: &Tenant,
    span: (Timestamp, Timestamp),
) -> Result<(), ReconcileError> {
    let mut days = 0;
    let found = walk.ledger.tally_difference(tenant.id, span, |_| days += 1).await?;
    walk.count(HandOver::LedgerToTallies, days);
    if let Some(found) = found {
        let tally = found.tally.map_or_else(|| "not there".to_owned(), |tally| tally.to_string());
        walk.note(Finding {
            hand_over: HandOver::LedgerToTallies,
            subject: format!("tenant {}, hour from {}, {}", tenant.name, found.hour, found.group),
            field: found.count.to_owned(),
            before: found.records.to_string(),
            after: tally,
        });
    }
    // Only the first difference of a hand-over is told.
    if walk.has(HandOver::LedgerToTallies) {
        return Ok(());
    }
    if let Some(found) = walk.ledger.spend_difference(tenant.id, span).await? {
        walk.note(Finding {
            hand_over: HandOver::LedgerToTallies,
            subject: format!(
                "tenant {}, what budgets count, quarter of an hour from {}, {}",
                tenant.name, found.quarter, found.group
            ),
            field: found.count.to_owned(),
            before: found.records.to_string(),
            after: found.kept.to_string(),
        });
    }
    Ok(())
}

/// Numbers of invoices and of credit notes, which have no gap.
pub(super) async fn serials(walk: &mut Walk<'_>) -> Result<(), ReconcileError> {
    for SerialDifference { series, field, expected, found } in walk.ledger.serial_differences().await? {
        walk.note(Finding {
            hand_over: HandOver::TalliesToInvoice,
            subject: format!("numbers of {series}"),
            field,
            before: expected,
            after: found,
        });
    }
    Ok(())
}
