//! What budgets and balances count: a request's charge in whole billionths, always rounded up.
//! Never an invoice's amount: what is owed stays exact until its one rounding, so caps may count more, never less.
//! Called by admission for holds and bounds, and when a request's record is made.

use domain::{EndReason, ModelName, Nanos, Tokens};

use super::RateError;
use crate::plan::{Plan, Price, UnitPrice};

/// Prices are for this many tokens.
const PRICE_PER_TOKENS: u128 = 1_000_000;

/// What one request used, as far as it has a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargedTokens {
    /// Tokens of the prompt, cached ones included.
    pub prompt: Tokens,
    /// Prompt tokens taken from the cache.
    pub cached_prompt: Tokens,
    /// Produced tokens, reasoning included.
    pub output: Tokens,
}

/// What caps count for a request: its charge before any credit, rounded up; zero for reasons that are not billed.
///
/// Each request adds less than one billionth to the exact sum, and never takes from it.
/// Errors: a model without a price, more cached than prompt tokens, an amount that does not fit.
pub fn charge_nanos(
    plan: &Plan,
    model: &ModelName,
    reason: EndReason,
    tokens: ChargedTokens,
) -> Result<Nanos, RateError> {
    if !plan.is_billed(reason) {
        return Ok(Nanos::ZERO);
    }
    let price = price(plan, model)?;
    let computed = tokens.prompt.checked_sub(tokens.cached_prompt);
    let computed = computed.ok_or(RateError::Impossible("more cached prompt tokens than prompt tokens"))?;
    round_up_to_nanos(&[
        (computed, nanos(&price.input)),
        (tokens.cached_prompt, nanos(&price.cached_input)),
        (tokens.output, nanos(&price.output)),
    ])
}

/// The most that a request with this prompt and at most this output can be charged.
///
/// Errors: a model without a price, an amount that does not fit.
pub fn hold_nanos(
    plan: &Plan,
    model: &ModelName,
    prompt_tokens: Tokens,
    output_tokens: Tokens,
) -> Result<Nanos, RateError> {
    let price = price(plan, model)?;
    round_up_to_nanos(&[(prompt_tokens, prompt_nanos(price)), (output_tokens, nanos(&price.output))])
}

/// The largest output for which [`hold_nanos`] is at most `available`. `None`: not even the prompt is affordable.
///
/// Output that costs nothing has no bound here: the answer is then the largest count there is.
/// Errors: a model without a price.
pub fn affordable_output_tokens(
    plan: &Plan,
    model: &ModelName,
    prompt_tokens: Tokens,
    available: Nanos,
) -> Result<Option<Tokens>, RateError> {
    let price = price(plan, model)?;
    // Rounding up fits exactly when the exact amount does, so everything stays in millionths of a billionth.
    let available = u128::from(available.get()) * PRICE_PER_TOKENS;
    let prompt = u128::from(prompt_tokens.get()) * u128::from(prompt_nanos(price));
    let Some(left) = available.checked_sub(prompt) else { return Ok(None) };
    let output = left.checked_div(u128::from(nanos(&price.output)));
    Ok(Some(Tokens::new(output.and_then(|output| u64::try_from(output).ok()).unwrap_or(u64::MAX))))
}

/// Σ tokens × price ÷ 1,000,000 in whole billionths. Any part of a billionth counts as one.
///
/// Errors: an amount beyond 18 thousand million units.
fn round_up_to_nanos(parts: &[(Tokens, u64)]) -> Result<Nanos, RateError> {
    // At most three products of 2^64 with 10^18: far below 2^128.
    let exact: u128 = parts.iter().map(|(tokens, price)| u128::from(tokens.get()) * u128::from(*price)).sum();
    let nanos = exact.div_ceil(PRICE_PER_TOKENS);
    u64::try_from(nanos).map(Nanos::new).map_err(|_| RateError::TooLarge(nanos.to_string()))
}

/// Which prompt tokens come from the cache is known only afterwards.
fn prompt_nanos(price: &Price) -> u64 {
    nanos(&price.input).max(nanos(&price.cached_input))
}

