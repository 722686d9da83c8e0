//! A conversation as chat completions say it.
//! Never loses what changes the answer: what has no form there was refused before.
//! Called by `ResponsesRequest`, for engines of ours and for backends.

use engine::{ChatMessage, Role};
use serde_json::{Value, json};

use super::items::{Item, Part, Speaker, unsupported};
use crate::http::ApiError;

/// The conversation as an engine of ours reads it: texts alone.
///
/// Errors: the first item that is none.
pub(super) fn to_engine(instructions: Option<&str>, items: &[Item]) -> Result<Vec<ChatMessage>, ApiError> {
    let system = |text: &str| ChatMessage { role: Role::System, content: text.to_owned() };
    let mut chat: Vec<ChatMessage> = instructions.map(system).into_iter().collect();
    for (index, item) in items.iter().enumerate() {
        match item {
            Item::Message { speaker, parts } => {
                let role = match speaker {
                    Speaker::System => Role::System,
                    Speaker::User => Role::User,
                    Speaker::Assistant => Role::Assistant,
                };
                if let Some(part) = parts.iter().position(|part| matches!(part, Part::Image { .. })) {
                    let path = format!("input[{index}].content[{part}].type");
                    return Err(unsupported(&path, "images are not supported by this model"));
                }
                chat.push(ChatMessage { role, content: texts(parts) });
            }
            Item::Call { .. } | Item::Output { .. } => {
                return Err(unsupported(
                    &format!("input[{index}].type"),
                    "tools are not supported by this model",
                ));
            }
            Item::Reasoning => {}
        }
    }
    Ok(chat)
}

/// The conversation as the messages of a chat. What an assistant says and the calls behind it are one message there.
pub(super) fn to_messages(instructions: Option<&str>, items: &[Item]) -> Vec<Value> {
    let mut chat = Vec::with_capacity(items.len() + 1);
    if let Some(text) = instructions {
        chat.push(json!({"role": "system", "content": text}));
    }
    for item in items {
        match item {
            Item::Message { speaker: Speaker::System, parts } => {
                chat.push(json!({"role": "system", "content": texts(parts)}));
            }
            Item::Message { speaker: Speaker::User, parts } => {
                chat.push(json!({"role": "user", "content": content(parts)}));
            }
            Item::Message { speaker: Speaker::Assistant, parts } => {
                chat.push(json!({"role": "assistant", "content": texts(parts)}));
            }
            Item::Call { call_id, name, arguments } => {
                let function = json!({"name": name, "arguments": arguments});
                let call = json!({"id": call_id, "type": "function", "function": function});
                match chat.last_mut().filter(|message| message["role"] == "assistant") {
                    Some(message) => add_call(message, call),
                    None => chat.push(json!({"role": "assistant", "content": null, "tool_calls": [call]})),
                }
            }
            Item::Output { call_id, parts } => {
                chat.push(json!({"role": "tool", "tool_call_id": call_id, "content": texts(parts)}));
                // A tool's message has only text there, so its images are shown by the user.
                let images: Vec<Part> =
                    parts.iter().filter(|part| matches!(part, Part::Image { .. })).cloned().collect();
                if !images.is_empty() {
                    chat.push(json!({"role": "user", "content": content(&images)}));
                }
            }
            Item::Reasoning => {}
        }
    }
    chat
}

/// How many images there are, and how much text their addresses are. Unit: bytes.
pub(super) fn images(items: &[Item]) -> (u32, usize) {
    let (mut count, mut bytes) = (0_u32, 0);
    for item in items {
        let (Item::Message { parts, .. } | Item::Output { parts, .. }) = item else { continue };
        for part in parts {
            if let Part::Image { url, .. } = part {
                count = count.saturating_add(1);
                bytes += url.len();
            }
        }
    }
    (count, bytes)
}

fn add_call(message: &mut Value, call: Value) {
    match message.get_mut("tool_calls").and_then(Value::as_array_mut) {
        Some(calls) => calls.push(call),
        None => message["tool_calls"] = Value::Array(vec![call]),
    }
}

fn texts(parts: &[Part]) -> String {
    let text = |part: &Part| match part {
        Part::Text(text) => Some(text.clone()),
        Part::Image { .. } => None,
    };
    parts.iter().filter_map(text).collect()
}

/// A plain text is what every server and every chat template can read; with images it is a list.
fn content(parts: &[Part]) -> Value {
    if parts.iter().all(|part| matches!(part, Part::Text(_))) {
        return Value::String(texts(parts));
    }
    let one = |part: &Part| match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image { url, detail: None } => json!({"type": "image_url", "image_url": {"url": url}}),
        Part::Image { url, detail: Some(detail) } => {
            json!({"type": "image_url", "image_url": {"url": url, "detail": detail}})
        }
    };
    parts.iter().map(one).collect()
}
