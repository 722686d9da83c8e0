//! What shapes an answer beside its messages: tools, whether to think, and the form of the output.
//! Never decides what a model can do; that is looked at when it is known what serves it.
//! Called by `MessagesRequest::from_wire` and `CountRequest::from_wire`.

use serde_json::{Map, Value};

use super::fields::{Fields, invalid, unsupported};
use crate::http::ApiError;

/// Tools in one request; their descriptions fill the context long before.
const TOOLS_MAX: usize = 1_024;
/// Most tokens of thinking that are a low effort: a page.
const LOW_THINKING_TOKENS: i64 = 4_096;
/// Most tokens of thinking that are a medium effort.
const MEDIUM_THINKING_TOKENS: i64 = 16_384;
/// Fewest tokens of thinking that may be asked for, as Anthropic bounds them.
const THINKING_TOKENS_MIN: i64 = 1_024;

/// What shapes an answer beside its messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    pub(super) tools: Vec<Tool>,
    pub(super) choice: Option<Choice>,
    /// At most one call in an answer.
    pub(super) is_serial: bool,
    /// Whether the client is shown what the model thinks.
    pub(super) is_thinking: bool,
    /// How hard to think, in the words of chat completions.
    pub(super) effort: Option<&'static str>,
    /// The output is JSON of this schema.
    pub(super) schema: Option<Map<String, Value>>,
}

/// A function the model may call.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) schema: Map<String, Value>,
    pub(super) strict: Option<bool>,
}

/// Which tools must be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Auto,
    Any,
    None,
    Named(String),
}

/// The wire's fields, as they came.
pub(super) struct WireShape {
    pub(super) tools: Option<Vec<Map<String, Value>>>,
    pub(super) tool_choice: Option<Map<String, Value>>,
    pub(super) thinking: Option<Map<String, Value>>,
    pub(super) output_config: Option<Map<String, Value>>,
}

impl Shape {
    /// Checks the fields.
    ///
    /// Errors: the first that is wrong, by its path.
    pub(super) fn from_wire(wire: &WireShape) -> Result<Self, ApiError> {
        let mut shape = Self { tools: tools(wire.tools.as_deref().unwrap_or_default())?, ..Self::default() };
        if let Some(object) = &wire.tool_choice {
            shape.read_choice(&Fields::new(object, "tool_choice"))?;
        }
        if let Some(object) = &wire.thinking {
            shape.read_thinking(&Fields::new(object, "thinking"))?;
        }
        if let Some(object) = &wire.output_config {
            shape.read_output(&Fields::new(object, "output_config"))?;
        }
        Ok(shape)
    }

    /// The first field an engine of ours cannot honour yet.
    ///
    /// Errors: that field.
    pub(super) fn refuse_for_engine(&self) -> Result<(), ApiError> {
        let rows = [
            (!self.tools.is_empty(), "tools", "tools are not supported by this model"),
            (self.choice.is_some(), "tool_choice", "tools are not supported by this model"),
            (self.is_thinking, "thinking", "thinking is not supported by this model"),
            (self.schema.is_some(), "output_config", "only plain text is supported by this model"),
            (self.effort.is_some(), "output_config", "this model has no levels of effort"),
        ];
        match rows.into_iter().find(|(is_refused, ..)| *is_refused) {
            Some((_, path, why)) => Err(unsupported(path, why)),
            None => Ok(()),
        }
    }

    fn read_choice(&mut self, fields: &Fields<'_>) -> Result<(), ApiError> {
        let kind = fields.text("type")?;
        let known: &[&str] = match kind {
            "tool" => &["type", "name", "disable_parallel_tool_use"],
            "none" => &["type"],
            _ => &["type", "disable_parallel_tool_use"],
        };
        self.choice = Some(match kind {
            "auto" => Choice::Auto,
            "any" => Choice::Any,
            "none" => Choice::None,
            "tool" => Choice::Named(fields.text("name")?.to_owned()),
            _ => return Err(invalid(&fields.path("type"), "must be auto, any, tool or none")),
        });
        fields.only(known)?;
        self.is_serial = fields.find_bool("disable_parallel_tool_use")?.unwrap_or(false);
        let must_call = matches!(self.choice, Some(Choice::Any | Choice::Named(_)));
        if must_call && self.tools.is_empty() {
            return Err(invalid("tool_choice", "needs tools"));
        }
        Ok(())
    }

