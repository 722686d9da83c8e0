//! What waits for the writer, which requests are open, and whether the journal still accepts any.
//! Never writes: callers put entries in, the one writer thread takes all of them out at once.
//! Shared by `Journal` (callers' side) and `Writer` (the thread's side).

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Instant,
};

use domain::{JournalId, RecordHash, RequestId, Timestamp};
use tokio::sync::{oneshot, watch};

use super::{
    JournalConfig, OPEN_REQUESTS_MAX, QUEUE_ENTRIES_MAX,
    error::JournalError,
    line::{Chain, CloseEncoder},
};

/// The backlog is measured in steps of this size: fine enough against bounds of gigabytes, and a bound of
/// 4 GiB takes 4,096 marks.
const MARK_BYTES: u64 = 1024 * 1024;

/// How a close learns where its record stands.
pub(super) type Waiter = oneshot::Sender<Result<(u64, RecordHash), JournalError>>;

/// Something to write.
pub(super) enum Entry {
    /// A whole `open` line.
    Open { request_id: RequestId, line: Vec<u8> },
    /// A whole `checkpoint` line.
    Checkpoint { line: Vec<u8> },
    /// The JSON of a record; the writer gives it its place in the chain.
    Close { request_id: RequestId, json: Vec<u8>, waiter: Option<Waiter> },
}

impl Entry {
    /// The most bytes the entry can take in a segment.
    pub(super) fn bytes_max(&self) -> usize {
        match self {
            Self::Open { line, .. } | Self::Checkpoint { line } => line.len(),
            Self::Close { json, .. } => json.len() + CloseEncoder::OVERHEAD_BYTES,
        }
    }
}

/// Whether the journal accepts entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    DiskFull,
    Failed { action: &'static str, kind: io::ErrorKind },
    Stopped,
}

impl Health {
    /// Errors: what a new request is told.
    pub(super) fn admits(self) -> Result<(), JournalError> {
        match self {
            Self::DiskFull => Err(JournalError::DiskFull),
            Self::Good | Self::Failed { .. } | Self::Stopped => self.accepts(),
        }
    }

    /// Errors: what the close of an admitted request is told. A full disk is tried again for each of them.
    pub(super) fn accepts(self) -> Result<(), JournalError> {
        match self {
            Self::Good | Self::DiskFull => Ok(()),
            Self::Failed { action, kind } => Err(JournalError::Failed { action, kind }),
            Self::Stopped => Err(JournalError::Stopped),
        }
    }
}

/// A request without a record.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Where its `open` line is, once it is written.
    segment: Option<u64>,
    is_closing: bool,
}

pub(super) struct Intake {
    entries: VecDeque<Entry>,
    open: HashMap<RequestId, Slot>,
    pub(super) health: Health,
    is_stopping: bool,
}

impl Intake {
    pub(super) fn open_requests(&self) -> usize {
        self.open.len()
    }

    /// When the first request without a record was made. `None`: there is none.
    ///
    /// An id that does not say when it was made is as old as can be.
    pub(super) fn first_open_at(&self) -> Option<Timestamp> {
        self.open
            .keys()
            .map(|request| request.made_at().unwrap_or(Timestamp::from_unix_micros(i64::MIN)))
            .min()
    }

    /// The first segment that holds the `open` line of a request without a record.
    pub(super) fn first_open_segment(&self) -> Option<u64> {
        self.open.values().filter_map(|slot| slot.segment).min()
    }

    /// Errors: why a new request cannot be admitted, as far as this side knows.
    pub(super) fn check_admits(&self) -> Result<(), JournalError> {
        self.health.admits()?;
        self.check_running()
    }

    fn check_running(&self) -> Result<(), JournalError> {
        if self.is_stopping { Err(JournalError::Stopped) } else { Ok(()) }
    }

