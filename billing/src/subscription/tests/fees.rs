//! Base fees, what is given back of them, and commitments, for every rule of division.
//! Never a line of an invoice: those are tested beside invoices.
//! Run by `cargo test`.

use domain::PlanVersionId;
use proptest::prelude::*;

use super::*;
use crate::{plan::Plan, rate::ExactAmount};

const ZONE: &str = "Europe/Berlin";

/// A plan with so much of a fee: amount, timing, proration, and what is kept on a cancellation.
fn plan(name: &str, terms: &str) -> Plan {
    let head = Plan::demo().expect("the demo plan").source().replacen(
        "name = \"demo\"",
        &format!("name = \"{name}\""),
        1,
    );
    Plan::from_text("t", &format!("{head}\n{terms}\n")).unwrap_or_else(|error| panic!("{terms}: {error}"))
}

fn fee(amount: &str, timing: &str, proration: &str) -> String {
    format!("[base_fee]\namount = \"{amount}\"\ntiming = \"{timing}\"\nproration = \"{proration}\"")
}

fn plans_of(plans: &[Plan]) -> Plans {
    plans.iter().map(|plan| (plan.id().clone(), plan.clone())).collect()
}

fn id(name: &str) -> PlanVersionId {
    format!("{name}@1").parse().expect("a version")
}

/// An instant of November 2026 in Berlin, as day and time.
fn berlin(text: &str) -> Timestamp {
    let text = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00") };
    let local: jiff::civil::DateTime = text.parse().expect("a local time");
    let zoned = local.to_zoned_datetime(zone_of(ZONE)).expect("an instant");
    Timestamp::from_unix_micros(zoned.timestamp().as_microsecond())
}

/// November 2026: spans by their beginnings, each with a plan, or `-` for a pause under the plan before it.
fn november(spans: &[(&str, &str)], end: &str) -> PeriodFacts {
    let ends = spans.iter().skip(1).map(|(from, _)| *from).chain([end]);
    let mut plan = "";
    let spans = spans.iter().zip(ends).map(|((from, name), to)| {
        let is_paused = *name == "-";
        if !is_paused {
            plan = name;
        }
        PlanSpan { from: berlin(from), to: berlin(to), plan: Some(id(plan)), is_paused }
    });
    PeriodFacts {
        kind: PeriodKind::Regular,
        full_start: berlin("2026-11-01"),
        full_end: berlin("2026-12-01"),
        usage: TrialUsage::Charged,
        spans: spans.collect(),
        advance: None,
    }
}

/// December 2026, billed ahead under a plan.
fn december(plan: &str) -> Option<Advance> {
    let (start, end) = (berlin("2026-12-01"), berlin("2027-01-01"));
    Some(Advance { full_start: start, start, end, plan: id(plan) })
}

/// Fees as text: why, whose, units of whole, amount; credits are negative.
fn shown(facts: &PeriodFacts, plans: &[Plan]) -> Vec<String> {
    let fees = fees(facts, &zone_of(ZONE), &plans_of(plans)).expect("fees");
    let text = |fee: &Fee| {
        let (why, sign) = match fee.kind {
            FeeKind::Due => ("due", ""),
            FeeKind::Advance => ("ahead", ""),
            FeeKind::Changed => ("changed", "-"),
            FeeKind::Paused => ("paused", "-"),
            FeeKind::Cancelled => ("cancelled", "-"),
        };
        let Share { units, whole, exact, .. } = &fee.share;
        format!("{why} {} {units}/{whole} {sign}{exact}", fee.plan)
    };
    fees.iter().map(text).collect()
}

fn check(facts: &PeriodFacts, plans: &[Plan], expected: &[&str]) {
    assert_eq!(shown(facts, plans), expected, "{facts:?}");
}

#[test]
fn in_arrears_a_whole_period_costs_the_fee() {
    let silver = plan("silver", &fee("30", "arrears", "day"));
    check(&november(&[("2026-11-01", "silver")], "2026-12-01"), &[silver], &["due silver@1 30/30 30"]);
}

#[test]
fn in_advance_the_period_itself_was_billed_and_the_next_one_is() {
    let silver = plan("silver", &fee("30", "advance", "day"));
    let facts = november(&[("2026-11-01", "silver")], "2026-12-01");
    check(&facts, std::slice::from_ref(&silver), &[]);
    let facts = PeriodFacts { advance: december("silver"), ..facts };
    check(&facts, std::slice::from_ref(&silver), &["ahead silver@1 31/31 30"]);
    // A first period that is cut costs its share.
    let cut = Advance {
        full_start: berlin("2026-12-01"),
        start: berlin("2026-12-11"),
        end: berlin("2027-01-01"),
        plan: id("silver"),
    };
    check(&PeriodFacts { advance: Some(cut), ..facts }, &[silver], &["ahead silver@1 21/31 20.322580645161"]);
}

