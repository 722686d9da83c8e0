//! Turns an upstream's events into what the client is given: their bytes as they came, or deltas.
//! Never lets the end of an answer go: the last events are held back until its record is durable.
//! Fed by the exchange, event by event; a pure function of what came.

use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    calls::Calls,
    chunk::Chunk,
    reading::Reading,
    refusal::{self, Refusal},
};
use crate::dispatch::{
    Content, Delta, Finish, Part, Relay, Tally,
    splice::Fields,
    sse::{EVENT_BYTES_MAX, SseEvent},
};

/// What ends a stream in OpenAI's form.
const DONE: &[u8] = b"[DONE]";
/// What some servers name the event, or the object, that says that they gave up.
const ERROR: &[u8] = b"error";

/// How an answer goes on after an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is more to come.
    More,
    /// All is here.
    Whole,
    /// The upstream goes on beyond the bound: nothing more is wanted.
    Cut,
    /// The upstream gave up, or does not speak what it should.
    Failed(Refusal),
}

/// A stream in OpenAI's form on its way to the client.
#[derive(Debug)]
pub(super) struct StreamRelay {
    relay: Relay,
    reading: Reading,
    held_back: Vec<Bytes>,
    held_bytes: usize,
    is_holding: bool,
    is_done: bool,
    is_begun: bool,
    /// What own events share with those that came: `id`, `object`, `created`.
    envelope: Option<Envelope>,
    /// When the last text came.
    text_at: Option<Instant>,
    calls: Calls,
}

#[derive(Debug)]
struct Envelope {
    id: String,
    object: String,
    created: u64,
}

impl StreamRelay {
    pub(super) fn new(relay: Relay, reading: Reading) -> Self {
        Self {
            relay,
            reading,
            held_back: Vec::new(),
            held_bytes: 0,
            is_holding: false,
            is_done: false,
            is_begun: false,
            envelope: None,
            text_at: None,
            calls: Calls::default(),
        }
    }

    /// Whether the model has said anything yet.
    pub(super) fn has_text(&self) -> bool {
        self.text_at.is_some()
    }

    /// Takes one event; what the client is given is appended to `parts`.
    pub(super) fn take(&mut self, event: &SseEvent, at: Instant, parts: &mut Vec<Part>) -> Step {
        let Some(data) = &event.data else {
            // A sign of life. Before the first event it would be the answer's first byte, and commit us to it.
            if self.is_begun && !self.is_holding && matches!(self.relay, Relay::Forward { .. }) {
                parts.push(Part { content: Content::Event(event.raw.clone()), tokens: 0, at });
            }
            return Step::More;
        };
        if event.name.as_deref() == Some(ERROR) {
            return Step::Failed(refusal::of_data(data));
        }
        if data.trim_ascii() == DONE {
            self.is_done = true;
            self.reading.end_silent();
            return self.hold(event.raw.clone()).unwrap_or(Step::Whole);
        }
        match Chunk::read(data) {
            Ok(chunk) => self.take_chunk(chunk, event, data, at, parts),
            Err(_) => Step::Failed(Refusal::nonsense()),
        }
    }

    fn take_chunk(
        &mut self,
        chunk: Chunk,
        event: &SseEvent,
        data: &Bytes,
        at: Instant,
        parts: &mut Vec<Part>,
    ) -> Step {
        if let Some(error) = chunk.error.as_ref().filter(|error| !error.is_null()) {
            return Step::Failed(refusal::of_event(error));
        }
        if chunk.object.as_deref().map(str::as_bytes) == Some(ERROR) {
            return Step::Failed(refusal::of_data(data));
        }
        let gain = self.reading.take(&chunk);
        if gain.is_too_much {
            return Step::Cut;
        }
        self.is_begun = true;
        let tells_tier = chunk.has_tier() || chunk.stops().next().is_some();
        self.note_envelope(&chunk);
        if gain.has_text {
            self.text_at = Some(at);
        }
        self.is_holding |= self.reading.is_ended() || chunk.is_usage_only();
        match self.relay {
            Relay::Parse => {
                self.parse(chunk, gain.tokens, at, parts);
                Step::More
            }
            Relay::Forward { include_usage } => {
                let hides_usage = !include_usage && chunk.usage.is_some();
                let content = match hides_usage && chunk.is_usage_only() {
                    true => Bytes::new(),
                    false => self.rewritten(event, data, tells_tier, hides_usage),
                };
                self.forward(content, gain.tokens, at, parts)
            }
        }
    }

    /// The answer's end as far as it came: what is held back, and the counts. `finish` says why it ended where the
    /// upstream did not.
    pub(super) fn finish(mut self, finish: Option<Finish>, parts: &mut Vec<Part>) -> Tally {
        let tokens = self.reading.rest();
        if let Some(at) = self.text_at.filter(|_| tokens > 0) {
            parts.push(Part { content: Content::Nothing, tokens, at });
        }
        let is_whole = finish.is_none();
        if let Relay::Forward { include_usage } = self.relay
            && is_whole
        {
            self.complete(include_usage);
        }
        let mut tally = self.reading.tally(finish);
        if is_whole {
            tally.held_back = self.held_back;
        }
        tally
    }

    /// The stream of bytes ended. Whether the answer is whole.
    pub(super) fn is_whole(&self) -> bool {
        self.is_done || self.reading.is_ended()
    }

