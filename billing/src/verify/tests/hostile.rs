//! What somebody writes who wants `verify` to say yes, or to say nothing: fields and amounts that are none.
//! Never a difference of values: those are tested beside this.
//! Run by `cargo test`.

use serde_json::{Value, json};

use super::*;

#[test]
fn a_field_that_no_record_has_is_refused_at_every_depth() {
    let lines: Vec<String> = export().lines().map(|line| format!("{line}\n")).collect();
    let id = record(1).request_id;
    let rows = [
        ("{", "{\"note\":1,", "a record has no field \"note\"".to_owned()),
        (
            "\"record\":{",
            "\"record\":{\"Charge_nanos\":0,",
            "a record has no field \"Charge_nanos\"".to_owned(),
        ),
        ("\"slo\":{", "\"slo\":{\"promise\":\"50ms\",", "a record has no field \"promise\"".to_owned()),
        (
            "\"slo\":{",
            "\"slo\":{\"|tft_target_us\":null,",
            "a record has no field \"|tft_target_us\"".to_owned(),
        ),
        (
            "\"project_path\":null",
            "\"project_path\":\"evil\"",
            format!("request {id} names the path of a project, and belongs to none"),
        ),
    ];
    for (from, to, expected) in rows {
        assert!(lines[0].contains(from), "{from} in {}", lines[0]);
        let usage = format!("{}{}", lines[0].replacen(from, to, 1), lines[1..].concat());
        assert_eq!(error(&invoice(), &usage, vec![plan()]), format!("usage, line 1: {expected}"));
    }
}

#[test]
fn amounts_with_exponents_are_refused_before_anything_is_computed() {
    let stated = |path: &[&str], text: &str| {
        let mut invoice: Value = serde_json::from_str(&invoice()).expect("json");
        let payment =
            json!({"kind": "paid", "grant_id": "g", "description": "", "exact": "1.00", "displayed": "1.00"});
        (invoice["payments"], invoice["amount_due"]) = (json!([payment]), json!("2.30"));
        let correction = json!({"invoice": "TG-000001", "start": "", "end": "", "start_unix_us": 0,
            "end_unix_us": 1, "kind": "charge", "now": "1", "invoiced": "0", "records": 0});
        let mut line = invoice["lines"][0].clone();
        (line["kind"], line["correction"]) = (json!("correction"), correction);
        invoice["lines"].as_array_mut().expect("lines").push(line);
        let place = path.iter().fold(&mut invoice, |place, step| match step.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[*step],
        });
        assert!(place.is_string(), "{path:?}");
        *place = json!(text);
        invoice.to_string()
    };
    let last =
        (serde_json::from_str::<Value>(&invoice()).expect("json")["lines"].as_array().expect("lines").len())
            .to_string();
    let places: [&[&str]; 12] = [
        &["subtotal_exact"],
        &["subtotal"],
        &["total"],
        &["amount_due"],
        &["lines", "0", "exact"],
        &["lines", "1", "displayed"],
        &["lines", &last, "correction", "now"],
        &["lines", &last, "correction", "invoiced"],
        &["projects", "1", "exact"],
        &["projects", "0", "displayed"],
        &["payments", "0", "exact"],
        &["payments", "0", "displayed"],
    ];
    for path in places {
        for hostile in ["1e9999999", "1e-999999999", "1e999999999", "9e1", "", "+1", &"9".repeat(200)] {
            let told = error(&stated(path, hostile), &export(), vec![plan()]);
            assert!(told.starts_with("the invoice cannot be read: "), "{path:?} {hostile}: {told}");
            assert!(told.contains(path[0]) && told.len() < 200, "{path:?} {hostile}: {told}");
        }
    }
    // One that is plain, and wrong, is compared.
    let told = error(&stated(&["payments", "0", "displayed"], "1.01"), &export(), vec![plan()]);
    assert!(told.starts_with("the invoice cannot be read: the correction on line"), "{told}");
}
