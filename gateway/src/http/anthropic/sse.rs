//! The events of a streamed message.
//! Never decides what comes when; it only writes what it is given.
//! Made by `messages::create` for requests with `stream: true`.

use bytes::Bytes;
use domain::{RequestId, Tokens, UsageRecord};
use serde::Serialize;

use super::{
    error,
    response::{Block, End, Envelope, Message, Usage},
};
use crate::{
    http::{
        ApiError,
        sse::{Events, write_event},
    },
    stream::{Delta, Stop},
};

/// The only block of an answer.
const BLOCK_INDEX: u32 = 0;

/// Events of one answer in Anthropic's form.
pub(super) struct MessageEvents {
    envelope: Envelope,
    request_id: RequestId,
    prompt_tokens: Tokens,
}

/// What an event carries; its type is also the event's name.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    MessageStart { message: Message<'a> },
    ContentBlockStart { index: u32, content_block: Block<'a> },
    Ping,
    ContentBlockDelta { index: u32, delta: Block<'a> },
    ContentBlockStop { index: u32 },
    MessageDelta { delta: End, usage: Usage },
    MessageStop,
}

impl Event<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::Ping => "ping",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        }
    }
}

impl MessageEvents {
    /// The events of a request with this many prompt tokens.
    pub(super) fn new(envelope: Envelope, request_id: RequestId, prompt_tokens: Tokens) -> Self {
        Self { envelope, request_id, prompt_tokens }
    }
}

impl Events for MessageEvents {
    fn begin(&mut self) -> Vec<u8> {
        bytes([
            Event::MessageStart { message: self.envelope.first(self.prompt_tokens) },
            Event::ContentBlockStart { index: BLOCK_INDEX, content_block: Block::whole("") },
            Event::Ping,
        ])
    }

    fn delta(&mut self, _: u32, delta: &Delta) -> Vec<u8> {
        match delta {
            Delta::Text(text) => {
                bytes([Event::ContentBlockDelta { index: BLOCK_INDEX, delta: Block::delta(text) }])
            }
            Delta::Reasoning(_) | Delta::Refusal(_) | Delta::ToolCall(_) => Vec::new(),
        }
    }

    fn complete(&mut self, stops: &[Stop], _: &[Bytes], record: &UsageRecord) -> Vec<u8> {
        let stop = stops.first().unwrap_or(&Stop::Done);
        bytes([
            Event::ContentBlockStop { index: BLOCK_INDEX },
            Event::MessageDelta { delta: End::of(stop), usage: Usage::of(record) },
            Event::MessageStop,
        ])
    }

    fn failed(&mut self, error: &ApiError) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_event(&mut bytes, Some("error"), &error::to_wire(error, self.request_id));
        bytes
    }
}

fn bytes<const COUNT: usize>(events: [Event<'_>; COUNT]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in events {
        write_event(&mut bytes, Some(event.name()), &event);
    }
    bytes
}
