//! The events of a streamed chat completion.
//! Never decides what comes when; it only writes what it is given.
//! Made by `chat::create` for requests with `stream: true`.

use bytes::Bytes;
use domain::UsageRecord;
use serde::Serialize;

use super::response::Envelope;
use crate::{
    http::{
        ApiError,
        sse::{Events, write_event},
    },
    stream::{Delta, Stop},
};

/// Events of one answer in OpenAI's form.
pub(super) struct ChatEvents {
    envelope: Envelope,
    include_usage: bool,
    /// The events come from a server elsewhere, ready to send.
    is_forwarded: bool,
}

impl ChatEvents {
    pub(super) fn new(envelope: Envelope, include_usage: bool, is_forwarded: bool) -> Self {
        Self { envelope, include_usage, is_forwarded }
    }
}

impl Events for ChatEvents {
    fn begin(&mut self) -> Vec<u8> {
        if self.is_forwarded {
            return Vec::new();
        }
        event(&self.envelope.first())
    }

    fn delta(&mut self, _: u32, delta: &Delta) -> Vec<u8> {
        match delta {
            Delta::Text(text) => event(&self.envelope.text(text)),
            Delta::Reasoning(_) | Delta::Refusal(_) | Delta::ToolCall(_) => Vec::new(),
        }
    }

    fn complete(&mut self, stops: &[Stop], held_back: &[Bytes], record: &UsageRecord) -> Vec<u8> {
        if self.is_forwarded {
            return held_back.concat();
        }
        let stop = stops.first().unwrap_or(&Stop::Done);
        let mut end = event(&self.envelope.last(stop, record));
        if self.include_usage {
            write_event(&mut end, None, &self.envelope.usage(record));
        }
        end.extend_from_slice(b"data: [DONE]\n\n");
        end
    }

    fn failed(&mut self, error: &ApiError) -> Vec<u8> {
        event(&error.to_openai())
    }
}

fn event(data: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_event(&mut bytes, None, data);
    bytes
}
