//! Charges and discounts as plans write them, and what they are refused for.
//! Never a quantity or an amount due: rating has its own tables.
//! Run by `cargo test`.

use super::*;

const CHARGES: &str = r#"[[charge]]
name = "thinking"
scheme = "graduated"
meter = "reasoning_tokens"
models = ["demo", "other"]
classes = ["batch"]
unit = { name = "Mtok", counts = 1000000, decimals = 3, rounding = "up" }
free = "0.5"
minimum = "1"
maximum = "100.50"
[[charge.tier]]
up_to = "10"
price = "2"
flat = "1"
[[charge.tier]]
price = "1.5"
[[charge]]
name = "power"
description = "Electricity"
scheme = "unit"
meter = "energy"
unit = "kWh"
price = "0.31"
[[charge]]
name = "calls"
scheme = "package"
meter = "requests"
price = "0.10"
size = "1000"
[[charge]]
name = "seat"
scheme = "flat"
amount = "25"
[[charge]]
name = "support"
scheme = "percentage"
percent = "3"
of = ["tokens", "power"]
[[discount]]
name = "friends"
percent = "10"
charges = ["thinking"]
[[discount]]
name = "welcome"
amount = "5"
"#;

fn plan() -> Plan {
    Plan::from_text("plan.toml", &format!("{GOOD}{CHARGES}")).expect("a good plan")
}

fn decimal(text: &str) -> BigDecimal {
    text.parse().expect("a decimal")
}

#[test]
fn charges_are_read_as_written() {
    let plan = plan();
    let names: Vec<_> = plan.charges().iter().map(|charge| charge.name.as_str()).collect();
    assert_eq!(names, ["thinking", "power", "calls", "seat", "support"]);
    let Basis::Usage(thinking) = &plan.charges()[0].basis else { panic!("metered") };
    assert_eq!((thinking.meter, &thinking.free), (Meter::ReasoningTokens, &decimal("0.5")));
    let rounding = Some((3, QuantityRounding::Up));
    assert_eq!(thinking.unit, QuantityUnit { name: "Mtok".to_owned(), counts: 1_000_000, rounding });
    let model = |name: &str| name.parse::<ModelName>().expect("a name");
    assert!(thinking.filter.takes(&model("demo"), domain::SloClass::Batch));
    assert!(!thinking.filter.takes(&model("demo"), domain::SloClass::Standard));
    assert!(!thinking.filter.takes(&model("third"), domain::SloClass::Batch));
    let Scheme::Graduated(tiers) = &thinking.scheme else { panic!("by tiers") };
    let told: Vec<_> =
        tiers.iter().map(|tier| (tier.up_to.clone(), tier.price.clone(), tier.flat.clone())).collect();
    assert_eq!(
        told,
        [(Some(decimal("10")), decimal("2"), decimal("1")), (None, decimal("1.5"), decimal("0"))]
    );
    assert_eq!(plan.charges()[0].maximum, Some(decimal("100.5")));
    let Basis::Usage(power) = &plan.charges()[1].basis else { panic!("metered") };
    assert_eq!((power.unit.name.as_str(), power.unit.counts), ("kWh", 3_600_000_000));
    assert_eq!(plan.charges()[3].basis, Basis::Flat(decimal("25")));
    assert!(matches!(&plan.charges()[4].basis, Basis::Percentage { of, .. } if of.len() == 2));
    assert_eq!(plan.discounts()[1].amount, DiscountAmount::Amount(decimal("5")));
}

