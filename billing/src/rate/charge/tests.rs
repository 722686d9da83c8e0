//! Every price model as a table: how much of what, and what it comes to, to be checked with a pencil.
//! Never a database and never a plan file.
//! Run by `cargo test`.

use std::str::FromStr as _;

use proptest::prelude::*;

use super::*;
use crate::plan::{Filter, Meter};

fn decimal(text: &str) -> BigDecimal {
    BigDecimal::from_str(text).expect("a decimal")
}

fn charge(free: &str, scheme: Scheme) -> UsageCharge {
    UsageCharge {
        meter: Meter::OutputTokens,
        filter: Filter::default(),
        counted: "tokens".to_owned(),
        unit: QuantityUnit::plain("tokens", 1),
        free: decimal(free),
        scheme,
    }
}

/// Tiers as `(last unit, price of a unit, flat amount)`; an empty text has no end.
fn tiers(rows: &[(&str, &str, &str)]) -> Vec<Tier> {
    rows.iter()
        .map(|(up_to, price, flat)| Tier {
            up_to: (!up_to.is_empty()).then(|| decimal(up_to)),
            price: decimal(price),
            flat: decimal(flat),
        })
        .collect()
}

fn unit(price: &str, per: u64) -> Scheme {
    Scheme::Unit { price: decimal(price), per }
}

fn package(price: &str, size: &str) -> Scheme {
    Scheme::Package { price: decimal(price), size: decimal(size) }
}

fn amount(charge: &UsageCharge, counts: PeriodCounts) -> String {
    rate_charge(charge, counts).exact.to_string()
}

fn check(free: &str, scheme: &Scheme, rows: &[(u64, &str)]) {
    let charge = charge(free, scheme.clone());
    for (counts, expected) in rows {
        assert_eq!(amount(&charge, PeriodCounts::whole(*counts)), *expected, "{counts} by {scheme:?}");
    }
}

#[test]
fn a_unit_price_is_in_proportion() {
    check(
        "0",
        &unit("0.60", 1_000_000),
        &[
            (0, "0"),
            (1, "0.0000006"),
            (345_681, "0.2074086"),
            (1_000_000, "0.6"),
            (u64::MAX, "11068046444225.730969"),
        ],
    );
    check("0", &unit("2", 1), &[(0, "0"), (3, "6")]);
    check("0", &unit("1", 8), &[(1, "0.125"), (8, "1")]);
    check("0", &unit("0", 1), &[(1_000, "0")]);
}

#[test]
fn free_units_come_first() {
    check("100", &unit("2", 1), &[(0, "0"), (99, "0"), (100, "0"), (101, "2"), (150, "100")]);
    check("0.5", &unit("2", 1), &[(1, "1")]);
    // Tiers and packages count from the first unit that is not free.
    check("100", &package("5", "10"), &[(100, "0"), (101, "5"), (110, "5"), (111, "10")]);
    check(
        "100",
        &Scheme::Graduated(tiers(&[("10", "1", "0"), ("", "2", "0")])),
        &[(100, "0"), (110, "10"), (111, "12")],
    );
}

#[test]
fn a_begun_package_is_a_whole_one() {
    check(
        "0",
        &package("5", "1000"),
        &[(0, "0"), (1, "5"), (999, "5"), (1_000, "5"), (1_001, "10"), (5_000, "25")],
    );
    check("0", &package("1", "0.5"), &[(1, "2"), (3, "6")]);
    check("0", &package("1", "3"), &[(1, "1"), (3, "1"), (4, "2")]);
}

#[test]
fn graduated_tiers_end_with_their_last_unit() {
    let scheme = Scheme::Graduated(tiers(&[("10", "5", "0"), ("20", "3", "0"), ("", "1", "0")]));
    check(
        "0",
        &scheme,
        &[(0, "0"), (1, "5"), (9, "45"), (10, "50"), (11, "53"), (20, "80"), (21, "81"), (120, "180")],
    );
}

#[test]
fn a_tiers_flat_amount_is_due_with_its_first_unit() {
    let graduated = Scheme::Graduated(tiers(&[("10", "1", "100"), ("20", "1", "200"), ("", "1", "300")]));
    check(
        "0",
        &graduated,
        &[(0, "0"), (1, "101"), (10, "110"), (11, "311"), (20, "320"), (21, "621"), (22, "622")],
    );
    let volume = Scheme::Volume(tiers(&[("10", "1", "100"), ("20", "1", "200"), ("", "1", "300")]));
    check("0", &volume, &[(0, "0"), (1, "101"), (10, "110"), (11, "211"), (20, "220"), (21, "321")]);
}

