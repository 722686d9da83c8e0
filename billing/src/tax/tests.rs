//! Taxes by hand: rows that a bookkeeper can check with a pocket calculator.
//! Never a ledger.
//! Run by `cargo test`.

use super::*;

/// Subtotal in minor units, rates, each amount, and the total.
fn check(subtotal: i64, rates: &[&str], amounts: &[i64], total: i64) {
    let rates: Vec<TaxRate> = rates.iter().map(|rate| rate.parse().expect(rate)).collect();
    let subtotal = MinorUnits::new(subtotal);
    let (taxes, sum) = Taxes::on(subtotal, Currency::EUR, (TaxStatus::Standard, None), &rates).expect("fits");
    let shown: Vec<_> = taxes.lines.iter().map(|line| line.amount.clone()).collect();
    let expected: Vec<_> =
        amounts.iter().map(|amount| MinorUnits::new(*amount).to_text(Currency::EUR)).collect();
    assert_eq!((shown, sum.get()), (expected, total), "{subtotal:?} {rates:?}");
    // The words on the invoice are enough to compute it again.
    assert_eq!(taxes.again(subtotal, Currency::EUR), Ok((taxes.clone(), sum)));
    assert_eq!(taxes.amounts_on(subtotal).expect("fits").1, sum);
}

#[test]
fn each_tax_is_rounded_once_half_away_from_zero() {
    // 100.00 at 19 %: 19.00 on top.
    check(10_000, &["VAT=19"], &[1_900], 11_900);
    // 0.50 × 1 % = 0.005, which becomes 0.01; and −0.50 gives −0.01.
    check(50, &["T=1"], &[1], 51);
    check(-50, &["T=1"], &[-1], -51);
    check(49, &["T=1"], &[0], 49);
    // Two rates, each rounded alone: 10.01 × 5 % = 0.5005, × 9.975 % = 0.9984975.
    check(1_001, &["GST=5", "QST=9.975"], &[50, 100], 1_151);
    // Contained: 119.00 at 19 % is 100.00 and 19.00; the total stays.
    check(11_900, &["VAT=19:inclusive"], &[1_900], 11_900);
    // 1.00 ÷ 1.07 has no end: 0.0654… becomes 0.07.
    check(100, &["VAT=7:inclusive"], &[7], 100);
    // Two contained: 120.00 with 12 and 8: of 120 parts of a hundred.
    check(12_000, &["A=12:inclusive", "B=8:inclusive"], &[1_200, 800], 12_000);
    // One contained, one on what is left: 110.00 holds 10.00; 5 % of 100.00 on top.
    check(11_000, &["A=10:inclusive", "B=5"], &[1_000, 500], 11_500);
    check(0, &["A=10:inclusive", "B=5"], &[0, 0], 0);
    check(12_345, &[], &[], 12_345);
    check(12_345, &["Zero rate=0"], &[0], 12_345);
}

#[test]
fn yen_have_no_decimals_and_dinars_three() {
    let rows = [("JPY", 1_005, "10", "101", "1106"), ("KWD", 1_005, "5", "0.050", "1.055")];
    for (currency, subtotal, percent, tax, total) in rows {
        let currency: Currency = currency.parse().expect("a currency");
        let rates = [TaxRate::new("T", percent, TaxMode::Exclusive).expect("a rate")];
        let taxes = Taxes::on(MinorUnits::new(subtotal), currency, (TaxStatus::Standard, None), &rates);
        let (taxes, sum) = taxes.expect("fits");
        assert_eq!((taxes.tax.as_str(), sum.to_text(currency).as_str()), (tax, total));
    }
}

#[test]
fn who_is_not_taxed_is_told_why() {
    let rates = ["VAT=19".parse().expect("a rate")];
    let on = |status, note| {
        let (taxes, total) =
            Taxes::on(MinorUnits::new(500), Currency::EUR, (status, note), &rates).expect("fits");
        (taxes.note, taxes.lines.len(), total.get())
    };
    assert_eq!(on(TaxStatus::Exempt, Some("Embassy")), (Some("Embassy".to_owned()), 0, 500));
    assert_eq!(on(TaxStatus::ReverseCharge, Some("Art. 196")), (Some("Art. 196".to_owned()), 0, 500));
    assert_eq!(on(TaxStatus::ReverseCharge, None), (Some(REVERSE_CHARGE.to_owned()), 0, 500));
    assert_eq!(on(TaxStatus::Standard, Some("not shown")), (None, 1, 595));
}

#[test]
fn rates_are_read_precisely() {
    let good = [
        ("VAT=19", "VAT", "19", TaxMode::Exclusive),
        ("VAT=07.50:inclusive", "VAT", "7.5", TaxMode::Inclusive),
        ("Sales tax (NY)=8.875:exclusive", "Sales tax (NY)", "8.875", TaxMode::Exclusive),
        ("a=b=1", "a=b", "1", TaxMode::Exclusive),
        ("T=100", "T", "100", TaxMode::Exclusive),
    ];
    for (text, name, percent, mode) in good {
        let expected = TaxRate { name: name.to_owned(), percent: percent.to_owned(), mode };
        assert_eq!(text.parse(), Ok(expected), "{text}");
    }
    let bad = [
        "VAT",
        "=19",
        " VAT=19",
        "VAT=",
        "VAT=-1",
        "VAT=1e1",
        "VAT=100.1",
        "VAT=1.0000000001",
        "VAT=19:both",
        "VAT=.5",
        "VAT=5.",
        "VAT=1,5",
        "VAT=19:inclusive:exclusive",
    ];
    for text in bad {
        assert!(text.parse::<TaxRate>().is_err(), "{text}");
    }
    let eleven = vec![TaxRate::new("T", "1", TaxMode::Exclusive).expect("a rate"); 11];
    assert_eq!(check_rates(&eleven), Err(TaxError::TooMany));
}

proptest::proptest! {
    /// A contained tax and the net are the subtotal; no amount is half a unit off its exact share.
    #[test]
    fn parts_make_the_whole(subtotal in -1_000_000_000_i64..1_000_000_000, one in 0_u32..10_000, two in 0_u32..10_000) {
        let percent = |hundredths: u32| format!("{}.{:02}", hundredths / 100, hundredths % 100);
        let rates = [
            TaxRate::new("A", &percent(one), TaxMode::Inclusive).expect("a rate"),
            TaxRate::new("B", &percent(two), TaxMode::Exclusive).expect("a rate"),
        ];
        let amounts = amounts(MinorUnits::new(subtotal), &rates).expect("fits");
        let (contained, added) = (i128::from(amounts[0].1.get()), i128::from(amounts[1].1.get()));
        let (whole, one, two) = (i128::from(subtotal), i128::from(one), i128::from(two));
        proptest::prop_assert!((contained * (10_000 + one) - whole * one).abs() * 2 <= 10_000 + one);
        proptest::prop_assert!((added * 10_000 - (whole - contained) * two).abs() * 2 <= 10_000);
    }
}
