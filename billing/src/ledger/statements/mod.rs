//! Seals of issued invoices and the signed statements made of them, as they are stored: never changed.
//! Never a signature and never a digest: `statement` makes both.
//! Called by `statement`, and by those who show statements.

mod sql;

use domain::{JournalId, Millijoules, RecordHash, RequestId, TenantId, Timestamp, Tokens};
use uuid::Uuid;

use super::{Ledger, LedgerError, RecordPosition, Transaction, UsageTotals, Value, usage::hash_from_column};

/// Records read at once while an invoice is sealed: about two megabytes.
const SEALED_ROWS_MAX: i64 = 10_000;

/// A signed statement as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStatement {
    /// The invoice.
    pub number: String,
    /// Which key signed it.
    pub key_id: String,
    /// The public half of that key: 32 bytes.
    pub public_key: Vec<u8>,
    /// Whose invoice it is.
    pub tenant_id: TenantId,
    /// When it was signed.
    pub made_at: Timestamp,
    /// The statement as JSON, exactly as signed.
    pub body: String,
}

/// A key that has signed statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementKeyUse {
    /// Its id.
    pub key_id: String,
    /// Its public half: 32 bytes.
    pub public_key: Vec<u8>,
    /// Statements it has signed.
    pub statements: u64,
    /// When it signed first.
    pub first_at: Timestamp,
    /// When it signed last.
    pub last_at: Timestamp,
}

/// What a seal needs of a record.
#[derive(Clone, Debug)]
pub(crate) struct SealedRecord {
    pub(crate) position: RecordPosition,
    pub(crate) journal_id: JournalId,
    pub(crate) sequence: u64,
    pub(crate) hash: RecordHash,
    pub(crate) totals: UsageTotals,
}

#[derive(sqlx::FromRow)]
struct SealedRow {
    request_id: Uuid,
    journal_id: Uuid,
    sequence: i64,
    record_hash: Vec<u8>,
    finished_unix_us: i64,
    slo_met: bool,
    prompt_tokens: i64,
    cached_prompt_tokens: i64,
    output_tokens: i64,
    reasoning_tokens: i64,
    tokens_in_slo: i64,
    energy_mj: i64,
    embeddings_tokens: i64,
}

#[derive(sqlx::FromRow)]
struct StatementRow {
    number: String,
    key_id: String,
    public_key: Vec<u8>,
    tenant_id: Uuid,
    made_unix_us: i64,
    body: String,
}

impl SealedRecord {
    fn from_row(row: &SealedRow) -> Result<Self, LedgerError> {
        let (output, in_slo) = (Tokens::from_i64(row.output_tokens)?, Tokens::from_i64(row.tokens_in_slo)?);
        let finished_at = Timestamp::from_unix_micros(row.finished_unix_us);
        Ok(Self {
            position: RecordPosition::new(finished_at, RequestId::from_uuid(row.request_id)),
            journal_id: JournalId::from_uuid(row.journal_id),
            sequence: u64::try_from(row.sequence)
                .map_err(|error| LedgerError::corrupt("sequence", &error))?,
            hash: hash_from_column(&row.record_hash)?,
            totals: UsageTotals {
                requests: 1,
                requests_slo_met: u64::from(row.slo_met),
                prompt_tokens: Tokens::from_i64(row.prompt_tokens)?,
                cached_prompt_tokens: Tokens::from_i64(row.cached_prompt_tokens)?,
                output_tokens: output,
                reasoning_tokens: Tokens::from_i64(row.reasoning_tokens)?,
                tokens_in_slo: in_slo,
                late_tokens: output.checked_sub(in_slo).unwrap_or(Tokens::ZERO),
                energy: Millijoules::from_i64(row.energy_mj)?,
                embeddings_tokens: Tokens::from_i64(row.embeddings_tokens)?,
            },
        })
    }
}

impl StoredStatement {
    fn from_row(row: StatementRow) -> Self {
        Self {
            number: row.number,
            key_id: row.key_id,
            public_key: row.public_key,
            tenant_id: TenantId::from_uuid(row.tenant_id),
            made_at: Timestamp::from_unix_micros(row.made_unix_us),
            body: row.body,
        }
    }
}

