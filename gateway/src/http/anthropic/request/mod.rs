//! The bodies of `/v1/messages` and `/v1/messages/count_tokens`: parsed once into checked types.
//! Never guesses: a field that cannot be honoured or is not known is refused with its path.
//! Called by `messages::create` and `count::create` after authentication.

mod wire;

use std::fmt::Write as _;

use domain::ModelName;
use engine::{ChatMessage, Role, Sampling};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use wire::{Content, WireCount, WireMessage, WireRequest, WireRole};

use crate::{
    dispatch::{EngineInput, EngineWork, UpstreamWork},
    http::{
        ApiError,
        body::{self, Object, between, whole},
        run::Work,
    },
};

/// Stop strings a request may name: what the engine takes.
const STOPS_MAX: usize = 16;
/// Longest stop string. Unit: bytes. Longer ones would hold back whole paragraphs of the stream.
const STOP_BYTES_MAX: usize = 256;
/// Messages in one request; the context is full long before.
const MESSAGES_MAX: usize = 4_096;

/// A checked request for a message.
#[derive(Debug)]
pub(super) struct MessagesRequest {
    pub(super) model: ModelName,
    pub(super) messages: Vec<ChatMessage>,
    pub(super) sampling: Sampling,
    pub(super) output_tokens_max: u32,
    pub(super) stop: Vec<String>,
    pub(super) is_stream: bool,
}

/// A checked request for a count.
#[derive(Debug)]
pub(super) struct CountRequest {
    pub(super) model: ModelName,
    pub(super) messages: Vec<ChatMessage>,
}

/// Fields that would change the answer and cannot be honoured.
struct Unsupported<'a> {
    tools: Option<&'a Vec<Value>>,
    tool_choice: Option<&'a Value>,
    thinking: Option<&'a Map<String, Value>>,
    output_config: Option<&'a Value>,
}

impl MessagesRequest {
    /// Parses and checks a body.
    ///
    /// Errors: the first field that is wrong, by its path.
    pub(super) fn from_wire(body: &[u8]) -> Result<Self, ApiError> {
        let wire: WireRequest = body::parse(body, path_text)?;
        let WireRequest { tools, tool_choice, thinking, output_config, .. } = &wire;
        refuse_unsupported(&Unsupported {
            tools: tools.as_ref(),
            tool_choice: tool_choice.as_ref(),
            thinking: thinking.as_ref(),
            output_config: output_config.as_ref(),
        })?;
        let more = [
            (wire.container.is_some(), "container", "containers are not supported"),
            (wire.mcp_servers.as_ref().is_some_and(|list| !list.is_empty()), "mcp_servers", "not supported"),
        ];
        refuse_first(more)?;
        let sampling = sampling(&wire)?;
        Ok(Self {
            is_stream: wire.stream.unwrap_or(false),
            model: model(wire.model)?,
            output_tokens_max: whole("max_tokens", required("max_tokens", wire.max_tokens)?)?,
            messages: messages(wire.system, wire.messages)?,
            sampling,
            stop: stops(wire.stop_sequences.unwrap_or_default())?,
        })
    }
}

impl Work for MessagesRequest {
    fn model(&self) -> &ModelName {
        &self.model
    }

    fn output_tokens_max(&self) -> Option<u32> {
        Some(self.output_tokens_max)
    }

    fn engine_work(&self) -> Result<EngineWork, ApiError> {
        Ok(EngineWork {
            inputs: vec![EngineInput::Messages(self.messages.clone())],
            choices_per_prompt: 1,
            sampling: self.sampling,
            stop: self.stop.clone(),
            ignore_eos: false,
        })
    }

    fn upstream_work(&self) -> Result<UpstreamWork, ApiError> {
        Err(ApiError::no_model(self.model.as_str()))
    }
}

impl CountRequest {
    /// Parses and checks a body.
    ///
    /// Errors: the first field that is wrong, by its path.
    pub(super) fn from_wire(body: &[u8]) -> Result<Self, ApiError> {
        let wire: WireCount = body::parse(body, path_text)?;
        refuse_unsupported(&Unsupported {
            tools: wire.tools.as_ref(),
            tool_choice: wire.tool_choice.as_ref(),
            thinking: wire.thinking.as_ref(),
            output_config: wire.output_config.as_ref(),
        })?;
        Ok(Self { model: model(wire.model)?, messages: messages(wire.system, wire.messages)? })
    }
}

/// A path as Anthropic writes it: `messages.0.content`.
fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for segment in path {
        let separator = if text.is_empty() { "" } else { "." };
        let written = match segment {
            Segment::Seq { index } => write!(text, "{separator}{index}"),
            Segment::Map { key } => write!(text, "{separator}{key}"),
            Segment::Enum { variant } => write!(text, "{separator}{variant}"),
            Segment::Unknown => write!(text, "{separator}?"),
        };
        // Writing to a string never fails.
        written.ok();
    }
    text
}

fn invalid(path: &str, why: &str) -> ApiError {
    ApiError::invalid("invalid_value", path, format!("{path}: {why}"))
}

fn unsupported(path: &str, why: &str) -> ApiError {
    ApiError::invalid("unsupported_value", path, format!("{path}: {why}"))
}

fn required<T>(path: &str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| invalid(path, "Field required"))
}

