//! A refusal by a limit, and the limits as clients are told of them.
//! Never decides; it says what was decided, exactly and in words.
//! Made by every store, written out by `admit` and the routes.

use std::{fmt, time::Duration};

use domain::{ModelName, Timestamp};

use super::Scope;
use crate::admit::bucket::LimitView;

/// Which limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limiter {
    /// Requests per minute.
    RequestsPerMinute,
    /// Tokens per minute.
    TokensPerMinute,
    /// Requests per day.
    RequestsPerDay,
    /// Requests at the same time.
    Concurrency,
    /// What may be spent in a period.
    Budget,
    /// What was paid in advance.
    Balance,
}

impl Limiter {
    /// Whether limit, remaining and cost are money in billionths of a currency unit.
    pub fn is_amount(self) -> bool {
        match self {
            Self::Budget | Self::Balance => true,
            Self::RequestsPerMinute | Self::TokensPerMinute | Self::RequestsPerDay | Self::Concurrency => {
                false
            }
        }
    }
}

/// A limit that refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which limit.
    pub limiter: Limiter,
    /// Whose.
    pub scope: Scope,
    /// The only model it counts.
    pub model: Option<ModelName>,
    /// Its size. Unit: what the limiter counts; for amounts billionths of the currency.
    pub limit: u64,
    /// What is left of it, in the same unit.
    pub remaining: u64,
    /// Of an amount: what is not spent, which is what is left and what running requests hold. Else what is left.
    pub unspent: u64,
    /// What was asked for, in the same unit.
    pub cost: u64,
    /// When to try again; `None`: the request can never fit.
    pub retry_after: Option<Duration>,
    /// When a budget begins anew.
    pub resets_at: Option<Timestamp>,
    /// What is missing is not spent: running requests hold it, and give back what they do not use.
    pub is_held: bool,
}

/// How long a client waits for running requests to give back what they hold: about one short answer.
const HELD_RETRY: Duration = Duration::from_secs(1);

impl Exceeded {
    /// What is missing may be there as soon as running requests have ended.
    pub(in crate::admit) fn wait_for_holds(self) -> Self {
        Self { is_held: true, retry_after: Some(HELD_RETRY), ..self }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.limiter {
            Limiter::RequestsPerMinute => "requests per minute",
            Limiter::TokensPerMinute => "tokens per minute",
            Limiter::RequestsPerDay => "requests per day",
            Limiter::Concurrency => "requests at the same time",
            Limiter::Budget => "budget",
            Limiter::Balance => "prepaid balance",
        };
        if self.limiter.is_amount() {
            let [limit, remaining, cost] = [self.limit, self.remaining, self.cost].map(Nanos);
            write!(f, "{name} of {limit} for {}", Whose(self))?;
            write!(f, ": {remaining} remaining, this request may cost {cost}; ")?;
        } else {
            let Self { limit, remaining, cost, .. } = self;
            write!(f, "limit of {limit} {name} for {}", Whose(self))?;
            write!(f, ": {remaining} remaining, {cost} asked for; ")?;
        }
        if self.is_held {
            let held = Nanos(self.unspent.saturating_sub(self.remaining));
            return write!(f, "running requests hold {held}; try again when they have ended");
        }
        match (self.limiter, self.retry_after, self.resets_at) {
            (Limiter::Balance, ..) => f.write_str("add credit, or ask for fewer output tokens"),
            (Limiter::Budget, Some(_), Some(at)) => write!(f, "the budget begins anew at {at}"),
            (Limiter::Budget, ..) => f.write_str("ask for fewer output tokens, or have the budget raised"),
            (_, Some(wait), _) => write!(f, "try again in {:.3} s", wait.as_secs_f64()),
            (_, None, _) => f.write_str("this request can never fit"),
        }
    }
}

struct Whose<'a>(&'a Exceeded);

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.model {
            Some(model) => write!(f, "{} for model {model}", self.0.scope),
            None => write!(f, "{}", self.0.scope),
        }
    }
}

/// Billionths as a decimal number with two places or as many as it needs.
struct Nanos(u64);

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNIT: u64 = 1_000_000_000;
        const PLACES_MIN: usize = 2;
        let places = format!("{:09}", self.0 % UNIT);
        let needed = places.trim_end_matches('0').len().max(PLACES_MIN);
        write!(f, "{}.{}", self.0 / UNIT, places.get(..needed).unwrap_or(&places))
    }
}

/// The tightest per-minute limits, as response headers tell them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitViews {
    /// Requests per minute.
    pub requests: Option<LimitView>,
    /// Tokens per minute.
    pub tokens: Option<LimitView>,
}

impl LimitViews {
    /// Takes the view of one node in: the tighter one stays.
    pub(super) fn narrow(&mut self, limiter: Limiter, view: LimitView) {
        let place = match limiter {
            Limiter::RequestsPerMinute => &mut self.requests,
            Limiter::TokensPerMinute => &mut self.tokens,
            Limiter::RequestsPerDay | Limiter::Concurrency | Limiter::Budget | Limiter::Balance => return,
        };
        if place.is_none_or(|known| view.remaining < known.remaining) {
            *place = Some(view);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_as_a_sentence() {
        let project = Scope::Project { name: "research".to_owned() };
        let model = ModelName::new("demo").ok();
        let (soon, never) = (Some(Duration::from_millis(1_500)), None);
        let rows = [
            (
                Limiter::TokensPerMinute,
                Scope::Key,
                None,
                soon,
                "limit of 100 tokens per minute for this API key: 40 remaining, 70 asked for; try again in 1.500 s",
            ),
            (
                Limiter::RequestsPerDay,
                project.clone(),
                model.clone(),
                never,
                "limit of 100 requests per day for project research for model demo: 40 remaining, 70 asked for; this \
              request can never fit",
            ),
            (
                Limiter::Budget,
                project,
                None,
                soon,
                "budget of 0.0000001 for project research: 0.00000004 remaining, this request may cost 0.00000007; the \
              budget begins anew at 1970-01-01T00:00:05Z",
            ),
            (
                Limiter::Budget,
                Scope::Tenant,
                None,
                never,
                "budget of 0.0000001 for your account: 0.00000004 remaining, this request may cost 0.00000007; ask for \
              fewer output tokens, or have the budget raised",
            ),
            (
                Limiter::Balance,
                Scope::Tenant,
                model,
                never,
                "prepaid balance of 0.0000001 for your account for model demo: 0.00000004 remaining, this request may \
              cost 0.00000007; add credit, or ask for fewer output tokens",
            ),
        ];
        for (limiter, scope, model, retry_after, expected) in rows {
            let resets_at = Some(Timestamp::from_unix_micros(5_000_000));
            let exceeded = Exceeded {
                limiter,
                scope,
                model,
                limit: 100,
                remaining: 40,
                unspent: 90,
                cost: 70,
                retry_after,
                resets_at,
                is_held: false,
            };
            assert_eq!(exceeded.to_string(), expected);
            if exceeded.limiter.is_amount() {
                let held = exceeded.wait_for_holds();
                let told = "running requests hold 0.00000005; try again when they have ended";
                assert!(held.to_string().ends_with(told), "{held}");
                assert_eq!(held.retry_after, Some(HELD_RETRY));
            }
        }
    }

    #[test]
    fn amounts_have_two_places_or_more() {
        let rows = [(0, "0.00"), (1, "0.000000001"), (1_500_000_000, "1.50"), (12_340_000_000, "12.34")];
        for (nanos, expected) in rows {
            assert_eq!(Nanos(nanos).to_string(), expected);
        }
    }
}
