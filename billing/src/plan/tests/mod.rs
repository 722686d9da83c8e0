//! What plans are refused for, and where the error points.
//! Never a database.
//! Run by `cargo test`.

mod charges;
mod doubts;
mod forms;
mod meters;
mod subscription;

use super::*;

const GOOD: &str = r#"name = "demo"
version = 1
currency = "USD"
[slo]
class = "interactive"
[slo_credit]
late_tokens_percent = "50"
[[price]]
model = "demo"
input_per_mtok = "0.15"
output_per_mtok = "0.60"
"#;

fn check(text: &str, expected: &str) {
    let error = Plan::from_text("plan.toml", text).expect_err(text);
    assert_eq!(error.to_string(), expected, "for:\n{text}");
    assert_eq!(error.fault(), domain::Fault::Invalid);
}

/// The good plan with one line replaced.
fn with(line: &str, replacement: &str) -> String {
    assert!(GOOD.contains(line), "{line}");
    GOOD.replacen(line, replacement, 1)
}

#[test]
fn the_demo_plan_reads() {
    let plan = Plan::demo().expect("the embedded plan");
    assert_eq!((plan.id().as_str(), plan.currency()), ("demo@1", Currency::USD));
    let price = plan.price_of(&"demo".parse().expect("a name")).expect("a price");
    let texts = [&price.input, &price.cached_input, &price.output]
        .map(|price| price.per_million_tokens().to_plain_string());
    assert_eq!(texts, ["0.15", "0.075", "0.6"]);
    assert_eq!(plan.price_of(&"other".parse().expect("a name")), None);
    assert_eq!(plan.slo().ttft_per_1k_prompt, domain::Micros::from_millis(100));
}

#[test]
fn what_is_left_out_has_a_stated_default() {
    let plan = Plan::from_text("plan.toml", GOOD).expect("a good plan");
    let price = &plan.prices()[0];
    assert_eq!(price.cached_input, price.input);
    assert_eq!(plan.slo(), Slo::of_class(domain::SloClass::Interactive));
    assert_eq!(plan.billed_reasons().collect::<Vec<_>>(), [EndReason::Completed, EndReason::ClientGone]);
    let without_credit = with("[slo_credit]\nlate_tokens_percent = \"50\"\n", "");
    let plan = Plan::from_text("plan.toml", &without_credit).expect("a good plan");
    assert_eq!(plan.late_tokens_percent().value(), &BigDecimal::from(0));
}

#[test]
fn a_star_prices_what_has_no_price_of_its_own() {
    let more = format!("{GOOD}[[price]]\nmodel = \"*\"\ninput_per_mtok = \"9\"\noutput_per_mtok = \"9\"\n");
    let plan = Plan::from_text("plan.toml", &more).expect("a good plan");
    let model_of = |name: &str| plan.price_of(&name.parse().expect("a name")).map(Price::model);
    assert_eq!((model_of("demo"), model_of("other")), (Some("demo"), Some("*")));
}

#[test]
fn terms_are_what_counts_not_the_text() {
    let plan = Plan::from_text("a", GOOD).expect("a good plan");
    let same = with("\"0.15\"", "\"0.150\"   # a comment");
    assert!(plan.has_same_terms(&Plan::from_text("b", &same).expect("a good plan")));
    let other = with("\"0.15\"", "\"0.151\"");
    assert!(!plan.has_same_terms(&Plan::from_text("c", &other).expect("a good plan")));
}

#[test]
fn a_day_begins_at_midnight_of_the_zone() {
    let dated = with("currency = \"USD\"", "currency = \"USD\"\neffective_from = \"2026-12-01\"");
    let plan = Plan::from_text("plan.toml", &dated).expect("a good plan");
    let rows = [("UTC", "2026-12-01T00:00:00Z"), ("Asia/Kolkata", "2026-11-30T18:30:00Z")];
    for (zone, start) in rows {
        let zone = TimeZone::get(zone).expect("a zone");
        assert_eq!(plan.effective_at(&zone).map(|start| start.to_string()), Some(start.to_owned()));
    }
}

