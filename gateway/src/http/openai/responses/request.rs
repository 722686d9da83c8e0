//! The body of `POST /v1/responses`: parsed once into checked types.
//! Never guesses: a field that cannot be honoured is refused with its path, unknown fields are left alone.
//! Called by `responses::create` after authentication.

use bytes::Bytes;
use domain::{ModelName, SloClass};
use engine::Sampling;
use serde_json::{Map, Value, json};
use serde_path_to_error::Path;

use super::{
    chat,
    items::{self, ITEMS_MAX, Item, invalid, unsupported},
    wire::{Input, WireRequest},
};
use crate::{
    dispatch::{EngineInput, EngineWork, Relay, UpstreamCall, UpstreamWork},
    http::{
        ApiError,
        body::{self, Object, whole},
        openai::sampling::{WireSampling, refuse_first},
        run::Work,
        wish,
    },
};

/// Entries of `metadata`, as OpenAI bounds them.
const METADATA_MAX: usize = 16;
/// Length of one of its values. Unit: characters.
const METADATA_VALUE_CHARS_MAX: usize = 512;

/// A checked request for a response.
#[derive(Debug)]
pub(super) struct ResponsesRequest {
    model: ModelName,
    items: Vec<Item>,
    /// The items as they came, to be stored.
    pub(super) conversation: Vec<Value>,
    pub(super) previous_id: Option<String>,
    pub(super) is_stored: bool,
    /// What an answer repeats of its request.
    pub(super) echo: Map<String, Value>,
    instructions: Option<String>,
    output_tokens_max: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    sampling: Sampling,
    /// Fields of a chat's body that shape the answer.
    shape: Map<String, Value>,
    class: Option<SloClass>,
    is_stream: bool,
}

impl ResponsesRequest {
    /// Parses and checks a body.
    ///
    /// Errors: the first field that is wrong, by its path.
    pub(super) fn from_wire(body: &[u8]) -> Result<Self, ApiError> {
        let mut wire: WireRequest = body::parse(body, Path::to_string)?;
        refuse(&wire)?;
        check_metadata(wire.metadata.as_ref())?;
        let model = ModelName::new(wire.model.as_str()).map_err(|_| ApiError::no_model(&wire.model))?;
        let sampling =
            WireSampling { temperature: wire.temperature, top_p: wire.top_p, top_k: None, seed: None };
        let sampling = sampling.check()?;
        let output_tokens_max =
            wire.max_output_tokens.map(|count| whole("max_output_tokens", count)).transpose()?;
        let conversation = match wire.input.take() {
            Some(Input::Text(text)) => vec![items::of_text(&text)],
            Some(Input::Items(items)) => items,
            None => return Err(body::missing("input")),
        };
        Ok(Self {
            model,
            items: items::read(&conversation)?,
            conversation,
            previous_id: wire.previous_response_id.clone(),
            is_stored: wire.store.unwrap_or(true),
            shape: shape(&wire)?,
            echo: echo(&wire),
            instructions: wire.instructions,
            output_tokens_max,
            temperature: wire.temperature,
            top_p: wire.top_p,
            sampling,
            class: wish::class(wire.service_tier.as_deref())?,
            is_stream: wire.stream.unwrap_or(false),
        })
    }

    /// Puts what was said before in front.
    ///
    /// Errors: it does not read back, or there is too much of it.
    pub(super) fn continue_from(&mut self, conversation: &str) -> Result<(), ApiError> {
        let corrupt = |_| ApiError::unstored();
        let mut earlier: Vec<Value> = serde_json::from_str(conversation).map_err(corrupt)?;
        earlier.append(&mut self.conversation);
        if earlier.len() > ITEMS_MAX {
            return Err(invalid(
                "previous_response_id",
                &format!("the conversation has over {ITEMS_MAX} items"),
            ));
        }
        self.items = items::read(&earlier)?;
        self.conversation = earlier;
        Ok(())
    }

