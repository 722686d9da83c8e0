//! The answers of chat completions: the whole one, and the parts of a stream.
//! Never measures; every figure comes from the usage record.
//! Called by `chat` and `sse`.

use domain::{RequestId, Timestamp, Tokens, UsageRecord};
use serde::Serialize;

use crate::{
    http::{measured::Measured, run::CollectedChoice},
    stream::Stop,
};

/// What all parts of one answer share.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    id: String,
    created: i64,
    model: String,
}

/// A whole answer, or one part of a stream, in OpenAI's form.
#[derive(Debug, Serialize)]
pub(super) struct Answer<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tallygate: Option<Measured>,
}

#[derive(Debug, Serialize)]
struct Choice<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Delta<'a>>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    refusal: Option<()>,
}

#[derive(Debug, Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

/// The figures of one request in OpenAI's form, with ours beside them.
#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: Tokens,
    completion_tokens: Tokens,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
    tallygate: Measured,
}

#[derive(Debug, Serialize)]
struct PromptDetails {
    cached_tokens: Tokens,
}

#[derive(Debug, Serialize)]
struct CompletionDetails {
    reasoning_tokens: Tokens,
}

impl Envelope {
    /// The envelope of a request that was read at this time of day.
    pub(super) fn new(request_id: RequestId, started_at: Timestamp, model: &str) -> Self {
        Self {
            id: format!("chatcmpl-{request_id}"),
            created: started_at.unix_micros().div_euclid(1_000_000),
            model: model.to_owned(),
        }
    }

    /// The whole answer.
    pub(super) fn whole<'a>(&'a self, choices: &'a [CollectedChoice], record: &UsageRecord) -> Answer<'a> {
        let choices = (0..).zip(choices).map(|(index, choice)| Choice {
            index,
            message: Some(Message { role: "assistant", content: &choice.text, refusal: None }),
            delta: None,
            logprobs: None,
            finish_reason: Some(finish_reason(&choice.stop)),
        });
        Answer { choices: choices.collect(), usage: Some(usage(record)), ..self.answer("chat.completion") }
    }

    /// The first part of a stream: the role.
    pub(super) fn first(&self) -> Answer<'_> {
        self.part(Delta { role: Some("assistant"), content: Some("") }, None)
    }

    /// A part with text.
    pub(super) fn text<'a>(&'a self, text: &'a str) -> Answer<'a> {
        self.part(Delta { role: None, content: Some(text) }, None)
    }

    /// The part that says why the answer ended; carries our figures whether usage was asked for or not.
    pub(super) fn last(&self, stop: &Stop, record: &UsageRecord) -> Answer<'_> {
        let part = self.part(Delta::default(), Some(finish_reason(stop)));
        Answer { tallygate: Some(Measured::of(record)), ..part }
    }

    /// The part that `stream_options.include_usage` asks for: no choice, only usage.
    pub(super) fn usage(&self, record: &UsageRecord) -> Answer<'_> {
        Answer { usage: Some(usage(record)), ..self.answer("chat.completion.chunk") }
    }

    fn part<'a>(&'a self, delta: Delta<'a>, finish_reason: Option<&'static str>) -> Answer<'a> {
        let choice = Choice { index: 0, message: None, delta: Some(delta), logprobs: None, finish_reason };
        Answer { choices: vec![choice], ..self.answer("chat.completion.chunk") }
    }

    fn answer(&self, object: &'static str) -> Answer<'_> {
        let (id, model) = (self.id.as_str(), self.model.as_str());
        Answer { id, object, created: self.created, model, choices: Vec::new(), usage: None, tallygate: None }
    }
}

fn finish_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::Done | Stop::StopText(_) => "stop",
        Stop::Length => "length",
        Stop::ToolCalls => "tool_calls",
        Stop::ContentFilter => "content_filter",
    }
}

fn usage(record: &UsageRecord) -> Usage {
    Usage {
        prompt_tokens: record.prompt_tokens,
        completion_tokens: record.output_tokens,
        total_tokens: record.prompt_tokens.get().saturating_add(record.output_tokens.get()),
        prompt_tokens_details: PromptDetails { cached_tokens: record.cached_prompt_tokens },
        completion_tokens_details: CompletionDetails { reasoning_tokens: record.reasoning_tokens },
        tallygate: Measured::of(record),
    }
}
