//! Messages and their blocks, checked: texts, images, calls of tools and their results.
//! Never decides what a model can take; that is looked at when it is known what serves it.
//! Called by `MessagesRequest::from_wire` and `CountRequest::from_wire`.

use serde_json::{Map, Value};

use super::{
    fields::{Fields, invalid, required, unsupported},
    wire::{Content, WireMessage, WireRole},
};
use crate::http::{ApiError, body::Object};

/// Messages in one request; the context is full long before.
const MESSAGES_MAX: usize = 4_096;

/// Kinds of image that models read.
const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) role: WireRole,
    pub(super) blocks: Vec<Block>,
}

/// One block of a message.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Text(String),
    /// An image's address: a `data:` URL for one that came with the request.
    Image(String),
    /// A call the model made before.
    ToolUse {
        id: String,
        name: String,
        input: Map<String, Value>,
    },
    /// What came of a call.
    ToolResult {
        tool_use_id: String,
        blocks: Vec<Block>,
    },
    /// What the model thought before: no other model can use it, so it goes no further.
    Thinking,
}

impl Block {
    /// How the block's type is called.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Image(_) => "image",
            Self::ToolUse { .. } => "tool_use",
            Self::ToolResult { .. } => "tool_result",
            Self::Thinking => "thinking",
        }
    }

    /// The blocks inside of it.
    pub(super) fn inner(&self) -> &[Self] {
        match self {
            Self::ToolResult { blocks, .. } => blocks,
            Self::Text(_) | Self::Image(_) | Self::ToolUse { .. } | Self::Thinking => &[],
        }
    }
}

/// The checked messages of a request.
pub(super) fn messages(wire: Option<Vec<Object<WireMessage>>>) -> Result<Vec<Message>, ApiError> {
    let wire = wire.ok_or_else(|| required("messages"))?;
    if wire.is_empty() || wire.len() > MESSAGES_MAX {
        let why = format!("must have 1 to {MESSAGES_MAX} entries, not {}", wire.len());
        return Err(invalid("messages", &why));
    }
    if wire.last().is_some_and(|Object(message)| message.role == WireRole::Assistant) {
        let why = "the last message must have the role \"user\": an answer cannot be begun for the model";
        return Err(unsupported("messages", why));
    }
    let one = |(index, Object(message)): (usize, Object<WireMessage>)| {
        let path = format!("messages.{index}.content");
        let content = message.content.ok_or_else(|| required(&path))?;
        Ok(Message { role: message.role, blocks: blocks(content, &path, message.role)? })
    };
    wire.into_iter().enumerate().map(one).collect()
}

/// The system prompt; its blocks are joined as they stand.
pub(super) fn system(content: Option<Content>) -> Result<String, ApiError> {
    match content {
        None => Ok(String::new()),
        Some(Content::Text(text)) => Ok(text),
        Some(Content::Blocks(list)) => {
            let one = |(index, block): (usize, &Map<String, Value>)| {
                let path = format!("system.{index}");
                match Fields::new(block, &path).text("type")? {
                    "text" => text(&Fields::new(block, &path)),
                    kind => Err(unsupported(&format!("{path}.type"), &unknown(kind))),
                }
            };
            list.iter().enumerate().map(one).collect()
        }
    }
}

fn blocks(content: Content, path: &str, role: WireRole) -> Result<Vec<Block>, ApiError> {
    match content {
        Content::Text(text) => Ok(vec![Block::Text(text)]),
        Content::Blocks(list) => {
            let one = |(index, fields): (usize, &Map<String, Value>)| {
                let path = format!("{path}.{index}");
                let found = block(fields, &path)?;
                match (role, &found) {
                    (WireRole::User, Block::ToolUse { .. } | Block::Thinking)
                    | (WireRole::Assistant, Block::ToolResult { .. } | Block::Image(_)) => {
                        let why = format!("blocks of type {:?} do not belong to this role", found.kind());
                        Err(invalid(&format!("{path}.type"), &why))
                    }
                    _ => Ok(found),
                }
            };
            list.iter().enumerate().map(one).collect()
        }
    }
}

