//! How much of what was counted each line stands for, so that no count is in two charges of the same kind.
//! Never a rounding that loses a count: the parts of a quantity add up to it.
//! Called by `focus`, once for each document.

use std::collections::BTreeMap;

use bigdecimal::{BigDecimal, RoundingMode, ToPrimitive as _, Zero as _};

use crate::{
    export::booked::{Booked, BookedKind},
    invoice::{Line, LineKind},
};

/// What a line stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Consumed {
    /// Counts of the line's unit that it alone stands for.
    pub(super) quantity: u64,
    /// Requests behind it.
    pub(super) requests: u64,
    /// Whether it stands for counts at all.
    pub(super) is_counted: bool,
}

/// The charge that lines are parts of.
type Metered<'a> = (&'a str, Option<&'a str>);

/// What each line of a document stands for, in their order.
///
/// Counts stand once, on the invoice of the whole period: parts of it while it ran say the same again, and a correction,
/// a voiding or a credit note changes amounts, not what was consumed.
pub(super) fn consumed(booked: &Booked) -> Vec<Consumed> {
    let is_whole = booked.kind == BookedKind::Invoice;
    let each = booked.lines.iter().zip(divided(&booked.lines)).map(|(line, quantity)| {
        let is_counted = is_whole && line.kind != LineKind::Correction;
        let counted = |number: u64| if is_counted { number } else { 0 };
        Consumed { quantity: counted(quantity), requests: counted(line.requests), is_counted }
    });
    each.collect()
}

/// The quantities of lines. Those of a metered charge have the charge's whole quantity each, which is divided over them
/// by the units that they price; flat amounts of a tier price none, and of packages the line of the packages has all.
fn divided(lines: &[Line]) -> Vec<u64> {
    let mut quantities: Vec<u64> = lines.iter().map(|line| line.quantity).collect();
    let mut charges: BTreeMap<Metered<'_>, Vec<usize>> = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        if line.kind == LineKind::Charge && line.units.is_some() {
            charges.entry((&line.item, line.price_version.as_deref())).or_default().push(index);
        }
    }
    for places in charges.values().filter(|places| places.len() > 1) {
        let of = |place: &usize| lines.get(*place);
        let has_packages = places.iter().filter_map(of).any(is_packages);
        let weight = |line: &Line| match (has_packages, is_packages(line), is_tier_flat(line)) {
            (true, is_packages, _) => BigDecimal::from(u8::from(is_packages)),
            (false, _, true) => BigDecimal::zero(),
            (false, _, false) => units(line),
        };
        let weights: Vec<_> = places.iter().filter_map(of).map(weight).collect();
        let whole = places.first().and_then(of).map_or(0, |line| line.quantity);
        for (place, part) in places.iter().zip(parts(whole, &weights)) {
            if let Some(quantity) = quantities.get_mut(*place) {
                *quantity = part;
            }
        }
    }
    quantities
}

/// A whole divided by weights: each part ends where all weights up to it end, rounded down.
fn parts(whole: u64, weights: &[BigDecimal]) -> Vec<u64> {
    let all: BigDecimal = weights.iter().sum();
    if all.is_zero() {
        return weights.iter().enumerate().map(|(index, _)| if index == 0 { whole } else { 0 }).collect();
    }
    let (mut reached, mut given) = (BigDecimal::zero(), 0);
    let part = |weight: &BigDecimal| {
        reached += weight;
        // Multiplied first, and at the end divided by itself: the last part is all that is left.
        let end = (BigDecimal::from(whole) * &reached / &all).with_scale_round(0, RoundingMode::Down);
        let end = end.to_u64().unwrap_or(whole).clamp(given, whole);
        let part = end - given;
        given = end;
        part
    };
    weights.iter().map(part).collect()
}

/// Units that a line prices; those of a void invoice are below zero, and weigh the same.
fn units(line: &Line) -> BigDecimal {
    let units = line.units.as_deref().and_then(|units| units.parse::<BigDecimal>().ok());
    units.unwrap_or_default().abs()
}

/// As `charges` writes begun packages.
fn is_packages(line: &Line) -> bool {
    line.units_name.as_deref() == Some("packages") && line.description.contains(": begun packages of ")
}

/// As `charges` writes the flat amount of a tier.
fn is_tier_flat(line: &Line) -> bool {
    line.units_name.as_deref() == Some("times") && line.description.ends_with(", flat amount")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole() {
        let rows: [(u64, &[&str], &[u64]); 6] = [
            (1_530, &["500", "1000", "30"], &[500, 1_000, 30]),
            (12_001, &["1", "10", "2"], &[923, 9_231, 1_847]),
            (10, &["1", "1", "1"], &[3, 3, 4]),
            (7, &["0", "2.5", "0"], &[0, 7, 0]),
            (7, &["0", "0"], &[7, 0]),
            (u64::MAX, &["0.000000001", "1"], &[18_446_744_055, 18_446_744_055_262_807_560]),
        ];
        for (whole, weights, expected) in rows {
            let weights: Vec<_> = weights.iter().map(|text| text.parse().expect("a decimal")).collect();
            let parts = parts(whole, &weights);
            assert_eq!(parts, expected, "{whole}");
            assert_eq!(parts.iter().sum::<u64>(), whole);
        }
    }
}