    fn read_thinking(&mut self, fields: &Fields<'_>) -> Result<(), ApiError> {
        match fields.text("type")? {
            "disabled" => return fields.only(&["type"]),
            "adaptive" => fields.only(&["type", "display"])?,
            "enabled" => {
                fields.only(&["type", "budget_tokens", "display"])?;
                let budget = fields.find("budget_tokens").and_then(Value::as_i64);
                self.effort = Some(match budget {
                    Some(tokens) if tokens > MEDIUM_THINKING_TOKENS => "high",
                    Some(tokens) if tokens > LOW_THINKING_TOKENS => "medium",
                    Some(tokens) if tokens >= THINKING_TOKENS_MIN => "low",
                    Some(_) | None => {
                        let why = format!("must be a whole number of at least {THINKING_TOKENS_MIN}");
                        return Err(invalid(&fields.path("budget_tokens"), &why));
                    }
                });
            }
            _ => return Err(invalid(&fields.path("type"), "must be enabled, adaptive or disabled")),
        }
        self.is_thinking = match fields.find_text("display")? {
            None | Some("summarized") => true,
            Some("omitted") => false,
            Some(_) => return Err(invalid(&fields.path("display"), "must be summarized or omitted")),
        };
        Ok(())
    }

    fn read_output(&mut self, fields: &Fields<'_>) -> Result<(), ApiError> {
        fields.only(&["effort", "format"])?;
        self.effort = match fields.find_text("effort")? {
            None => self.effort,
            Some("low") => Some("low"),
            Some("medium") => Some("medium"),
            Some("high") => Some("high"),
            // Chat completions have no word above this one.
            Some("xhigh" | "max") => Some("xhigh"),
            Some(_) => {
                return Err(invalid(&fields.path("effort"), "must be low, medium, high, xhigh or max"));
            }
        };
        if fields.find("format").is_some() {
            let path = fields.path("format");
            let format = Fields::new(fields.object("format")?, &path);
            format.only(&["type", "schema"])?;
            match format.text("type")? {
                "json_schema" => self.schema = Some(format.object("schema")?.clone()),
                _ => return Err(unsupported(&format.path("type"), "only json_schema is supported")),
            }
        }
        Ok(())
    }
}

fn tools(list: &[Map<String, Value>]) -> Result<Vec<Tool>, ApiError> {
    if list.len() > TOOLS_MAX {
        return Err(invalid("tools", &format!("at most {TOOLS_MAX} tools")));
    }
    list.iter().enumerate().map(|(index, object)| tool(object, &format!("tools.{index}"))).collect()
}

fn tool(object: &Map<String, Value>, path: &str) -> Result<Tool, ApiError> {
    let fields = Fields::new(object, path);
    match fields.find_text("type")? {
        None | Some("custom") => {}
        Some(kind) => {
            let why = format!("tools of type {kind:?} run at their provider and are not supported");
            return Err(unsupported(&fields.path("type"), &why));
        }
    }
    fields.only(&[
        "type",
        "name",
        "description",
        "input_schema",
        "strict",
        "cache_control",
        "input_examples",
        "eager_input_streaming",
    ])?;
    let name = fields.text("name")?;
    if name.is_empty() {
        return Err(invalid(&fields.path("name"), "must not be empty"));
    }
    Ok(Tool {
        name: name.to_owned(),
        description: fields.find_text("description")?.map(ToOwned::to_owned),
        schema: fields.object("input_schema")?.clone(),
        strict: fields.find_bool("strict")?,
    })
}
