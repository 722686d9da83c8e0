//! The task behind one running request.
//! Never drops an answer before its tally: a client that leaves is billed for what was produced.
//! Spawned by `Streams::start`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use billing::{
    journal::{JournalError, Opened},
    plan::Plan,
    rate::{ChargedTokens, charge_nanos},
};
use domain::{EndReason, EnergySource, Micros, Nanos, UsageRecord};
use tokio::{
    sync::mpsc::{
        self,
        error::{SendTimeoutError, TrySendError},
    },
    task::yield_now,
    time::{MissedTickBehavior, interval_at, sleep_until},
};

use super::{CHECKPOINT_INTERVAL, Ending, Failure, Piece, Stop, Streams};
use crate::{
    admit::Reservation,
    dispatch::{Answer, Content, Delta, Event, Finish, Tally},
    meter::Meter,
    settle::settle,
};

pub(super) struct Task {
    pub(super) streams: Streams,
    /// The journal's writer still sleeps: it is woken once the request has left.
    pub(super) opened: Option<Opened>,
    pub(super) answer: Answer,
    /// What prices the request.
    pub(super) plan: Arc<Plan>,
    /// What is held for it.
    pub(super) hold: Nanos,
    pub(super) meter: Meter,
    pub(super) reservation: Reservation,
    pub(super) sender: mpsc::Sender<Piece>,
    pub(super) energy_source: EnergySource,
    /// When the request's time is over, reading included.
    pub(super) ends_at: Instant,
}

/// A client that takes nothing for this long has left without saying so; its connection may stay open for ever.
const STALL_MAX: Duration = Duration::from_secs(120);

/// What an answer may take beyond the request's own time: the engine ends it by itself, then its last pieces are read.
pub(super) const LAST_PIECES_MAX: Duration = Duration::from_secs(5);

/// How long the end of an answer waits for a client that has not read what came before.
const UNREAD_END_MAX: Duration = Duration::from_secs(1);

/// How often a record that found the disk full is tried again. There is one such loop for each request that was
/// running when the disk filled up, and new ones are refused.
const CLOSE_RETRY: Duration = Duration::from_secs(1);

/// Who ended an answer before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interruption {
    /// The client took its end away.
    ClientGone,
    /// The client is there and does not read, or reads slower than its request may last.
    Unread,
    /// The process stops and the drain time is over.
    Draining,
}

/// How far an answer came.
struct Delivery {
    tally: Box<Tally>,
    interruption: Option<Interruption>,
    /// Whether something was produced that the client was not given.
    is_cut: bool,
}

impl Task {
    /// Runs to the tally, makes the record durable, and only then lets the end of the answer go.
    pub(super) async fn run(mut self) {
        let delivery = self.deliver().await;
        if let Some(backend) = &delivery.tally.backend {
            self.meter.served_by(backend);
        }
        let (reason, outcome) = delivery.outcome();
        let Delivery { tally, interruption, .. } = delivery;
        let request_id = self.meter.subject().open.request_id;
        let record = self.meter.finish(&tally, reason, Instant::now(), self.streams.clock.now());
        let record = UsageRecord { charge: charge(&self.plan, &record), ..record };
        if record.charge > self.hold {
            // Every target is bounded by what was admitted, so this is a defect of ours; caps count the charge.
            tracing::error!(request.id = %request_id, charge_nanos = record.charge.get(),
                hold_nanos = self.hold.get(), "a request's charge is above what was held for it");
        }
        let Self { streams, reservation, sender, .. } = self;
        // A client that has left, or never reads again, does not get the end.
        let patience = if interruption.is_none() { STALL_MAX } else { UNREAD_END_MAX };
        let failed = match streams.journal.close(record.clone()).await {
            Ok(journaled) => {
                let settled = settle(reservation, journaled).await;
                let ending = match outcome {
                    Ok(stops) => {
                        Ending::Complete { stops, held_back: tally.held_back, settled: Box::new(settled) }
                    }
                    Err(failure) => Ending::Failed(failure),
                };
                sender.send_timeout(Piece::End(ending), patience).await.ok();
                // The connection goes first: its client waits, and nobody waits for the log.
                yield_now().await;
                log(&record);
                return;
            }
            Err(error) => error,
        };
        tracing::error!(request.id = %request_id, error = %failed, "usage record not durable");
        sender.send_timeout(Piece::End(Ending::Failed(Failure::Journal)), patience).await.ok();
        drop(sender);
        // The client was told that it failed, so the record must not be billed.
        let unbilled = UsageRecord { reason: EndReason::EngineError, charge: Nanos::ZERO, ..record };
        close_later(&streams, unbilled, failed).await;
    }

