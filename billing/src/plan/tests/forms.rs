//! The forms a plan may have: JSON beside TOML, and amounts in a unit of the plan's own.
//! Never a term that only one form has.
//! Run by `cargo test`.

use super::*;

const AS_JSON: &str = r#"{
  "name": "demo", "version": 1, "currency": "USD",
  "slo": {"class": "interactive"},
  "slo_credit": {"late_tokens_percent": "50"},
  "price": [{"model": "demo", "input_per_mtok": "0.15", "output_per_mtok": "0.60"}]
}"#;

#[test]
fn json_says_the_same_as_toml() {
    let (toml, json) = (Plan::from_text("a", GOOD), Plan::from_text("b", AS_JSON));
    let (toml, json) = (toml.expect("a good plan"), json.expect("a good plan"));
    assert!(toml.has_same_terms(&json) && json.changes_to(&toml).is_empty());
    assert_eq!(json.source(), AS_JSON);
    let tiers = r#"{"name": "t", "version": 1, "currency": "USD", "slo": {"class": "batch"}, "charge": [{"name": "c",
        "scheme": "graduated", "meter": "output_tokens", "models": ["a", "b"], "unit": {"name": "ktok", "counts": 1000},
        "tier": [{"up_to": "10", "price": "2"}, {"price": "1", "flat": "3"}]}]}"#;
    let plan = Plan::from_text("t.json", tiers).expect("a good plan");
    assert_eq!(plan.charges().len(), 1);
}

#[test]
fn errors_in_json_name_line_column_and_reason() {
    let rows = [
        (
            AS_JSON.replace("\"version\": 1", "\"version\": 1.0"),
            "plan.toml:2:30: `version` must be a whole number, not a float",
        ),
        (
            AS_JSON.replace("\"version\": 1", "\"version\": -1"),
            "plan.toml:2:30: `version` cannot be negative",
        ),
        (
            AS_JSON.replace("\"version\": 1", "\"version\": null"),
            "plan.toml:2:30: `version` must be a whole number, not null",
        ),
        (
            AS_JSON.replace("\"0.15\"", "0.15"),
            "plan.toml:5:49: `input_per_mtok` must be a decimal in quotes, such as \"0.15\", not a float: prices are exact",
        ),
        (
            AS_JSON.replace("\"slo\":", "\"slos\":"),
            "plan.toml:3:11: unknown field `slos` in the plan; it may have: name, version, currency, price_unit, \
             effective_from, billed_reasons, slo, slo_credit, price, meter, charge, discount, base_fee, commitment, trial",
        ),
        (
            AS_JSON.replace("\"currency\": \"USD\"", "\"name\": \"x\""),
            "plan.toml:2:41: the field \"name\" stands here twice",
        ),
        (AS_JSON.replace("\"50\"}", "\"50\""), "plan.toml:6:1: not JSON: EOF while parsing an object"),
        (format!("{AS_JSON} x"), "plan.toml:6:3: not JSON: trailing characters"),
        ("{".to_owned(), "plan.toml:1:1: not JSON: EOF while parsing an object"),
    ];
    for (text, expected) in rows {
        check(&text, expected);
    }
}

#[test]
fn deep_json_is_refused_and_not_followed() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [17, 100, 20_000] {
            let text = format!("{{\"name\": {}1{}}}", open.repeat(depth), close.repeat(depth));
            let error = Plan::from_text("plan.json", &text).expect_err("too deep").to_string();
            assert!(error.contains("not JSON"), "{error}");
        }
    }
}

#[test]
fn amounts_in_a_unit_of_the_plan_are_converted_exactly() {
    let credits = with(
        "currency = \"USD\"\n",
        "currency = \"USD\"\nprice_unit = { name = \"credit\", worth = \"0.01\" }\n",
    );
    let text = format!(
        "{credits}[[charge]]\nname = \"seat\"\nscheme = \"flat\"\namount = \"250\"\nminimum = \"100\"\n\
         [[charge]]\nname = \"share\"\nscheme = \"percentage\"\npercent = \"10\"\n\
         [[discount]]\nname = \"less\"\namount = \"50\"\n"
    );
    let plan = Plan::from_text("plan.toml", &text).expect("a good plan");
    let decimal = |text: &str| text.parse::<BigDecimal>().expect("a decimal");
    assert_eq!(plan.prices()[0].input.per_million_tokens(), &decimal("0.0015"));
    assert_eq!(plan.charges()[0].basis, Basis::Flat(decimal("2.5")));
    assert_eq!(plan.charges()[0].minimum, Some(decimal("1")));
    // A percentage is of money already.
    assert!(
        matches!(&plan.charges()[1].basis, Basis::Percentage { percent, .. } if *percent == decimal("10"))
    );
    assert_eq!(plan.discounts()[0].amount, DiscountAmount::Amount(decimal("0.5")));
    let in_dollars = text
        .replace("price_unit = { name = \"credit\", worth = \"0.01\" }\n", "")
        .replace("\"0.15\"", "\"0.0015\"")
        .replace("\"0.60\"", "\"0.006\"")
        .replace("\"250\"", "\"2.5\"")
        .replace("\"100\"", "\"1\"")
        .replace("amount = \"50\"", "amount = \"0.5\"");
    let other = Plan::from_text("plan.toml", &in_dollars).expect("a good plan");
    let terms: Vec<_> = plan.changes_to(&other).into_iter().map(|change| change.term).collect();
    assert_eq!(terms, ["price_unit"]);
}

#[test]
fn a_unit_must_be_worth_something_and_not_be_too_fine() {
    let unit =
        |fields: &str| with("currency = \"USD\"\n", &format!("currency = \"USD\"\nprice_unit = {fields}\n"));
    let rows = [
        ("{ name = \"credit\", worth = \"0\" }", "plan.toml:4:41: `worth` must be above zero"),
        ("{ name = \"credit\" }", "plan.toml:4:14: [price_unit] needs the field `worth`"),
        (
            "{ name = \"credit\", worth = \"0.000000001\" }",
            "plan.toml:11:18: `input_per_mtok` comes to 0.00000000015 in the plan's currency; at most 9 decimals are allowed",
        ),
        (
            "{ name = \"credit\", worth = \"1000000000\", more = 1 }",
            "plan.toml:4:55: unknown field `more` in [price_unit]; it may have: name, worth",
        ),
    ];
    for (fields, expected) in rows {
        check(&unit(fields), expected);
    }
}
