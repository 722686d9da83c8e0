//! The answers of chat completions: the whole one, and the parts of a stream.
//! Never measures; every figure comes from the usage record.
//! Called by `chat` and `sse`.

use domain::{RequestId, Timestamp, Tokens, UsageRecord};
use serde::Serialize;

use crate::{
    http::{
        measured::Measured,
        run::{Collected, CollectedChoice},
        wish,
    },
    stream::{Delta, Stop, ToolCallDelta},
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
    service_tier: Option<&'static str>,
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
    delta: Option<Part<'a>>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

/// An addition to a choice.
#[derive(Debug, Default, Serialize)]
struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
}

#[derive(Debug, Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

/// The figures of one request in OpenAI's form, with ours beside them.
#[derive(Debug, Serialize)]
pub(super) struct Usage {
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
    pub(super) fn whole<'a>(&'a self, collected: &'a Collected) -> Answer<'a> {
        let choices = (0..).zip(&collected.choices).map(|(index, choice)| Choice {
            index,
            message: Some(Message::of(choice)),
            delta: None,
            logprobs: None,
            finish_reason: Some(finish_reason(&choice.stop)),
        });
        let record = collected.settled.record();
        let (usage, service_tier) = (Some(Usage::of(record)), Some(wish::tier(record.slo.class)));
        Answer { choices: choices.collect(), usage, service_tier, ..self.answer("chat.completion") }
    }

    /// The first part of a choice: the role.
    pub(super) fn first(&self, choice: u32) -> Answer<'_> {
        self.part(choice, Part { role: Some("assistant"), content: Some(""), ..Part::default() }, None)
    }

    /// A part that adds something to a choice.
    pub(super) fn delta<'a>(&'a self, choice: u32, delta: &'a Delta) -> Answer<'a> {
        self.part(choice, Part::of(delta), None)
    }

    /// The part that says why a choice ended; the last of them carries our figures, asked for or not.
    pub(super) fn last(&self, choice: u32, stop: &Stop, record: Option<&UsageRecord>) -> Answer<'_> {
        let part = self.part(choice, Part::default(), Some(finish_reason(stop)));
        let service_tier = record.map(|record| wish::tier(record.slo.class));
        Answer { tallygate: record.map(Measured::of), service_tier, ..part }
    }

    /// The part that `stream_options.include_usage` asks for: no choice, only usage.
    pub(super) fn usage(&self, record: &UsageRecord) -> Answer<'_> {
        Answer { usage: Some(Usage::of(record)), ..self.answer("chat.completion.chunk") }
    }

    fn part<'a>(&'a self, index: u32, part: Part<'a>, finish_reason: Option<&'static str>) -> Answer<'a> {
        let choice = Choice { index, message: None, delta: Some(part), logprobs: None, finish_reason };
        Answer { choices: vec![choice], ..self.answer("chat.completion.chunk") }
    }

    fn answer(&self, object: &'static str) -> Answer<'_> {
        let (id, model) = (self.id.as_str(), self.model.as_str());
        Answer {
            id,
            object,
            created: self.created,
            model,
            choices: Vec::new(),
            service_tier: None,
            usage: None,
            tallygate: None,
        }
    }
}

impl<'a> Message<'a> {
    fn of(choice: &'a CollectedChoice) -> Self {
        let tool_calls: Vec<_> = choice.tool_calls.iter().map(Call::whole).collect();
        let is_silent = choice.text.is_empty() && (!tool_calls.is_empty() || !choice.refusal.is_empty());
        Self {
            role: "assistant",
            content: (!is_silent).then_some(&choice.text),
            refusal: filled(&choice.refusal),
            reasoning_content: filled(&choice.reasoning),
            tool_calls,
        }
    }
}

impl<'a> Part<'a> {
    fn of(delta: &'a Delta) -> Self {
        match delta {
            Delta::Text(text) => Self { content: Some(text), ..Self::default() },
            Delta::Reasoning(text) => Self { reasoning_content: Some(text), ..Self::default() },
            Delta::Refusal(text) => Self { refusal: Some(text), ..Self::default() },
            Delta::ToolCall(part) => Self { tool_calls: vec![Call::part(part)], ..Self::default() },
        }
    }
}

impl<'a> Call<'a> {
    fn whole(call: &'a ToolCallDelta) -> Self {
        Self { index: None, r#type: Some("function"), ..Self::part(call) }
    }

    fn part(part: &'a ToolCallDelta) -> Self {
        Self {
            index: Some(part.index),
            id: part.id.as_deref(),
            r#type: part.id.is_some().then_some("function"),
            function: Function { name: part.name.as_deref(), arguments: &part.arguments },
        }
    }
}

impl Usage {
    /// The final figures.
    pub(super) fn of(record: &UsageRecord) -> Self {
        Self {
            prompt_tokens: record.prompt_tokens,
            completion_tokens: record.output_tokens,
            total_tokens: record.prompt_tokens.get().saturating_add(record.output_tokens.get()),
            prompt_tokens_details: PromptDetails { cached_tokens: record.cached_prompt_tokens },
            completion_tokens_details: CompletionDetails { reasoning_tokens: record.reasoning_tokens },
            tallygate: Measured::of(record),
        }
    }
}

/// Why a choice ended, in OpenAI's words.
pub(in crate::http) fn finish_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::Done | Stop::StopText(_) => "stop",
        Stop::Length => "length",
        Stop::ToolCalls => "tool_calls",
        Stop::ContentFilter => "content_filter",
    }
}

fn filled(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
