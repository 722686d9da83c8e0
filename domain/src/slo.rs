//! Latency targets and the moments by which tokens are due.
//! Never measures: it compares measured spans with targets, in whole microseconds.
//! Used by admission (can it be met?), the meter (was it met?) and plans (what was promised?).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Micros, Tokens};

/// A named promise of latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SloClass {
    /// A person waits for each token.
    Interactive,
    /// A person waits for the answer.
    Standard,
    /// Nobody waits.
    Batch,
}

impl SloClass {
    /// Every class, most demanding first.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Standard, Self::Batch];

    /// The name in configuration, records and invoices.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Standard => "standard",
            Self::Batch => "batch",
        }
    }
}

impl fmt::Display for SloClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SloClass {
    type Err = UnknownSloClass;

    fn from_str(text: &str) -> Result<Self, UnknownSloClass> {
        Self::ALL.into_iter().find(|class| class.as_str() == text).ok_or(UnknownSloClass)
    }
}

/// The text names no SLO class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an SLO class must be interactive, standard or batch")]
pub struct UnknownSloClass;

/// A class together with its targets, as they applied to one request.
///
/// A missing target is always met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Slo {
    /// The promise's name.
    pub class: SloClass,
    /// Longest time to the first token for an empty prompt.
    #[serde(rename = "ttft_target_us")]
    pub ttft: Option<Micros>,
    /// What each 1,000 prompt tokens add to the first target, in proportion.
    #[serde(rename = "ttft_target_us_per_1k_prompt")]
    pub ttft_per_1k_prompt: Micros,
    /// Longest mean gap between tokens after the first.
    #[serde(rename = "tpot_target_us")]
    pub tpot: Option<Micros>,
}

impl Slo {
    /// The targets a class starts from, before an operator sets others.
    ///
    /// Source: MLPerf Inference, server scenario of Llama-3.1-8B, 99th percentile.
    pub const fn of_class(class: SloClass) -> Self {
        let (ttft, tpot) = match class {
            SloClass::Interactive => (Some(Micros::from_millis(500)), Some(Micros::from_millis(30))),
            SloClass::Standard => (Some(Micros::from_millis(2_000)), Some(Micros::from_millis(100))),
            SloClass::Batch => (None, None),
        };
        Self { class, ttft, ttft_per_1k_prompt: Micros::ZERO, tpot }
    }

    /// The target for the first token of a request with this prompt.
    pub fn ttft_target(&self, prompt: Tokens) -> Option<Micros> {
        let base = u128::from(self.ttft?.get());
        let grown = u128::from(self.ttft_per_1k_prompt.get()) * u128::from(prompt.get()) / 1_000;
        Some(Micros::new(u64::try_from(base + grown).unwrap_or(u64::MAX)))
    }

    /// By when token `index` (0 is the first) is due after the request was read:
    /// `ttft + index · tpot`. `None`: never too late.
    pub fn due(&self, prompt: Tokens, index: u64) -> Option<Micros> {
        let first = u128::from(self.ttft_target(prompt)?.get());
        let gaps = match (index, self.tpot) {
            (0, _) => 0,
            (_, Some(tpot)) => u128::from(tpot.get()) * u128::from(index),
            (_, None) => return None,
        };
        Some(Micros::new(u64::try_from(first + gaps).unwrap_or(u64::MAX)))
    }

    /// Whether the gaps between `tokens` tokens kept to the target on average:
    /// `(last − first) ≤ tpot · (tokens − 1)`, without dividing. Fewer than two tokens have no gap.
    pub fn is_tpot_met(&self, first_to_last: Micros, tokens: Tokens) -> bool {
        match self.tpot {
            Some(tpot) if tokens.get() >= 2 => {
                u128::from(first_to_last.get()) <= u128::from(tpot.get()) * u128::from(tokens.get() - 1)
            }
            _ => true,
        }
    }

    /// Whether a first token after `ttft` kept to the target.
    pub fn is_ttft_met(&self, prompt: Tokens, ttft: Micros) -> bool {
        self.ttft_target(prompt).is_none_or(|target| ttft <= target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slo() -> Slo {
        Slo { ttft_per_1k_prompt: Micros::from_millis(100), ..Slo::of_class(SloClass::Interactive) }
    }

    #[test]
    fn the_first_target_grows_with_the_prompt() {
        let rows = [(0, 500_000), (1, 500_100), (1_000, 600_000), (10_500, 1_550_000)];
        for (prompt, target) in rows {
            assert_eq!(slo().ttft_target(Tokens::new(prompt)), Some(Micros::new(target)));
        }
        assert!(slo().is_ttft_met(Tokens::new(1_000), Micros::new(600_000)));
        assert!(!slo().is_ttft_met(Tokens::new(1_000), Micros::new(600_001)));
    }

    #[test]
    fn tokens_fall_due_one_gap_after_another() {
        let due = |index| slo().due(Tokens::ZERO, index).map(Micros::get);
        assert_eq!([due(0), due(1), due(10)], [Some(500_000), Some(530_000), Some(800_000)]);
        assert_eq!(Slo::of_class(SloClass::Batch).due(Tokens::ZERO, 0), None);
        assert_eq!(slo().due(Tokens::ZERO, u64::MAX), Some(Micros::new(u64::MAX)));
    }

    #[test]
    fn mean_gaps_are_compared_exactly() {
        let rows =
            [(0, 0, true), (9_999_999, 1, true), (30_000, 2, true), (30_001, 2, false), (270_000, 10, true)];
        for (span, tokens, is_met) in rows {
            assert_eq!(slo().is_tpot_met(Micros::new(span), Tokens::new(tokens)), is_met, "{span} {tokens}");
        }
    }

    #[test]
    fn classes_are_named() {
        for class in SloClass::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
        }
        assert_eq!("Interactive".parse::<SloClass>(), Err(UnknownSloClass));
    }
}
