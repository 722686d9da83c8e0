//! Requests that must not run twice: the door to the ledger's rows of Idempotency-Keys.
//! Never knows HTTP, and never asks the ledger for a request that has no such key.
//! Asked by `http::idempotency`; its keeper runs beside requests, from the start to the end of the process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use billing::{
    ledger::{Claim, Claimed, IdempotencyKey, Ledger, LedgerError, Outcome},
    ship::ShipStatus,
};
use domain::{Clock, JournalId, RequestId, Timestamp};
use tokio::{runtime::Handle, sync::Semaphore, sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// Claims that may wait for the ledger at once; some milliseconds each. Beyond it, refusing is kinder.
const CLAIMS_MAX: usize = 256;
/// How long a claim may take before the ledger counts as away.
const CLAIM_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long an answer waits for its outcome to be kept; it goes on being tried behind it.
const KEEP_WAIT_MAX: Duration = Duration::from_secs(2);
/// The first wait before an outcome is tried again, and the longest; each is twice the one before.
const KEEP_RETRY_MIN: Duration = Duration::from_millis(100);
const KEEP_RETRY_MAX: Duration = Duration::from_secs(10);
/// Tries to keep an outcome: about ten minutes. Later only the next start says what came of the request.
const KEEP_TRIES_MAX: u32 = 64;
/// What a request may take beyond its longest life: its last pieces are read, its record is written.
const RUNNING_MARGIN: Duration = Duration::from_secs(60);
/// How often expired rows are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// How this process claims and keeps. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Idempotency(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ledger: Ledger,
    /// Where the ledger's connections live; requests are served by other threads, which come and go.
    runtime: Handle,
    clock: Arc<dyn Clock>,
    journal_id: JournalId,
    boot_id: Uuid,
    claims: Semaphore,
    /// Outcomes being kept, so that a stopping process can wait for them.
    tracker: TaskTracker,
    stopping: CancellationToken,
}

/// What the door is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where the rows are.
    pub ledger: Ledger,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The journal of this process.
    pub journal_id: JournalId,
    /// Waited for when stopping.
    pub tracker: TaskTracker,
    /// Cancelled when the process stops.
    pub stopping: CancellationToken,
}

/// How long a claim holds, as it is configured when the claim is made.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// How long a key is remembered.
    pub kept_for: Duration,
    /// Longest life of a request.
    pub request_time_max: Duration,
}

/// What stands under a key.
#[derive(Debug)]
pub enum Found {
    /// Nothing: this request runs, and says what came of it.
    Mine(Attempt),
    /// Something else was asked under it.
    Conflict,
    /// The first request still runs.
    Running,
    /// The gateway that ran the first request has to start again before anyone can know.
    Unresolved,
    /// The first request ended.
    Ended {
        /// Its id.
        request_id: RequestId,
        /// What came of it.
        outcome: Outcome,
    },
}

/// The ledger cannot be asked, so no promise can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("idempotency keys cannot be checked at the moment")]
pub struct Unavailable;

/// The request that holds a key. Dropped before it was ended, its client has left: then what came of it is that,
/// or nothing when it had not begun to run.
#[must_use = "end it, or its key tells that the client left"]
#[derive(Debug)]
pub struct Attempt {
    door: Idempotency,
    key: IdempotencyKey,
    request_id: RequestId,
    has_started: Started,
    is_ended: bool,
}

/// Set once a request has begun to run: from then on it has a usage record.
#[derive(Clone, Debug, Default)]
pub struct Started(Arc<AtomicBool>);

