//! What an OpenAI-compatible server's chunk or whole answer says, as far as it has to be understood.
//! Never fails on what is not understood: a field of an unknown form is left alone, its bytes are forwarded.
//! Called by the exchange for every event and every whole body.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};

use super::lenient::{Anything, Form, lenient, object};
use crate::dispatch::{Delta, Stop, ToolCallDelta};

/// A chunk of a stream, or a whole answer; of chat completions, completions or embeddings.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    #[serde(default, deserialize_with = "lenient")]
    choices: Option<Vec<Choice>>,
    /// Vectors of embeddings; only that there are some matters.
    #[serde(default, deserialize_with = "lenient")]
    data: Option<Vec<Anything>>,
    #[serde(default)]
    pub(super) usage: Option<Value>,
    #[serde(default)]
    pub(super) error: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) object: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) created: Option<u64>,
}

/// serde would read a struct from a list as well.
struct Object(Chunk);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object, A::Error> {
                Chunk::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        input.deserialize_map(ObjectVisitor)
    }
}

#[derive(Debug, Default, Deserialize)]
struct Choice {
    #[serde(default, deserialize_with = "lenient")]
    index: Option<u32>,
    #[serde(default, deserialize_with = "lenient")]
    delta: Option<Message>,
    #[serde(default, deserialize_with = "lenient")]
    message: Option<Message>,
    #[serde(default, deserialize_with = "lenient")]
    text: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    finish_reason: Option<String>,
    /// vLLM: the stop string that came, or a token's id.
    #[serde(default)]
    stop_reason: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Message {
    #[serde(default, deserialize_with = "lenient")]
    content: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    reasoning_content: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    reasoning: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    refusal: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    tool_calls: Option<Vec<ToolCall>>,
    /// The older form of a tool call.
    #[serde(default, deserialize_with = "lenient")]
    function_call: Option<Function>,
}

#[derive(Debug, Default, Deserialize)]
struct ToolCall {
    #[serde(default, deserialize_with = "lenient")]
    index: Option<u32>,
    #[serde(default, deserialize_with = "lenient")]
    id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    function: Option<Function>,
}

#[derive(Debug, Default, Deserialize)]
struct Function {
    #[serde(default, deserialize_with = "lenient")]
    name: Option<String>,
    #[serde(default, deserialize_with = "arguments")]
    arguments: Option<String>,
}

/// Arguments as JSON text; some servers give the object itself.
struct Arguments(String);

impl<'de> Form<'de> for Arguments {
    fn of_text(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }

    fn of_object<A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        let fields: Option<Map<String, Value>> = object(map)?;
        Ok(fields.map(|fields| Self(Value::Object(fields).to_string())))
    }
}

fn arguments<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    lenient(input).map(|found| found.map(|Arguments(text)| text))
}

impl<'de> Form<'de> for Choice {
    fn of_object<A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        object(map)
    }
}

impl<'de> Form<'de> for Message {
    fn of_object<A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        object(map)
    }
}

impl<'de> Form<'de> for ToolCall {
    fn of_object<A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        object(map)
    }
}

impl<'de> Form<'de> for Function {
    fn of_object<A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        object(map)
    }
}

