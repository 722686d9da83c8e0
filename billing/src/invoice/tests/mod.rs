//! Invoices built from sums, and how they look, against files kept beside this one.
//! Never a database.
//! Run by `cargo test`; `TALLYGATE_UPDATE_SNAPSHOTS=1` writes the files anew.

mod charges;
mod embeddings;
mod late;
mod meters;
mod subscription;

use std::{collections::BTreeMap, path::PathBuf};

use domain::{Currency, EndReason, EnergySource, Millijoules, Period, SloClass, TenantId, Timestamp, Tokens};
use proptest::prelude::*;

use super::{text::with_separators, *};
use crate::{
    ledger::{Limits, Tenant, TenantTerms, UsageSum, UsageTotals},
    plan::Plan,
    rate::RateError,
};

/// 2026-12-01T00:00:00Z.
const DECEMBER: Timestamp = Timestamp::from_unix_micros(1_796_083_200_000_000);

fn tenant(name: &str) -> Tenant {
    Tenant {
        id: TenantId::from_uuid(uuid::Uuid::from_u128(0x0189_0000_0000_7000_8000_0000_0000_0001)),
        name: name.to_owned(),
        plan_name: "demo".to_owned(),
        currency: Currency::USD,
        zone: "Europe/Berlin".to_owned(),
        limits: Limits::default(),
        terms: TenantTerms::default(),
        created_at: Timestamp::from_unix_micros(0),
        disabled_at: None,
    }
}

/// Requests, of which so many met the SLO; prompt, cached, output and late tokens.
fn sum(version: &str, model: &str, reason: EndReason, counts: [u64; 6]) -> UsageSum {
    let [requests, requests_slo_met, prompt, cached, output, late] = counts;
    UsageSum {
        price_version: version.parse().expect("a version"),
        model: model.parse().expect("a model"),
        slo_class: SloClass::Interactive,
        reason,
        energy_source: EnergySource::Modelled,
        totals: UsageTotals {
            requests,
            requests_slo_met,
            prompt_tokens: Tokens::new(prompt),
            cached_prompt_tokens: Tokens::new(cached),
            output_tokens: Tokens::new(output),
            reasoning_tokens: Tokens::ZERO,
            tokens_in_slo: Tokens::new(output - late),
            late_tokens: Tokens::new(late),
            energy: Millijoules::new(requests.min(1_000_000) * 1_234),
            embeddings_tokens: Tokens::ZERO,
        },
    }
}

fn plans() -> BTreeMap<domain::PlanVersionId, Plan> {
    let demo = Plan::demo().expect("the demo plan");
    let tenth = demo.source().replacen("version = 1", "version = 10", 1).replacen("\"50\"", "\"100\"", 1);
    let second = demo.source().replacen("version = 1", "version = 2", 1).replacen(
        "model = \"demo\"",
        "model = \"*\"",
        1,
    );
    let plans = [
        demo,
        Plan::from_text("second", &second).expect("a plan"),
        Plan::from_text("tenth", &tenth).expect("a plan"),
    ];
    plans.into_iter().map(|plan| (plan.id().clone(), plan)).collect()
}

fn build(name: &str, sums: &[UsageSum]) -> Result<Invoice, RateError> {
    let period = Period::month("2026-11", "Europe/Berlin").expect("a month");
    let (tenant, plans) = (tenant(name), plans());
    Invoice::build(&InvoiceParts {
        tenant: &tenant,
        period: &period,
        now: DECEMBER,
        sums,
        late: &[],
        events: &[],
        events_count: 0,
        plans: &plans,
        projects: &[],
        plan_at_end: None,
        subscription: None,
    })
}

fn some_sums() -> Vec<UsageSum> {
    vec![
        sum("demo@1", "demo", EndReason::Completed, [199, 198, 1_234_567, 200_000, 345_678, 1_200]),
        sum("demo@1", "demo", EndReason::ClientGone, [1, 1, 10, 0, 3, 0]),
        sum("demo@1", "demo", EndReason::EngineError, [2, 0, 40, 0, 7, 7]),
        sum("demo@2", "org/model-with-a-rather-long-name:v1.2", EndReason::Completed, [3, 3, 900, 0, 100, 0]),
        sum("demo@10", "demo", EndReason::Completed, [1, 0, 5, 5, 4, 4]),
        sum("demo@10", "demo", EndReason::Crashed, [1, 0, 0, 0, 0, 0]),
    ]
}

