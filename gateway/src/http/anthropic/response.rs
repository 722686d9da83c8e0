//! The answers of messages: the whole one, and the parts of a stream.
//! Never measures; every figure comes from the usage record.
//! Called by `messages` and `sse`.

use domain::{SloClass, Tokens, UsageRecord};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    http::{
        measured::Measured,
        run::{CollectedChoice, Running},
    },
    stream::{Stop, ToolCallDelta},
};

/// What all parts of one answer share.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    id: String,
    model: String,
    /// What a call without an id of its own is named after.
    request: String,
}

/// A message, whole or as a stream begins it.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'a str>,
    usage: Usage,
}

/// A block of content, whole or as a stream begins it.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: &'a str,
    },
    /// Nobody signs what an open model thinks.
    Thinking {
        thinking: &'a str,
        signature: &'static str,
    },
    ToolUse {
        id: String,
        name: &'a str,
        input: Map<String, Value>,
    },
}

/// What a stream adds to a block.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub(super) enum Addition<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

/// The figures of one request in Anthropic's form, with ours beside them once they are known.
#[derive(Debug, Serialize)]
pub(super) struct Usage {
    /// Without those that came from a cache, as Anthropic counts.
    input_tokens: u64,
    cache_creation_input_tokens: Tokens,
    cache_read_input_tokens: Tokens,
    output_tokens: Tokens,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<OutputDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tallygate: Option<Measured>,
}

#[derive(Debug, Serialize)]
struct OutputDetails {
    thinking_tokens: Tokens,
}

/// Why an answer ended.
#[derive(Debug, Serialize)]
pub(super) struct End<'a> {
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
}

/// What an answer brought that says more about its end than the model's stop.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brought {
    pub(super) calls: bool,
    pub(super) refusal: bool,
}

impl Envelope {
    /// The envelope of a running request.
    pub(super) fn of(running: &Running) -> Self {
        Self::new(&running.request_id.to_string(), &running.model)
    }

    /// The envelope of the request with this id.
    pub(super) fn new(request_id: &str, model: &str) -> Self {
        Self { id: format!("msg_{request_id}"), model: model.to_owned(), request: request_id.to_owned() }
    }

    /// The whole answer; thoughts are shown only when they were asked for.
    pub(super) fn whole<'a>(
        &'a self,
        choice: &'a CollectedChoice,
        is_thinking: bool,
        record: &UsageRecord,
    ) -> Message<'a> {
        let mut content = Vec::new();
        if is_thinking && !choice.reasoning.is_empty() {
            content.push(Block::thinking(&choice.reasoning));
        }
        for text in [&choice.text, &choice.refusal] {
            if !text.is_empty() {
                content.push(Block::Text { text });
            }
        }
        content.extend(choice.tool_calls.iter().map(|call| self.call(call, input(&call.arguments))));
        if content.is_empty() {
            content.push(Block::Text { text: "" });
        }
        let brought = Brought { calls: !choice.tool_calls.is_empty(), refusal: !choice.refusal.is_empty() };
        let End { stop_reason, stop_sequence } = End::of(&choice.stop, brought);
        let message = self.message(Usage::of(record));
        Message { content, stop_reason: Some(stop_reason), stop_sequence, ..message }
    }

    /// The message as a stream begins it: nothing said yet.
    pub(super) fn first(&self, prompt_tokens: Tokens) -> Message<'_> {
        self.message(Usage::before(prompt_tokens))
    }

    /// A call as a block.
    pub(super) fn call<'a>(&self, call: &'a ToolCallDelta, input: Map<String, Value>) -> Block<'a> {
        let id = call.id.clone().unwrap_or_else(|| format!("toolu_{}_{}", self.request, call.index));
        Block::ToolUse { id, name: call.name.as_deref().unwrap_or_default(), input }
    }

    fn message(&self, usage: Usage) -> Message<'_> {
        Message {
            id: &self.id,
            r#type: "message",
            role: "assistant",
            model: &self.model,
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage,
        }
    }
}

