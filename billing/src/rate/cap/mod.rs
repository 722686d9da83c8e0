//! What budgets and balances count: a request's charge in whole billionths, always rounded up.
//! Never an invoice's amount: what is owed stays exact until its one rounding, so caps may count more, never less.
//! Called by admission for holds and bounds, and when a request's record is made.

use bigdecimal::{BigDecimal, ToPrimitive as _, num_bigint::BigInt};
use domain::{EndReason, ModelName, Nanos, SloClass, Tokens};

use super::RateError;
use crate::plan::{Basis, Meter, Plan, UsageCharge};

/// Rates are for this many tokens or requests.
const RATE_PER_COUNTS: u128 = 1_000_000;
/// Billionths of a currency unit.
const NANOS_PER_UNIT: u64 = 1_000_000_000;

/// What one request used, as far as caps count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargedTokens {
    /// Tokens of the prompt, cached ones included.
    pub prompt: Tokens,
    /// Prompt tokens taken from the cache.
    pub cached_prompt: Tokens,
    /// Produced tokens, reasoning included.
    pub output: Tokens,
    /// Produced tokens that were reasoning.
    pub reasoning: Tokens,
}

/// What caps count for a request: its charge before any credit, rounded up; zero for reasons that are not billed.
///
/// Each request adds less than one billionth to the exact sum, and never takes from it. Of charges it counts the share
/// of one request at the dearest tier, without free units; what a period owes as a whole (flat amounts, begun
/// packages, bounds, percentages, energy, discounts) belongs to no request and is not counted.
/// Errors: a model that is not sold, more cached than prompt tokens, an amount that does not fit.
pub fn charge_nanos(
    plan: &Plan,
    (model, class): (&ModelName, SloClass),
    reason: EndReason,
    tokens: ChargedTokens,
) -> Result<Nanos, RateError> {
    if !plan.is_billed(reason) {
        return Ok(Nanos::ZERO);
    }
    check_sold(plan, model)?;
    let rates = Rates::of(plan, model, class)?;
    let computed = tokens.prompt.checked_sub(tokens.cached_prompt);
    let computed = computed.ok_or(RateError::Impossible("more cached prompt tokens than prompt tokens"))?;
    round_up_to_nanos(&[
        (computed.get(), rates.input),
        (tokens.cached_prompt.get(), rates.cached_input),
        (tokens.output.get(), rates.output),
        (tokens.reasoning.get(), rates.reasoning),
        (1, rates.request),
    ])
}

/// The most that a request with this prompt and at most this output can be charged, whatever class it is served in.
///
/// Errors: a model that is not sold, an amount that does not fit.
pub fn hold_nanos(
    plan: &Plan,
    model: &ModelName,
    prompt_tokens: Tokens,
    output_tokens: Tokens,
) -> Result<Nanos, RateError> {
    let holds = each_class(plan, model)?.into_iter().map(|rates| {
        let (prompt, output) = (rates.dearest_prompt(), rates.dearest_output());
        round_up_to_nanos(&[(prompt_tokens.get(), prompt), (output_tokens.get(), output), (1, rates.request)])
    });
    holds.reduce(|one, other| Ok(one?.max(other?))).unwrap_or(Ok(Nanos::ZERO))
}

/// The largest output for which [`hold_nanos`] is at most `available`. `None`: not even the prompt is affordable.
///
/// Output that costs nothing has no bound here: the answer is then the largest count there is.
/// Errors: a model that is not sold.
pub fn affordable_output_tokens(
    plan: &Plan,
    model: &ModelName,
    prompt_tokens: Tokens,
    available: Nanos,
) -> Result<Option<Tokens>, RateError> {
    // Rounding up fits exactly when the exact amount does, so everything stays in millionths of a billionth.
    let available = u128::from(available.get()) * RATE_PER_COUNTS;
    let bounds = each_class(plan, model)?.into_iter().map(|rates| {
        let before = u128::from(prompt_tokens.get()).checked_mul(rates.dearest_prompt())?;
        let left = available.checked_sub(before.checked_add(rates.request)?)?;
        let output = left.checked_div(rates.dearest_output());
        Some(output.and_then(|output| u64::try_from(output).ok()).unwrap_or(u64::MAX))
    });
    let least = bounds.reduce(|one, other| Some(one?.min(other?))).flatten();
    Ok(least.map(Tokens::new))
}

