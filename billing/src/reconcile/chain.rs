//! The ledger's own hash chains: every journal that it knows, also those of other machines, from end to end.
//! Never more than a page of records in memory.
//! Called by `reconcile` when nothing is left out: a chain with gaps proves nothing.

use domain::{JournalId, RecordHash};

use super::{Finding, HandOver, ReconcileError, Walk};
use crate::journal::hash_of;

/// Journals read at once.
const JOURNALS_PAGE: usize = 100;

/// Walks every chain.
pub(super) async fn compare(walk: &mut Walk<'_>) -> Result<(), ReconcileError> {
    let mut after: Option<JournalId> = None;
    loop {
        let page = walk.ledger.journals_page(after, JOURNALS_PAGE).await?;
        for journal in &page {
            one(walk, journal.id).await?;
        }
        after = page.last().map(|journal| journal.id);
        if page.len() < JOURNALS_PAGE {
            return Ok(());
        }
    }
}

async fn one(walk: &mut Walk<'_>, journal: JournalId) -> Result<(), ReconcileError> {
    // What comes later is not part of the chain that is looked at.
    let (last, last_hash) = walk.ledger.journal_end(journal).await?;
    let (mut sequence, mut hash) = (0, RecordHash::GENESIS);
    loop {
        let page = walk.ledger.journal_records(journal, sequence).await?;
        let rows = page.iter().filter(|stored| stored.journaled.sequence <= last);
        let before = sequence;
        for stored in rows {
            let reached = stored.journaled.sequence.saturating_sub(1);
            (sequence, hash) = over_detached(walk, journal, (sequence, hash), reached).await?;
            let subject = format!("request {}", stored.journaled.record.request_id);
            let computed = hash_of(&stored.journaled).unwrap_or(RecordHash::GENESIS);
            let links = [
                ("sequence", (sequence + 1).to_string(), stored.journaled.sequence.to_string()),
                ("previous_hash", hash.to_string(), stored.journaled.previous_hash.to_string()),
                ("hash of the record", stored.hash.to_string(), computed.to_string()),
            ];
            // Links of a row that was changed may differ in all of these; the first says where.
            if let Some((field, before, after)) = links.into_iter().find(|(_, before, after)| before != after)
            {
                let field = field.to_owned();
                walk.note(Finding { hand_over: HandOver::JournalToLedger, subject, field, before, after });
                return Ok(());
            }
            (sequence, hash) = (stored.journaled.sequence, stored.hash);
        }
        walk.count(HandOver::JournalToLedger, sequence - before);
        if sequence == before {
            break;
        }
    }
    (sequence, hash) = over_detached(walk, journal, (sequence, hash), last).await?;
    if (sequence, hash) != (last, last_hash) {
        walk.note(Finding {
            hand_over: HandOver::JournalToLedger,
            subject: format!("journal {journal}"),
            field: "its end".to_owned(),
            before: format!("record {last} with hash {last_hash}"),
            after: format!("record {sequence} with hash {hash}"),
        });
    }
    Ok(())
}

/// Where a chain stands behind records that were detached with their months: their hashes are kept. The same place where
/// others are missing.
async fn over_detached(
    walk: &mut Walk<'_>,
    journal: JournalId,
    (sequence, hash): (u64, RecordHash),
    last: u64,
) -> Result<(u64, RecordHash), ReconcileError> {
    if last <= sequence {
        return Ok((sequence, hash));
    }
    match walk.ledger.detached_link(journal, (sequence, last)).await? {
        Some(link) => {
            walk.report.records_detached += last - sequence;
            Ok((last, link))
        }
        None => Ok((sequence, hash)),
    }
}
