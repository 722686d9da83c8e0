//! A chat request as an engine of ours runs it.
//! Never guesses: a field that cannot be honoured is refused with its path, unknown fields are left alone.
//! Called by `ChatRequest::engine_work`.

mod wire;

use engine::{ChatMessage, Role};
use serde_path_to_error::Path;

use wire::{Content, WireMessage, WireRequest, WireRole};

use crate::{
    dispatch::{EngineInput, EngineWork},
    http::{
        ApiError,
        body::{self, Object},
        openai::sampling::{WireSampling, refuse_first, stops},
    },
};

/// What an engine of ours runs.
///
/// Errors: the first field that is wrong or cannot be honoured, by its path.
pub(super) fn work(body: &[u8]) -> Result<EngineWork, ApiError> {
    let wire: WireRequest = body::parse(body, Path::to_string)?;
    refuse_unsupported(&wire)?;
    let sampling =
        WireSampling { temperature: wire.temperature, top_p: wire.top_p, top_k: wire.top_k, seed: wire.seed };
    Ok(EngineWork {
        sampling: sampling.check()?,
        stop: stops(wire.stop)?,
        inputs: vec![EngineInput::Messages(messages(wire.messages)?)],
        choices_per_prompt: 1,
        ignore_eos: wire.ignore_eos.unwrap_or(false),
    })
}

/// What changes the answer and cannot be done is refused, never silently dropped.
fn refuse_unsupported(wire: &WireRequest) -> Result<(), ApiError> {
    let is_text = wire.response_format.as_ref().is_none_or(|Object(format)| format.r#type == "text");
    let is_zero = |number: Option<f32>| number.is_none_or(|number| number == 0.0);
    refuse_first([
        (wire.n.is_some_and(|n| n != 1), "n", "only one choice is supported by this model"),
        (!is_text, "response_format", "only the type \"text\" is supported by this model"),
        (wire.logprobs == Some(true), "logprobs", "log probabilities are not supported by this model"),
        (
            wire.top_logprobs.is_some_and(|count| count > 0),
            "top_logprobs",
            "log probabilities are not supported by this model",
        ),
        (!is_zero(wire.presence_penalty), "presence_penalty", "penalties are not supported by this model"),
        (!is_zero(wire.frequency_penalty), "frequency_penalty", "penalties are not supported by this model"),
        (
            wire.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty()),
            "logit_bias",
            "biases are not supported by this model",
        ),
        (
            wire.tools.as_ref().is_some_and(|tools| !tools.is_empty()),
            "tools",
            "tools are not supported by this model",
        ),
        (
            wire.tool_choice.as_ref().is_some_and(|choice| choice != "none" && choice != "auto"),
            "tool_choice",
            "tools are not supported by this model",
        ),
        (
            wire.functions.as_ref().is_some_and(|list| !list.is_empty()),
            "functions",
            "functions are not supported by this model",
        ),
        (
            wire.web_search_options.is_some(),
            "web_search_options",
            "searching the web is not supported by this model",
        ),
        (
            wire.modalities.as_ref().is_some_and(|list| list.iter().any(|modality| modality != "text")),
            "modalities",
            "only text is supported by this model",
        ),
    ])
}

fn messages(wire: Vec<Object<WireMessage>>) -> Result<Vec<ChatMessage>, ApiError> {
    let one = |(index, Object(message)): (usize, Object<WireMessage>)| {
        let refused = |code, field: &str, why: &str| {
            let path = format!("messages[{index}].{field}");
            Err(ApiError::invalid(code, path.clone(), format!("{path}: {why}")))
        };
        let unsupported = |field: &str, why: &str| refused("unsupported_value", field, why);
        if message.tool_calls.is_some_and(|calls| !calls.is_empty()) {
            return unsupported("tool_calls", "tools are not supported by this model");
        }
        let role = match message.role {
            WireRole::System | WireRole::Developer => Role::System,
            WireRole::User => Role::User,
            WireRole::Assistant => Role::Assistant,
            WireRole::Tool | WireRole::Function => {
                return unsupported("role", "tools are not supported by this model");
            }
        };
        match message.content {
            Some(Content { text, other: None }) => Ok(ChatMessage { role, content: text }),
            Some(Content { text: _, other: Some((place, kind)) }) => {
                let why = format!("parts of type {kind:?} are not supported by this model");
                unsupported(&format!("content[{place}].type"), &why)
            }
            None => refused("invalid_value", "content", "must be a string or an array of content parts"),
        }
    };
    wire.into_iter().enumerate().map(one).collect()
}
