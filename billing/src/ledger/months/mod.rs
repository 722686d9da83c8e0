//! Months of usage records: made ahead in PostgreSQL, detached by either database once they are old and invoiced.
//! Never a record that is lost: what is detached is kept aside until somebody drops it by name.
//! Called by the running gateway once an hour, and by `tallygate partitions`.

mod sql;

use domain::{Period, TenantId, Timestamp};
use uuid::Uuid;

use super::{Ledger, LedgerError, Transaction, Value, roles, tenants};
use crate::invoice::is_behind;

/// Records of a month that are counted one by one, before PostgreSQL has an estimate: well below a second of work.
const COUNTED_MAX: i64 = 1_000_000;
/// Months of records outside that one command puts in order: ten years.
const OUTSIDE_MONTHS_MAX: u32 = 120;

/// Tenants that a refusal names.
const TENANTS_NAMED_MAX: usize = 20;

/// Where a month's records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonthState {
    /// Part of the usage records.
    Attached,
    /// Kept aside since an instant.
    Detached(Timestamp),
    /// Deleted at an instant.
    Dropped(Timestamp),
}

/// A month of usage records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Month {
    /// Such as `2026-11`, of UTC.
    pub month: String,
    /// The table that has it.
    pub place: String,
    /// How many.
    pub records: u64,
    /// Whether that is about how many: of large attached months in PostgreSQL, the database's own estimate.
    pub is_about: bool,
    /// Where they are.
    pub state: MonthState,
}

/// A month that was just detached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachedMonth {
    /// Such as `2026-11`.
    pub month: String,
    /// The table that has it now.
    pub place: String,
}

#[derive(sqlx::FromRow)]
struct MonthRow {
    month: String,
    place: String,
    /// None: the database has not looked at them yet.
    records: Option<i64>,
    is_about: bool,
    detached: Option<i64>,
    dropped: Option<i64>,
}

impl Month {
    fn from_row(row: MonthRow) -> Result<Self, LedgerError> {
        let MonthRow { month, place, records, is_about, detached, dropped } = row;
        let records =
            u64::try_from(records.unwrap_or(0)).map_err(|error| LedgerError::corrupt("count", &error))?;
        let state = match (detached, dropped) {
            (None, _) => MonthState::Attached,
            (Some(at), None) => MonthState::Detached(Timestamp::from_unix_micros(at)),
            (Some(_), Some(at)) => MonthState::Dropped(Timestamp::from_unix_micros(at)),
        };
        Ok(Self { month, place, records, is_about, state })
    }
}

impl Ledger {
    /// Makes the partitions of this month, the one before, and `ahead` more; says how many were not there.
    ///
    /// SQLite has one table for all months and needs none. Many processes may ask at once.
    pub async fn make_months(&self, now: Timestamp, ahead: u32) -> Result<u32, LedgerError> {
        let this = month_of(now)?;
        let mut month = month_of(before(&this))?;
        let mut made = 0;
        for _ in 0..ahead.saturating_add(2) {
            made += u32::from(self.make_month(month.start()).await?);
            month = month_of(month.end())?;
        }
        Ok(made)
    }

    /// Makes a month's partition, with the records of that month that lie outside; `false`: it was there.
    async fn make_month(&self, at: Timestamp) -> Result<bool, LedgerError> {
        let mut transaction = self.pool.write().await?;
        if !is_postgres(&transaction) {
            return Ok(false);
        }
        // A transaction for each: between two, whoever waits to ship has its turn.
        let (is_made,): (bool,) = transaction.row(sql::ADD_MONTH, &[Value::Int(at.unix_micros())]).await?;
        transaction.commit().await?;
        Ok(is_made)
    }

    /// Usage records that lie in no month's partition. There should be none: nothing is lost, but queries over any
    /// time look at them.
    pub async fn records_outside_months(&self) -> Result<u64, LedgerError> {
        let mut transaction = self.pool.read().await?;
        if !is_postgres(&transaction) {
            return Ok(0);
        }
        let (count,): (i64,) = transaction.row(sql::OUTSIDE, &[]).await?;
        u64::try_from(count).map_err(|error| LedgerError::corrupt("count", &error))
    }

