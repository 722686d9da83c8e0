//! All that was invoiced to a tenant, whole periods and parts of them, and which of it became void.
//! Never an amount that is computed: the bodies say what was invoiced.
//! Called by invoices, for corrections and for parts of running periods.

mod sql;

use domain::{Period, TenantId, Timestamp};

use super::{LedgerError, Transaction, Value};

/// An issued invoice, as far as later ones must know it.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// Its number.
    pub(crate) number: String,
    /// What it covers.
    pub(crate) period: Period,
    /// Usage records in the period when it was issued.
    pub(crate) records: u64,
    /// Its text.
    pub(crate) body: String,
    /// Whether it is of a part of a period that was running.
    pub(crate) is_of_part: bool,
    /// Whether it became void.
    pub(crate) is_void: bool,
}

#[derive(sqlx::FromRow)]
struct DocumentRow {
    number: String,
    period_start_unix_us: i64,
    period_end_unix_us: i64,
    zone: String,
    records: i64,
    body: String,
    of_part: i64,
    ended_void: i64,
}

impl Document {
    fn from_row(row: DocumentRow) -> Result<Self, LedgerError> {
        let instant = Timestamp::from_unix_micros;
        let (start, end) = (instant(row.period_start_unix_us), instant(row.period_end_unix_us));
        Ok(Self {
            number: row.number,
            period: Period::new(start, end, &row.zone)?,
            records: u64::try_from(row.records).map_err(|error| LedgerError::corrupt("count", &error))?,
            body: row.body,
            is_of_part: row.of_part != 0,
            is_void: row.ended_void != 0,
        })
    }
}

/// Everything that was ever invoiced to a tenant, in the order of the numbers.
pub(crate) async fn documents(
    transaction: &mut Transaction,
    tenant: TenantId,
) -> Result<Vec<Document>, LedgerError> {
    let rows: Vec<DocumentRow> = transaction.rows(sql::DOCUMENTS, &[Value::Id(tenant.as_uuid())]).await?;
    rows.into_iter().map(Document::from_row).collect()
}

/// Says that the invoice with this number, which is about to be stored, is of a part of a running period.
pub(crate) async fn note_part(transaction: &mut Transaction, number: &str) -> Result<(), LedgerError> {
    transaction.execute(sql::PART, &[Value::Text(number)]).await.map(drop)
}
