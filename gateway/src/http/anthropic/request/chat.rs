//! A request for a message as chat completions say it.
//! Never loses what changes the answer: what has no form there was refused before.
//! Called by `MessagesRequest::upstream_work`.

use serde_json::{Map, Value, json};

use super::{
    content::{Block, Message},
    tools::{Choice, Shape, Tool},
    wire::WireRole,
};

/// The messages of a chat: the system prompt first, results of tools as messages of their own.
pub(super) fn messages(system: &str, messages: &[Message]) -> Vec<Value> {
    let mut chat = Vec::with_capacity(messages.len() + 1);
    if !system.is_empty() {
        chat.push(json!({"role": "system", "content": system}));
    }
    for message in messages {
        match message.role {
            WireRole::User => user(&message.blocks, &mut chat),
            WireRole::Assistant => chat.extend(assistant(&message.blocks)),
        }
    }
    chat
}

/// What shapes an answer, as fields of a chat's body.
pub(super) fn write_shape(shape: &Shape, body: &mut Map<String, Value>) {
    if !shape.tools.is_empty() {
        body.insert("tools".to_owned(), shape.tools.iter().map(tool).collect());
        if let Some(choice) = &shape.choice {
            body.insert("tool_choice".to_owned(), tool_choice(choice));
        }
        if shape.is_serial {
            body.insert("parallel_tool_calls".to_owned(), Value::Bool(false));
        }
    }
    if let Some(effort) = shape.effort {
        body.insert("reasoning_effort".to_owned(), Value::from(effort));
    }
    if let Some(schema) = &shape.schema {
        let format = json!({"name": "output", "schema": schema, "strict": true});
        let format = json!({"type": "json_schema", "json_schema": format});
        body.insert("response_format".to_owned(), format);
    }
}

/// Results must follow the call at once, so they go before what else the user says.
fn user(blocks: &[Block], chat: &mut Vec<Value>) {
    let mut parts = Vec::new();
    for block in blocks {
        match block {
            Block::ToolResult { tool_use_id, blocks } => {
                let content = texts(blocks);
                chat.push(json!({"role": "tool", "tool_call_id": tool_use_id, "content": content}));
                // A tool's message has only text there, so its images are shown by the user.
                parts.extend(blocks.iter().filter(|block| matches!(block, Block::Image(_))));
            }
            other @ (Block::Text(_) | Block::Image(_) | Block::ToolUse { .. } | Block::Thinking) => {
                parts.push(other);
            }
        }
    }
    if parts.is_empty() {
        return;
    }
    let content = match parts.iter().any(|part| matches!(part, Block::Image(_))) {
        true => parts.into_iter().filter_map(part).collect(),
        // A plain text is what every server and every chat template can read.
        false => Value::String(parts.into_iter().filter_map(text).collect()),
    };
    chat.push(json!({"role": "user", "content": content}));
}

/// `None` for a message that has nothing but thoughts.
fn assistant(blocks: &[Block]) -> Option<Value> {
    let calls: Vec<Value> = blocks.iter().filter_map(call).collect();
    let said = texts(blocks);
    if calls.is_empty() {
        let is_silent = !blocks.is_empty() && said.is_empty();
        return (!is_silent).then(|| json!({"role": "assistant", "content": said}));
    }
    let content = if said.is_empty() { Value::Null } else { Value::String(said) };
    Some(json!({"role": "assistant", "content": content, "tool_calls": calls}))
}

fn texts(blocks: &[Block]) -> String {
    blocks.iter().filter_map(text).collect()
}

fn text(block: &Block) -> Option<&str> {
    match block {
        Block::Text(text) => Some(text),
        Block::Image(_) | Block::ToolUse { .. } | Block::ToolResult { .. } | Block::Thinking => None,
    }
}

fn part(block: &Block) -> Option<Value> {
    match block {
        Block::Text(text) => Some(json!({"type": "text", "text": text})),
        Block::Image(url) => Some(json!({"type": "image_url", "image_url": {"url": url}})),
        Block::ToolUse { .. } | Block::ToolResult { .. } | Block::Thinking => None,
    }
}

fn call(block: &Block) -> Option<Value> {
    let Block::ToolUse { id, name, input } = block else { return None };
    let arguments = Value::Object(input.clone()).to_string();
    Some(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}))
}

fn tool(tool: &Tool) -> Value {
    let mut function = json!({"name": tool.name, "parameters": tool.schema});
    if let Some(description) = &tool.description {
        function["description"] = Value::from(description.as_str());
    }
    if let Some(strict) = tool.strict {
        function["strict"] = Value::Bool(strict);
    }
    json!({"type": "function", "function": function})
}

fn tool_choice(choice: &Choice) -> Value {
    match choice {
        Choice::Auto => Value::from("auto"),
        Choice::Any => Value::from("required"),
        Choice::None => Value::from("none"),
        Choice::Named(name) => json!({"type": "function", "function": {"name": name}}),
    }
}
