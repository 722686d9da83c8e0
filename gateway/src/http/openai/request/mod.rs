//! The body of `POST /v1/chat/completions`: parsed once into checked types.
//! Never guesses: a field that cannot be honoured is refused with its path, unknown fields are left alone.
//! Called by `chat::create` after authentication.

mod wire;

use bytes::Bytes;
use domain::ModelName;
use engine::{ChatMessage, Role, Sampling};
use serde_path_to_error::Path;

use wire::{Content, TextOrTexts, WireMessage, WireRequest, WireRole};

use crate::{
    dispatch::{EngineInput, EngineWork, Relay, UpstreamCall, UpstreamWork},
    http::{
        ApiError,
        body::{self, Object, between, whole},
        run::Work,
    },
};

/// Stop strings a request may name, as OpenAI bounds them.
const STOPS_MAX: usize = 4;
/// Longest stop string. Unit: bytes. Longer ones would hold back whole paragraphs of the stream.
const STOP_BYTES_MAX: usize = 256;
/// Messages in one request; the context is full long before.
const MESSAGES_MAX: usize = 4_096;

/// What a template writes around a message. Unit: bytes.
const MESSAGE_BYTES: usize = 16;

/// A checked chat request.
#[derive(Debug)]
pub(super) struct ChatRequest {
    pub(super) model: ModelName,
    pub(super) messages: Vec<ChatMessage>,
    pub(super) sampling: Sampling,
    pub(super) output_tokens_max: Option<u32>,
    pub(super) stop: Vec<String>,
    pub(super) ignore_eos: bool,
    pub(super) is_stream: bool,
    pub(super) include_usage: bool,
    /// As it came; what a server elsewhere is sent.
    pub(super) body: Bytes,
}

impl ChatRequest {
    /// Parses and checks a body.
    ///
    /// Errors: the first field that is wrong, by its path.
    pub(super) fn from_wire(body: &Bytes) -> Result<Self, ApiError> {
        let wire: WireRequest = body::parse(body, Path::to_string)?;
        refuse_unsupported(&wire)?;
        Ok(Self { body: body.clone(), ..checked(wire)? })
    }
}

impl Work for ChatRequest {
    fn model(&self) -> &ModelName {
        &self.model
    }

    fn output_tokens_max(&self) -> Option<u32> {
        self.output_tokens_max
    }

    fn engine_work(&self) -> Result<EngineWork, ApiError> {
        Ok(EngineWork {
            inputs: vec![EngineInput::Messages(self.messages.clone())],
            choices_per_prompt: 1,
            sampling: self.sampling,
            stop: self.stop.clone(),
            ignore_eos: self.ignore_eos,
        })
    }

    fn upstream_work(&self) -> Result<UpstreamWork, ApiError> {
        let bytes = |message: &ChatMessage| message.content.len() + MESSAGE_BYTES;
        Ok(UpstreamWork {
            call: UpstreamCall::ChatCompletions,
            body: self.body.clone(),
            is_stream: self.is_stream,
            relay: Relay::Forward { include_usage: self.include_usage },
            prompt_bytes: self.messages.iter().map(bytes).sum::<usize>() as u64,
            images: 0,
            choices: 1,
        })
    }
}

/// What changes the answer and cannot be done is refused, never silently dropped.
fn refuse_unsupported(wire: &WireRequest) -> Result<(), ApiError> {
    let is_text = wire.response_format.as_ref().is_none_or(|Object(format)| format.r#type == "text");
    let is_zero = |number: Option<f32>| number.is_none_or(|number| number == 0.0);
    let rows = [
        (wire.n.is_some_and(|n| n != 1), "n", "only one choice is supported"),
        (!is_text, "response_format", "only the type \"text\" is supported"),
        (wire.logprobs == Some(true), "logprobs", "log probabilities are not supported"),
        (
            wire.top_logprobs.is_some_and(|count| count > 0),
            "top_logprobs",
            "log probabilities are not supported",
        ),
        (!is_zero(wire.presence_penalty), "presence_penalty", "penalties are not supported"),
        (!is_zero(wire.frequency_penalty), "frequency_penalty", "penalties are not supported"),
        (
            wire.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty()),
            "logit_bias",
            "biases are not supported",
        ),
        (wire.tools.as_ref().is_some_and(|tools| !tools.is_empty()), "tools", "tools are not supported"),
        (
            wire.functions.as_ref().is_some_and(|list| !list.is_empty()),
            "functions",
            "functions are not supported",
        ),
        (wire.web_search_options.is_some(), "web_search_options", "searching the web is not supported"),
        (
            wire.modalities.as_ref().is_some_and(|list| list.iter().any(|modality| modality != "text")),
            "modalities",
            "only text is supported",
        ),
        (
            wire.stream_options.is_some() && wire.stream != Some(true),
            "stream_options",
            "stream_options needs stream: true",
        ),
    ];
    match rows.into_iter().find(|(is_refused, ..)| *is_refused) {
        Some((_, param, why)) => {
            Err(ApiError::invalid("unsupported_value", param, format!("{param}: {why}")))
        }
        None => Ok(()),
    }
}

