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
        sse::{Closing, Events, write_event},
    },
    stream::{Delta, Stop},
};

/// What ends every whole stream of this dialect.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

/// Events of one answer in OpenAI's form.
pub(super) struct ChatEvents {
    envelope: Envelope,
    include_usage: bool,
    /// Choices that were begun, by their number.
    begun: Vec<bool>,
}

impl ChatEvents {
    pub(super) fn new(envelope: Envelope, include_usage: bool) -> Self {
        Self { envelope, include_usage, begun: Vec::new() }
    }

    /// The part with the role, which comes before anything else of a choice.
    fn begin_choice(&mut self, choice: u32, bytes: &mut Vec<u8>) {
        let index = usize::try_from(choice).unwrap_or(usize::MAX);
        if self.begun.get(index) == Some(&true) {
            return;
        }
        while self.begun.len() <= index {
            self.begun.push(false);
        }
        self.begun[index] = true;
        write_event(bytes, None, &self.envelope.first(choice));
    }
}

impl Events for ChatEvents {
    /// A forwarded stream begins by itself, and which it is only its first part tells.
    fn begin(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn delta(&mut self, choice: u32, delta: &Delta) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.begin_choice(choice, &mut bytes);
        write_event(&mut bytes, None, &self.envelope.delta(choice, delta));
        bytes
    }

    fn complete(&mut self, stops: &[Stop], held_back: &[Bytes], record: &UsageRecord) -> Closing {
        if !held_back.is_empty() {
            return Closing::Now(forwarded(held_back));
        }
        let mut end = Vec::new();
        for (choice, stop) in (0..).zip(stops) {
            self.begin_choice(choice, &mut end);
            let is_last = usize::try_from(choice).is_ok_and(|choice: usize| choice + 1 == stops.len());
            write_event(&mut end, None, &self.envelope.last(choice, stop, is_last.then_some(record)));
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

/// One event.
pub(super) fn event(data: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_event(&mut bytes, None, data);
    bytes
}

/// The last events of a forwarded stream, as they came.
pub(super) fn forwarded(held_back: &[Bytes]) -> Vec<u8> {
    held_back.concat()
}

#[cfg(test)]
mod tests {
    use domain::{RequestId, Timestamp};
    use serde_json::Value;

    use super::*;
    use crate::stream::ToolCallDelta;

    fn events() -> ChatEvents {
        let at = Timestamp::from_unix_micros(0);
        ChatEvents::new(Envelope::new(RequestId::generate(at), at, "m"), false)
    }

    fn deltas(bytes: &[u8]) -> Vec<(Value, Value)> {
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        let parse = |event: &str| {
            let data = event.strip_prefix("data: ").expect("data");
            let value: Value = serde_json::from_str(data).expect("JSON");
            (value["choices"][0]["index"].clone(), value["choices"][0]["delta"].clone())
        };
        text.split_terminator("\n\n").map(parse).collect()
    }

    #[test]
    fn each_addition_has_its_form() {
        let call = |id: Option<&str>, arguments: &str| {
            let named = id.map(ToOwned::to_owned);
            let name = named.is_some().then(|| "f".to_owned());
            Delta::ToolCall(ToolCallDelta { index: 1, id: named, name, arguments: arguments.to_owned() })
        };
        let function = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        let rows = [
            (Delta::Text("a".to_owned()), function(r#"{"content":"a"}"#)),
            (Delta::Reasoning("b".to_owned()), function(r#"{"reasoning_content":"b"}"#)),
            (Delta::Refusal("c".to_owned()), function(r#"{"refusal":"c"}"#)),
            (
                call(Some("x"), ""),
                function(
                    r#"{"tool_calls":[{"index":1,"id":"x","type":"function","function":{"name":"f","arguments":""}}]}"#,
                ),
            ),
            (call(None, "{}"), function(r#"{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}"#)),
        ];
        for (delta, expected) in rows {
            let mut events = events();
            let found = deltas(&events.delta(2, &delta));
            let role = function(r#"{"role":"assistant","content":""}"#);
            assert_eq!(found, [(Value::from(2), role), (Value::from(2), expected.clone())]);
            assert_eq!(deltas(&events.delta(2, &delta)), [(Value::from(2), expected)], "the role comes once");
        }
    }

    #[test]
    fn a_forwarded_end_is_sent_as_it_came() {
        let parts = [Bytes::from_static(b"data: {}\n\n"), Bytes::from_static(b"data: [DONE]\n\n")];
        assert_eq!(forwarded(&parts), b"data: {}\n\ndata: [DONE]\n\n");
        assert!(events().begin().is_empty());
    }
}
