//! A job that the engine runs: its tokens so far, its randomness, its text, its way out.
//! Never knows other sequences or the device.
//! Made by the worker when a job arrives, used up when it ends.

use std::time::Instant;

use domain::{Micros, Millijoules, Tokens};

use super::Arrival;
use crate::{
    Job,
    generation::{End, Finish, Outlet, Started, Token},
    sample::Sampler,
    text::{Detokenizer, StopMatcher, Text},
};

/// What a drawn token means for the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A token was let out; the next step continues it.
    GoesOn,
    /// A token was let out and was the last.
    EndsWithToken(Finish),
    /// It ended without a token.
    Ends(Finish),
}

impl Verdict {
    pub(crate) fn has_token(self) -> bool {
        !matches!(self, Self::Ends(_))
    }
}

/// See the file's header.
pub(crate) struct Sequence {
    job: Job,
    output_tokens_max: u32,
    outlet: Outlet,
    arrived_at: Instant,
    started_queue: Option<Micros>,
    started_at: Option<Instant>,
    /// The prompt and what was produced.
    known: Vec<u32>,
    output_tokens: u32,
    sampler: Sampler,
    detokenizer: Detokenizer,
    stop: StopMatcher,
}

impl Sequence {
    pub(crate) fn new(arrival: Arrival, text: &Text) -> Self {
        let Arrival { mut job, output_tokens_max, outlet, at } = arrival;
        let stop = StopMatcher::new(std::mem::take(&mut job.stop));
        Self {
            sampler: Sampler::new(job.sampling, rand::random()),
            known: job.prompt.ids().to_vec(),
            detokenizer: Detokenizer::new(text.vocabulary.clone()),
            stop,
            job,
            output_tokens_max,
            outlet,
            arrived_at: at,
            started_queue: None,
            started_at: None,
            output_tokens: 0,
        }
    }

    /// The prompt and what was produced.
    pub(crate) fn known(&self) -> &[u32] {
        &self.known
    }

    pub(crate) fn arrived_at(&self) -> Instant {
        self.arrived_at
    }

    /// When its first step began. `None`: it still waits.
    pub(crate) fn started_at(&self) -> Option<Instant> {
        self.started_at
    }

    /// Why it should end now, whatever it has produced.
    pub(crate) fn is_over(&self, now: Instant) -> Option<Finish> {
        if self.outlet.is_cancelled() {
            return Some(Finish::Cancelled);
        }
        self.job.deadline.filter(|deadline| *deadline <= now).map(|_| Finish::Deadline)
    }

    /// Its first step begins.
    pub(crate) fn start(&mut self, now: Instant) {
        let queue = Micros::from_duration(now.saturating_duration_since(self.arrived_at));
        self.started_queue = Some(queue);
        self.started_at = Some(now);
        self.outlet.started(Started {
            prompt_tokens: self.job.prompt.tokens(),
            cached_prompt_tokens: Tokens::ZERO,
            queue,
        });
    }

    /// Draws the next token and lets out what text is certain.
    pub(crate) fn draw(&mut self, logits: &[f32], eos: &[u32]) -> Verdict {
        let banned = if self.job.ignore_eos { eos } else { &[] };
        let id = match self.sampler.draw(logits, banned) {
            Ok(id) => id,
            Err(error) => {
                tracing::error!(%error, "a sequence cannot go on");
                return Verdict::Ends(Finish::Failed);
            }
        };
        if eos.contains(&id) {
            return Verdict::Ends(Finish::Stop);
        }
        let text = match self.detokenizer.push(id) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "a token has no text");
                return Verdict::Ends(Finish::Failed);
            }
        };
        let matched = self.stop.push(&text);
        self.known.push(id);
        self.output_tokens += 1;
        self.outlet.token(Token { id, text: matched.text, at: Instant::now() });
        if matched.is_stopped {
            Verdict::EndsWithToken(Finish::Stop)
        } else if self.output_tokens >= self.output_tokens_max {
            Verdict::EndsWithToken(Finish::Length)
        } else {
            Verdict::GoesOn
        }
    }

    /// Says how it ended. `waited` is the queue time of a sequence that never started.
    pub(crate) fn finish(self, finish: Finish, energy: Millijoules, waited: Micros) {
        let (held, stop_text) = self.stop.into_ends();
        let tail = match finish {
            Finish::Failed => String::new(),
            Finish::Stop | Finish::Length | Finish::Cancelled | Finish::Deadline => held,
        };
        let queue = self.started_queue.unwrap_or(waited);
        self.outlet.finish(End { finish, tail, stop_text, energy, queue });
    }
}