    fn push_open(&mut self, request_id: RequestId, line: Vec<u8>) -> Result<(), JournalError> {
        self.check_admits()?;
        if self.open.contains_key(&request_id) {
            return Err(JournalError::AlreadyOpen { request_id });
        }
        if self.open.len() >= OPEN_REQUESTS_MAX {
            return Err(JournalError::TooManyOpen);
        }
        if self.entries.len() >= QUEUE_ENTRIES_MAX {
            return Err(JournalError::QueueFull);
        }
        self.open.insert(request_id, Slot::default());
        self.entries.push_back(Entry::Open { request_id, line });
        Ok(())
    }

    fn push_checkpoint(&mut self, request_id: RequestId, line: Vec<u8>) -> Result<(), JournalError> {
        self.check_admits()?;
        match self.open.get(&request_id) {
            None => return Err(JournalError::NotOpen { request_id }),
            Some(slot) if slot.is_closing => return Err(JournalError::Closing { request_id }),
            Some(_) => {}
        }
        if self.entries.len() >= QUEUE_ENTRIES_MAX {
            return Err(JournalError::QueueFull);
        }
        self.entries.push_back(Entry::Checkpoint { line });
        Ok(())
    }

    /// A close always finds room: each open request has one, and open requests are bounded.
    fn push_close(
        &mut self,
        request_id: RequestId,
        json: Vec<u8>,
        waiter: Waiter,
    ) -> Result<(), JournalError> {
        self.health.accepts()?;
        self.check_running()?;
        match self.open.get_mut(&request_id) {
            None => return Err(JournalError::NotOpen { request_id }),
            Some(slot) if slot.is_closing => return Err(JournalError::Closing { request_id }),
            Some(slot) => slot.is_closing = true,
        }
        self.entries.push_back(Entry::Close { request_id, json, waiter: Some(waiter) });
        Ok(())
    }

    /// The request's `open` line is in `segment`.
    pub(super) fn note_opened(&mut self, request_id: RequestId, segment: u64) {
        if let Some(slot) = self.open.get_mut(&request_id) {
            slot.segment = Some(segment);
        }
    }

    /// The request has its record.
    pub(super) fn note_closed(&mut self, request_id: RequestId) {
        self.open.remove(&request_id);
    }

    /// The request's record could not be written; it may be closed again.
    pub(super) fn note_not_closed(&mut self, request_id: RequestId) {
        if let Some(slot) = self.open.get_mut(&request_id) {
            slot.is_closing = false;
        }
    }

    /// Ends the journal's life; what still waits is handed out, to be refused.
    pub(super) fn end(&mut self, health: Health) -> VecDeque<Entry> {
        self.health = health;
        self.is_stopping = true;
        std::mem::take(&mut self.entries)
    }
}

/// A segment that is there, and its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) number: u64,
    pub(super) first_sequence: u64,
}