impl<'a> Block<'a> {
    /// What the model thought.
    pub(super) fn thinking(thinking: &'a str) -> Self {
        Self::Thinking { thinking, signature: "" }
    }
}

impl<'a> End<'a> {
    /// The end of an answer.
    pub(super) fn of(stop: &'a Stop, brought: Brought) -> Self {
        let (stop_reason, stop_sequence) = match stop {
            Stop::Length => ("max_tokens", None),
            Stop::ContentFilter => ("refusal", None),
            Stop::StopText(text) => ("stop_sequence", Some(text.as_str())),
            Stop::ToolCalls => ("tool_use", None),
            Stop::Done if brought.refusal => ("refusal", None),
            // Some servers say that they are done when they call a tool they were told to call.
            Stop::Done if brought.calls => ("tool_use", None),
            Stop::Done => ("end_turn", None),
        };
        Self { stop_reason, stop_sequence }
    }
}

impl Usage {
    /// The final figures.
    pub(super) fn of(record: &UsageRecord) -> Self {
        let (prompt, cached) = (record.prompt_tokens, record.cached_prompt_tokens);
        assert!(cached <= prompt, "a record's cached prompt tokens are among its prompt tokens");
        let thinking_tokens = record.reasoning_tokens;
        Self {
            input_tokens: prompt.get() - cached.get(),
            cache_creation_input_tokens: Tokens::ZERO,
            cache_read_input_tokens: cached,
            output_tokens: record.output_tokens,
            output_tokens_details: (thinking_tokens > Tokens::ZERO)
                .then_some(OutputDetails { thinking_tokens }),
            service_tier: Some(tier(record.slo.class)),
            tallygate: Some(Measured::of(record)),
        }
    }

    /// What is known before the first token.
    fn before(prompt_tokens: Tokens) -> Self {
        Self {
            input_tokens: prompt_tokens.get(),
            cache_creation_input_tokens: Tokens::ZERO,
            cache_read_input_tokens: Tokens::ZERO,
            output_tokens: Tokens::ZERO,
            output_tokens_details: None,
            service_tier: None,
            tallygate: None,
        }
    }
}

/// The class served, in Anthropic's words.
fn tier(class: SloClass) -> &'static str {
    match class {
        SloClass::Interactive => "priority",
        SloClass::Standard => "standard",
        SloClass::Batch => "batch",
    }
}

/// A call's arguments as an object, which Anthropic's clients expect; a text that is none is kept in one.
fn input(arguments: &str) -> Map<String, Value> {
    if arguments.trim().is_empty() {
        return Map::new();
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(object)) => object,
        Ok(_) | Err(_) => Map::from_iter([("arguments".to_owned(), Value::from(arguments))]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_have_anthropics_words() {
        let none = Brought::default();
        let calls = Brought { calls: true, ..none };
        let refusal = Brought { refusal: true, ..none };
        let rows = [
            (Stop::Done, none, "end_turn", None),
            (Stop::Done, calls, "tool_use", None),
            (Stop::Done, refusal, "refusal", None),
            (Stop::ToolCalls, calls, "tool_use", None),
            (Stop::Length, calls, "max_tokens", None),
            (Stop::ContentFilter, none, "refusal", None),
            (Stop::StopText("x".to_owned()), none, "stop_sequence", Some("x")),
        ];
        for (stop, brought, reason, text) in rows {
            let end = End::of(&stop, brought);
            assert_eq!((end.stop_reason, end.stop_sequence), (reason, text), "{stop:?}");
        }
    }

    #[test]
    fn arguments_become_objects() {
        let rows = [
            ("", "{}"),
            (" ", "{}"),
            ("{\"a\":[1]}", "{\"a\":[1]}"),
            ("[1]", "{\"arguments\":\"[1]\"}"),
            ("{\"a\":", "{\"arguments\":\"{\\\"a\\\":\"}"),
        ];
        for (arguments, object) in rows {
            assert_eq!(Value::Object(input(arguments)).to_string(), object);
        }
    }
}
