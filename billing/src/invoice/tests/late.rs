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

#[test]
fn what_projects_get_less_than_the_whole_is_the_tenants() {
    let own = plan("late_tokens_percent = \"50\"\nlate_requests_percent = \"100\"", "");
    // All of one project's 6.00 came late: 3.00 of tokens, and of its requests only what is left. The whole has enough left.
    let (late, in_time) = ([1, 0, 0, 0, 10_000_000, 10_000_000], [1, 1, 0, 0, 10_000_000, 0]);
    let of =
        |path: &str, counts, late| ProjectUse { id: None, path: path.to_owned(), sums: used(counts), late };
    let projects = [of("a", late, used(late)), of("b", in_time, vec![])];
    let parts = InvoiceParts {
        tenant: &tenant("acme"),
        period: &Period::month("2026-11", "Europe/Berlin").expect("a month"),
        now: DECEMBER,
        sums: &used([2, 1, 0, 0, 20_000_000, 10_000_000]),
        late: &used(late),
        events: &[],
        events_count: 0,
        plans: &BTreeMap::from([(own.id().clone(), own.clone())]),
        projects: &projects,
        plan_at_end: Some(&own),
        subscription: None,
    };
    let invoice = Invoice::build(&parts).expect("an invoice");
    let shares = invoice.projects.iter();
    let shares = shares.map(|share| (share.path.as_str(), share.exact.as_str(), share.displayed.as_str()));
    let expected =
        [("a", "0.00", "0.00"), ("b", "6.00", "6.00"), ("(charges of the whole tenant)", "-3.00", "-3.00")];
    assert_eq!((shares.collect::<Vec<_>>(), invoice.subtotal.as_str()), (expected.to_vec(), "3.00"));
}

#[test]
fn credits_of_classes_leave_no_less_than_nothing_of_token_prices() {
    let credit = "late_tokens_percent = \"50\"\nlate_requests_percent = \"100\"\n\
                  [[slo_credit.attainment]]\nbelow = \"100\"\npercent = \"100\"";
    let batch = |counts| UsageSum { slo_class: SloClass::Batch, ..used(counts)[0].clone() };
    let slow = [1, 0, 0, 0, 10_000_000, 10_000_000];
    // 6.00 that came late as a whole, and 6.00 of another class, half of whose requests were late.
    let all = [used(slow)[0].clone(), batch([2, 1, 0, 0, 10_000_000, 0])];
    let late = [used(slow)[0].clone(), batch([1, 0, 0, 0, 5_000_000, 0])];
    let invoice = invoice(&plan(credit, ""), &all, &late);
    let exact: Vec<_> = credits(&invoice).iter().map(|(item, _, _, exact)| (*item, *exact)).collect();
    // The first class's requests got 3.00 that the other class was charged.
    let expected = [
        ("late_output", "-3.00"),
        ("late_requests", "-9.00"),
        ("attainment", "0.00"),
        ("attainment", "0.00"),
    ];
    assert_eq!((exact, invoice.total.as_str()), (expected.to_vec(), "0.00"));
}

#[test]
fn a_credit_of_other_charges_is_not_taken_off_token_prices() {
    let tier = "[[slo_credit.attainment]]\nbelow = \"99\"\npercent = \"100\"\ncharges = [\"calls\"]\n";
    let discount = "[[discount]]\nname = \"half\"\npercent = \"50\"\ncharges = [\"tokens\"]\n";
    let share =
        "[[charge]]\nname = \"service\"\nscheme = \"percentage\"\npercent = \"10\"\nof = [\"tokens\"]\n";
    let all = used([10, 9, 1_000_000, 0, 0, 0]);
    let invoice = invoice(&plan(tier, &format!("{CALLS}{share}{discount}")), &all, &[]);
    let exact =
        |item: &str| invoice.lines.iter().find(|line| line.item == item).map(|line| line.exact.as_str());
    // 1.00 for calls is given back, and token prices come to 0.15 all the same.
    assert_eq!(
        (exact("attainment"), exact("service"), exact("half")),
        (Some("-1.00"), Some("0.015"), Some("-0.075"))
    );
}

#[test]
fn a_class_gets_its_share_of_what_it_was_charged() {
    let charge = |class: &str| {
        format!(
            "[[charge]]\nname = \"calls\"\nscheme = \"graduated\"\nmeter = \"requests\"\nclasses = [\"{class}\"]\n\
             [[charge.tier]]\nup_to = \"4\"\nprice = \"1\"\n[[charge.tier]]\nprice = \"0.10\"\n"
        )
    };
    let tier = "[[slo_credit.attainment]]\nbelow = \"99\"\npercent = \"100\"\ncharges = [\"calls\"]\n";
    // The first version counted four requests of another class under the same name; the second goes on where it stopped.
    let (first, second) =
        (plan("late_tokens_percent = \"0\"", &charge("batch")), plan(tier, &charge("interactive")));
    let second = second.source().replacen("version = 1", "version = 2", 1);
    let second = Plan::from_text("t", &second).expect("a plan");
    let batch = UsageSum { slo_class: SloClass::Batch, ..used([4, 4, 0, 0, 0, 0])[0].clone() };
    let sums = [batch, sum("demo@2", "demo", EndReason::Completed, [5, 4, 0, 0, 0, 0])];
    let parts = InvoiceParts {
        tenant: &tenant("acme"),
        period: &Period::month("2026-11", "Europe/Berlin").expect("a month"),
        now: DECEMBER,
        sums: &sums,
        late: &[],
        events: &[],
        events_count: 0,
        plans: &[first, second.clone()].into_iter().map(|plan| (plan.id().clone(), plan)).collect(),
        projects: &[],
        plan_at_end: Some(&second),
        subscription: None,
    };
    let invoice = Invoice::build(&parts).expect("an invoice");
    let calls: Vec<_> =
        invoice.lines.iter().filter(|line| line.item == "calls").map(|line| line.exact.as_str()).collect();
    assert_eq!(calls, ["4.00", "0.50"]);
    assert_eq!(credits(&invoice).last().map(|credit| credit.3), Some("-0.50"));
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
