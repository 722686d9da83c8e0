//! The periods of subscriptions as they are stored, and what an invoice must know of one.
//! Never a bound that is reckoned twice: what has begun is stored and taken from there ever after.
//! Called by the folder's other modules and by invoices.

use std::{collections::BTreeSet, str::FromStr};

use domain::{Period, PeriodError, PlanVersionId, TenantId, Timestamp};
use jiff::{civil::Date, tz::TimeZone};

use super::{super::pool::Transaction, events, sql};
use crate::{
    ledger::{Ledger, LedgerError, Tenant, Value, error::read_back, plans},
    plan::FeeTiming,
    subscription::{
        Advance, BillingPeriod, PeriodFacts, PeriodKind, PlanSpan, StoredPeriod, Term, Timeline, midnight,
    },
};

#[derive(sqlx::FromRow)]
struct PeriodRow {
    kind: String,
    full_start_unix_us: i64,
    start_unix_us: i64,
    end_unix_us: i64,
}

/// Which period of a tenant is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodChoice {
    /// The one that an instant falls in.
    At(Timestamp),
    /// The one that begins in a month (its first day is given) or, if none does, contains its beginning.
    Month(Date),
    /// The one that the beginning of a day falls in.
    Day(Date),
}

impl FromStr for PeriodChoice {
    type Err = PeriodError;

    /// A month, as `YYYY-MM`, or a day, as `YYYY-MM-DD`.
    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let bad = || PeriodError::BadMonth(text.to_owned());
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let day = |text: &str| text.parse::<Date>().map_err(|_| bad());
        match text.len() {
            7 if is_plain => day(&format!("{text}-01")).map(Self::Month),
            10 if is_plain => day(text).map(Self::Day),
            _ => Err(bad()),
        }
    }
}

impl Ledger {
    /// The billing period that is meant: of a subscription, or a calendar month where there is none.
    ///
    /// Errors: several begin in the month; a day beyond the calendar.
    pub async fn billing_period(&self, tenant: &Tenant, choice: PeriodChoice) -> Result<Period, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let timeline = timeline(&mut transaction, tenant).await?;
        let found = match choice {
            PeriodChoice::At(at) => timeline.at(at)?,
            PeriodChoice::Day(day) => timeline.at(midnight(day, timeline.zone())?)?,
            PeriodChoice::Month(first) => of_month(&timeline, first, &tenant.zone)?,
        };
        Ok(Period::new(found.start, found.end, &tenant.zone)?)
    }
}

impl Ledger {
    /// The first periods of a tenant that ended by an instant, at most so many, but those that begin where it is said.
    ///
    /// The days before the tenant was made are among them where the first fee of its subscription is billed there.
    /// Errors: a database that fails.
    pub(crate) async fn open_periods(
        &self,
        tenant: &Tenant,
        (before, periods_max): (Timestamp, usize),
        but: &BTreeSet<Timestamp>,
    ) -> Result<Vec<Period>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let timeline = timeline(&mut transaction, tenant).await?;
        let mut period = timeline.at(tenant.created_at)?;
        if matches!(period.kind, PeriodKind::Trial | PeriodKind::Regular)
            && advance(&mut transaction, tenant, &timeline, &period).await?.is_some()
        {
            let last = Timestamp::from_unix_micros(period.start.unix_micros().saturating_sub(1));
            period = timeline.at(last)?;
        }
        let mut open = Vec::new();
        while period.end <= before && open.len() < periods_max {
            if !but.contains(&period.start) {
                open.push(Period::new(period.start, period.end, &tenant.zone)?);
            }
            period = timeline.at(period.end)?;
        }
        Ok(open)
    }
}

