//! The body of `POST /v1/completions`: checked for what matters whatever serves it, and for our engines.
//! Never judges a field that only its server has to understand; it goes on as it came.
//! Called by `completions::create` after authentication.

use bytes::Bytes;
use domain::{ModelName, SloClass};
use engine::Sampling;
use serde::Deserialize;
use serde_json::Value;
use serde_path_to_error::Path;

use crate::{
    dispatch::{EngineInput, EngineWork, PromptList, Relay, UpstreamCall, UpstreamWork},
    http::{
        ApiError,
        body::{self, Object},
        openai::{
            input::TextInput,
            request::{WireStreamOptions, include_usage},
            sampling::{TextOrTexts, WireSampling, choices, output_tokens_max, refuse_first, stops},
            size::SchemaSize,
        },
        run::{CHOICES_MAX, Work},
        wish,
    },
};

/// Tokens of a legacy completion that names no bound, as OpenAI's interface has it.
const OUTPUT_TOKENS_DEFAULT: u32 = 16;

/// A completion request. Its bytes are kept: a backend gets them as they came.
#[derive(Debug)]
pub(super) struct CompletionRequest {
    body: Bytes,
    model: ModelName,
    prompt: TextInput,
    output_tokens_max: u32,
    sampling: Sampling,
    stop: Vec<String>,
    ignore_eos: bool,
    choices: u32,
    suffix_bytes: u64,
    /// The first field our engines cannot honour.
    refusal: Option<ApiError>,
    is_stream: bool,
    include_usage: bool,
    class: Option<SloClass>,
}

/// What matters whatever serves the request, and what our engines can do. A field that is here cannot be sent twice.
#[derive(Deserialize)]
struct WireCompletion {
    model: String,
    prompt: Option<TextInput>,
    stream: Option<bool>,
    stream_options: Option<Object<WireStreamOptions>>,
    max_tokens: Option<i64>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<i64>,
    seed: Option<i64>,
    stop: Option<TextOrTexts>,
    n: Option<i64>,
    best_of: Option<i64>,
    echo: Option<bool>,
    suffix: Option<String>,
    logprobs: Option<i64>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<serde_json::Map<String, Value>>,
    ignore_eos: Option<bool>,
    response_format: Option<SchemaSize>,
    service_tier: Option<String>,
}

impl CompletionRequest {
    /// Parses and checks a body.
    ///
    /// Errors: the first field that is wrong, by its path.
    pub(super) fn from_wire(body: Bytes) -> Result<Self, ApiError> {
        let wire: WireCompletion = body::parse(&body, Path::to_string)?;
        let model = ModelName::new(wire.model.as_str()).map_err(|_| ApiError::no_model(&wire.model))?;
        let invalid = |param: &'static str, why: &str| {
            Err(ApiError::invalid("invalid_value", param, format!("{param}: {why}")))
        };
        if wire.stream_options.is_some() && wire.stream != Some(true) {
            return invalid("stream_options", "stream_options needs stream: true");
        }
        let refusal = refuse_for_engine(&wire).err();
        let Some(prompt) = wire.prompt else { return Err(body::missing("prompt")) };
        let count = choices("n", wire.n)?;
        // A server makes this many, whatever it returns of them.
        let made = choices("best_of", wire.best_of)?;
        if wire.best_of.is_some() && (made < count || wire.stream == Some(true)) {
            return invalid("best_of", "must be at least n, and has no stream");
        }
        let choices = count.max(made).saturating_mul(prompt.count());
        if prompt.count() == 0 || usize::try_from(choices).unwrap_or(usize::MAX) > CHOICES_MAX {
            let why =
                format!("must be 1 to {CHOICES_MAX} prompts, over all of which there are as many choices");
            return invalid("prompt", &why);
        }
        let numbers = [wire.temperature, wire.top_p].map(|number| number.is_none_or(f32::is_finite));
        if numbers.contains(&false) {
            return invalid("temperature", "must be a number");
        }
        let sampling = WireSampling {
            temperature: wire.temperature,
            top_p: wire.top_p,
            top_k: wire.top_k,
            seed: wire.seed,
        };
        Ok(Self {
            model,
            prompt,
            output_tokens_max: output_tokens_max(None, wire.max_tokens)?.unwrap_or(OUTPUT_TOKENS_DEFAULT),
            sampling: sampling.check()?,
            stop: stops(wire.stop)?,
            ignore_eos: wire.ignore_eos.unwrap_or(false),
            choices,
            suffix_bytes: wire.suffix.map_or(0, |suffix| suffix.len() as u64),
            refusal,
            is_stream: wire.stream.unwrap_or(false),
            include_usage: include_usage(wire.stream_options),
            class: wish::class(wire.service_tier.as_deref())?,
            body,
        })
    }

    pub(super) fn include_usage(&self) -> bool {
        self.include_usage
    }
}