#[test]
fn volume_prices_all_units_at_the_tier_reached() {
    let scheme = Scheme::Volume(tiers(&[("10", "5", "0"), ("20", "3", "0"), ("", "1", "0")]));
    check("0", &scheme, &[(0, "0"), (1, "5"), (10, "50"), (11, "33"), (20, "60"), (21, "21"), (100, "100")]);
}

#[test]
fn quantities_are_rounded_as_the_unit_says() {
    use QuantityRounding::{Down, HalfUp, Up};
    let rows = [
        // counts in a unit, decimals and mode, counts, units
        (1_000, None, 1_234, "1.234"),
        (8, None, 1, "0.125"),
        (3_600_000_000, Some((6, Up)), 1, "0.000001"),
        (3_600_000_000, Some((6, Down)), 3_599, "0"),
        (3_600_000_000, Some((6, HalfUp)), 1_799, "0"),
        (3_600_000_000, Some((6, HalfUp)), 1_800, "0.000001"),
        (3_600_000_000, Some((6, Up)), 3_600_000_000, "1"),
        (3, Some((2, Up)), 1, "0.34"),
        (3, Some((2, Down)), 1, "0.33"),
        (3, Some((2, HalfUp)), 2, "0.67"),
        (3, Some((0, Up)), 1, "1"),
        (3, Some((0, Up)), 0, "0"),
        (3, Some((0, Up)), 3, "1"),
    ];
    for (counts_per_unit, rounding, counts, expected) in rows {
        let unit = QuantityUnit { name: "unit".to_owned(), counts: counts_per_unit, rounding };
        let units = to_units(&unit, counts);
        assert_eq!(units.to_plain_string(), expected, "{counts} in {counts_per_unit} {rounding:?}");
    }
}

#[test]
fn parts_tell_how_the_amount_came_about() {
    let scheme = Scheme::Graduated(tiers(&[("10", "5", "7"), ("", "0.5", "0")]));
    let rated = rate_charge(&charge("3", scheme), PeriodCounts::whole(15));
    let told: Vec<_> = rated
        .parts
        .iter()
        .map(|part| (part.kind, part.units.to_plain_string(), part.exact.to_string()))
        .collect();
    assert_eq!(
        told,
        [
            (PartKind::Free, "3".to_owned(), "0".to_owned()),
            (PartKind::TierFlat(1), "1".to_owned(), "7".to_owned()),
            (PartKind::Tier(1), "10".to_owned(), "50".to_owned()),
            (PartKind::Tier(2), "2".to_owned(), "1".to_owned()),
        ]
    );
    assert_eq!((rated.units.to_plain_string(), rated.exact.to_string()), ("15".to_owned(), "58".to_owned()));
}

#[test]
fn a_new_version_goes_on_where_the_old_one_stopped() {
    let old = charge("2", Scheme::Graduated(tiers(&[("10", "5", "1"), ("", "1", "2")])));
    let new = charge("2", Scheme::Graduated(tiers(&[("10", "6", "3"), ("", "2", "4")])));
    // Seven under the old version: two free, five at 5 and its flat amount. Then eight under the new one: five at 6,
    // three at 2 and the flat amount of the second tier.
    assert_eq!(amount(&old, PeriodCounts { before: 0, own: 7, total: 15 }), "26");
    assert_eq!(amount(&new, PeriodCounts { before: 7, own: 8, total: 15 }), "40");
    // Of a volume charge both take the tier that the whole period reaches.
    let old = charge("0", Scheme::Volume(tiers(&[("10", "5", "1"), ("", "1", "2")])));
    let new = charge("0", Scheme::Volume(tiers(&[("10", "6", "3"), ("", "2", "4")])));
    assert_eq!(amount(&old, PeriodCounts { before: 0, own: 7, total: 15 }), "9");
    assert_eq!(amount(&new, PeriodCounts { before: 7, own: 8, total: 15 }), "16");
    // A package that the old version began is not begun again.
    let packages = charge("0", package("5", "10"));
    assert_eq!(amount(&packages, PeriodCounts { before: 0, own: 7, total: 15 }), "5");
    assert_eq!(amount(&packages, PeriodCounts { before: 7, own: 3, total: 15 }), "0");
    assert_eq!(amount(&packages, PeriodCounts { before: 10, own: 5, total: 15 }), "5");
}