/// The only period that begins in a month, or the one that runs through its beginning.
fn of_month(timeline: &Timeline, first: Date, zone: &str) -> Result<BillingPeriod, LedgerError> {
    let (year, month) = (first.year(), first.month());
    let month = Period::month(&format!("{year:04}-{month:02}"), zone)?;
    let mut found = timeline.at(month.start())?;
    let mut beginning = Vec::new();
    loop {
        if found.start >= month.start() {
            beginning.push(found);
        }
        if found.end >= month.end() {
            break;
        }
        found = timeline.at(found.end)?;
    }
    match beginning[..] {
        [] => Ok(timeline.at(month.start())?),
        [only] => Ok(only),
        [_, ..] => {
            let days = beginning.iter().map(|period| local_day(period.start, timeline.zone()));
            let days = days.collect::<Result<Vec<_>, LedgerError>>()?;
            Err(LedgerError::SeveralPeriods { days: days.join(", "), zone: zone.to_owned() })
        }
    }
}

/// The day that an instant falls in, as the tenant's calendar has it: what names a period.
fn local_day(at: Timestamp, zone: &TimeZone) -> Result<String, LedgerError> {
    let instant = jiff::Timestamp::from_microsecond(at.unix_micros());
    let instant = instant.map_err(|error| LedgerError::corrupt("start of a period", &error))?;
    Ok(zone.to_datetime(instant).date().to_string())
}

/// All that is known of a tenant's periods.
pub(super) async fn timeline(
    transaction: &mut Transaction,
    tenant: &Tenant,
) -> Result<Timeline, LedgerError> {
    let (terms, _) = events::of_tenant(transaction, tenant.id).await?;
    let values = [Value::Id(tenant.id.as_uuid())];
    let rows: Vec<PeriodRow> = transaction.rows(sql::PERIODS_OF_TENANT, &values).await?;
    let stored = rows.into_iter().map(|row| {
        Ok(StoredPeriod {
            kind: read_back("kind of a period", &row.kind)?,
            full_start: Timestamp::from_unix_micros(row.full_start_unix_us),
            start: Timestamp::from_unix_micros(row.start_unix_us),
            end: Timestamp::from_unix_micros(row.end_unix_us),
        })
    });
    let stored = stored.collect::<Result<Vec<_>, LedgerError>>()?;
    Ok(Timeline::new(&tenant.zone, terms, stored)?)
}

/// Stores every period that has begun.
pub(super) async fn store_begun(
    transaction: &mut Transaction,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let begun = timeline(transaction, tenant).await?.begun(now)?;
    for period in begun {
        let values = [
            Value::Id(tenant.id.as_uuid()),
            Value::Text(period.kind.as_str()),
            Value::Int(period.full_start.unix_micros()),
            Value::Int(period.start.unix_micros()),
            Value::Int(period.end.unix_micros()),
            Value::Text(&tenant.zone),
        ];
        transaction.execute(sql::INSERT_PERIOD, &values).await?;
    }
    Ok(())
}

/// As [`store_begun`], for who is about to issue an invoice. Other changes of the tenant wait until that is done.
pub(crate) async fn settle(
    transaction: &mut Transaction,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let (terms, _) = events::of_tenant(transaction, tenant.id).await?;
    if terms.all().is_empty() {
        return Ok(());
    }
    // The row lock of the counter puts this and every change of a subscription in one order.
    super::raise_revision(transaction).await?;
    store_begun(transaction, tenant, now).await
}

/// What the invoice of a period must know of the tenant's subscription. `None`: it never had one.
///
/// Errors: a period that is none of the tenant's.
pub(crate) async fn facts(
    transaction: &mut Transaction,
    tenant: &Tenant,
    period: &Period,
) -> Result<Option<PeriodFacts>, LedgerError> {
    let timeline = timeline(transaction, tenant).await?;
    if timeline.terms().all().is_empty() {
        return Ok(None);
    }
    let found = timeline.at(period.start())?;
    if (found.start, found.end) != (period.start(), period.end()) {
        let BillingPeriod { start, end, .. } = found;
        return Err(LedgerError::NoBillingPeriod { start, end });
    }
    let spans = match (found.kind, timeline.terms().at(found.start)) {
        (PeriodKind::Regular, Some(term)) => spans(transaction, tenant, &found, term).await?,
        (PeriodKind::Before | PeriodKind::Trial | PeriodKind::Regular | PeriodKind::After, _) => Vec::new(),
    };
    let next = timeline.at(found.end)?;
    let BillingPeriod { kind, full_start, full_end, usage, .. } = found;
    let advance = advance(transaction, tenant, &timeline, &next).await?;
    Ok(Some(PeriodFacts { kind, full_start, full_end, usage, spans, advance }))
}

