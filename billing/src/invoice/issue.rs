//! Previews and issues invoices from the ledger.
//! Never issues a period twice or before its end, and never leaves a gap in the numbers.
//! Called by `tallygate invoice`.

use std::collections::BTreeMap;

use bigdecimal::Zero as _;
use domain::{Period, PlanVersionId, ProjectId, Timestamp};
use serde_json::json;

use super::{
    Invoice, InvoiceParts, ProjectUse, Status, Subscribed,
    build::{Built, build},
    correct::extras,
    daily::daily,
    parties::due_at,
    payments::{Paid, pay},
};
use crate::ledger::{
    EventKind, EventSum, IssuedInvoice, Ledger, LedgerError, LineColumns, ProjectSums, Settlement, Tenant,
    Transaction, UsageSum, check_event_tallies, check_tallies, count_events, event_sums, find_issued,
    find_plan, hold_still, insert_event, invoice_number, is_of_whole_hours, lock_invoice_numbers, note_part,
    paid_by_grants, parties, period_facts, plan_in_force, project_name, projects_of, require_attached,
    settle, settle_invoice, settle_periods, store_invoice, usage_split_by_project, usage_sums_by_project,
};
use crate::statement;
use crate::{
    plan::Plan,
    subscription::{PeriodFacts, PeriodKind, Plans},
};

/// What the invoice of a period would be now. A running period gives what has been used so far.
///
/// Where the period was issued already, the draft names that invoice and counts the usage records that
/// came too late for it; the issued invoice itself stays as it is.
/// Errors: usage that cannot be rated, a database that fails.
pub async fn preview(
    ledger: &Ledger,
    tenant: &Tenant,
    period: &Period,
    now: Timestamp,
) -> Result<Invoice, LedgerError> {
    let mut transaction = ledger.read().await?;
    let issued = match find_issued(&mut transaction, tenant.id, period).await {
        // Looking at a part of an invoiced month is no mistake.
        Err(LedgerError::PeriodOverlaps { .. }) => None,
        found => found?,
    };
    let facts = period_facts(&mut transaction, tenant, period).await?;
    let usage = usage(&mut transaction, tenant, period, None).await?;
    let mut built = rate(&mut transaction, tenant, (period, now), (&usage, facts)).await?;
    if issued.is_none() {
        let extras = extras(&mut transaction, tenant, period, now).await?;
        built = built.with_extras(extras, tenant.currency)?;
    }
    let parties = parties(&mut transaction, tenant.id).await?;
    let Built { mut invoice, total, .. } = built.between(parties, tenant.currency)?;
    if invoice.is_between_parties() {
        invoice.daily_tokens = daily(&mut transaction, tenant, period).await?;
    }
    let paid = paid_by_grants(&mut transaction, tenant.id, period).await?;
    let Paid { invoice, .. } = pay(invoice, (total, tenant.currency), &paid)?;
    Ok(match issued {
        None => invoice,
        Some(issued) => Invoice {
            late_records: invoice.records.saturating_sub(issued.records),
            issued_as: Some(issued.number),
            ..invoice
        },
    })
}

/// Issues the invoice of a period that has ended: gives it the next number and stores it for good.
///
/// Asked again, also by many at once, it gives the same invoice, byte for byte.
/// Errors: a period that still runs, a period that another invoice covers in part, tallies that are not the sums
/// of their usage records, usage that cannot be rated, a period without usage from before the tenant's time.
/// None of them uses up a number.
pub async fn issue(
    ledger: &Ledger,
    tenant: &Tenant,
    period: &Period,
    now: Timestamp,
) -> Result<Invoice, LedgerError> {
    if now < period.end() {
        return Err(LedgerError::PeriodRunning { end: period.end() });
    }
    let mut transaction = ledger.write().await?;
    let serial = lock_invoice_numbers(&mut transaction).await?;
    if let Some(issued) = find_issued(&mut transaction, tenant.id, period).await? {
        return Invoice::from_issued(&issued.body);
    }
    hold_still(&mut transaction).await?;
    settle_periods(&mut transaction, tenant, now).await?;
    let facts = period_facts(&mut transaction, tenant, period).await?;
    check_tallies(&mut transaction, tenant.id, period).await?;
    check_event_tallies(&mut transaction, tenant.id, period).await?;
    let usage = usage(&mut transaction, tenant, period, None).await?;
    // What was before the tenant is billed only where the first fee of its subscription is due there.
    let is_ahead = facts.as_ref().is_some_and(|facts| facts.advance.is_some());
    let built = rate(&mut transaction, tenant, (period, now), (&usage, facts)).await?;
    if built.invoice.records == 0 && !is_ahead && period.end() <= tenant.created_at {
        let (created_at, end) = (tenant.created_at, period.end());
        return Err(LedgerError::PeriodBeforeTenant { name: tenant.name.clone(), created_at, end });
    }
    let extras = extras(&mut transaction, tenant, period, now).await?;
    let built = built.with_extras(extras, tenant.currency)?;
    let parties = parties(&mut transaction, tenant.id).await?;
    let built = built.between(parties, tenant.currency)?;
    let invoice = store(&mut transaction, (serial, false), tenant, (period, now), built).await?;
    transaction.commit().await?;
    Ok(invoice)
}

