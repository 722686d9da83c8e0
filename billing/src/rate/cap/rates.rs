//! What each count of a request adds to caps at most: worked out once when a plan is read, then only added up.
//! Never an amount that is due: any rest of a rate counts as one more, and what only a period owes is not in it.
//! Made by `Plan::from_text`; asked by `cap` for every request.

use std::collections::BTreeMap;

use bigdecimal::{BigDecimal, ToPrimitive as _, num_bigint::BigInt};
use domain::{ModelName, SloClass};

use super::{NANOS_PER_UNIT, RATE_PER_COUNTS};
use crate::{
    plan::{Basis, Charge, Filter, Meter, Price, TOKENS_CHARGE, UnitPrice, UsageCharge},
    rate::{PERCENT_EXPONENT, RateError, divided_up},
};

/// The rates of a whole plan.
#[derive(Clone, Debug)]
pub(crate) struct PlanRates {
    /// In the order of the plan's prices.
    prices: Vec<Rates>,
    charges: Vec<ChargeRate>,
}

/// What one count of a charge's meter adds at most.
#[derive(Clone, Debug)]
struct ChargeRate {
    meter: Meter,
    filter: Filter,
    rate: u128,
}

/// What each count of a request adds at most. Unit: billionths for 1,000,000 counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) input: u128,
    pub(super) cached_input: u128,
    pub(super) output: u128,
    /// On top of the output's.
    pub(super) reasoning: u128,
    /// Where `has_embeddings_apart`; else tokens of embeddings are input.
    pub(super) embeddings: u128,
    pub(super) has_embeddings_apart: bool,
    pub(super) request: u128,
}

impl PlanRates {
    /// Of a plan's prices and charges, each with the percentages that are taken of it. `None`: they do not fit.
    pub(crate) fn of(prices: &[Price], charges: &[Charge]) -> Option<Self> {
        let weights = weights(charges);
        let weight = |name: &str| weights.get(name).cloned().unwrap_or_else(|| BigDecimal::from(1));
        let of_tokens = weight(TOKENS_CHARGE);
        let price = |price: &Price| {
            let rate = |price: &UnitPrice| {
                let nanos = BigDecimal::from(price.nanos_per_million_tokens());
                divided_up(&(nanos * &of_tokens), &BigDecimal::from(1)).to_u128()
            };
            let (input, cached_input) = (rate(&price.input)?, rate(&price.cached_input)?);
            Some(Rates { input, cached_input, output: rate(&price.output)?, ..Rates::default() })
        };
        let charge = |charge: &Charge| {
            let Basis::Usage(usage) = &charge.basis else { return None };
            let rate = dearest_rate(usage, &weight(&charge.name));
            Some(rate.map(|rate| ChargeRate { meter: usage.meter, filter: usage.filter.clone(), rate }))
        };
        Some(Self {
            prices: prices.iter().map(price).collect::<Option<_>>()?,
            charges: charges.iter().filter_map(charge).collect::<Option<_>>()?,
        })
    }

    /// Those of requests to a model in a class; `price` is the place of the model's price, if it has one.
    ///
    /// Errors: they do not fit together.
    pub(super) fn of_request(
        &self,
        price: Option<usize>,
        model: &ModelName,
        class: SloClass,
    ) -> Result<Rates, RateError> {
        let mut rates = price.and_then(|place| self.prices.get(place)).copied().unwrap_or_default();
        for charge in self.charges.iter().filter(|charge| charge.filter.takes(model, class)) {
            rates.add(charge)?;
        }
        Ok(rates)
    }
}

impl Rates {
    fn add(&mut self, charge: &ChargeRate) -> Result<(), RateError> {
        let counted = match charge.meter {
            Meter::InputTokens => &mut self.input,
            Meter::CachedInputTokens => &mut self.cached_input,
            Meter::OutputTokens => &mut self.output,
            Meter::ReasoningTokens => &mut self.reasoning,
            Meter::EmbeddingsTokens => {
                self.has_embeddings_apart = true;
                &mut self.embeddings
            }
            Meter::Requests => &mut self.request,
            // Known only when the request is over, or of no request at all, and then a matter of the period.
            Meter::Energy | Meter::Custom(_) => return Ok(()),
        };
        *counted = sum(*counted, charge.rate)?;
        Ok(())
    }

    /// Which prompt tokens come from the cache is known only afterwards.
    pub(super) fn dearest_prompt(&self) -> u128 {
        self.input.max(self.cached_input)
    }

    /// The same of a request for embeddings.
    pub(super) fn dearest_embeddings(&self) -> u128 {
        match self.has_embeddings_apart {
            true => self.embeddings.max(self.cached_input),
            false => self.dearest_prompt(),
        }
    }

    /// All output may turn out to be reasoning.
    ///
    /// Errors: the sum does not fit.
    pub(super) fn dearest_output(&self) -> Result<u128, RateError> {
        sum(self.output, self.reasoning)
    }
}

fn sum(left: u128, right: u128) -> Result<u128, RateError> {
    left.checked_add(right).ok_or_else(|| RateError::TooLarge(format!("{left} and {right} together")))
}

/// What one unit of each charge's amount comes to once the percentages of it are added, and those of these. What is
/// not named comes to itself alone.
fn weights(charges: &[Charge]) -> BTreeMap<&str, BigDecimal> {
    let mut weights: BTreeMap<&str, BigDecimal> = BTreeMap::new();
    // Only what comes later is a share of a percentage: from the end on, its own weight is known when it is met.
    for (place, charge) in charges.iter().enumerate().rev() {
        let Basis::Percentage { percent, of } = &charge.basis else { continue };
        let own = weights.get(charge.name.as_str()).cloned().unwrap_or_else(|| BigDecimal::from(1));
        let share = own * percent * BigDecimal::new(BigInt::from(1), PERCENT_EXPONENT);
        let is_usage = |charge: &Charge| matches!(charge.basis, Basis::Usage(_));
        let names = charges.iter().enumerate();
        let names = names.filter(|(other, charge)| *other < place || is_usage(charge));
        let names = names.map(|(_, charge)| charge.name.as_str()).chain([TOKENS_CHARGE]);
        for name in names.filter(|name| of.is_empty() || of.contains(*name)) {
            *weights.entry(name).or_insert_with(|| BigDecimal::from(1)) += &share;
        }
    }
    weights
}

/// The highest price of one count of a charge, with what is taken of it.
fn dearest_rate(usage: &UsageCharge, weight: &BigDecimal) -> Option<u128> {
    let (price, per) = usage.scheme.dearest_unit();
    let nanos = price * weight * BigDecimal::from(NANOS_PER_UNIT);
    let size = per * BigDecimal::from(usage.unit.counts);
    divided_up(&(nanos * BigDecimal::from(BigInt::from(RATE_PER_COUNTS))), &size).to_u128()
}
