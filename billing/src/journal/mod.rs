//! The durable usage journal: every admitted request leaves exactly one record here before its answer ends.
//! Never prices anything, never talks to the ledger's database, and never changes a line once it is synced.
//! Written by `gateway::meter`, read by `ship` and by the command line (`verify-journal`, rebuild, exports).
//!
//! On disk: `journal.toml` (identity), `journal.lock`, and segments `0000000001.journal`, … of UTF-8 lines
//! `<crc32c> <kind> <json>`. Kinds: `header` (first line of a segment), `synced` (first line of a batch), `open`,
//! `checkpoint`, `close`. `docs/adr/0001-journal-store.md` says why.

mod config;
mod disk;
mod entry;
mod error;
mod intake;
mod line;
mod lines;
mod opened;
mod recover;
mod scan;
mod status;
mod tail;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::{
    fmt,
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread::JoinHandle,
};

use domain::{Clock, JournalId, JournaledRecord, RecordHash, RequestId, Timestamp, UsageRecord};
use serde::Serialize;
use tokio::sync::{oneshot, watch};

pub use config::JournalConfig;
pub use entry::{CheckpointEntry, OpenEntry, crashed_record};
pub use error::{Damage, IdentityProblem, JournalError, Place, VerifyError};
pub use line::hash_of;
pub use lines::{JournalLine, JournalLines};
pub use opened::Opened;
pub use scan::{ClosedRecords, TornTail};
pub use status::{JournalState, JournalStatus, Recovery};
pub use tail::READ_RECORDS_MAX;
pub use verify::{VerifyProgress, VerifyReport};

use disk::{Disk, LocalDisk};
use intake::{Health, Shared};
use line::{CloseEncoder, Kind};
use tail::Tail;

/// The format that this program writes and reads.
const FORMAT: u32 = 1;

/// The longest line, newline included: a reader never holds more than a page. Texts have some 600 bytes.
pub const LINE_BYTES_MAX: usize = 4_096;

/// Requests without a record. Ten times what one gateway serves at once; it also bounds the closes that may
/// come after the journal is full: 256 MiB at most, in practice a quarter of that.
pub const OPEN_REQUESTS_MAX: usize = 65_536;

/// `open` and `checkpoint` lines that wait for the disk. Half a second of work for a slow disk; beyond it a
/// refusal now is kinder than a timeout later.
pub const QUEUE_ENTRIES_MAX: usize = 65_536;

/// Proof that a record is durable. Only the journal makes one.
#[derive(Debug)]
#[must_use = "a durable record allows the last byte of the answer to leave"]
pub struct Journaled {
    record: UsageRecord,
    sequence: u64,
    hash: RecordHash,
}

impl Journaled {
    /// The record.
    pub fn record(&self) -> &UsageRecord {
        &self.record
    }

    /// Its place in the journal.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Its hash in the journal's chain.
    pub fn hash(&self) -> RecordHash {
        self.hash
    }
}

/// A usage journal that is open for writing; cheap to clone.
///
/// When the last clone goes, what was queued is written first: dropping it waits for one sync.
#[derive(Clone)]
pub struct Journal(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    tail: Mutex<Tail>,
    thread: Mutex<Option<JoinHandle<()>>>,
    lock: Mutex<Option<File>>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("id", &self.id()).field("status", &self.status()).finish()
    }
}

