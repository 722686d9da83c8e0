//! Fields that chat completions and completions share: sampling, bounds, stop strings, choices.
//! Never decides what a backend can do; only what no server takes is refused here.
//! Called by the requests of this dialect.

use std::fmt;

use engine::Sampling;
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};

use crate::http::{
    ApiError,
    body::{between, whole},
    run::CHOICES_MAX,
};

/// Stop strings a request may name, as OpenAI bounds them.
const STOPS_MAX: usize = 4;
/// Longest stop string. Unit: bytes. Longer ones would hold back whole paragraphs of the stream.
const STOP_BYTES_MAX: usize = 256;

/// How tokens are drawn, before any check.
pub(super) struct WireSampling {
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) top_k: Option<i64>,
    pub(super) seed: Option<i64>,
}

/// One text or several.
pub(super) struct TextOrTexts(pub(super) Vec<String>);

impl WireSampling {
    /// Errors: the first number that is out of its bounds.
    pub(super) fn check(&self) -> Result<Sampling, ApiError> {
        let default = Sampling::default();
        // As OpenAI-compatible servers have it, -1 and 0 are no bound.
        let top_k = match self.top_k {
            None | Some(-1 | 0) => None,
            Some(top_k) => Some(whole("top_k", top_k)?),
        };
        Ok(Sampling {
            temperature: between("temperature", self.temperature, 0.0, 2.0)?.unwrap_or(default.temperature),
            top_p: match between("top_p", self.top_p, 0.0, 1.0)? {
                Some(0.0) => {
                    return Err(ApiError::invalid("invalid_value", "top_p", "top_p: must be above 0"));
                }
                top_p => top_p.unwrap_or(default.top_p),
            },
            top_k,
            seed: self.seed.map(i64::cast_unsigned),
        })
    }
}

/// The output bound, whichever of its two names was used.
pub(super) fn output_tokens_max(newer: Option<i64>, older: Option<i64>) -> Result<Option<u32>, ApiError> {
    match (newer, older) {
        (Some(newer), Some(older)) if newer != older => {
            let message = "max_tokens: differs from max_completion_tokens; send one of them";
            Err(ApiError::invalid("invalid_value", "max_tokens", message))
        }
        (Some(count), _) => whole("max_completion_tokens", count).map(Some),
        (None, Some(count)) => whole("max_tokens", count).map(Some),
        (None, None) => Ok(None),
    }
}

/// How many answers; each costs its own output.
pub(super) fn choices(param: &'static str, count: Option<i64>) -> Result<u32, ApiError> {
    let count = whole(param, count.unwrap_or(1))?;
    if usize::try_from(count).unwrap_or(usize::MAX) > CHOICES_MAX {
        let message = format!("{param}: {count} is not between 1 and {CHOICES_MAX}");
        return Err(ApiError::invalid("invalid_value", param, message));
    }
    Ok(count)
}

/// Stop strings.
pub(super) fn stops(wire: Option<TextOrTexts>) -> Result<Vec<String>, ApiError> {
    let stops = wire.map_or_else(Vec::new, |TextOrTexts(texts)| texts);
    let is_bad = |stop: &String| stop.is_empty() || stop.len() > STOP_BYTES_MAX;
    if stops.len() > STOPS_MAX || stops.iter().any(is_bad) {
        let message = format!("stop: at most {STOPS_MAX} texts of 1 to {STOP_BYTES_MAX} bytes");
        return Err(ApiError::invalid("invalid_value", "stop", message));
    }
    Ok(stops)
}

/// The first row that holds, as a refusal: whether, the field, and why.
pub(super) fn refuse_first<const COUNT: usize>(
    rows: [(bool, &'static str, &'static str); COUNT],
) -> Result<(), ApiError> {
    match rows.into_iter().find(|(is_refused, ..)| *is_refused) {
        Some((_, param, why)) => {
            Err(ApiError::invalid("unsupported_value", param, format!("{param}: {why}")))
        }
        None => Ok(()),
    }
}

impl<'de> Deserialize<'de> for TextOrTexts {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = TextOrTexts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TextOrTexts, E> {
                Ok(TextOrTexts(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<TextOrTexts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(TextOrTexts(texts))
            }
        }
        input.deserialize_any(TextsVisitor)
    }
}