impl Chunk {
    /// Reads a chunk or body.
    ///
    /// Errors: it is not a JSON object.
    pub(super) fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let Object(chunk) = serde_json::from_slice(json)?;
        Ok(chunk)
    }

    /// The chunk that only states usage.
    pub(super) fn is_usage_only(&self) -> bool {
        self.usage.is_some() && self.choices.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether it is an answer at all, whole or in part.
    pub(super) fn is_answer(&self) -> bool {
        self.choices.is_some() || self.data.is_some()
    }

    /// Why choices ended, by choice.
    pub(super) fn stops(&self) -> impl Iterator<Item = (u32, Stop)> {
        self.choices.iter().flatten().filter_map(|choice| {
            let stop = match choice.finish_reason.as_deref()? {
                "length" => Stop::Length,
                "tool_calls" | "function_call" => Stop::ToolCalls,
                "content_filter" => Stop::ContentFilter,
                // `stop`, and whatever servers may invent.
                _ => match choice.stop_reason.as_ref().and_then(Value::as_str) {
                    Some(text) => Stop::StopText(text.to_owned()),
                    None => Stop::Done,
                },
            };
            Some((choice.index.unwrap_or(0), stop))
        })
    }

    /// All texts that it adds to choices, in order: what tokens were spent on.
    pub(super) fn texts(&self) -> impl Iterator<Item = (u32, &str)> {
        self.choices.iter().flatten().flat_map(|choice| {
            let index = choice.index.unwrap_or(0);
            let messages = choice.delta.iter().chain(&choice.message).flat_map(Message::texts);
            choice
                .text
                .as_deref()
                .into_iter()
                .chain(messages)
                .filter(|text| !text.is_empty())
                .map(move |text| (index, text))
        })
    }

    /// The texts among them that are reasoning.
    pub(super) fn reasoning_texts(&self) -> impl Iterator<Item = &str> {
        let choices = self.choices.iter().flatten();
        let messages = choices.flat_map(|choice| choice.delta.iter().chain(&choice.message));
        messages.filter_map(Message::reasoning).filter(|text| !text.is_empty())
    }

    /// What it adds to choices, by choice.
    pub(super) fn into_deltas(self) -> Vec<(u32, Delta)> {
        let mut deltas = Vec::new();
        for choice in self.choices.into_iter().flatten() {
            let index = choice.index.unwrap_or(0);
            let text = choice.text.filter(|text| !text.is_empty());
            deltas.extend(text.map(|text| (index, Delta::Text(text))));
            let whole = choice.message.map(Message::numbered_by_place);
            for message in choice.delta.into_iter().chain(whole) {
                deltas.extend(message.into_deltas().into_iter().map(|delta| (index, delta)));
            }
        }
        deltas
    }
}

impl Message {
    /// Servers name reasoning one way or the other, some both ways at once.
    fn reasoning(&self) -> Option<&str> {
        self.reasoning_content.as_deref().or(self.reasoning.as_deref())
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let functions = self.tool_calls.iter().flatten().filter_map(|call| call.function.as_ref());
        let calls = functions
            .chain(&self.function_call)
            .flat_map(|function| function.name.as_deref().into_iter().chain(function.arguments.as_deref()));
        let texts = [self.reasoning(), self.content.as_deref(), self.refusal.as_deref()];
        texts.into_iter().flatten().chain(calls)
    }

    /// A whole message: whatever its calls are numbered, their places tell them apart.
    fn numbered_by_place(mut self) -> Self {
        for call in self.tool_calls.iter_mut().flatten() {
            call.index = None;
        }
        self
    }

    fn into_deltas(self) -> Vec<Delta> {
        let Self { content, reasoning_content, reasoning, refusal, tool_calls, function_call } = self;
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let mut deltas = Vec::new();
        deltas.extend(some(reasoning_content.or(reasoning)).map(Delta::Reasoning));
        deltas.extend(some(content).map(Delta::Text));
        deltas.extend(some(refusal).map(Delta::Refusal));
        let older =
            function_call.map(|function| ToolCall { function: Some(function), ..ToolCall::default() });
        for (position, call) in tool_calls.into_iter().flatten().chain(older).enumerate() {
            let Function { name, arguments } = call.function.unwrap_or_default();
            deltas.push(Delta::ToolCall(ToolCallDelta {
                // Whole answers do not number their calls.
                index: call.index.unwrap_or(u32::try_from(position).unwrap_or(u32::MAX)),
                id: call.id,
                name,
                arguments: arguments.unwrap_or_default(),
            }));
        }
        deltas
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(chunk: &Value) -> Chunk {
        Chunk::read(chunk.to_string().as_bytes()).expect("an object")
    }

    fn text(text: &str) -> Delta {
        Delta::Text(text.to_owned())
    }

    #[test]
    fn deltas_are_read_by_choice() {
        let call = |index, id: Option<&str>, name: Option<&str>, arguments: &str| {
            let (id, name) = (id.map(str::to_owned), name.map(str::to_owned));
            Delta::ToolCall(ToolCallDelta { index, id, name, arguments: arguments.to_owned() })
        };
        let rows = [
            (json!({"choices": []}), vec![]),
            (json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}), vec![]),
            (json!({"choices": [{"index": 1, "delta": {"content": "a"}}]}), vec![(1, text("a"))]),
            (
                json!({"choices": [{"text": "a"}, {"index": 3, "text": "b"}]}),
                vec![(0, text("a")), (3, text("b"))],
            ),
            (json!({"choices": [{"message": {"content": "a", "refusal": null}}]}), vec![(0, text("a"))]),
            (
                json!({"choices": [{"delta": {"reasoning": "r", "reasoning_content": "r", "refusal": "n"}}]}),
                vec![(0, Delta::Reasoning("r".to_owned())), (0, Delta::Refusal("n".to_owned()))],
            ),
            (
                json!({"choices": [{"delta": {"tool_calls": [
                    {"index": 2, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}},
                ]}}]}),
                vec![(0, call(2, Some("c"), Some("f"), ""))],
            ),
            (
                json!({"choices": [{"message": {"tool_calls": [
                    {"id": "a", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "b", "index": 0, "function": {"name": "g", "arguments": {"n": 1}}},
                ]}}]}),
                vec![
                    (0, call(0, Some("a"), Some("f"), "{}")),
                    (0, call(1, Some("b"), Some("g"), r#"{"n":1}"#)),
                ],
            ),
            (
                json!({"choices": [{"delta": {"function_call": {"arguments": "{"}}}]}),
                vec![(0, call(0, None, None, "{"))],
            ),
        ];
        for (chunk, expected) in rows {
            assert_eq!(read(&chunk).into_deltas(), expected, "{chunk}");
        }
    }

