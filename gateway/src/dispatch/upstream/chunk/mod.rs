//! What an OpenAI-compatible server's chunk or whole answer says, as far as it has to be understood.
//! Never fails on what is not understood: a field of an unknown form is left alone, its bytes are forwarded.
//! Called by the exchange for every event and every whole body.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};

use super::{
    lenient::{Anything, Form, lenient, object},
    parts::Parts,
};
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
    #[serde(default, deserialize_with = "lenient")]
    service_tier: Option<Anything>,
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
    /// A text, or parts of texts and of reasoning.
    #[serde(default, deserialize_with = "lenient")]
    content: Option<Parts>,
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

    /// It tells in which tier the upstream served it.
    pub(super) fn has_tier(&self) -> bool {
        self.service_tier.is_some()
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
    /// Servers name reasoning one way or another, some several ways at once.
    fn reasoning(&self) -> Option<&str> {
        let parts = self.content.as_ref().map(|parts| parts.reasoning.as_str());
        let named = [self.reasoning_content.as_deref(), self.reasoning.as_deref(), parts];
        named.into_iter().flatten().find(|text| !text.is_empty())
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let functions = self.tool_calls.iter().flatten().filter_map(|call| call.function.as_ref());
        let calls = functions
            .chain(&self.function_call)
            .flat_map(|function| function.name.as_deref().into_iter().chain(function.arguments.as_deref()));
        let content = self.content.as_ref().map(|parts| parts.text.as_str());
        let texts = [self.reasoning(), content, self.refusal.as_deref()];
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
        let Parts { text, reasoning: of_parts } = content.unwrap_or_default();
        let reasoning = some(reasoning_content).or(some(reasoning)).or(some(Some(of_parts)));
        let mut deltas = Vec::new();
        deltas.extend(reasoning.map(Delta::Reasoning));
        deltas.extend(some(Some(text)).map(Delta::Text));
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
mod tests;
