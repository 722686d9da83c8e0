//! Invoices of plans with charges, line by line, as a bookkeeper would write them down.
//! Never a database.
//! Run by `cargo test`.

use bigdecimal::BigDecimal;

use super::*;
use crate::{invoice::ProjectUse, rate::ExactAmount};

/// One of everything. The demo model keeps its token prices.
const CHARGES: &str = r#"
[[charge]]
name = "calls"
description = "Requests"
scheme = "package"
meter = "requests"
price = "0.10"
size = "100"

[[charge]]
name = "bulk"
description = "Batch output"
scheme = "graduated"
meter = "output_tokens"
models = ["bulk"]
classes = ["interactive"]
unit = { name = "ktok", counts = 1000 }
free = "1"
[[charge.tier]]
up_to = "10"
price = "0.02"
[[charge.tier]]
price = "0.01"
flat = "0.5"

[[charge]]
name = "power"
description = "Electricity"
scheme = "unit"
meter = "energy"
unit = "kWh"
price = "0.30"
minimum = "1"

[[charge]]
name = "seat"
scheme = "flat"
amount = "25"

[[charge]]
name = "support"
scheme = "percentage"
percent = "3"
of = ["tokens", "seat"]
maximum = "0.50"

[[discount]]
name = "welcome"
amount = "5"
charges = ["seat"]

[[discount]]
name = "friends"
percent = "10"
"#;

fn plan_with(version: u32, charges: &str) -> Plan {
    let demo = Plan::demo().expect("the demo plan");
    let head = demo.source().replacen("version = 1", &format!("version = {version}"), 1);
    Plan::from_text("t", &(head + charges)).expect("a plan")
}

/// An invoice of usage under these versions; the last of them is in force at the end of the period.
fn invoice_of(versions: Vec<Plan>, sums: &[UsageSum], projects: &[ProjectUse]) -> Result<Invoice, RateError> {
    let period = Period::month("2026-11", "Europe/Berlin").expect("a month");
    let last = versions.last().cloned();
    let plans: BTreeMap<_, _> = versions.into_iter().map(|plan| (plan.id().clone(), plan)).collect();
    let tenant = tenant("acme");
    Invoice::build(&InvoiceParts {
        tenant: &tenant,
        period: &period,
        now: DECEMBER,
        sums,
        late: &[],
        events: &[],
        events_count: 0,
        plans: &plans,
        projects,
        plan_at_end: last.as_ref(),
        subscription: None,
    })
}

/// Kind, item, units, exact and displayed amount of each line that has an amount.
fn owed(invoice: &Invoice) -> Vec<(&str, &str, &str, &str, &str)> {
    let is_owed = |line: &&Line| !matches!(line.kind, LineKind::NotBilled | LineKind::Energy);
    invoice.lines.iter().filter(is_owed).map(row).collect()
}

fn row(line: &Line) -> (&str, &str, &str, &str, &str) {
    let units = line.units.as_deref().unwrap_or("");
    (line.kind.as_str(), &line.item, units, &line.exact, &line.displayed)
}

fn minor(text: &str) -> i64 {
    text.replace('.', "").parse().expect("an amount")
}

fn check_sums(invoice: &Invoice) {
    let exact: Vec<ExactAmount> = invoice
        .lines
        .iter()
        .map(|line| ExactAmount::of_decimal(line.exact.parse::<BigDecimal>().expect("a decimal")))
        .collect();
    assert_eq!(ExactAmount::sum(&exact).to_text(Currency::USD), invoice.subtotal_exact);
    let displayed: i64 = invoice.lines.iter().map(|line| minor(&line.displayed)).sum();
    assert_eq!(displayed, minor(&invoice.subtotal));
}