    /// Hands pieces to the client until the target's tally; cancels when the client leaves.
    async fn deliver(&mut self) -> Delivery {
        let (mut interruption, mut is_cut) = (None, false);
        let first = tokio::time::Instant::now() + CHECKPOINT_INTERVAL;
        let mut checkpoints = interval_at(first, CHECKPOINT_INTERVAL);
        checkpoints.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut is_first = true;
        loop {
            let is_read = interruption.is_none();
            let interrupted = tokio::select! {
                biased;
                () = self.sender.closed(), if is_read => Some(Interruption::ClientGone),
                () = self.streams.stopping.cancelled(), if is_read => Some(Interruption::Draining),
                () = sleep_until(self.ends_at.into()), if is_read => Some(Interruption::Unread),
                _ = checkpoints.tick() => {
                    self.checkpoint();
                    None
                }
                event = self.answer.next() => {
                    let (pieces, tally) = self.measure(event);
                    let (mut refused, mut is_given) = (None, false);
                    for piece in pieces {
                        is_given = true;
                        match is_read && refused.is_none() {
                            true => refused = self.hand_over(piece).await.err(),
                            false => is_cut = true,
                        }
                    }
                    is_cut |= refused.is_some();
                    if let Some(tally) = tally {
                        return Delivery { tally, interruption: interruption.or(refused), is_cut };
                    }
                    if is_first && is_given {
                        // What came with it waits until the connection has sent it.
                        is_first = false;
                        one_turn().await;
                    }
                    refused
                }
                // The turn comes back when the request has left this thread.
                () = yield_now(), if self.opened.is_some() => {
                    self.opened = None;
                    None
                }
            };
            if interrupted.is_some() {
                interruption = interrupted;
                self.answer.cancel();
            }
        }
    }

    /// Counts what the target says; gives what the client is to get of it, and the tally when it was the last.
    fn measure(&mut self, event: Option<Event>) -> (Pieces, Option<Box<Tally>>) {
        match event {
            Some(Event::Started) => (Pieces::None, None),
            Some(Event::Part(part)) => {
                self.meter.tokens_came(part.tokens, part.at, Instant::now());
                (Pieces::of(part.content), None)
            }
            Some(Event::Finished(mut tally)) => {
                let tails = std::mem::take(&mut tally.tails);
                (Pieces::Tails(tails.into_iter()), Some(tally))
            }
            None => (Pieces::None, Some(Box::new(self.lost_tally()))),
        }
    }

    /// Gives a piece to the client; the time it does not take it is its own stall.
    ///
    /// Errors: why the client was not given it.
    async fn hand_over(&mut self, piece: Piece) -> Result<(), Interruption> {
        let piece = match self.sender.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Interruption::ClientGone),
            Err(TrySendError::Full(piece)) => piece,
        };
        let waiting = Instant::now();
        let patience = STALL_MAX.min(self.ends_at.saturating_duration_since(waiting));
        let sent = tokio::select! {
            sent = self.sender.send_timeout(piece, patience) => sent.map_err(|error| match error {
                SendTimeoutError::Closed(_) => Interruption::ClientGone,
                SendTimeoutError::Timeout(_) => Interruption::Unread,
            }),
            () = self.streams.stopping.cancelled() => Err(Interruption::Draining),
        };
        self.meter.stalled(waiting, Instant::now());
        sent
    }

    fn checkpoint(&self) {
        let entry = self.meter.checkpoint(self.streams.clock.now(), self.energy_source);
        if let Err(error) = self.streams.journal.checkpoint(entry) {
            tracing::warn!(request.id = %self.meter.subject().open.request_id, error = %error, "checkpoint not written");
        }
    }

    /// Every target promises a tally; without one, what was delivered is what is known.
    fn lost_tally(&self) -> Tally {
        Tally {
            prompt_tokens: self.meter.subject().open.prompt_tokens,
            output_tokens: self.meter.tokens(),
            energy_source: self.energy_source,
            ..Tally::nothing(Finish::Failed)
        }
    }
}

