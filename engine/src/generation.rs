//! The two ends of one job's answer: `Generation` for the caller, `Outlet` for the engine's thread.
//! Never blocks the engine: the channel has room for every event the job can cause.
//! Made by `Engine::submit`; each accepted job ends in exactly one `Event::Finished`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use domain::{EnergySource, Micros, Millijoules, Tokens};
use tokio::sync::mpsc;

/// Events beside the tokens: one `Started`, one `Finished`.
const EVENTS_BESIDE_TOKENS: usize = 2;

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It was scheduled for the first time. Absent when it ended in the queue.
    Started(Started),
    /// One output token was produced.
    Token(Token),
    /// It ended; nothing follows.
    Finished(Tally),
}

/// What is known when a job is first scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// Tokens of the prompt.
    pub prompt_tokens: Tokens,
    /// Those of them that need not be computed.
    pub cached_prompt_tokens: Tokens,
    /// Time since submission.
    pub queue: Micros,
}

/// One counted output token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id in the model's vocabulary.
    pub id: u32,
    /// Text that became certain with it. May be empty: half a character, or text that may yet become a stop string.
    pub text: String,
    /// When the engine produced it; waiting for whoever reads the generation is not counted.
    pub at: Instant,
}

/// What a job used and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Tokens of the prompt; zero when the job ended before it was first scheduled.
    pub prompt_tokens: Tokens,
    /// Those of them that were not computed.
    pub cached_prompt_tokens: Tokens,
    /// Tokens produced: as many as there were `Event::Token`s.
    pub output_tokens: Tokens,
    /// Why it ended.
    pub finish: Finish,
    /// Text that was held back and still belongs to the answer.
    pub tail: String,
    /// The stop string that ended it.
    pub stop_text: Option<String>,
    /// The job's share of the device's energy.
    pub energy: Millijoules,
    /// Where the energy figure comes from.
    pub energy_source: EnergySource,
    /// Time between submission and the first step, or the end when there was none.
    pub queue: Micros,
}

/// Why a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended its answer, or a stop string came.
    Stop,
    /// The most output tokens were produced, or the context is full.
    Length,
    /// The caller cancelled or left, or the engine was shut down.
    Cancelled,
    /// The job's deadline passed.
    Deadline,
    /// A step failed.
    Failed,
}

/// A running job, as its submitter sees it. Dropping it cancels the job.
#[derive(Debug)]
pub struct Generation {
    events: mpsc::Receiver<Event>,
    cancel: Arc<AtomicBool>,
}

impl Generation {
    /// The next event; `None` after `Finished`.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The next event, for hand-written streams and for watching several generations at once.
    pub fn poll_next(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Option<Event>> {
        self.events.poll_recv(context)
    }

    /// The next event, waiting on this thread. Not for use inside an async runtime.
    pub fn next_blocking(&mut self) -> Option<Event> {
        self.events.blocking_recv()
    }

    /// Ends the job within one step. Its `Finished` still comes.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::Release);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// How a job ended, as far as its outlet has not counted it.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) finish: Finish,
    pub(crate) tail: String,
    pub(crate) stop_text: Option<String>,
    pub(crate) energy: Millijoules,
    /// Replaces the queue time of a job that never started.
    pub(crate) queue: Micros,
}

/// The engine's end of a generation. Says `Finished` exactly once, at the latest when it is dropped.
#[derive(Debug)]
pub(crate) struct Outlet {
    events: mpsc::Sender<Event>,
    cancel: Arc<AtomicBool>,
    /// What is said when the job is dropped unfinished; `None` once `Finished` was sent.
    last_words: Option<Tally>,
}

impl Outlet {
    /// Both ends of the answer to a job of at most `output_tokens_max` tokens.
    pub(crate) fn open(output_tokens_max: u32, energy_source: EnergySource) -> (Self, Generation) {
        // One event per token, plus two: no send can find the channel full, so the engine never waits.
        let tokens = usize::try_from(output_tokens_max).unwrap_or(usize::MAX - EVENTS_BESIDE_TOKENS);
        let room = tokens.saturating_add(EVENTS_BESIDE_TOKENS).min(tokio::sync::Semaphore::MAX_PERMITS);
        let (sender, receiver) = mpsc::channel(room);
        let cancel = Arc::new(AtomicBool::new(false));
        let generation = Generation { events: receiver, cancel: Arc::clone(&cancel) };
        let last_words = Some(Tally {
            prompt_tokens: Tokens::ZERO,
            cached_prompt_tokens: Tokens::ZERO,
            output_tokens: Tokens::ZERO,
            finish: Finish::Failed,
            tail: String::new(),
            stop_text: None,
            energy: Millijoules::ZERO,
            energy_source,
            queue: Micros::ZERO,
        });
        (Self { events: sender, cancel, last_words }, generation)
    }

    /// The caller wants no more of it.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Acquire)
    }

    pub(crate) fn started(&mut self, started: Started) {
        if let Some(tally) = &mut self.last_words {
            tally.prompt_tokens = started.prompt_tokens;
            tally.cached_prompt_tokens = started.cached_prompt_tokens;
            tally.queue = started.queue;
        }
        self.send(Event::Started(started));
    }

    pub(crate) fn token(&mut self, token: Token) {
        if let Some(tally) = &mut self.last_words {
            tally.output_tokens = Tokens::new(tally.output_tokens.get().saturating_add(1));
        }
        self.send(Event::Token(token));
    }

    /// Ends the answer.
    pub(crate) fn finish(mut self, end: End) {
        let End { finish, tail, stop_text, energy, queue } = end;
        if let Some(tally) = self.last_words.take() {
            self.send(Event::Finished(Tally { finish, tail, stop_text, energy, queue, ..tally }));
        }
    }

    fn send(&self, event: Event) {
        // Losing it is right when the receiver is gone: the caller left, and its drop cancelled the job.
        // A full channel cannot happen (see `open`).
        let _ = self.events.try_send(event);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if let Some(tally) = self.last_words.take() {
            self.send(Event::Finished(tally));
        }
    }
}
