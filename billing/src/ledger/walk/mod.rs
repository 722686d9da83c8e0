//! Walks over usage records in the order of their journals or of an export, and over stored invoice lines.
//! Never all at once: a page has a bound, so memory stays flat however much there is.
//! Called by `export` and `reconcile`.

mod sql;

use domain::{JournalId, KeyId, ModelName, Period, ProjectId, RecordHash, TenantId};
use uuid::Uuid;

use super::{
    Ledger, LedgerError, RecordPosition, RecordsPage, StoredRecord, Value, find_plan,
    invoices::find_by_number,
    pool::Transaction,
    records::{RecordRow, after_values},
    statements,
};
use crate::plan::Plan;

/// Records in one page: about a megabyte.
const PAGE_RECORDS: usize = 1_000;

/// Which of a tenant's records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Those of a project and all below it.
    pub project: Option<ProjectId>,
    /// Those of a key.
    pub key: Option<KeyId>,
    /// Those of a model.
    pub model: Option<ModelName>,
}

/// A line of an issued invoice as SQL sums it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LinePart {
    /// Its place, from 1.
    pub position: i64,
    /// What it is.
    pub kind: String,
    /// What is counted.
    pub item: String,
    /// How much.
    pub quantity: i64,
    /// The result with all digits.
    pub exact: String,
    /// The part of the rounded subtotal that it shows. Unit: minor units.
    pub displayed_minor: i64,
}

impl Ledger {
    /// The next records of a tenant that finished in a period and that a filter takes, in the order of the export.
    pub async fn filtered_page(
        &self,
        tenant: TenantId,
        period: &Period,
        filter: &RecordFilter,
        after: Option<RecordPosition>,
    ) -> Result<RecordsPage, LedgerError> {
        let [after_time, after_id] = after_values(after);
        let values = [
            Value::Id(tenant.as_uuid()),
            Value::Int(period.start().unix_micros()),
            Value::Int(period.end().unix_micros()),
            after_time,
            after_id,
            Value::Int(i64::try_from(PAGE_RECORDS).unwrap_or(1)),
            Value::Text(filter.key.as_ref().map_or("", KeyId::as_str)),
            Value::Text(filter.model.as_ref().map_or("", ModelName::as_str)),
            Value::Id(filter.project.map_or(Uuid::nil(), |project| project.as_uuid())),
        ];
        let mut transaction = self.pool.read().await?;
        RecordsPage::of(transaction.rows(sql::FILTERED_RECORDS, &values).await?, PAGE_RECORDS)
    }

    /// The next records of a journal after a place in it, in its order; none after the last.
    pub async fn journal_records(
        &self,
        journal: JournalId,
        after: u64,
    ) -> Result<Vec<StoredRecord>, LedgerError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let limit = i64::try_from(PAGE_RECORDS).unwrap_or(1);
        let values = [Value::Id(journal.as_uuid()), Value::Int(after), Value::Int(limit)];
        let mut transaction = self.pool.read().await?;
        let rows: Vec<RecordRow> = transaction.rows(sql::JOURNAL_RECORDS, &values).await?;
        rows.into_iter().map(StoredRecord::from_row).collect()
    }

    /// The hash of the last of a journal's records between two places. `None`: not all of them were detached.
    pub(crate) async fn detached_link(
        &self,
        journal: JournalId,
        (after, last): (u64, u64),
    ) -> Result<Option<RecordHash>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let (count, hash) = detached_links(&mut transaction, journal, (after, last)).await?;
        let Some(hash) = hash.filter(|_| Some(count) == last.checked_sub(after)) else { return Ok(None) };
        let hash: [u8; 32] =
            hash.try_into().map_err(|_| LedgerError::corrupt("record hash", &"not 32 bytes"))?;
        Ok(Some(RecordHash::from_bytes(hash)))
    }

    /// Whether records of a period were detached: what is left of it is no whole.
    pub(crate) async fn is_detached_within(&self, period: &Period) -> Result<bool, LedgerError> {
        let mut transaction = self.pool.read().await?;
        Ok(detached_within(&mut transaction, period).await?.is_some())
    }

    /// That all records of a period are where they are listed from.
    ///
    /// Errors: a month of it was detached.
    pub(crate) async fn require_attached(&self, period: &Period) -> Result<(), LedgerError> {
        let mut transaction = self.pool.read().await?;
        require_attached(&mut transaction, period).await
    }

    /// The lines of an issued invoice as they are stored beside its text.
    pub async fn invoice_line_parts(&self, number: &str) -> Result<Vec<LinePart>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        transaction.rows(sql::INVOICE_LINES, &[Value::Text(number)]).await
    }

    /// What an invoice's records were when it was issued, as JSON. `None`: it was issued before there were seals.
    pub(crate) async fn seal_body(&self, number: &str) -> Result<Option<String>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        statements::find_seal(&mut transaction, number).await
    }

    /// A published plan version.
    pub(crate) async fn plan_version(&self, id: &domain::PlanVersionId) -> Result<Option<Plan>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        find_plan(&mut transaction, id).await
    }

    /// Where a journal stands: its last record here, and that record's hash.
    pub(crate) async fn journal_end(&self, journal: JournalId) -> Result<(u64, RecordHash), LedgerError> {
        let cursor = self.journal_cursor(journal).await?;
        Ok((cursor.sequence, cursor.hash))
    }
}

/// As [`Ledger::require_attached`].
pub(crate) async fn require_attached(
    transaction: &mut Transaction,
    period: &Period,
) -> Result<(), LedgerError> {
    match detached_within(transaction, period).await? {
        Some((month, place)) => Err(LedgerError::RecordsDetached { month, place }),
        None => Ok(()),
    }
}

/// The first month of a period whose records were detached, and the table that has them, unless they were dropped.
async fn detached_within(
    transaction: &mut Transaction,
    period: &Period,
) -> Result<Option<(String, Option<String>)>, LedgerError> {
    let values = [Value::Int(period.start().unix_micros()), Value::Int(period.end().unix_micros())];
    transaction.find(sql::DETACHED_WITHIN, &values).await
}

/// How many of a journal's records between two places were detached.
pub(in crate::ledger) async fn count_detached(
    transaction: &mut Transaction,
    journal: JournalId,
    places: (u64, u64),
) -> Result<u64, LedgerError> {
    Ok(detached_links(transaction, journal, places).await?.0)
}

/// The same, and the hash of the last of them when it is one.
async fn detached_links(
    transaction: &mut Transaction,
    journal: JournalId,
    (after, last): (u64, u64),
) -> Result<(u64, Option<Vec<u8>>), LedgerError> {
    let place = |sequence: u64| Value::Int(i64::try_from(sequence).unwrap_or(i64::MAX));
    let values = [Value::Id(journal.as_uuid()), place(after), place(last)];
    let (count, hash): (i64, Option<Vec<u8>>) = transaction.row(sql::DETACHED_LINKS, &values).await?;
    let count = u64::try_from(count).map_err(|error| LedgerError::corrupt("count", &error))?;
    Ok((count, hash))
}

/// Whether records of an invoice's period were detached.
pub(in crate::ledger) async fn is_invoice_detached(
    transaction: &mut Transaction,
    number: &str,
) -> Result<bool, LedgerError> {
    let Some(issued) = find_by_number(transaction, number).await? else { return Ok(false) };
    Ok(detached_within(transaction, &issued.period).await?.is_some())
}
