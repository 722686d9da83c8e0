//! What past usage would have cost under another plan: the same sums, rated twice.
//! Never writes anything and never takes a number.
//! Called by `tallygate plan simulate`.

use std::collections::BTreeMap;

use bigdecimal::BigDecimal;
use domain::{Period, TenantId, Timestamp};

use super::{
    Invoice, InvoiceParts,
    issue::{Usage, rate, usage},
};
use crate::{
    ledger::{EventSum, Ledger, LedgerError, Tenant, Transaction, UsageSum, events_page},
    plan::Plan,
    usage_event::{EventProblem, counts_of},
};

/// The same usage under two plans.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// As it was, under the plan versions that the requests were admitted under.
    pub actual: Invoice,
    /// All of it under the other plan.
    pub simulated: Invoice,
}

impl Simulation {
    /// How much more the other plan would have come to, in currency units; below zero: less.
    ///
    /// Errors: none in practice.
    pub fn difference(&self) -> Result<String, LedgerError> {
        let amount =
            |text: &str| text.parse::<BigDecimal>().map_err(|error| LedgerError::corrupt("subtotal", &error));
        let difference = amount(&self.simulated.subtotal)? - amount(&self.actual.subtotal)?;
        Ok(difference.with_scale(i64::from(self.actual.currency_decimals)).to_plain_string())
    }
}

/// Rates a tenant's usage of a period as it was, and again as if all of it had been under another plan.
///
/// Which requests are billed, and what lateness gives back, is the other plan's as well. Latency targets are not: a
/// token was in time by the targets of its day. Usage events are counted by the other plan's meters, each event anew;
/// those of types that it does not know count nothing. Base fees, commitments and trials of a subscription are left out of both:
/// they do not follow from usage.
/// Errors: usage of a model that the other plan does not sell; an event without the value that its meter adds up; another
/// currency; a database that fails.
pub async fn simulate(
    ledger: &Ledger,
    tenant: &Tenant,
    period: &Period,
    plan: &Plan,
    now: Timestamp,
) -> Result<Simulation, LedgerError> {
    if plan.currency() != tenant.currency {
        let (name, current, wanted) = (tenant.name.clone(), tenant.currency, plan.currency());
        return Err(LedgerError::CurrencyChange { what: "tenant", name, current, wanted });
    }
    let mut transaction = ledger.read().await?;
    let usage = usage(&mut transaction, tenant, period, Some(plan)).await?;
    let actual = rate(&mut transaction, tenant, (period, now), (&usage, None)).await?.invoice;
    let under = |sums: &[UsageSum]| -> Vec<UsageSum> {
        sums.iter().map(|sum| UsageSum { price_version: plan.id().clone(), ..sum.clone() }).collect()
    };
    let Usage { sums, late, events: (_, events_count), mut projects, .. } = usage;
    let (sums, late) = (under(&sums), under(&late));
    for project in &mut projects {
        (project.sums, project.late) = (under(&project.sums), under(&project.late));
    }
    let events = counted_by(&mut transaction, tenant.id, period, plan).await?;
    let plans = BTreeMap::from([(plan.id().clone(), plan.clone())]);
    let simulated = Invoice::build(&InvoiceParts {
        tenant,
        period,
        now,
        sums: &sums,
        late: &late,
        events: &events,
        events_count,
        plans: &plans,
        projects: &projects,
        plan_at_end: Some(plan),
        subscription: None,
    })?;
    Ok(Simulation { actual, simulated })
}

/// What the events of a period come to by the meters of a plan, one page of them after another.
async fn counted_by(
    transaction: &mut Transaction,
    tenant: TenantId,
    period: &Period,
    plan: &Plan,
) -> Result<Vec<EventSum>, LedgerError> {
    let (mut sums, mut after) = (BTreeMap::new(), None);
    // A plan without meters counts none of them.
    while !plan.meters().is_empty() {
        let page = events_page(transaction, tenant, (period.start(), period.end()), after).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some((last.time, last.sequence));
        for (stored, _) in &page {
            let counts = match counts_of(&stored.event, plan) {
                Err(error) if matches!(*error.problem, EventProblem::UnknownType { .. }) => continue,
                counted => counted.map_err(LedgerError::Event)?,
            };
            for (meter, count) in counts {
                let sum: &mut (u64, u64) = sums.entry(meter).or_default();
                let overflow = domain::QuantityError::Overflow { unit: "counts" };
                *sum = (sum.0.saturating_add(1), sum.1.checked_add(count).ok_or(overflow)?);
            }
        }
    }
    let sum =
        |(meter, (events, counts))| EventSum { price_version: plan.id().clone(), meter, events, counts };
    Ok(sums.into_iter().map(sum).collect())
}
