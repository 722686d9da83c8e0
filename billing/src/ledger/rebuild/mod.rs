//! Makes hourly tallies anew from usage records, in chunks that each are one transaction.
//! Never replaces what is right: a chunk is compared first, and left alone when nothing differs.
//! Called by `tallygate rebuild-tallies`; `reconcile` asks where tallies differ.

mod sql;

use domain::{TenantId, Timestamp};
use uuid::Uuid;

use super::{
    Ledger, LedgerError, Transaction, Value,
    sql::TALLY_DIFFERENCE,
    tallies::{DifferenceRow, HOUR_US, TotalsRow, hour_values},
    usage_events::{EventDifference, replace_tallies, tally_difference},
};

/// Hours of one tenant that are looked at in one transaction: a day, so that shipping never waits long.
pub const REBUILD_HOURS: i64 = 24;
/// The first hour there can be.
const FIRST_HOUR: i64 = i64::MIN / HOUR_US;

/// Where a tally is not the sum of its usage records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TallyDifference {
    /// The first instant of the hour.
    pub hour: Timestamp,
    /// Model, plan version, latency class, reason, energy source, key and project of the tally; of usage events the
    /// meter, plan version and project.
    pub group: String,
    /// What differs.
    pub count: &'static str,
    /// What the tally says; nothing where there is no such tally.
    pub tally: Option<i64>,
    /// What the records, or the events, come to.
    pub records: i64,
}

impl TallyDifference {
    /// What the tally says, before the name of the count: a number, or `no`.
    pub fn told(&self) -> String {
        self.tally.map_or_else(|| "no".to_owned(), |tally| tally.to_string())
    }

    pub(super) fn into_error(self) -> LedgerError {
        let tally = self.told();
        let Self { hour, group, count, records, .. } = self;
        LedgerError::TallyDiffers { hour, group, count, tally, records }
    }
}

/// A chunk that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Whose tallies.
    pub tenant_id: TenantId,
    /// The first hour.
    pub from: Timestamp,
    /// The first hour after the chunk.
    pub to: Timestamp,
    /// The first thing that was wrong; then all tallies of the chunk were made anew.
    pub mended: Option<TallyDifference>,
}

impl Ledger {
    /// Where a rebuilding stands that was begun and not ended: the tenant and hour that come next.
    pub async fn rebuild_position(&self) -> Result<Option<(TenantId, Timestamp)>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let position = position(&mut transaction).await?;
        Ok(position.map(|(tenant, hour)| (TenantId::from_uuid(tenant), instant(hour))))
    }

    /// Forgets where a rebuilding stands: the next chunk is the first.
    pub async fn restart_rebuild(&self) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        transaction.execute(sql::FORGET_POSITION, &[]).await?;
        transaction.commit().await
    }

    /// Looks at the next chunk, mends it where it is wrong, and takes note of the place. `None`: that was the last.
    ///
    /// A process that dies between two chunks goes on with the next one.
    /// Errors: tallies that differ also after they were made anew; nothing of the chunk is changed.
    pub async fn rebuild_next(&self) -> Result<Option<Rebuilt>, LedgerError> {
        let mut transaction = self.pool.write().await?;
        let (tenant, hour) = position(&mut transaction).await?.unwrap_or((Uuid::nil(), FIRST_HOUR));
        let Some((tenant, hour)) = next_place(&mut transaction, tenant, hour).await? else {
            transaction.execute(sql::FORGET_POSITION, &[]).await?;
            transaction.commit().await?;
            return Ok(None);
        };
        let (tenant_id, end) = (TenantId::from_uuid(tenant), hour.saturating_add(REBUILD_HOURS));
        let mended = mend(&mut transaction, tenant_id, (hour, end)).await?;
        transaction.execute(sql::SET_POSITION, &[Value::Id(tenant), Value::Int(end)]).await?;
        transaction.commit().await?;
        Ok(Some(Rebuilt { tenant_id, from: instant(hour), to: instant(end), mended }))
    }

    /// The first tally of a tenant from one hour to another that is not the sum of its usage records.
    ///
    /// The hours are those that contain the instants. It is asked in parts, so that no statement takes long.
    pub async fn tally_difference(
        &self,
        tenant: TenantId,
        (from, to): (Timestamp, Timestamp),
        mut looked_at: impl FnMut(Timestamp),
    ) -> Result<Option<TallyDifference>, LedgerError> {
        let last = to.unix_hour().saturating_add(i64::from(to.unix_micros().rem_euclid(HOUR_US) > 0));
        let mut hour = from.unix_hour().max(FIRST_HOUR);
        loop {
            let mut transaction = self.pool.read().await?;
            let next = next_place(&mut transaction, tenant.as_uuid(), hour).await?;
            let Some((_, found)) = next.filter(|(whose, hour)| *whose == tenant.as_uuid() && *hour < last)
            else {
                return Ok(None);
            };
            let end = found.saturating_add(REBUILD_HOURS).min(last);
            if let Some(difference) = difference(&mut transaction, tenant, (found, end)).await? {
                return Ok(Some(difference));
            }
            if let Some(difference) = tally_difference(&mut transaction, tenant, (found, end)).await? {
                return Ok(Some(TallyDifference::of_events(difference)));
            }
            looked_at(instant(end));
            hour = end;
        }
    }
}