    #[test]
    fn unknown_forms_are_left_alone() {
        let rows = [
            json!({"choices": 7, "usage": 1, "error": null}),
            json!({"choices": [{"index": -1, "delta": [], "finish_reason": 3}]}),
            json!({"choices": [{"delta": {"content": [{"type": "text"}], "tool_calls": {}}}]}),
            json!({"unknown": {"deep": [1]}}),
        ];
        for chunk in rows {
            assert_eq!(read(&chunk).into_deltas(), [], "{chunk}");
            assert_eq!(read(&chunk).texts().count(), 0, "{chunk}");
            assert_eq!(read(&chunk).stops().count(), 0, "{chunk}");
        }
        for text in ["", "[]", "7", "{", "[DONE]", "{\"a\":1"] {
            assert!(Chunk::read(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn ends_and_usage_are_recognized() {
        let usage = json!({"prompt_tokens": 1});
        assert!(read(&json!({"choices": [], "usage": usage})).is_usage_only());
        for not in [
            json!({"choices": [], "usage": null}),
            json!({"choices": [{"index": 0}], "usage": usage}),
            json!({"usage": usage}),
        ] {
            assert!(!read(&not).is_usage_only(), "{not}");
        }
        let rows = [
            ("stop", json!(null), Stop::Done),
            ("stop", json!(128_001), Stop::Done),
            ("stop", json!("END"), Stop::StopText("END".to_owned())),
            ("eos", json!(null), Stop::Done),
            ("length", json!(null), Stop::Length),
            ("tool_calls", json!(null), Stop::ToolCalls),
            ("function_call", json!(null), Stop::ToolCalls),
            ("content_filter", json!(null), Stop::ContentFilter),
        ];
        for (reason, stop_reason, stop) in rows {
            let chunk =
                json!({"choices": [{"index": 1, "finish_reason": reason, "stop_reason": stop_reason}]});
            assert_eq!(read(&chunk).stops().collect::<Vec<_>>(), [(1, stop)], "{chunk}");
        }
    }

    #[test]
    fn every_text_counts_once() {
        let chunk = json!({"choices": [
            {"index": 0, "delta": {"reasoning": "rr", "reasoning_content": "rr", "content": "a"}},
            {"index": 1, "text": "b"},
            {"index": 2, "message": {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}},
        ]});
        let chunk = read(&chunk);
        assert_eq!(chunk.texts().collect::<Vec<_>>(), [(0, "rr"), (0, "a"), (1, "b"), (2, "f"), (2, "{}")]);
        assert_eq!(chunk.reasoning_texts().collect::<Vec<_>>(), ["rr"]);
    }
}
