//! What is known of an answer while it is read: tokens counted, usage stated, choices ended, the bound reached.
//! Never touches a connection or a clock; it is told what came.
//! Fed by the readers of streams and whole answers; closed into a tally.

use domain::{Tokens, UsageSource};

use super::{
    chunk::Chunk,
    count::{Counter, RunningCount},
    relay::with_fields,
    usage::{NodeUsage, StatedUsage, UsageBounds},
};
use crate::{
    config::TokenEnergy,
    dispatch::{Finish, Stop, Tally},
};

/// Longest token of the vocabularies in use: runs of spaces and rulers have up to 256 bytes. Text beyond the
/// output bound times this is beyond the bound, however it is counted. Unit: bytes.
const TOKEN_BYTES_MAX: u64 = 256;

/// What is known of a request before it is sent.
#[derive(Clone, Debug)]
pub(super) struct Expectation {
    /// Answers asked for.
    pub(super) choices: u32,
    /// Most tokens of each.
    pub(super) output_tokens_max: u32,
    /// About how many tokens the prompt has.
    pub(super) prompt_tokens: u64,
    /// More it cannot have.
    pub(super) prompt_tokens_max: u64,
    /// Modelled energy of a prompt token and of an output token.
    pub(super) energy: (TokenEnergy, TokenEnergy),
    /// The gateway's name for the model.
    pub(super) model: String,
    /// It is a node of ours: its figures of energy are believed, and it counts its tokens as it makes them.
    pub(super) is_node: bool,
    /// The upstream has another name for it.
    pub(super) is_renamed: bool,
    /// What a forwarded answer tells as its tier.
    pub(super) tier: Option<&'static str>,
}

/// A whole answer that is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excess {
    /// What each choice may keep of its texts. Unit: bytes.
    pub(super) bytes_max: usize,
}

impl Expectation {
    fn bounds(&self) -> UsageBounds {
        UsageBounds {
            prompt_tokens_max: self.prompt_tokens_max,
            output_tokens_max: u64::from(self.output_tokens_max).saturating_mul(u64::from(self.choices)),
        }
    }
}

/// One choice of an answer.
#[derive(Clone, Debug, Default)]
struct ChoiceReading {
    /// Chunks that brought it text: each has a token at least.
    chunks: u64,
    bytes: u64,
    stop: Option<Stop>,
}

/// An answer, as far as it was read.
#[derive(Debug)]
pub(super) struct Reading {
    expectation: Expectation,
    counter: Counter,
    running: RunningCount,
    reasoning: RunningCount,
    choices: Vec<ChoiceReading>,
    /// Tokens said to have come so far.
    told: u64,
    stated: Option<StatedUsage>,
    /// What only a node states.
    of_node: Option<NodeUsage>,
    /// Text came after usage was stated: the statement does not have it.
    is_statement_old: bool,
}

/// What a chunk brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gain {
    /// Tokens that came with it.
    pub(super) tokens: u64,
    /// It brought text.
    pub(super) has_text: bool,
    /// With it the answer would be longer than allowed.
    pub(super) is_too_much: bool,
}

impl Reading {
    pub(super) fn new(expectation: Expectation, counter: Counter) -> Self {
        let choices =
            vec![ChoiceReading::default(); usize::try_from(expectation.choices).unwrap_or(1).max(1)];
        Self {
            expectation,
            counter,
            running: RunningCount::default(),
            reasoning: RunningCount::default(),
            choices,
            told: 0,
            stated: None,
            of_node: None,
            is_statement_old: false,
        }
    }

    /// Counts what a chunk of a stream brings. One that is too much is not counted: it is not delivered either.
    pub(super) fn take(&mut self, chunk: &Chunk) -> Gain {
        let mut gain = Gain { tokens: 0, has_text: false, is_too_much: false };
        if self.would_be_too_much(chunk) {
            gain.is_too_much = true;
            return gain;
        }
        gain.has_text = self.count_text(chunk);
        self.note_stops(chunk);
        self.note_usage(chunk);
        gain.tokens = self.tell();
        gain
    }

    /// Counts a whole answer.
    pub(super) fn take_whole(&mut self, chunk: &Chunk) -> Gain {
        let has_text = self.count_text(chunk);
        self.note_stops(chunk);
        self.note_usage(chunk);
        Gain { tokens: self.tell(), has_text, is_too_much: false }
    }

    /// Every choice has ended.
    pub(super) fn is_ended(&self) -> bool {
        self.choices.iter().all(|choice| choice.stop.is_some())
    }

    /// The gateway's name for the model, for events of our own.
    pub(super) fn model(&self) -> &str {
        &self.expectation.model
    }

