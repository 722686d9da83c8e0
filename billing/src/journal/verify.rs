//! Checks a journal folder from its first line to its last, without changing anything.
//! Never takes the lock: it works while a server runs, and then sees the journal as of some moment.
//! Called by the command line and by tests.

use std::{collections::HashSet, io, path::Path};

use domain::{JournalId, RecordHash, RequestId, Timestamp};

use super::{
    error::{Damage, VerifyError},
    line::Line,
    scan::{Scan, Scanned, TornTail},
};

/// Records between two calls of `progress`; a fraction of a second of work.
const PROGRESS_RECORDS: u64 = 10_000;

/// How often a walk starts over because a running server removed the segment it came to.
const STARTS_MAX: usize = 3;

/// How far a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyProgress {
    /// The segment being read.
    pub segment: u64,
    /// Records checked so far.
    pub records: u64,
    /// Bytes checked so far.
    pub bytes: u64,
}

/// What a journal holds, every line and link of it found in order.
///
/// A journal cannot prove that its own end is there: removing whole lines from the end of the last segment, or
/// rewriting everything from some record on, leaves a whole chain. Compare `last_sequence` and `hash_at` with the
/// ledger's cursor: a record's hash covers the hash of the record before, and so all that were shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Which journal.
    pub journal_id: JournalId,
    /// Segments read.
    pub segments: usize,
    /// Closed records read.
    pub records: u64,
    /// Requests without a record: running now, or left by a crash that no start has recovered yet.
    pub open_requests: usize,
    /// The first record that is still here; `None` when there is none.
    pub first_sequence: Option<u64>,
    /// The last record; `None` when there is none.
    pub last_sequence: Option<u64>,
    /// The hash that the next record will carry.
    pub last_hash: RecordHash,
    /// Of [`super::verify_at`]: the hash of the record asked for, or genesis for the place before the first.
    /// `None` where the journal does not reach it, neither by the record nor by its successor.
    pub hash_at: Option<RecordHash>,
    /// Bytes of whole lines.
    pub bytes: u64,
    /// The earliest end of a request.
    pub first_finished_at: Option<Timestamp>,
    /// The latest end of a request.
    pub last_finished_at: Option<Timestamp>,
    /// What stands behind the last whole line: a crash's leavings, or a line that is being written.
    pub torn_tail: Option<TornTail>,
}

/// Walks the whole journal in constant memory (but for the ids of open requests).
///
/// Errors: the first difference, with file, line and byte offset.
pub(super) fn verify(
    folder: &Path,
    sequence: Option<u64>,
    mut progress: impl FnMut(VerifyProgress),
) -> Result<VerifyReport, VerifyError> {
    let mut starts = 1;
    loop {
        match walk(folder, sequence, &mut progress) {
            Err(VerifyError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && starts < STARTS_MAX =>
            {
                starts += 1;
            }
            ended => return ended,
        }
    }
}

fn walk(
    folder: &Path,
    sequence: Option<u64>,
    progress: &mut impl FnMut(VerifyProgress),
) -> Result<VerifyReport, VerifyError> {
    let mut scan = Scan::open(folder)?;
    // Where nothing was pruned, every record has its `open` line.
    let is_whole = scan.segments().first() == Some(&1);
    let mut report = VerifyReport {
        journal_id: scan.journal_id(),
        segments: scan.segments().len(),
        records: 0,
        open_requests: 0,
        first_sequence: None,
        last_sequence: None,
        last_hash: RecordHash::GENESIS,
        hash_at: None,
        bytes: 0,
        first_finished_at: None,
        last_finished_at: None,
        torn_tail: None,
    };
    let mut open = HashSet::new();
    while let Some(scanned) = scan.next()? {
        let is_header = matches!(scanned.line, Line::Header(_));
        let segment = scanned.segment;
        let records_before = report.records;
        note(&mut report, &mut open, scanned, is_whole)?;
        // A header names the hash of the record before it, so a record is known that was removed since.
        if let Some(chain) = scan.chain().filter(|chain| sequence == Some(chain.last_sequence())) {
            report.hash_at = Some(chain.last_hash);
        }
        let is_step = report.records != records_before && report.records.is_multiple_of(PROGRESS_RECORDS);
        if is_header || is_step {
            progress(VerifyProgress { segment, records: report.records, bytes: report.bytes });
        }
    }
    report.open_requests = open.len();
    if let Some(chain) = scan.chain() {
        report.last_hash = chain.last_hash;
    }
    report.torn_tail = scan.torn().cloned();
    Ok(report)
}

fn note(
    report: &mut VerifyReport,
    open: &mut HashSet<RequestId>,
    scanned: Scanned,
    is_whole: bool,
) -> Result<(), VerifyError> {
    report.bytes += scanned.bytes;
    match scanned.line {
        Line::Open(entry) => {
            open.insert(entry.request_id);
        }
        Line::Close(record, _) => {
            let request_id = record.record.request_id;
            if !open.remove(&request_id) && is_whole {
                let damage = Damage::NeverOpened { request_id };
                return Err(VerifyError::Damaged { place: scanned.place, damage });
            }
            let finished_at = record.record.finished_at;
            report.records += 1;
            report.first_sequence.get_or_insert(record.sequence);
            report.last_sequence = Some(record.sequence);
            report.first_finished_at =
                Some(report.first_finished_at.map_or(finished_at, |at| at.min(finished_at)));
            report.last_finished_at =
                Some(report.last_finished_at.map_or(finished_at, |at| at.max(finished_at)));
        }
        Line::Header(_) | Line::Checkpoint(_) | Line::Synced(_) => {}
    }
    Ok(())
}
