//! Takes usage records from a journal: records, their sums and the journal's cursor in one transaction.
//! Never takes part of a batch, never the same request twice, never a batch that breaks the journal's chain.
//! Called by the shipper.

use std::collections::{BTreeMap, HashSet};

use domain::{JournalId, JournaledRecord, QuantityError, RecordHash, RequestId, UsageRecord};
use serde::Serialize;
use uuid::Uuid;

use super::{ChainBreak, Ledger, LedgerError, Transaction, UsageTotals, Value, credits, spending, sql};

/// Records in one batch. Some megabytes of JSON and about a tenth of a second of the database's
/// time, so that other writers wait no longer than that.
pub const SHIP_RECORDS_MAX: usize = 5_000;
/// Longest backend name a record may carry.
const BACKEND_LENGTH_MAX: usize = 200;

/// How far a journal has been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalCursor {
    /// The last record taken; 0 before the first.
    pub sequence: u64,
    /// Its hash; genesis before the first.
    pub hash: RecordHash,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shipped {
    /// Records that were new.
    pub inserted: usize,
    /// Records that were in the ledger already, unchanged.
    pub duplicates: usize,
}

/// A batch in the order of its journal, each record with its own hash.
type Batch = [(JournaledRecord, RecordHash)];

impl Ledger {
    /// How far a journal has been taken.
    pub async fn journal_cursor(&self, journal_id: JournalId) -> Result<JournalCursor, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let row = transaction.find(sql::CURSOR, &[Value::Id(journal_id.as_uuid())]).await?;
        row.map_or(Ok(JournalCursor { sequence: 0, hash: RecordHash::GENESIS }), JournalCursor::from_row)
    }

    /// Takes a batch of one journal, in order, all of it or nothing.
    ///
    /// Records that were taken before are compared and skipped, so a batch may overlap or repeat earlier ones.
    /// Errors: a batch that does not continue the chain, a request that has another record already,
    /// an impossible record, a batch beyond [`SHIP_RECORDS_MAX`].
    pub async fn ship(&self, journal_id: JournalId, batch: &Batch) -> Result<Shipped, LedgerError> {
        check_batch(journal_id, batch)?;
        let Some((first, _)) = batch.first() else { return Ok(Shipped::default()) };
        let mut transaction = self.pool.write().await?;
        let genesis = RecordHash::GENESIS;
        let start = [Value::Id(journal_id.as_uuid()), Value::Bytes(genesis.as_bytes())];
        let cursor = JournalCursor::from_row(transaction.row(sql::LOCK_CURSOR, &start).await?)?;
        if first.sequence > cursor.sequence.saturating_add(1) {
            let detail = ChainBreak::Gap { expected: cursor.sequence + 1 };
            return Err(LedgerError::ChainBroken { journal_id, sequence: first.sequence, detail });
        }
        let split = batch.partition_point(|(journaled, _)| journaled.sequence <= cursor.sequence);
        let (taken, fresh) = batch.split_at(split);
        check_taken(&mut transaction, taken).await?;
        let Some(((next, _), (last, last_hash))) = fresh.first().zip(fresh.last()) else {
            return Ok(Shipped { inserted: 0, duplicates: taken.len() });
        };
        if next.previous_hash != cursor.hash {
            let detail = ChainBreak::Hash { expected: cursor.hash, found: next.previous_hash };
            return Err(LedgerError::ChainBroken { journal_id, sequence: next.sequence, detail });
        }
        let inserted = insert(&mut transaction, journal_id, fresh).await?;
        let advance = [
            Value::Id(journal_id.as_uuid()),
            Value::Int(sequence_column(last.sequence)?),
            Value::Bytes(last_hash.as_bytes()),
        ];
        transaction.execute(sql::ADVANCE_CURSOR, &advance).await?;
        transaction.commit().await?;
        Ok(Shipped { inserted, duplicates: batch.len() - inserted })
    }
}