    /// The tier in which it is served, for events of our own.
    pub(super) fn tier(&self) -> Option<&'static str> {
        self.expectation.tier
    }

    /// An answer, or a part of it, with the gateway's name for the model, and with the tier served where it is to tell
    /// it. `None`: it is to stay as it is.
    pub(super) fn rewritten(&self, json: &[u8], tells_tier: bool) -> Option<Vec<u8>> {
        let Expectation { model, is_renamed, tier, .. } = &self.expectation;
        let (model, tier) = (is_renamed.then_some(model.as_str()), tier.filter(|_| tells_tier));
        if model.is_none() && tier.is_none() {
            return None;
        }
        with_fields(json, model, tier)
    }

    /// How far a whole answer has to be cut. `None`: nothing says that it goes beyond its bound.
    ///
    /// Its server says how many tokens it has, or a tokenizer does; without either, only what no vocabulary has room for
    /// is beyond the bound.
    pub(super) fn excess_of(&self, chunk: &Chunk) -> Option<Excess> {
        let Expectation { choices, output_tokens_max, .. } = self.expectation;
        let (each_max, choices) = (u64::from(output_tokens_max), u64::from(choices));
        let (mut bytes, mut longest) = (0_u64, vec![0_u64; self.choices.len()]);
        for (index, text) in chunk.texts() {
            bytes = bytes.saturating_add(text.len() as u64);
            if let Some(choice) = longest.get_mut(self.place(index)) {
                *choice = choice.saturating_add(text.len() as u64);
            }
        }
        let longest = longest.into_iter().max().unwrap_or(0);
        let sure_max = each_max.saturating_mul(TOKEN_BYTES_MAX);
        // One more for each choice is the token that ends a text, which some servers count.
        let tokens_max = each_max.saturating_add(1).saturating_mul(choices);
        let text_tokens = self.text_tokens(chunk).unwrap_or(0).min(bytes);
        let share_max = match text_tokens > tokens_max {
            // As many bytes as so many of its tokens have on average.
            true => {
                let share = u128::from(bytes) * u128::from(each_max);
                u64::try_from(share.div_ceil(u128::from(text_tokens))).unwrap_or(u64::MAX)
            }
            false => u64::MAX,
        };
        let bytes_max = sure_max.min(share_max);
        (longest > bytes_max).then(|| Excess { bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX) })
    }

    /// Tokens of the texts of a whole answer, by who knows them.
    fn text_tokens(&self, chunk: &Chunk) -> Option<u64> {
        let boundless = UsageBounds { prompt_tokens_max: u64::MAX, output_tokens_max: u64::MAX };
        let stated = chunk.usage.as_ref().and_then(|usage| StatedUsage::read(usage, boundless));
        let is_reasoning_shown = chunk.reasoning_texts().next().is_some();
        match stated.and_then(|stated| Some((stated.output_tokens?, stated.reasoning_tokens))) {
            Some((output, reasoning)) if !is_reasoning_shown => Some(output.saturating_sub(reasoning)),
            Some((output, _)) => Some(output),
            None => self.counter.exact(chunk.texts().map(|(_, text)| text)),
        }
    }

    /// The places of choices that have not ended.
    pub(super) fn unended(&self) -> Vec<u32> {
        let places = (0_u32..).zip(&self.choices);
        places.filter(|(_, choice)| choice.stop.is_none()).map(|(place, _)| place).collect()
    }

    /// The answer was cut at its bound.
    pub(super) fn end_cut(&mut self) {
        for choice in &mut self.choices {
            choice.stop.get_or_insert(Stop::Length);
        }
    }

    /// The upstream said that all is done without saying why.
    pub(super) fn end_silent(&mut self) {
        for choice in &mut self.choices {
            choice.stop.get_or_insert(Stop::Done);
        }
    }

    /// Tokens that were produced and not told yet, once the upstream has stated all.
    pub(super) fn rest(&mut self) -> u64 {
        self.tell()
    }

    /// Closes what was read into a tally.
    pub(super) fn tally(&mut self, finish: Option<Finish>) -> Tally {
        let bounds = self.expectation.bounds();
        let stated = self.stated.filter(|_| !self.is_statement_old);
        if let Some(flaw) = stated.and_then(|stated| stated.flaw) {
            tracing::warn!(flaw, "a backend stated usage that cannot be");
        }
        let said_prompt = self.stated.and_then(|stated| stated.prompt_tokens);
        let said_output = stated.and_then(|stated| stated.output_tokens);
        let is_exact = said_prompt.is_some()
            && said_output.is_some()
            && self.stated.is_some_and(|stated| stated.flaw.is_none());
        let prompt = said_prompt.unwrap_or(self.expectation.prompt_tokens).min(bounds.prompt_tokens_max);
        let output = said_output.unwrap_or(self.counted()).min(bounds.output_tokens_max);
        let reasoning = match stated {
            Some(stated) if said_output.is_some() => stated.reasoning_tokens,
            _ => self.reasoning.tokens(),
        };
        let nothing = Tally::nothing(Finish::Failed);
        let (prompt_energy, output_energy) = self.expectation.energy;
        let modelled = NodeUsage {
            energy: TokenEnergy::of((prompt, prompt_energy), (output, output_energy)),
            energy_source: nothing.energy_source,
            queue: nothing.queue,
        };
        let NodeUsage { energy, energy_source, queue } = self.of_node.unwrap_or(modelled);
        let stops = self.choices.iter_mut().map(|choice| choice.stop.take().unwrap_or(Stop::Done));
        let finish = finish.unwrap_or_else(|| Finish::Stopped(stops.collect()));
        Tally {
            prompt_tokens: Tokens::new(prompt),
            cached_prompt_tokens: Tokens::new(
                self.stated.map_or(0, |stated| stated.cached_prompt_tokens).min(prompt),
            ),
            output_tokens: Tokens::new(output),
            reasoning_tokens: Tokens::new(reasoning.min(output)),
            energy,
            energy_source,
            queue,
            usage_source: match (is_exact, self.expectation.is_node) {
                (true, true) => UsageSource::Engine,
                (true, false) => UsageSource::Upstream,
                (false, _) => UsageSource::Estimated,
            },
            finish,
            ..nothing
        }
    }

    /// Usage in OpenAI's form, for a client that asked for it and an upstream that did not give it.
    pub(super) fn usage_json(&self) -> serde_json::Value {
        let (prompt, output) = (self.expectation.prompt_tokens, self.counted());
        serde_json::json!({
            "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt.saturating_add(output),
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning.tokens().min(output)},
        })
    }

    /// Whether the upstream stated usage for all that came.
    pub(super) fn is_stated(&self) -> bool {
        self.stated.is_some() && !self.is_statement_old
    }

    fn would_be_too_much(&self, chunk: &Chunk) -> bool {
        let tokens_max = u64::from(self.expectation.output_tokens_max);
        let mut last = None;
        chunk.texts().any(|(index, text)| {
            let choice = self.choice(index);
            let chunks = choice.chunks + u64::from(last != Some(index));
            last = Some(index);
            let bytes = choice.bytes.saturating_add(text.len() as u64);
            // A node's chunk may bring text that was held back, and no token.
            let is_too_often = chunks > tokens_max && !self.expectation.is_node;
            is_too_often || bytes > tokens_max.saturating_mul(TOKEN_BYTES_MAX)
        })
    }

    fn count_text(&mut self, chunk: &Chunk) -> bool {
        let mut last = None;
        for (index, text) in chunk.texts() {
            self.counter.add(&mut self.running, text);
            let place = self.place(index);
            if let Some(choice) = self.choices.get_mut(place) {
                choice.bytes = choice.bytes.saturating_add(text.len() as u64);
                choice.chunks += u64::from(last != Some(index));
            }
            last = Some(index);
        }
        for text in chunk.reasoning_texts() {
            self.counter.add(&mut self.reasoning, text);
        }
        self.is_statement_old |= last.is_some();
        last.is_some()
    }

    fn note_stops(&mut self, chunk: &Chunk) {
        for (index, stop) in chunk.stops() {
            let place = self.place(index);
            if let Some(choice) = self.choices.get_mut(place) {
                choice.stop = Some(stop);
            }
        }
    }

    fn note_usage(&mut self, chunk: &Chunk) {
        let bounds = self.expectation.bounds();
        if let Some(stated) = chunk.usage.as_ref().and_then(|usage| StatedUsage::read(usage, bounds)) {
            self.stated = Some(stated);
            self.is_statement_old = false;
        }
        if self.expectation.is_node {
            self.of_node = chunk.usage.as_ref().and_then(NodeUsage::read).or(self.of_node);
        }
    }

    /// An index beyond what was asked for counts for the last choice: nothing an upstream sends is free.
    fn place(&self, index: u32) -> usize {
        usize::try_from(index).unwrap_or(usize::MAX).min(self.choices.len() - 1)
    }

    fn choice(&self, index: u32) -> ChoiceReading {
        self.choices.get(self.place(index)).cloned().unwrap_or_default()
    }

    fn counted(&self) -> u64 {
        self.running.tokens().min(self.expectation.bounds().output_tokens_max)
    }

    /// How many tokens came since it was last told.
    fn tell(&mut self) -> u64 {
        let stated = self.stated.filter(|_| !self.is_statement_old).and_then(|stated| stated.output_tokens);
        let now = stated.unwrap_or(self.counted()).max(self.told);
        let more = now - self.told;
        self.told = now;
        more
    }
}

#[cfg(test)]
mod tests;