    /// Makes partitions for records outside and moves them in; says how many months were made.
    pub async fn make_months_of_outside(&self) -> Result<u32, LedgerError> {
        for made in 0..OUTSIDE_MONTHS_MAX {
            let mut transaction = self.pool.read().await?;
            if !is_postgres(&transaction) {
                return Ok(made);
            }
            let found: Option<(i64,)> = transaction.find(sql::FIRST_OUTSIDE, &[]).await?;
            drop(transaction);
            let Some((at,)) = found else { return Ok(made) };
            self.make_month(Timestamp::from_unix_micros(at)).await?;
        }
        Ok(OUTSIDE_MONTHS_MAX)
    }

    /// Every month there is or was, oldest first.
    pub async fn months(&self) -> Result<Vec<Month>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let rows: Vec<MonthRow> = transaction.rows(sql::MONTHS, &[]).await?;
        let mut months = Vec::with_capacity(rows.len());
        for mut row in rows {
            if row.records.is_none()
                && let Ok(period) = Period::month(&row.month, UTC)
            {
                let values = [
                    Value::Int(period.start().unix_micros()),
                    Value::Int(period.end().unix_micros()),
                    Value::Int(COUNTED_MAX),
                ];
                let (counted,): (i64,) = transaction.row(sql::COUNT_UP_TO, &values).await?;
                (row.records, row.is_about) = (Some(counted), counted == COUNTED_MAX);
            }
            months.push(Month::from_row(row)?);
        }
        Ok(months)
    }

    /// Takes a month (`YYYY-MM`, of UTC) out of the usage records and keeps it aside. Its sums stay.
    ///
    /// Errors: a text that is no month, a month that has not ended, that is not all on issued invoices of all tenants,
    /// of which something is still due on a next invoice, or of which there is nothing.
    pub async fn detach_month(&self, month: &str, now: Timestamp) -> Result<DetachedMonth, LedgerError> {
        let period = Period::month(month, UTC)?;
        if period.end() > now {
            return Err(LedgerError::PeriodRunning { end: period.end() });
        }
        let mut transaction = self.pool.write().await?;
        let bounds = [Value::Int(period.start().unix_micros()), Value::Int(period.end().unix_micros())];
        let open: Vec<(String,)> = transaction.rows(sql::OPEN_TENANTS, &bounds).await?;
        if !open.is_empty() {
            let tenants = open.into_iter().map(|(name,)| name).collect::<Vec<_>>().join(", ");
            return Err(LedgerError::MonthOpen { month: month.to_owned(), tenants });
        }
        let behind = behind(&mut transaction, &period, now).await?;
        if !behind.is_empty() {
            return Err(LedgerError::MonthOpen { month: month.to_owned(), tenants: behind.join(", ") });
        }
        let now = Value::Int(now.unix_micros());
        let place = match is_postgres(&transaction) {
            true => {
                let (place,): (Option<String>,) = transaction.row(sql::DETACH, &[bounds[0], now]).await?;
                place
            }
            false => put_aside(&mut transaction, month, bounds, now).await?,
        };
        let place = place.ok_or_else(|| missing(month))?;
        transaction.commit().await?;
        Ok(DetachedMonth { month: month.to_owned(), place })
    }

    /// Detaches every month that is older than the running one and `kept` before it. What may not be detached stays,
    /// and so does everything that is newer: the reason comes with what was detached.
    pub async fn detach_older(
        &self,
        kept: u32,
        now: Timestamp,
    ) -> Result<(Vec<DetachedMonth>, Option<LedgerError>), LedgerError> {
        let mut first_kept = month_of(now)?;
        for _ in 0..kept {
            first_kept = month_of(before(&first_kept))?;
        }
        let mut detached = Vec::new();
        for found in self.months().await?.into_iter().filter(|found| found.state == MonthState::Attached) {
            // A clock may have put records where no calendar reaches; those are nobody's month.
            let Ok(period) = Period::month(&found.month, UTC) else { continue };
            if period.end() > first_kept.start() {
                break;
            }
            match self.detach_month(&found.month, now).await {
                Ok(month) => detached.push(month),
                Err(why @ LedgerError::MonthOpen { .. }) => {
                    return Ok((detached, Some(why)));
                }
                Err(other) => return Err(other),
            }
        }
        Ok((detached, None))
    }

    /// Deletes the records of a detached month for good, and says how many there were. That they were there stays known.
    ///
    /// Errors: a month that is not detached, or was dropped before; in PostgreSQL, a role that does not own the tables.
    /// Nothing is deleted then.
    pub async fn drop_month(&self, month: &str, now: Timestamp) -> Result<u64, LedgerError> {
        let period = Period::month(month, UTC)?;
        let values = [Value::Text(month), Value::Int(now.unix_micros())];
        let mut transaction = self.pool.write().await?;
        let dropped: Option<i64> = if is_postgres(&transaction) {
            let row: Result<(Option<i64>,), _> = transaction.row(sql::DROP_MONTH, &values).await;
            let owners = |error| match roles::is_refused(&error) {
                true => LedgerError::OwnerOnly { what: "delete the records of a month" },
                false => error,
            };
            row.map_err(owners)?.0
        } else {
            let (parts, records): (i64, i64) = transaction.row(sql::COUNT_DETACHED, &values[..1]).await?;
            transaction.execute(sql::NOTE_DROPPED, &values).await?;
            let bounds = [Value::Int(period.start().unix_micros()), Value::Int(period.end().unix_micros())];
            if parts > 0 {
                transaction.execute(sql::DROP_DETACHED, &bounds).await?;
            }
            (parts > 0).then_some(records)
        };
        let dropped = dropped.ok_or_else(|| missing(month))?;
        transaction.commit().await?;
        u64::try_from(dropped).map_err(|error| LedgerError::corrupt("count", &error))
    }
}