impl JournalCursor {
    fn from_row((sequence, hash): (i64, Vec<u8>)) -> Result<Self, LedgerError> {
        let sequence = u64::try_from(sequence).map_err(|error| LedgerError::corrupt("sequence", &error))?;
        Ok(Self { sequence, hash: hash_from_column(&hash)? })
    }
}

pub(super) fn hash_from_column(column: &[u8]) -> Result<RecordHash, LedgerError> {
    let bytes = <[u8; 32]>::try_from(column).map_err(|error| LedgerError::corrupt("record hash", &error))?;
    Ok(RecordHash::from_bytes(bytes))
}

fn sequence_column(sequence: u64) -> Result<i64, LedgerError> {
    i64::try_from(sequence).map_err(|_| QuantityError::Overflow { unit: "records" }.into())
}

/// Everything about a batch that can be seen without the database.
fn check_batch(journal_id: JournalId, batch: &Batch) -> Result<(), LedgerError> {
    if batch.len() > SHIP_RECORDS_MAX {
        return Err(LedgerError::BatchTooLarge { records: batch.len(), records_max: SHIP_RECORDS_MAX });
    }
    let broken = |sequence, detail| Err(LedgerError::ChainBroken { journal_id, sequence, detail });
    let mut requests = HashSet::with_capacity(batch.len());
    let mut before: Option<&(JournaledRecord, RecordHash)> = None;
    for entry in batch {
        let (journaled, _) = entry;
        if journaled.journal_id != journal_id {
            return broken(journaled.sequence, ChainBreak::OtherJournal(journaled.journal_id));
        }
        if let Some((previous, hash)) = before {
            let expected = previous.sequence.saturating_add(1);
            if journaled.sequence != expected {
                return broken(journaled.sequence, ChainBreak::Gap { expected });
            }
            if journaled.previous_hash != *hash {
                let detail = ChainBreak::Hash { expected: *hash, found: journaled.previous_hash };
                return broken(journaled.sequence, detail);
            }
        }
        if journaled.sequence == 0 {
            return broken(0, ChainBreak::Gap { expected: 1 });
        }
        check_record(&journaled.record)?;
        if !requests.insert(journaled.record.request_id) {
            return Err(LedgerError::RequestConflict { request_id: journaled.record.request_id });
        }
        before = Some(entry);
    }
    Ok(())
}

/// What no meter may measure; the tables refuse the same.
fn check_record(record: &UsageRecord) -> Result<(), LedgerError> {
    let is_text = |text: &str| text.len() <= BACKEND_LENGTH_MAX && !text.chars().any(char::is_control);
    let why = if record.cached_prompt_tokens > record.prompt_tokens {
        "more cached prompt tokens than prompt tokens"
    } else if record.embeddings_tokens > record.prompt_tokens {
        "more tokens of embeddings than prompt tokens"
    } else if record.reasoning_tokens > record.output_tokens {
        "more reasoning tokens than output tokens"
    } else if record.tokens_in_slo > record.output_tokens {
        "more tokens within the SLO than output tokens"
    } else if !is_text(&record.backend) {
        "the backend's name is longer than 200 bytes or holds control characters"
    } else {
        return Ok(());
    };
    Err(LedgerError::ImpossibleRecord { request_id: record.request_id, why })
}

/// Inserts records that continue the chain, with their tallies and who paid for them, and counts those that were new.
async fn insert(
    transaction: &mut Transaction,
    journal_id: JournalId,
    fresh: &Batch,
) -> Result<usize, LedgerError> {
    let columns: Vec<_> = fresh.iter().map(RecordColumns::from_record).collect::<Result<_, _>>()?;
    let rows: Vec<(Uuid,)> =
        transaction.rows(sql::INSERT_RECORDS, &[Value::Text(&to_json(&columns)?)]).await?;
    let inserted: HashSet<RequestId> = rows.into_iter().map(|(id,)| RequestId::from_uuid(id)).collect();
    let is_new = |journaled: &JournaledRecord| inserted.contains(&journaled.record.request_id);
    let known: Vec<_> = fresh.iter().filter(|(journaled, _)| !is_new(journaled)).collect();
    if let Some(request_id) = find_other_record(transaction, &known).await? {
        return Err(LedgerError::RequestConflict { request_id });
    }
    let new = || fresh.iter().map(|(journaled, _)| journaled).filter(|journaled| is_new(journaled));
    let tallies = tally(new().map(|journaled| &journaled.record))?;
    if !tallies.is_empty() {
        transaction.execute(sql::ADD_TALLIES, &[Value::Text(&to_json(&tallies)?)]).await?;
        spending::add(transaction, new().map(|journaled| &journaled.record)).await?;
        credits::pay(transaction, journal_id, new()).await?;
    }
    Ok(inserted.len())
}