/// What is durable, and how much of it is not in the ledger.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) segments: VecDeque<Span>,
    pub(super) chain: Chain,
    pub(super) released_sequence: u64,
    appended_bytes: u64,
    released_bytes: u64,
    /// (last sequence, bytes appended by then), ascending, one for each [`MARK_BYTES`].
    marks: VecDeque<(u64, u64)>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            segments: VecDeque::new(),
            chain: Chain::START,
            released_sequence: 0,
            appended_bytes: 0,
            released_bytes: 0,
            marks: VecDeque::new(),
        }
    }

    pub(super) fn unshipped_bytes(&self) -> u64 {
        self.appended_bytes - self.released_bytes
    }

    /// Takes note of bytes that end with the chain at `chain`.
    pub(super) fn note_appended(&mut self, bytes: u64, chain: Chain) {
        self.chain = chain;
        self.appended_bytes += bytes;
        let mark = (chain.last_sequence(), self.appended_bytes);
        let before = self.marks.iter().rev().nth(1).map_or(self.released_bytes, |(_, bytes)| *bytes);
        match self.marks.back_mut() {
            Some(last) if mark.1 - before <= MARK_BYTES => *last = mark,
            _ => self.marks.push_back(mark),
        }
    }

    /// Records up to `sequence` are in the ledger.
    pub(super) fn release(&mut self, sequence: u64) -> Result<(), JournalError> {
        let last_sequence = self.chain.last_sequence();
        if sequence > last_sequence {
            return Err(JournalError::Ahead { sequence, last_sequence });
        }
        while let Some((_, bytes)) = self.marks.pop_front_if(|(last, _)| *last <= sequence) {
            self.released_bytes = bytes;
        }
        self.released_sequence = self.released_sequence.max(sequence);
        Ok(())
    }

    /// The segments that may go: every record released, no open request, and not among the retained.
    pub(super) fn removable(&self, retained: usize, first_open: Option<u64>) -> Vec<u64> {
        let is_shipped = |next: &Span| next.first_sequence <= self.released_sequence + 1;
        let shipped = self.segments.iter().skip(1).take_while(|next| is_shipped(next)).count();
        let is_closed = |number: &u64| first_open.is_none_or(|open| *number < open);
        let oldest = self.segments.iter().map(|span| span.number).take(shipped.saturating_sub(retained));
        oldest.take_while(is_closed).collect()
    }
}

/// Everything both sides see.
pub(super) struct Shared {
    pub(super) config: JournalConfig,
    pub(super) journal_id: JournalId,
    intake: Mutex<Intake>,
    wake: Condvar,
    index: Mutex<Index>,
    pub(super) unshipped_bytes: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) tail: watch::Sender<u64>,
}

/// Why the writer woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Entries,
    Alarm,
    Stop,
}

impl Shared {
    pub(super) fn new(config: JournalConfig, journal_id: JournalId, index: Index) -> Self {
        let intake = Intake {
            entries: VecDeque::new(),
            open: HashMap::new(),
            health: Health::Good,
            is_stopping: false,
        };
        Self {
            config,
            journal_id,
            intake: Mutex::new(intake),
            wake: Condvar::new(),
            unshipped_bytes: AtomicU64::new(index.unshipped_bytes()),
            commits: AtomicU64::new(0),
            tail: watch::Sender::new(index.chain.last_sequence()),
            index: Mutex::new(index),
        }
    }

    /// Lock order where both are held: intake, then index.
    pub(super) fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues it and lets the writer sleep: the caller wakes it.
    pub(super) fn queue_open(&self, request_id: RequestId, line: Vec<u8>) -> Result<(), JournalError> {
        self.intake().push_open(request_id, line)
    }

    /// Wakes the writer for what has queued.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(super) fn queue_checkpoint(&self, request_id: RequestId, line: Vec<u8>) -> Result<(), JournalError> {
        self.intake().push_checkpoint(request_id, line)?;
        self.wake.notify_one();
        Ok(())
    }

    pub(super) fn queue_close(
        &self,
        request_id: RequestId,
        json: Vec<u8>,
        waiter: Waiter,
    ) -> Result<(), JournalError> {
        self.intake().push_close(request_id, json, waiter)?;
        self.wake.notify_one();
        Ok(())
    }

    /// Asks the writer to write what waits and end. Nothing new is accepted from here on.
    pub(super) fn stop(&self) {
        self.intake().is_stopping = true;
        self.wake.notify_one();
    }

    /// Waits for work; entries are moved to `pending`, which must be empty.
    pub(super) fn wait(&self, pending: &mut VecDeque<Entry>, alarm: Option<Instant>) -> Work {
        let mut intake = self.intake();
        loop {
            let left = alarm.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Work::Alarm;
            }
            if !intake.entries.is_empty() {
                std::mem::swap(&mut intake.entries, pending);
                return Work::Entries;
            }
            if intake.is_stopping {
                return Work::Stop;
            }
            intake = match left {
                None => self.wake.wait(intake).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.wake.wait_timeout(intake, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }
}
