//! Lines of subscriptions: base fees, credits, true-ups and free trials, as a bookkeeper would write them down.
//! Never a database.
//! Run by `cargo test`.

use super::*;
use crate::{
    plan::TrialUsage,
    subscription::{Advance, PeriodFacts, PeriodKind, PlanSpan, Plans},
};

const FEE: &str = "[base_fee]\namount = \"31\"\ntiming = \"advance\"\ndescription = \"Platform\"\n";
const SEAT: &str = "[[charge]]\nname = \"seat\"\nscheme = \"flat\"\namount = \"25\"\n";

fn plan(name: &str, terms: &str) -> Plan {
    let demo = Plan::demo().expect("the demo plan");
    let head = demo.source().replacen("name = \"demo\"", &format!("name = \"{name}\""), 1);
    Plan::from_text("t", &format!("{head}\n{terms}")).expect("a plan")
}

fn november() -> Period {
    Period::month("2026-11", "Europe/Berlin").expect("a month")
}

/// A whole November under plans from days on.
fn facts(kind: PeriodKind, spans: &[(i64, &Plan)]) -> PeriodFacts {
    let (start, end) = (november().start(), november().end());
    let day = |number: i64| Timestamp::from_unix_micros(start.unix_micros() + (number - 1) * 86_400_000_000);
    let ends = spans.iter().skip(1).map(|(from, _)| day(*from)).chain([end]);
    let span = |((from, plan), to): (&(i64, &Plan), Timestamp)| PlanSpan {
        from: day(*from),
        to,
        plan: Some(plan.id().clone()),
        is_paused: false,
    };
    PeriodFacts {
        kind,
        full_start: start,
        full_end: end,
        usage: if kind == PeriodKind::Trial { TrialUsage::Free } else { TrialUsage::Charged },
        spans: spans.iter().zip(ends).map(span).collect(),
        advance: None,
    }
}

fn december(plan: &Plan) -> Option<Advance> {
    let period = Period::month("2026-12", "Europe/Berlin").expect("a month");
    let (start, end) = (period.start(), period.end());
    Some(Advance { full_start: start, start, end, plan: plan.id().clone() })
}

/// An invoice of November. The first plan priced the usage, the last is in force at the end.
fn invoice(plans: &[&Plan], facts: &PeriodFacts, sums: &[UsageSum]) -> Invoice {
    let all: Plans = plans.iter().map(|plan| (plan.id().clone(), (*plan).clone())).collect();
    let used = all.iter().filter(|(id, _)| sums.iter().any(|sum| sum.price_version == **id));
    let used: Plans = used.map(|(id, plan)| (id.clone(), plan.clone())).collect();
    let parts = InvoiceParts {
        tenant: &tenant("acme"),
        period: &november(),
        now: DECEMBER,
        sums,
        late: &[],
        events: &[],
        events_count: 0,
        plans: &used,
        projects: &[],
        plan_at_end: plans.last().copied(),
        subscription: Some(Subscribed { facts, plans: &all }),
    };
    Invoice::build(&parts).expect("an invoice")
}

/// Kind, item, description, formula and exact amount of each line that is not about usage alone.
fn lines(invoice: &Invoice) -> Vec<[&str; 5]> {
    let is_told = |line: &&Line| line.model.is_none() && line.kind != LineKind::Energy;
    invoice
        .lines
        .iter()
        .filter(is_told)
        .map(|line| {
            let formula = line.formula.as_deref().unwrap_or("");
            [line.kind.as_str(), &line.item, &line.description, formula, &line.exact]
        })
        .collect()
}

/// Usage worth 0.15 USD of input and 0.60 of output, of which 0.06 was late.
fn used(plan: &Plan) -> Vec<UsageSum> {
    vec![sum(plan.id().as_str(), "demo", EndReason::Completed, [10, 9, 1_000_000, 0, 1_000_000, 100_000])]
}