fn block(object: &Map<String, Value>, path: &str) -> Result<Block, ApiError> {
    let fields = Fields::new(object, path);
    match fields.text("type")? {
        "text" => text(&fields).map(Block::Text),
        "image" => image(&fields),
        "tool_use" => {
            fields.only(&["type", "id", "name", "input", "cache_control", "caller"])?;
            let (id, name) = (fields.text("id")?.to_owned(), fields.text("name")?.to_owned());
            Ok(Block::ToolUse { id, name, input: fields.object("input")?.clone() })
        }
        "tool_result" => tool_result(&fields),
        "thinking" => {
            fields.only(&["type", "thinking", "signature"])?;
            fields.text("thinking")?;
            Ok(Block::Thinking)
        }
        "redacted_thinking" => {
            fields.only(&["type", "data"])?;
            Ok(Block::Thinking)
        }
        kind => Err(unsupported(&fields.path("type"), &unknown(kind))),
    }
}

fn unknown(kind: &str) -> String {
    format!("blocks of type {kind:?} are not supported")
}

fn text(fields: &Fields<'_>) -> Result<String, ApiError> {
    fields.only(&["type", "text", "cache_control", "citations"])?;
    match fields.find("citations") {
        None => {}
        Some(Value::Array(list)) if list.is_empty() => {}
        Some(_) => return Err(unsupported(&fields.path("citations"), "citations are not supported")),
    }
    match fields.text("text")? {
        "" => Err(invalid(&fields.path("text"), "text content blocks must be non-empty")),
        text => Ok(text.to_owned()),
    }
}

fn image(fields: &Fields<'_>) -> Result<Block, ApiError> {
    fields.only(&["type", "source", "cache_control"])?;
    let path = fields.path("source");
    let source = Fields::new(fields.object("source")?, &path);
    match source.text("type")? {
        "base64" => {
            source.only(&["type", "media_type", "data"])?;
            let (media_type, data) = (source.text("media_type")?, source.text("data")?);
            if !IMAGE_TYPES.contains(&media_type) {
                let why = format!("must be one of {}", IMAGE_TYPES.join(", "));
                return Err(invalid(&source.path("media_type"), &why));
            }
            Ok(Block::Image(format!("data:{media_type};base64,{data}")))
        }
        "url" => {
            source.only(&["type", "url"])?;
            Ok(Block::Image(source.text("url")?.to_owned()))
        }
        kind => {
            let why = format!("images of source {kind:?} are not supported");
            Err(unsupported(&source.path("type"), &why))
        }
    }
}

fn tool_result(fields: &Fields<'_>) -> Result<Block, ApiError> {
    fields.only(&["type", "tool_use_id", "content", "is_error", "cache_control"])?;
    fields.find_bool("is_error")?;
    let path = fields.path("content");
    let blocks = match fields.find("content") {
        None => Vec::new(),
        Some(Value::String(text)) => vec![Block::Text(text.clone())],
        Some(Value::Array(list)) => {
            let one = |(index, value): (usize, &Value)| {
                let path = format!("{path}.{index}");
                let Value::Object(object) = value else { return Err(invalid(&path, "must be an object")) };
                match block(object, &path)? {
                    found @ (Block::Text(_) | Block::Image(_)) => Ok(found),
                    found @ (Block::ToolUse { .. } | Block::ToolResult { .. } | Block::Thinking) => {
                        let why = format!("blocks of type {:?} do not belong into a result", found.kind());
                        Err(invalid(&format!("{path}.type"), &why))
                    }
                }
            };
            list.iter().enumerate().map(one).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(invalid(&path, "must be a string or an array of content blocks")),
    };
    Ok(Block::ToolResult { tool_use_id: fields.text("tool_use_id")?.to_owned(), blocks })
}