#[test]
fn every_kind_of_charge_has_its_lines() {
    let sums = [
        sum("demo@1", "demo", EndReason::Completed, [150, 150, 1_000_000, 0, 1_000_000, 0]),
        sum("demo@1", "bulk", EndReason::Completed, [51, 51, 0, 0, 12_000, 0]),
        sum("demo@1", "bulk", EndReason::Crashed, [1_000, 0, 0, 0, 9_000, 0]),
    ];
    let invoice = invoice_of(vec![plan_with(1, CHARGES)], &sums, &[]).expect("an invoice");
    assert_eq!(
        owed(&invoice),
        [
            ("charge", "input", "", "0.15", "0.15"),
            ("charge", "output", "", "0.60", "0.60"),
            ("slo_credit", "late_output", "", "0.00", "0.00"),
            // 201 requests are three packages; the crashed ones are not billed.
            ("charge", "calls", "3", "0.30", "0.30"),
            // 12 ktok: one is free, ten at 0.02, one at 0.01, and the second tier's flat amount.
            ("charge", "bulk", "1", "0.00", "0.00"),
            ("charge", "bulk", "10", "0.20", "0.20"),
            ("charge", "bulk", "1", "0.50", "0.50"),
            ("charge", "bulk", "1", "0.01", "0.01"),
            // 201 × 1.234 J = 248.034 J = 0.0000688983… kWh, to nine decimals.
            ("charge", "power", "0.000068898", "0.0000206694", "0.00"),
            ("minimum", "power", "", "0.9999793306", "1.00"),
            ("charge", "seat", "", "25.00", "25.00"),
            // 3 % of 0.75 + 25.00 is 0.7725: cut to its maximum.
            ("charge", "support", "", "0.7725", "0.77"),
            ("maximum", "support", "", "-0.2725", "-0.27"),
            ("discount", "welcome", "", "-5.00", "-5.00"),
            // 10 % of what is left: 0.75 + 0.30 + 0.71 + 1.00 + 20.00 + 0.50.
            ("discount", "friends", "", "-2.326", "-2.33"),
        ]
    );
    assert_eq!((invoice.subtotal_exact.as_str(), invoice.subtotal.as_str()), ("20.934", "20.93"));
    check_sums(&invoice);
    let text = invoice.to_text();
    assert!(text.contains("Batch output: tier 2, above 10 ktok"), "{text}");
    assert!(text.contains("friends: discount on all charges"), "{text}");
    assert!(text.contains("support: 3 % of seat, tokens"), "{text}");
    for line in invoice.lines.iter().filter(|line| line.formula.as_deref() != Some("each period")) {
        let expected = line.formula.as_deref().map_or_else(|| BigDecimal::from(0), value);
        assert_eq!(line.exact.parse(), Ok(expected), "{line:?}");
    }
}

/// What a formula comes to: products and quotients from left to right, a difference, or less the smaller of two.
fn value(formula: &str) -> BigDecimal {
    let inner = |begin| formula.strip_prefix(begin).and_then(|rest: &str| rest.strip_suffix(')'));
    if let Some((one, other)) = inner("-min(").and_then(|both| both.split_once(", ")) {
        return -value(one).min(value(other));
    }
    if let Some(given) = inner("-(") {
        return -value(given);
    }
    if let Some((bound, sum)) = formula.split_once(" - ") {
        return value(bound) - value(sum);
    }
    let words: Vec<&str> = formula.split(' ').collect();
    let number = |word: &str| word.parse::<BigDecimal>().expect("a number");
    let steps = words[1..].chunks(2);
    steps.fold(number(words[0]), |value, step| match step {
        ["×", factor] => value * number(factor),
        ["÷", divisor] => value / number(divisor),
        other => panic!("{other:?} in {formula}"),
    })
}

#[test]
fn a_version_that_counts_something_else_begins_anew() {
    let charge = |meter: &str| {
        format!(
            "[[charge]]\nname = \"use\"\nscheme = \"graduated\"\nmeter = \"{meter}\"\nmodels = [\"x\"]\n\
             [[charge.tier]]\nup_to = \"100\"\nprice = \"0.01\"\n[[charge.tier]]\nprice = \"0.001\"\n"
        )
    };
    let sums = [
        sum("demo@1", "x", EndReason::Completed, [1, 1, 0, 0, 5_000, 0]),
        sum("demo@2", "x", EndReason::Completed, [30, 30, 0, 0, 70, 0]),
    ];
    let versions = vec![plan_with(1, &charge("output_tokens")), plan_with(2, &charge("requests"))];
    let invoice = invoice_of(versions, &sums, &[]).expect("an invoice");
    assert_eq!(
        owed(&invoice),
        [
            ("charge", "use", "100", "1.00", "1.00"),
            ("charge", "use", "4900", "4.90", "4.90"),
            // Requests are not the 5,001st and later of anything.
            ("charge", "use", "30", "0.30", "0.30"),
        ]
    );
}

