//! Rounding, exact products and displayed amounts, as tables to be read with a pencil.
//! Never a database.
//! Run by `cargo test`.

use std::str::FromStr;

use proptest::prelude::*;

use super::*;
use crate::plan::Plan;

fn amount(text: &str) -> ExactAmount {
    ExactAmount(BigDecimal::from_str(text).expect("a decimal"))
}

fn currency(code: &str) -> Currency {
    code.parse().expect("a currency")
}

#[test]
fn a_half_goes_away_from_zero() {
    let rows = [
        // exact, currency, rounded
        ("0", "USD", "0.00"),
        ("0.004999999999999999999999999", "USD", "0.00"),
        ("0.005", "USD", "0.01"),
        ("-0.005", "USD", "-0.01"),
        ("-0.0049", "USD", "0.00"),
        ("0.015", "USD", "0.02"),
        ("0.025", "USD", "0.03"),
        ("1.005", "USD", "1.01"),
        ("2.675", "USD", "2.68"),
        ("-2.675", "USD", "-2.68"),
        ("12345678901234.565", "USD", "12345678901234.57"),
        ("0.5", "JPY", "1"),
        ("0.49", "JPY", "0"),
        ("-0.5", "JPY", "-1"),
        ("7", "JPY", "7"),
        ("1E+3", "USD", "1000.00"),
        ("0.0005", "KWD", "0.001"),
        ("0.00049", "KWD", "0.000"),
        ("0.00005", "CLF", "0.0001"),
    ];
    for (exact, code, expected) in rows {
        let rounded = amount(exact).round_half_away_from_zero(currency(code)).expect("it fits");
        assert_eq!(rounded.to_text(currency(code)), expected, "{exact} {code}");
    }
}

#[test]
fn amounts_beyond_the_bound_are_errors() {
    let most = amount("92233720368547758.07");
    assert_eq!(most.round_half_away_from_zero(Currency::USD), Ok(MinorUnits::new(i64::MAX)));
    for text in ["92233720368547758.075", "1E+400", "-92233720368547758.09"] {
        assert!(amount(text).round_half_away_from_zero(Currency::USD).is_err(), "{text}");
    }
}

#[test]
fn products_keep_every_digit() {
    let plan = |price: &str| {
        let text = Plan::demo().expect("a plan").source().replace("\"0.15\"", &format!("\"{price}\""));
        Plan::from_text("t", &text).expect("a plan")
    };
    let rows = [
        // tokens, price per million, exact
        (0, "0.15", "0.00"),
        (1, "0.15", "0.00000015"),
        (1_000_000, "0.15", "0.15"),
        (1_234_567, "0.15", "0.18518505"),
        (3, "0.333333333", "0.000000999999999"),
        (u64::MAX, "999999999.999999999", "18446744073709551596553.255926290448385"),
    ];
    for (tokens, price, expected) in rows {
        let plan = plan(price);
        let exact = ExactAmount::of_tokens(Tokens::new(tokens), &plan.prices()[0].input);
        assert_eq!(exact.to_text(Currency::USD), expected, "{tokens} × {price}");
    }
}

#[test]
fn zero_has_no_sign() {
    for zero in [ExactAmount::zero().negated(), amount("-0.00"), amount("0").negated()] {
        assert_eq!((zero.to_text(Currency::USD), zero.to_string()), ("0.00".to_owned(), "0".to_owned()));
        assert!(!zero.is_negative());
    }
    assert_eq!(MinorUnits::new(-5).to_text(Currency::USD), "-0.05");
    assert_eq!(amount("-0.0000036").to_text(Currency::USD), "-0.0000036");
    assert_eq!(amount("3").to_text(Currency::USD), "3.00");
    assert_eq!(amount("3.10").to_text(currency("JPY")), "3.1");
}

fn check_display(lines: &[&str], code: &str, expected: &[&str]) {
    let exact: Vec<_> = lines.iter().map(|line| amount(line)).collect();
    let subtotal = ExactAmount::sum(&exact).round_half_away_from_zero(currency(code)).expect("it fits");
    let shown = allocate_by_largest_remainder(&exact, subtotal, currency(code)).expect("it fits");
    let texts: Vec<_> = shown.iter().map(|minor| minor.to_text(currency(code))).collect();
    assert_eq!(texts, expected, "{lines:?}");
}

#[test]
fn displayed_amounts_add_up() {
    check_display(&[], "USD", &[]);
    check_display(&["0.333", "0.333", "0.334"], "USD", &["0.33", "0.33", "0.34"]);
    // Equal remainders: the earlier line gets the cent.
    check_display(&["0.005", "0.005"], "USD", &["0.01", "0.00"]);
    check_display(&["0.001", "0.001", "0.003"], "USD", &["0.00", "0.00", "0.01"]);
    // Three thirds of nearly nothing show nothing.
    check_display(&["0.001", "0.001", "0.001"], "USD", &["0.00", "0.00", "0.00"]);
    // A credit: cut down it would be −0.01, the remainder rule may lift it to zero, never above.
    check_display(&["0.012", "-0.003"], "USD", &["0.01", "0.00"]);
    check_display(&["1.00", "-0.505"], "USD", &["1.00", "-0.50"]);
    check_display(&["0", "0.019", "0"], "USD", &["0.00", "0.02", "0.00"]);
    check_display(&["0.4", "0.4", "0.4"], "JPY", &["1", "0", "0"]);
    check_display(&["-0.4", "-0.4", "-0.4"], "JPY", &["0", "0", "-1"]);
}

proptest! {
    #[test]
    fn every_line_shows_within_one_unit_of_its_amount(
        digits in proptest::collection::vec((-1_000_000_000_i64..1_000_000_000, 0_i64..15), 0..40),
        code in prop_oneof![Just("USD"), Just("JPY"), Just("KWD")],
    ) {
        let currency = currency(code);
        let exact: Vec<_> =
            digits.iter().map(|(digits, scale)| ExactAmount(BigDecimal::new((*digits).into(), *scale))).collect();
        let sum = ExactAmount::sum(&exact);
        let subtotal = sum.round_half_away_from_zero(currency).expect("it fits");
        let shown = allocate_by_largest_remainder(&exact, subtotal, currency).expect("it fits");
        prop_assert_eq!(shown.iter().map(|minor| minor.get()).sum::<i64>(), subtotal.get());
        for (exact, shown) in exact.iter().zip(&shown) {
            let unit = ten_to(currency.exponent());
            let distance = (&exact.0 * unit - BigDecimal::from(shown.get())).abs();
            prop_assert!(distance < 1);
            let is_opposite = (exact.is_negative() && shown.get() > 0) || (exact.0.is_positive() && shown.get() < 0);
            prop_assert!(!is_opposite && (!exact.0.is_zero() || shown.get() == 0));
        }
        let mut backwards = exact;
        backwards.reverse();
        prop_assert_eq!(ExactAmount::sum(&backwards), sum);
    }

    #[test]
    fn rounding_is_symmetric_and_nearest(digits in any::<i64>(), scale in 0_i64..25) {
        let exact = ExactAmount(BigDecimal::new(digits.into(), scale + 3));
        let up = exact.round_half_away_from_zero(Currency::USD).expect("it fits");
        let down = exact.negated().round_half_away_from_zero(Currency::USD).expect("it fits");
        prop_assert_eq!(up.get(), -down.get());
        let distance = (&exact.0 * BigDecimal::from(100) - BigDecimal::from(up.get())).abs();
        prop_assert!(distance * 2 <= 1);
    }
}
