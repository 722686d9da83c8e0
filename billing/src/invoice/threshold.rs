//! Invoices of a part of a period that still runs, when so much of it is not invoiced yet.
//! Never the end of a period: the invoice of the whole takes off what was invoiced of it before.
//! Called beside the server for tenants that have a threshold.

use domain::{Period, Timestamp};

use super::{
    Invoice,
    build::Built,
    correct::invoiced_parts,
    issue::{rate, store, usage},
};
use crate::ledger::{
    BillingMode, Ledger, LedgerError, PeriodChoice, Tenant, Transaction, check_event_tallies, check_tallies,
    documents, hold_still, lock_invoice_numbers, parties, period_facts,
};
use crate::subscription::PeriodFacts;

/// Issues an invoice for what of the running period is not invoiced, if that has reached the tenant's threshold.
///
/// Tenants that pay in advance have none: they owe nothing.
/// Errors: as those of issuing a whole period.
pub async fn issue_at_threshold(
    ledger: &Ledger,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<Option<Invoice>, LedgerError> {
    if tenant.terms.billing == BillingMode::Prepaid {
        return Ok(None);
    }
    // Looked at first without keeping others from issuing.
    let running = ledger.billing_period(tenant, PeriodChoice::At(now)).await?;
    if reached(&mut ledger.read().await?, tenant, (&running, now)).await?.is_none() {
        return Ok(None);
    }
    let mut transaction = ledger.write().await?;
    let serial = lock_invoice_numbers(&mut transaction).await?;
    hold_still(&mut transaction).await?;
    let Some((period, built)) = reached(&mut transaction, tenant, (&running, now)).await? else {
        return Ok(None);
    };
    check_tallies(&mut transaction, tenant.id, &period).await?;
    check_event_tallies(&mut transaction, tenant.id, &period).await?;
    let invoice = store(&mut transaction, (serial, true), tenant, (&period, now), built).await?;
    transaction.commit().await?;
    Ok(Some(invoice))
}

/// The part of the running period up to now and its invoice, if that has reached the threshold.
async fn reached(
    transaction: &mut Transaction,
    tenant: &Tenant,
    (running, now): (&Period, Timestamp),
) -> Result<Option<(Period, Built)>, LedgerError> {
    let parties = parties(transaction, tenant.id).await?;
    let threshold = parties.customer.as_ref().and_then(|customer| customer.threshold);
    let Some(threshold) = threshold else { return Ok(None) };
    if now <= running.start() {
        return Ok(None);
    }
    let period = Period::new(running.start(), now, &tenant.zone)?;
    let usage = usage(transaction, tenant, &period, None).await?;
    // Fees of the subscription are of the whole period, and come with its own invoice. What is free in a trial, or after
    // a subscription has ended, is so in a part as well.
    let facts = period_facts(transaction, tenant, running).await?;
    let facts = facts.map(|facts| PeriodFacts { spans: Vec::new(), advance: None, ..facts });
    let built = rate(transaction, tenant, (&period, now), (&usage, facts)).await?;
    let before = invoiced_parts(&documents(transaction, tenant.id).await?, tenant, &period)?;
    let built = built.with_extras(before, tenant.currency)?;
    if built.subtotal < threshold {
        return Ok(None);
    }
    Ok(Some((period, built.between(parties, tenant.currency)?)))
}