    fn to_chat(&self) -> Map<String, Value> {
        let mut body = self.shape.clone();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        set("model", Some(self.model.as_str().into()));
        set("messages", Some(chat::to_messages(self.instructions.as_deref(), &self.items).into()));
        set("max_tokens", self.output_tokens_max.map(Value::from));
        set("stream", self.is_stream.then_some(Value::Bool(true)));
        // As it was written: a float of 32 bits would gain digits as one of 64.
        let number = |value: f32| value.to_string().parse::<f64>().ok().map(Value::from);
        set("temperature", self.temperature.and_then(number));
        set("top_p", self.top_p.and_then(number));
        body
    }
}

impl Work for ResponsesRequest {
    fn model(&self) -> &ModelName {
        &self.model
    }

    fn prompt_field(&self) -> &'static str {
        "input"
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
        refuse_first([
            (self.shape.contains_key("tools"), "tools", "tools are not supported by this model"),
            (
                self.shape.contains_key("response_format"),
                "text.format",
                "only plain text is supported by this model",
            ),
        ])?;
        let messages = chat::to_engine(self.instructions.as_deref(), &self.items)?;
        Ok(EngineWork {
            inputs: vec![EngineInput::Messages(messages)],
            choices_per_prompt: 1,
            sampling: self.sampling,
            stop: Vec::new(),
            ignore_eos: false,
        })
    }

    fn upstream_work(&self) -> Result<UpstreamWork, ApiError> {
        let body = Value::Object(self.to_chat()).to_string();
        let (images, image_bytes) = chat::images(&self.items);
        Ok(UpstreamWork {
            call: UpstreamCall::ChatCompletions,
            // All of it but the images: names of fields stand for what the server's template adds.
            prompt_bytes: body.len().saturating_sub(image_bytes) as u64,
            prompts: None,
            body: Bytes::from(body),
            is_stream: self.is_stream,
            relay: Relay::Parse,
            images,
            choices: 1,
        })
    }
}

/// What no server of ours can do.
fn refuse(wire: &WireRequest) -> Result<(), ApiError> {
    refuse_first([
        (wire.background == Some(true), "background", "answers are made while the client waits"),
        (wire.conversation.is_some(), "conversation", "conversations are kept by previous_response_id only"),
        (wire.prompt.is_some(), "prompt", "there are no stored prompts"),
        (wire.top_logprobs.is_some_and(|count| count > 0), "top_logprobs", "not supported"),
        (
            wire.truncation.as_deref().is_some_and(|truncation| truncation != "disabled"),
            "truncation",
            "only disabled is supported",
        ),
    ])
}

fn check_metadata(metadata: Option<&Map<String, Value>>) -> Result<(), ApiError> {
    let Some(metadata) = metadata else { return Ok(()) };
    let is_good =
        |value: &Value| value.as_str().is_some_and(|text| text.chars().count() <= METADATA_VALUE_CHARS_MAX);
    if metadata.len() > METADATA_MAX || !metadata.values().all(is_good) {
        let why = format!("at most {METADATA_MAX} texts of at most {METADATA_VALUE_CHARS_MAX} characters");
        return Err(invalid("metadata", &why));
    }
    Ok(())
}

/// Tools, the output's form and effort, as fields of a chat's body.
fn shape(wire: &WireRequest) -> Result<Map<String, Value>, ApiError> {
    let mut shape = Map::new();
    let mut set = |name: &str, value: Value| shape.insert(name.to_owned(), value);
    let tools = wire.tools.as_deref().unwrap_or_default();
    let tools: Vec<Value> =
        tools.iter().enumerate().map(|(index, tool)| function(tool, index)).collect::<Result<_, _>>()?;
    let choice = wire.tool_choice.as_ref().map(tool_choice).transpose()?;
    let has_tools = !tools.is_empty();
    if has_tools {
        set("tools", tools.into());
        if let Some(choice) = choice {
            set("tool_choice", choice);
        }
        if let Some(is_parallel) = wire.parallel_tool_calls {
            set("parallel_tool_calls", Value::Bool(is_parallel));
        }
    } else if choice.is_some_and(|choice| choice != "auto" && choice != "none") {
        return Err(invalid("tool_choice", "needs tools"));
    }
    if let Some(Object(text)) = &wire.text {
        if let Some(format) = text.format.as_ref().map(response_format).transpose()?.flatten() {
            set("response_format", format);
        }
        if let Some(verbosity) = &text.verbosity {
            set("verbosity", Value::from(verbosity.as_str()));
        }
    }
    if let Some(effort) = wire.reasoning.as_ref().and_then(|Object(reasoning)| reasoning.effort.as_deref()) {
        set("reasoning_effort", Value::from(effort));
    }
    if let Some(user) = &wire.user {
        set("user", Value::from(user.as_str()));
    }
    Ok(shape)
}

