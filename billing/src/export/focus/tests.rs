//! FOCUS: each row has the columns of its category, and all of them add up to what is owed.
//! Never a ledger: exports over real usage are tested on both databases.
//! Run by `cargo test`.

use bigdecimal::BigDecimal;
use domain::Timestamp;

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

fn rows_of(invoice: Invoice, version: FocusVersion, provider: &str) -> Result<Vec<Vec<Cell>>, ExportError> {
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
    let refused = rows_of(invoice, FocusVersion::V1_2, "x");
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
    // What is less of a credit now is billed, and so no credit.
    for (kind, category) in [("charge", "Usage"), ("slo_credit", "Usage"), ("minimum", "Purchase")] {
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
        // It is about the same price as what it corrects.
        assert_eq!(first["SkuPriceId"].as_deref(), Some("demo@1:input:demo"), "{kind}");
    }
}

/// Rows of a document by their columns.
fn named(booked: &Booked) -> Vec<std::collections::BTreeMap<&'static str, String>> {
    let rows = rows(booked, FocusVersion::V1_2, "x").expect("rows");
    let named = rows.iter().map(|row| {
        let cells = columns(FocusVersion::V1_2).iter().map(|column| column.name).zip(row);
        cells.filter_map(|(name, cell)| Some((name, cell.to_plain()?))).collect()
    });
    named.collect()
}

/// An invoice of these lines.
fn invoice_of(lines: serde_json::Value, total: &str) -> Invoice {
    let mut json: serde_json::Value =
        serde_json::from_str(&invoice().to_json().expect("json")).expect("json");
    json["lines"] = lines;
    (json["subtotal"], json["total"]) = (total.into(), total.into());
    Invoice::from_issued(&json.to_string()).expect("an invoice")
}

fn line(fields: &serde_json::Value) -> serde_json::Value {
    let mut line = serde_json::json!({
        "position": 1, "kind": "charge", "item": "grad", "description": "grad", "model": null, "price_version": "demo@1",
        "reason": null, "requests": 2, "quantity": 1530, "unit": "tokens", "unit_price": null, "unit_price_per": null,
        "percent": null, "attainment": null, "formula": null, "exact": "0", "displayed": "0.00"});
    for (name, value) in fields.as_object().expect("fields") {
        line[name] = value.clone();
    }
    line
}

/// What was counted, as rows tell it: consumed quantities, tokens and energy.
fn counted(booked: &Booked) -> Vec<[String; 3]> {
    let of = |row: &std::collections::BTreeMap<&str, String>, name: &str| {
        row.get(name).cloned().unwrap_or_default()
    };
    let rows = named(booked);
    rows.iter()
        .map(|row| ["ConsumedQuantity", "x_Tokens", "x_EnergyMillijoules"].map(|name| of(row, name)))
        .collect()
}

fn expected(rows: &[[&str; 3]]) -> Vec<[String; 3]> {
    rows.iter().map(|row| row.map(str::to_owned)).collect()
}

/// A graduated charge, packages, energy that is charged, and a credit for late tokens.
fn much_counted() -> Invoice {
    let tier = |units: &str, name: &str, words: &str| {
        line(
            &serde_json::json!({"units": units, "units_name": name, "description": format!("grad: {words}")}),
        )
    };
    let lines = serde_json::json!([
        tier("30", "tokens", "free"),
        tier("1", "times", "tier 1, up to 500 tokens, flat amount"),
        tier("500", "tokens", "tier 1, up to 500 tokens"),
        tier("1000", "tokens", "tier 2, above 500 tokens"),
        line(
            &serde_json::json!({"item": "pack", "quantity": 77, "units": "7", "units_name": "tokens", "description": "pack: free"})
        ),
        line(&serde_json::json!({"item": "pack", "quantity": 77, "units": "2", "units_name": "packages",
            "description": "pack: begun packages of tokens"})),
        line(
            &serde_json::json!({"item": "power", "quantity": 9, "unit": "mJ", "units": "0.009", "units_name": "J"})
        ),
        line(
            &serde_json::json!({"item": "modelled", "kind": "energy", "quantity": 9, "unit": "millijoules", "price_version": null})
        ),
        line(
            &serde_json::json!({"item": "late_output", "kind": "slo_credit", "quantity": 5, "exact": "-0.01", "displayed": "-0.01"})
        ),
    ]);
    invoice_of(lines, "-0.01")
}

