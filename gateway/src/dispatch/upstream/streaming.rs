//! An upstream's stream that is being read: its connection, its parser, and by when more has to come.
//! Never waits and never chooses: it takes bytes and says how the answer goes on.
//! Kept and fed by the exchange.

use std::time::Instant;

use bytes::Bytes;

use super::{
    refusal::{Refusal, RefusalKind},
    relay::{Step, StreamRelay},
};
use crate::dispatch::{Finish, Part, client::Exchange, remote::Attempt, sse::SseParser};

/// One stream.
pub(super) struct Streaming {
    pub(super) attempt: Attempt,
    pub(super) exchange: Exchange,
    pub(super) parser: SseParser,
    pub(super) relay: StreamRelay,
    /// By when the first text, or any further byte, has to come.
    pub(super) due: Instant,
    /// When the first text came.
    pub(super) first_at: Option<Instant>,
    /// When bytes came that may hold more events: the client gets the first before the others are read.
    pub(super) unread_since: Option<Instant>,
    /// Nobody wants more of it, for this reason: only what was spent is still waited for.
    pub(super) ending: Option<Finish>,
}

impl Streaming {
    /// Takes bytes that came at `now`; what the client is given is appended to `parts`.
    pub(super) fn feed(&mut self, bytes: &Bytes, now: Instant, parts: &mut Vec<Part>) -> Step {
        self.parser.push(bytes);
        let step = self.take_events(now, parts);
        if self.relay.has_text() && self.ending.is_none() {
            self.due = now + self.attempt.target.remote.waits.idle;
        }
        step
    }

    /// Reads events up to the first that the client is given something of.
    fn take_events(&mut self, now: Instant, parts: &mut Vec<Part>) -> Step {
        loop {
            match self.parser.next_event() {
                Ok(Some(event)) => match self.relay.take(&event, now, parts) {
                    Step::More if parts.is_empty() => {}
                    Step::More => {
                        self.unread_since = Some(now);
                        return Step::More;
                    }
                    step @ (Step::Whole | Step::Cut | Step::Failed(_)) => return step,
                },
                Ok(None) => return Step::More,
                Err(_) => return Step::Failed(Refusal::nonsense()),
            }
        }
    }

    /// No more bytes come.
    pub(super) fn end_of_bytes(&mut self, now: Instant, parts: &mut Vec<Part>) -> Step {
        while let Ok(Some(event)) = self.parser.finish() {
            match self.relay.take(&event, now, parts) {
                Step::More => {}
                step @ (Step::Whole | Step::Cut | Step::Failed(_)) => return step,
            }
        }
        match self.relay.is_whole() {
            true => Step::Whole,
            false => Step::Failed(Refusal::new(RefusalKind::Unavailable)),
        }
    }
}