/// A function as chat completions name it.
fn function(tool: &Map<String, Value>, index: usize) -> Result<Value, ApiError> {
    let path = format!("tools[{index}]");
    match tool.get("type").and_then(Value::as_str) {
        Some("function") => {}
        Some(kind) => {
            let why = format!("tools of type {kind:?} are not supported, only functions");
            return Err(unsupported(&format!("{path}.type"), &why));
        }
        None => return Err(invalid(&format!("{path}.type"), "must be function")),
    }
    let name = tool.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let Some(name) = name else { return Err(invalid(&format!("{path}.name"), "must be a text")) };
    let mut function = json!({"name": name});
    for field in ["description", "parameters", "strict"] {
        if let Some(value) = tool.get(field).filter(|value| !value.is_null()) {
            function[field] = value.clone();
        }
    }
    Ok(json!({"type": "function", "function": function}))
}

fn tool_choice(choice: &Value) -> Result<Value, ApiError> {
    match choice {
        Value::String(word) if matches!(word.as_str(), "auto" | "none" | "required") => Ok(choice.clone()),
        Value::Object(object) if object.get("type").and_then(Value::as_str) == Some("function") => {
            match object.get("name").and_then(Value::as_str) {
                Some(name) => Ok(json!({"type": "function", "function": {"name": name}})),
                None => Err(invalid("tool_choice.name", "must be a text")),
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => Err(unsupported("tool_choice", "must be auto, none, required or a function")),
    }
}

/// `None` for plain text.
fn response_format(format: &Map<String, Value>) -> Result<Option<Value>, ApiError> {
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(json!({"type": "json_object"}))),
        Some("json_schema") => {
            if !format.get("name").is_some_and(Value::is_string) {
                return Err(invalid("text.format.name", "must be a text"));
            }
            if !format.get("schema").is_some_and(Value::is_object) {
                return Err(invalid("text.format.schema", "must be an object"));
            }
            let mut schema = format.clone();
            schema.remove("type");
            Ok(Some(json!({"type": "json_schema", "json_schema": schema})))
        }
        _ => Err(invalid("text.format.type", "must be text, json_object or json_schema")),
    }
}

/// What an answer repeats of its request, with what holds where nothing was said.
fn echo(wire: &WireRequest) -> Map<String, Value> {
    let number = |value: Option<f32>| value.and_then(|value| value.to_string().parse::<f64>().ok());
    let text = wire.text.as_ref().map(|Object(text)| text);
    let format = text.and_then(|text| text.format.clone()).map_or(json!({"type": "text"}), Value::Object);
    let mut shown_text = json!({"format": format});
    if let Some(verbosity) = text.and_then(|text| text.verbosity.as_deref()) {
        shown_text["verbosity"] = Value::from(verbosity);
    }
    let effort = wire.reasoning.as_ref().and_then(|Object(reasoning)| reasoning.effort.clone());
    let fields = json!({
        "background": false,
        "instructions": wire.instructions,
        "max_output_tokens": wire.max_output_tokens,
        "metadata": wire.metadata.clone().unwrap_or_default(),
        "parallel_tool_calls": wire.parallel_tool_calls.unwrap_or(true),
        "previous_response_id": wire.previous_response_id,
        "reasoning": {"effort": effort, "summary": null},
        "store": wire.store.unwrap_or(true),
        "temperature": number(wire.temperature).unwrap_or(1.0),
        "text": shown_text,
        "tool_choice": wire.tool_choice.clone().unwrap_or_else(|| Value::from("auto")),
        "tools": wire.tools.clone().unwrap_or_default(),
        "top_p": number(wire.top_p).unwrap_or(1.0),
        "truncation": "disabled",
        "user": wire.user,
    });
    if let Value::Object(fields) = fields { fields } else { Map::new() }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
