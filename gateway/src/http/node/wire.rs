//! A node's answers in OpenAI's form, with what it adds for its gateway: tokens so far, and at the end the energy.
//! Never counts or measures; the engine's tally has every figure.
//! Used by `answer`; read on the other side by `dispatch`.

use actix_web::HttpResponse;
use domain::{EnergySource, Micros, Millijoules, ModelName};
use serde::Serialize;

use super::create::Call;
use crate::{
    dispatch::{Finish, Stop, Tally},
    http::{ApiError, openai::finish_reason, sse::write_event},
};

/// What ends every stream that did not fail.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// What all parts of one answer share, and what came so far.
#[derive(Debug)]
pub(super) struct Envelope {
    call: Call,
    id: String,
    created: i64,
    model: String,
    prompt_tokens: u64,
    /// Tokens of all choices so far.
    output_tokens: u64,
    /// Choices that were begun, by their number.
    begun: Vec<bool>,
}

/// A whole answer, or one part of a stream.
#[derive(Serialize)]
struct Answer<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    usage: Usage,
}

#[derive(Default, Serialize)]
struct Choice<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    finish_reason: Option<&'static str>,
    /// The stop string that came, as vLLM tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<&'a str>,
}

#[derive(Default, Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

/// What was used so far; all of it once the engine's tally is there.
#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    #[serde(flatten)]
    spent: Option<Spent>,
}

/// What only the end knows.
#[derive(Serialize)]
struct Spent {
    prompt_tokens_details: PromptDetails,
    energy_mj: Millijoules,
    energy_source: EnergySource,
    queue_us: Micros,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
}

impl Envelope {
    /// Of a request: its id and the second it came in, its model, the tokens of its prompts and its choices.
    pub(super) fn new(
        call: Call,
        (id, created): (String, i64),
        model: &ModelName,
        (prompt_tokens, choices): (u64, usize),
    ) -> Self {
        let (model, begun) = (model.as_str().to_owned(), vec![false; choices]);
        Self { call, id, created, model, prompt_tokens, output_tokens: 0, begun }
    }

    /// How many choices there are.
    pub(super) fn choices(&self) -> usize {
        self.begun.len()
    }

    /// The event of more tokens of one choice.
    pub(super) fn tokens(&mut self, choice: u32, text: &str, tokens: u64) -> Vec<u8> {
        self.output_tokens = self.output_tokens.saturating_add(tokens);
        let choice = self.part(choice, text);
        event(&self.answer(vec![choice], self.usage()))
    }

    /// The last events: texts held back, why each choice ended, what was spent; and the failure, if it was one.
    pub(super) fn end(&mut self, tally: &Tally, failure: Option<&ApiError>) -> Vec<u8> {
        let mut bytes = Vec::new();
        if failure.is_none() {
            for (choice, tail) in &tally.tails {
                let choice = self.part(*choice, tail);
                write_event(&mut bytes, None, &self.answer(vec![choice], self.usage()));
            }
            for (index, stop) in stops(tally) {
                let choice = Choice {
                    finish_reason: Some(finish_reason(stop)),
                    stop_reason: stop_text(stop),
                    ..self.part(index, "")
                };
                write_event(&mut bytes, None, &self.answer(vec![choice], self.usage()));
            }
        }
        write_event(&mut bytes, None, &self.answer(Vec::new(), Usage::of(tally)));
        match failure {
            Some(error) => write_event(&mut bytes, None, &error.to_openai()),
            None => bytes.extend_from_slice(DONE),
        }
        bytes
    }

    /// The answer in one piece.
    pub(super) fn whole(&self, texts: &[String], tally: &Tally) -> HttpResponse {
        let choices = stops(tally).map(|(index, stop)| {
            let place = usize::try_from(index).unwrap_or(usize::MAX);
            let text = texts.get(place).map_or("", String::as_str);
            let message = Message { role: Some("assistant"), content: Some(text) };
            let (message, text) = match self.call {
                Call::Chat => (Some(message), None),
                Call::Completion => (None, Some(text)),
            };
            let (finish_reason, stop_reason) = (Some(finish_reason(stop)), stop_text(stop));
            Choice { index, message, text, finish_reason, stop_reason, ..Choice::default() }
        });
        let object = match self.call {
            Call::Chat => "chat.completion",
            Call::Completion => "text_completion",
        };
        let answer = Answer { object, ..self.answer(choices.collect(), Usage::of(tally)) };
        HttpResponse::Ok().json(answer)
    }

    /// An addition to a choice; the first of a chat says whose it is.
    fn part<'a>(&mut self, index: u32, text: &'a str) -> Choice<'a> {
        let place = usize::try_from(index).ok().and_then(|place| self.begun.get_mut(place));
        let is_first = place.is_some_and(|begun| !std::mem::replace(begun, true));
        match self.call {
            Call::Chat => {
                let role = is_first.then_some("assistant");
                let content = (is_first || !text.is_empty()).then_some(text);
                Choice { index, delta: Some(Message { role, content }), ..Choice::default() }
            }
            Call::Completion => Choice { index, text: Some(text), ..Choice::default() },
        }
    }

    fn answer<'a>(&'a self, choices: Vec<Choice<'a>>, usage: Usage) -> Answer<'a> {
        let object = match self.call {
            Call::Chat => "chat.completion.chunk",
            Call::Completion => "text_completion",
        };
        Answer { id: &self.id, object, created: self.created, model: &self.model, choices, usage }
    }

    fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.output_tokens,
            total_tokens: self.prompt_tokens.saturating_add(self.output_tokens),
            spent: None,
        }
    }
}

impl Usage {
    fn of(tally: &Tally) -> Self {
        let (prompt_tokens, completion_tokens) = (tally.prompt_tokens.get(), tally.output_tokens.get());
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            spent: Some(Spent {
                prompt_tokens_details: PromptDetails { cached_tokens: tally.cached_prompt_tokens.get() },
                energy_mj: tally.energy,
                energy_source: tally.energy_source,
                queue_us: tally.queue,
            }),
        }
    }
}

/// Why each choice stopped, where the model stopped it.
fn stops(tally: &Tally) -> impl Iterator<Item = (u32, &Stop)> {
    let stops = match &tally.finish {
        Finish::Stopped(stops) => stops.as_slice(),
        Finish::Cancelled | Finish::Deadline | Finish::Failed => &[],
    };
    (0..).zip(stops)
}

fn stop_text(stop: &Stop) -> Option<&str> {
    match stop {
        Stop::StopText(text) => Some(text),
        Stop::Done | Stop::Length | Stop::ToolCalls | Stop::ContentFilter => None,
    }
}

fn event(data: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_event(&mut bytes, None, data);
    bytes
}
