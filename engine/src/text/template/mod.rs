//! Chat templates as hub models carry them: Jinja with the conventions of the transformers library.
//! Never reads files and never tokenises.
//! Compiled once when a model is loaded; rendered for each chat.

use minijinja::{
    Environment, Error, ErrorKind, Value,
    syntax::SyntaxConfig,
    value::{Kwargs, Serde},
};
use serde::Serialize;

use super::TextError;
use crate::job::ChatMessage;

/// Steps one rendering may take. A long chat needs thousands; a template that loops is cut off.
const FUEL: u64 = 10_000_000;

/// Widest indentation `tojson` gives. Unit: spaces.
const INDENT_MAX: usize = 16;

const NAME: &str = "chat";

/// Marks an error that the template raised on purpose.
const RAISED: &str = "raised by the template: ";

/// The special tokens a template may mention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TemplateNames {
    pub(crate) bos_token: Option<String>,
    pub(crate) eos_token: Option<String>,
}

/// A compiled chat template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    names: TemplateNames,
}

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// Errors: the template's syntax.
    pub(crate) fn new(source: String, names: TemplateNames) -> Result<Self, Error> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
        environment.set_syntax(syntax);
        environment.set_fuel(Some(FUEL));
        // Chats are not HTML: nothing is escaped.
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", tojson);
        environment.add_template_owned(NAME, source)?;
        Ok(Self { environment, names })
    }

    /// The chat as text, ending where the assistant's answer begins.
    ///
    /// Errors: messages that the template refuses, or that break it.
    pub(crate) fn render(&self, messages: &[ChatMessage]) -> Result<String, TextError> {
        #[derive(Serialize)]
        struct Context<'a> {
            messages: &'a [ChatMessage],
            add_generation_prompt: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            bos_token: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            eos_token: Option<&'a str>,
        }
        let context = Context {
            messages,
            add_generation_prompt: true,
            bos_token: self.names.bos_token.as_deref(),
            eos_token: self.names.eos_token.as_deref(),
        };
        let template = self.environment.get_template(NAME).map_err(TextError::Template)?;
        template.render(Serde(context)).map_err(|error| {
            match error.detail().and_then(|detail| detail.strip_prefix(RAISED)) {
                Some(what) => TextError::Refused { what: what.to_owned() },
                None => TextError::Template(error),
            }
        })
    }
}

/// How templates refuse a chat.
fn raise_exception(what: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{what}")))
}

/// Today's date in UTC, for templates that tell the model.
fn strftime_now(format: &str) -> Result<String, Error> {
    let now = jiff::Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::UTC);
    let text = jiff::fmt::strtime::format(format, &now);
    text.map_err(|error| Error::new(ErrorKind::InvalidOperation, "strftime_now").with_source(error))
}

/// JSON as Python's `json.dumps(value, ensure_ascii=False)` writes it: a space after `,` and `:`, no HTML escapes.
#[expect(clippy::needless_pass_by_value, reason = "the template engine hands arguments over by value")]
fn tojson(value: Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Accepted as Python does; both are what is written anyway.
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let failed = |error| Error::new(ErrorKind::BadSerialization, "tojson").with_source(error);
    let mut bytes = Vec::new();
    match indent {
        Some(width) => {
            let spaces = " ".repeat(width.min(INDENT_MAX));
            let pretty = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, pretty);
            value.serialize(&mut serializer).map_err(failed)?;
        }
        None => {
            let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
            value.serialize(&mut serializer).map_err(failed)?;
        }
    }
    String::from_utf8(bytes)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, "tojson").with_source(error))
}

/// One line, with a space after each comma and colon.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests;
