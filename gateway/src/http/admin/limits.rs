//! Limits as the admin API reads and writes them.
//! Never a rule of its own: the ledger refuses a limit that is none.
//! Used by tenants and keys.

use billing::ledger::Limits;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What admission enforces. Null or left out: no limit.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Limits)]
pub(super) struct LimitsWire {
    /// Requests admitted per minute.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    requests_per_minute: Option<u64>,
    /// Tokens reserved per minute: prompt and `max_tokens`.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    tokens_per_minute: Option<u64>,
    /// Requests running at once.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    concurrency: Option<u64>,
}

impl LimitsWire {
    pub(super) fn into_limits(self) -> Limits {
        let Self { requests_per_minute, tokens_per_minute, concurrency } = self;
        Limits { requests_per_minute, tokens_per_minute, concurrency, ..Limits::default() }
    }

    /// These limits in the place of those that were; the daily one and the budget stay.
    pub(super) fn replace_in(self, limits: Limits) -> Limits {
        Limits { requests_per_day: limits.requests_per_day, budget: limits.budget, ..self.into_limits() }
    }

    pub(super) fn to_wire(limits: Limits) -> Self {
        let Limits { requests_per_minute, tokens_per_minute, concurrency, .. } = limits;
        Self { requests_per_minute, tokens_per_minute, concurrency }
    }
}
