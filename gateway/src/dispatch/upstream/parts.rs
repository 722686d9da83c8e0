//! The content of a message as a text or as a list of parts, of which some are reasoning.
//! Never fails on a part of an unknown kind: it has no text, and its bytes are forwarded as they came.
//! Read by `chunk`, in the way of `lenient`.

use serde::{
    Deserialize,
    de::{MapAccess, SeqAccess},
};

use super::lenient::{Form, lenient, object};

/// What a content says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// Texts of the answer, joined.
    pub(super) text: String,
    /// Texts of reasoning, joined.
    pub(super) reasoning: String,
}

/// One part: Mistral's `text` and `thinking`, and what others call them.
#[derive(Debug, Default, Deserialize)]
struct Part {
    #[serde(default, rename = "type", deserialize_with = "lenient")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    text: Option<String>,
    /// A text, or parts of its own.
    #[serde(default, deserialize_with = "lenient")]
    thinking: Option<Parts>,
}

impl<'de> Form<'de> for Part {
    fn of_text(text: &str) -> Option<Self> {
        Some(Self { text: Some(text.to_owned()), ..Self::default() })
    }

    fn of_object<A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        object(map)
    }
}

impl<'de> Form<'de> for Parts {
    fn of_text(text: &str) -> Option<Self> {
        Some(Self { text: text.to_owned(), reasoning: String::new() })
    }

    fn of_list<A: SeqAccess<'de>>(list: A) -> Result<Option<Self>, A::Error> {
        let parts = Vec::<Part>::of_list(list)?;
        Ok(parts.map(|parts| parts.into_iter().fold(Self::default(), Self::plus)))
    }

    fn of_object<A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        let part: Option<Part> = object(map)?;
        Ok(part.map(|part| Self::default().plus(part)))
    }
}

impl Parts {
    fn plus(mut self, part: Part) -> Self {
        let Part { kind, text, thinking } = part;
        let is_reasoning = matches!(kind.as_deref(), Some("thinking" | "reasoning"));
        let place = if is_reasoning { &mut self.reasoning } else { &mut self.text };
        place.push_str(&text.unwrap_or_default());
        let Self { text, reasoning } = thinking.unwrap_or_default();
        self.reasoning.push_str(&text);
        self.reasoning.push_str(&reasoning);
        self
    }
}
