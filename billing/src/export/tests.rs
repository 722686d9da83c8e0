//! Formats: what a spreadsheet would run is made harmless, decimals keep every digit, and FOCUS adds up.
//! Never a ledger: exports over real usage are tested on both databases.
//! Run by `cargo test`.

use ::parquet::{
    basic::LogicalType,
    file::reader::{FileReader as _, SerializedFileReader},
    record::RowAccessor as _,
};
use bigdecimal::BigDecimal;

use super::{table::plain, *};
use crate::invoice::{Attainment, Line, LineKind};

static COLUMNS: [Column; 5] = [
    Column::new("name", Kind::Text),
    Column::new("count", Kind::Count),
    Column::new("amount", Kind::Decimal),
    Column::new("is_good", Kind::Flag),
    Column::new("at", Kind::Instant),
];

fn row(name: &str, amount: &str) -> Vec<Cell> {
    let at = Cell::Instant(Timestamp::from_unix_micros(1));
    vec![Cell::Text(name.to_owned()), Cell::Count(-7), Cell::Decimal(number(amount)), Cell::Flag(true), at]
}

fn number(text: &str) -> BigDecimal {
    text.parse().expect("a decimal")
}

fn written(format: Format, rows: Vec<Vec<Cell>>) -> Result<Vec<u8>, ExportError> {
    let mut encoder = Encoder::new(format, &COLUMNS)?;
    for row in rows {
        encoder.row(row)?;
    }
    encoder.finish()?;
    Ok(encoder.take())
}

fn text(format: Format, rows: Vec<Vec<Cell>>) -> String {
    String::from_utf8(written(format, rows).expect("written")).expect("text")
}

#[test]
fn csv_is_quoted_and_runs_nothing() {
    let rows = [
        ("plain", "plain"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("a=b", "a=b"),
        ("a,b", "\"a,b\""),
        ("say \"hi\"", "\"say \"\"hi\"\"\""),
        ("=\"x\"", "\"'=\"\"x\"\"\""),
        ("two\nlines", "\"two\nlines\""),
    ];
    for (given, expected) in rows {
        let csv = text(Format::Csv, vec![row(given, "-0.50")]);
        let expected =
            format!("name,count,amount,is_good,at\n{expected},-7,-0.5,true,1970-01-01T00:00:00.000001Z\n");
        assert_eq!(csv, expected, "{given:?}");
    }
    let empty =
        text(Format::Csv, vec![vec![Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty]]);
    assert_eq!(empty, "name,count,amount,is_good,at\n,,,,\n");
    assert_eq!(text(Format::Csv, vec![]), "name,count,amount,is_good,at\n");
}

#[test]
fn json_keeps_digits_and_the_order_of_columns() {
    let json = text(Format::JsonLines, vec![row("a\"b", "123456789012345678901234567890.000000001")]);
    let expected = "{\"name\":\"a\\\"b\",\"count\":-7,\"amount\":\"123456789012345678901234567890.000000001\",\
                    \"is_good\":true,\"at\":\"1970-01-01T00:00:00.000001Z\"}\n";
    assert_eq!(json, expected);
    assert_eq!(text(Format::JsonLines, vec![]), "");
}

#[test]
fn parquet_reads_back_in_groups() {
    let count = parquet::GROUP_ROWS * 2 + 5;
    let amounts = ["0.000000000000000001", "-12345678901234567890.5", "0", "7"];
    let rows = (0..count).map(|index| match index % 5 {
        4 => vec![Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty],
        kind => row(&format!("row {index}"), amounts[kind]),
    });
    let bytes = written(Format::Parquet, rows.collect()).expect("written");
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).expect("Parquet");
    let groups: Vec<_> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [10_000, 10_000, 5]);
    let schema = reader.metadata().file_metadata().schema_descr();
    assert_eq!(schema.column(2).logical_type_ref(), Some(&LogicalType::decimal(18, 38)));
    for (index, read) in reader.get_row_iter(None).expect("rows").enumerate() {
        let read = read.expect("a row");
        if index % 5 == 4 {
            assert!(read.get_string(0).is_err(), "{index}");
            continue;
        }
        assert_eq!(read.get_string(0).expect("a text"), &format!("row {index}"));
        assert_eq!((read.get_long(1).expect("a count"), read.get_bool(3).expect("a flag")), (-7, true));
        assert_eq!(read.get_timestamp_micros(4).expect("an instant"), 1);
        let digits = bigdecimal::num_bigint::BigInt::from_signed_bytes_be(
            read.get_decimal(2).expect("a decimal").data(),
        );
        assert_eq!(BigDecimal::new(digits, 18), number(amounts[index % 5]), "{index}");
    }
}

/// Amounts as Parquet has them: the decimal's digits at scale 18, and the text beside it.
fn amounts(kind: Kind, given: &[&str]) -> Result<Vec<(BigDecimal, Option<String>)>, ExportError> {
    static EXACT: [Column; 1] = [Column::new("amount", Kind::Exact)];
    static DECIMAL: [Column; 1] = [Column::new("amount", Kind::Decimal)];
    let mut encoder =
        Encoder::new(Format::Parquet, if kind == Kind::Exact { &EXACT } else { &DECIMAL }).expect("an encoder");
    for amount in given {
        encoder.row(vec![Cell::Decimal(number(amount))])?;
    }
    encoder.finish()?;
    let reader = SerializedFileReader::new(bytes::Bytes::from(encoder.take())).expect("Parquet");
    let rows = reader.get_row_iter(None).expect("rows").map(|read| {
        let read = read.expect("a row");
        let digits = read.get_decimal(0).expect("a decimal").data();
        let digits = bigdecimal::num_bigint::BigInt::from_signed_bytes_be(digits);
        let text = (read.len() > 1).then(|| read.get_string(1).expect("a text").clone());
        (BigDecimal::new(digits, 18), text)
    });
    Ok(rows.collect())
}