impl Ledger {
    /// The statement of an invoice: of several, the one that was signed last.
    pub async fn find_statement(&self, number: &str) -> Result<Option<StoredStatement>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let row = transaction.find(sql::STATEMENT, &[Value::Text(number)]).await?;
        Ok(row.map(StoredStatement::from_row))
    }

    /// Every key that has signed a statement, by the time it first did.
    pub async fn statement_keys(&self) -> Result<Vec<StatementKeyUse>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let rows: Vec<(String, Vec<u8>, i64, i64, i64)> = transaction.rows(sql::STATEMENT_KEYS, &[]).await?;
        let keys = rows.into_iter().map(|(key_id, public_key, count, first, last)| {
            Ok(StatementKeyUse {
                key_id,
                public_key,
                statements: u64::try_from(count).map_err(|error| LedgerError::corrupt("count", &error))?,
                first_at: Timestamp::from_unix_micros(first),
                last_at: Timestamp::from_unix_micros(last),
            })
        });
        keys.collect()
    }
}

/// Keeps everybody else from adding records and tallies until the transaction ends; records wait in their journals.
pub(crate) async fn hold_still(transaction: &mut Transaction) -> Result<(), LedgerError> {
    transaction.execute(sql::HOLD_STILL, &[]).await.map(|_| ())
}

/// The next records of a period in the order of the export; fewer than asked for are the last.
pub(crate) async fn sealed_page(
    transaction: &mut Transaction,
    tenant: TenantId,
    (start, end): (Timestamp, Timestamp),
    after: Option<RecordPosition>,
) -> Result<Vec<SealedRecord>, LedgerError> {
    let (after_time, after_id) = match after {
        Some(position) => (position.finished_at().unix_micros(), position.request_id().as_uuid()),
        None => (i64::MIN, Uuid::nil()),
    };
    let values = [
        Value::Id(tenant.as_uuid()),
        Value::Int(start.unix_micros()),
        Value::Int(end.unix_micros()),
        Value::Int(after_time),
        Value::Id(after_id),
        Value::Int(SEALED_ROWS_MAX),
    ];
    let rows: Vec<SealedRow> = transaction.rows(sql::SEALED_PAGE, &values).await?;
    rows.iter().map(SealedRecord::from_row).collect()
}

/// The seal of an invoice, as JSON. `None`: it was issued before there were seals.
pub(crate) async fn find_seal(
    transaction: &mut Transaction,
    number: &str,
) -> Result<Option<String>, LedgerError> {
    let row: Option<(String,)> = transaction.find(sql::SEAL, &[Value::Text(number)]).await?;
    Ok(row.map(|(body,)| body))
}

/// Stores the seal of an invoice.
pub(crate) async fn insert_seal(
    transaction: &mut Transaction,
    number: &str,
    body: &str,
) -> Result<(), LedgerError> {
    transaction.execute(sql::INSERT_SEAL, &[Value::Text(number), Value::Text(body)]).await.map(|_| ())
}

/// The statement of an invoice by one key.
pub(crate) async fn find_by_key(
    transaction: &mut Transaction,
    number: &str,
    key_id: &str,
) -> Result<Option<StoredStatement>, LedgerError> {
    let values = [Value::Text(number), Value::Text(key_id)];
    let row = transaction.find(sql::STATEMENT_BY_KEY, &values).await?;
    Ok(row.map(StoredStatement::from_row))
}

/// Stores a statement.
pub(crate) async fn insert_statement(
    transaction: &mut Transaction,
    statement: &StoredStatement,
) -> Result<(), LedgerError> {
    let values = [
        Value::Text(&statement.number),
        Value::Text(&statement.key_id),
        Value::Bytes(&statement.public_key),
        Value::Id(statement.tenant_id.as_uuid()),
        Value::Int(statement.made_at.unix_micros()),
        Value::Text(&statement.body),
    ];
    transaction.execute(sql::INSERT_STATEMENT, &values).await.map(|_| ())
}
