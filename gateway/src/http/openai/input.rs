//! Plain texts, or token ids, as completions and embeddings take them: one, or a list.
//! Never decides how many are too many; each route has its own bound.
//! Read by `completions` and `embeddings`.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, SeqAccess, Visitor},
};

/// Most bytes a token stands for, when a text came as token ids.
const BYTES_PER_TOKEN: u64 = 4;
/// Texts of one request; the longest list that any route takes, as OpenAI bounds it.
pub(super) const TEXTS_MAX: usize = 2_048;

/// What a model is to read.
#[derive(Debug)]
pub(super) enum TextInput {
    Texts(Vec<String>),
    /// Token ids, which mean something only to the model that they were made for.
    Tokens {
        inputs: u32,
        tokens: u64,
        /// Those of the longest.
        longest: u64,
    },
}

impl TextInput {
    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        match self {
            Self::Texts(texts) => u32::try_from(texts.len()).unwrap_or(u32::MAX),
            Self::Tokens { inputs, .. } => *inputs,
        }
    }

    /// All their text, or an upper bound of it. Unit: bytes.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Texts(texts) => texts.iter().map(|text| text.len() as u64).sum(),
            Self::Tokens { tokens, .. } => tokens.saturating_mul(BYTES_PER_TOKEN),
        }
    }

    /// The text of the longest, or an upper bound of it. Unit: bytes.
    pub(super) fn longest_bytes(&self) -> u64 {
        match self {
            Self::Texts(texts) => texts.iter().map(|text| text.len() as u64).max().unwrap_or(0),
            Self::Tokens { longest, .. } => longest.saturating_mul(BYTES_PER_TOKEN),
        }
    }
}

/// One entry of a list.
enum Entry {
    Text(String),
    Token,
    /// A text of this many tokens.
    Tokens(u64),
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a token id or a list of token ids")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Entry, E> {
                Ok(Entry::Text(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, id: u64) -> Result<Entry, E> {
                match u32::try_from(id) {
                    Ok(_) => Ok(Entry::Token),
                    Err(_) => Err(E::custom(format!("{id} is no token id"))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut ids: A) -> Result<Entry, A::Error> {
                let mut count = 0;
                while ids.next_element::<u32>()?.is_some() {
                    count += 1;
                }
                Ok(Entry::Tokens(count))
            }
        }
        input.deserialize_any(EntryVisitor)
    }
}

impl<'de> Deserialize<'de> for TextInput {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct InputVisitor;
        impl<'de> Visitor<'de> for InputVisitor {
            type Value = TextInput;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a list of texts, or token ids")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TextInput, E> {
                Ok(TextInput::Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<TextInput, A::Error> {
                let mut texts = Vec::new();
                let (mut loose, mut inputs, mut tokens, mut longest) = (0_u64, 0_u32, 0_u64, 0_u64);
                while let Some(entry) = entries.next_element()? {
                    match entry {
                        Entry::Text(text) => texts.push(text),
                        Entry::Token => loose += 1,
                        Entry::Tokens(count) => {
                            (inputs, tokens, longest) = (inputs + 1, tokens + count, longest.max(count));
                        }
                    }
                    // More than any route takes: not worth reading in full.
                    if texts.len().max(usize::try_from(inputs).unwrap_or(usize::MAX)) > TEXTS_MAX {
                        while entries.next_element::<IgnoredAny>()?.is_some() {}
                        break;
                    }
                }
                match (texts.is_empty(), loose, inputs) {
                    (_, 0, 0) => Ok(TextInput::Texts(texts)),
                    (true, 0, _) => Ok(TextInput::Tokens { inputs, tokens, longest }),
                    (true, _, 0) => Ok(TextInput::Tokens { inputs: 1, tokens: loose, longest: loose }),
                    _ => Err(de::Error::custom("texts, token ids and lists of them are mixed")),
                }
            }
        }
        input.deserialize_any(InputVisitor)
    }
}
