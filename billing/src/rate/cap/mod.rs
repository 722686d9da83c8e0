//! What budgets and balances count: a request's charge in whole billionths, always rounded up.
//! Never an invoice's amount: what is owed stays exact until its one rounding, so caps may count more, never less.
//! Called by admission for holds and bounds, and when a request's record is made.

mod rates;

use domain::{EndReason, ModelName, Nanos, SloClass, Tokens};

use self::rates::Rates;
use super::RateError;
use crate::plan::Plan;

pub(crate) use self::rates::PlanRates;

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
    /// Computed prompt tokens of a request for embeddings; zero of one for text.
    pub embeddings: Tokens,
}

/// What caps count for a request: its charge before any credit, rounded up; zero for reasons that are not billed.
///
/// Each request adds less than one billionth to the exact sum, and never takes from it. Of charges it counts the share
/// of one request at the dearest tier, without free units, and the percentages of it; what a period owes as a whole
/// (flat amounts, begun packages, rounded quantities, bounds, energy, discounts) belongs to no request and is not
/// counted.
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
    let price = check_sold(plan, model)?;
    let rates = plan.rates().of_request(price, model, class)?;
    let computed = tokens.prompt.checked_sub(tokens.cached_prompt);
    let computed = computed.ok_or(RateError::Impossible("more cached prompt tokens than prompt tokens"))?;
    let embeddings = if rates.has_embeddings_apart { tokens.embeddings } else { Tokens::ZERO };
    let computed = computed.checked_sub(embeddings);
    let computed = computed.ok_or(RateError::Impossible("more tokens of embeddings than prompt tokens"))?;
    round_up_to_nanos(&[
        (computed.get(), rates.input),
        (embeddings.get(), rates.embeddings),
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
    let holds = each_class(plan, model)?.map(|rates| {
        let rates = rates?;
        let (prompt, output) = (rates.dearest_prompt(), rates.dearest_output()?);
        round_up_to_nanos(&[(prompt_tokens.get(), prompt), (output_tokens.get(), output), (1, rates.request)])
    });
    holds.reduce(|one, other| Ok(one?.max(other?))).unwrap_or(Ok(Nanos::ZERO))
}

/// The most that a request for embeddings with this prompt can be charged, whatever class it is served in.
///
/// Errors: as [`hold_nanos`].
pub fn hold_embeddings_nanos(
    plan: &Plan,
    model: &ModelName,
    prompt_tokens: Tokens,
) -> Result<Nanos, RateError> {
    let holds = each_class(plan, model)?.map(|rates| {
        let rates = rates?;
        round_up_to_nanos(&[(prompt_tokens.get(), rates.dearest_embeddings()), (1, rates.request)])
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
    let mut least = Some(u64::MAX);
    for rates in each_class(plan, model)? {
        let rates = rates?;
        let before = u128::from(prompt_tokens.get()).checked_mul(rates.dearest_prompt());
        let before = before.and_then(|before| before.checked_add(rates.request));
        let left = before.and_then(|before| available.checked_sub(before));
        // Without a price there is no quotient, and beyond 64 bits there is no bound either.
        let output = rates.dearest_output()?;
        let most = left.map(|left| left.checked_div(output).and_then(|most| u64::try_from(most).ok()));
        least = least.zip(most).map(|(least, most)| least.min(most.unwrap_or(u64::MAX)));
    }
    Ok(least.map(Tokens::new))
}

/// The rates of each class.
fn each_class(
    plan: &Plan,
    model: &ModelName,
) -> Result<impl Iterator<Item = Result<Rates, RateError>>, RateError> {
    let price = check_sold(plan, model)?;
    Ok(SloClass::ALL.into_iter().map(move |class| plan.rates().of_request(price, model, class)))
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

/// The place of the model's price in the plan; none where only charges sell it, for text or for embeddings.
fn check_sold(plan: &Plan, model: &ModelName) -> Result<Option<usize>, RateError> {
    match plan.place_of_price(model) {
        Some(place) => Ok(Some(place)),
        None if plan.sells(model) || plan.sells_embeddings(model) => Ok(None),
        None => Err(RateError::Unpriced { model: model.to_string(), price_version: plan.id().to_string() }),
    }
}

#[cfg(test)]
mod tests;