#[test]
fn base_fees_stand_after_everything_else() {
    let silver = plan("silver", &format!("{FEE}{SEAT}"));
    let facts = PeriodFacts { advance: december(&silver), ..facts(PeriodKind::Regular, &[(1, &silver)]) };
    let invoice = invoice(&[&silver], &facts, &used(&silver));
    assert_eq!(
        lines(&invoice),
        [
            ["charge", "seat", "seat", "each period", "25.00"],
            ["charge", "base_fee", "Platform, 2026-12-01 to 2027-01-01, in advance", "31.00", "31.00"],
        ]
    );
    // 0.15 + 0.60 − 0.03 + 25 + 31
    assert_eq!(invoice.total, "56.72");
    let fee = invoice.lines.iter().find(|line| line.item == "base_fee").expect("a fee");
    assert_eq!(
        (fee.quantity, fee.unit.as_str(), fee.price_version.as_deref()),
        (31, "days", Some("silver@1"))
    );
    let (text, html) = (invoice.to_text(), invoice.to_html().expect("html"));
    for page in [&text, &html] {
        assert!(page.contains("Platform, 2026-12-01 to 2027-01-01, in advance"), "{page}");
    }
    // Read back and written again it is the same, byte for byte.
    let json = invoice.to_json().expect("json");
    let read = Invoice::from_issued(&json).expect("an invoice");
    let own = read.subscription.as_ref().expect("a subscription");
    assert_eq!(own.to_facts(), Ok(facts));
}

#[test]
fn an_upgrade_shows_a_credit_and_a_charge() {
    let silver = plan("silver", FEE);
    let gold = plan("gold", "[base_fee]\namount = \"90\"\ntiming = \"arrears\"\n");
    let facts = facts(PeriodKind::Regular, &[(1, &silver), (16, &gold)]);
    let invoice = invoice(&[&silver, &gold], &facts, &[]);
    assert_eq!(
        lines(&invoice),
        [
            [
                "discount",
                "base_fee",
                "Platform, 2026-11-16 to 2026-12-01, given back: another plan",
                "-(31.00 × 15 ÷ 30)",
                "-15.50",
            ],
            ["charge", "base_fee", "Base fee, 2026-11-16 to 2026-12-01", "90.00 × 15 ÷ 30", "45.00"],
        ]
    );
    assert_eq!(invoice.total, "29.50");
}

#[test]
fn what_is_given_back_may_be_more_than_what_is_due() {
    let silver = plan("silver", FEE);
    let mut facts = facts(PeriodKind::Regular, &[(1, &silver)]);
    facts.spans[0].to = Timestamp::from_unix_micros(facts.full_start.unix_micros() + 10 * 86_400_000_000 + 5);
    let invoice = invoice(&[&silver], &facts, &used(&silver));
    let row = [
        "discount",
        "base_fee",
        "Platform, 2026-11-11 00:00:00 to 2026-12-01, given back: cancelled",
        "-(31.00 × 20 ÷ 30)",
        "-20.666666666667",
    ];
    assert_eq!(lines(&invoice), [row]);
    assert_eq!((invoice.subtotal_exact.as_str(), invoice.total.as_str()), ("-19.946666666667", "-19.95"));
}

#[test]
fn a_commitment_is_trued_up_and_credits_for_lateness_are_not_taken_back() {
    let of = |amount: &str| format!("[commitment]\namount = \"{amount}\"\n");
    let rows = [
        // 0.75 was charged for tokens; 0.03 given back for late ones do not count against the tenant.
        (of("100"), "", Some(("100.00 - 0.75", "99.25")), "99.97"),
        (of("100"), SEAT, Some(("100.00 - 25.75", "74.25")), "99.97"),
        (of("0.75"), "", None, "0.72"),
        (of("0.76"), "", Some(("0.76 - 0.75", "0.01")), "0.73"),
        // Discounts count: what is taken off was not paid.
        (
            of("100"),
            "[[charge]]\nname = \"seat\"\nscheme = \"flat\"\namount = \"25\"\n[[discount]]\nname = \"off\"\namount = \"5\"\ncharges = [\"seat\"]\n",
            Some(("100.00 - 20.75", "79.25")),
            "99.97",
        ),
    ];
    for (commitment, more, expected, total) in rows {
        let silver = plan("silver", &format!("{commitment}{more}"));
        let invoice = invoice(&[&silver], &facts(PeriodKind::Regular, &[(1, &silver)]), &used(&silver));
        let line = invoice.lines.iter().find(|line| line.item == "true_up");
        let found = line.map(|line| (line.formula.as_deref().unwrap_or(""), line.exact.as_str()));
        assert_eq!((found, invoice.total.as_str()), (expected, total), "{commitment}{more}");
        assert!(line.is_none_or(|line| line.kind == LineKind::Minimum));
    }
    // Two plans, each for its days; a base fee does not count towards it.
    let silver = plan("silver", &format!("{}{FEE}", of("60")));
    let gold = plan("gold", &of("300"));
    let facts = facts(PeriodKind::Regular, &[(1, &silver), (11, &gold)]);
    let invoice = invoice(&[&silver, &gold], &facts, &used(&silver));
    let line = invoice.lines.iter().find(|line| line.item == "true_up").expect("a line");
    let formula = "60.00 × 10 ÷ 30 + 300.00 × 20 ÷ 30 - 0.75";
    assert_eq!((line.formula.as_deref(), line.exact.as_str()), (Some(formula), "219.25"));
    assert_eq!(line.description, "True-up to the commitment of 220.00");
}

