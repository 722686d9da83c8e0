//! The events of a streamed completion.
//! Never decides what comes when; it only writes what it is given.
//! Made by `completions::create` for requests with `stream: true`.

use bytes::Bytes;
use domain::UsageRecord;

use super::response::Envelope;
use crate::{
    http::{
        ApiError,
        openai::sse::{DONE, event, forwarded},
        sse::{Closing, Events, write_event},
    },
    stream::{Delta, Stop},
};

/// Events of one answer, all its choices together.
pub(super) struct CompletionEvents {
    envelope: Envelope,
    include_usage: bool,
}

impl CompletionEvents {
    pub(super) fn new(envelope: Envelope, include_usage: bool) -> Self {
        Self { envelope, include_usage }
    }
}

impl Events for CompletionEvents {
    fn begin(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn delta(&mut self, choice: u32, delta: &Delta) -> Vec<u8> {
        match delta {
            Delta::Text(text) => event(&self.envelope.text(choice, text)),
            // A plain text has no place for these.
            Delta::Reasoning(_) | Delta::Refusal(_) | Delta::ToolCall(_) => Vec::new(),
        }
    }

    fn complete(&mut self, stops: &[Stop], held_back: &[Bytes], record: &UsageRecord) -> Closing {
        if !held_back.is_empty() {
            return Closing::Now(forwarded(held_back));
        }
        let mut end = Vec::new();
        for (index, stop) in (0..).zip(stops) {
            let is_last = usize::try_from(index).is_ok_and(|index: usize| index + 1 == stops.len());
            write_event(&mut end, None, &self.envelope.last(index, stop, is_last.then_some(record)));
        }
        if self.include_usage {
            write_event(&mut end, None, &self.envelope.usage(record));
        }
        end.extend_from_slice(DONE);
        Closing::Now(end)
    }

    fn failed(&mut self, error: &ApiError) -> Vec<u8> {
        event(&error.to_openai())
    }
}