/// What each count of a request adds at most. Unit: billionths for 1,000,000 counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rates {
    input: u128,
    cached_input: u128,
    output: u128,
    /// On top of the output's.
    reasoning: u128,
    request: u128,
}

impl Rates {
    /// The model's price and every charge that takes it in this class.
    fn of(plan: &Plan, model: &ModelName, class: SloClass) -> Result<Self, RateError> {
        let mut rates = Self::default();
        if let Some(price) = plan.price_of(model) {
            rates.input = u128::from(price.input.nanos_per_million_tokens());
            rates.cached_input = u128::from(price.cached_input.nanos_per_million_tokens());
            rates.output = u128::from(price.output.nanos_per_million_tokens());
        }
        for charge in plan.charges() {
            let Basis::Usage(usage) = &charge.basis else { continue };
            if usage.filter.takes(model, class) {
                rates.add(usage)?;
            }
        }
        Ok(rates)
    }

    fn add(&mut self, usage: &UsageCharge) -> Result<(), RateError> {
        let rate = dearest_rate(usage)?;
        let counted = match usage.meter {
            Meter::InputTokens => &mut self.input,
            Meter::CachedInputTokens => &mut self.cached_input,
            Meter::OutputTokens => &mut self.output,
            Meter::ReasoningTokens => &mut self.reasoning,
            Meter::Requests => &mut self.request,
            // Known only when the request is over, and then a matter of the period.
            Meter::Energy => return Ok(()),
        };
        *counted = counted.checked_add(rate).ok_or_else(|| RateError::TooLarge(rate.to_string()))?;
        Ok(())
    }

    /// Which prompt tokens come from the cache is known only afterwards.
    fn dearest_prompt(&self) -> u128 {
        self.input.max(self.cached_input)
    }

    /// All output may turn out to be reasoning.
    fn dearest_output(&self) -> u128 {
        self.output.saturating_add(self.reasoning)
    }
}

/// The highest price of one count of a charge, any part of a billionth for a million of them counted as one.
fn dearest_rate(usage: &UsageCharge) -> Result<u128, RateError> {
    let (price, per) = usage.scheme.dearest_unit();
    let scaled = price * BigDecimal::from(NANOS_PER_UNIT) * BigDecimal::from(BigInt::from(RATE_PER_COUNTS));
    let size = per * BigDecimal::from(usage.unit.counts);
    let decimals = scaled.fractional_digit_count().max(size.fractional_digit_count()).max(0);
    let (scaled, _) = scaled.with_scale(decimals).into_bigint_and_scale();
    let (size, _) = size.with_scale(decimals).into_bigint_and_scale();
    let rate: BigInt = (scaled + &size - 1) / size;
    rate.to_u128().ok_or_else(|| RateError::TooLarge(rate.to_string()))
}

/// The rates of each class. Most plans have one: then it is told once.
fn each_class(plan: &Plan, model: &ModelName) -> Result<Vec<Rates>, RateError> {
    check_sold(plan, model)?;
    let mut all: Vec<Rates> = Vec::with_capacity(1);
    for class in SloClass::ALL {
        let rates = Rates::of(plan, model, class)?;
        if !all.contains(&rates) {
            all.push(rates);
        }
    }
    Ok(all)
}

/// Σ counts × rate ÷ 1,000,000 in whole billionths. Any part of a billionth counts as one.
///
/// Errors: an amount beyond 18 thousand million units.
fn round_up_to_nanos(parts: &[(u64, u128)]) -> Result<Nanos, RateError> {
    let too_large = || RateError::TooLarge("more than 2^128 billionths of millionths".to_owned());
    let mut exact = 0_u128;
    for (counts, rate) in parts {
        let part = u128::from(*counts).checked_mul(*rate).ok_or_else(too_large)?;
        exact = exact.checked_add(part).ok_or_else(too_large)?;
    }
    let nanos = exact.div_ceil(RATE_PER_COUNTS);
    u64::try_from(nanos).map(Nanos::new).map_err(|_| RateError::TooLarge(nanos.to_string()))
}

fn check_sold(plan: &Plan, model: &ModelName) -> Result<(), RateError> {
    match plan.sells(model) {
        true => Ok(()),
        false => Err(RateError::Unpriced { model: model.to_string(), price_version: plan.id().to_string() }),
    }
}

#[cfg(test)]
mod tests;
