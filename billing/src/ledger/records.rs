//! Reads usage records back, page by page, as they were taken.
//! Never all at once: a page has a bound, so memory stays flat however much there is.
//! Called by `tallygate usage --records`, exports and checks.

use domain::{
    JournalId, JournaledRecord, KeyId, Micros, Millijoules, ModelName, Nanos, Period, PlanVersionId,
    ProjectId, RecordHash, RequestId, Slo, TenantId, Timestamp, Tokens, UsageRecord,
};
use uuid::Uuid;

use super::{
    Ledger, LedgerError, Value, error::read_back, sql, usage::hash_from_column, walk::require_attached,
};

/// Records in one page: about a megabyte.
const PAGE_RECORDS_MAX: usize = 1_000;

/// A record as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// The record in its place in its journal.
    pub journaled: JournaledRecord,
    /// Its own hash.
    pub hash: RecordHash,
}

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPosition {
    finished_at: Timestamp,
    request_id: RequestId,
}

impl RecordPosition {
    /// A place that was shown before.
    pub const fn new(finished_at: Timestamp, request_id: RequestId) -> Self {
        Self { finished_at, request_id }
    }

    /// When the last record of the page finished.
    pub const fn finished_at(self) -> Timestamp {
        self.finished_at
    }

    /// Which it was.
    pub const fn request_id(self) -> RequestId {
        self.request_id
    }
}

/// Where a page begins, as SQL compares it: what finished later, or at once under a greater id. From the start without it.
pub(super) fn after_values(after: Option<RecordPosition>) -> [Value<'static>; 2] {
    let (time, id) = match after {
        Some(position) => (position.finished_at.unix_micros(), position.request_id.as_uuid()),
        None => (i64::MIN, Uuid::nil()),
    };
    [Value::Int(time), Value::Id(id)]
}

/// Some records of a tenant, by the time they finished.
#[derive(Clone, Debug)]
pub struct RecordsPage {
    /// The records.
    pub records: Vec<StoredRecord>,
    /// Where to go on. `None`: that was the last page.
    pub next: Option<RecordPosition>,
}