    /// The answer is cut: its own last events take the place of those that will not come.
    pub(super) fn cut(&mut self) {
        let unended = self.reading.unended();
        self.reading.end_cut();
        if matches!(self.relay, Relay::Parse) {
            return;
        }
        for index in unended {
            let choice = match self.is_chat() {
                true => json!({"index": index, "delta": {}, "logprobs": null, "finish_reason": "length"}),
                false => json!({"index": index, "text": "", "logprobs": null, "finish_reason": "length"}),
            };
            let event = self.own_event(json!([choice]), None);
            self.held_back.push(event);
        }
    }

    /// Adds what a client waits for and the upstream left out.
    fn complete(&mut self, include_usage: bool) {
        let done = if self.is_done { self.held_back.pop() } else { None };
        if include_usage && !self.reading.is_stated() {
            let event = self.own_event(json!([]), Some(self.reading.usage_json()));
            self.held_back.push(event);
        }
        self.held_back.push(done.unwrap_or(Bytes::from_static(b"data: [DONE]\n\n")));
    }

    fn parse(&mut self, chunk: Chunk, tokens: u64, at: Instant, parts: &mut Vec<Part>) {
        let deltas = chunk.into_deltas();
        let mut tokens = tokens;
        if deltas.is_empty() && tokens > 0 {
            parts.push(Part { content: Content::Nothing, tokens, at });
        }
        for (choice, mut delta) in deltas {
            if let Delta::ToolCall(part) = &mut delta {
                self.calls.number(choice, part);
            }
            parts.push(Part { content: Content::Delta { choice, delta }, tokens, at });
            // They came together and count once.
            tokens = 0;
        }
    }

    fn forward(&mut self, bytes: Bytes, tokens: u64, at: Instant, parts: &mut Vec<Part>) -> Step {
        if !self.is_holding {
            parts.push(Part { content: Content::Event(bytes), tokens, at });
            return Step::More;
        }
        if tokens > 0 {
            parts.push(Part { content: Content::Nothing, tokens, at });
        }
        self.hold(bytes).unwrap_or(Step::More)
    }

    /// `Some`: more is held back than can be.
    fn hold(&mut self, bytes: Bytes) -> Option<Step> {
        self.is_holding = true;
        self.held_bytes = self.held_bytes.saturating_add(bytes.len());
        if self.held_bytes > EVENT_BYTES_MAX {
            return Some(Step::Failed(Refusal::nonsense()));
        }
        if !bytes.is_empty() && matches!(self.relay, Relay::Forward { .. }) {
            self.held_back.push(bytes);
        }
        None
    }

    fn note_envelope(&mut self, chunk: &Chunk) {
        if self.envelope.is_none() {
            self.envelope = Some(Envelope {
                id: chunk.id.clone().unwrap_or_default(),
                object: chunk.object.clone().unwrap_or_else(|| "chat.completion.chunk".to_owned()),
                created: chunk.created.unwrap_or(0),
            });
        }
    }

    fn is_chat(&self) -> bool {
        self.envelope.as_ref().is_none_or(|envelope| envelope.object.starts_with("chat."))
    }

    fn own_event(&self, choices: Value, usage: Option<Value>) -> Bytes {
        let mut event = json!({"id": "", "object": "chat.completion.chunk", "created": 0});
        if let Some(envelope) = &self.envelope {
            event = json!({"id": envelope.id, "object": envelope.object, "created": envelope.created});
        }
        event["model"] = json!(self.reading.model());
        event["choices"] = choices;
        match (usage, self.reading.tier()) {
            (Some(usage), _) => event["usage"] = usage,
            (None, Some(tier)) => event["service_tier"] = json!(tier),
            (None, None) => {}
        }
        Bytes::from(format!("data: {event}\n\n"))
    }

    /// The event with the gateway's name for the model, where the upstream has another, with the tier served where it
    /// is to tell it, and without usage that nobody asked for.
    fn rewritten(&self, event: &SseEvent, data: &Bytes, tells_tier: bool, hides_usage: bool) -> Bytes {
        let hidden = if hides_usage { without_usage(data) } else { None };
        let changed = self.reading.rewritten(hidden.as_deref().unwrap_or(data), tells_tier);
        match changed.or(hidden) {
            Some(data) => Bytes::from([b"data: ".as_slice(), &data, b"\n\n"].concat()),
            None => event.raw.clone(),
        }
    }
}

/// An object with another value of `model`, where it has one, and with this tier. `None`: it cannot be changed.
pub(super) fn with_fields(json: &[u8], model: Option<&str>, tier: Option<&str>) -> Option<Vec<u8>> {
    let fields = Fields::read(json).ok()?;
    let model = model.filter(|_| fields.find("model").is_ok_and(|model| model.is_some()));
    let mut splice = fields.splice();
    for (name, value) in [("model", model), ("service_tier", tier)] {
        if let Some(value) = value {
            splice.set(name, json!(value).to_string().as_bytes()).ok()?;
        }
    }
    Some(splice.finish())
}

/// An object without its usage. `None`: it cannot be changed.
fn without_usage(json: &[u8]) -> Option<Vec<u8>> {
    let mut splice = Fields::read(json).ok()?.splice();
    splice.remove("usage").ok()?;
    Some(splice.finish())
}

#[cfg(test)]
mod tests;