impl Work for CompletionRequest {
    fn model(&self) -> &ModelName {
        &self.model
    }

    fn prompt_field(&self) -> &'static str {
        "prompt"
    }

    fn output_tokens_max(&self) -> Option<u32> {
        Some(self.output_tokens_max)
    }

    fn is_stream(&self) -> bool {
        self.is_stream
    }

    fn class_wished(&self) -> Option<SloClass> {
        self.class
    }

    fn engine_work(&self) -> Result<EngineWork, ApiError> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let TextInput::Texts(texts) = &self.prompt else {
            let message = "prompt: token ids are not supported by this model, only texts";
            return Err(ApiError::invalid("unsupported_value", "prompt", message));
        };
        if let Some(index) = texts.iter().position(String::is_empty) {
            let message = format!("prompt: text {index} is empty; there is nothing to continue");
            return Err(ApiError::invalid("invalid_value", "prompt", message));
        }
        Ok(EngineWork {
            inputs: texts.iter().cloned().map(EngineInput::Text).collect(),
            choices_per_prompt: 1,
            sampling: self.sampling,
            stop: self.stop.clone(),
            ignore_eos: self.ignore_eos,
        })
    }

    fn upstream_work(&self) -> Result<UpstreamWork, ApiError> {
        Ok(UpstreamWork {
            call: UpstreamCall::Completions,
            body: self.body.clone(),
            is_stream: self.is_stream,
            relay: Relay::Forward { include_usage: self.include_usage },
            prompt_bytes: self.prompt.bytes().saturating_add(self.suffix_bytes),
            prompts: Some(PromptList {
                count: self.prompt.count(),
                longest_bytes: self.prompt.longest_bytes().saturating_add(self.suffix_bytes),
            }),
            images: 0,
            choices: self.choices,
        })
    }
}

/// What changes the answer and cannot be done is refused, never silently dropped.
fn refuse_for_engine(wire: &WireCompletion) -> Result<(), ApiError> {
    let is_zero = |number: Option<f32>| number.is_none_or(|number| number == 0.0);
    refuse_first([
        (wire.n.is_some_and(|n| n > 1), "n", "only one choice is supported by this model"),
        (
            wire.best_of.is_some_and(|count| count > 1),
            "best_of",
            "only one choice is supported by this model",
        ),
        (wire.echo == Some(true), "echo", "the prompt is not repeated by this model"),
        (
            wire.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty()),
            "suffix",
            "this model only continues a text",
        ),
        (wire.logprobs.is_some(), "logprobs", "log probabilities are not supported by this model"),
        (!is_zero(wire.presence_penalty), "presence_penalty", "penalties are not supported by this model"),
        (!is_zero(wire.frequency_penalty), "frequency_penalty", "penalties are not supported by this model"),
        (
            wire.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty()),
            "logit_bias",
            "biases are not supported by this model",
        ),
        (wire.response_format.is_some(), "response_format", "only plain text is supported by this model"),
    ])
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