#[test]
fn lines_carry_quantity_price_exact_and_displayed() {
    let invoice = build("acme", &some_sums()).expect("an invoice");
    let rows: Vec<_> = invoice
        .lines
        .iter()
        .map(|line| {
            (
                line.price_version.as_deref().unwrap_or(""),
                line.item.as_str(),
                line.quantity,
                line.unit_price.as_deref().unwrap_or(""),
                line.exact.as_str(),
                line.displayed.as_str(),
            )
        })
        .collect();
    // In cents, cut down: 15 + 1 + 20 − 1 + 0 + 0 + 0 + 0 + 0 − 1 = 34. The subtotal is 38, so four cents are
    // missing; they go to the largest rests: .99976 (line 10), .964 (4), .74086 (3), .518655 (1).
    let expected = [
        ("demo@1", "input", 1_034_577, "0.15", "0.15518655", "0.16"),
        ("demo@1", "cached_input", 200_000, "0.075", "0.015", "0.01"),
        ("demo@1", "output", 345_681, "0.60", "0.2074086", "0.21"),
        ("demo@1", "late_output", 1_200, "0.60", "-0.00036", "0.00"),
        ("demo@2", "input", 900, "0.15", "0.000135", "0.00"),
        ("demo@2", "output", 100, "0.60", "0.00006", "0.00"),
        ("demo@2", "late_output", 0, "0.60", "0.00", "0.00"),
        ("demo@10", "cached_input", 5, "0.075", "0.000000375", "0.00"),
        ("demo@10", "output", 4, "0.60", "0.0000024", "0.00"),
        ("demo@10", "late_output", 4, "0.60", "-0.0000024", "0.00"),
        ("demo@1", "input", 40, "", "0.00", "0.00"),
        ("demo@1", "output", 7, "", "0.00", "0.00"),
        ("demo@10", "input", 0, "", "0.00", "0.00"),
        ("", "modelled", 255_438, "", "0.00", "0.00"),
    ];
    assert_eq!(rows, expected);
    assert_eq!((invoice.subtotal_exact.as_str(), invoice.total.as_str()), ("0.377430525", "0.38"));
}

#[test]
fn attainment_is_rounded_down() {
    let rows = [([1, 1], "100.00"), ([100_000, 99_999], "99.99"), ([3, 1], "33.33"), ([3, 0], "0.00")];
    for ([requests, met], expected) in rows {
        let used = sum("demo@1", "demo", EndReason::Completed, [requests, met, 1, 0, 1, 0]);
        let invoice = build("acme", &[used]).expect("an invoice");
        let credit =
            invoice.lines.iter().find(|line| line.kind == LineKind::SloCredit).expect("a credit line");
        let attainment = credit.attainment.as_ref().expect("an attainment");
        assert_eq!((attainment.percent_rounded_down.as_str(), attainment.requests), (expected, requests));
    }
}

#[test]
fn a_whole_credit_leaves_the_input() {
    let used = sum("demo@10", "demo", EndReason::Completed, [1, 0, 1_000_000, 0, 1_000_000, 1_000_000]);
    let invoice = build("acme", &[used]).expect("an invoice");
    assert_eq!((invoice.subtotal_exact.as_str(), invoice.total.as_str()), ("0.15", "0.15"));
}

#[test]
fn what_has_no_price_is_refused_only_when_it_is_billed() {
    let free = sum("demo@1", "other", EndReason::EngineError, [1, 0, 5, 0, 0, 0]);
    assert_eq!(build("acme", &[free]).expect("an invoice").total, "0.00");
    let billed = sum("demo@1", "other", EndReason::Completed, [1, 0, 5, 0, 0, 0]);
    assert!(matches!(build("acme", &[billed]), Err(RateError::Unpriced { .. })));
    let ghost = sum("ghost@1", "demo", EndReason::Crashed, [1, 0, 5, 0, 0, 0]);
    assert!(matches!(build("acme", &[ghost]), Err(RateError::UnknownPriceVersion { .. })));
    let huge = [u64::MAX, 1, u64::MAX, 0, u64::MAX, 0];
    let huge = [0, 1].map(|_| sum("demo@1", "demo", EndReason::Completed, huge));
    assert!(build("acme", &huge).is_err(), "a sum that overflows is an error");
}