fn nanos(price: &UnitPrice) -> u64 {
    price.nanos_per_million_tokens()
}

fn price<'a>(plan: &'a Plan, model: &ModelName) -> Result<&'a Price, RateError> {
    plan.price_of(model)
        .ok_or_else(|| RateError::Unpriced { model: model.to_string(), price_version: plan.id().to_string() })
}

#[cfg(test)]
mod tests {
    use bigdecimal::BigDecimal;
    use proptest::prelude::*;

    use super::*;
    use crate::rate::ExactAmount;

    fn plan(input: &str, cached: &str, output: &str) -> Plan {
        let source = Plan::demo().expect("a plan").source().to_owned();
        let text = source
            .replace("\"0.15\"", &format!("\"{input}\""))
            .replace("\"0.075\"", &format!("\"{cached}\""))
            .replace("\"0.60\"", &format!("\"{output}\""));
        Plan::from_toml("t", &text).expect("a plan")
    }

    fn demo() -> ModelName {
        ModelName::new("demo").expect("a name")
    }

    fn charge(plan: &Plan, (prompt, cached, output): (u64, u64, u64)) -> Result<u64, RateError> {
        let tokens = ChargedTokens {
            prompt: Tokens::new(prompt),
            cached_prompt: Tokens::new(cached),
            output: Tokens::new(output),
        };
        charge_nanos(plan, &demo(), EndReason::Completed, tokens).map(Nanos::get)
    }

    fn hold(plan: &Plan, prompt: u64, output: u64) -> Result<u64, RateError> {
        hold_nanos(plan, &demo(), Tokens::new(prompt), Tokens::new(output)).map(Nanos::get)
    }

    fn affordable(plan: &Plan, prompt: u64, available: u64) -> Option<u64> {
        let found = affordable_output_tokens(plan, &demo(), Tokens::new(prompt), Nanos::new(available));
        found.expect("a priced model").map(Tokens::get)
    }

    /// The exact charge in billionths.
    fn exact(plan: &Plan, (prompt, cached, output): (u64, u64, u64)) -> BigDecimal {
        let price = &plan.prices()[0];
        let amount = ExactAmount::of_tokens(Tokens::new(prompt - cached), &price.input)
            .plus(&ExactAmount::of_tokens(Tokens::new(cached), &price.cached_input))
            .plus(&ExactAmount::of_tokens(Tokens::new(output), &price.output));
        amount.0 * BigDecimal::from(1_000_000_000)
    }

    #[test]
    fn charges_are_rounded_up() {
        let demo = plan("0.15", "0.075", "0.60");
        let dust = plan("0.000000001", "0", "0.000000001");
        let dear = plan("1000000000", "1000000000", "1000000000");
        let rows = [
            (&demo, (0, 0, 0), Ok(0)),
            (&demo, (1, 0, 0), Ok(150)),
            (&demo, (10, 4, 3), Ok(6 * 150 + 4 * 75 + 3 * 600)),
            (&dust, (1, 1, 0), Ok(0)),
            (&dust, (1, 0, 0), Ok(1)),
            (&dust, (999_999, 0, 1), Ok(1)),
            (&dust, (1_000_000, 0, 1), Ok(2)),
            (&dear, (18_446, 0, 0), Ok(18_446_000_000_000_000)),
            (&dear, (18_446_745, 0, 0), Err(RateError::TooLarge("18446745000000000000".to_owned()))),
            (&demo, (1, 2, 0), Err(RateError::Impossible("more cached prompt tokens than prompt tokens"))),
        ];
        for (plan, tokens, expected) in rows {
            assert_eq!(charge(plan, tokens), expected, "{tokens:?}");
        }
    }

