//! A journal's lines against its records, and those against the ledger's.
//! Never more in memory than the requests that were open at one moment, and a page of records.
//! Called by `reconcile`, for a journal on this machine.

use std::{collections::HashMap, io, path::Path};

use domain::{EndReason, JournalId, JournaledRecord, RecordHash, RequestId, UsageRecord, UsageSource};

use super::{Finding, HandOver, ReconcileError, STARTS_MAX, Walk};
use crate::{
    journal::{self, CheckpointEntry, JournalLine, JournalLines, OpenEntry, VerifyError},
    ledger::StoredRecord,
};

/// Records that are compared with the ledger at once: as many as it gives in one page.
const BATCH_RECORDS: usize = 1_000;

/// Requests that were opened and not closed so far, each with its last checkpoint. The journal bounds their number.
type OpenRequests = HashMap<RequestId, (OpenEntry, Option<CheckpointEntry>)>;

/// Compares a whole journal.
pub(super) async fn compare(walk: &mut Walk<'_>, folder: &Path) -> Result<(), ReconcileError> {
    let mut starts = 1;
    loop {
        let before = walk.report.clone();
        match once(walk, folder).await {
            Err(ReconcileError::Journal(VerifyError::Io { source, .. }))
                if source.kind() == io::ErrorKind::NotFound && starts < STARTS_MAX =>
            {
                starts += 1;
                walk.report = before;
            }
            ended => return ended,
        }
    }
}

async fn once(walk: &mut Walk<'_>, folder: &Path) -> Result<(), ReconcileError> {
    // Asked before the journal is read: the ledger may only be further by then.
    let journal_id = journal::identity(folder)?;
    let (shipped, _) = walk.ledger.journal_end(journal_id).await?;
    let mut open = OpenRequests::new();
    let mut batch: Vec<(JournaledRecord, RecordHash)> = Vec::with_capacity(BATCH_RECORDS);
    for line in JournalLines::open(folder)? {
        match line? {
            JournalLine::Open(entry) => {
                open.insert(entry.request_id, (*entry, None));
            }
            JournalLine::Checkpoint(entry) => {
                if let Some((_, last)) = open.get_mut(&entry.request_id) {
                    *last = Some(*entry);
                }
            }
            JournalLine::Close(record, hash) => {
                let lines = open.remove(&record.record.request_id);
                if is_wanted(walk, &record.record) {
                    if let Some((entry, checkpoint)) = lines {
                        counted(walk, &record.record, entry, checkpoint);
                    }
                    match record.sequence <= shipped {
                        true => batch.push((*record, hash)),
                        false => walk.report.records_not_shipped += 1,
                    }
                }
            }
        }
        if batch.len() == BATCH_RECORDS {
            shipped_as(walk, journal_id, &batch).await?;
            batch.clear();
        }
    }
    shipped_as(walk, journal_id, &batch).await
}

/// Whether the scope has this record.
fn is_wanted(walk: &Walk<'_>, record: &UsageRecord) -> bool {
    let Some(tenant) = &walk.scope.tenant else {
        // Without a tenant a month has no zone yet; records are compared whatever their month.
        return true;
    };
    let period = walk.scope.month.as_ref().map(|month| domain::Period::month(month, &tenant.zone));
    let is_in = period.and_then(Result::ok).is_none_or(|period| period.contains(record.finished_at));
    record.tenant_id == tenant.id && is_in
}

/// A record against how its request was opened, and against what its engine had counted by the last checkpoint.
fn counted(walk: &mut Walk<'_>, record: &UsageRecord, open: OpenEntry, checkpoint: Option<CheckpointEntry>) {
    let hand_over = HandOver::EngineToJournal;
    walk.count(hand_over, 1);
    let subject = format!("request {}", record.request_id);
    if record.reason == EndReason::Crashed {
        // Its process died: the record says what the last checkpoint said, and no more.
        let expected = journal::crashed_record(open, checkpoint);
        walk.equal((hand_over, &subject), &expected, record);
        return;
    }
    let opened = UsageRecord {
        request_id: open.request_id,
        tenant_id: open.tenant_id,
        key_id: open.key_id,
        model: open.model,
        backend: open.backend,
        slo: open.slo,
        started_at: open.started_at,
        price_version: open.price_version,
        project_id: open.project_id,
        ..record.clone()
    };
    walk.equal((hand_over, &subject), &opened, record);
    // Others than our own engines correct at the end what was estimated on the way.
    let Some(checkpoint) = checkpoint.filter(|_| record.usage_source == UsageSource::Engine) else { return };
    let counts = [
        ("output_tokens", checkpoint.output_tokens, record.output_tokens),
        ("tokens_in_slo", checkpoint.tokens_in_slo, record.tokens_in_slo),
    ];
    for (field, before, after) in counts.into_iter().filter(|(_, before, after)| before > after) {
        walk.note(Finding {
            hand_over,
            subject: subject.clone(),
            field: field.to_owned(),
            before: format!("at least {before}"),
            after: after.to_string(),
        });
    }
}

/// Records that the ledger says it has, against those that it has.
async fn shipped_as(
    walk: &mut Walk<'_>,
    journal_id: JournalId,
    batch: &[(JournaledRecord, RecordHash)],
) -> Result<(), ReconcileError> {
    let hand_over = HandOver::JournalToLedger;
    let mut page: Vec<StoredRecord> = Vec::new();
    let mut detached = Vec::new();
    for (journaled, hash) in batch {
        let place = journaled.sequence;
        if page.last().is_none_or(|last| last.journaled.sequence < place) {
            page = walk.ledger.journal_records(journal_id, place - 1).await?;
        }
        let subject = format!("request {}", journaled.record.request_id);
        let found = page.iter().find(|stored| stored.journaled.sequence == place);
        match found {
            None => detached.push((journaled, *hash)),
            Some(stored) => {
                walk.equal((hand_over, &subject), journaled, &stored.journaled);
                walk.equal((hand_over, &subject), hash, &stored.hash);
            }
        }
    }
    for run in detached.chunk_by(|(one, _), (next, _)| one.sequence + 1 == next.sequence) {
        detached_as(walk, journal_id, run).await?;
    }
    walk.count(hand_over, u64::try_from(batch.len()).unwrap_or(u64::MAX));
    Ok(())
}

/// Records that are not among the ledger's, one after another: of those that were detached it keeps the hashes.
async fn detached_as(
    walk: &mut Walk<'_>,
    journal_id: JournalId,
    run: &[(&JournaledRecord, RecordHash)],
) -> Result<(), ReconcileError> {
    let hand_over = HandOver::JournalToLedger;
    let (Some((first, _)), Some((last, last_hash))) = (run.first(), run.last()) else { return Ok(()) };
    // The last one's hash covers all before it.
    let all = walk.ledger.detached_link(journal_id, (first.sequence - 1, last.sequence)).await?;
    if all.as_ref() == Some(last_hash) {
        return Ok(());
    }
    for (journaled, hash) in run {
        let place = journaled.sequence;
        let subject = format!("request {}", journaled.record.request_id);
        match walk.ledger.detached_link(journal_id, (place - 1, place)).await? {
            Some(kept) => walk.equal((hand_over, &subject), hash, &kept),
            None => walk.note(Finding {
                hand_over,
                subject,
                field: "record".to_owned(),
                before: format!("record {place} of journal {journal_id}"),
                after: "not there".to_owned(),
            }),
        }
    }
    Ok(())
}
