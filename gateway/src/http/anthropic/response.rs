//! The answers of messages: the whole one, and the parts of a stream.
//! Never measures; every figure comes from the usage record.
//! Called by `messages` and `sse`.

use domain::{Tokens, UsageRecord};
use serde::Serialize;

use crate::{
    http::{measured::Measured, run::Running},
    stream::Stop,
};

/// What all parts of one answer share.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    id: String,
    model: String,
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

/// A block of content; also the part of one that a stream adds.
#[derive(Debug, Serialize)]
pub(super) struct Block<'a> {
    r#type: &'static str,
    text: &'a str,
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
    tallygate: Option<Measured>,
}

/// Why an answer ended. The engine does not tell a stop string from a natural end, so `stop_sequence` is never said.
#[derive(Debug, Serialize)]
pub(super) struct End {
    stop_reason: &'static str,
    stop_sequence: Option<()>,
}

impl Envelope {
    /// The envelope of a running request.
    pub(super) fn of(running: &Running) -> Self {
        Self { id: format!("msg_{}", running.request_id), model: running.model.clone() }
    }

    /// The whole answer.
    pub(super) fn whole<'a>(&'a self, text: &'a str, stop: &Stop, record: &UsageRecord) -> Message<'a> {
        let stop_reason = Some(stop_reason(stop));
        Message { content: vec![Block::whole(text)], stop_reason, ..self.message(Usage::of(record)) }
    }

    /// The message as a stream begins it: nothing said yet.
    pub(super) fn first(&self, prompt_tokens: Tokens) -> Message<'_> {
        self.message(Usage::before(prompt_tokens))
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
    /// A whole block of text.
    pub(super) fn whole(text: &'a str) -> Self {
        Self { r#type: "text", text }
    }

    /// What a stream adds to a block.
    pub(super) fn delta(text: &'a str) -> Self {
        Self { r#type: "text_delta", text }
    }
}

impl End {
    /// The end of an answer.
    pub(super) fn of(stop: &Stop) -> Self {
        Self { stop_reason: stop_reason(stop), stop_sequence: None }
    }
}

impl Usage {
    /// The final figures.
    pub(super) fn of(record: &UsageRecord) -> Self {
        let (prompt, cached) = (record.prompt_tokens, record.cached_prompt_tokens);
        assert!(cached <= prompt, "a record's cached prompt tokens are among its prompt tokens");
        Self {
            input_tokens: prompt.get() - cached.get(),
            cache_creation_input_tokens: Tokens::ZERO,
            cache_read_input_tokens: cached,
            output_tokens: record.output_tokens,
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
            tallygate: None,
        }
    }
}

fn stop_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::Done => "end_turn",
        Stop::StopText(_) => "stop_sequence",
        Stop::Length => "max_tokens",
        Stop::ToolCalls => "tool_use",
        Stop::ContentFilter => "refusal",
    }
}
