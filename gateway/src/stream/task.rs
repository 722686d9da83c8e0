//! The task behind one running request.
//! Never drops a generation before its tally: a client that leaves is billed for what was produced.
//! Spawned by `Streams::start`.

use std::time::{Duration, Instant};

use billing::journal::JournalError;
use domain::{EndReason, EnergySource, Micros, UsageRecord};
use engine::{Event, Finish, Generation, Tally};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{MissedTickBehavior, interval_at},
};

use super::{CHECKPOINT_INTERVAL, Ending, Failure, Piece, Stop, Streams};
use crate::{
    admit::Reservation,
    meter::{EngineCount, Meter},
    settle::{Settled, settle},
};

pub(super) struct Task {
    pub(super) streams: Streams,
    pub(super) generation: Generation,
    pub(super) meter: Meter,
    pub(super) reservation: Reservation,
    pub(super) sender: mpsc::Sender<Piece>,
    pub(super) energy_source: EnergySource,
}

/// A client that takes nothing for this long has left without saying so; its connection may stay open for ever.
const STALL_MAX: Duration = Duration::from_secs(120);

/// How often a record that found the disk full is tried again. There is one such loop for each request that was
/// running when the disk filled up, and new ones are refused.
const CLOSE_RETRY: Duration = Duration::from_secs(1);

/// The client took its end away.
struct ClientGone;

/// Who ended a generation before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interruption {
    ClientGone,
    Draining,
}

impl Task {
    /// Runs to the tally, makes the record durable, and only then lets the end of the answer go.
    pub(super) async fn run(mut self) {
        let (tally, interruption) = self.deliver().await;
        let reason = end_reason(tally.finish, interruption);
        let request_id = self.meter.subject().request_id;
        let count = EngineCount {
            prompt_tokens: tally.prompt_tokens,
            cached_prompt_tokens: tally.cached_prompt_tokens,
            output_tokens: tally.output_tokens,
            energy: tally.energy,
            energy_source: tally.energy_source,
            queue: tally.queue,
        };
        let record = self.meter.finish(count, reason, Instant::now(), self.streams.clock.now());
        let Self { streams, reservation, sender, .. } = self;
        let failed = match streams.journal.close(record.clone()).await {
            Ok(journaled) => {
                let settled = settle(reservation, &journaled);
                log(&settled);
                let ending = ending(tally.finish, interruption, settled);
                // A client that has left, or never reads again, does not get the end.
                sender.send_timeout(Piece::End(ending), STALL_MAX).await.ok();
                return;
            }
            Err(error) => error,
        };
        tracing::error!(request.id = %request_id, error = %failed, "usage record not durable");
        sender.send_timeout(Piece::End(Ending::Failed(Failure::Journal)), STALL_MAX).await.ok();
        drop(sender);
        // The client was told that it failed, so the record must not be billed.
        close_later(&streams, UsageRecord { reason: EndReason::EngineError, ..record }, failed).await;
    }

    /// Hands texts to the client until the engine's tally; cancels when the client leaves.
    async fn deliver(&mut self) -> (Tally, Option<Interruption>) {
        let mut interruption = None;
        let first = tokio::time::Instant::now() + CHECKPOINT_INTERVAL;
        let mut checkpoints = interval_at(first, CHECKPOINT_INTERVAL);
        checkpoints.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                () = self.sender.closed(), if interruption.is_none() => {
                    interruption = Some(Interruption::ClientGone);
                    self.generation.cancel();
                }
                () = self.streams.stopping.cancelled(), if interruption.is_none() => {
                    interruption = Some(Interruption::Draining);
                    self.generation.cancel();
                }
                event = self.generation.next() => match event {
                    Some(Event::Started(_)) => {}
                    Some(Event::Token(token)) => {
                        self.meter.token(Instant::now());
                        if interruption.is_none() && self.hand_over(token.text).await.is_err() {
                            interruption = Some(Interruption::ClientGone);
                            self.generation.cancel();
                        }
                    }
                    Some(Event::Finished(tally)) => {
                        if interruption.is_none() {
                            // The tally has come: a client that left just now changes nothing.
                            self.hand_over(tally.tail.clone()).await.ok();
                        }
                        return (tally, interruption);
                    }
                    None => return (self.lost_tally(), interruption),
                },
                _ = checkpoints.tick() => self.checkpoint(),
            }
        }
    }

    /// Gives a text to the client; the time it does not take it is its own stall.
    ///
    /// Errors: the client is gone, or has not read for [`STALL_MAX`], which is the same.
    async fn hand_over(&mut self, text: String) -> Result<(), ClientGone> {
        if text.is_empty() {
            return Ok(());
        }
        let piece = match self.sender.try_send(Piece::Text(text)) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(ClientGone),
            Err(TrySendError::Full(piece)) => piece,
        };
        let waiting = Instant::now();
        let sent = tokio::select! {
            sent = self.sender.send_timeout(piece, STALL_MAX) => sent.map_err(|_| ClientGone),
            // `deliver` sees this next and cancels; the piece is lost with the answer.
            () = self.streams.stopping.cancelled() => Ok(()),
        };
        self.meter.stalled(Micros::from_duration(waiting.elapsed()));
        sent
    }

    fn checkpoint(&self) {
        let entry = self.meter.checkpoint(self.streams.clock.now(), self.energy_source);
        if let Err(error) = self.streams.journal.checkpoint(entry) {
            tracing::warn!(request.id = %self.meter.subject().request_id, error = %error, "checkpoint not written");
        }
    }

    /// The engine promises a tally for every job; without one, what was delivered is what is known.
    fn lost_tally(&self) -> Tally {
        Tally {
            prompt_tokens: self.meter.subject().prompt_tokens,
            cached_prompt_tokens: domain::Tokens::ZERO,
            output_tokens: self.meter.tokens(),
            finish: Finish::Failed,
            tail: String::new(),
            energy: domain::Millijoules::ZERO,
            energy_source: self.energy_source,
            queue: Micros::ZERO,
        }
    }
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

fn end_reason(finish: Finish, interruption: Option<Interruption>) -> EndReason {
    match (finish, interruption) {
        (Finish::Stop | Finish::Length, _) => EndReason::Completed,
        (Finish::Cancelled, Some(Interruption::ClientGone)) => EndReason::ClientGone,
        (Finish::Deadline, _) => EndReason::Deadline,
        (Finish::Cancelled, Some(Interruption::Draining) | None) | (Finish::Failed, _) => {
            EndReason::EngineError
        }
    }
}

fn ending(finish: Finish, interruption: Option<Interruption>, settled: Settled) -> Ending {
    let stop = match (finish, interruption) {
        (Finish::Stop, _) => Stop::Done,
        (Finish::Length, _) => Stop::Length,
        (Finish::Deadline, _) => return Ending::Failed(Failure::Deadline),
        (Finish::Cancelled, Some(Interruption::Draining)) => return Ending::Failed(Failure::Draining),
        (Finish::Cancelled | Finish::Failed, _) => return Ending::Failed(Failure::Engine),
    };
    Ending::Complete { stop, settled: Box::new(settled) }
}

fn log(settled: &Settled) {
    let record = settled.record();
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