impl RecordsPage {
    /// The page of these rows; a full one has another after it.
    pub(super) fn of(rows: Vec<RecordRow>, limit: usize) -> Result<Self, LedgerError> {
        let records: Vec<_> = rows.into_iter().map(StoredRecord::from_row).collect::<Result<_, _>>()?;
        let is_full = records.len() == limit;
        let next = records.last().filter(|_| is_full).map(StoredRecord::position);
        Ok(Self { records, next })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct RecordRow {
    request_id: Uuid,
    journal_id: Uuid,
    sequence: i64,
    previous_hash: Vec<u8>,
    record_hash: Vec<u8>,
    tenant_id: Uuid,
    key_id: String,
    model: String,
    backend: String,
    slo_class: String,
    ttft_target_us: Option<i64>,
    ttft_target_us_per_1k_prompt: i64,
    tpot_target_us: Option<i64>,
    reason: String,
    prompt_tokens: i64,
    cached_prompt_tokens: i64,
    output_tokens: i64,
    reasoning_tokens: i64,
    ttft_us: Option<i64>,
    tpot_us: Option<i64>,
    slo_met: bool,
    tokens_in_slo: i64,
    energy_mj: i64,
    energy_source: String,
    client_stall_us: i64,
    queue_us: i64,
    started_unix_us: i64,
    finished_unix_us: i64,
    price_version: String,
    project_id: Option<Uuid>,
    usage_source: String,
    charge_nanos: i64,
    embeddings_tokens: i64,
}

impl StoredRecord {
    pub(super) fn from_row(row: RecordRow) -> Result<Self, LedgerError> {
        let sequence =
            u64::try_from(row.sequence).map_err(|error| LedgerError::corrupt("sequence", &error))?;
        let slo = Slo {
            class: read_back("SLO class", &row.slo_class)?,
            ttft: row.ttft_target_us.map(Micros::from_i64).transpose()?,
            ttft_per_1k_prompt: Micros::from_i64(row.ttft_target_us_per_1k_prompt)?,
            tpot: row.tpot_target_us.map(Micros::from_i64).transpose()?,
        };
        let record = UsageRecord {
            request_id: RequestId::from_uuid(row.request_id),
            tenant_id: TenantId::from_uuid(row.tenant_id),
            key_id: KeyId::new(row.key_id)?,
            model: ModelName::new(row.model)?,
            backend: row.backend,
            slo,
            reason: read_back("end reason", &row.reason)?,
            prompt_tokens: Tokens::from_i64(row.prompt_tokens)?,
            cached_prompt_tokens: Tokens::from_i64(row.cached_prompt_tokens)?,
            output_tokens: Tokens::from_i64(row.output_tokens)?,
            reasoning_tokens: Tokens::from_i64(row.reasoning_tokens)?,
            ttft: row.ttft_us.map(Micros::from_i64).transpose()?,
            tpot: row.tpot_us.map(Micros::from_i64).transpose()?,
            slo_met: row.slo_met,
            tokens_in_slo: Tokens::from_i64(row.tokens_in_slo)?,
            energy: Millijoules::from_i64(row.energy_mj)?,
            energy_source: read_back("energy source", &row.energy_source)?,
            client_stall: Micros::from_i64(row.client_stall_us)?,
            queue: Micros::from_i64(row.queue_us)?,
            started_at: Timestamp::from_unix_micros(row.started_unix_us),
            finished_at: Timestamp::from_unix_micros(row.finished_unix_us),
            price_version: PlanVersionId::new(row.price_version)?,
            project_id: row.project_id.map(ProjectId::from_uuid),
            usage_source: read_back("usage source", &row.usage_source)?,
            charge: Nanos::from_i64(row.charge_nanos)?,
            embeddings_tokens: Tokens::from_i64(row.embeddings_tokens)?,
        };
        let journaled = JournaledRecord {
            journal_id: JournalId::from_uuid(row.journal_id),
            sequence,
            previous_hash: hash_from_column(&row.previous_hash)?,
            record,
        };
        Ok(Self { journaled, hash: hash_from_column(&row.record_hash)? })
    }

    fn position(&self) -> RecordPosition {
        let record = &self.journaled.record;
        RecordPosition { finished_at: record.finished_at, request_id: record.request_id }
    }
}

impl Ledger {
    /// The next records of a tenant that finished in a period, oldest first; at most 1,000.
    ///
    /// Errors: records of the period that were detached.
    pub async fn records_page(
        &self,
        tenant: TenantId,
        period: &Period,
        within: Option<ProjectId>,
        after: Option<RecordPosition>,
        records_max: usize,
    ) -> Result<RecordsPage, LedgerError> {
        let limit = records_max.clamp(1, PAGE_RECORDS_MAX);
        let [after_time, after_id] = after_values(after);
        let values = [
            Value::Id(tenant.as_uuid()),
            Value::Int(period.start().unix_micros()),
            Value::Int(period.end().unix_micros()),
            after_time,
            after_id,
            Value::Int(i64::try_from(limit).unwrap_or(1)),
        ];
        let mut transaction = self.pool.read().await?;
        require_attached(&mut transaction, period).await?;
        let rows = match within {
            None => transaction.rows(sql::RECORDS_PAGE, &values).await?,
            Some(project) => {
                let [tenant, start, end, time, id, limit] = values;
                let values = [tenant, start, end, time, id, limit, Value::Id(project.as_uuid())];
                transaction.rows(sql::RECORDS_PAGE_WITHIN, &values).await?
            }
        };
        RecordsPage::of(rows, limit)
    }

    /// The latest records of a tenant, newest first; at most 1,000.
    pub async fn latest_records(
        &self,
        tenant: TenantId,
        records_max: usize,
    ) -> Result<Vec<StoredRecord>, LedgerError> {
        let limit = i64::try_from(records_max.min(PAGE_RECORDS_MAX)).unwrap_or(1);
        let values = [Value::Id(tenant.as_uuid()), Value::Int(limit)];
        let mut transaction = self.pool.read().await?;
        let rows = transaction.rows(sql::LATEST_RECORDS, &values).await?;
        rows.into_iter().map(StoredRecord::from_row).collect()
    }

    /// The record of one request.
    pub async fn find_record(&self, request: RequestId) -> Result<Option<StoredRecord>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let row = transaction.find(sql::RECORD, &[Value::Id(request.as_uuid())]).await?;
        row.map(StoredRecord::from_row).transpose()
    }
}