impl Started {
    /// The request runs.
    pub fn note(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_noted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Idempotency {
    /// Made once, inside the runtime in which the ledger was opened.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared {
            ledger: parts.ledger,
            runtime: Handle::current(),
            clock: parts.clock,
            journal_id: parts.journal_id,
            boot_id: Uuid::new_v4(),
            claims: Semaphore::new(CLAIMS_MAX),
            tracker: parts.tracker,
            stopping: parts.stopping,
        }))
    }

    /// Claims a key for a request, or says what stands under it.
    ///
    /// Errors: the ledger is away, slow or busy; the request must not run.
    pub async fn claim(
        &self,
        key: IdempotencyKey,
        asked_hash: [u8; 32],
        request_id: RequestId,
        spans: Spans,
    ) -> Result<Found, Unavailable> {
        let Ok(_place) = self.0.claims.try_acquire() else { return Err(Unavailable) };
        let door = self.clone();
        // A task of its own: when the client leaves while it waits, what was claimed is given back all the same.
        let claim = async move { door.claim_here(key, asked_hash, request_id, spans).await };
        let claimed = self.0.runtime.spawn(claim);
        claimed.await.unwrap_or(Err(Unavailable))
    }

    async fn claim_here(
        &self,
        key: IdempotencyKey,
        asked_hash: [u8; 32],
        request_id: RequestId,
        spans: Spans,
    ) -> Result<Found, Unavailable> {
        let now = self.0.clock.now();
        let claim = Claim {
            key,
            asked_hash,
            request_id,
            journal_id: self.0.journal_id,
            boot_id: self.0.boot_id,
            now,
            running_until: after(now, spans.request_time_max.saturating_add(RUNNING_MARGIN)),
            expires_at: after(now, spans.kept_for),
        };
        let attempt =
            Attempt { door: self.clone(), key, request_id, has_started: Started::default(), is_ended: false };
        let claimed = match timeout(CLAIM_WAIT_MAX, self.0.ledger.claim_idempotency(&claim)).await {
            Ok(Ok(claimed)) => claimed,
            // It may have been made: the attempt, dropped here, gives it back.
            Ok(Err(error)) => {
                tracing::warn!(request.id = %request_id, error = %error, "idempotency key not claimed");
                return Err(Unavailable);
            }
            Err(_) => {
                tracing::warn!(request.id = %request_id, "idempotency key not claimed in time");
                return Err(Unavailable);
            }
        };
        let found = match claimed {
            Claimed::Mine => return Ok(Found::Mine(attempt)),
            Claimed::Conflict => Found::Conflict,
            Claimed::Running => Found::Running,
            Claimed::Unresolved => Found::Unresolved,
            Claimed::Ended { request_id, outcome } => Found::Ended { request_id, outcome },
        };
        attempt.forget();
        Ok(found)
    }

    /// Writes what came of a request, `None` meaning that it was refused; again and again while the ledger is away.
    async fn keep(self, key: IdempotencyKey, request_id: RequestId, outcome: Option<Outcome>) {
        let mut wait = KEEP_RETRY_MIN;
        for _ in 0..KEEP_TRIES_MAX {
            let Err(error) = self.try_keep(key, request_id, outcome.as_ref()).await else { return };
            tracing::warn!(request.id = %request_id, error = %error, "outcome of an idempotency key not kept yet");
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(KEEP_RETRY_MAX),
                () = self.0.stopping.cancelled() => break,
            }
        }
        tracing::error!(request.id = %request_id, "outcome of an idempotency key not kept: repeats are refused");
    }

    async fn try_keep(
        &self,
        key: IdempotencyKey,
        request_id: RequestId,
        outcome: Option<&Outcome>,
    ) -> Result<(), LedgerError> {
        match outcome {
            Some(outcome) => self.0.ledger.store_outcome(key, request_id, outcome).await,
            None => self.0.ledger.free_idempotency(key, request_id).await,
        }
    }

    /// Says what came of the requests of this gateway's earlier lives, once its journal's records are in the ledger;
    /// then removes what has expired, until the process stops.
    pub async fn tend(self, mut shipping: watch::Receiver<ShipStatus>, recovered_through: u64) {
        let stopping = self.0.stopping.clone();
        let is_shipped =
            |status: &ShipStatus| status.shipped_through.is_some_and(|through| through >= recovered_through);
        tokio::select! {
            () = stopping.cancelled() => return,
            // A shipper that has ended says nothing more: without its word nothing is resolved.
            shipped = shipping.wait_for(is_shipped) => if shipped.is_err() { return },
        }
        let mut is_resolved = false;
        loop {
            let outcome = self.tend_once(&mut is_resolved).await;
            let wait = if outcome.is_ok() { SWEEP_INTERVAL } else { KEEP_RETRY_MAX };
            if let Err(error) = outcome {
                tracing::warn!(error = %error, "idempotency keys not tended");
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn tend_once(&self, is_resolved: &mut bool) -> Result<(), LedgerError> {
        if !*is_resolved {
            self.0.ledger.resolve_idempotency(self.0.journal_id, self.0.boot_id).await?;
            *is_resolved = true;
        }
        let full = u64::from(billing::ledger::EXPIRED_ROWS_MAX);
        while self.0.ledger.remove_expired_idempotency(self.0.clock.now()).await? == full {
            // Others write between two batches.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

impl Attempt {
    /// What the request notes when it begins to run.
    pub fn started(&self) -> Started {
        self.has_started.clone()
    }

    /// Whether it has begun to run.
    pub fn has_started(&self) -> bool {
        self.has_started.is_noted()
    }

    /// Keeps what came of it. Waits a little for the ledger; if it is away, it is tried on behind the answer.
    pub async fn end(mut self, outcome: Outcome) {
        self.close(Some(outcome)).await;
    }

    /// Gives the key back: the request was refused.
    pub async fn refuse(mut self) {
        self.close(None).await;
    }

    async fn close(&mut self, outcome: Option<Outcome>) {
        let Some(kept) = self.begin_close(outcome) else { return };
        // Late: it goes on by itself.
        timeout(KEEP_WAIT_MAX, kept).await.ok();
    }

    /// Begins to write, once; the task goes on whether it is waited for or not.
    fn begin_close(&mut self, outcome: Option<Outcome>) -> Option<tokio::task::JoinHandle<()>> {
        if std::mem::replace(&mut self.is_ended, true) {
            return None;
        }
        let door = self.door.clone();
        let kept = door.0.tracker.track_future(self.door.clone().keep(self.key, self.request_id, outcome));
        Some(door.0.runtime.spawn(kept))
    }

    /// Holds nothing: another request has the key.
    fn forget(mut self) {
        self.is_ended = true;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let outcome = self.has_started().then_some(Outcome::ClientGone);
        drop(self.begin_close(outcome));
    }
}

fn after(now: Timestamp, span: Duration) -> Timestamp {
    let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(now.unix_micros().saturating_add(micros))
}
