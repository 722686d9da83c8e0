//! Sums of what usage events count for, over any period, and the hourly tallies that they are taken from.
//! Never a sum that depends on the zone's offset: edges within an hour come from the events themselves.
//! Called by invoices, by the operators' interface, and by those who compare and rebuild tallies.

use domain::{Period, PlanVersionId, ProjectId, TenantId, Timestamp};
use uuid::Uuid;

use super::sql;
use crate::{
    ledger::{
        Ledger, LedgerError, Transaction, Value, projects,
        tallies::{HOUR_US, hour_values, span_values},
    },
    plan::MeterName,
};

/// What events came to in one meter under one plan version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSum {
    /// The plan version whose meter it is, and that prices it.
    pub price_version: PlanVersionId,
    /// The meter.
    pub meter: MeterName,
    /// Events that it took.
    pub events: u64,
    /// What they come to. Unit: the meter's last decimal.
    pub counts: u64,
}

/// The same of one project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterSum {
    /// Its project. `None`: events without one.
    pub project_id: Option<ProjectId>,
    /// The sum.
    pub sum: EventSum,
}

/// A tally of events and what the events themselves come to.
#[derive(sqlx::FromRow)]
struct DifferenceRow {
    unix_hour: i64,
    meter: String,
    price_version: String,
    project_id: Uuid,
    tallies: i64,
    tally_events: i64,
    tally_counts: i64,
    events: i64,
    counts: i64,
}

/// Where a tally of events is not their sum.
pub(in crate::ledger) struct Difference {
    pub(in crate::ledger) hour: Timestamp,
    pub(in crate::ledger) group: String,
    pub(in crate::ledger) count: &'static str,
    /// `None`: there is no such tally.
    pub(in crate::ledger) tally: Option<i64>,
    pub(in crate::ledger) events: i64,
}

#[derive(sqlx::FromRow)]
struct SumRow {
    price_version: String,
    meter: String,
    project_id: Uuid,
    events: i64,
    counts: i64,
}

impl Ledger {
    /// What a tenant's events came to in a period, by plan version, meter and project.
    pub async fn meter_sums(&self, tenant: TenantId, period: &Period) -> Result<Vec<MeterSum>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        by_project(&mut transaction, tenant, period).await
    }
}

async fn by_project(
    transaction: &mut Transaction,
    tenant: TenantId,
    period: &Period,
) -> Result<Vec<MeterSum>, LedgerError> {
    let values = span_values(tenant, period.start(), period.end());
    let rows: Vec<SumRow> = transaction.rows(sql::SUMS, &values).await?;
    rows.into_iter().map(from_row).collect()
}

fn from_row(row: SumRow) -> Result<MeterSum, LedgerError> {
    let count = |count: i64| u64::try_from(count).map_err(|error| LedgerError::corrupt("tally", &error));
    let meter = row.meter.parse().map_err(|error| LedgerError::corrupt("meter", &error))?;
    let (events, counts) = (count(row.events)?, count(row.counts)?);
    let sum = EventSum { price_version: PlanVersionId::new(row.price_version)?, meter, events, counts };
    Ok(MeterSum { project_id: projects::of_column(row.project_id), sum })
}

/// What a tenant's events came to in a period, by plan version and meter.
pub(crate) async fn sums(
    transaction: &mut Transaction,
    tenant: TenantId,
    period: &Period,
) -> Result<Vec<EventSum>, LedgerError> {
    let mut sums: Vec<EventSum> = Vec::new();
    for MeterSum { sum, .. } in by_project(transaction, tenant, period).await? {
        let is_its =
            |last: &&mut EventSum| last.price_version == sum.price_version && last.meter == sum.meter;
        match sums.last_mut().filter(is_its) {
            None => sums.push(sum),
            Some(last) => {
                let add = |left: u64, right: u64| {
                    let overflow = domain::QuantityError::Overflow { unit: "counts" };
                    left.checked_add(right).ok_or(overflow)
                };
                (last.events, last.counts) = (add(last.events, sum.events)?, add(last.counts, sum.counts)?);
            }
        }
    }
    Ok(sums)
}

/// How many events of a tenant happened in a period, whatever they count for.
pub(crate) async fn count(
    transaction: &mut Transaction,
    tenant: TenantId,
    period: &Period,
) -> Result<u64, LedgerError> {
    let values = [
        Value::Id(tenant.as_uuid()),
        Value::Int(period.start().unix_micros()),
        Value::Int(period.end().unix_micros()),
    ];
    let (count,): (i64,) = transaction.row(sql::COUNT, &values).await?;
    u64::try_from(count).map_err(|error| LedgerError::corrupt("count", &error))
}

/// Compares the tallies that a sum over this period takes with the events they were made from.
///
/// Errors: the first hour and meter in which they differ.
pub(crate) async fn check(
    transaction: &mut Transaction,
    tenant: TenantId,
    period: &Period,
) -> Result<(), LedgerError> {
    let [tenant, first_hour, last_hour, _, whole_from, whole_to, _] =
        span_values(tenant, period.start(), period.end());
    let found: Option<DifferenceRow> =
        transaction.find(sql::DIFFERENCE, &[tenant, first_hour, last_hour, whole_from, whole_to]).await?;
    found.map_or(Ok(()), |row| Err(Difference::from_row(&row).into_error()))
}

/// The first tally of these hours that is not the sum of its events.
pub(in crate::ledger) async fn difference(
    transaction: &mut Transaction,
    tenant: TenantId,
    hours: (i64, i64),
) -> Result<Option<Difference>, LedgerError> {
    let found: Option<DifferenceRow> = transaction.find(sql::DIFFERENCE, &hour_values(tenant, hours)).await?;
    Ok(found.as_ref().map(Difference::from_row))
}

/// Makes the tallies of these hours anew. The caller keeps others from adding to them.
pub(in crate::ledger) async fn replace(
    transaction: &mut Transaction,
    tenant: TenantId,
    (first, end): (i64, i64),
) -> Result<(), LedgerError> {
    let id = Value::Id(tenant.as_uuid());
    transaction.execute(sql::DELETE_TALLIES, &[id, Value::Int(first), Value::Int(end)]).await?;
    let span = [id, Value::Int(first.saturating_mul(HOUR_US)), Value::Int(end.saturating_mul(HOUR_US))];
    transaction.execute(sql::MAKE_TALLIES, &span).await?;
    match difference(transaction, tenant, (first, end)).await? {
        None => Ok(()),
        Some(difference) => Err(difference.into_error()),
    }
}

impl Difference {
    fn from_row(row: &DifferenceRow) -> Self {
        let (count, tally, events) = match row.tally_counts == row.counts {
            true => ("events", row.tally_events, row.events),
            false => ("counts", row.tally_counts, row.counts),
        };
        let project = match row.project_id.is_nil() {
            true => "no project".to_owned(),
            false => format!("project {}", row.project_id),
        };
        Self {
            hour: Timestamp::from_unix_micros(row.unix_hour.saturating_mul(HOUR_US)),
            group: format!("meter {}, {}, {project}", row.meter, row.price_version),
            count,
            tally: (row.tallies > 0).then_some(tally),
            events,
        }
    }

    pub(in crate::ledger) fn into_error(self) -> LedgerError {
        let tally = self.tally.map_or_else(|| "no".to_owned(), |tally| tally.to_string());
        let Self { hour, group, count, events: records, .. } = self;
        LedgerError::TallyDiffers { hour, group, count, tally, records }
    }
}
