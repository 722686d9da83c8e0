//! The JSON of a request for a response, field by field, before any check.
//! Never decides what is allowed; it only says what can be read at all.
//! Parsed by `ResponsesRequest::from_wire`.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::http::body::Object;

/// The body of `/v1/responses`. Fields that are not here are left alone.
#[derive(Deserialize)]
pub(super) struct WireRequest {
    pub(super) model: String,
    pub(super) input: Option<Input>,
    pub(super) instructions: Option<String>,
    pub(super) max_output_tokens: Option<i64>,
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) stream: Option<bool>,
    pub(super) store: Option<bool>,
    pub(super) previous_response_id: Option<String>,
    pub(super) metadata: Option<Map<String, Value>>,
    pub(super) text: Option<Object<WireText>>,
    pub(super) tools: Option<Vec<Map<String, Value>>>,
    pub(super) tool_choice: Option<Value>,
    pub(super) parallel_tool_calls: Option<bool>,
    pub(super) truncation: Option<String>,
    pub(super) reasoning: Option<Object<WireReasoning>>,
    pub(super) service_tier: Option<String>,
    pub(super) user: Option<String>,
    pub(super) top_logprobs: Option<i64>,
    pub(super) background: Option<bool>,
    pub(super) conversation: Option<Value>,
    pub(super) prompt: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct WireText {
    pub(super) format: Option<Map<String, Value>>,
    pub(super) verbosity: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct WireReasoning {
    pub(super) effort: Option<String>,
}

/// A text, or items of a conversation.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a text or an array of items")]
pub(super) enum Input {
    Text(String),
    Items(Vec<Value>),
}