/// Lets everything else on this thread have its turn, whatever wakes this task meanwhile.
async fn one_turn() {
    tokio::spawn(yield_now()).await.ok();
}

/// A full disk may have room again: the request still needs its one record. Ends at the latest when the process
/// stops; then the next start writes the record, with reason `crashed`.
async fn close_later(streams: &Streams, record: UsageRecord, mut failed: JournalError) {
    while matches!(failed, JournalError::DiskFull) {
        tokio::select! {
            () = streams.stopping.cancelled() => return,
            () = tokio::time::sleep(CLOSE_RETRY) => {}
        }
        failed = match streams.journal.close(record.clone()).await {
            Ok(_) => return,
            Err(error) => error,
        };
    }
}

impl Delivery {
    /// Why the request ended, and what the client is told.
    ///
    /// An answer is complete only when the client was given all of it.
    fn outcome(&self) -> (EndReason, Result<Vec<Stop>, Failure>) {
        match (&self.tally.finish, self.interruption) {
            (Finish::Stopped(stops), _) if !self.is_cut => (EndReason::Completed, Ok(stops.clone())),
            (Finish::Deadline, _) => (EndReason::Deadline, Err(Failure::Deadline)),
            (Finish::Failed, _) | (Finish::Stopped(_) | Finish::Cancelled, None) => {
                let failure = match &self.tally.refusal {
                    Some(refusal) => Failure::Backend(refusal.clone()),
                    None => Failure::Engine,
                };
                (EndReason::EngineError, Err(failure))
            }
            (_, Some(Interruption::ClientGone | Interruption::Unread)) => {
                (EndReason::ClientGone, Err(Failure::Unread))
            }
            (_, Some(Interruption::Draining)) => (EndReason::EngineError, Err(Failure::Draining)),
        }
    }
}

/// What caps count for a record.
fn charge(plan: &Plan, record: &UsageRecord) -> Nanos {
    let tokens = ChargedTokens {
        prompt: record.prompt_tokens,
        cached_prompt: record.cached_prompt_tokens,
        output: record.output_tokens,
        reasoning: record.reasoning_tokens,
        embeddings: record.embeddings_tokens,
    };
    charge_nanos(plan, (&record.model, record.slo.class), record.reason, tokens).unwrap_or_else(|error| {
        // Admission found a price and a bound for more than this, so only a defect of ours leads here.
        tracing::error!(request.id = %record.request_id, error = %error, "a request's charge is not known");
        Nanos::ZERO
    })
}

/// What one event brings the client: usually one piece, at the end the tails of the choices.
enum Pieces {
    None,
    One(Piece),
    Tails(std::vec::IntoIter<(u32, String)>),
}

impl Pieces {
    fn of(content: Content) -> Self {
        match content {
            Content::Nothing => Self::None,
            Content::Delta { choice, delta } => Self::One(Piece::Delta { choice, delta }),
            Content::Event(bytes) => Self::One(Piece::Event(bytes)),
        }
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        match std::mem::replace(self, Self::None) {
            Self::None => None,
            Self::One(piece) => Some(piece),
            Self::Tails(mut tails) => {
                let (choice, text) = tails.next()?;
                *self = Self::Tails(tails);
                Some(Piece::Delta { choice, delta: Delta::Text(text) })
            }
        }
    }
}

fn log(record: &UsageRecord) {
    tracing::info!(
        request.id = %record.request_id,
        tenant.id = %record.tenant_id,
        key.id = %record.key_id,
        model = %record.model,
        reason = record.reason.as_str(),
        prompt_tokens = record.prompt_tokens.get(),
        output_tokens = record.output_tokens.get(),
        ttft_us = record.ttft.map(Micros::get),
        tpot_us = record.tpot.map(Micros::get),
        slo_met = record.slo_met,
        energy_mj = record.energy.get(),
        "request ended"
    );
}
