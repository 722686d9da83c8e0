//! FOCUS: each row has the columns of its category, and all of them add up to what is owed.
//! Never a ledger: exports over real usage are tested on both databases.
//! Run by `cargo test`.

use bigdecimal::BigDecimal;

use super::*;
use crate::{
    export::table::plain,
    invoice::{Attainment, Invoice, Line, LineKind},
};

fn number(text: &str) -> BigDecimal {
    text.parse().expect("a decimal")
}

/// A line of each kind, and their total.
fn invoice() -> Invoice {
    let line = |kind: LineKind, item: &str, displayed: &str, exact: &str| Line {
        position: 1,
        kind,
        item: item.to_owned(),
        description: format!("-{item}"),
        model: Some("demo".to_owned()),
        price_version: Some("demo@1".to_owned()),
        reason: None,
        requests: 2,
        quantity: 1_500,
        unit: "tokens".to_owned(),
        units: None,
        units_name: None,
        unit_price: Some("0.15".to_owned()),
        unit_price_per: Some(1_000_000),
        percent: None,
        attainment: None,
        formula: Some("1500 × 0.15 ÷ 1000000".to_owned()),
        exact: exact.to_owned(),
        displayed: displayed.to_owned(),
        correction: None,
    };
    let flat = Line {
        unit: String::new(),
        quantity: 0,
        unit_price: None,
        unit_price_per: None,
        model: None,
        ..line(LineKind::Charge, "seat", "3.00", "3.00")
    };
    let energy = Line {
        unit: "millijoules".to_owned(),
        unit_price: None,
        unit_price_per: None,
        model: None,
        price_version: None,
        ..line(LineKind::Energy, "modelled", "0.00", "0.00")
    };
    let credit = Line {
        percent: Some("50".to_owned()),
        attainment: Some(Attainment {
            requests_slo_met: 1,
            requests: 2,
            percent_rounded_down: "50.00".to_owned(),
        }),
        ..line(LineKind::SloCredit, "late_output", "-0.01", "-0.0001")
    };
    let json = serde_json::json!({
        "schema": crate::invoice::SCHEMA, "status": "issued", "number": "TG-000001",
        "made_at": "2026-12-01T00:00:00Z", "tenant": {"id": "t", "name": "=acme"},
        "period": {"start": "2026-11-01T00:00:00+00:00", "end": "2026-12-01T00:00:00+00:00", "zone": "UTC",
                   "start_unix_us": 1_793_491_200_000_000_i64, "end_unix_us": 1_796_083_200_000_000_i64,
                   "has_begun": true, "has_ended": true},
        "currency": "USD", "currency_decimals": 2, "records": 2, "issued_as": null, "late_records": 0,
        "lines": [line(LineKind::Charge, "input", "0.01", "0.000225"), credit, flat,
                  line(LineKind::NotBilled, "input", "0.00", "0.00"), energy],
        "subtotal_exact": "3.000125", "subtotal": "3.00", "total": "3.00",
    });
    Invoice::from_issued(&json.to_string()).expect("an invoice")
}

fn rows_of(
    invoice: Invoice,
    version: FocusVersion,
    provider: &str,
) -> Result<Vec<Vec<Cell>>, ExportError> {
    rows(&Booked::of_invoice(invoice, false), version, provider)
}

/// Cells of a row by their columns.
fn cells(version: FocusVersion, row: usize) -> std::collections::BTreeMap<&'static str, Option<String>> {
    let rows = rows_of(invoice(), version, "Tallygate").expect("rows");
    let names = columns(version).iter().map(|column| column.name);
    names.zip(rows[row].iter().map(Cell::to_plain)).collect()
}

#[test]
fn focus_charges_have_the_columns_of_their_category() {
    let of = |row: usize, name: &str| cells(FocusVersion::V1_0, row).get(name).cloned().flatten();
    let some = |text: &str| Some(text.to_owned());
    let categories: Vec<_> = (0..5).map(|row| of(row, "ChargeCategory").expect("a category")).collect();
    assert_eq!(categories, ["Usage", "Credit", "Purchase", "Usage", "Usage"]);
    assert_eq!((of(0, "PricingQuantity"), of(0, "PricingUnit")), (some("0.0015"), some("1000000 Tokens")));
    assert_eq!(
        (of(0, "ListUnitPrice"), of(0, "ListCost"), of(0, "BilledCost")),
        (some("0.15"), some("0.000225"), some("0.01"))
    );
    assert_eq!((of(0, "ConsumedQuantity"), of(0, "ConsumedUnit")), (some("1500"), some("Tokens")));
    assert_eq!((of(0, "SkuId"), of(0, "SkuPriceId")), (some("demo:input:demo"), some("demo@1:input:demo")));
    // A credit is priced by nothing, and its list cost is what it is billed at.
    for name in
        ["PricingQuantity", "ListUnitPrice", "ConsumedQuantity", "SkuId", "PricingCategory", "ChargeClass"]
    {
        assert_eq!(of(1, name), None, "{name}");
    }
    assert_eq!(
        (of(1, "ListCost"), of(1, "BilledCost"), of(1, "x_ExactCost")),
        (some("-0.01"), some("-0.01"), some("-0.0001"))
    );
    assert_eq!(
        (of(2, "PricingQuantity"), of(2, "PricingUnit"), of(2, "ListUnitPrice")),
        (some("1"), some("Charge"), some("3"))
    );
    assert_eq!((of(2, "ConsumedQuantity"), of(2, "ChargeFrequency")), (None, some("Recurring")));
    assert_eq!((of(3, "ListUnitPrice"), of(3, "x_Tokens")), (some("0"), some("1500")));
    assert_eq!(
        (of(4, "x_Joules"), of(4, "x_EnergyMillijoules"), of(4, "ConsumedUnit")),
        (some("1.5"), some("1500"), some("mJ"))
    );
    assert_eq!(of(0, "BillingPeriodStart"), some("2026-11-01T00:00:00Z"));
}

