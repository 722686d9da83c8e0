//! What the door and the engine's thread share: arriving jobs, the stop sign, and the status board.
//! Never held while a step runs; every lock is for a few instructions.
//! Pushed to by `Engine::submit`, emptied by `Worker`.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use domain::Tokens;

use crate::{EngineError, EngineStatus, Job, energy::EnergyTotals, forecast::Pace, generation::Outlet};

/// A job on its way to the scheduler.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) job: Job,
    pub(crate) output_tokens_max: u32,
    pub(crate) outlet: Outlet,
    pub(crate) at: Instant,
}

/// What the worker found in the inbox.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) is_stopping: bool,
}

#[derive(Debug, Default)]
struct Board {
    arrivals: Vec<Arrival>,
    is_stopping: bool,
    is_failed: bool,
    running: usize,
    waiting: usize,
    energy: EnergyTotals,
    tokens_total: u64,
    steps_total: u64,
    pace: Pace,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Inbox {
    board: Mutex<Board>,
    arrived: Condvar,
    queue_jobs_max: usize,
}

impl Inbox {
    pub(crate) fn new(queue_jobs_max: usize) -> Self {
        Self { board: Mutex::new(Board::default()), arrived: Condvar::new(), queue_jobs_max }
    }

    /// Errors: stopped, failed, or full.
    pub(crate) fn push(&self, arrival: Arrival) -> Result<(), EngineError> {
        let mut board = self.lock();
        if board.is_failed {
            return Err(EngineError::Failed);
        }
        if board.is_stopping {
            return Err(EngineError::Stopped);
        }
        if board.arrivals.len() + board.waiting >= self.queue_jobs_max {
            return Err(EngineError::QueueFull);
        }
        board.arrivals.push(arrival);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes what has arrived. With a patience, waits that long for something to happen.
    pub(crate) fn take(&self, patience: Option<Duration>) -> Taken {
        let mut board = self.lock();
        if let Some(patience) = patience {
            let is_quiet = |board: &mut Board| board.arrivals.is_empty() && !board.is_stopping;
            let waited = self.arrived.wait_timeout_while(board, patience, is_quiet);
            board = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let arrivals = std::mem::take(&mut board.arrivals);
        // They count as waiting until the worker reports where they went.
        board.waiting += arrivals.len();
        Taken { arrivals, is_stopping: board.is_stopping }
    }

    /// No more jobs; the worker is to end.
    pub(crate) fn stop(&self) {
        self.lock().is_stopping = true;
        self.arrived.notify_one();
    }

    /// No more jobs; the engine is broken.
    pub(crate) fn fail(&self) {
        self.lock().is_failed = true;
    }

    /// The worker is gone; what came too late is dropped and says so itself.
    pub(crate) fn close(&self, is_failed: bool) {
        let mut board = self.lock();
        board.is_stopping = true;
        board.is_failed |= is_failed;
        board.running = 0;
        board.waiting = 0;
        board.arrivals.clear();
    }

    pub(crate) fn report(&self, running: usize, waiting: usize, energy: EnergyTotals) {
        let mut board = self.lock();
        board.running = running;
        board.waiting = waiting;
        board.energy = energy;
    }

    pub(crate) fn count_step(&self, span: Duration) {
        let mut board = self.lock();
        board.steps_total += 1;
        board.pace.stepped(span);
    }

    /// A job ended that had run this long.
    pub(crate) fn count_job(&self, span: Duration) {
        self.lock().pace.ended(span);
    }

    /// What was measured so far, and who runs and waits now.
    pub(crate) fn pace(&self) -> (Pace, usize, usize) {
        let board = self.lock();
        (board.pace, board.running, board.arrivals.len() + board.waiting)
    }

    pub(crate) fn count_token(&self) {
        self.lock().tokens_total += 1;
    }

    pub(crate) fn status(&self) -> EngineStatus {
        let board = self.lock();
        EngineStatus {
            running: board.running,
            queued: board.arrivals.len() + board.waiting,
            is_ready: !board.is_stopping && !board.is_failed,
            is_failed: board.is_failed,
            meter_total: board.energy.meter,
            requests_total: board.energy.requests,
            idle_total: board.energy.idle,
            tokens_total: Tokens::new(board.tokens_total),
            steps_total: board.steps_total,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        // The board is valid after every single store, so a panic elsewhere does not spoil it.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
