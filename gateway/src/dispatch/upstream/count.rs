//! Counts tokens that an upstream did not count: with the model's tokenizer, or from the length of the text.
//! Never more exact than it says: whatever is counted here is billed as estimated.
//! Called by the readers of streams and whole answers, and before admission for prompts.

use std::sync::Arc;

use engine::TokenCounter;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use crate::dispatch::{PromptList, UpstreamWork, splice::Fields};

/// Bytes of a token, where there is no tokenizer. English text in current vocabularies has about four.
const TOKEN_BYTES: u64 = 4;

/// Tokens that a chat template puts around a prompt at the most: a system prompt of its own, roles, the start of
/// the answer. What it adds for each message is less than the JSON around the message has bytes.
const TEMPLATE_TOKENS_MAX: u64 = 1_024;

/// Tokens around each further text of a list: its beginning, its end, what an embedding model wants there.
const MARKS_MAX: u64 = 8;

/// What a picture takes about.
const IMAGE_TOKENS: u64 = 1_024;

/// What a picture takes at the most, where its size is not known.
/// Source: the finest tilings of common vision models; Qwen2-VL's bound is 16,384.
const IMAGE_TOKENS_MAX: u64 = 16_384;

/// More tokens than the prompt of this request can have: a token has a byte at least.
fn prompt_tokens_max(work: &UpstreamWork) -> u64 {
    let images = u64::from(work.images).saturating_mul(IMAGE_TOKENS_MAX);
    let others = work.prompts.map_or(0, |prompts| u64::from(prompts.count).saturating_sub(1));
    let marks = others.saturating_mul(MARKS_MAX);
    work.prompt_bytes.saturating_add(TEMPLATE_TOKENS_MAX).saturating_add(marks).saturating_add(images)
}

/// What is known of a prompt before it is sent. Unit: tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptTokens {
    /// About all of it; never more than `most`.
    pub about: u64,
    /// About the longest of its prompts, whether a context has room for it or not.
    pub longest: u64,
    /// More it cannot have.
    pub most: u64,
}

impl PromptTokens {
    /// Of a request that was counted, where each prompt has so large a context.
    pub(in crate::dispatch) fn of(work: &UpstreamWork, counted: u64, context_tokens_max: u64) -> Self {
        let bound = prompt_tokens_max(work);
        let counted = counted.min(bound);
        let (count, longest) = match work.prompts {
            None => (1, counted),
            Some(PromptList { count, longest_bytes }) => {
                // As many of its tokens as it has of the text.
                let share = u128::from(counted) * u128::from(longest_bytes.min(work.prompt_bytes));
                let share = share.div_ceil(u128::from(work.prompt_bytes.max(1)));
                (u64::from(count.max(1)), u64::try_from(share).unwrap_or(u64::MAX).max(1))
            }
        };
        let most = bound.min(context_tokens_max.saturating_mul(count));
        Self { about: counted.min(most), longest, most }
    }
}

/// How tokens are counted.
#[derive(Clone, Debug, Default)]
pub(in crate::dispatch) struct Counter {
    tokenizer: Option<Arc<TokenCounter>>,
}

/// Tokens of a text that grows.
#[derive(Clone, Debug, Default)]
pub(super) struct RunningCount {
    bytes: u64,
    tokens: u64,
}

impl Counter {
    pub(in crate::dispatch) fn new(tokenizer: Option<Arc<TokenCounter>>) -> Self {
        Self { tokenizer }
    }

    /// Adds a text; gives how many tokens came with it.
    pub(super) fn add(&self, running: &mut RunningCount, text: &str) -> u64 {
        let before = running.tokens;
        running.bytes = running.bytes.saturating_add(text.len() as u64);
        running.tokens = match self.tokenizer.as_ref().and_then(|tokenizer| tokenizer.count(text)) {
            Some(tokens) => before.saturating_add(tokens),
            None => before.max(running.bytes.div_ceil(TOKEN_BYTES)),
        };
        running.tokens - before
    }

    /// Tokens of all these texts, where there is a tokenizer.
    pub(super) fn exact<'a>(&self, texts: impl Iterator<Item = &'a str>) -> Option<u64> {
        let tokenizer = self.tokenizer.as_ref()?;
        texts.into_iter().try_fold(0_u64, |sum, text| Some(sum.saturating_add(tokenizer.count(text)?)))
    }

    /// About how many tokens the prompt of a request has.
    pub(in crate::dispatch) fn prompt_of(&self, work: &UpstreamWork) -> u64 {
        let images = u64::from(work.images).saturating_mul(IMAGE_TOKENS);
        let texts = match &self.tokenizer {
            Some(tokenizer) => tokenizer.count(&prompt_text(&work.body)),
            None => None,
        };
        texts.unwrap_or_else(|| work.prompt_bytes.div_ceil(TOKEN_BYTES)).saturating_add(images).max(1)
    }
}

