//! Tells of classes that met their targets for fewer requests of the running month than the plan promises.
//! Never a rule of its own: it is what a preview of the month's invoice would give back.
//! Called by a task of the gateway.

use domain::{Period, Timestamp};
use serde_json::json;

use super::preview;
use crate::ledger::{EventKind, Ledger, LedgerError};

/// Tells of each class and tier once in a month; says of how many.
///
/// Errors: usage that cannot be rated, a database that fails.
pub async fn tell_missed_targets(ledger: &Ledger, now: Timestamp) -> Result<usize, LedgerError> {
    let mut told = 0;
    for tenant in ledger.listened_tenants(EventKind::SloBelow).await? {
        let period = Period::month_of(now, &tenant.zone)?;
        let draft = preview(ledger, &tenant, &period, now).await?;
        for line in draft.lines.iter().filter(|line| line.item == "attainment") {
            let name = format!("slo {} {}", period.start().unix_micros(), line.description);
            let body = json!({
                "tenant_id": tenant.id.to_string(),
                "tenant": tenant.name,
                "period_start": draft.period.start,
                "period_end": draft.period.end,
                "what": line.description,
                "attainment": line.attainment,
                "percent_given_back": line.percent,
            });
            let is_new = ledger.tell_once((tenant.id, EventKind::SloBelow), &name, &body, now).await?;
            told += usize::from(is_new);
        }
    }
    Ok(told)
}