fn checked(wire: WireRequest) -> Result<ChatRequest, ApiError> {
    let model = ModelName::new(wire.model.as_str()).map_err(|_| ApiError::no_model(&wire.model))?;
    let sampling = sampling(&wire)?;
    let output_tokens_max = output_tokens_max(wire.max_completion_tokens, wire.max_tokens)?;
    let stop = stops(wire.stop)?;
    Ok(ChatRequest {
        model,
        messages: messages(wire.messages)?,
        sampling,
        output_tokens_max,
        stop,
        ignore_eos: wire.ignore_eos.unwrap_or(false),
        is_stream: wire.stream.unwrap_or(false),
        include_usage: wire.stream_options.and_then(|Object(options)| options.include_usage).unwrap_or(false),
        body: Bytes::new(),
    })
}

fn messages(wire: Vec<Object<WireMessage>>) -> Result<Vec<ChatMessage>, ApiError> {
    if wire.is_empty() || wire.len() > MESSAGES_MAX {
        let message = format!("messages: must have 1 to {MESSAGES_MAX} entries, not {}", wire.len());
        return Err(ApiError::invalid("invalid_value", "messages", message));
    }
    let one = |(index, Object(message)): (usize, Object<WireMessage>)| {
        let fault = |field: &str, why: &str| {
            let path = format!("messages[{index}].{field}");
            Err(ApiError::invalid("invalid_value", path.clone(), format!("{path}: {why}")))
        };
        if message.tool_calls.is_some_and(|calls| !calls.is_empty()) {
            return fault("tool_calls", "tools are not supported");
        }
        let role = match message.role {
            WireRole::System | WireRole::Developer => Role::System,
            WireRole::User => Role::User,
            WireRole::Assistant => Role::Assistant,
        };
        match message.content {
            Some(Content(content)) => Ok(ChatMessage { role, content }),
            None => fault("content", "must be a string or an array of content parts"),
        }
    };
    wire.into_iter().enumerate().map(one).collect()
}

fn sampling(wire: &WireRequest) -> Result<Sampling, ApiError> {
    let default = Sampling::default();
    let top_k = match wire.top_k {
        None | Some(-1 | 0) => None,
        Some(top_k) => Some(whole("top_k", top_k)?),
    };
    Ok(Sampling {
        temperature: between("temperature", wire.temperature, 0.0, 2.0)?.unwrap_or(default.temperature),
        top_p: match between("top_p", wire.top_p, 0.0, 1.0)? {
            Some(0.0) => return Err(ApiError::invalid("invalid_value", "top_p", "top_p: must be above 0")),
            top_p => top_p.unwrap_or(default.top_p),
        },
        top_k,
        seed: wire.seed.map(i64::cast_unsigned),
    })
}

fn output_tokens_max(newer: Option<i64>, older: Option<i64>) -> Result<Option<u32>, ApiError> {
    match (newer, older) {
        (Some(newer), Some(older)) if newer != older => {
            let message = "max_tokens: differs from max_completion_tokens; send one of them";
            Err(ApiError::invalid("invalid_value", "max_tokens", message))
        }
        (Some(count), _) => whole("max_completion_tokens", count).map(Some),
        (None, Some(count)) => whole("max_tokens", count).map(Some),
        (None, None) => Ok(None),
    }
}

fn stops(wire: Option<TextOrTexts>) -> Result<Vec<String>, ApiError> {
    let stops = wire.map_or_else(Vec::new, |TextOrTexts(texts)| texts);
    let is_bad = |stop: &String| stop.is_empty() || stop.len() > STOP_BYTES_MAX;
    if stops.len() > STOPS_MAX || stops.iter().any(is_bad) {
        let message = format!("stop: at most {STOPS_MAX} texts of 1 to {STOP_BYTES_MAX} bytes");
        return Err(ApiError::invalid("invalid_value", "stop", message));
    }
    Ok(stops)
}

#[cfg(test)]
mod tests;