fn prices() -> impl Strategy<Value = BigDecimal> {
    (0_u64..1_000_000, 0_i64..9).prop_map(|(digits, scale)| BigDecimal::new(digits.into(), scale))
}

fn some_tiers() -> impl Strategy<Value = Vec<Tier>> {
    proptest::collection::vec((1_u64..500, prices(), prices()), 1..6).prop_map(|rows| {
        let (last, mut end) = (rows.len() - 1, 0_u64);
        let row = |(index, (width, price, flat)): (usize, (u64, BigDecimal, BigDecimal))| {
            end += width;
            Tier { up_to: (index < last).then(|| BigDecimal::from(end)), price, flat }
        };
        rows.into_iter().enumerate().map(row).collect()
    })
}

fn schemes() -> impl Strategy<Value = Scheme> {
    prop_oneof![
        (prices(), prop_oneof![Just(1_u64), Just(8), Just(1_000), Just(1_000_000)])
            .prop_map(|(price, per)| Scheme::Unit { price, per }),
        (prices(), 1_u64..300).prop_map(|(price, size)| Scheme::Package { price, size: size.into() }),
        some_tiers().prop_map(Scheme::Graduated),
        some_tiers().prop_map(Scheme::Volume),
    ]
}

/// One unit after another, each at the price of its own place: slow, and nothing else to get wrong.
fn unit_by_unit(charge: &UsageCharge, counts: u64) -> BigDecimal {
    let free: u64 = charge.free.to_string().parse().expect("whole");
    let billable = counts.saturating_sub(free);
    let mut sum = BigDecimal::zero();
    match &charge.scheme {
        Scheme::Unit { price, per } => {
            for _ in 0..billable {
                sum += price / BigDecimal::from(*per);
            }
        }
        Scheme::Package { price, size } => {
            let mut held = BigDecimal::zero();
            for place in 1..=billable {
                let own = BigDecimal::from(place);
                if held < own {
                    held += size;
                    sum += price;
                }
            }
        }
        Scheme::Graduated(tiers) => {
            let mut entered = vec![false; tiers.len()];
            for place in 1..=billable {
                let own = BigDecimal::from(place);
                let is_in = |tier: &Tier| tier.up_to.as_ref().is_none_or(|end| own <= *end);
                let index = tiers.iter().position(is_in).expect("the last has no end");
                sum += &tiers[index].price;
                if !std::mem::replace(&mut entered[index], true) {
                    sum += &tiers[index].flat;
                }
            }
        }
        Scheme::Volume(tiers) => {
            let whole = BigDecimal::from(billable);
            let is_in = |tier: &&Tier| tier.up_to.as_ref().is_none_or(|end| whole <= *end);
            let tier = tiers.iter().find(is_in).expect("the last has no end");
            for place in 1..=billable {
                sum += &tier.price;
                if place == 1 {
                    sum += &tier.flat;
                }
            }
        }
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_formula_is_the_sum_of_the_units(
        scheme in schemes(), free in 0_u64..300, counts in 0_u64..1_500,
    ) {
        let charge = charge(&free.to_string(), scheme);
        let rated = rate_charge(&charge, PeriodCounts::whole(counts));
        prop_assert_eq!(&rated.exact.0, &unit_by_unit(&charge, counts).normalized());
        let shown: BigDecimal =
            rated.parts.iter().filter(|part| !matches!(part.kind, PartKind::TierFlat(_) | PartKind::Packages))
                .map(|part| part.units.clone()).sum();
        if !matches!(charge.scheme, Scheme::Package { .. }) {
            prop_assert_eq!(shown, BigDecimal::from(counts));
        }
    }

    #[test]
    fn versions_with_the_same_terms_come_to_what_one_does(
        scheme in schemes(), free in 0_u64..300,
        (first, second, third) in (0_u64..1_000, 0_u64..1_000, 0_u64..1_000),
    ) {
        let charge = charge(&free.to_string(), scheme);
        let total = first + second + third;
        let rated = |before, own| rate_charge(&charge, PeriodCounts { before, own, total }).exact;
        let split = [rated(0, first), rated(first, second), rated(first + second, third)];
        let whole = rate_charge(&charge, PeriodCounts::whole(total)).exact;
        prop_assert_eq!(ExactAmount::sum(&split), whole);
    }
}