fn refuse_first<const COUNT: usize>(
    rows: [(bool, &'static str, &'static str); COUNT],
) -> Result<(), ApiError> {
    match rows.into_iter().find(|(is_refused, ..)| *is_refused) {
        Some((_, path, why)) => Err(unsupported(path, why)),
        None => Ok(()),
    }
}

/// What changes the answer and cannot be done is refused, never silently dropped.
fn refuse_unsupported(wire: &Unsupported<'_>) -> Result<(), ApiError> {
    let is_on = |thinking: &Map<String, Value>| thinking.get("type") != Some(&Value::from("disabled"));
    refuse_first([
        (wire.tools.is_some_and(|tools| !tools.is_empty()), "tools", "tools are not supported"),
        (wire.tool_choice.is_some(), "tool_choice", "tools are not supported"),
        (wire.thinking.is_some_and(is_on), "thinking", "thinking is not supported"),
        (wire.output_config.is_some(), "output_config", "only plain text is supported"),
    ])
}

fn model(name: Option<String>) -> Result<ModelName, ApiError> {
    let name = required("model", name)?;
    ModelName::new(name.as_str()).map_err(|_| ApiError::no_model(&name))
}

fn messages(
    system: Option<Content>,
    wire: Option<Vec<Object<WireMessage>>>,
) -> Result<Vec<ChatMessage>, ApiError> {
    let wire = required("messages", wire)?;
    if wire.is_empty() || wire.len() > MESSAGES_MAX {
        let why = format!("must have 1 to {MESSAGES_MAX} entries, not {}", wire.len());
        return Err(invalid("messages", &why));
    }
    if wire.last().is_some_and(|Object(message)| message.role == WireRole::Assistant) {
        let why = "the last message must have the role \"user\": an answer cannot be begun for the model";
        return Err(unsupported("messages", why));
    }
    let system = match system {
        Some(content) => text(content, "system")?,
        None => String::new(),
    };
    let mut messages = Vec::with_capacity(wire.len() + 1);
    if !system.is_empty() {
        messages.push(ChatMessage { role: Role::System, content: system });
    }
    for (index, Object(message)) in wire.into_iter().enumerate() {
        let role = match message.role {
            WireRole::User => Role::User,
            WireRole::Assistant => Role::Assistant,
        };
        let path = format!("messages.{index}.content");
        messages.push(ChatMessage { role, content: text(required(&path, message.content)?, &path)? });
    }
    Ok(messages)
}

/// The text of a content; blocks are joined as they stand.
fn text(content: Content, path: &str) -> Result<String, ApiError> {
    match content {
        Content::Text(text) => Ok(text),
        Content::Blocks(blocks) => {
            let texts = blocks.iter().enumerate();
            texts.map(|(index, block)| block_text(block, &format!("{path}.{index}"))).collect()
        }
    }
}

fn block_text<'a>(block: &'a Map<String, Value>, path: &str) -> Result<&'a str, ApiError> {
    let field = |name: &str| (format!("{path}.{name}"), block.get(name));
    let is_none = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    };
    match field("type") {
        (_, Some(Value::String(kind))) if kind == "text" => {}
        (path, Some(Value::String(kind))) => {
            let why = format!("blocks of type {kind:?} are not supported by this model, only \"text\"");
            return Err(unsupported(&path, &why));
        }
        (path, Some(_)) => return Err(invalid(&path, "must be a string")),
        (path, None) => return Err(invalid(&path, "Field required")),
    }
    let known = ["type", "text", "cache_control", "citations"];
    if let Some(name) = block.keys().find(|name| !known.contains(&name.as_str())) {
        let path = format!("{path}.{name}");
        let message = format!("{path}: Extra inputs are not permitted");
        return Err(ApiError::invalid("unknown_field", path, message));
    }
    if !is_none(block.get("citations")) {
        return Err(unsupported(&format!("{path}.citations"), "citations are not supported"));
    }
    match field("text") {
        (path, Some(Value::String(text))) if text.is_empty() => {
            Err(invalid(&path, "text content blocks must be non-empty"))
        }
        (_, Some(Value::String(text))) => Ok(text),
        (path, Some(_)) => Err(invalid(&path, "must be a string")),
        (path, None) => Err(invalid(&path, "Field required")),
    }
}

fn sampling(wire: &WireRequest) -> Result<Sampling, ApiError> {
    let default = Sampling::default();
    let top_k = match wire.top_k {
        None | Some(0) => None,
        Some(top_k) => Some(whole("top_k", top_k)?),
    };
    Ok(Sampling {
        temperature: between("temperature", wire.temperature, 0.0, 1.0)?.unwrap_or(default.temperature),
        top_p: match between("top_p", wire.top_p, 0.0, 1.0)? {
            Some(0.0) => return Err(invalid("top_p", "must be above 0")),
            top_p => top_p.unwrap_or(default.top_p),
        },
        top_k,
        seed: None,
    })
}

fn stops(stops: Vec<String>) -> Result<Vec<String>, ApiError> {
    if stops.len() > STOPS_MAX || stops.iter().any(|stop| stop.len() > STOP_BYTES_MAX) {
        let why = format!("at most {STOPS_MAX} texts of at most {STOP_BYTES_MAX} bytes");
        return Err(invalid("stop_sequences", &why));
    }
    match stops.iter().position(|stop| stop.trim().is_empty()) {
        Some(index) => {
            Err(invalid(&format!("stop_sequences.{index}"), "each stop sequence must contain non-whitespace"))
        }
        None => Ok(stops),
    }
}

#[cfg(test)]
mod tests;