/// The next period, where its fee is billed before it begins.
async fn advance(
    transaction: &mut Transaction,
    tenant: &Tenant,
    timeline: &Timeline,
    next: &BillingPeriod,
) -> Result<Option<Advance>, LedgerError> {
    let is_paused = timeline.terms().at(next.start).is_some_and(|term| term.pause_at(next.start).is_some());
    if next.kind != PeriodKind::Regular || is_paused {
        return Ok(None);
    }
    let plan = plans::in_force(transaction, tenant, since(tenant, next.start)).await?;
    let is_due = |fee: &crate::plan::BaseFee| fee.timing == FeeTiming::Advance;
    let plan = plan.filter(|plan| plan.base_fee().is_some_and(is_due));
    // Of a subscription that is cancelled later the fee is that of the whole period: what is not used is given back then.
    let BillingPeriod { full_start, start, full_end: end, .. } = *next;
    Ok(plan.map(|plan| Advance { full_start, start, end, plan: plan.id().clone() }))
}

/// A tenant made in the middle of a day has its plan from the beginning of that day.
fn since(tenant: &Tenant, at: Timestamp) -> Timestamp {
    at.max(tenant.created_at)
}

/// A period in parts: where another plan took over, and where it was paused.
async fn spans(
    transaction: &mut Transaction,
    tenant: &Tenant,
    period: &BillingPeriod,
    term: &Term,
) -> Result<Vec<PlanSpan>, LedgerError> {
    let within = [
        Value::Id(tenant.id.as_uuid()),
        Value::Int(period.start.unix_micros()),
        Value::Int(period.end.unix_micros()),
    ];
    let rows: Vec<(i64,)> = transaction.rows(sql::PLAN_CHANGES, &within).await?;
    let changes = rows.into_iter().map(|(since,)| Timestamp::from_unix_micros(since));
    let changes: BTreeSet<Timestamp> = changes.chain([period.start]).collect();
    let mut plans: Vec<(Timestamp, Option<PlanVersionId>)> = Vec::new();
    for from in changes {
        let plan = plans::in_force(transaction, tenant, since(tenant, from)).await?;
        plans.push((from, plan.map(|plan| plan.id().clone())));
    }
    let pauses = term.pauses.iter().flat_map(|pause| [Some(pause.from), pause.to]).flatten();
    let inner = pauses.filter(|at| period.start < *at && *at < period.end);
    let marks: BTreeSet<Timestamp> = plans.iter().map(|(from, _)| *from).chain(inner).collect();
    let ends = marks.iter().copied().skip(1).chain([period.end]);
    let mut spans: Vec<PlanSpan> = Vec::new();
    for (from, to) in marks.iter().copied().zip(ends) {
        let current = plans.iter().rev().find(|(since, _)| *since <= from);
        let plan = current.and_then(|(_, plan)| plan.clone());
        let is_paused = term.pause_at(from).is_some();
        match spans.last_mut().filter(|last| last.plan == plan && last.is_paused == is_paused) {
            Some(last) => last.to = to,
            None => spans.push(PlanSpan { from, to, plan, is_paused }),
        }
    }
    Ok(spans)
}

/// The tenant by its id, for a change of its subscription.
pub(super) async fn find_active(
    transaction: &mut Transaction,
    tenant: TenantId,
) -> Result<Tenant, LedgerError> {
    super::raise_revision(transaction).await?;
    crate::ledger::tenants::find_active(transaction, tenant).await
}