/// Gives an invoice its number and stores it for good. The caller holds the issuer's lock and commits.
pub(super) async fn store(
    transaction: &mut Transaction,
    (serial, is_of_part): (i64, bool),
    tenant: &Tenant,
    (period, now): (&Period, Timestamp),
    built: Built,
) -> Result<Invoice, LedgerError> {
    let Built { mut invoice, displayed, subtotal, total } = built;
    if invoice.is_between_parties() {
        invoice.daily_tokens = daily(transaction, tenant, period).await?;
    }
    let paid = paid_by_grants(transaction, tenant.id, period).await?;
    let Paid { invoice, too_much: paid_too_much } = pay(invoice, (total, tenant.currency), &paid)?;
    let due_at = due_at(&invoice, now);
    let invoice = Invoice { status: Status::Issued, number: Some(invoice_number(serial)), due_at, ..invoice };
    let body = invoice.to_json()?;
    let issued = IssuedInvoice {
        number: invoice_number(serial),
        tenant_id: tenant.id,
        period: period.clone(),
        currency: tenant.currency,
        total,
        records: invoice.records,
        issued_at: now,
        body,
    };
    let lines = invoice.lines.iter().zip(&displayed).map(|(line, displayed)| {
        let quantity = i64::try_from(line.quantity);
        Ok(LineColumns {
            position: i64::from(line.position),
            kind: line.kind.as_str(),
            item: &line.item,
            model: line.model.as_deref(),
            price_version: line.price_version.as_deref(),
            quantity: quantity.map_err(|error| LedgerError::corrupt("quantity", &error))?,
            unit: &line.unit,
            unit_price: line.unit_price.as_deref(),
            exact: &line.exact,
            displayed_minor: displayed.get(),
        })
    });
    let lines: Vec<_> = lines.collect::<Result<_, LedgerError>>()?;
    if is_of_part {
        note_part(transaction, &issued.number).await?;
    }
    store_invoice(transaction, serial, &issued, (&invoice.subtotal_exact, subtotal), &lines).await?;
    settle(transaction, &issued.number, now).await?;
    let settlement = Settlement { number: &issued.number, paid_too_much, issued_at: now };
    settle_invoice(transaction, tenant, period, settlement).await?;
    tell(transaction, tenant, &invoice, now).await?;
    statement::seal(transaction, &issued).await?;
    Invoice::from_issued(&issued.body)
}

/// Writes the event of an issued invoice.
async fn tell(
    transaction: &mut Transaction,
    tenant: &Tenant,
    invoice: &Invoice,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let body = json!({
        "tenant_id": invoice.tenant.id,
        "tenant": invoice.tenant.name,
        "number": invoice.number,
        "currency": invoice.currency,
        "total": invoice.total,
        "amount_due": invoice.amount_due.as_ref().unwrap_or(&invoice.total),
        "period_start": invoice.period.start,
        "period_end": invoice.period.end,
    });
    insert_event(transaction, (tenant.id, EventKind::InvoiceIssued), &body, now).await
}

/// What was used in a period, of one moment.
pub(super) struct Usage {
    pub(super) sums: Vec<UsageSum>,
    /// What of it was used by requests that missed a target, where a plan gives credit for them.
    pub(super) late: Vec<UsageSum>,
    /// What usage events came to, and how many there are.
    pub(super) events: (Vec<EventSum>, u64),
    /// The plan versions that all of it names.
    pub(super) plans: Plans,
    /// The same by project; empty when no request belonged to one.
    pub(super) projects: Vec<ProjectUse>,
}