#[test]
fn a_trial_is_free_or_charged_and_has_no_true_up() {
    let silver = plan("silver", &format!("[commitment]\namount = \"100\"\n{FEE}"));
    let free = PeriodFacts { advance: december(&silver), ..facts(PeriodKind::Trial, &[]) };
    let own = invoice(&[&silver], &free, &used(&silver));
    assert_eq!(
        lines(&own),
        [
            ["discount", "trial", "Trial: usage is free", "-(0.72)", "-0.72"],
            ["charge", "base_fee", "Platform, 2026-12-01 to 2027-01-01, in advance", "31.00", "31.00"],
        ]
    );
    assert_eq!((own.total.as_str(), own.plan_at_end.as_deref()), ("31.00", Some("silver@1")));
    let charged = PeriodFacts { usage: TrialUsage::Charged, ..facts(PeriodKind::Trial, &[]) };
    let own = invoice(&[&silver], &charged, &used(&silver));
    assert_eq!((lines(&own).len(), own.total.as_str()), (0, "0.72"));
    // Nothing was used: nothing is taken off.
    let own = invoice(&[&silver], &facts(PeriodKind::Trial, &[]), &[]);
    assert_eq!((own.lines.len(), own.total.as_str()), (0, "0.00"));
}

#[test]
fn fees_of_another_currency_are_refused() {
    let euro = Plan::from_text("t", &plan("euro", FEE).source().replacen("USD", "EUR", 1)).expect("a plan");
    let facts = facts(PeriodKind::Regular, &[(1, &euro)]);
    let plans: Plans = [(euro.id().clone(), euro.clone())].into_iter().collect();
    let parts = InvoiceParts {
        tenant: &tenant("acme"),
        period: &november(),
        now: DECEMBER,
        sums: &[],
        late: &[],
        events: &[],
        events_count: 0,
        plans: &Plans::new(),
        projects: &[],
        plan_at_end: None,
        subscription: Some(Subscribed { facts: &facts, plans: &plans }),
    };
    assert!(matches!(Invoice::build(&parts), Err(RateError::MixedCurrencies { .. })));
}

#[test]
fn facts_that_do_not_read_are_refused() {
    let silver = plan("silver", FEE);
    let facts = PeriodFacts { advance: december(&silver), ..facts(PeriodKind::Trial, &[(1, &silver)]) };
    let good = BilledSubscription::to_wire(&facts);
    assert_eq!(good.to_facts(), Ok(facts));
    let bad = [
        BilledSubscription { kind: "weekly".to_owned(), ..good.clone() },
        BilledSubscription { trial_usage: Some("cheap".to_owned()), ..good.clone() },
        BilledSubscription {
            spans: vec![BilledSpan { plan: Some(String::new()), ..good.spans[0].clone() }],
            ..good.clone()
        },
        BilledSubscription {
            advance: good.advance.clone().map(|advance| BilledAdvance { plan: "x".repeat(999), ..advance }),
            ..good
        },
    ];
    for bad in bad {
        assert!(bad.to_facts().is_err(), "{bad:?}");
    }
}