#[test]
fn a_model_is_sold_by_a_price_or_by_a_charge_for_its_tokens() {
    let sells = |plan: &Plan, name: &str| plan.sells(&name.parse().expect("a name"));
    let plan = plan();
    // `calls` has no filter: every request costs, so every model is sold.
    assert!(sells(&plan, "demo") && sells(&plan, "third"));
    let only = |filter: &str, meter: &str| {
        let head = GOOD.split("[[price]]").next().unwrap_or_default();
        let charge = format!(
            "{head}[[charge]]\nname = \"a\"\nscheme = \"unit\"\nmeter = \"{meter}\"\n{filter}price = \"1\"\n"
        );
        Plan::from_text("plan.toml", &charge).expect("a good plan")
    };
    assert!(sells(&only("models = [\"x\"]\n", "output_tokens"), "x"));
    assert!(!sells(&only("models = [\"x\"]\n", "output_tokens"), "y"));
    assert!(!sells(&only("", "energy"), "x"), "energy alone sells nothing");
}

/// What stands in the charges above, what stands there instead, and the error behind its place.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "scheme = \"package\"",
        "scheme = \"packages\"",
        "`scheme` must be one of unit, package, graduated, volume, flat, percentage, not \"packages\"",
    ),
    ("scheme = \"package\"\n", "", "[[charge]] needs the field `scheme`"),
    (
        "meter = \"requests\"",
        "meter = \"calls\"",
        "`meter` must be one of input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, embeddings_tokens, requests, energy, not \
         \"calls\"",
    ),
    ("size = \"1000\"", "size = \"0\"", "`size` must be above zero"),
    (
        "size = \"1000\"",
        "size = 1000",
        "`size` must be a decimal in quotes, such as \"0.15\", not a whole number: prices are exact",
    ),
    (
        "size = \"1000\"",
        "per = 1000",
        "unknown field `per` in [[charge]]; it may have: name, description, scheme, minimum, maximum, meter, models, \
         classes, unit, free, price, size",
    ),
    ("amount = \"25\"", "amount = \"-25\"", "`amount` cannot be negative"),
    ("name = \"seat\"", "name = \"calls\"", "the name \"calls\" stands here twice"),
    (
        "name = \"seat\"",
        "name = \"tokens\"",
        "`name` must be 1 to 63 lower-case letters, digits, - or _, and not \"tokens\", not \"tokens\"",
    ),
    ("name = \"friends\"", "name = \"seat\"", "the name \"seat\" stands here twice"),
    ("unit = \"kWh\"", "unit = \"BTU\"", "`unit` must be one of J, Wh, kWh, not \"BTU\""),
    (
        "meter = \"energy\"",
        "meter = \"requests\"",
        "\"kWh\" is a unit of energy; the meter \"requests\" takes a table such as { name = \"Mtok\", counts = 1000000 }",
    ),
    (
        "counts = 1000000, decimals = 3, rounding = \"up\"",
        "counts = 3",
        "a unit of 3 counts needs `decimals` and `rounding`: its shares have no exact decimal",
    ),
    ("counts = 1000000, decimals = 3, rounding = \"up\"", "counts = 0", "`counts` must be at least 1"),
    ("decimals = 3, rounding = \"up\"", "decimals = 3", "`unit` needs the field `rounding`"),
    ("decimals = 3,", "decimals = 19,", "`decimals` must be at most 18"),
    (
        "price = \"0.31\"",
        "price = \"0.31\"\nper = 3600",
        "`per` must have no prime factors but 2 and 5, such as 8, 1000 or 1000000: other shares have no exact decimal",
    ),
    ("maximum = \"100.50\"", "maximum = \"0.99\"", "`maximum` is below `minimum`"),
    ("up_to = \"10\"", "up_to = \"0\"", "`up_to` must be above the tier before it, and above zero"),
    ("up_to = \"10\"\n", "", "only the last tier may have no `up_to`"),
    (
        "price = \"1.5\"",
        "price = \"1.5\"\nup_to = \"20\"",
        "the last tier must have no `up_to`: every quantity needs a price",
    ),
    (
        "of = [\"tokens\", \"power\"]",
        "of = [\"support\"]",
        "\"support\" is no charge before this one; there are: tokens, thinking, power, calls, seat",
    ),
    ("of = [\"tokens\", \"power\"]", "of = [\"power\", \"power\"]", "the charge \"power\" stands here twice"),
    ("percent = \"10\"", "percent = \"100.1\"", "`percent` must be at most 100"),
    (
        "amount = \"5\"",
        "amount = \"5\"\npercent = \"5\"",
        "a [[discount]] needs either `amount` or `percent`",
    ),
    ("amount = \"5\"\n", "", "a [[discount]] needs either `amount` or `percent`"),
    ("\"Electricity\"", "\"a\\nb\"", "`description` must be 1 to 200 characters without line breaks"),
    (
        "classes = [\"batch\"]",
        "classes = [\"slow\"]",
        "`class` must be interactive, standard or batch, not \"slow\"",
    ),
    (
        "models = [\"demo\", \"other\"]",
        "models = [\"*\"]",
        "`model` must be \"*\" or 1 to 128 letters, digits and . _ : / -, not \"*\"",
    ),
];

