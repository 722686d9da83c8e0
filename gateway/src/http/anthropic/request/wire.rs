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
    pub(super) metadata: Option<Object<WireMetadata>>,
    /// A hint: answers are the same with and without it.
    #[serde(rename = "cache_control")]
    pub(super) _cache_control: Option<Map<String, Value>>,
    pub(super) tools: Option<Vec<Map<String, Value>>>,
    pub(super) tool_choice: Option<Map<String, Value>>,
    pub(super) thinking: Option<Map<String, Value>>,
    pub(super) output_config: Option<Map<String, Value>>,
    /// Both tiers are as the plan has it: there is no other capacity to take or to leave.
    #[serde(rename = "service_tier")]
    pub(super) _service_tier: Option<WireTier>,
    pub(super) container: Option<Value>,
    pub(super) mcp_servers: Option<Vec<Value>>,
    pub(super) context_management: Option<Value>,
    pub(super) inference_geo: Option<Value>,
    pub(super) speed: Option<String>,
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
    pub(super) tools: Option<Vec<Map<String, Value>>>,
    pub(super) tool_choice: Option<Map<String, Value>>,
    pub(super) thinking: Option<Map<String, Value>>,
    pub(super) output_config: Option<Map<String, Value>>,
    pub(super) context_management: Option<Value>,
    pub(super) mcp_servers: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireMetadata {
    pub(super) user_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireTier {
    Auto,
    StandardOnly,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireMessage {
    pub(super) role: WireRole,
    pub(super) content: Option<Content>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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