#[test]
fn the_period_is_charged_without_any_usage() {
    let invoice = invoice_of(vec![plan_with(1, CHARGES)], &[], &[]).expect("an invoice");
    assert_eq!(
        owed(&invoice),
        [
            ("minimum", "power", "", "1.00", "1.00"),
            ("charge", "seat", "", "25.00", "25.00"),
            ("charge", "support", "", "0.75", "0.75"),
            ("maximum", "support", "", "-0.25", "-0.25"),
            ("discount", "welcome", "", "-5.00", "-5.00"),
            ("discount", "friends", "", "-2.15", "-2.15"),
        ]
    );
    check_sums(&invoice);
}

#[test]
fn a_later_version_goes_on_where_the_earlier_one_stopped() {
    let charge = |price: &str| {
        format!(
            "[[charge]]\nname = \"out\"\nscheme = \"graduated\"\nmeter = \"output_tokens\"\nmodels = [\"x\"]\n\
             [[charge.tier]]\nup_to = \"100\"\nprice = \"{price}\"\n[[charge.tier]]\nprice = \"0.001\"\n"
        )
    };
    let sums = [
        sum("demo@1", "x", EndReason::Completed, [1, 1, 0, 0, 80, 0]),
        sum("demo@2", "x", EndReason::Completed, [1, 1, 0, 0, 30, 0]),
    ];
    let versions = vec![plan_with(1, &charge("0.01")), plan_with(2, &charge("0.02"))];
    let invoice = invoice_of(versions, &sums, &[]).expect("an invoice");
    // 80 at 0.01; then 20 at 0.02 to the end of the tier, and 10 at 0.001.
    assert_eq!(
        owed(&invoice),
        [
            ("charge", "out", "80", "0.80", "0.80"),
            ("charge", "out", "20", "0.40", "0.40"),
            ("charge", "out", "10", "0.01", "0.01"),
        ]
    );
    check_sums(&invoice);
}

#[test]
fn what_an_earlier_version_charged_under_a_name_is_discounted_too() {
    let used = "[[charge]]\nname = \"use\"\nscheme = \"unit\"\nmeter = \"requests\"\nprice = \"0.5\"\nmodels = [\"x\"]\n";
    let flat = "[[charge]]\nname = \"use\"\nscheme = \"flat\"\namount = \"3\"\n\
        [[charge]]\nname = \"calls\"\nscheme = \"unit\"\nmeter = \"requests\"\nprice = \"0\"\nmodels = [\"x\"]\n\
        [[discount]]\nname = \"half\"\npercent = \"50\"\ncharges = [\"use\"]\n";
    let sums = [sum("demo@1", "x", EndReason::Completed, [4, 4, 0, 0, 0, 0])];
    let versions = vec![plan_with(1, used), plan_with(2, flat)];
    let invoice = invoice_of(versions, &sums, &[]).expect("an invoice");
    assert_eq!(
        owed(&invoice),
        [
            ("charge", "use", "4", "2.00", "2.00"),
            ("charge", "use", "", "3.00", "3.00"),
            ("discount", "half", "", "-2.50", "-2.50"),
        ]
    );
}

#[test]
fn a_discount_takes_no_more_than_there_is() {
    let charges = "[[discount]]\nname = \"all\"\namount = \"1000000\"\n[[discount]]\nname = \"more\"\npercent = \"100\"\n";
    let sums = [sum("demo@1", "demo", EndReason::Completed, [3, 1, 1_000, 0, 1_000_000, 500_000])];
    let invoice = invoice_of(vec![plan_with(1, charges)], &sums, &[]).expect("an invoice");
    // 0.60015 less a credit of 0.15: that is all there is to take, and nothing is left for the second one.
    assert_eq!(owed(&invoice)[3..], [("discount", "all", "", "-0.45015", "-0.45")]);
    assert_eq!(invoice.subtotal_exact, "0.00");
    check_sums(&invoice);
}

#[test]
fn charges_of_the_whole_tenant_are_a_part_beside_the_projects() {
    let used = |output| vec![sum("demo@1", "demo", EndReason::Completed, [1, 1, 0, 0, output, 0])];
    let project = |path: &str, sums: Vec<UsageSum>| {
        let path = path.to_owned();
        ProjectUse { id: None, path, sums, late: Vec::new() }
    };
    let projects = [project("a", used(1_000_000)), project("b", used(500_000))];
    let sums: Vec<_> = projects.iter().flat_map(|project| project.sums.clone()).collect();
    let charges = "[[charge]]\nname = \"seat\"\nscheme = \"flat\"\namount = \"25\"\n";
    let invoice = invoice_of(vec![plan_with(1, charges)], &sums, &projects).expect("an invoice");
    let shares: Vec<_> =
        invoice.projects.iter().map(|share| (share.path.as_str(), share.exact.as_str())).collect();
    assert_eq!(shares, [("a", "0.60"), ("b", "0.30"), ("(charges of the whole tenant)", "25.00")]);
    let displayed: i64 = invoice.projects.iter().map(|share| minor(&share.displayed)).sum();
    assert_eq!(displayed, minor(&invoice.subtotal));
}