/// Records below the cursor must be the ones that were taken.
async fn check_taken(transaction: &mut Transaction, taken: &Batch) -> Result<(), LedgerError> {
    let taken: Vec<_> = taken.iter().collect();
    match find_other_record(transaction, &taken).await? {
        None => Ok(()),
        Some(request_id) => {
            let found = taken.iter().find(|(journaled, _)| journaled.record.request_id == request_id);
            let (journal_id, sequence) = found
                .map_or((JournalId::from_uuid(Uuid::nil()), 0), |(journaled, _)| {
                    (journaled.journal_id, journaled.sequence)
                });
            Err(LedgerError::ChainBroken { journal_id, sequence, detail: ChainBreak::Rewritten })
        }
    }
}

/// The first of these requests that is not stored with this very hash.
async fn find_other_record(
    transaction: &mut Transaction,
    records: &[&(JournaledRecord, RecordHash)],
) -> Result<Option<RequestId>, LedgerError> {
    if records.is_empty() {
        return Ok(None);
    }
    let id = |entry: &&(JournaledRecord, RecordHash)| hex_id(entry.0.record.request_id.as_uuid());
    let ids: Vec<_> = records.iter().map(id).collect();
    let rows: Vec<(Uuid, Vec<u8>)> =
        transaction.rows(sql::STORED_HASHES, &[Value::Text(&to_json(&ids)?)]).await?;
    let stored: HashSet<(Uuid, Vec<u8>)> = rows.into_iter().collect();
    let is_same = |entry: &&(JournaledRecord, RecordHash)| {
        stored.contains(&(entry.0.record.request_id.as_uuid(), entry.1.as_bytes().to_vec()))
    };
    Ok(records.iter().find(|entry| !is_same(entry)).map(|entry| entry.0.record.request_id))
}

pub(super) fn to_json<T: Serialize>(rows: &[T]) -> Result<String, LedgerError> {
    serde_json::to_string(rows).map_err(|error| LedgerError::corrupt("batch", &error))
}

pub(super) fn hex_id(id: Uuid) -> String {
    id.simple().to_string()
}

/// The project, as columns that may not be empty have it: the nil id for none.
pub(super) fn project_column(record: &UsageRecord) -> Uuid {
    record.project_id.map_or(Uuid::nil(), |project| project.as_uuid())
}

/// A usage record as the bulk insert reads it. Named like the columns.
#[derive(Serialize)]
struct RecordColumns<'a> {
    request_id: String,
    journal_id: String,
    sequence: i64,
    previous_hash: RecordHash,
    record_hash: RecordHash,
    tenant_id: String,
    key_id: &'a str,
    model: &'a str,
    backend: &'a str,
    slo_class: &'static str,
    ttft_target_us: Option<i64>,
    ttft_target_us_per_1k_prompt: i64,
    tpot_target_us: Option<i64>,
    reason: &'static str,
    prompt_tokens: i64,
    cached_prompt_tokens: i64,
    output_tokens: i64,
    reasoning_tokens: i64,
    ttft_us: Option<i64>,
    tpot_us: Option<i64>,
    slo_met: bool,
    tokens_in_slo: i64,
    energy_mj: i64,
    energy_source: &'static str,
    client_stall_us: i64,
    queue_us: i64,
    started_unix_us: i64,
    finished_unix_us: i64,
    price_version: &'a str,
    project_id: Option<String>,
    usage_source: &'static str,
    charge_nanos: i64,
    embeddings_tokens: i64,
}

