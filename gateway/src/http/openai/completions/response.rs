//! The answers of completions: the whole one, and the parts of a stream.
//! Never measures; every figure comes from the usage record.
//! Called by `completions` and its events.

use domain::UsageRecord;
use serde::Serialize;

use crate::{
    http::{
        measured::Measured,
        openai::response::{Usage, finish_reason},
        run::{Collected, Running},
    },
    stream::Stop,
};

/// What all parts of one answer share.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    id: String,
    created: i64,
    model: String,
}

/// A whole answer, or one part of a stream.
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
    text: &'a str,
    index: u32,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

impl Envelope {
    /// The envelope of a running request.
    pub(super) fn of(running: &Running) -> Self {
        Self {
            id: format!("cmpl-{}", running.request_id),
            created: running.started_at.unix_micros().div_euclid(1_000_000),
            model: running.model.clone(),
        }
    }

    /// The whole answer.
    pub(super) fn whole<'a>(&'a self, collected: &'a Collected) -> Answer<'a> {
        let choice = |(index, choice): (u32, &'a crate::http::run::CollectedChoice)| Choice {
            text: &choice.text,
            index,
            logprobs: None,
            finish_reason: Some(finish_reason(&choice.stop)),
        };
        let choices = (0..).zip(&collected.choices).map(choice).collect();
        Answer { choices, usage: Some(Usage::of(collected.settled.record())), ..self.answer() }
    }

    /// A part with text of one choice.
    pub(super) fn text<'a>(&'a self, index: u32, text: &'a str) -> Answer<'a> {
        let choice = Choice { text, index, logprobs: None, finish_reason: None };
        Answer { choices: vec![choice], ..self.answer() }
    }

    /// The part that says why a choice ended; the last of them carries our figures.
    pub(super) fn last(&self, index: u32, stop: &Stop, record: Option<&UsageRecord>) -> Answer<'_> {
        let choice = Choice { text: "", index, logprobs: None, finish_reason: Some(finish_reason(stop)) };
        Answer { choices: vec![choice], tallygate: record.map(Measured::of), ..self.answer() }
    }

    /// The part that `stream_options.include_usage` asks for.
    pub(super) fn usage(&self, record: &UsageRecord) -> Answer<'_> {
        Answer { usage: Some(Usage::of(record)), ..self.answer() }
    }

    fn answer(&self) -> Answer<'_> {
        Answer {
            id: &self.id,
            object: "text_completion",
            created: self.created,
            model: &self.model,
            choices: Vec::new(),
            usage: None,
            tallygate: None,
        }
    }
}
