//! What the engine is asked to do: prompts, sampling parameters, limits.
//! Never a tenant, a key or a price; fairness key and cache scope are opaque numbers.
//! Built by the gateway, checked once by `Engine::submit`.

use std::time::Instant;

use domain::Tokens;
use serde::{Deserialize, Serialize};

use crate::EngineError;

/// Stop strings of one job. Four is what the common APIs allow; the rest is room for templates' own.
pub(crate) const STOP_STRINGS_MAX: usize = 16;

/// Length of one stop string. Text as long as the longest is held back while streaming. Unit: bytes.
pub(crate) const STOP_BYTES_MAX: usize = 1_024;

/// Temperatures above this are noise whatever the model.
const TEMPERATURE_MAX: f32 = 100.0;

/// Who says a message of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The operator's instructions.
    System,
    /// The person asking.
    User,
    /// The model.
    Assistant,
}

/// One message of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// A text as the model reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    ids: Vec<u32>,
}

impl Prompt {
    pub(crate) fn new(ids: Vec<u32>) -> Self {
        Self { ids }
    }

    /// How many tokens it has.
    pub fn tokens(&self) -> Tokens {
        Tokens::new(self.ids.len() as u64)
    }

    /// The token ids.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }
}

/// One generation to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// What to continue.
    pub prompt: Prompt,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Most tokens to produce; clamped to the context left.
    pub output_tokens_max: u32,
    /// Texts that end the generation; they are not part of the answer.
    pub stop: Vec<String>,
    /// The end-of-sequence token is never drawn, so exactly `output_tokens_max` tokens come.
    pub ignore_eos: bool,
    /// When to give up, wherever the job is then.
    pub deadline: Option<Instant>,
    /// Share of the device relative to other jobs. For the scheduler to come; unused so far.
    pub weight: u32,
    /// Jobs of one key share fairly with those of another. For the scheduler to come; unused so far.
    pub fairness_key: u64,
    /// Jobs of different scopes never share cached prompt tokens. For the cache to come; unused so far.
    pub cache_scope: u64,
}

impl Job {
    /// A job with neutral settings: default sampling, no stop strings, no deadline.
    pub fn new(prompt: Prompt, output_tokens_max: u32) -> Self {
        Self {
            prompt,
            sampling: Sampling::default(),
            output_tokens_max,
            stop: Vec::new(),
            ignore_eos: false,
            deadline: None,
            weight: 1,
            fairness_key: 0,
            cache_scope: 0,
        }
    }

    /// Errors: an empty or too long prompt, parameters out of range.
    pub(crate) fn check(&self, context_tokens_max: u32) -> Result<(), EngineError> {
        let (tokens, context) = (self.prompt.tokens(), Tokens::new(u64::from(context_tokens_max)));
        if self.prompt.ids.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        if tokens >= context {
            return Err(EngineError::PromptTooLong { tokens, context });
        }
        let Sampling { temperature, top_p, top_k, seed: _ } = self.sampling;
        let is_short = |stop: &String| !stop.is_empty() && stop.len() <= STOP_BYTES_MAX;
        let rules = [
            ((0.0..=TEMPERATURE_MAX).contains(&temperature), "temperature must be a number from 0 to 100"),
            (top_p > 0.0 && top_p <= 1.0, "top_p must be above 0 and at most 1"),
            (top_k != Some(0), "top_k must be at least 1 when it is given"),
            (self.output_tokens_max >= 1, "at least one output token must be allowed"),
            (self.stop.len() <= STOP_STRINGS_MAX, "at most 16 stop strings are allowed"),
            (self.stop.iter().all(is_short), "a stop string must have 1 to 1024 bytes"),
        ];
        match rules.into_iter().find(|(is_kept, _)| !is_kept) {
            Some((_, what)) => Err(EngineError::BadSampling { what }),
            None => Ok(()),
        }
    }

    /// Output tokens that fit behind the prompt. Only for jobs that passed `check`.
    pub(crate) fn output_tokens_clamped(&self, context_tokens_max: u32) -> u32 {
        let prompt = u32::try_from(self.prompt.ids.len()).unwrap_or(u32::MAX);
        self.output_tokens_max.min(context_tokens_max.saturating_sub(prompt))
    }
}

/// How the next token is drawn from the model's distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest token always; higher is more surprising.
    pub temperature: f32,
    /// Draw only from the likeliest tokens that together have this probability.
    pub top_p: f32,
    /// Draw only from this many likeliest tokens.
    pub top_k: Option<u32>,
    /// Same seed, same prompt, same parameters: same text, whatever else runs.
    pub seed: Option<u64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1.0, top_p: 1.0, top_k: None, seed: None }
    }
}