impl<'a> RecordColumns<'a> {
    fn from_record((journaled, hash): &'a (JournaledRecord, RecordHash)) -> Result<Self, LedgerError> {
        let JournaledRecord { journal_id, sequence, previous_hash, record } = journaled;
        let slo = record.slo;
        Ok(Self {
            request_id: hex_id(record.request_id.as_uuid()),
            journal_id: hex_id(journal_id.as_uuid()),
            sequence: sequence_column(*sequence)?,
            previous_hash: *previous_hash,
            record_hash: *hash,
            tenant_id: hex_id(record.tenant_id.as_uuid()),
            key_id: record.key_id.as_str(),
            model: record.model.as_str(),
            backend: &record.backend,
            slo_class: slo.class.as_str(),
            ttft_target_us: slo.ttft.map(|target| target.to_i64()).transpose()?,
            ttft_target_us_per_1k_prompt: slo.ttft_per_1k_prompt.to_i64()?,
            tpot_target_us: slo.tpot.map(|target| target.to_i64()).transpose()?,
            reason: record.reason.as_str(),
            prompt_tokens: record.prompt_tokens.to_i64()?,
            cached_prompt_tokens: record.cached_prompt_tokens.to_i64()?,
            output_tokens: record.output_tokens.to_i64()?,
            reasoning_tokens: record.reasoning_tokens.to_i64()?,
            ttft_us: record.ttft.map(|span| span.to_i64()).transpose()?,
            tpot_us: record.tpot.map(|span| span.to_i64()).transpose()?,
            slo_met: record.slo_met,
            tokens_in_slo: record.tokens_in_slo.to_i64()?,
            energy_mj: record.energy.to_i64()?,
            energy_source: record.energy_source.as_str(),
            client_stall_us: record.client_stall.to_i64()?,
            queue_us: record.queue.to_i64()?,
            started_unix_us: record.started_at.unix_micros(),
            finished_unix_us: record.finished_at.unix_micros(),
            price_version: record.price_version.as_str(),
            project_id: record.project_id.map(|project| hex_id(project.as_uuid())),
            usage_source: record.usage_source.as_str(),
            charge_nanos: record.charge.to_i64()?,
            embeddings_tokens: record.embeddings_tokens.to_i64()?,
        })
    }
}

/// What a tally is kept by. Ordered, so that concurrent batches touch rows in one order.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct TallyKey<'a> {
    tenant_id: String,
    unix_hour: i64,
    key_id: &'a str,
    model: &'a str,
    slo_class: &'static str,
    reason: &'static str,
    price_version: &'a str,
    energy_source: &'static str,
    project_id: String,
}

#[derive(Serialize)]
struct Tally<'a> {
    #[serde(flatten)]
    key: TallyKey<'a>,
    #[serde(flatten)]
    sums: UsageTotals,
}

fn tally<'a>(records: impl Iterator<Item = &'a UsageRecord>) -> Result<Vec<Tally<'a>>, LedgerError> {
    let mut tallies: BTreeMap<TallyKey<'a>, UsageTotals> = BTreeMap::new();
    for record in records {
        let key = TallyKey {
            tenant_id: hex_id(record.tenant_id.as_uuid()),
            unix_hour: record.finished_at.unix_hour(),
            key_id: record.key_id.as_str(),
            model: record.model.as_str(),
            slo_class: record.slo.class.as_str(),
            reason: record.reason.as_str(),
            price_version: record.price_version.as_str(),
            energy_source: record.energy_source.as_str(),
            project_id: hex_id(project_column(record)),
        };
        let sums = tallies.entry(key).or_default();
        *sums = sums.checked_add(&UsageTotals::of(record))?;
    }
    Ok(tallies.into_iter().map(|(key, sums)| Tally { key, sums }).collect())
}