/// A line of the good plan, what stands there instead, and the error: its place and its reason.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    (
        "\"0.15\"",
        "0.15",
        "10:18",
        "`input_per_mtok` must be a decimal in quotes, such as \"0.15\", not a float: prices are exact",
    ),
    (
        "\"0.15\"",
        "1",
        "10:18",
        "`input_per_mtok` must be a decimal in quotes, such as \"0.15\", not a whole number: prices are exact",
    ),
    ("\"0.15\"", "\"-0.15\"", "10:18", "`input_per_mtok` cannot be negative"),
    (
        "\"0.15\"",
        "\"1e3\"",
        "10:18",
        "`input_per_mtok` must be a plain decimal such as \"0.15\", not \"1e3\"",
    ),
    (
        "\"0.15\"",
        "\"1,5\"",
        "10:18",
        "`input_per_mtok` must be a plain decimal such as \"0.15\", not \"1,5\"",
    ),
    ("\"0.15\"", "\".5\"", "10:18", "`input_per_mtok` must be a plain decimal such as \"0.15\", not \".5\""),
    ("\"0.15\"", "\"5.\"", "10:18", "`input_per_mtok` must be a plain decimal such as \"0.15\", not \"5.\""),
    ("\"0.15\"", "\"\"", "10:18", "`input_per_mtok` must be a plain decimal such as \"0.15\", not \"\""),
    ("\"0.15\"", "\"+1\"", "10:18", "`input_per_mtok` must be a plain decimal such as \"0.15\", not \"+1\""),
    (
        "\"0.15\"",
        "\"NaN\"",
        "10:18",
        "`input_per_mtok` must be a plain decimal such as \"0.15\", not \"NaN\"",
    ),
    ("\"0.15\"", "\"٣\"", "10:18", "`input_per_mtok` must be a plain decimal such as \"0.15\", not \"٣\""),
    ("\"0.15\"", "\"0.1234567891\"", "10:18", "`input_per_mtok` has 10 decimals; at most 9 are allowed"),
    ("\"0.15\"", "\"1000000001\"", "10:18", "`input_per_mtok` must be at most 1000000000"),
    ("\"0.15\"", "true", "10:18", "`input_per_mtok` must be a decimal in quotes, not true or false"),
    ("\"50\"", "\"100.000000001\"", "7:23", "`late_tokens_percent` must be at most 100"),
    ("\"50\"", "\"-1\"", "7:23", "`late_tokens_percent` cannot be negative"),
    (
        "late_tokens_percent",
        "late_percent",
        "7:1",
        "unknown field `late_percent` in [slo_credit]; it may have: late_tokens_percent, late_requests_percent, attainment",
    ),
    (
        "output_per_mtok",
        "output",
        "11:1",
        "unknown field `output` in [[price]]; it may have: model, input_per_mtok, cached_input_per_mtok, \
         output_per_mtok",
    ),
    (
        "version = 1",
        "vresion = 1",
        "2:1",
        "unknown field `vresion` in the plan; it may have: name, version, currency, price_unit, effective_from, billed_reasons, \
         slo, slo_credit, price, meter, charge, discount, base_fee, commitment, trial",
    ),
    ("output_per_mtok = \"0.60\"\n", "", "8:1", "[[price]] needs the field `output_per_mtok`"),
    ("currency = \"USD\"\n", "", "1:1", "the plan needs the field `currency`"),
    ("[slo]\nclass = \"interactive\"\n", "", "1:1", "the plan needs the field `slo`"),
    ("version = 1", "version = 0", "2:11", "`version` must be at least 1"),
    ("version = 1", "version = -1", "2:11", "`version` cannot be negative"),
    ("version = 1", "version = \"1\"", "2:11", "`version` must be a whole number, not a text"),
    ("version = 1", "version = 99999999999", "2:11", "`version` must be at most 2147483647"),
    (
        "\"USD\"",
        "\"usd\"",
        "3:12",
        "`currency` must be an ISO 4217 code of three capital letters, not \"usd\"",
    ),
    ("\"USD\"", "\"HRK\"", "3:12", "`currency` must be an ISO 4217 code that is in use, not \"HRK\""),
    ("\"interactive\"", "\"fast\"", "5:9", "`class` must be interactive, standard or batch, not \"fast\""),
    ("class = \"interactive\"", "class = \"batch\"\nttft_ms = 0", "6:11", "`ttft_ms` must be at least 1"),
    (
        "class = \"interactive\"",
        "class = \"batch\"\ntpot_ms = 0.5",
        "6:11",
        "`tpot_ms` must be a whole number, not a float",
    ),
    (
        "class = \"interactive\"",
        "class = \"batch\"\ntpot_ms = 86400001",
        "6:11",
        "`tpot_ms` must be at most 86400000",
    ),
    (
        "name = \"demo\"",
        "name = \"De mo\"",
        "1:8",
        "`name` must be 1 to 63 lower-case letters, digits, - or _, not \"De mo\"",
    ),
    (
        "model = \"demo\"",
        "model = \"a b\"",
        "9:9",
        "`model` must be \"*\" or 1 to 128 letters, digits and . _ : / -, not \"a b\"",
    ),
    (
        "currency = \"USD\"",
        "currency = \"USD\"\nbilled_reasons = [\"completed\", \"gone\"]",
        "4:32",
        "\"gone\" is no end reason; they are: completed, client_gone, deadline",
    ),
    (
        "currency = \"USD\"",
        "currency = \"USD\"\nbilled_reasons = [\"crashed\"]",
        "4:19",
        "requests that end with \"crashed\" are never billed",
    ),
    (
        "currency = \"USD\"",
        "currency = \"USD\"\nbilled_reasons = [\"completed\", \"completed\"]",
        "4:32",
        "the end reason \"completed\" stands here twice",
    ),
    (
        "currency = \"USD\"",
        "currency = \"USD\"\neffective_from = \"2026-02-30\"",
        "4:18",
        "`effective_from` must be a date such as \"2026-01-31\", not \"2026-02-30\"",
    ),
    (
        "currency = \"USD\"",
        "currency = \"USD\"\neffective_from = 2026-01-01",
        "4:18",
        "`effective_from` must be a text in quotes, not a date without quotes",
    ),
];

