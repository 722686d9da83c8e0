//! The events of a streamed message: one block after another, each begun, added to and ended.
//! Never decides what comes when; it only writes what it is given.
//! Made by `messages::create` for requests with `stream: true`.

use bytes::Bytes;
use domain::{RequestId, Tokens, UsageRecord};
use serde::Serialize;
use serde_json::Map;

use super::{
    error,
    response::{Addition, Block, Brought, End, Envelope, Message, Usage},
};
use crate::{
    http::{
        ApiError,
        sse::{Closing, Events, write_event},
        turns::Turns,
    },
    stream::{Delta, Stop, ToolCallDelta},
};

/// Events of one answer in Anthropic's form.
pub(super) struct MessageEvents {
    envelope: Envelope,
    request_id: RequestId,
    prompt_tokens: Tokens,
    /// Whether the client is shown what the model thinks.
    is_thinking: bool,
    /// The block that is being added to.
    open: Option<Open>,
    /// Blocks begun so far.
    blocks: u32,
    /// Blocks come one after another; servers may go back to an earlier call.
    turns: Turns,
    brought: Brought,
}

/// What kind of block is being added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    /// The call with this number.
    Call(u32),
}

/// What an event carries; its type is also the event's name.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    MessageStart { message: Message<'a> },
    ContentBlockStart { index: u32, content_block: Block<'a> },
    Ping,
    ContentBlockDelta { index: u32, delta: Addition<'a> },
    ContentBlockStop { index: u32 },
    MessageDelta { delta: End<'a>, usage: Usage },
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

    fn write(&self, bytes: &mut Vec<u8>) {
        write_event(bytes, Some(self.name()), self);
    }
}

impl MessageEvents {
    /// The events of a request with this many prompt tokens.
    pub(super) fn new(
        envelope: Envelope,
        request_id: RequestId,
        prompt_tokens: Tokens,
        is_thinking: bool,
    ) -> Self {
        Self {
            envelope,
            request_id,
            prompt_tokens,
            is_thinking,
            open: None,
            blocks: 0,
            turns: Turns::default(),
            brought: Brought::default(),
        }
    }

    /// Goes on with the open block if it is this one; else ends it and begins another.
    fn begin_block(&mut self, wanted: Open, block: Block<'_>, bytes: &mut Vec<u8>) {
        if self.open == Some(wanted) {
            return;
        }
        self.end_block(bytes);
        self.open = Some(wanted);
        Event::ContentBlockStart { index: self.blocks, content_block: block }.write(bytes);
        if self.blocks == 0 {
            Event::Ping.write(bytes);
        }
    }

    fn end_block(&mut self, bytes: &mut Vec<u8>) {
        if self.open.take().is_some() {
            Event::ContentBlockStop { index: self.blocks }.write(bytes);
            self.blocks += 1;
        }
    }

    fn add(&self, delta: Addition<'_>, bytes: &mut Vec<u8>) {
        Event::ContentBlockDelta { index: self.blocks, delta }.write(bytes);
    }

    fn text(&mut self, text: &str, bytes: &mut Vec<u8>) {
        self.begin_block(Open::Text, Block::Text { text: "" }, bytes);
        self.add(Addition::Text { text }, bytes);
    }

    fn call(&mut self, part: &ToolCallDelta, bytes: &mut Vec<u8>) {
        self.brought.calls = true;
        if self.open != Some(Open::Call(part.index)) {
            let block = self.envelope.call(part, Map::new());
            self.begin_block(Open::Call(part.index), block, bytes);
        }
        if !part.arguments.is_empty() {
            self.add(Addition::InputJson { partial_json: &part.arguments }, bytes);
        }
    }

    fn write(&mut self, delta: &Delta, bytes: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) => self.text(text, bytes),
            Delta::Refusal(text) => {
                self.brought.refusal = true;
                self.text(text, bytes);
            }
            Delta::Reasoning(thinking) if self.is_thinking => {
                self.begin_block(Open::Thinking, Block::thinking(""), bytes);
                self.add(Addition::Thinking { thinking }, bytes);
            }
            Delta::Reasoning(_) => {}
            Delta::ToolCall(part) => self.call(part, bytes),
        }
    }

    /// Writes what waited for its turn, and ends the last block.
    fn end_blocks(&mut self, bytes: &mut Vec<u8>) {
        for delta in self.turns.rest() {
            self.write(&delta, bytes);
        }
        if self.open.is_none() && self.blocks == 0 {
            // Clients look at the first block without asking whether there is one.
            self.begin_block(Open::Text, Block::Text { text: "" }, bytes);
        }
        self.end_block(bytes);
    }
}