#[test]
fn what_was_counted_stands_on_one_row_of_its_kind() {
    let whole = Booked::of_invoice(much_counted(), false);
    let once = [
        ["30", "30", ""],
        ["0", "0", ""],
        ["500", "500", ""],
        ["1000", "1000", ""],
        ["0", "0", ""],
        ["77", "77", ""],
        ["9", "", ""],
        ["9", "", "9"],
        ["", "", ""],
    ];
    assert_eq!(counted(&whole), expected(&once));
    // A part of a running period is counted by the whole.
    let part = Booked::of_invoice(much_counted(), true);
    let nothing = once.map(|[consumed, ..]| [if consumed.is_empty() { "" } else { "0" }, "", ""]);
    assert_eq!(counted(&part), expected(&nothing));
    // What became void was consumed all the same, as its row on the invoice says.
    let void = Booked::of_void(much_counted(), Timestamp::from_unix_micros(1)).expect("void");
    assert_eq!(counted(&void), expected(&[["", "", ""]; 9]));
    let mut corrected = much_counted();
    for line in &mut corrected.lines {
        line.kind = LineKind::Correction;
    }
    assert_eq!(counted(&Booked::of_invoice(corrected, false)), expected(&[["", "", ""]; 9]));
}

#[test]
fn base_fees_are_bought_for_their_own_time() {
    let fee = |kind: &str, unit: &str, amount: &str| {
        line(
            &serde_json::json!({"item": "base_fee", "kind": kind, "quantity": 30, "unit": unit, "exact": amount, "displayed": amount}),
        )
    };
    // The last is a charge of the plan that has the same name.
    let own = line(&serde_json::json!({"item": "base_fee", "units": "1530", "units_name": "tokens"}));
    let lines = serde_json::json!([
        fee("charge", "days", "30.00"),
        fee("charge", "seconds", "3.00"),
        fee("charge", "periods", "4.00"),
        fee("discount", "days", "-7.00"),
        own
    ]);
    let mut booked = Booked::of_invoice(invoice_of(lines, "30.00"), false);
    booked.lines[1].position = 2;
    booked.fees.insert(2, (Timestamp::from_unix_micros(5_000_000), Timestamp::from_unix_micros(9_000_000)));
    let rows = named(&booked);
    let shown: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["ChargeCategory"].as_str(),
                row["ChargeFrequency"].as_str(),
                row.get("ConsumedQuantity").map(String::as_str),
            )
        })
        .collect();
    let bought = ("Purchase", "Recurring", None);
    assert_eq!(
        shown,
        [bought, bought, bought, ("Credit", "One-Time", None), ("Usage", "Usage-Based", Some("1530"))]
    );
    assert_eq!(
        (
            rows[0]["PricingQuantity"].as_str(),
            rows[0]["PricingUnit"].as_str(),
            rows[0]["ListUnitPrice"].as_str()
        ),
        ("1", "Charge", "30")
    );
    let periods: Vec<_> = rows
        .iter()
        .take(2)
        .map(|row| (row["ChargePeriodStart"].as_str(), row["ChargePeriodEnd"].as_str()))
        .collect();
    assert_eq!(
        periods,
        [("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"), ("1970-01-01T00:00:05Z", "1970-01-01T00:00:09Z")]
    );
    assert_eq!(rows[1]["BillingPeriodStart"], "2026-11-01T00:00:00Z");
}

#[test]
fn what_bills_a_credit_again_is_no_credit() {
    let correction = |kind: &str, amount: &str| {
        line(
            &serde_json::json!({"kind": "correction", "unit": "", "exact": amount, "displayed": amount, "correction": {
            "start": "a", "end": "b", "start_unix_us": 1_000_000, "end_unix_us": 2_000_000, "invoice": "TG-000000", "kind": kind,
            "now": amount, "invoiced": "0.00", "records": 7}}),
        )
    };
    let credit = line(&serde_json::json!({"kind": "slo_credit", "exact": "-1.00", "displayed": "-1.00"}));
    let lines = serde_json::json!([
        correction("invoiced", "1.20"),
        correction("invoiced", "-1.20"),
        correction("slo_credit", "0.50"),
        credit
    ]);
    let invoice = invoice_of(lines, "-0.50");
    let shown = |booked: &Booked| {
        let rows = named(booked);
        rows.iter().map(|row| (row["ChargeCategory"].clone(), row["BilledCost"].clone())).collect::<Vec<_>>()
    };
    let pairs = |rows: &[(&str, &str)]| {
        rows.iter().map(|(left, right)| ((*left).to_owned(), (*right).to_owned())).collect::<Vec<_>>()
    };
    let issued = Booked::of_invoice(invoice.clone(), false);
    assert_eq!(
        shown(&issued),
        pairs(&[("Purchase", "1.2"), ("Credit", "-1.2"), ("Purchase", "0.5"), ("Credit", "-1")])
    );
    let void = Booked::of_void(invoice, Timestamp::from_unix_micros(1)).expect("void");
    assert_eq!(
        shown(&void),
        pairs(&[("Credit", "-1.2"), ("Purchase", "1.2"), ("Credit", "-0.5"), ("Usage", "1")])
    );
    // Each is for the time that it corrects.
    assert_eq!(named(&issued)[0]["ChargePeriodStart"], "1970-01-01T00:00:01Z");
    assert_eq!(
        (named(&issued)[3]["ChargePeriodStart"].as_str(), named(&void)[3]["BillingPeriodStart"].as_str()),
        ("2026-11-01T00:00:00Z", "1970-01-01T00:00:00Z")
    );
}
