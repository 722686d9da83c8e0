//! What is due in all does not depend on how records came: in which order, in how many pieces, how often, how late.
//! Never a rule of rating: two tenants with the same usage are compared with one another.
//! Run by `cargo test`; the seed of a case that fails is printed.

use billing::{
    invoice::{self, Invoice},
    ledger::{Ledger, Limits, NewTenant, Tenant, TenantTerms},
};
use domain::{Period, RequestId, Timestamp, UsageRecord};

use crate::{
    dice::Dice,
    number::{Exact, sum},
    world::{
        folder,
        plans::{self, Wanted},
        usage::{self, Journal, Request},
    },
};

/// Cases: each some milliseconds.
const CASES: u64 = 250;
/// 2023-10-15T00:00:00Z.
const MADE: i64 = 1_697_328_000_000_000;
/// 2023-11-01T00:00:00Z.
const NOVEMBER: i64 = 1_698_796_800_000_000;
const DAY_US: i64 = 86_400_000_000;

async fn tenant(ledger: &Ledger, name: &str, plan_name: &str) -> Tenant {
    let (limits, terms) = (Limits::default(), TenantTerms::default());
    let new = NewTenant { name, plan_name, zone: "UTC", limits, terms };
    ledger.create_tenant(&new, Timestamp::from_unix_micros(MADE)).await.expect("a tenant")
}

async fn ship(ledger: &Ledger, journal: &mut Journal, last: usize) {
    let batch = journal.lines[journal.shipped.saturating_sub(1)..last].to_vec();
    ledger.ship(journal.id, &batch).await.expect("shipped");
    journal.shipped = last;
}

async fn issue(ledger: &Ledger, tenant: &Tenant, month: &str) -> Invoice {
    let period = Period::month(month, "UTC").expect("a month");
    invoice::issue(ledger, tenant, &period, period.end()).await.expect("issued")
}

/// The lines and sums of an invoice, without who owes it and which it is.
fn owed(invoice: &Invoice) -> String {
    let lines = serde_json::to_string(&invoice.lines).expect("json");
    format!("{lines} {} {}", invoice.subtotal_exact, invoice.total)
}

/// Brings records by several journals, in another order, in pieces and again; says which of them are still to come.
async fn scatter(ledger: &Ledger, dice: &mut Dice, mut records: Vec<UsageRecord>) -> Vec<Journal> {
    let mut journals: Vec<Journal> = (0..3).map(|_| Journal::new(dice)).collect();
    while !records.is_empty() {
        let record = records.swap_remove(dice.index(records.len()));
        journals[dice.index(3)].add(record);
    }
    for journal in &mut journals {
        // Some of a journal waits until the month is invoiced.
        let now = journal.lines.len() - dice.index(journal.lines.len().min(2) + 1);
        while journal.shipped < now {
            let last = journal.shipped + 1 + dice.index(now - journal.shipped);
            ship(ledger, journal, last).await;
        }
    }
    journals
}

async fn case(ledger: &Ledger, seed: u64) {
    let mut dice = Dice::new(seed);
    let name = format!("usd-{seed}");
    let plan = plans::plan(&mut dice, &Wanted { name: &name, version: 1, effective: None });
    ledger.publish_plan(&plan, Timestamp::from_unix_micros(MADE)).await.expect("published");
    let (one, other) = (format!("one-{seed}"), format!("other-{seed}"));
    let (one, other) = (tenant(ledger, &one, &name).await, tenant(ledger, &other, &name).await);
    let for_sale = ["alpha", "beta", "gamma"].into_iter();
    let for_sale: Vec<_> = for_sale.filter(|model| plan.sells(&model.parse().expect("a model"))).collect();
    if for_sale.is_empty() {
        return;
    }
    let mut records = Vec::new();
    for _ in 0..=dice.below(9) {
        let ended = NOVEMBER + dice.span(30 * DAY_US);
        let model = *dice.pick(&for_sale);
        let request = Request { tenant: one.id, plan: &plan, model, began: ended - 1, ended };
        records.push(usage::record(&mut dice, &request));
    }
    let mut straight = Journal::new(&mut dice);
    let same = |record: &UsageRecord| UsageRecord {
        tenant_id: other.id,
        request_id: RequestId::from_uuid(uuid::Uuid::new_v4()),
        ..record.clone()
    };
    let scattered: Vec<UsageRecord> = records.iter().map(same).collect();
    records.into_iter().for_each(|record| straight.add(record));
    let all = straight.lines.len();
    ship(ledger, &mut straight, all).await;
    let mut journals = scatter(ledger, &mut dice, scattered).await;
    let is_late = journals.iter().any(|journal| journal.shipped < journal.lines.len());
    let (november, later) = (issue(ledger, &one, "2023-11").await, issue(ledger, &other, "2023-11").await);
    if !is_late {
        assert_eq!(owed(&november), owed(&later), "seed {seed}");
    }
    for journal in &mut journals {
        let all = journal.lines.len();
        ship(ledger, journal, all).await;
    }
    let (december, corrected) =
        (issue(ledger, &one, "2023-12").await, issue(ledger, &other, "2023-12").await);
    let exact =
        |invoices: [&Invoice; 2]| sum(&invoices.map(|invoice| Exact::read(&invoice.subtotal_exact))).text(2);
    assert_eq!(exact([&november, &december]), exact([&later, &corrected]), "seed {seed}");
    // Each invoice is rounded once.
    let minor = |invoices: [&Invoice; 2]| -> i64 {
        invoices.iter().map(|invoice| Exact::read(&invoice.subtotal).to_minor(2)).sum()
    };
    assert!((minor([&november, &december]) - minor([&later, &corrected])).abs() <= 2, "seed {seed}");
}

#[tokio::test]
async fn how_records_come_changes_nothing_of_what_is_due() {
    let folder = folder();
    let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
    let ledger = Ledger::connect(&url).await.expect("a fresh ledger");
    for seed in 0..CASES {
        case(&ledger, seed).await;
    }
    ledger.close().await;
}
