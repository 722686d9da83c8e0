//! Rates a metered quantity of a period by a charge's scheme: units, free allowance, tiers, packages.
//! Never re-rounds what was split: a part of a period costs what the whole does less what came before it.
//! Called by invoices, once for each charge of each plan version.

use bigdecimal::{BigDecimal, Zero as _, num_bigint::BigInt};

use super::{ExactAmount, divided_up};
use crate::plan::{QuantityRounding, QuantityUnit, Scheme, Tier, UsageCharge};

/// The counts of one period that a charge is to price, in the order of the plan versions that priced them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeriodCounts {
    /// Counts that earlier versions of the plan have priced.
    pub before: u64,
    /// Counts that this version prices.
    pub own: u64,
    /// Counts of all versions together.
    pub total: u64,
}

impl PeriodCounts {
    /// Of a period with one version.
    pub const fn whole(counts: u64) -> Self {
        Self { before: 0, own: counts, total: counts }
    }
}

/// What a quantity comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatedCharge {
    /// The quantity in the charge's unit, free units included.
    pub units: BigDecimal,
    /// How it becomes money, in the order of the tiers. Nothing of it is left out: the units add up.
    pub parts: Vec<RatedPart>,
    /// The sum of the parts.
    pub exact: ExactAmount,
}

/// Units of one price, or a flat amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatedPart {
    /// What it is.
    pub kind: PartKind,
    /// How many units; of packages, how many packages; of a flat amount, 1.
    pub units: BigDecimal,
    /// What `per` of them cost.
    pub price: BigDecimal,
    /// How many units the price is for.
    pub per: u64,
    /// `units × price ÷ per`, with all digits.
    pub exact: ExactAmount,
}

/// What a part of a charge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// Units that cost nothing.
    Free,
    /// Units at a price.
    Units,
    /// Units at the price of this tier, from 1.
    Tier(usize),
    /// The flat amount of this tier, from 1.
    TierFlat(usize),
    /// Whole packages.
    Packages,
}

/// Rates the counts that one plan version prices.
///
/// Its amount is that of all counts up to its last less that of the counts before, so that the versions of a period
/// together come to what one would. Of a volume charge the tier is the one that the whole period reaches.
pub fn rate_charge(charge: &UsageCharge, counts: PeriodCounts) -> RatedCharge {
    let through = counts.before.saturating_add(counts.own);
    let from = to_units(&charge.unit, counts.before);
    let to = to_units(&charge.unit, through);
    let total = to_units(&charge.unit, counts.total.max(through));
    let billable = |units: &BigDecimal| above(units, &charge.free);
    let span = Span { from: billable(&from), to: billable(&to) };
    let mut parts = Vec::new();
    let units = &to - &from;
    let free = &units - span.units();
    if !free.is_zero() {
        parts.push(RatedPart::new(PartKind::Free, &free, &BigDecimal::zero(), 1));
    }
    match &charge.scheme {
        Scheme::Unit { price, per } => {
            parts.push(RatedPart::new(PartKind::Units, &span.units(), price, *per));
        }
        Scheme::Package { price, size } => {
            let packages = BigDecimal::from(divided_up(&span.to, size) - divided_up(&span.from, size));
            parts.push(RatedPart::new(PartKind::Packages, &packages, price, 1));
        }
        Scheme::Graduated(tiers) => graduated(tiers, &span, &mut parts),
        Scheme::Volume(tiers) => volume(tiers, &span, &billable(&total), &mut parts),
    }
    parts.retain(|part| !part.units.is_zero());
    let exact = ExactAmount::sum(parts.iter().map(|part| &part.exact));
    RatedCharge { units, parts, exact }
}

/// Billable units from one place of the period to another.
struct Span {
    from: BigDecimal,
    to: BigDecimal,
}

impl Span {
    fn units(&self) -> BigDecimal {
        &self.to - &self.from
    }
}

fn graduated(tiers: &[Tier], span: &Span, parts: &mut Vec<RatedPart>) {
    let mut begin = BigDecimal::zero();
    for (tier, number) in tiers.iter().zip(1..) {
        let within = |place: &BigDecimal| {
            let place = tier.up_to.as_ref().map_or_else(|| place.clone(), |end| place.min(end).clone());
            above(&place, &begin)
        };
        let units = within(&span.to) - within(&span.from);
        // The flat amount is due with the first unit of the tier, whichever version prices it.
        if span.from <= begin && begin < span.to {
            parts.push(RatedPart::new(PartKind::TierFlat(number), &one(), &tier.flat, 1));
        }
        parts.push(RatedPart::new(PartKind::Tier(number), &units, &tier.price, 1));
        match &tier.up_to {
            Some(end) => begin = end.clone(),
            None => break,
        }
    }
    parts.retain(|part| !matches!(part.kind, PartKind::TierFlat(_)) || !part.price.is_zero());
}

fn volume(tiers: &[Tier], span: &Span, total: &BigDecimal, parts: &mut Vec<RatedPart>) {
    let reached = tiers.iter().zip(1..).find(|(tier, _)| tier.up_to.as_ref().is_none_or(|end| total <= end));
    let Some((tier, number)) = reached else { return };
    if span.from.is_zero() && !span.to.is_zero() && !tier.flat.is_zero() {
        parts.push(RatedPart::new(PartKind::TierFlat(number), &one(), &tier.flat, 1));
    }
    parts.push(RatedPart::new(PartKind::Tier(number), &span.units(), &tier.price, 1));
}

impl RatedPart {
    fn new(kind: PartKind, units: &BigDecimal, price: &BigDecimal, per: u64) -> Self {
        let exact = ExactAmount((units * price / BigDecimal::from(per)).normalized());
        Self { kind, units: units.normalized(), price: price.clone(), per, exact }
    }
}

/// Counts in units of a charge, by its rounding of quantities.
pub fn to_units(unit: &QuantityUnit, counts: u64) -> BigDecimal {
    match unit.rounding {
        // The plan was refused if this division had no end.
        None => (BigDecimal::from(counts) / BigDecimal::from(unit.counts)).normalized(),
        Some((decimals, mode)) => {
            let scaled = BigInt::from(counts) * BigInt::from(10).pow(decimals);
            let size = BigInt::from(unit.counts);
            let whole = match mode {
                QuantityRounding::Up => (scaled + &size - 1) / size,
                QuantityRounding::Down => scaled / size,
                QuantityRounding::HalfUp => (scaled * 2 + &size) / (size * 2),
            };
            BigDecimal::new(whole, i64::from(decimals)).normalized()
        }
    }
}

/// How far it is above a bound.
fn above(units: &BigDecimal, bound: &BigDecimal) -> BigDecimal {
    if units > bound { units - bound } else { BigDecimal::zero() }
}

fn one() -> BigDecimal {
    BigDecimal::from(1)
}

#[cfg(test)]
mod tests;
