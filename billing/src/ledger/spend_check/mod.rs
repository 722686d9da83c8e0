//! Compares what budgets count, by quarter of an hour, with the usage records it is the sum of, and makes it anew.
//! Never a quarter of which records may be gone with a detached month: what is kept of those is all there is.
//! Called by `reconcile` and by `tallygate rebuild-tallies`.

mod sql;

use domain::{TenantId, Timestamp};
use uuid::Uuid;

use super::{Ledger, LedgerError, Transaction, Value, tallies::HOUR_US};

/// Quarters of an hour, as spending is kept by. Unit: microseconds.
const QUARTER_US: i64 = HOUR_US / 4;
/// A clock that was put back may have a request end before it began; by less than a day. Unit: microseconds.
const CLOCK_US: i64 = 24 * HOUR_US;

/// Where spending is not the sum of its usage records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpendDifference {
    /// The first instant of the quarter of an hour in which the requests began.
    pub quarter: Timestamp,
    /// Model, key and project.
    pub group: String,
    /// What differs: what was charged, or how many requests.
    pub count: &'static str,
    /// What is kept; zero where nothing is.
    pub kept: i64,
    /// What the records come to.
    pub records: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    unix_quarter: i64,
    key_id: String,
    model: String,
    project_id: Uuid,
    kept_nanos: i64,
    kept_requests: i64,
    nanos: i64,
    requests: i64,
}

impl Row {
    fn difference(self) -> SpendDifference {
        let project = match self.project_id.is_nil() {
            true => "no project".to_owned(),
            false => format!("project {}", self.project_id),
        };
        let (count, kept, records) = match self.kept_requests == self.requests {
            true => ("billionths charged", self.kept_nanos, self.nanos),
            false => ("requests", self.kept_requests, self.requests),
        };
        let quarter = Timestamp::from_unix_micros(self.unix_quarter.saturating_mul(QUARTER_US));
        SpendDifference {
            quarter,
            group: format!("{}, {}, {project}", self.model, self.key_id),
            count,
            kept,
            records,
        }
    }
}

impl Ledger {
    /// The first quarter of an hour of a tenant from one instant to another of which spending is not the sum of its
    /// usage records, in one statement: both sides are of one moment.
    pub async fn spend_difference(
        &self,
        tenant: TenantId,
        span: (Timestamp, Timestamp),
    ) -> Result<Option<SpendDifference>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        find(&mut transaction, tenant, span).await
    }

    /// Makes a tenant's spending anew where it is wrong, from the first wrong quarter on, and gives the first thing
    /// that was wrong. Where nothing is wrong, nobody is held up.
    ///
    /// Errors: spending that differs also after it was made anew; nothing is changed.
    pub async fn rebuild_spending(&self, tenant: TenantId) -> Result<Option<SpendDifference>, LedgerError> {
        let always = (Timestamp::from_unix_micros(i64::MIN), Timestamp::from_unix_micros(i64::MAX));
        if self.spend_difference(tenant, always).await?.is_none() {
            return Ok(None);
        }
        let mut transaction = self.pool.write().await?;
        transaction.execute(sql::LOCK_SPENDING, &[]).await?;
        // Looked at again under the lock: what was wrong may have been mended by somebody else.
        let Some(found) = find(&mut transaction, tenant, always).await? else { return Ok(None) };
        let from = found.quarter.unix_micros();
        let quarter = Value::Int(from.div_euclid(QUARTER_US));
        let id = Value::Id(tenant.as_uuid());
        transaction.execute(sql::DELETE_SPENDING, &[id, quarter]).await?;
        transaction.execute(sql::INSERT_SPENDING, &[id, quarter, Value::Int(from)]).await?;
        if let Some(SpendDifference { quarter, group, count, kept, records }) =
            find(&mut transaction, tenant, always).await?
        {
            let detail = format!("at {quarter} ({group}) {kept} {count} instead of {records}, made anew");
            return Err(LedgerError::corrupt("spending", &detail));
        }
        transaction.commit().await?;
        Ok(Some(found))
    }
}

async fn find(
    transaction: &mut Transaction,
    tenant: TenantId,
    (from, to): (Timestamp, Timestamp),
) -> Result<Option<SpendDifference>, LedgerError> {
    // Whole quarters that contain the instants. A request ends after it began, so the index finds where to begin.
    let first = from.unix_micros().div_euclid(QUARTER_US);
    let end = to.unix_micros().saturating_sub(1).div_euclid(QUARTER_US).saturating_add(1);
    let values = [
        Value::Id(tenant.as_uuid()),
        Value::Int(first),
        Value::Int(end),
        Value::Int(first.saturating_mul(QUARTER_US)),
        Value::Int(end.saturating_mul(QUARTER_US)),
        Value::Int(first.saturating_mul(QUARTER_US).saturating_sub(CLOCK_US)),
    ];
    let row: Option<Row> = transaction.find(sql::DIFFERENCE, &values).await?;
    Ok(row.map(Row::difference))
}
