//! The JSON of a request for a message, field by field, before any check.
//! Never decides what is allowed but for the names of fields: others are refused, as Anthropic does.
//! Parsed by `MessagesRequest::from_wire` and `CountRequest::from_wire`.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::http::body::Object;

/// The body of `/v1/messages`. What a message must have is looked for after parsing, so that it is named.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireRequest {
    pub(super) model: Option<String>,
    pub(super) messages: Option<Vec<Object<WireMessage>>>,
    pub(super) system: Option<Content>,
    pub(super) max_tokens: Option<i64>,
    pub(super) stream: Option<bool>,
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) top_k: Option<i64>,
    pub(super) stop_sequences: Option<Vec<String>>,
    /// Says nothing about the answer.
    #[serde(rename = "metadata")]
    pub(super) _metadata: Option<Map<String, Value>>,
    /// A hint: answers are the same with and without it.
    #[serde(rename = "cache_control")]
    pub(super) _cache_control: Option<Map<String, Value>>,
    pub(super) tools: Option<Vec<Value>>,
    pub(super) tool_choice: Option<Value>,
    pub(super) thinking: Option<Map<String, Value>>,
    pub(super) output_config: Option<Value>,
    pub(super) container: Option<Value>,
    pub(super) mcp_servers: Option<Vec<Value>>,
}

/// The body of `/v1/messages/count_tokens`: only what makes a prompt.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireCount {
    pub(super) model: Option<String>,
    pub(super) messages: Option<Vec<Object<WireMessage>>>,
    pub(super) system: Option<Content>,
    #[serde(rename = "cache_control")]
    pub(super) _cache_control: Option<Map<String, Value>>,
    pub(super) tools: Option<Vec<Value>>,
    pub(super) tool_choice: Option<Value>,
    pub(super) thinking: Option<Map<String, Value>>,
    pub(super) output_config: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireMessage {
    pub(super) role: WireRole,
    pub(super) content: Option<Content>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WireRole {
    User,
    Assistant,
}

/// A text, or blocks; which blocks are supported is looked at after parsing, so that each is named.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a string or an array of content blocks")]
pub(super) enum Content {
    Text(String),
    Blocks(Vec<Map<String, Value>>),
}
