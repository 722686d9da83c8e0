//! Invoices of plans that charge usage events, line by line, as a bookkeeper would write them down.
//! Never a database, and never an event: here are their sums.
//! Run by `cargo test`.

use proptest::prelude::*;

use super::*;
use crate::ledger::EventSum;

const METERS: &str = r#"
[[meter]]
name = "gpu_seconds"
event_type = "job"
aggregation = "sum"
value = "seconds"
unit = "s"
decimals = 3
[[meter]]
name = "images"
event_type = "image"
aggregation = "count"
unit = "images"
"#;

const CHARGES: &str = r#"
[[charge]]
name = "gpu"
description = "GPU time"
scheme = "graduated"
meter = "gpu_seconds"
unit = { name = "min", counts = 60, decimals = 4, rounding = "half_up" }
free = "1"
[[charge.tier]]
up_to = "10"
price = "0.50"
[[charge.tier]]
price = "0.40"
[[charge]]
name = "seconds"
scheme = "unit"
meter = "gpu_seconds"
price = "0.001"
[[charge]]
name = "pictures"
description = "Images"
scheme = "package"
meter = "images"
price = "0.10"
size = "100"
minimum = "1"
[[charge]]
name = "support"
scheme = "percentage"
percent = "10"
of = ["gpu"]
"#;

fn plan(version: u32) -> Plan {
    let demo = Plan::demo().expect("the demo plan");
    let head = demo.source().replacen("version = 1", &format!("version = {version}"), 1);
    Plan::from_text("t", &format!("{head}{METERS}{CHARGES}")).expect("a plan")
}

fn sum(version: u32, meter: &str, events: u64, counts: u64) -> EventSum {
    let (price_version, meter) = (plan(version).id().clone(), meter.parse().expect("a meter"));
    EventSum { price_version, meter, events, counts }
}

fn invoice_of(versions: &[u32], events: &[EventSum]) -> Invoice {
    let period = Period::month("2026-11", "Europe/Berlin").expect("a month");
    let plans: Vec<Plan> = versions.iter().map(|version| plan(*version)).collect();
    let by_id: BTreeMap<_, _> = plans.iter().map(|plan| (plan.id().clone(), plan.clone())).collect();
    let parts = InvoiceParts {
        tenant: &tenant("acme"),
        period: &period,
        now: DECEMBER,
        sums: &[],
        late: &[],
        events,
        events_count: events.iter().map(|sum| sum.events).sum(),
        plans: &by_id,
        projects: &[],
        plan_at_end: plans.last(),
        subscription: None,
    };
    Invoice::build(&parts).expect("an invoice")
}

/// Description, quantity with its unit, units, formula and exact amount of each line.
fn lines(invoice: &Invoice) -> Vec<String> {
    let line = |line: &Line| {
        let units = line.units.as_deref().zip(line.units_name.as_deref());
        let units = units.map_or_else(String::new, |(units, name)| format!("{units} {name}"));
        let formula = line.formula.as_deref().unwrap_or("");
        format!(
            "{} | {} {} | {units} | {formula} | {}",
            line.description, line.quantity, line.unit, line.exact
        )
    };
    invoice.lines.iter().map(line).collect()
}

#[test]
fn events_are_charged_beside_tokens() {
    // 12.5 minutes of GPU time in seconds with three decimals, and 250 images.
    let invoice = invoice_of(&[1], &[sum(1, "gpu_seconds", 7, 750_000), sum(1, "images", 250, 250)]);
    let expected = [
        "GPU time: free | 750000 0.001 s | 1 min | 1 × 0.00 | 0.00",
        "GPU time: tier 1, up to 10 min | 750000 0.001 s | 10 min | 10 × 0.50 | 5.00",
        "GPU time: tier 2, above 10 min | 750000 0.001 s | 1.5 min | 1.5 × 0.40 | 0.60",
        "seconds | 750000 0.001 s | 750 s | 750 × 0.001 | 0.75",
        "Images: begun packages of images | 250 images | 3 packages | 3 × 0.10 | 0.30",
        "Images: minimum of 1.00 in a period | 0  |  | 1.00 - 0.30 | 0.70",
        "support: 10 % of gpu | 0  |  | 5.60 × 10 ÷ 100 | 0.56",
    ];
    assert_eq!(lines(&invoice), expected);
    assert_eq!((invoice.total.as_str(), invoice.events, invoice.records), ("7.91", 257, 0));
    assert!(invoice.to_text().contains("GPU time: tier 2, above 10 min"), "{}", invoice.to_text());
    assert!(invoice.to_text().contains("metered: 750,000 × 0.001 s\n"), "{}", invoice.to_text());
    assert!(invoice.to_html().expect("html").contains("GPU time: tier 2, above 10 min"));
    let json = invoice.to_json().expect("json");
    assert!(json.contains("\"events\": 257,"), "{json}");
    assert!(
        !invoice_of(&[1], &[]).to_json().expect("json").contains("\"events\""),
        "as before there were events"
    );
}

#[test]
fn a_later_version_goes_on_where_the_earlier_one_stopped() {
    let one = invoice_of(&[1], &[sum(1, "gpu_seconds", 2, 750_000)]);
    let two = invoice_of(&[1, 2], &[sum(1, "gpu_seconds", 1, 100_000), sum(2, "gpu_seconds", 1, 650_000)]);
    assert_eq!(one.subtotal_exact, two.subtotal_exact);
    // A meter that nobody charges counts, and costs nothing.
    let free = Plan::demo().expect("the demo plan").source().to_owned() + METERS;
    let free = Plan::from_text("t", &free).expect("a plan");
    assert_eq!((free.meters().len(), free.charges().len()), (2, 0));
}

proptest! {
    /// However a period's events are spread over versions of the same terms, in all the same is due.
    #[test]
    fn splitting_over_versions_changes_nothing(
        parts in proptest::collection::vec(0_u64..3_000_000, 1..6),
    ) {
        let versions: Vec<u32> = (1..).take(parts.len()).collect();
        let events: Vec<_> =
            versions.iter().zip(&parts).map(|(version, counts)| sum(*version, "gpu_seconds", 1, *counts)).collect();
        let whole = invoice_of(&[1], &[sum(1, "gpu_seconds", 1, parts.iter().sum())]);
        prop_assert_eq!(invoice_of(&versions, &events).subtotal_exact, whole.subtotal_exact);
    }
}
