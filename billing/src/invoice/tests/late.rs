//! Credits for late requests, and credits for attainment that reach beyond token prices, line by line.
//! Never a database.
//! Run by `cargo test`.

use super::*;

fn plan(credit: &str, charges: &str) -> Plan {
    let demo = Plan::demo().expect("the demo plan");
    let (head, rest) = demo.source().split_once("late_tokens_percent = \"50\"").expect("a credit");
    Plan::from_text("t", &format!("{head}{credit}{rest}\n{charges}")).expect("a plan")
}

fn invoice(plan: &Plan, sums: &[UsageSum], late: &[UsageSum]) -> Invoice {
    let parts = InvoiceParts {
        tenant: &tenant("acme"),
        period: &Period::month("2026-11", "Europe/Berlin").expect("a month"),
        now: DECEMBER,
        sums,
        late,
        events: &[],
        events_count: 0,
        plans: &BTreeMap::from([(plan.id().clone(), plan.clone())]),
        projects: &[],
        plan_at_end: Some(plan),
        subscription: None,
    };
    Invoice::build(&parts).expect("an invoice")
}

/// Requests, in time, prompt, cached, output, late tokens.
fn used(counts: [u64; 6]) -> Vec<UsageSum> {
    vec![sum("demo@1", "demo", EndReason::Completed, counts)]
}

fn credits(invoice: &Invoice) -> Vec<(&str, u64, &str, &str)> {
    let credits = invoice.lines.iter().filter(|line| line.kind == LineKind::SloCredit);
    credits
        .map(|line| {
            (line.item.as_str(), line.quantity, line.formula.as_deref().unwrap_or(""), line.exact.as_str())
        })
        .collect()
}

#[test]
fn a_late_request_gives_back_a_share_of_its_own_charge() {
    let plan = plan("late_requests_percent = \"25\"", "");
    // 1,000,000 input at 0.15, 1,000,000 cached at 0.075, 1,000,000 output at 0.60; a tenth of it in late requests.
    let all = used([10, 9, 2_000_000, 1_000_000, 1_000_000, 0]);
    let late = used([1, 0, 200_000, 100_000, 100_000, 0]);
    let invoice = invoice(&plan, &all, &late);
    let formula = "-min((100000 × 0.15 ÷ 1000000 + 100000 × 0.075 ÷ 1000000 + 100000 × 0.60 ÷ 1000000) \
                   × 25 ÷ 100, 0.825)";
    assert_eq!(
        credits(&invoice),
        [
            ("late_output", 0, "-(0 × 0.60 ÷ 1000000 × 0 ÷ 100)", "0.00"),
            ("late_requests", 1, formula, "-0.020625"),
        ]
    );
    let line = invoice.lines.iter().find(|line| line.item == "late_requests").expect("a line");
    let attainment = line.attainment.as_ref().expect("an attainment");
    assert_eq!(line.percent.as_deref(), Some("25"));
    assert_eq!((attainment.requests_slo_met, attainment.requests), (9, 10));
    assert_eq!((line.unit.as_str(), line.requests), ("requests", 10));
    assert!(invoice.to_text().contains("SLO met by 9 of 10 requests"), "{}", invoice.to_text());
}

#[test]
fn a_line_says_so_also_when_nothing_was_late() {
    let own = plan("late_requests_percent = \"25\"", "");
    let invoice = invoice(&own, &used([1, 1, 1_000_000, 0, 0, 0]), &[]);
    let row = ("late_requests", 0, "-min((0) × 25 ÷ 100, 0.15)", "0.00");
    assert_eq!(credits(&invoice)[1], row);
    // A plan that gives nothing for late requests has no such line.
    let other = plan("late_tokens_percent = \"50\"", "");
    let invoice =
        super::late::invoice(&other, &used([1, 0, 1_000_000, 0, 0, 0]), &used([1, 0, 1_000_000, 0, 0, 0]));
    assert!(credits(&invoice).iter().all(|(item, ..)| *item == "late_output"));
}

#[test]
fn credits_together_never_exceed_the_charges() {
    let plan = plan(
        "late_tokens_percent = \"100\"\nlate_requests_percent = \"100\"\n\
         [[slo_credit.attainment]]\nbelow = \"99\"\npercent = \"100\"",
        "",
    );
    let all = used([1, 0, 1_000_000, 0, 1_000_000, 1_000_000]);
    let invoice = invoice(&plan, &all, &all);
    let exact: Vec<_> = credits(&invoice).iter().map(|(item, _, _, exact)| (*item, *exact)).collect();
    // Late tokens take the output, late requests what is left of it all, and the period's credit nothing more.
    assert_eq!(exact, [("late_output", "-0.60"), ("late_requests", "-0.15"), ("attainment", "0.00")]);
    assert_eq!(invoice.total, "0.00");
}