#[test]
fn outside_of_regular_periods_there_is_no_fee_of_their_own() {
    let silver = plan("silver", &fee("30", "advance", "day"));
    for kind in [PeriodKind::Before, PeriodKind::Trial, PeriodKind::After] {
        let facts = PeriodFacts { kind, ..november(&[], "2026-12-01") };
        check(&facts, std::slice::from_ref(&silver), &[]);
        // The first fee is billed with what comes before its period.
        let facts = PeriodFacts { advance: december("silver"), ..facts };
        check(&facts, std::slice::from_ref(&silver), &["ahead silver@1 31/31 30"]);
    }
}

#[test]
fn a_plan_without_a_fee_costs_none() {
    let free = plan("free", "");
    let facts =
        PeriodFacts { advance: december("free"), ..november(&[("2026-11-01", "free")], "2026-12-01") };
    check(&facts, &[free], &[]);
}

#[test]
fn an_upgrade_gives_back_the_rest_and_charges_the_rest() {
    // On the 16th, in the afternoon: 15 days of each, and the day of the change is the new plan's.
    let spans = [("2026-11-01", "silver"), ("2026-11-16T15:00:00", "gold")];
    let facts = november(&spans, "2026-12-01");
    let rows = [
        ("advance", "advance", vec!["changed silver@1 15/30 -15", "due gold@1 15/30 45"]),
        ("arrears", "arrears", vec!["due silver@1 15/30 15", "due gold@1 15/30 45"]),
        ("advance", "arrears", vec!["changed silver@1 15/30 -15", "due gold@1 15/30 45"]),
        ("arrears", "advance", vec!["due silver@1 15/30 15", "due gold@1 15/30 45"]),
    ];
    for (of_silver, of_gold, expected) in rows {
        let silver = plan("silver", &fee("30", of_silver, "day"));
        let gold = plan("gold", &fee("90", of_gold, "day"));
        check(&facts, &[silver, gold], &expected);
    }
    // A downgrade is the same the other way round, and a plan without a fee takes none.
    let gold = plan("gold", &fee("90", "advance", "day"));
    let facts = november(&[("2026-11-01", "gold"), ("2026-11-11", "free")], "2026-12-01");
    check(&facts, &[gold, plan("free", "")], &["changed gold@1 20/30 -60"]);
}

#[test]
fn plans_that_come_and_go_cost_their_own_days() {
    let silver = plan("silver", &fee("30", "advance", "day"));
    let gold = plan("gold", &fee("90", "advance", "day"));
    let spans = [("2026-11-01", "silver"), ("2026-11-11", "gold"), ("2026-11-21", "silver")];
    let expected = ["changed silver@1 10/30 -10", "due gold@1 10/30 30"];
    check(&november(&spans, "2026-12-01"), &[silver.clone(), gold.clone()], &expected);
    // There and back within a day: no day of the other one.
    let spans =
        [("2026-11-01", "silver"), ("2026-11-11T09:00:00", "gold"), ("2026-11-11T10:00:00", "silver")];
    check(&november(&spans, "2026-12-01"), &[silver, gold], &[]);
}

#[test]
fn by_seconds_a_change_counts_from_its_second() {
    let silver = plan("silver", &fee("30", "advance", "second"));
    let gold = plan("gold", &fee("90", "advance", "second"));
    // November has 2,592,000 seconds; the 16th at noon is half a day after the middle.
    let spans = [("2026-11-01", "silver"), ("2026-11-16T12:00:00.9", "gold")];
    let expected = ["changed silver@1 1252800/2592000 -14.5", "due gold@1 1252800/2592000 43.5"];
    check(&november(&spans, "2026-12-01"), &[silver, gold], &expected);
}

#[test]
fn without_division_the_first_plan_is_due_whole() {
    let silver = plan("silver", &fee("30", "arrears", "none"));
    let gold = plan("gold", &fee("90", "arrears", "none"));
    let spans = [("2026-11-01", "silver"), ("2026-11-16", "gold")];
    check(&november(&spans, "2026-12-01"), &[silver, gold], &["due silver@1 1/1 30"]);
    let silver = plan("silver", &fee("30", "advance", "none"));
    let gold = plan("gold", &fee("90", "advance", "none"));
    check(&november(&spans, "2026-12-01"), &[silver, gold], &[]);
    // Each plan's own rule counts: silver is due whole, of gold its days.
    let silver = plan("silver", &fee("30", "arrears", "none"));
    let gold = plan("gold", &fee("90", "arrears", "day"));
    let expected = ["due silver@1 1/1 30", "due gold@1 15/30 45"];
    check(&november(&spans, "2026-12-01"), &[silver, gold], &expected);
}

