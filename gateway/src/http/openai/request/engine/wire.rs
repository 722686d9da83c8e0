//! The JSON of a chat request, field by field, before any check.
//! Never decides what is allowed; it only says what can be read at all.
//! Parsed by `engine::work`.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use serde_json::Value;

use crate::http::{body::Object, openai::sampling::TextOrTexts};

#[derive(Deserialize)]
pub(super) struct WireRequest {
    pub(super) messages: Vec<Object<WireMessage>>,
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) top_k: Option<i64>,
    pub(super) seed: Option<i64>,
    pub(super) stop: Option<TextOrTexts>,
    pub(super) n: Option<i64>,
    pub(super) ignore_eos: Option<bool>,
    pub(super) response_format: Option<Object<WireResponseFormat>>,
    pub(super) logprobs: Option<bool>,
    pub(super) top_logprobs: Option<i64>,
    pub(super) presence_penalty: Option<f32>,
    pub(super) frequency_penalty: Option<f32>,
    pub(super) logit_bias: Option<serde_json::Map<String, Value>>,
    pub(super) tools: Option<Vec<Value>>,
    pub(super) tool_choice: Option<Value>,
    pub(super) functions: Option<Vec<Value>>,
    pub(super) modalities: Option<Vec<String>>,
    pub(super) web_search_options: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct WireResponseFormat {
    pub(super) r#type: String,
}

#[derive(Deserialize)]
pub(super) struct WireMessage {
    pub(super) role: WireRole,
    pub(super) content: Option<Content>,
    pub(super) tool_calls: Option<Vec<Value>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WireRole {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    Function,
}

#[derive(Deserialize)]
pub(super) struct WirePart {
    pub(super) r#type: String,
    pub(super) text: Option<String>,
}

/// A message's content: a text, or parts of which only texts are supported.
pub(super) struct Content {
    pub(super) text: String,
    /// The place and type of the first part that is no text.
    pub(super) other: Option<(usize, String)>,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of content parts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content { text: text.to_owned(), other: None })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
                let (mut text, mut other, mut place) = (String::new(), None, 0);
                while let Some(Object(part)) = parts.next_element::<Object<WirePart>>()? {
                    match (part.r#type == "text", part.text) {
                        (true, Some(part)) => text.push_str(&part),
                        (true, None) => return Err(de::Error::missing_field("text")),
                        (false, _) => other = other.or(Some((place, part.r#type))),
                    }
                    place += 1;
                }
                Ok(Content { text, other })
            }
        }
        input.deserialize_any(ContentVisitor)
    }
}
