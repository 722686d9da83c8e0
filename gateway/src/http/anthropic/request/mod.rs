//! The bodies of `/v1/messages` and `/v1/messages/count_tokens`: parsed once into checked types.
//! Never guesses: a field that cannot be honoured or is not known is refused with its path.
//! Called by `messages::create` and `count::create` after authentication.

mod chat;
mod content;
mod fields;
mod tools;
mod wire;

use std::fmt::Write as _;

use bytes::Bytes;
use domain::ModelName;
use engine::{ChatMessage, Role, Sampling};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use content::{Block, Message};
use fields::{invalid, required, unsupported};
use tools::{Shape, WireShape};
use wire::{Content, WireCount, WireMessage, WireRequest, WireRole};

use crate::{
    dispatch::{EngineInput, EngineWork, Relay, UpstreamCall, UpstreamWork},
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

/// A checked request for a message.
#[derive(Debug)]
pub(super) struct MessagesRequest {
    pub(super) prompt: PromptPart,
    is_stream: bool,
    output_tokens_max: u32,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    stop: Vec<String>,
    user: Option<String>,
}

/// A checked request for a count.
#[derive(Debug)]
pub(super) struct CountRequest {
    pub(super) prompt: PromptPart,
}

/// What makes the prompt.
#[derive(Debug)]
pub(super) struct PromptPart {
    model: ModelName,
    system: String,
    messages: Vec<Message>,
    shape: Shape,
}

impl MessagesRequest {
    /// Parses and checks a body.
    ///
    /// Errors: the first field that is wrong, by its path.
    pub(super) fn from_wire(body: &[u8]) -> Result<Self, ApiError> {
        let wire: WireRequest = body::parse(body, path_text)?;
        refuse_first([
            (wire.container.is_some(), "container", "containers are not supported"),
            (is_filled(wire.mcp_servers.as_ref()), "mcp_servers", "not supported"),
            (wire.context_management.is_some(), "context_management", "not supported"),
            (wire.inference_geo.is_some(), "inference_geo", "the place cannot be chosen"),
            (wire.speed.is_some_and(|speed| speed != "standard"), "speed", "only standard is supported"),
        ])?;
        let temperature = between("temperature", wire.temperature, 0.0, 1.0)?;
        let top_p = between("top_p", wire.top_p, 0.0, 1.0)?;
        if top_p == Some(0.0) {
            return Err(invalid("top_p", "must be above 0"));
        }
        let top_k = match wire.top_k {
            None | Some(0) => None,
            Some(top_k) => Some(whole("top_k", top_k)?),
        };
        let max_tokens = wire.max_tokens.ok_or_else(|| required("max_tokens"))?;
        let WireRequest { tools, tool_choice, thinking, output_config, .. } = wire;
        let shape = WireShape { tools, tool_choice, thinking, output_config };
        Ok(Self {
            is_stream: wire.stream.unwrap_or(false),
            output_tokens_max: whole("max_tokens", max_tokens)?,
            temperature,
            top_p,
            top_k,
            stop: stops(wire.stop_sequences.unwrap_or_default())?,
            user: wire.metadata.and_then(|Object(metadata)| metadata.user_id),
            prompt: PromptPart::from_wire(wire.model, wire.system, wire.messages, &shape)?,
        })
    }

    fn sampling(&self) -> Sampling {
        let default = Sampling::default();
        Sampling {
            temperature: self.temperature.unwrap_or(default.temperature),
            top_p: self.top_p.unwrap_or(default.top_p),
            top_k: self.top_k,
            seed: None,
        }
    }

    /// Whether the client is shown what the model thinks.
    pub(super) fn is_thinking(&self) -> bool {
        self.prompt.shape.is_thinking
    }

    fn to_chat(&self) -> Map<String, Value> {
        let mut body = self.prompt.to_chat();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        set("max_tokens", Some(self.output_tokens_max.into()));
        set("stream", self.is_stream.then_some(Value::Bool(true)));
        // As it was written: a float of 32 bits would gain digits as one of 64.
        let number = |value: f32| value.to_string().parse::<f64>().ok().map(Value::from);
        set("temperature", self.temperature.and_then(number));
        set("top_p", self.top_p.and_then(number));
        set("top_k", self.top_k.map(Value::from));
        set("stop", (!self.stop.is_empty()).then(|| self.stop.clone().into()));
        set("user", self.user.clone().map(Value::from));
        body
    }
}

impl Work for MessagesRequest {
    fn model(&self) -> &ModelName {
        &self.prompt.model
    }

    fn output_tokens_max(&self) -> Option<u32> {
        Some(self.output_tokens_max)
    }

    fn is_stream(&self) -> bool {
        self.is_stream
    }

    fn engine_work(&self) -> Result<EngineWork, ApiError> {
        Ok(EngineWork {
            inputs: vec![EngineInput::Messages(self.prompt.to_engine()?)],
            choices_per_prompt: 1,
            sampling: self.sampling(),
            stop: self.stop.clone(),
            ignore_eos: false,
        })
    }

    fn upstream_work(&self) -> Result<UpstreamWork, ApiError> {
        Ok(self.prompt.upstream_work(self.to_chat(), self.is_stream))
    }
}

impl CountRequest {
    /// Parses and checks a body.
    ///
    /// Errors: the first field that is wrong, by its path.
    pub(super) fn from_wire(body: &[u8]) -> Result<Self, ApiError> {
        let wire: WireCount = body::parse(body, path_text)?;
        refuse_first([
            (is_filled(wire.mcp_servers.as_ref()), "mcp_servers", "not supported"),
            (wire.context_management.is_some(), "context_management", "not supported"),
        ])?;
        let WireCount { tools, tool_choice, thinking, output_config, .. } = wire;
        let shape = WireShape { tools, tool_choice, thinking, output_config };
        Ok(Self { prompt: PromptPart::from_wire(wire.model, wire.system, wire.messages, &shape)? })
    }
}

impl Work for CountRequest {
    fn model(&self) -> &ModelName {
        &self.prompt.model
    }

    fn output_tokens_max(&self) -> Option<u32> {
        None
    }

    fn engine_work(&self) -> Result<EngineWork, ApiError> {
        Ok(EngineWork {
            inputs: vec![EngineInput::Messages(self.prompt.to_engine()?)],
            choices_per_prompt: 1,
            sampling: Sampling::default(),
            stop: Vec::new(),
            ignore_eos: false,
        })
    }

    fn upstream_work(&self) -> Result<UpstreamWork, ApiError> {
        Ok(self.prompt.upstream_work(self.prompt.to_chat(), false))
    }
}

impl PromptPart {
    fn from_wire(
        model: Option<String>,
        system: Option<Content>,
        messages: Option<Vec<Object<WireMessage>>>,
        shape: &WireShape,
    ) -> Result<Self, ApiError> {
        let name = model.ok_or_else(|| required("model"))?;
        Ok(Self {
            model: ModelName::new(name.as_str()).map_err(|_| ApiError::no_model(&name))?,
            system: content::system(system)?,
            messages: content::messages(messages)?,
            shape: Shape::from_wire(shape)?,
        })
    }

    /// The chat as an engine of ours reads it: texts alone; blocks are joined as they stand.
    fn to_engine(&self) -> Result<Vec<ChatMessage>, ApiError> {
        self.shape.refuse_for_engine()?;
        let mut chat = Vec::with_capacity(self.messages.len() + 1);
        if !self.system.is_empty() {
            chat.push(ChatMessage { role: Role::System, content: self.system.clone() });
        }
        for (index, message) in self.messages.iter().enumerate() {
            let role = match message.role {
                WireRole::User => Role::User,
                WireRole::Assistant => Role::Assistant,
            };
            let mut content = String::new();
            for (block_index, block) in message.blocks.iter().enumerate() {
                match block {
                    Block::Text(text) => content.push_str(text),
                    Block::Thinking => {}
                    Block::Image(_) | Block::ToolUse { .. } | Block::ToolResult { .. } => {
                        let path = format!("messages.{index}.content.{block_index}.type");
                        let kind = block.kind();
                        let why = format!("blocks of type {kind:?} are not supported by this model");
                        return Err(unsupported(&path, &why));
                    }
                }
            }
            chat.push(ChatMessage { role, content });
        }
        Ok(chat)
    }

    fn to_chat(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("model".to_owned(), self.model.as_str().into());
        body.insert("messages".to_owned(), chat::messages(&self.system, &self.messages).into());
        chat::write_shape(&self.shape, &mut body);
        body
    }

    fn upstream_work(&self, body: Map<String, Value>, is_stream: bool) -> UpstreamWork {
        let (mut images, mut image_bytes) = (0_u32, 0);
        for block in self.messages.iter().flat_map(|message| &message.blocks) {
            for block in std::iter::once(block).chain(block.inner()) {
                if let Block::Image(url) = block {
                    images = images.saturating_add(1);
                    image_bytes += url.len();
                }
            }
        }
        let body = Value::Object(body).to_string();
        UpstreamWork {
            call: UpstreamCall::ChatCompletions,
            // All of it but the images: names of fields stand for what the server's template adds.
            prompt_bytes: body.len().saturating_sub(image_bytes) as u64,
            prompts: None,
            body: Bytes::from(body),
            is_stream,
            relay: Relay::Parse,
            images,
            choices: 1,
        }
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

fn is_filled(list: Option<&Vec<Value>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

fn refuse_first<const COUNT: usize>(
    rows: [(bool, &'static str, &'static str); COUNT],
) -> Result<(), ApiError> {
    match rows.into_iter().find(|(is_refused, ..)| *is_refused) {
        Some((_, path, why)) => Err(unsupported(path, why)),
        None => Ok(()),
    }
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