#[test]
fn errors_of_charges_name_place_and_reason() {
    for &(found, replacement, problem) in REFUSED {
        assert!(CHARGES.contains(found), "{found}");
        let text = format!("{GOOD}{}", CHARGES.replacen(found, replacement, 1));
        let error = Plan::from_text("plan.toml", &text).expect_err(replacement);
        assert_eq!(error.problem.to_string(), problem, "for {replacement}");
        // The place is the changed line, or the table that it is missing in.
        let line = text.lines().nth(error.line - 1).unwrap_or_default();
        let words = replacement.split_once(" = ").map_or(replacement, |(_, value)| value);
        let is_unit = line.starts_with("unit = ");
        let is_placed =
            is_unit || line.starts_with("[[") || words.lines().any(|changed| line.contains(changed));
        assert!(is_placed, "{}:{} {line:?} for {replacement:?}", error.line, error.column);
    }
}

#[test]
fn plans_are_compared_term_by_term() {
    let changed = CHARGES
        .replacen("price = \"0.31\"", "price = \"0.33\"", 1)
        .replacen("up_to = \"10\"", "up_to = \"20\"", 1)
        .replacen("name = \"seat\"", "name = \"chair\"", 1)
        .replacen("percent = \"10\"", "percent = \"12\"", 1);
    let head = with("\"0.15\"", "\"0.150\"  # the same").replacen("version = 1", "version = 2", 1);
    let head = head.replacen("class = \"interactive\"", "class = \"standard\"", 1);
    let after = Plan::from_text("plan.toml", &format!("{head}{changed}")).expect("a good plan");
    let changes = plan().changes_to(&after);
    let told: Vec<_> = changes
        .iter()
        .map(|change| {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            format!("{}: {} -> {}", change.term, text(&change.before), text(&change.after))
        })
        .collect();
    assert_eq!(
        told,
        [
            "charge.chair.amount: - -> 25",
            "charge.power.unit_price: 0.31 per 1 -> 0.33 per 1",
            "charge.seat.amount: 25 -> -",
            "charge.thinking.graduated.01: up to 10: 2 a unit, 1 flat -> up to 20: 2 a unit, 1 flat",
            "discount.friends: 10 % off thinking -> 12 % off thinking",
            "slo.class: interactive -> standard",
            "slo.tpot: 30 ms -> 100 ms",
            "slo.ttft: 500 ms -> 2000 ms",
        ]
    );
    assert_eq!(plan().changes_to(&plan()), []);
}

#[test]
fn charges_that_no_cap_can_count_are_refused() {
    let taxes = |count: u32| -> String {
        let tax = |number| {
            format!("[[charge]]\nname = \"tax-{number}\"\nscheme = \"percentage\"\npercent = \"1000\"\n")
        };
        (0..count).map(tax).collect()
    };
    // Each makes eleven times as much of all before it.
    assert!(Plan::from_text("t", &format!("{GOOD}{}", taxes(20))).is_ok());
    let error = Plan::from_text("t", &format!("{GOOD}{}", taxes(40))).expect_err("too dear");
    assert_eq!(error.problem, PlanProblem::TooDear);
}
