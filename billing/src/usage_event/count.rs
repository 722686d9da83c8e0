//! What an event counts for: its quantity in each meter of a plan that takes it.
//! Never a price, and never a rounding: a value with more decimals than its meter keeps is refused.
//! Called when an event is stored, and again by whoever verifies.

use std::{collections::BTreeMap, str::FromStr as _};

use bigdecimal::{BigDecimal, Signed as _, ToPrimitive as _};

use super::{EventError, EventProblem, Exact, UsageEvent};
use crate::plan::{Aggregation, DataFilter, DataPointer, MeterDefinition, MeterName, Plan};

/// Most that one event may say, in counts: 31 years in milliseconds. A value beyond it is a mistake, and sums stay far
/// from what 63 bits hold.
pub const VALUE_COUNTS_MAX: u64 = 1_000_000_000_000;
/// Longest text of a value.
const VALUE_BYTES_MAX: usize = 40;

/// The counts of an event under a plan, by meter. A meter whose filters do not take the event has none.
///
/// Errors: no meter counts such events; a value that is not there, no number, or does not fit its meter.
pub fn counts_of(event: &UsageEvent, plan: &Plan) -> Result<BTreeMap<MeterName, u64>, EventError> {
    let mut counts = BTreeMap::new();
    let mut is_known = false;
    for meter in plan.meters().iter().filter(|meter| meter.event_type == event.event_type) {
        is_known = true;
        if !meter.filters.iter().all(|filter| takes(filter, event)) {
            continue;
        }
        let count = match &meter.aggregation {
            Aggregation::Count => 1,
            Aggregation::Sum(value) => sum_of(event, meter, value)?,
        };
        counts.insert(meter.name, count);
    }
    match is_known {
        true => Ok(counts),
        false => {
            let mut types: Vec<_> = plan.meters().iter().map(|meter| meter.event_type.as_str()).collect();
            types.sort_unstable();
            types.dedup();
            let known = if types.is_empty() { "none".to_owned() } else { types.join(", ") };
            let found = event.event_type.chars().take(80).collect();
            let problem = EventProblem::UnknownType { plan: plan.id().clone(), found, known };
            Err(EventError::at("type", problem))
        }
    }
}

fn takes(filter: &DataFilter, event: &UsageEvent) -> bool {
    let found = event.data_at(filter.field.steps()).and_then(Exact::as_word);
    found.is_some_and(|word| filter.values.contains(word))
}

/// The value that a meter adds up, in its counts.
fn sum_of(event: &UsageEvent, meter: &MeterDefinition, pointer: &DataPointer) -> Result<u64, EventError> {
    let field = format!("data.{}", pointer.steps().join("."));
    let fault = |problem| EventError::at(field.clone(), problem);
    let missing = || fault(EventProblem::NoValue(meter.name.to_string()));
    let found = event.data_at(pointer.steps()).ok_or_else(missing)?;
    let (Exact::Number(text) | Exact::Text(text)) = found else {
        return Err(fault(EventProblem::NotANumber(found.kind().to_owned())));
    };
    let value = number(text).ok_or_else(|| {
        let shown: String = text.chars().take(VALUE_BYTES_MAX).collect();
        fault(EventProblem::NotANumber(format!("{shown:?}")))
    })?;
    if value.is_negative() {
        return Err(fault(EventProblem::Negative(text.clone())));
    }
    let counts = (&value * BigDecimal::from(meter.counts_per_unit())).normalized();
    if counts.fractional_digit_count() > 0 {
        let (value, meter_name) = (text.clone(), meter.name.to_string());
        let problem =
            EventProblem::TooManyDecimals { value, meter: meter_name, decimals_max: meter.decimals };
        return Err(fault(problem));
    }
    let counts = counts.to_u64().filter(|counts| *counts <= VALUE_COUNTS_MAX);
    counts.ok_or_else(|| {
        let max =
            (BigDecimal::from(VALUE_COUNTS_MAX) / BigDecimal::from(meter.counts_per_unit())).normalized();
        let (value, max, unit) = (text.clone(), max.to_plain_string(), meter.unit.clone());
        fault(EventProblem::TooMuch { value, max, unit })
    })
}

/// A number from its digits. Numbers of a usual size have no exponent here any more.
fn number(text: &str) -> Option<BigDecimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) =
        digits.split_once('.').map_or((digits, None), |(left, right)| (left, Some(right)));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = text.len() <= VALUE_BYTES_MAX && is_digits(whole) && decimals.is_none_or(is_digits);
    if is_plain { BigDecimal::from_str(text).ok() } else { None }
}