#[test]
fn errors_name_line_column_and_reason() {
    for (line, replacement, place, problem) in REFUSED {
        check(&with(line, replacement), &format!("plan.toml:{place}: {problem}"));
    }
}

#[test]
fn errors_in_the_whole_are_placed_too() {
    let again =
        format!("{GOOD}[[price]]\nmodel = \"demo\"\ninput_per_mtok = \"1\"\noutput_per_mtok = \"1\"\n");
    check(&again, "plan.toml:13:9: the price of model \"demo\" stands here twice");
    let unpriced = GOOD.split("[[price]]").next().unwrap_or_default();
    check(unpriced, "plan.toml:1:1: a plan needs at least one [[price]] or [[charge]]");
    check(
        &format!("price = []\n{unpriced}"),
        "plan.toml:1:1: a plan needs at least one [[price]] or [[charge]]",
    );
    check(
        &format!("price = 3\n{unpriced}"),
        "plan.toml:1:9: `price` must be a list of tables, not a whole number",
    );
    check("", "plan.toml:1:1: the plan needs the field `name`");
    check(&"#".repeat(PLAN_BYTES_MAX + 1), "plan.toml:1:1: a plan file has at most 262144 bytes");
    let broken = Plan::from_text("plan.toml", &with("version = 1", "version = ")).expect_err("no TOML");
    assert!(matches!(broken.problem, PlanProblem::Syntax(_)) && broken.line == 2, "{broken}");
    let twice = Plan::from_text("plan.toml", &with("version = 1", "version = 1\nversion = 2"));
    let twice = twice.expect_err("a field twice");
    assert!(matches!(twice.problem, PlanProblem::Syntax(_)) && twice.line == 3, "{twice}");
}

#[test]
fn columns_count_characters() {
    let text = GOOD.replacen("version = 1", "effective_from = \"äöü\"", 1);
    let text = text.replacen("effective_from = \"äöü\"", "billed_reasons = [\"äöü\", \"ß\"]\nversion = 1", 1);
    let error = Plan::from_text("plan.toml", &text).expect_err("unknown reasons");
    assert_eq!((error.line, error.column), (2, 19));
    let text = GOOD.replacen("model = \"demo\"", "\"mödel\" = 1\nmodel = \"demo\"", 1);
    let error = Plan::from_text("plan.toml", &text).expect_err("an unknown field");
    assert_eq!((error.line, error.column), (9, 1));
}