/// Tenants with records of a month of which something is due on their next invoice: at most twenty of them.
async fn behind(
    transaction: &mut Transaction,
    month: &Period,
    now: Timestamp,
) -> Result<Vec<String>, LedgerError> {
    let bounds = [Value::Int(month.start().unix_micros()), Value::Int(month.end().unix_micros())];
    let tenants: Vec<(Uuid,)> = transaction.rows(sql::TENANTS_OF_MONTH, &bounds).await?;
    let mut behind = Vec::new();
    for (tenant,) in tenants {
        let tenant = tenants::find_by_id(transaction, TenantId::from_uuid(tenant)).await?;
        if is_behind(transaction, &tenant, month, now).await? {
            behind.push(tenant.name);
        }
        if behind.len() == TENANTS_NAMED_MAX {
            break;
        }
    }
    Ok(behind)
}

/// Partitions are of UTC, whatever zones tenants have.
const UTC: &str = "UTC";

fn is_postgres(transaction: &Transaction) -> bool {
    match transaction {
        Transaction::Postgres(_) => true,
        Transaction::Sqlite(_) | Transaction::SqliteActing(_) => false,
    }
}

fn month_of(at: Timestamp) -> Result<Period, LedgerError> {
    Ok(Period::month_of(at, UTC)?)
}

/// The last instant before a month.
fn before(month: &Period) -> Timestamp {
    Timestamp::from_unix_micros(month.start().unix_micros().saturating_sub(1))
}

fn missing(month: &str) -> LedgerError {
    LedgerError::Missing { what: "month", name: month.to_owned() }
}

/// SQLite: copies a month's records and their keys aside, then removes them. Triggers check each step.
async fn put_aside(
    transaction: &mut Transaction,
    month: &str,
    bounds: [Value<'_>; 2],
    now: Value<'_>,
) -> Result<Option<String>, LedgerError> {
    let [start, end] = bounds;
    let (records, parts): (i64, i64) = transaction.row(sql::COUNT_MONTH, &bounds).await?;
    if records == 0 {
        return Ok(None);
    }
    let values = [Value::Text(month), Value::Int(parts + 1), start, end, Value::Int(records), now];
    transaction.execute(sql::NOTE_DETACHED, &values).await?;
    transaction.execute(sql::PUT_ASIDE, &bounds).await?;
    transaction.execute(sql::PUT_KEYS_ASIDE, &bounds).await?;
    transaction.execute(sql::REMOVE_DETACHED, &bounds).await?;
    Ok(Some("usage_records_detached".to_owned()))
}
