//! The body of `POST /v1/chat/completions`: what must be known of it whatever serves it.
//! Never judges a field that only its server has to understand; it goes on as it came.
//! Called by `chat::create` after authentication.

mod engine;

use bytes::Bytes;
use domain::{ModelName, SloClass};
use serde::Deserialize;
use serde_path_to_error::Path;

use super::{
    sampling::{choices, output_tokens_max},
    size::{ListSize, PromptSize, SchemaSize},
};
use crate::{
    dispatch::{EngineWork, Relay, UpstreamCall, UpstreamWork},
    http::{
        ApiError,
        body::{self, Object},
        run::Work,
        wish,
    },
};

/// Messages in one request; the context is full long before.
const MESSAGES_MAX: usize = 4_096;

/// A chat request. Its bytes are kept: a backend gets them as they came, an engine's form is made when needed.
#[derive(Debug)]
pub(super) struct ChatRequest {
    body: Bytes,
    model: ModelName,
    output_tokens_max: Option<u32>,
    choices: u32,
    size: PromptSize,
    class: Option<SloClass>,
    is_stream: bool,
    include_usage: bool,
}

/// What matters whatever serves the request. A field that is here cannot be sent twice, so nobody reads another one.
#[derive(Deserialize)]
struct WireChat {
    model: String,
    messages: ListSize,
    stream: Option<bool>,
    stream_options: Option<Object<WireStreamOptions>>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    n: Option<i64>,
    service_tier: Option<String>,
    tools: Option<SchemaSize>,
    functions: Option<SchemaSize>,
    response_format: Option<SchemaSize>,
    /// What vLLM and SGLang put into the prompt as well.
    documents: Option<SchemaSize>,
    chat_template: Option<SchemaSize>,
    chat_template_kwargs: Option<SchemaSize>,
}

#[derive(Deserialize)]
pub(super) struct WireStreamOptions {
    pub(super) include_usage: Option<bool>,
}

impl ChatRequest {
    /// Parses and checks a body.
    ///
    /// Errors: the first field that is wrong, by its path.
    pub(super) fn from_wire(body: Bytes) -> Result<Self, ApiError> {
        let wire: WireChat = body::parse(&body, Path::to_string)?;
        let model = ModelName::new(wire.model.as_str()).map_err(|_| ApiError::no_model(&wire.model))?;
        let entries = wire.messages.entries;
        if entries == 0 || entries > MESSAGES_MAX {
            let message = format!("messages: must have 1 to {MESSAGES_MAX} entries, not {entries}");
            return Err(ApiError::invalid("invalid_value", "messages", message));
        }
        if wire.stream_options.is_some() && wire.stream != Some(true) {
            let message = "stream_options: stream_options needs stream: true";
            return Err(ApiError::invalid("invalid_value", "stream_options", message));
        }
        let schemas = [wire.tools, wire.functions, wire.response_format];
        let beside = [wire.documents, wire.chat_template, wire.chat_template_kwargs];
        let size = schemas
            .into_iter()
            .chain(beside)
            .flatten()
            .fold(wire.messages.size, |sum, schema| sum.plus(schema.0));
        Ok(Self {
            model,
            output_tokens_max: output_tokens_max(wire.max_completion_tokens, wire.max_tokens)?,
            choices: choices("n", wire.n)?,
            size,
            class: wish::class(wire.service_tier.as_deref())?,
            is_stream: wire.stream.unwrap_or(false),
            include_usage: include_usage(wire.stream_options),
            body,
        })
    }

    pub(super) fn include_usage(&self) -> bool {
        self.include_usage
    }
}

impl Work for ChatRequest {
    fn model(&self) -> &ModelName {
        &self.model
    }

    fn output_tokens_max(&self) -> Option<u32> {
        self.output_tokens_max
    }

    fn is_stream(&self) -> bool {
        self.is_stream
    }

    fn class_wished(&self) -> Option<SloClass> {
        self.class
    }

    fn engine_work(&self) -> Result<EngineWork, ApiError> {
        engine::work(&self.body)
    }

    fn upstream_work(&self) -> Result<UpstreamWork, ApiError> {
        Ok(UpstreamWork {
            call: UpstreamCall::ChatCompletions,
            body: self.body.clone(),
            is_stream: self.is_stream,
            relay: Relay::Forward { include_usage: self.include_usage },
            prompt_bytes: self.size.text_bytes,
            prompts: None,
            images: self.size.images,
            choices: self.choices,
        })
    }
}

/// Whether a stream shall say what it used.
pub(super) fn include_usage(options: Option<Object<WireStreamOptions>>) -> bool {
    options.and_then(|Object(options)| options.include_usage).unwrap_or(false)
}

#[cfg(test)]
mod tests;