impl Journal {
    /// Opens the journal in `config.folder`, or makes it. Blocks while it reads what is there.
    ///
    /// A torn tail is cut; each open request without a record gets one with reason `crashed` and what its last
    /// checkpoint had counted. All of it is durable when this returns.
    ///
    /// Errors: another process has the folder; damage that no crash can leave; the disk.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the composition root hands its one clock to all this way"
    )]
    pub fn open(config: JournalConfig, clock: Arc<dyn Clock>) -> Result<(Self, Recovery), JournalError> {
        Self::open_on(config, clock.as_ref(), Arc::new(LocalDisk))
    }

    fn open_on(
        config: JournalConfig,
        clock: &dyn Clock,
        disk: Arc<dyn Disk>,
    ) -> Result<(Self, Recovery), JournalError> {
        let folder = config.folder.clone();
        let opened = recover::open(config, clock, Arc::clone(&disk))?;
        let writer = opened.writer;
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(JournalError::io("start the writer", folder))?;
        let handle = Handle {
            shared: opened.shared,
            disk,
            tail: Mutex::new(Tail::default()),
            thread: Mutex::new(Some(thread)),
            lock: Mutex::new(Some(opened.lock)),
        };
        Ok((Self(Arc::new(handle)), opened.recovery))
    }

    /// Which journal this is.
    pub fn id(&self) -> JournalId {
        self.0.shared.journal_id
    }

    /// Whether a new request may be admitted.
    ///
    /// Errors: `Full`, `DiskFull`, `Failed` and `Stopped` of [`JournalError`].
    pub fn is_writable(&self) -> Result<(), JournalError> {
        self.0.shared.intake().check_admits()?;
        self.check_bound()
    }

    /// Notes an admitted request. Queued, not waited for; written at the latest once what is returned is dropped.
    ///
    /// Errors: those of `is_writable`; it is open already; the entry is too long; no room in the queue. In each case
    /// the request is not open and nothing is written.
    #[expect(clippy::needless_pass_by_value, reason = "an entry is used up by being written")]
    pub fn open_request(&self, entry: OpenEntry) -> Result<Opened, JournalError> {
        self.check_bound()?;
        let line = encode_line(Kind::Open, entry.request_id, &entry)?;
        self.0.shared.queue_open(entry.request_id, line)?;
        Ok(Opened::new(&self.0.shared))
    }

    /// Notes how far a request is. Queued, not waited for.
    ///
    /// Errors: as `open_request`, and the request is not open. A lost checkpoint costs precision after a crash and
    /// nothing else, so the caller goes on.
    #[expect(clippy::needless_pass_by_value, reason = "an entry is used up by being written")]
    pub fn checkpoint(&self, entry: CheckpointEntry) -> Result<(), JournalError> {
        self.check_bound()?;
        let line = encode_line(Kind::Checkpoint, entry.request_id, &entry)?;
        self.0.shared.queue_checkpoint(entry.request_id, line)
    }

    /// Writes the request's one record; resolves when it is durable.
    ///
    /// The record is queued before the first await, so it becomes durable even if the future is dropped after
    /// its first poll. A close finds room even when the journal is full: it is bounded by the open requests.
    ///
    /// Errors: [`JournalError::NotOpen`] and [`JournalError::Closing`] for a second close: it is refused, the
    /// first stands. After [`JournalError::DiskFull`] and [`JournalError::TooLong`] the request is still open and
    /// may be closed again; after [`JournalError::Failed`] the next start decides (its record, or `crashed`).
    pub async fn close(&self, record: UsageRecord) -> Result<Journaled, JournalError> {
        let request_id = record.request_id;
        let json = serde_json::to_vec(&record)
            .map_err(|source| JournalError::Encode { request_id, source: Arc::new(source) })?;
        check_length(request_id, json.len() + CloseEncoder::OVERHEAD_BYTES)?;
        let (waiter, answer) = oneshot::channel();
        self.0.shared.queue_close(request_id, json, waiter)?;
        match answer.await {
            Ok(Ok((sequence, hash))) => Ok(Journaled { record, sequence, hash }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(self.end_error()),
        }
    }

    /// Before this instant every record that ended is durable here, as long as clocks do not go back.
    pub fn complete_before(&self, now: Timestamp) -> Timestamp {
        self.0.shared.intake().first_open_at().map_or(now, |first| first.min(now))
    }

    /// The last durable record's sequence; changes wake the shipper.
    pub fn tail(&self) -> watch::Receiver<u64> {
        self.0.shared.tail.subscribe()
    }

    /// Durable records after `sequence`, in order, at most `records_max` and never more than
    /// [`READ_RECORDS_MAX`]. Reads files: call it where blocking is allowed. Reading on where the last read ended,
    /// or once more where it began, needs no search.
    ///
    /// Errors: `sequence` was never reached, or its successor is removed already; damage; the disk.
    pub fn read_after(
        &self,
        sequence: u64,
        records_max: usize,
    ) -> Result<Vec<(JournaledRecord, RecordHash)>, JournalError> {
        self.tail_state().read(&self.0.shared, sequence, records_max)
    }

    /// Takes note that the ledger has all records up to `sequence`: frees the bound and removes segments beyond
    /// the retained ones, but none with an unshipped record or an open request. Removes files: call it where
    /// blocking is allowed. A lower sequence than before changes nothing.
    ///
    /// Call it after opening with the ledger's cursor, too: until then every record counts as unshipped.
    ///
    /// Errors: [`JournalError::Ahead`] when the journal does not have that record: it lost its tail.
    pub fn release_through(&self, sequence: u64) -> Result<(), JournalError> {
        self.tail_state().release(&self.0.shared, self.0.disk.as_ref(), sequence)
    }

    /// Writes what is queued, syncs, stops the writer and gives the folder free.
    ///
    /// Errors: the journal had failed, or fails now.
    pub async fn shutdown(&self) -> Result<(), JournalError> {
        let handle = Arc::clone(&self.0);
        let joined = tokio::task::spawn_blocking(move || handle.end()).await;
        joined.map_err(|_| JournalError::Stopped)?;
        match self.0.shared.intake().health.accepts() {
            Err(JournalError::Stopped) => Ok(()),
            ended => ended,
        }
    }

    /// The journal in numbers, as of now.
    pub fn status(&self) -> JournalStatus {
        let (health, open_requests) = {
            let intake = self.0.shared.intake();
            (intake.health, intake.open_requests())
        };
        let (state, last_error) = match health {
            Health::Good if self.check_bound().is_err() => (JournalState::Full, None),
            Health::Good => (JournalState::Open, None),
            Health::DiskFull => (JournalState::DiskFull, Some(io::ErrorKind::StorageFull)),
            Health::Failed { kind, .. } => (JournalState::Failed, Some(kind)),
            Health::Stopped => (JournalState::Stopped, None),
        };
        let index = self.0.shared.index();
        JournalStatus {
            state,
            unshipped_bytes: index.unshipped_bytes(),
            records: index.chain.last_sequence(),
            released_records: index.released_sequence,
            commits: self.0.shared.commits.load(Ordering::Relaxed),
            open_requests,
            segments: index.segments.len(),
            last_error,
        }
    }

    fn check_bound(&self) -> Result<(), JournalError> {
        let unshipped_bytes = self.0.shared.unshipped_bytes.load(Ordering::Acquire);
        let bytes_max = self.0.shared.config.bytes_max;
        if unshipped_bytes > bytes_max {
            return Err(JournalError::Full { unshipped_bytes, bytes_max });
        }
        Ok(())
    }

    fn tail_state(&self) -> MutexGuard<'_, Tail> {
        self.0.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nobody answered.
    fn end_error(&self) -> JournalError {
        self.0.shared.intake().health.accepts().err().unwrap_or(JournalError::Stopped)
    }
}