#[test]
fn a_model_without_price_or_charge_is_an_error() {
    let charges = "[[charge]]\nname = \"out\"\nscheme = \"unit\"\nmeter = \"output_tokens\"\nmodels = [\"x\"]\nprice = \"1\"\n";
    let sums = [sum("demo@1", "y", EndReason::Completed, [1, 1, 0, 0, 80, 0])];
    let error = invoice_of(vec![plan_with(1, charges)], &sums, &[]).expect_err("unpriced");
    assert!(matches!(error, RateError::Unpriced { .. }), "{error}");
}

/// Tiers by attainment in place of the demo plan's credit for late tokens.
fn attainment_plan(tiers: &str) -> Plan {
    let demo = Plan::demo().expect("the demo plan");
    Plan::from_text("t", &demo.source().replacen("late_tokens_percent = \"50\"", tiers, 1)).expect("a plan")
}

#[test]
fn a_period_below_its_attainment_gives_a_share_back() {
    let tiers = "late_tokens_percent = \"50\"\n\
        [[slo_credit.attainment]]\nbelow = \"99\"\npercent = \"10\"\n\
        [[slo_credit.attainment]]\nbelow = \"95\"\npercent = \"25\"\n\
        [[slo_credit.attainment]]\nclasses = [\"batch\"]\nbelow = \"100\"\npercent = \"100\"\n";
    let rows = [
        // requests, those that met their targets, the share given back
        (1_000, 1_000, None),
        (1_000, 990, None),
        (1_000, 989, Some("10")),
        (1_000, 950, Some("10")),
        (1_000, 949, Some("25")),
        (1_000, 0, Some("25")),
        (1, 1, None),
    ];
    for (requests, met, percent) in rows {
        let sums = [sum("demo@1", "demo", EndReason::Completed, [requests, met, 0, 0, 1_000_000, 0])];
        let invoice = invoice_of(vec![attainment_plan(tiers)], &sums, &[]).expect("an invoice");
        let line = invoice.lines.iter().find(|line| line.item == "attainment");
        assert_eq!(line.and_then(|line| line.percent.as_deref()), percent, "{met} of {requests}");
        let exact = match percent {
            Some("10") => "-0.06",
            Some(_) => "-0.15",
            None => continue,
        };
        assert_eq!(line.map(|line| line.exact.as_str()), Some(exact), "{met} of {requests}");
        check_sums(&invoice);
    }
}

#[test]
fn credits_together_never_exceed_what_the_class_was_charged() {
    let tiers = "late_tokens_percent = \"100\"\n\
        [[slo_credit.attainment]]\nbelow = \"100\"\npercent = \"90\"\n";
    // 0.15 for input, 0.60 for output; 0.36 of it late: 90 % of 0.75 is 0.675, but only 0.39 is left.
    let batch = UsageSum {
        slo_class: SloClass::Batch,
        ..sum("demo@1", "demo", EndReason::Completed, [10, 10, 1_000_000, 0, 1_000_000, 0])
    };
    let sums = [
        sum("demo@1", "demo", EndReason::Completed, [10, 4, 1_000_000, 0, 1_000_000, 600_000]),
        // Crashed requests are not billed, and count for no promise; another class keeps its own.
        sum("demo@1", "demo", EndReason::Crashed, [10, 0, 1_000_000, 0, 1_000_000, 600_000]),
        batch,
    ];
    let invoice = invoice_of(vec![attainment_plan(tiers)], &sums, &[]).expect("an invoice");
    let line = invoice.lines.iter().find(|line| line.item == "attainment").expect("a credit");
    assert_eq!((line.exact.as_str(), line.quantity, line.requests), ("-0.39", 6, 10));
    assert_eq!(line.formula.as_deref(), Some("-min(0.75 × 90 ÷ 100, 0.39)"));
    assert_eq!(invoice.subtotal_exact, "0.75", "the other class is paid in full");
    assert!(invoice.to_text().contains("SLO met by 4 of 10 requests (40.00 %, rounded down)"));
    check_sums(&invoice);
}