/// Reads a period's usage. Late requests are told apart where a plan of it, or the `other` one, gives credit for them.
///
/// Errors: usage that is in records alone, some of which were detached.
pub(super) async fn usage(
    transaction: &mut Transaction,
    tenant: &Tenant,
    period: &Period,
    other: Option<&Plan>,
) -> Result<Usage, LedgerError> {
    // Lines and projects are made of the same rows: read twice, they might not be of one moment.
    let mut all = usage_sums_by_project(transaction, tenant.id, period.start(), period.end()).await?;
    let mut late = ProjectSums::new();
    let mut plans = plans_of(transaction, &all).await?;
    let is_given = |plan: &Plan| !plan.late_requests_percent().value().is_zero();
    let is_split = plans.values().chain(other).any(is_given);
    if is_split || !is_of_whole_hours(period) {
        // Sums of whole hours are kept for ever; what else there is to know is in the records alone.
        require_attached(transaction, period).await?;
    }
    if is_split {
        (all, late) = usage_split_by_project(transaction, tenant.id, period).await?;
        plans = plans_of(transaction, &all).await?;
    }
    let projects = projects(transaction, tenant, (&all, &late)).await?;
    let events = event_sums(transaction, tenant.id, period).await?;
    for sum in &events {
        add_plan(transaction, &mut plans, &sum.price_version).await?;
    }
    let events = (events, count_events(transaction, tenant.id, period).await?);
    let sums = |sums: ProjectSums| sums.into_iter().map(|(_, sum)| sum).collect();
    Ok(Usage { sums: sums(all), late: sums(late), events, plans, projects })
}

async fn plans_of(transaction: &mut Transaction, sums: &ProjectSums) -> Result<Plans, LedgerError> {
    let mut plans = Plans::new();
    for (_, sum) in sums {
        add_plan(transaction, &mut plans, &sum.price_version).await?;
    }
    Ok(plans)
}

/// Adds a plan version that is not there yet.
async fn add_plan(
    transaction: &mut Transaction,
    plans: &mut Plans,
    id: &PlanVersionId,
) -> Result<(), LedgerError> {
    if !plans.contains_key(id)
        && let Some(plan) = find_plan(transaction, id).await?
    {
        plans.insert(id.clone(), plan);
    }
    Ok(())
}

/// A period's usage, rated by the plan versions that it names, and what its subscription costs.
pub(super) async fn rate(
    transaction: &mut Transaction,
    tenant: &Tenant,
    (period, now): (&Period, Timestamp),
    (usage, facts): (&Usage, Option<PeriodFacts>),
) -> Result<Built, LedgerError> {
    let Usage { sums, late, events: (events, events_count), plans, projects } = usage;
    // The last instant of the period: what applies from its end on is of the next. After a subscription has ended,
    // only what was used is charged.
    let last = Timestamp::from_unix_micros(period.end().unix_micros().saturating_sub(1));
    let is_after = facts.as_ref().is_some_and(|facts| facts.kind == PeriodKind::After);
    let plan_at_end = match is_after {
        true => None,
        false => plan_in_force(transaction, tenant, last).await?,
    };
    let mut subscribed = Plans::new();
    for id in facts.iter().flat_map(PeriodFacts::plans) {
        add_plan(transaction, &mut subscribed, id).await?;
    }
    let subscription = facts.as_ref().map(|facts| Subscribed { facts, plans: &subscribed });
    let plan_at_end = plan_at_end.as_deref();
    let parts = InvoiceParts {
        tenant,
        period,
        now,
        sums,
        late,
        events,
        events_count: *events_count,
        plans,
        projects,
        plan_at_end,
        subscription,
    };
    Ok(build(&parts)?)
}

/// Usage by project, by path; nothing where no request belonged to a project.
async fn projects(
    transaction: &mut Transaction,
    tenant: &Tenant,
    (sums, late): (&ProjectSums, &ProjectSums),
) -> Result<Vec<ProjectUse>, LedgerError> {
    if sums.iter().all(|(project, _)| project.is_none()) {
        return Ok(Vec::new());
    }
    let all = projects_of(transaction, Some(tenant.id)).await?;
    let mut uses: BTreeMap<Option<ProjectId>, (Vec<UsageSum>, Vec<UsageSum>)> = BTreeMap::new();
    for (id, sum) in sums {
        uses.entry(*id).or_default().0.push(sum.clone());
    }
    for (id, sum) in late {
        uses.entry(*id).or_default().1.push(sum.clone());
    }
    let named = uses.into_iter().map(|(id, (sums, late))| {
        let path = project_name(id, &all);
        ProjectUse { id, path, sums, late }
    });
    let mut named: Vec<_> = named.collect();
    named.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(named)
}
