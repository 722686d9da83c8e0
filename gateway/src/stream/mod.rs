//! Runs one admitted request to its end: tokens out, measurement, journal, settlement.
//! Never knows HTTP or a dialect: it hands pieces to whoever holds the other end, and their leaving is the client's.
//! Started by the HTTP routes; owns the generation, the meter and the reservation until the record is durable.

mod task;

use std::{sync::Arc, time::Duration};

use billing::journal::{Journal, JournalError};
use bytes::Bytes;
use domain::{Clock, EnergySource};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use crate::dispatch::{Delta, Stop, ToolCallDelta};
use crate::{
    admit::{Admission, Permit},
    dispatch::{Answer, Refusal},
    meter::Meter,
    settle::Settled,
};

/// Pieces that may wait for the client. A client that reads is never this far behind;
/// one that does not is counted as stalled from here on.
const PIECES_MAX: usize = 64;
/// A running request writes what it has used so far this often.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// What a client gets, in order: additions or events, then one end.
#[derive(Debug)]
pub enum Piece {
    /// More of one choice.
    Delta {
        /// Which choice.
        choice: u32,
        /// What is added.
        delta: Delta,
    },
    /// One event of a forwarded stream, as it is sent.
    Event(Bytes),
    /// The end; nothing follows.
    End(Ending),
}

/// How a request ended for the client.
#[derive(Debug)]
pub enum Ending {
    /// The whole answer was delivered and its record is durable.
    Complete {
        /// Why the model stopped, for each choice.
        stops: Vec<Stop>,
        /// What is left to send of a forwarded answer: its last events, or all of one that is no stream.
        held_back: Vec<Bytes>,
        /// The proof, with the record.
        settled: Box<Settled>,
    },
    /// The answer broke off.
    Failed(Failure),
}

/// Why an answer broke off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The engine failed.
    Engine,
    /// No server elsewhere answered, or one broke off.
    Backend(Box<Refusal>),
    /// The request's time was up.
    Deadline,
    /// The process stops and the drain time is over.
    Draining,
    /// The client did not read what was produced for it.
    Unread,
    /// The record could not be made durable.
    Journal,
}

/// What every streaming task shares.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Where records become durable.
    pub journal: Journal,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Knows every running task, so that shutdown can wait for them.
    pub tracker: TaskTracker,
    /// Cancelled when the drain time is over.
    pub stopping: CancellationToken,
}

/// The client's end of a running request. Dropping it is leaving.
#[derive(Debug)]
pub struct Pieces {
    receiver: mpsc::Receiver<Piece>,
    /// Held until the last piece is taken or the client is gone.
    _permit: Permit,
}

impl Pieces {
    /// The next piece; `None` after the end.
    pub async fn next(&mut self) -> Option<Piece> {
        self.receiver.recv().await
    }

    /// The next piece, for hand-written streams.
    pub fn poll_next(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Option<Piece>> {
        self.receiver.poll_recv(context)
    }
}

impl Streams {
    /// Opens the request in the journal and runs it in a task of its own.
    ///
    /// Errors: the journal takes no entry; the answer is ended and nothing was consumed.
    pub fn start(
        &self,
        admission: Admission,
        answer: Answer,
        energy_source: EnergySource,
    ) -> Result<Pieces, JournalError> {
        let plan = Arc::clone(admission.plan());
        let time_max = admission.time_max();
        let Admission { subject, reservation, permit, hold, .. } = admission;
        let opened = self.journal.open_request(subject.open.clone())?;
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        let ends_at = subject.started + time_max + task::LAST_PIECES_MAX;
        let task = task::Task {
            streams: self.clone(),
            opened: Some(opened),
            answer,
            plan,
            hold,
            meter: Meter::new(subject),
            reservation,
            sender,
            energy_source,
            ends_at,
        };
        self.tracker.spawn(task.run());
        Ok(Pieces { receiver, _permit: permit })
    }
}
