//! The items of a conversation: messages, calls of functions and what came of them.
//! Never decides what a model can take; that is looked at when it is known what serves it.
//! Called by `ResponsesRequest`, for what a client sends and for what was stored.

use serde_json::{Map, Value, json};

use crate::http::ApiError;

/// Items of one conversation; the context is full long before.
pub(super) const ITEMS_MAX: usize = 4_096;

/// One item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Message {
        speaker: Speaker,
        parts: Vec<Part>,
    },
    Call {
        call_id: String,
        name: String,
        arguments: String,
    },
    Output {
        call_id: String,
        parts: Vec<Part>,
    },
    /// What a model thought: no other can use it, so it goes no further.
    Reasoning,
}

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    System,
    User,
    Assistant,
}

/// A part of what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Image { url: String, detail: Option<String> },
}

/// Checks items as they came.
///
/// Errors: the first thing that is wrong, by its path.
pub(super) fn read(items: &[Value]) -> Result<Vec<Item>, ApiError> {
    if items.is_empty() || items.len() > ITEMS_MAX {
        return Err(invalid("input", &format!("must have 1 to {ITEMS_MAX} items, not {}", items.len())));
    }
    items.iter().enumerate().map(|(index, item)| read_one(item, &format!("input[{index}]"))).collect()
}

/// A text as the one item that it means.
pub(super) fn of_text(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

fn read_one(item: &Value, path: &str) -> Result<Item, ApiError> {
    let Value::Object(item) = item else { return Err(invalid(path, "must be an object")) };
    let kind = match item.get("type") {
        None => "message",
        Some(Value::String(kind)) => kind,
        Some(_) => return Err(invalid(&format!("{path}.type"), "must be a string")),
    };
    match kind {
        "message" => {
            let speaker = match text(item, "role", path)? {
                "user" => Speaker::User,
                "assistant" => Speaker::Assistant,
                "system" | "developer" => Speaker::System,
                _ => {
                    let why = "must be user, assistant, system or developer";
                    return Err(invalid(&format!("{path}.role"), why));
                }
            };
            Ok(Item::Message { speaker, parts: parts(item.get("content"), &format!("{path}.content"))? })
        }
        "function_call" => Ok(Item::Call {
            call_id: text(item, "call_id", path)?.to_owned(),
            name: text(item, "name", path)?.to_owned(),
            arguments: text(item, "arguments", path)?.to_owned(),
        }),
        "function_call_output" => Ok(Item::Output {
            call_id: text(item, "call_id", path)?.to_owned(),
            parts: parts(item.get("output"), &format!("{path}.output"))?,
        }),
        "reasoning" => Ok(Item::Reasoning),
        kind => {
            Err(unsupported(&format!("{path}.type"), &format!("items of type {kind:?} are not supported")))
        }
    }
}

fn parts(content: Option<&Value>, path: &str) -> Result<Vec<Part>, ApiError> {
    match content {
        Some(Value::String(text)) => Ok(vec![Part::Text(text.clone())]),
        Some(Value::Array(list)) => {
            list.iter().enumerate().map(|(index, value)| part(value, &format!("{path}[{index}]"))).collect()
        }
        Some(_) | None => Err(invalid(path, "must be a string or an array of parts")),
    }
}

fn part(value: &Value, path: &str) -> Result<Part, ApiError> {
    let Value::Object(object) = value else { return Err(invalid(path, "must be an object")) };
    match text(object, "type", path)? {
        "input_text" | "output_text" | "text" => Ok(Part::Text(text(object, "text", path)?.to_owned())),
        "refusal" => Ok(Part::Text(text(object, "refusal", path)?.to_owned())),
        "input_image" => match object.get("image_url") {
            Some(Value::String(url)) => {
                let detail = object.get("detail").and_then(Value::as_str);
                // What chat completions know; anything else is their default.
                let detail = detail.filter(|detail| matches!(*detail, "low" | "high"));
                Ok(Part::Image { url: url.clone(), detail: detail.map(ToOwned::to_owned) })
            }
            Some(_) | None => Err(unsupported(
                &format!("{path}.image_url"),
                "an image needs its address; there are no files",
            )),
        },
        kind => {
            Err(unsupported(&format!("{path}.type"), &format!("parts of type {kind:?} are not supported")))
        }
    }
}

fn text<'a>(object: &'a Map<String, Value>, name: &str, path: &str) -> Result<&'a str, ApiError> {
    match object.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(invalid(&format!("{path}.{name}"), "must be a string")),
        None => Err(invalid(&format!("{path}.{name}"), "is missing")),
    }
}

pub(super) fn invalid(path: &str, why: &str) -> ApiError {
    ApiError::invalid("invalid_value", path, format!("{path}: {why}"))
}

pub(super) fn unsupported(path: &str, why: &str) -> ApiError {
    ApiError::invalid("unsupported_value", path, format!("{path}: {why}"))
}