impl TallyDifference {
    fn of_events(difference: EventDifference) -> Self {
        let EventDifference { hour, group, count, tally, events } = difference;
        Self { hour, group, count, tally, records: events }
    }
}

/// Makes tallies of these hours anew where they are wrong, those of records and those of usage events apart. Gives the
/// first thing that was wrong.
async fn mend(
    transaction: &mut Transaction,
    tenant: TenantId,
    hours: (i64, i64),
) -> Result<Option<TallyDifference>, LedgerError> {
    let of_records = difference(transaction, tenant, hours).await?;
    if of_records.is_some() {
        replace(transaction, tenant, hours).await?;
    }
    let of_events = tally_difference(transaction, tenant, hours).await?;
    if of_events.is_some() {
        transaction.execute(sql::LOCK_TALLIES, &[]).await?;
        replace_tallies(transaction, tenant, hours).await?;
    }
    Ok(of_records.or_else(|| of_events.map(TallyDifference::of_events)))
}

fn instant(hour: i64) -> Timestamp {
    Timestamp::from_unix_micros(hour.saturating_mul(HOUR_US))
}

async fn position(transaction: &mut Transaction) -> Result<Option<(Uuid, i64)>, LedgerError> {
    transaction.find(sql::POSITION, &[]).await
}

/// The first tenant and hour from a place on that has tallies, records or usage events.
async fn next_place(
    transaction: &mut Transaction,
    tenant: Uuid,
    hour: i64,
) -> Result<Option<(Uuid, i64)>, LedgerError> {
    let values = [Value::Id(tenant), Value::Int(hour), Value::Int(hour.saturating_mul(HOUR_US))];
    transaction.find(sql::NEXT_PLACE, &values).await
}

/// The first tally that differs, in one statement: both sides are of one moment.
async fn difference(
    transaction: &mut Transaction,
    tenant: TenantId,
    hours: (i64, i64),
) -> Result<Option<TallyDifference>, LedgerError> {
    match transaction.find(TALLY_DIFFERENCE, &hour_values(tenant, hours)).await? {
        None => Ok(None),
        Some(row) => described(transaction, tenant, row).await.map(Some),
    }
}

/// What a tally that differs says itself, and what it should.
pub(super) async fn described(
    transaction: &mut Transaction,
    tenant: TenantId,
    row: DifferenceRow,
) -> Result<TallyDifference, LedgerError> {
    let values = [
        Value::Id(tenant.as_uuid()),
        Value::Int(row.unix_hour),
        Value::Text(&row.key_id),
        Value::Text(&row.model),
        Value::Text(&row.slo_class),
        Value::Text(&row.reason),
        Value::Text(&row.price_version),
        Value::Text(&row.energy_source),
        Value::Id(row.project_id),
    ];
    let tally: Option<TotalsRow> = transaction.find(sql::TALLY, &values).await?;
    let (count, difference) = row.first_count();
    let counted = |totals: &TotalsRow| totals.counts().into_iter().find(|(name, _)| *name == count);
    let tally = tally.as_ref().and_then(counted).map(|(_, number)| number);
    let records = tally.unwrap_or(0).saturating_sub(difference);
    Ok(TallyDifference { hour: row.hour(), group: row.group(), count, tally, records })
}

/// Makes the tallies of these hours anew.
async fn replace(
    transaction: &mut Transaction,
    tenant: TenantId,
    (first, end): (i64, i64),
) -> Result<(), LedgerError> {
    let id = Value::Id(tenant.as_uuid());
    transaction.execute(sql::LOCK_TALLIES, &[]).await?;
    transaction.execute(sql::DELETE_TALLIES, &[id, Value::Int(first), Value::Int(end)]).await?;
    let span = [id, Value::Int(first.saturating_mul(HOUR_US)), Value::Int(end.saturating_mul(HOUR_US))];
    transaction.execute(sql::INSERT_TALLIES, &span).await?;
    match difference(transaction, tenant, (first, end)).await? {
        None => Ok(()),
        Some(found) => Err(found.into_error()),
    }
}