#[test]
fn parquet_rounds_its_decimals_and_keeps_exact_amounts_as_text() {
    let rows = [
        ("-20.4115226358369247736395896", "-20.411522635836924774"),
        ("0.0000000000000000005", "0.000000000000000001"),
        ("-0.0000000000000000005", "-0.000000000000000001"),
        ("0.0000000000000000004", "0"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
    ];
    let given: Vec<_> = rows.iter().map(|row| row.0).collect();
    let exact = amounts(Kind::Exact, &given).expect("written");
    let rounded = amounts(Kind::Decimal, &given).expect("written");
    for (((given, expected), exact), rounded) in rows.iter().zip(&exact).zip(&rounded) {
        assert_eq!((&exact.0, &rounded.0), (&number(expected), &number(expected)), "{given}");
        assert_eq!((exact.1.as_deref(), rounded.1.as_deref()), (Some(*given), None));
    }
}

#[test]
fn digits_before_the_point_that_do_not_fit_are_refused() {
    for kind in [Kind::Exact, Kind::Decimal] {
        for amount in ["123456789012345678901", "99999999999999999999.9999999999999999995"] {
            let refused = amounts(kind, &[amount]);
            let Err(ExportError::TooManyDigits { column: "amount", decimal }) = refused else {
                panic!("{amount}: {refused:?}")
            };
            assert_eq!(number(&decimal), number(amount));
        }
    }
}

#[test]
fn rows_wait_for_at_most_one_group() {
    let mut encoder = Encoder::new(Format::Parquet, &COLUMNS).expect("an encoder");
    let (mut held, mut largest) = (0, 0);
    for index in 0..50_000 {
        encoder.row(row(&format!("row {index}"), "1.5")).expect("taken");
        held = held.max(encoder.rows_held());
        largest = largest.max(encoder.take().len());
    }
    assert_eq!(held, parquet::GROUP_ROWS - 1);
    // One group of such rows; what was taken is no longer held.
    assert!(largest < 400_000, "{largest}");
    for format in [Format::Csv, Format::JsonLines] {
        let mut encoder = Encoder::new(format, &COLUMNS).expect("an encoder");
        encoder.take();
        for index in 0..1_000 {
            encoder.row(row(&format!("row {index}"), "1.5")).expect("taken");
            assert!(encoder.take().len() < 200 && encoder.rows_held() == 0);
        }
    }
}

/// A line of each kind, and their total.
pub(super) fn invoice() -> Invoice {
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

/// Cells of a row by their columns.
fn cells(version: FocusVersion, row: usize) -> std::collections::BTreeMap<&'static str, Option<String>> {
    let rows = focus::rows(&invoice(), version, "Tallygate").expect("rows");
    let names = focus::columns(version).iter().map(|column| column.name);
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
    assert_eq!((older.len(), newer.len()), (53, 67));
    assert!(older.iter().all(|(name, cell)| newer.get(name) == Some(cell)));
    assert_eq!(newer["InvoiceId"].as_deref(), Some("TG-000001"));
    assert_eq!(newer["PricingCurrency"].as_deref(), Some("USD"));
    assert!(!older.contains_key("InvoiceId"));
}

#[test]
fn billed_costs_are_the_total_or_nothing_is_exported() {
    let mut invoice = invoice();
    let rows = focus::rows(&invoice, FocusVersion::V1_2, "x").expect("rows");
    let place = focus::columns(FocusVersion::V1_2).iter().position(|column| column.name == "BilledCost");
    let billed = rows.iter().map(|row| number(&row[place.expect("a column")].to_plain().expect("an amount")));
    assert_eq!(plain(&billed.sum::<BigDecimal>()), "3");
    invoice.total = "3.01".to_owned();
    let refused = focus::rows(&invoice, FocusVersion::V1_2, "x");
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
    let rows = focus::rows(&with("exclusive", "3.57"), FocusVersion::V1_0, "x").expect("rows");
    let names: Vec<_> = focus::columns(FocusVersion::V1_0).iter().map(|column| column.name).collect();
    let last: std::collections::BTreeMap<_, _> =
        names.into_iter().zip(rows[5].iter().map(Cell::to_plain)).collect();
    let of = |name: &str| last[name].as_deref();
    assert_eq!((rows.len(), of("ChargeCategory"), of("BilledCost")), (6, Some("Tax"), Some("0.57")));
    assert_eq!(
        (of("ListCost"), of("PricingQuantity"), of("SkuId"), of("x_LineKind")),
        (Some("0.57"), None, None, Some("tax"))
    );
    assert_eq!(focus::rows(&with("inclusive", "3.00"), FocusVersion::V1_0, "x").expect("rows").len(), 5);
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
        let rows = focus::rows(&invoice, FocusVersion::V1_2, "x").expect("rows");
        let names = focus::columns(FocusVersion::V1_2).iter().map(|column| column.name);
        let first: std::collections::BTreeMap<_, _> = names.zip(rows[0].iter().map(Cell::to_plain)).collect();
        assert_eq!(first["ChargeClass"].as_deref(), Some("Correction"), "{kind}");
        assert_eq!(first["ChargeCategory"].as_deref(), Some(category), "{kind}");
        assert_eq!((&first["PricingQuantity"], &first["ListUnitPrice"]), (&None, &None), "{kind}");
    }
}