#[test]
fn paused_days_are_given_back_or_not_charged() {
    // From the 5th in the morning to the 15th in the evening: the day of the pause is free, that of the return is not.
    let spans = [("2026-11-01", "silver"), ("2026-11-05T08:00:00", "-"), ("2026-11-15T20:00:00", "silver")];
    let facts = november(&spans, "2026-12-01");
    let ahead = plan("silver", &fee("30", "advance", "day"));
    check(&facts, &[ahead], &["paused silver@1 10/30 -10"]);
    let after = plan("silver", &fee("30", "arrears", "day"));
    check(&facts, &[after], &["due silver@1 4/30 4", "due silver@1 16/30 16"]);
    for timing in ["advance", "arrears"] {
        let whole = plan("silver", &fee("30", timing, "none"));
        let expected: &[&str] = if timing == "advance" { &[] } else { &["due silver@1 1/1 30"] };
        check(&facts, &[whole], expected);
    }
    // Paused when the period began: nothing was billed ahead, and the rest is due from the return on.
    let spans = [("2026-11-01", "silver"), ("2026-11-01", "-"), ("2026-11-21", "silver")];
    let mut facts = november(&spans, "2026-12-01");
    facts.spans.remove(0);
    for timing in ["advance", "arrears"] {
        let own = plan("silver", &fee("30", timing, "day"));
        check(&facts, &[own], &["due silver@1 10/30 10"]);
    }
    // Paused all the time.
    facts.spans.truncate(1);
    facts.spans[0].to = facts.full_end;
    check(&facts, &[plan("silver", &fee("30", "arrears", "day"))], &[]);
    check(&facts, &[plan("silver", &fee("30", "arrears", "none"))], &[]);
}

#[test]
fn a_cancellation_at_once_gives_back_what_the_plan_says() {
    let facts = november(&[("2026-11-01", "silver")], "2026-11-21T17:00:00");
    let keep = format!("{}\non_cancel = \"keep\"", fee("30", "advance", "day"));
    let rows = [
        // The day of the cancellation is given back, too.
        (fee("30", "advance", "day"), vec!["cancelled silver@1 10/30 -10"]),
        (fee("30", "advance", "second"), vec!["cancelled silver@1 802800/2592000 -9.291666666667"]),
        (fee("30", "advance", "none"), vec![]),
        (keep, vec![]),
        (fee("30", "arrears", "day"), vec!["due silver@1 20/30 20"]),
        (fee("30", "arrears", "second"), vec!["due silver@1 1789200/2592000 20.708333333333"]),
        (fee("30", "arrears", "none"), vec!["due silver@1 1/1 30"]),
    ];
    for (terms, expected) in rows {
        check(&facts, &[plan("silver", &terms)], &expected);
    }
    // A fee that is kept on a cancellation is given back for another plan and for pauses all the same.
    let keep = format!("{}\non_cancel = \"keep\"", fee("30", "advance", "day"));
    let facts = november(&[("2026-11-01", "silver"), ("2026-11-11", "-")], "2026-11-21");
    check(&facts, &[plan("silver", &keep)], &["paused silver@1 10/30 -10"]);
}

#[test]
fn days_are_those_of_the_calendar_also_where_clocks_change() {
    // October has a day of 25 hours in Berlin: by days it counts as one, by seconds as 90,000.
    let facts = |to: &str| PeriodFacts {
        full_start: berlin("2026-10-01"),
        full_end: berlin("2026-11-01"),
        spans: vec![PlanSpan {
            from: berlin("2026-10-01"),
            to: berlin(to),
            plan: Some(id("silver")),
            is_paused: false,
        }],
        ..november(&[], "2026-12-01")
    };
    let rows = [
        ("2026-10-25", "day", "due silver@1 24/31 24"),
        ("2026-10-26", "day", "due silver@1 25/31 25"),
        ("2026-10-25", "second", "due silver@1 2073600/2682000 23.96778523489933"),
        ("2026-10-26", "second", "due silver@1 2163600/2682000 25.00805369127517"),
    ];
    for (to, proration, expected) in rows {
        let found = shown(&facts(to), &[plan("silver", &fee("31", "arrears", proration))]);
        // To twelve decimals.
        let expected: String = expected.chars().take(expected.len().min(found[0].len())).collect();
        let cut = |text: &str| text.chars().take(text.len() - 1).collect::<String>();
        match proration {
            "day" => assert_eq!(found, [expected]),
            _ => assert_eq!(cut(&found[0]), cut(&expected), "{to}"),
        }
    }
}