#[test]
fn late_requests_of_projects_add_up() {
    let own = plan("late_requests_percent = \"50\"", "");
    let all = used([2, 1, 2_000_000, 0, 0, 0]);
    let late = used([1, 0, 1_500_000, 0, 0, 0]);
    let of = |path: &str, counts: [u64; 6], late: Vec<UsageSum>| ProjectUse {
        id: None,
        path: path.to_owned(),
        sums: used(counts),
        late,
    };
    let projects =
        [of("a", [1, 0, 1_500_000, 0, 0, 0], late.clone()), of("b", [1, 1, 500_000, 0, 0, 0], vec![])];
    let parts = InvoiceParts {
        tenant: &tenant("acme"),
        period: &Period::month("2026-11", "Europe/Berlin").expect("a month"),
        now: DECEMBER,
        sums: &all,
        late: &late,
        events: &[],
        events_count: 0,
        plans: &BTreeMap::from([(own.id().clone(), own.clone())]),
        projects: &projects,
        plan_at_end: Some(&own),
        subscription: None,
    };
    let invoice = Invoice::build(&parts).expect("an invoice");
    let shares: Vec<_> = invoice.projects.iter().map(|share| share.exact.as_str()).collect();
    assert_eq!((shares, invoice.subtotal_exact.as_str()), (vec!["0.1125", "0.075"], "0.1875"));
}

const CALLS: &str = "[[charge]]\nname = \"calls\"\nscheme = \"unit\"\nmeter = \"requests\"\nprice = \"0.10\"\n\
                     classes = [\"interactive\"]\n[[charge]]\nname = \"all-calls\"\nscheme = \"unit\"\n\
                     meter = \"requests\"\nprice = \"5\"\n";

#[test]
fn attainment_gives_back_of_the_charges_that_it_names() {
    let tier = |charges: &str| {
        format!(
            "[[slo_credit.attainment]]\nbelow = \"99\"\npercent = \"10\"\nclasses = [\"interactive\"]\n{charges}"
        )
    };
    // 10 requests at 0.10 and 1,000,000 input tokens at 0.15.
    let all = used([10, 9, 1_000_000, 0, 0, 0]);
    let rows = [
        ("", "-min(0.15 × 10 ÷ 100, 0.15)", "-0.015"),
        ("charges = [\"tokens\"]\n", "-min(0.15 × 10 ÷ 100, 0.15)", "-0.015"),
        ("charges = [\"calls\"]\n", "-min(1.00 × 10 ÷ 100, 1.00)", "-0.10"),
        ("charges = [\"tokens\", \"calls\"]\n", "-min(1.15 × 10 ÷ 100, 1.15)", "-0.115"),
    ];
    for (charges, formula, exact) in rows {
        let invoice = invoice(&plan(&tier(charges), CALLS), &all, &[]);
        assert_eq!(credits(&invoice)[1], ("attainment", 1, formula, exact), "{charges}");
    }
    // Usage of another class is not the class's charge.
    let batch = UsageSum { slo_class: SloClass::Batch, ..all[0].clone() };
    let both = [all[0].clone(), batch];
    let invoice = invoice(&plan(&tier("charges = [\"tokens\", \"calls\"]\n"), CALLS), &both, &[]);
    let found = credits(&invoice);
    assert_eq!(found[found.len() - 1].3, "-0.115");
}

#[test]
fn charges_of_no_single_class_give_no_credit_for_one() {
    let tier = |name: &str| {
        format!(
            "late_tokens_percent = \"1\"\n[[slo_credit.attainment]]\nbelow = \"99\"\npercent = \"10\"\ncharges = [\"{name}\"]"
        )
    };
    let demo = Plan::demo().expect("the demo plan");
    let text = |name: &str, charges: &str| {
        demo.source().replacen("late_tokens_percent = \"50\"", &tier(name), 1) + charges
    };
    let power = "[[charge]]\nname = \"power\"\nscheme = \"unit\"\nmeter = \"energy\"\nprice = \"1\"\nclasses = [\"batch\"]\n";
    let seat = "[[charge]]\nname = \"seat\"\nscheme = \"flat\"\namount = \"1\"\n";
    for (name, charges) in [("all-calls", CALLS), ("power", power), ("seat", seat)] {
        let error = Plan::from_text("t", &text(name, charges)).expect_err(name);
        let expected = format!(
            "{name:?} must count tokens or requests of exactly one of `classes` to give credit for a class's attainment"
        );
        assert_eq!(error.problem.to_string(), expected);
    }
    let error = Plan::from_text("t", &text("nothing", CALLS)).expect_err("unknown");
    assert!(error.problem.to_string().contains("there are: tokens, calls, all-calls"), "{error}");
}
