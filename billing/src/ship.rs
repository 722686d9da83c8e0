//! The shipper: copies records from a journal to the ledger, for as long as the gateway runs.
//! Never on the request path and never ahead of itself: what the ledger has taken is what counts.
//! Started once by the gateway; the ledger being away only makes the journal grow.

use std::{
    error::Error,
    fmt::Debug,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{Clock as _, Fault, JournalId, JournaledRecord, RecordHash, SystemClock};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    journal::{Journal, JournalError, JournalState},
    ledger::{Complete, JournalCursor, Ledger, LedgerError, SHIP_RECORDS_MAX},
};

/// The first wait after a failure; each further one is twice as long.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest wait between tries: an operator who has repaired the database sees records move soon after.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How long records gather before they are shipped: a commit then takes dozens of them, where each would have cost one
/// of its own. Nobody waits for it: what is durable stands in the journal.
const GATHER: Duration = Duration::from_millis(50);
/// How often an idle shipper looks by itself, should a wake-up have been missed.
const IDLE_LOOK: Duration = Duration::from_secs(5);

/// How often the ledger is told up to when all has come; an invoice can be issued this long after its period.
const MARK_INTERVAL: Duration = Duration::from_secs(5);

/// Where records come from: the journal, or a list in tests.
pub trait RecordSource: Send + Sync + 'static {
    /// Why it could not be read.
    type Error: Error + Send + Sync + 'static;

    /// Which journal it is.
    fn journal_id(&self) -> JournalId;

    /// Records after `sequence`, in order, at most `records_max`. May block.
    ///
    /// Errors: what its kind of source can meet.
    fn read_after(
        &self,
        sequence: u64,
        records_max: usize,
    ) -> Result<Vec<(JournaledRecord, RecordHash)>, Self::Error>;

    /// Takes note that the ledger has every record up to `sequence`. May block.
    ///
    /// Errors: what its kind of source can meet.
    fn release_through(&self, sequence: u64) -> Result<(), Self::Error>;

    /// The last sequence; changes when there is more.
    fn tail(&self) -> watch::Receiver<u64>;

    /// How complete it is now.
    fn mark(&self) -> Mark;
}

/// How complete a source was at a moment: the ledger is, too, once it has every record up to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Before which instant every record that ended can be read; for all time, once it stopped.
    pub complete: Complete,
    /// The last of them, or a later one.
    pub through: u64,
}

impl RecordSource for Journal {
    type Error = JournalError;

    fn journal_id(&self) -> JournalId {
        self.id()
    }

    fn read_after(
        &self,
        sequence: u64,
        records_max: usize,
    ) -> Result<Vec<(JournaledRecord, RecordHash)>, JournalError> {
        Self::read_after(self, sequence, records_max)
    }

    fn release_through(&self, sequence: u64) -> Result<(), JournalError> {
        Self::release_through(self, sequence)
    }

    fn tail(&self) -> watch::Receiver<u64> {
        Self::tail(self)
    }

    fn mark(&self) -> Mark {
        // Asked first: whatever was closed by then has its place by the time that the last one is asked for.
        let before = self.complete_before(SystemClock.now());
        let status = self.status();
        let complete = match (status.state, status.open_requests) {
            (JournalState::Stopped, 0) => Complete::ForGood,
            // What failed may have kept a record to itself until the next start.
            (JournalState::Failed, _) => Complete::Unknown,
            _ => Complete::Before(before),
        };
        Mark { complete, through: status.records }
    }
}

/// Hears of records that the ledger has: of each at least once, of some again after a restart.
///
/// It answers for its own failures: shipping goes on whatever becomes of them.
pub trait ShipObserver: Debug + Send + Sync + 'static {
    /// The ledger has these records now, or had them before.
    fn shipped<'a>(
        &'a self,
        batch: &'a [(JournaledRecord, RecordHash)],
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// How shipping goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShipStatus {
    /// The last record the ledger has. `None`: not known yet.
    pub shipped_through: Option<u64>,
    /// Tries that failed since one last succeeded.
    pub failures: u32,
    /// What kind of failure the last try met.
    pub fault: Option<Fault>,
}

/// Why a try failed.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The ledger refused or was away.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The journal could not be read.
    #[error("the journal cannot be read: {0}")]
    Source(Box<dyn Error + Send + Sync>),
    /// The reading task was lost.
    #[error("the task that reads the journal ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl ShipError {
    /// Which kind of failure this is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Ledger(error) => error.fault(),
            Self::Source(_) | Self::Task(_) => Fault::Broken,
        }
    }
}

/// Copies records until it is told to stop.
#[derive(Debug)]
pub struct Shipper<S> {
    ledger: Ledger,
    source: Arc<S>,
    status: watch::Sender<ShipStatus>,
    observer: Option<Arc<dyn ShipObserver>>,
    /// Whether the observer has heard of the last records that were shipped before this start.
    is_repeated: AtomicBool,
}

impl<S: RecordSource> Shipper<S> {
    /// A shipper from this source to this ledger.
    pub fn new(ledger: Ledger, source: S) -> Self {
        Self {
            ledger,
            source: Arc::new(source),
            status: watch::Sender::new(ShipStatus::default()),
            observer: None,
            is_repeated: AtomicBool::new(false),
        }
    }

    /// The same, and this observer hears of every batch.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn ShipObserver>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// How shipping goes; changes with every try.
    pub fn status(&self) -> watch::Receiver<ShipStatus> {
        self.status.subscribe()
    }