#[test]
fn commitments_are_shares_by_plan_and_pause() {
    let commitment =
        |amount: &str, rule: &str| format!("[commitment]\namount = \"{amount}\"\nproration = \"{rule}\"");
    let check = |facts: &PeriodFacts, plans: &[Plan], expected: &[&str]| {
        let shares = committed(facts, &zone_of(ZONE), &plans_of(plans)).expect("shares");
        let text = |(plan, share): &(PlanVersionId, Share)| {
            format!("{plan} {}/{} {}", share.units, share.whole, share.exact)
        };
        assert_eq!(shares.iter().map(text).collect::<Vec<_>>(), expected);
    };
    let silver = plan("silver", &commitment("300", "day"));
    let gold = plan("gold", &commitment("900", "day"));
    let whole = november(&[("2026-11-01", "silver")], "2026-12-01");
    check(&whole, std::slice::from_ref(&silver), &["silver@1 30/30 300"]);
    let spans = [("2026-11-01", "silver"), ("2026-11-11", "-"), ("2026-11-21", "gold")];
    let both = november(&spans, "2026-12-01");
    check(&both, &[silver.clone(), gold], &["silver@1 10/30 100", "gold@1 10/30 300"]);
    let cut = november(&[("2026-11-01", "silver")], "2026-11-16T09:00:00");
    check(&cut, &[silver], &["silver@1 15/30 150"]);
    let undivided = plan("silver", &commitment("300", "none"));
    check(&cut, &[undivided], &["silver@1 1/1 300"]);
    check(&whole, &[plan("silver", "")], &[]);
}

/// A period divided at random among two plans and pauses.
fn any_november() -> impl Strategy<Value = PeriodFacts> {
    let marks = proptest::collection::btree_set(1_i64..2_592_000, 0..6);
    (marks, proptest::collection::vec(0_u8..3, 7)).prop_map(|(marks, kinds)| {
        let start = berlin("2026-11-01");
        let at = |seconds: i64| Timestamp::from_unix_micros(start.unix_micros() + seconds * 1_000_000);
        let bounds: Vec<i64> = [0].into_iter().chain(marks).chain([2_592_000]).collect();
        let spans = bounds.windows(2).zip(kinds).map(|(pair, kind)| PlanSpan {
            from: at(pair[0]),
            to: at(pair[1]),
            plan: Some(id(if kind == 1 { "gold" } else { "silver" })),
            is_paused: kind == 2,
        });
        PeriodFacts { spans: spans.collect(), ..november(&[], "2026-12-01") }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whenever a fee is billed, what it comes to after all is the same: the days under each plan.
    #[test]
    fn advance_and_arrears_come_to_the_same(facts in any_november(), is_by_day: bool) {
        let rule = if is_by_day { "day" } else { "second" };
        let total = |timing: &str| {
            let plans = [plan("silver", &fee("29.99", timing, rule)), plan("gold", &fee("100.01", timing, rule))];
            let fees = fees(&facts, &zone_of(ZONE), &plans_of(&plans)).expect("fees");
            // What was billed before the period began.
            let first = facts.spans.first().filter(|span| !span.is_paused && timing == "advance");
            let billed = first.and_then(|span| plans.iter().find(|plan| Some(plan.id()) == span.plan.as_ref()));
            let billed = billed.and_then(Plan::base_fee).map(|fee| ExactAmount::of_decimal(fee.amount.clone()));
            fees.iter().fold(billed.unwrap_or_else(ExactAmount::zero), |sum, fee| match fee.kind {
                FeeKind::Due | FeeKind::Advance => sum.plus(&fee.share.exact),
                FeeKind::Changed | FeeKind::Paused | FeeKind::Cancelled => sum.plus(&fee.share.exact.negated()),
            })
        };
        prop_assert_eq!(total("advance"), total("arrears"));
    }

    /// However a period is divided, unpaused parts of one plan never come to more than its fee, and a plan that is
    /// never left costs exactly its fee.
    #[test]
    fn parts_never_exceed_the_whole(facts in any_november()) {
        let silver = plan("silver", &fee("29.99", "arrears", "day"));
        let own = fees(&facts, &zone_of(ZONE), &plans_of(std::slice::from_ref(&silver))).expect("fees");
        let sum = ExactAmount::sum(own.iter().map(|fee| &fee.share.exact));
        let whole = ExactAmount::of_decimal("29.99".parse().expect("a decimal"));
        prop_assert!(sum <= whole && own.iter().all(|fee| !fee.share.exact.is_negative()));
        let spans = facts.spans.iter().map(|span| PlanSpan { plan: Some(id("silver")), is_paused: false, ..span.clone() });
        let never_left = PeriodFacts { spans: spans.collect(), ..facts.clone() };
        let own = fees(&never_left, &zone_of(ZONE), &plans_of(&[silver])).expect("fees");
        prop_assert_eq!(ExactAmount::sum(own.iter().map(|fee| &fee.share.exact)), whole);
    }
}
