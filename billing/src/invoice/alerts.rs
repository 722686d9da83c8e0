//! Tells of classes that met their targets for fewer requests of the running billing period than the plan promises.
//! Never a rule of its own: it is what a preview of the period's invoice would give back.
//! Called by a task of the gateway.

use domain::Timestamp;
use serde_json::json;

use super::preview;
use crate::ledger::{AlertRound, EventKind, Ledger, LedgerError, PeriodChoice, Tenant};

/// Tells of each class and tier once in a billing period; says of how many.
///
/// Errors: a database that fails. What fails for one tenant, such as usage that cannot be rated, is in the round.
pub async fn tell_missed_targets(ledger: &Ledger, now: Timestamp) -> Result<AlertRound, LedgerError> {
    let mut round = AlertRound::default();
    for tenant in ledger.listened_tenants(EventKind::SloBelow).await? {
        round.note(&tenant, tell_of_tenant(ledger, &tenant, now).await);
    }
    Ok(round)
}

async fn tell_of_tenant(ledger: &Ledger, tenant: &Tenant, now: Timestamp) -> Result<usize, LedgerError> {
    let mut told = 0;
    let period = ledger.billing_period(tenant, PeriodChoice::At(now)).await?;
    let draft = preview(ledger, tenant, &period, now).await?;
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
    Ok(told)
}
