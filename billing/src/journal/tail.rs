//! The ledger's side of the journal: reads durable records in order and removes what the ledger has.
//! Never reads past what is synced, and never keeps a file open between two reads.
//! Called by `Journal::read_after` and `Journal::release_through`, on the shipper's thread.

use std::sync::atomic::Ordering;

use domain::{JournaledRecord, RecordHash};

use super::{
    disk::{Disk, segment_path},
    error::{Damage, JournalError, Place, VerifyError},
    intake::{Shared, Span},
    line::Line,
    scan::LineReader,
};

/// Records handed out at once, whatever is asked for: about 16 MiB of memory.
pub const READ_RECORDS_MAX: usize = 16_384;

/// Where a record's line, or one before it, begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    segment: u64,
    offset: u64,
    /// Lines before the offset, so that damage is named by its line.
    lines: u64,
    /// The first record at or after the offset.
    sequence: u64,
}

/// Where the last read began and ended: the next read goes on there, a repeated one begins there again.
#[derive(Debug, Default)]
pub(super) struct Tail {
    began: Option<Position>,
    ended: Option<Position>,
}

impl Tail {
    /// Durable records after `sequence`, at most `records_max`.
    pub(super) fn read(
        &mut self,
        shared: &Shared,
        sequence: u64,
        records_max: usize,
    ) -> Result<Vec<(JournaledRecord, RecordHash)>, JournalError> {
        let (spans, last_sequence) = {
            let index = shared.index();
            (index.segments.clone(), index.chain.last_sequence())
        };
        if sequence > last_sequence {
            return Err(JournalError::Ahead { sequence, last_sequence });
        }
        let first_sequence = spans.front().map_or(1, |span| span.first_sequence);
        if sequence + 1 < first_sequence {
            return Err(JournalError::Pruned { sequence, first_sequence });
        }
        let records_max = records_max.min(READ_RECORDS_MAX);
        let last_sequence = last_sequence.min(sequence.saturating_add(records_max as u64));
        if sequence == last_sequence {
            return Ok(Vec::new());
        }
        // A position at the end of a segment outlives the segment.
        let first_segment = spans.front().map_or(1, |span| span.number);
        let mut known = [self.ended, self.began].into_iter().flatten();
        let known = known.find(|at| at.sequence == sequence + 1 && at.segment >= first_segment);
        let from = known.or_else(|| seek(spans.iter(), sequence + 1));
        let from = from.ok_or(JournalError::Pruned { sequence, first_sequence })?;
        let (records, ended) = read_records(shared, from, sequence + 1, last_sequence)?;
        *self = Self { began: Some(from), ended: Some(ended) };
        Ok(records)
    }

    /// Frees the bound up to `sequence` and removes segments nobody needs any more, oldest first.
    pub(super) fn release(
        &mut self,
        shared: &Shared,
        disk: &dyn Disk,
        sequence: u64,
    ) -> Result<(), JournalError> {
        let removable = {
            let intake = shared.intake();
            let mut index = shared.index();
            index.release(sequence)?;
            shared.unshipped_bytes.store(index.unshipped_bytes(), Ordering::Release);
            index.removable(shared.config.retained_segments, intake.first_open_segment())
        };
        for number in &removable {
            let path = segment_path(&shared.config.folder, *number);
            disk.remove(&path).map_err(JournalError::io("remove a released segment", path))?;
            shared.index().segments.pop_front();
        }
        if !removable.is_empty() {
            let folder = &shared.config.folder;
            disk.sync_folder(folder).map_err(JournalError::io("sync the journal folder", folder))?;
        }
        Ok(())
    }
}

/// The beginning of the segment that holds `sequence`.
fn seek<'a>(spans: impl DoubleEndedIterator<Item = &'a Span>, sequence: u64) -> Option<Position> {
    let span = spans.rev().find(|span| span.first_sequence <= sequence)?;
    Some(Position { segment: span.number, offset: 0, lines: 0, sequence: span.first_sequence })
}

fn read_records(
    shared: &Shared,
    from: Position,
    first: u64,
    last: u64,
) -> Result<(Vec<(JournaledRecord, RecordHash)>, Position), JournalError> {
    let mut at = from;
    let mut records = Vec::new();
    while at.sequence <= last {
        let path = segment_path(&shared.config.folder, at.segment);
        let io = |error| JournalError::io("read a segment", &path)(error);
        let mut reader = LineReader::open(&path, at.offset, at.lines).map_err(io)?;
        while at.sequence <= last {
            let Some(raw) = reader.next().map_err(io)? else { break };
            let place = Place { file: path.clone(), line: raw.number, offset: raw.offset };
            let lines = raw.number;
            let damaged = |damage| VerifyError::Damaged { place: place.clone(), damage };
            if let Line::Close(record, hash) = raw.decode().map_err(damaged)? {
                if record.sequence != at.sequence {
                    let gap = Damage::SequenceGap { expected: at.sequence, found: record.sequence };
                    return Err(damaged(gap).into());
                }
                at.sequence += 1;
                if record.sequence >= first {
                    records.push((*record, hash));
                }
            }
            (at.offset, at.lines) = (reader.next_offset(), lines);
        }
        if at.sequence <= last {
            at = Position { segment: at.segment + 1, offset: 0, lines: 0, sequence: at.sequence };
        }
    }
    Ok((records, at))
}