/// Compares with a file, or writes it where asked to.
fn check_snapshot(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/invoice/snapshots").join(name);
    if std::env::var("TALLYGATE_UPDATE_SNAPSHOTS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, text).expect("the file is written");
    }
    let expected =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(text, expected, "{}", path.display());
}

#[test]
fn the_three_forms_look_as_kept() {
    let draft = build("acme", &some_sums()).expect("an invoice");
    let issued = Invoice { status: Status::Issued, number: Some("TG-000042".to_owned()), ..draft.clone() };
    let late = Invoice { issued_as: Some("TG-000042".to_owned()), late_records: 3, ..draft };
    let empty = build("acme", &[]).expect("an invoice");
    check_snapshot("issued.txt", &issued.to_text());
    check_snapshot("issued.json", &issued.to_json().expect("json"));
    check_snapshot("issued.html", &issued.to_html().expect("html"));
    check_snapshot("draft.txt", &late.to_text());
    check_snapshot("draft.html", &late.to_html().expect("html"));
    check_snapshot("empty.txt", &empty.to_text());
    check_snapshot("empty.json", &empty.to_json().expect("json"));
    for line in issued.to_text().lines().chain(late.to_text().lines()) {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn one_of_a_thing_is_named_in_the_singular() {
    let used = sum("demo@1", "demo", EndReason::Completed, [1, 1, 3, 2, 1, 1]);
    let free = sum("demo@1", "demo", EndReason::EngineError, [1, 0, 1, 0, 2, 0]);
    let invoice = build("acme", &[used, free]).expect("an invoice");
    let invoice = Invoice { issued_as: Some("TG-000042".to_owned()), late_records: 1, ..invoice };
    let (text, html) = (invoice.to_text(), invoice.to_html().expect("html"));
    for expected in [
        "1 token × 0.15 USD",
        "2 tokens × 0.075 USD",
        "1 token × 0.60 USD",
        "1 token in 1 request\n",
        "2 tokens in 1 request\n",
        "SLO met by 1 of 1 request (",
        "1 usage record came later and is not on it",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    for expected in
        [">1 token<", ">2 tokens<", "1 of 1 request (", "1 usage record came later and is not on it"]
    {
        assert!(html.contains(expected), "{expected}: {html}");
    }
    for page in [&text, &html] {
        assert!(
            ![" 1 tokens", ">1 tokens", " 1 requests", " 1 usage records"]
                .iter()
                .any(|bad| page.contains(bad))
        );
    }
}

#[test]
fn a_month_is_not_begun_then_running_then_over() {
    let period = Period::month("2026-11", "Europe/Berlin").expect("a month");
    let (tenant, plans) = (tenant("acme"), plans());
    let before = |at: Timestamp| Timestamp::from_unix_micros(at.unix_micros() - 1);
    let rows = [
        (before(period.start()), "not begun yet"),
        (period.start(), "still running"),
        (before(period.end()), "still running"),
        (period.end(), ""),
    ];
    for (now, remark) in rows {
        let parts = InvoiceParts {
            tenant: &tenant,
            period: &period,
            now,
            sums: &[],
            late: &[],
            events: &[],
            events_count: 0,
            plans: &plans,
            projects: &[],
            plan_at_end: None,
            subscription: None,
        };
        let invoice = Invoice::build(&parts).expect("an invoice");
        for page in [invoice.to_text(), invoice.to_html().expect("html")] {
            let shown = ["not begun yet", "still running"].into_iter().filter(|words| page.contains(words));
            assert_eq!(shown.collect::<String>(), remark, "{now}");
        }
        let begun_and_ended = (invoice.period.has_begun, invoice.period.has_ended);
        assert_eq!(begun_and_ended, (now >= period.start(), now >= period.end()));
    }
}

#[test]
fn json_reads_back_to_the_same_bytes() {
    let invoice = build("acme", &some_sums()).expect("an invoice");
    let json = invoice.to_json().expect("json");
    let read = Invoice::from_issued(&json).expect("an invoice");
    assert_eq!(read.to_json().expect("json"), json);
    assert_eq!(
        (read.to_text(), read.to_html().expect("html")),
        (invoice.to_text(), invoice.to_html().expect("html"))
    );
    // A field that a later program adds stays in the bytes, though this one does not know it.
    let newer = json.replacen("{\n", "{\n  \"a_later_field\": 1,\n", 1);
    assert_eq!(Invoice::from_issued(&newer).expect("an invoice").to_json().expect("json"), newer);
    assert!(Invoice::from_issued("{}").is_err());
}

#[test]
fn names_cannot_become_markup() {
    let evil = "<script>alert('1')</script>\"&";
    let mut invoice = build(evil, &some_sums()).expect("an invoice");
    invoice.number = Some(evil.to_owned());
    invoice.issued_as = Some(evil.to_owned());
    for line in &mut invoice.lines {
        line.description = evil.to_owned();
        line.price_version = Some(evil.to_owned());
        line.formula = Some(evil.to_owned());
        line.unit_price = Some(evil.to_owned());
        line.unit = evil.to_owned();
    }
    let html = invoice.to_html().expect("html");
    assert!(!html.contains("<script"), "{html}");
    assert!(!html.contains("'1'") && !html.contains("\"&\""), "{html}");
    assert!(html.contains("&#60;script&#62;") || html.contains("&lt;script&gt;"));
}

#[test]
fn long_names_stay_within_the_page() {
    let mut invoice = build("acme", &some_sums()).expect("an invoice");
    for line in &mut invoice.lines {
        line.description = "m".repeat(300);
    }
    for line in invoice.to_text().lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn counts_are_grouped_by_three() {
    let rows = [
        (0, "0"),
        (999, "999"),
        (1_000, "1,000"),
        (1_234_567, "1,234,567"),
        (u64::MAX, "18,446,744,073,709,551,615"),
    ];
    for (count, expected) in rows {
        assert_eq!(with_separators(count), expected);
    }
}

fn any_sum() -> impl Strategy<Value = UsageSum> {
    let versions = prop_oneof![Just("demo@1"), Just("demo@10")];
    let reasons = proptest::sample::select(EndReason::ALL.to_vec());
    let counts =
        (1_u64..1_000, 0_u64..1_000, 0_u64..5_000_000, 0_u64..5_000_000, 0_u64..5_000_000, 0_u64..5_000_000);
    (versions, reasons, counts).prop_map(
        |(version, reason, (requests, met, prompt, cached, output, late))| {
            sum(
                version,
                "demo",
                reason,
                [requests, met.min(requests), prompt, cached.min(prompt), output, late.min(output)],
            )
        },
    )
}

proptest! {
    #[test]
    fn sums_are_conserved_and_order_does_not_matter(sums in proptest::collection::vec(any_sum(), 0..12)) {
        let invoice = build("acme", &sums).expect("an invoice");
        let decimal = |text: &str| text.parse::<bigdecimal::BigDecimal>().expect("a decimal");
        let exact: bigdecimal::BigDecimal = invoice.lines.iter().map(|line| decimal(&line.exact)).sum();
        let displayed: bigdecimal::BigDecimal = invoice.lines.iter().map(|line| decimal(&line.displayed)).sum();
        prop_assert_eq!(exact, decimal(&invoice.subtotal_exact));
        prop_assert_eq!(displayed, decimal(&invoice.subtotal));
        let is_minus_zero = |text: &str| text.starts_with('-') && !text.contains(|c| ('1'..='9').contains(&c));
        prop_assert!(!invoice.lines.iter().any(|line| is_minus_zero(&line.exact) || is_minus_zero(&line.displayed)));
        // A credit never exceeds its charge, so nobody is paid for being served.
        prop_assert!(decimal(&invoice.total) >= 0);
        let mut backwards = sums;
        backwards.reverse();
        prop_assert_eq!(build("acme", &backwards).expect("an invoice"), invoice);
    }
}