    #[test]
    fn only_billed_reasons_and_priced_models_are_charged() {
        let plan = plan("0.15", "0.075", "0.60");
        let tokens =
            ChargedTokens { prompt: Tokens::new(9), cached_prompt: Tokens::ZERO, output: Tokens::new(9) };
        for reason in EndReason::ALL {
            let charge = charge_nanos(&plan, &demo(), reason, tokens).expect("priced");
            assert_eq!(!charge.is_zero(), plan.is_billed(reason), "{reason:?}");
        }
        let other = ModelName::new("other").expect("a name");
        let unpriced = |outcome: Result<(), RateError>| matches!(outcome, Err(RateError::Unpriced { .. }));
        assert!(unpriced(charge_nanos(&plan, &other, EndReason::Completed, tokens).map(drop)));
        assert!(unpriced(hold_nanos(&plan, &other, Tokens::ZERO, Tokens::ZERO).map(drop)));
        assert!(unpriced(affordable_output_tokens(&plan, &other, Tokens::ZERO, Nanos::ZERO).map(drop)));
    }

    #[test]
    fn what_is_affordable_stops_at_the_last_token() {
        let demo = plan("0.15", "0.075", "0.60");
        let dear_cache = plan("0.10", "0.20", "0.60");
        let free_output = plan("0.15", "0.15", "0");
        let rows = [
            (&demo, 10, 1_499, None),
            (&demo, 10, 1_500, Some(0)),
            (&demo, 10, 2_099, Some(0)),
            (&demo, 10, 2_100, Some(1)),
            (&demo, 0, 0, Some(0)),
            (&demo, u64::MAX, u64::MAX, None),
            (&dear_cache, 10, 1_999, None),
            (&dear_cache, 10, 2_000, Some(0)),
            (&free_output, 10, 1_499, None),
            (&free_output, 10, 1_500, Some(u64::MAX)),
        ];
        for (plan, prompt, available, expected) in rows {
            assert_eq!(affordable(plan, prompt, available), expected, "{prompt} {available}");
        }
    }

    /// A price with up to nine decimals.
    fn price() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("0".to_owned()),
            (0_u64..2_000, 0_u64..1_000_000_000).prop_map(|(whole, nanos)| format!("{whole}.{nanos:09}")),
            (0_u64..100).prop_map(|nanos| format!("0.{nanos:09}")),
        ]
    }

    proptest! {
        #[test]
        fn caps_count_at_least_the_exact_sum_and_less_than_one_more_each(
            (input, cached, output) in (price(), price(), price()),
            uses in proptest::collection::vec((0_u64..200_000, 0_u64..200_000, 0_u64..50_000), 1..40),
        ) {
            let plan = plan(&input, &cached, &output);
            let (mut counted, mut sum) = (0_u64, BigDecimal::from(0));
            for (prompt, cached, output) in uses.iter().copied() {
                let tokens = (prompt + cached, cached, output);
                counted += charge(&plan, tokens).expect("it fits");
                sum += exact(&plan, tokens);
            }
            let more = BigDecimal::from(counted) - sum;
            prop_assert!(more >= 0 && more < u64::try_from(uses.len()).expect("few"));
        }

        #[test]
        fn a_hold_covers_every_charge_within_its_bounds(
            (input, cached, output) in (price(), price(), price()),
            (computed, cached_tokens) in (0_u64..200_000, 0_u64..200_000),
            (bound, share) in (0_u64..50_000, 0_u64..=1_000),
        ) {
            let plan = plan(&input, &cached, &output);
            let prompt = computed + cached_tokens;
            let charged = charge(&plan, (prompt, cached_tokens, bound * share / 1_000)).expect("it fits");
            prop_assert!(charged <= hold(&plan, prompt, bound).expect("it fits"));
        }

        #[test]
        fn the_affordable_output_is_the_largest_whose_hold_fits(
            (input, cached, output) in (price(), price(), price()),
            prompt in 0_u64..200_000,
            available in prop_oneof![0_u64..1_000, 0_u64..10_000_000_000],
        ) {
            let plan = plan(&input, &cached, &output);
            match affordable(&plan, prompt, available) {
                None => prop_assert!(hold(&plan, prompt, 0).expect("it fits") > available),
                Some(u64::MAX) => prop_assert!(hold(&plan, prompt, 0).expect("it fits") <= available),
                Some(most) => {
                    prop_assert!(hold(&plan, prompt, most).expect("it fits") <= available);
                    prop_assert!(hold(&plan, prompt, most + 1).expect("it fits") > available);
                }
            }
        }
    }
}