impl RunningCount {
    /// All tokens so far.
    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }
}

/// Fields of a body whose texts are the prompt.
const PROMPT_FIELDS: [&str; 4] = ["messages", "tools", "prompt", "input"];

/// Longest text that is a link to a picture, not a part of the prompt, by how it begins.
const PICTURE: &str = "data:";

/// All texts of a prompt, one after another, much as a template joins them.
fn prompt_text(body: &[u8]) -> String {
    let mut text = String::new();
    let Ok(fields) = Fields::read(body) else { return text };
    for name in PROMPT_FIELDS {
        if let Ok(Some(value)) = fields.find(name)
            && let Ok(Texts(texts)) = serde_json::from_str(value)
        {
            text.push_str(&texts);
        }
    }
    text
}

/// The texts of a JSON value at any depth, in order; names of fields are left out.
struct Texts(String);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("any value")
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Texts, E> {
                Ok(Texts(String::new()))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Texts, E> {
                Ok(Texts(String::new()))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Texts, E> {
                Ok(Texts(String::new()))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Texts, E> {
                Ok(Texts(String::new()))
            }

            fn visit_unit<E: Error>(self) -> Result<Texts, E> {
                Ok(Texts(String::new()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
                let is_picture = text.starts_with(PICTURE);
                Ok(Texts(if is_picture { String::new() } else { format!("{text}\n") }))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
                let mut all = String::new();
                while let Some(Texts(text)) = items.next_element()? {
                    all.push_str(&text);
                }
                Ok(Texts(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut all = String::new();
                while let Some((_, Texts(text))) = map.next_entry::<serde::de::IgnoredAny, _>()? {
                    all.push_str(&text);
                }
                Ok(Texts(all))
            }
        }
        input.deserialize_any(TextsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{Relay, UpstreamCall};

    #[test]
    fn the_texts_of_a_prompt_are_found() {
        let rows = [
            (r#"{"messages":[{"role":"user","content":"hi"}],"user":"x","model":"m"}"#, "user\nhi\n"),
            (
                r#"{"messages":[{"content":[{"type":"text","text":"a"},{"image_url":{"url":"data:x"}}]}]}"#,
                "text\na\n",
            ),
            (r#"{"prompt":["a","b",3,null,true,1.5]}"#, "a\nb\n"),
            (r#"{"input":"a"}"#, "a\n"),
            (r#"{"model":"m"}"#, ""),
            ("[]", ""),
        ];
        for (body, expected) in rows {
            assert_eq!(prompt_text(body.as_bytes()), expected, "{body}");
        }
    }

    /// A text's bytes, the count and longest of a list; expected with a context of 1,000: about, longest, most.
    fn check_prompt(bytes: u64, list: Option<(u32, u64)>, expected: (u64, u64, u64)) {
        let work = UpstreamWork {
            call: UpstreamCall::Embeddings,
            body: bytes::Bytes::new(),
            is_stream: false,
            relay: Relay::Parse,
            prompt_bytes: bytes,
            prompts: list.map(|(count, longest_bytes)| PromptList { count, longest_bytes }),
            images: 0,
            choices: 1,
        };
        let PromptTokens { about, longest, most } =
            PromptTokens::of(&work, Counter::default().prompt_of(&work), 1_000);
        assert_eq!((about, longest, most), expected, "{bytes} {list:?}");
    }

    #[test]
    fn each_prompt_has_a_context_of_its_own() {
        check_prompt(400, None, (100, 100, 1_000));
        check_prompt(0, None, (1, 1, 1_000));
        // Longer than its context: told as it is, and held for no more than can be.
        check_prompt(8_000, None, (1_000, 2_000, 1_000));
        check_prompt(8_000, Some((1, 8_000)), (1_000, 2_000, 1_000));
        check_prompt(8_000, Some((4, 2_000)), (2_000, 500, 4_000));
        check_prompt(8_000, Some((4, 7_997)), (2_000, 2_000, 4_000));
        // Short texts, each with its marks.
        check_prompt(2_048, Some((2_048, 1)), (512, 1, 2_048 + 1_024 + 2_047 * 8));
        check_prompt(0, Some((0, 0)), (1, 1, 1_000));
    }

    #[test]
    fn four_bytes_are_a_token_wherever_they_are_cut() {
        let rows: [(&[&str], u64); 6] = [
            (&[], 0),
            (&[""], 0),
            (&["a"], 1),
            (&["a", "b", "c", "d"], 1),
            (&["a", "b", "c", "d", "e"], 2),
            (&["grüße", " 🦊"], 3),
        ];
        for (texts, expected) in rows {
            let (counter, mut running) = (Counter::default(), RunningCount::default());
            let sum: u64 = texts.iter().map(|text| counter.add(&mut running, text)).sum();
            assert_eq!((sum, running.tokens()), (expected, expected), "{texts:?}");
        }
    }
}