#[test]
fn focus_versions_differ_by_their_columns_alone() {
    let (older, newer) = (cells(FocusVersion::V1_0, 0), cells(FocusVersion::V1_2, 0));
    assert_eq!((older.len(), newer.len()), (55, 69));
    assert!(older.iter().all(|(name, cell)| newer.get(name) == Some(cell)));
    assert_eq!(newer["InvoiceId"].as_deref(), Some("TG-000001"));
    assert_eq!(newer["PricingCurrency"].as_deref(), Some("USD"));
    assert!(!older.contains_key("InvoiceId"));
}

#[test]
fn billed_costs_are_the_total_or_nothing_is_exported() {
    let mut invoice = invoice();
    let rows = rows_of(invoice.clone(), FocusVersion::V1_2, "x").expect("rows");
    let place = columns(FocusVersion::V1_2).iter().position(|column| column.name == "BilledCost");
    let billed = rows.iter().map(|row| number(&row[place.expect("a column")].to_plain().expect("an amount")));
    assert_eq!(plain(&billed.sum::<BigDecimal>()), "3");
    invoice.total = "3.01".to_owned();
    let refused = rows_of(invoice.clone(), FocusVersion::V1_2, "x");
    assert!(matches!(refused, Err(ExportError::NotTheTotal { .. })), "{refused:?}");
}

#[test]
fn a_tax_on_top_is_a_row_of_its_own_and_a_contained_one_is_none() {
    let with = |mode: &str, total: &str| {
        let mut json: serde_json::Value =
            serde_json::from_str(&invoice().to_json().expect("json")).expect("json");
        json["taxes"] = serde_json::json!({"status": "standard", "net": "3.00", "tax": "0.57", "lines": [
            {"name": "VAT", "percent": "19", "mode": mode, "base": "3.00", "formula": "3.00 × 19 ÷ 100", "amount": "0.57"}]});
        json["total"] = total.into();
        Invoice::from_issued(&json.to_string()).expect("an invoice")
    };
    let rows = rows_of(with("exclusive", "3.57"), FocusVersion::V1_0, "x").expect("rows");
    let names: Vec<_> = columns(FocusVersion::V1_0).iter().map(|column| column.name).collect();
    let last: std::collections::BTreeMap<_, _> =
        names.into_iter().zip(rows[5].iter().map(Cell::to_plain)).collect();
    let of = |name: &str| last[name].as_deref();
    assert_eq!((rows.len(), of("ChargeCategory"), of("BilledCost")), (6, Some("Tax"), Some("0.57")));
    assert_eq!(
        (of("ListCost"), of("PricingQuantity"), of("SkuId"), of("x_LineKind")),
        (Some("0.57"), None, None, Some("tax"))
    );
    assert_eq!(rows_of(with("inclusive", "3.00"), FocusVersion::V1_0, "x").expect("rows").len(), 5);
}

#[test]
fn corrections_have_their_class_and_the_category_of_what_they_correct() {
    for (kind, category) in [("charge", "Usage"), ("slo_credit", "Credit"), ("minimum", "Purchase")] {
        let mut json: serde_json::Value =
            serde_json::from_str(&invoice().to_json().expect("json")).expect("json");
        json["lines"][0]["kind"] = "correction".into();
        json["lines"][0]["correction"] = serde_json::json!({
            "start": "a", "end": "b", "start_unix_us": 1, "end_unix_us": 2, "invoice": "TG-000000", "kind": kind,
            "now": "0.01", "invoiced": "0.00", "records": 7});
        let invoice = Invoice::from_issued(&json.to_string()).expect("an invoice");
        let rows = rows_of(invoice.clone(), FocusVersion::V1_2, "x").expect("rows");
        let names = columns(FocusVersion::V1_2).iter().map(|column| column.name);
        let first: std::collections::BTreeMap<_, _> = names.zip(rows[0].iter().map(Cell::to_plain)).collect();
        assert_eq!(first["ChargeClass"].as_deref(), Some("Correction"), "{kind}");
        assert_eq!(first["ChargeCategory"].as_deref(), Some(category), "{kind}");
        assert_eq!((&first["PricingQuantity"], &first["ListUnitPrice"]), (&None, &None), "{kind}");
    }
}