impl Events for MessageEvents {
    fn begin(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        Event::MessageStart { message: self.envelope.first(self.prompt_tokens) }.write(&mut bytes);
        bytes
    }

    fn delta(&mut self, choice: u32, delta: &Delta) -> Vec<u8> {
        let mut bytes = Vec::new();
        if choice != 0 {
            return bytes;
        }
        if self.turns.take(delta) {
            self.write(delta, &mut bytes);
        }
        bytes
    }

    fn complete(&mut self, stops: &[Stop], _: &[Bytes], record: &UsageRecord) -> Closing {
        let mut bytes = Vec::new();
        self.end_blocks(&mut bytes);
        let delta = End::of(stops.first().unwrap_or(&Stop::Done), self.brought);
        Event::MessageDelta { delta, usage: Usage::of(record) }.write(&mut bytes);
        Event::MessageStop.write(&mut bytes);
        Closing::Now(bytes)
    }

    fn failed(&mut self, error: &ApiError) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_event(&mut bytes, Some("error"), &error::to_wire(error, self.request_id));
        bytes
    }

    fn keep_alive(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        Event::Ping.write(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn events(is_thinking: bool) -> MessageEvents {
        let id = RequestId::generate(Timestamp::from_unix_micros(0));
        MessageEvents::new(Envelope::new("r", "m"), id, Tokens::new(3), is_thinking)
    }

    /// Each event as one short text: its name, its block, and what it brings.
    fn read(bytes: &[u8]) -> Vec<String> {
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        let one = |event: &str| {
            let (name, data) = event.split_once('\n').expect("two lines");
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
            let name = name.strip_prefix("event: ").expect("a name");
            assert_eq!(data["type"], name);
            let brought = [&data["content_block"], &data["delta"]].into_iter().find(|part| !part.is_null());
            match brought {
                Some(part) => format!("{name} {} {part}", data["index"]),
                None => format!("{name} {}", data["index"]),
            }
        };
        text.split_terminator("\n\n").map(one).collect()
    }

    fn call(index: u32, id: Option<&str>, arguments: &str) -> Delta {
        let name = id.map(|_| "f".to_owned());
        let id = id.filter(|id| !id.is_empty()).map(ToOwned::to_owned);
        Delta::ToolCall(ToolCallDelta { index, id, name, arguments: arguments.to_owned() })
    }

    #[test]
    fn blocks_follow_each_other() {
        let mut events = events(true);
        let deltas = [
            Delta::Reasoning("hm".to_owned()),
            Delta::Text("a".to_owned()),
            Delta::Text("b".to_owned()),
            call(0, Some("x"), ""),
            call(0, None, "{\"n\""),
            call(0, None, ":1}"),
            call(1, Some(""), "{"),
            call(0, None, " "),
            call(1, None, "}"),
        ];
        let mut found = read(&events.begin());
        assert!(found[0].starts_with("message_start"));
        for delta in &deltas {
            found.extend(read(&events.delta(0, delta)));
        }
        assert!(events.delta(1, &Delta::Text("another choice".to_owned())).is_empty());
        let thinking = json!({"type": "thinking", "thinking": "", "signature": ""});
        let tool = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
        let partial = |text: &str| json!({"type": "input_json_delta", "partial_json": text});
        let expected = [
            format!("content_block_start 0 {thinking}"),
            "ping null".to_owned(),
            format!("content_block_delta 0 {}", json!({"type": "thinking_delta", "thinking": "hm"})),
            "content_block_stop 0".to_owned(),
            format!("content_block_start 1 {}", json!({"type": "text", "text": ""})),
            format!("content_block_delta 1 {}", json!({"type": "text_delta", "text": "a"})),
            format!("content_block_delta 1 {}", json!({"type": "text_delta", "text": "b"})),
            "content_block_stop 1".to_owned(),
            format!("content_block_start 2 {}", tool("x")),
            format!("content_block_delta 2 {}", partial("{\"n\"")),
            format!("content_block_delta 2 {}", partial(":1}")),
            format!("content_block_delta 2 {}", partial(" ")),
        ];
        assert_eq!(found[1..], expected);
        let mut last = Vec::new();
        events.end_blocks(&mut last);
        let expected = [
            "content_block_stop 2".to_owned(),
            format!("content_block_start 3 {}", tool("toolu_r_1")),
            format!("content_block_delta 3 {}", partial("{}")),
            "content_block_stop 3".to_owned(),
        ];
        assert_eq!(read(&last), expected);
    }

    #[test]
    fn thoughts_are_shown_only_when_asked_for() {
        let mut events = events(false);
        assert!(events.delta(0, &Delta::Reasoning("hm".to_owned())).is_empty());
        assert_eq!(read(&events.keep_alive()), ["ping null"]);
    }
}