    /// Ships until `stop`, then ships what is left and ends. A failure after `stop` ends it too: what is
    /// left stays in the journal and is shipped at the next start.
    ///
    /// Failures before are tried again for ever, at most every ten seconds: the journal has its own bound.
    pub async fn run(self, stop: CancellationToken) {
        let mut tail = self.source.tail();
        let mut retry = RETRY_MIN;
        let mut marked: Option<Instant> = None;
        loop {
            // Seen before reading: a record that comes during the read wakes us again.
            let seen = *tail.borrow_and_update();
            // Asked before reading: a record that comes between the last read and the stop is still shipped.
            let is_last = stop.is_cancelled();
            let is_due = is_last || marked.is_none_or(|marked| marked.elapsed() >= MARK_INTERVAL);
            let mark = is_due.then(|| self.source.mark());
            match self.ship_and_mark(seen, mark).await {
                Ok(()) if is_last => return,
                Ok(()) => {
                    retry = RETRY_MIN;
                    marked = if is_due { Some(Instant::now()) } else { marked };
                    idle(&mut tail, &stop).await;
                    // Told to stop, it ships what there is at once.
                    tokio::time::timeout(GATHER, stop.cancelled()).await.ok();
                }
                Err(error) => {
                    self.note_failure(&error);
                    if is_last {
                        return;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(retry) => retry = (retry * 2).min(RETRY_MAX),
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
    }

    /// Ships what was there, then tells the ledger how complete the journal is: what was so before it was read.
    ///
    /// It does not wait for a source that never runs dry: then nothing would ever be said.
    async fn ship_and_mark(&self, seen: u64, mark: Option<Mark>) -> Result<(), ShipError> {
        self.ship_through(mark.map_or(seen, |mark| mark.through.max(seen))).await?;
        if let Some(mark) = mark {
            self.ledger.note_complete(self.source.journal_id(), mark.complete).await?;
        }
        Ok(())
    }

    /// Ships everything the source has now and says through which record.
    ///
    /// Errors: the first failure; what was shipped before it stays shipped.
    pub async fn ship_all(&self) -> Result<u64, ShipError> {
        self.ship_through(u64::MAX).await
    }

    /// Ships until the ledger has this record, or the source has no more.
    async fn ship_through(&self, through: u64) -> Result<u64, ShipError> {
        let journal_id = self.source.journal_id();
        let JournalCursor { sequence: mut shipped, .. } = self.ledger.journal_cursor(journal_id).await?;
        self.repeat(shipped).await;
        self.release(shipped).await?;
        loop {
            let batch = self.read_after(shipped, SHIP_RECORDS_MAX).await?;
            let Some((last, _)) = batch.last() else {
                self.note_success(shipped);
                return Ok(shipped);
            };
            let last = last.sequence;
            self.ledger.ship(journal_id, &batch).await?;
            if let Some(observer) = &self.observer {
                observer.shipped(&batch).await;
            }
            shipped = last;
            self.release(shipped).await?;
            self.note_success(shipped);
            if shipped >= through {
                return Ok(shipped);
            }
        }
    }

    async fn read_after(
        &self,
        sequence: u64,
        records_max: usize,
    ) -> Result<Vec<(JournaledRecord, RecordHash)>, ShipError> {
        let source = Arc::clone(&self.source);
        let read = tokio::task::spawn_blocking(move || source.read_after(sequence, records_max));
        read.await?.map_err(|error| ShipError::Source(Box::new(error)))
    }

    /// Tells the observer once of the last batch before this start: the process may have died between shipping it
    /// and telling. Older batches were told of before the next one was shipped.
    async fn repeat(&self, shipped: u64) {
        let Some(observer) = &self.observer else { return };
        if self.is_repeated.swap(true, Ordering::Relaxed) || shipped == 0 {
            return;
        }
        let mut told = shipped.saturating_sub(u64::try_from(SHIP_RECORDS_MAX).unwrap_or(u64::MAX));
        while told < shipped {
            let mut records = match self.read_after(told, SHIP_RECORDS_MAX).await {
                Ok(records) => records,
                // Segments that were shipped may be gone; what they held has ended its time by itself.
                Err(error) => {
                    tracing::info!(error = %error, "the last shipped records were not told of again");
                    return;
                }
            };
            records.retain(|(journaled, _)| journaled.sequence <= shipped);
            let Some((last, _)) = records.last() else { return };
            told = last.sequence;
            observer.shipped(&records).await;
        }
    }

    /// Effect first, then the mark: the source may forget only what the ledger has.
    async fn release(&self, sequence: u64) -> Result<(), ShipError> {
        if sequence == 0 {
            return Ok(());
        }
        let source = Arc::clone(&self.source);
        let released = tokio::task::spawn_blocking(move || source.release_through(sequence)).await?;
        released.map_err(|error| ShipError::Source(Box::new(error)))
    }

    fn note_success(&self, shipped: u64) {
        self.status.send_replace(ShipStatus { shipped_through: Some(shipped), failures: 0, fault: None });
    }

    fn note_failure(&self, error: &ShipError) {
        let mut failures = 0;
        self.status.send_modify(|status| {
            status.failures = status.failures.saturating_add(1);
            status.fault = Some(error.fault());
            failures = status.failures;
        });
        tracing::error!(
            journal.id = %self.source.journal_id(), error = %error, failures,
            "usage records wait in the journal: shipping to the ledger failed"
        );
    }
}

/// Waits for more records, for the end, or a little while.
async fn idle(tail: &mut watch::Receiver<u64>, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(IDLE_LOOK) => {}
        // A closed source has no more to say: the other two arms go on.
        Ok(()) = tail.changed() => {}
    }
}
