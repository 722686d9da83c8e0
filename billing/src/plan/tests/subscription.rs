//! What `[base_fee]`, `[commitment]`, `[trial]` and credits for late requests are refused for, and how they differ.
//! Never a database.
//! Run by `cargo test`.

use super::*;

const TERMS: &str = r#"[base_fee]
amount = "29.90"
timing = "advance"
proration = "second"
on_cancel = "keep"
description = "Platform fee"
[commitment]
amount = "500"
proration = "none"
[trial]
days = 14
usage = "free"
"#;

fn plan(terms: &str) -> Plan {
    Plan::from_text("plan.toml", &format!("{GOOD}{terms}")).expect("a good plan")
}

#[test]
fn all_terms_read() {
    let plan = plan(TERMS);
    let fee = plan.base_fee().expect("a fee");
    assert_eq!((fee.amount.to_plain_string().as_str(), fee.timing), ("29.9", FeeTiming::Advance));
    assert_eq!((fee.proration, fee.on_cancel), (Proration::Second, OnCancel::Keep));
    assert_eq!(fee.description.as_deref(), Some("Platform fee"));
    let commitment = plan.commitment().expect("a commitment");
    assert_eq!((&commitment.amount, commitment.proration), (&BigDecimal::from(500), Proration::None));
    assert_eq!(plan.trial(), Some(Trial { days: 14, usage: TrialUsage::Free }));
}

#[test]
fn what_is_left_out_is_by_day_and_given_back() {
    let plan = plan("[base_fee]\namount = \"1\"\ntiming = \"advance\"\n[commitment]\namount = \"1\"\n");
    let fee = plan.base_fee().expect("a fee");
    assert_eq!((fee.proration, fee.on_cancel, &fee.description), (Proration::Day, OnCancel::Refund, &None));
    assert_eq!(plan.commitment().map(|commitment| commitment.proration), Some(Proration::Day));
    assert_eq!(plan.trial(), None);
    let bare = Plan::from_text("plan.toml", GOOD).expect("a good plan");
    assert_eq!((bare.base_fee(), bare.commitment(), bare.trial()), (None, None, None));
    assert_eq!(bare.late_requests_percent().value(), &BigDecimal::from(0));
}

/// A text of the terms, what stands there instead, and the error.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "\"29.90\"",
        "29.90",
        "`amount` must be a decimal in quotes, such as \"0.15\", not a float: prices are exact",
    ),
    ("\"29.90\"", "\"0\"", "`amount` must be above zero"),
    ("\"29.90\"", "\"-1\"", "`amount` cannot be negative"),
    ("\"29.90\"", "\"0.0000000001\"", "`amount` has 10 decimals; at most 9 are allowed"),
    ("amount = \"29.90\"\n", "", "[base_fee] needs the field `amount`"),
    ("timing = \"advance\"\n", "", "[base_fee] needs the field `timing`"),
    ("\"advance\"", "\"before\"", "`timing` must be one of advance, arrears, not \"before\""),
    ("\"second\"", "\"hour\"", "`proration` must be one of day, second, none, not \"hour\""),
    ("\"keep\"", "\"burn\"", "`on_cancel` must be one of refund, keep, not \"burn\""),
    (
        "\"advance\"",
        "\"arrears\"",
        "`on_cancel` is for fees with timing = \"advance\": in arrears nothing is billed that could be given back",
    ),
    ("\"Platform fee\"", "\"\"", "`description` must be 1 to 200 characters without line breaks"),
    (
        "on_cancel",
        "on_end",
        "unknown field `on_end` in [base_fee]; it may have: amount, timing, proration, on_cancel, description",
    ),
    ("\"500\"", "\"0.000\"", "`amount` must be above zero"),
    ("\"500\"", "\"1000000001\"", "`amount` must be at most 1000000000"),
    (
        "proration = \"none\"",
        "per = \"day\"",
        "unknown field `per` in [commitment]; it may have: amount, proration",
    ),
    ("days = 14", "days = 0", "`days` must be at least 1"),
    ("days = 14", "days = 367", "`days` must be at most 366"),
    ("days = 14", "days = \"14\"", "`days` must be a whole number, not a text"),
    ("days = 14\n", "", "[trial] needs the field `days`"),
    ("\"free\"", "\"cheap\"", "`usage` must be one of free, charged, not \"cheap\""),
    ("usage = \"free\"\n", "", "[trial] needs the field `usage`"),
];

#[test]
fn errors_name_place_and_reason() {
    for &(found, replacement, problem) in REFUSED {
        assert!(TERMS.contains(found), "{found}");
        let text = format!("{GOOD}{}", TERMS.replacen(found, replacement, 1));
        let error = Plan::from_text("plan.toml", &text).expect_err(replacement);
        assert_eq!(error.problem.to_string(), problem, "for {replacement}");
        assert!(error.line > 11, "{error}");
    }
    for (name, wanted) in [("base_fee", "a table"), ("commitment", "a table"), ("trial", "a table")] {
        let text = format!("{name} = 1\n{GOOD}");
        let expected =
            format!("plan.toml:1:{}: `{name}` must be {wanted}, not a whole number", name.len() + 4);
        check(&text, &expected);
    }
    let credit = with("late_tokens_percent = \"50\"", "late_requests_percent = \"101\"");
    check(&credit, "plan.toml:7:25: `late_requests_percent` must be at most 100");
}

#[test]
fn terms_are_compared_one_by_one() {
    let changes = |before: &Plan, after: &Plan| -> Vec<String> {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let changes = before.changes_to(after);
        let row = |change: &TermChange| {
            format!("{}: {} -> {}", change.term, text(&change.before), text(&change.after))
        };
        changes.iter().map(row).collect()
    };
    let after = TERMS.replacen("\"29.90\"", "\"39.90\"", 1).replacen("\"second\"", "\"day\"", 1).replacen(
        "days = 14",
        "days = 30",
        1,
    );
    assert_eq!(
        changes(&plan(TERMS), &plan(&after)),
        ["base_fee.amount: 29.9 -> 39.9", "base_fee.proration: second -> day", "trial.days: 14 -> 30",]
    );
    let bare = Plan::from_text("plan.toml", GOOD).expect("a good plan");
    assert_eq!(
        changes(&plan(TERMS), &bare),
        [
            "base_fee.amount: 29.9 -> -",
            "base_fee.description: Platform fee -> -",
            "base_fee.on_cancel: keep -> -",
            "base_fee.proration: second -> -",
            "base_fee.timing: advance -> -",
            "commitment.amount: 500 -> -",
            "commitment.proration: none -> -",
            "trial.days: 14 -> -",
            "trial.usage: free -> -",
        ]
    );
    let late =
        with("late_tokens_percent = \"50\"", "late_tokens_percent = \"50\"\nlate_requests_percent = \"20\"");
    let late = Plan::from_text("plan.toml", &late).expect("a good plan");
    assert_eq!(changes(&bare, &late), ["slo_credit.late_requests_percent: 0 -> 20"]);
    assert!(!bare.has_same_terms(&late) && !bare.has_same_terms(&plan(TERMS)));
}