impl Handle {
    fn end(&self) {
        self.shared.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A writer that panicked has marked the journal as failed on its way out.
            let _ = thread.join();
        }
        if let Some(lock) = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Closing alone would leave the lock with a child process that is just being started. If this fails,
            // closing it is all that is left to do.
            let _ = lock.unlock();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

fn encode_line<T: Serialize>(kind: Kind, request_id: RequestId, entry: &T) -> Result<Vec<u8>, JournalError> {
    let mut line = Vec::with_capacity(512);
    let pushed = line::push_value(&mut line, kind, entry);
    pushed.map_err(|source| JournalError::Encode { request_id, source: Arc::new(source) })?;
    check_length(request_id, line.len())?;
    Ok(line)
}

fn check_length(request_id: RequestId, bytes: usize) -> Result<(), JournalError> {
    if bytes > LINE_BYTES_MAX { Err(JournalError::TooLong { request_id, bytes }) } else { Ok(()) }
}

/// Which journal a folder holds, without reading its records.
///
/// Errors: the folder is not a journal.
pub fn identity(folder: &Path) -> Result<JournalId, VerifyError> {
    scan::Scan::open(folder).map(|scan| scan.journal_id())
}

/// Checks a journal folder from end to end. Changes nothing, takes no lock, and works while a server runs.
///
/// Errors: the first difference, with file, line and byte offset.
pub fn verify(folder: &Path, progress: impl FnMut(VerifyProgress)) -> Result<VerifyReport, VerifyError> {
    verify::verify(folder, None, progress)
}

/// As [`verify`], and keeps the hash of one record in the report: of the last one that the ledger has, to compare.
///
/// Errors: as [`verify`].
pub fn verify_at(
    folder: &Path,
    sequence: u64,
    progress: impl FnMut(VerifyProgress),
) -> Result<VerifyReport, VerifyError> {
    verify::verify(folder, Some(sequence), progress)
}

/// All closed records of a journal folder, in order, in constant memory: for rebuilding a ledger and for exports.
///
/// Errors: the folder is not a journal. Damage comes as the iterator's last item.
pub fn read_all(folder: &Path) -> Result<ClosedRecords, VerifyError> {
    ClosedRecords::open(folder)
}

/// As [`read_all`], but only the records after `sequence`; whole segments before them are not read.
///
/// Errors: as [`read_all`]; the first of these records is removed already.
pub fn read_after(folder: &Path, sequence: u64) -> Result<ClosedRecords, VerifyError> {
    ClosedRecords::open_after(folder, sequence)
}
