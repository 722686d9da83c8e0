//! An operation that is dropped at any of its steps and asked again comes to the same bytes, and leaves the same rows.
//! Never a crash that is chosen by its luck: each count of steps is tried, from none to more than there are.
//! Run by `cargo test`.
//!
//! A step ends where the operation waits for the database. A database that answers fast makes one step of two, so each
//! count is tried several times.

use std::{collections::BTreeMap, path::Path, pin::Pin};

use billing::{
    invoice::{self, CreditLineRequest, CreditRequest},
    ledger::{
        IssuerDetails, Ledger, Limits, NewGrant, NewPayment, NewTenant, Party, Tenant, TenantBilling,
        TenantTerms,
    },
    plan::Plan,
    rate::MinorUnits,
};
use domain::{Currency, EndReason, Money, Nanos, Period, Timestamp, Tokens, UsageRecord};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use crate::{
    dice::Dice,
    world::{
        cut_short, folder,
        usage::{self, Journal, Request},
    },
};

/// 2023-09-01, 2023-10-01, 2023-11-01 and 2023-12-01 in UTC.
const MONTHS: [i64; 4] =
    [1_693_526_400_000_000, 1_696_118_400_000_000, 1_698_796_800_000_000, 1_701_388_800_000_000];
/// Steps that no operation reaches.
const STEPS_MAX: u64 = 2_000;
/// How often a crash after so many steps is tried.
const TRIES: u64 = 3;

type Answer<'a> = Pin<Box<dyn Future<Output = String> + 'a>>;

/// A ledger with an invoice that is not paid, a record that came too late for it, and a month to be invoiced.
struct Before {
    tenant: Tenant,
    journal: Journal,
}

fn instant(at: i64) -> Timestamp {
    Timestamp::from_unix_micros(at)
}

async fn before(ledger: &Ledger) -> Before {
    let plan = Plan::demo().expect("the demo plan");
    ledger.publish_plan(&plan, instant(MONTHS[0])).await.expect("published");
    let (limits, terms) = (Limits::default(), TenantTerms::default());
    let new = NewTenant { name: "acme", plan_name: "demo", zone: "UTC", limits, terms };
    let tenant = ledger.create_tenant(&new, instant(MONTHS[0])).await.expect("a tenant");
    let party = Party { legal_name: "Somebody".to_owned(), ..Party::default() };
    let taxes = vec!["VAT=19".parse().expect("a tax")];
    let issuer = IssuerDetails { party: party.clone(), taxes, ..IssuerDetails::default() };
    ledger.set_issuer_details(&issuer).await.expect("set");
    let billing = TenantBilling { party, threshold: Some(MinorUnits::new(1)), ..TenantBilling::default() };
    ledger.set_tenant_billing(tenant.id, &billing).await.expect("set");
    let mut dice = Dice::new(7);
    let mut journal = Journal::new(&mut dice);
    for month in [1, 1, 1, 2, 2, 1] {
        let ended = MONTHS[month] + dice.span(2_000_000_000_000);
        let request = Request { tenant: tenant.id, plan: &plan, model: "demo", began: ended - 1_000, ended };
        // What costs something, so that a part of it can be paid, given back and corrected.
        let record = usage::record(&mut dice, &request);
        journal.add(UsageRecord {
            reason: EndReason::Completed,
            prompt_tokens: Tokens::ZERO,
            cached_prompt_tokens: Tokens::ZERO,
            output_tokens: Tokens::new(5_000_000),
            charge: Nanos::new(9_000_000_000),
            ..record
        });
    }
    let first = Period::new(instant(MONTHS[1]), instant(MONTHS[2]), "UTC").expect("a period");
    ledger.ship(journal.id, &journal.lines[..2]).await.expect("shipped");
    invoice::issue(ledger, &tenant, &first, instant(MONTHS[2])).await.expect("issued");
    // Grants pay for some of what comes now, and the invoice of November gives back what they paid too much.
    let grant = NewGrant::paid(Money::from_nanos(12_000_000_000, Currency::USD), "first", "");
    ledger.add_grant(tenant.id, &grant, instant(MONTHS[2])).await.expect("granted");
    ledger.ship(journal.id, &journal.lines[2..5]).await.expect("shipped");
    Before { tenant, journal }
}

/// Everything that money depends on: each operation with its answer in bytes, but for ids that are drawn.
fn ask<'a>(what: &str, ledger: &'a Ledger, Before { tenant, journal }: &'a Before) -> Answer<'a> {
    let number = "TG-000001";
    let now = instant(MONTHS[3]);
    match what {
        "issue and correct" => Box::pin(async move {
            let period = Period::new(instant(MONTHS[2]), now, "UTC").expect("a period");
            let issued = invoice::issue(ledger, tenant, &period, now).await.expect("issued");
            issued.to_json().expect("json")
        }),
        "issue a part" => Box::pin(async move {
            let now = instant(MONTHS[3] - 1);
            // Asked again after it is there, nothing more is due.
            let issued = invoice::issue_at_threshold(ledger, tenant, now).await.expect("looked");
            drop(issued);
            ledger
                .find_invoice("TG-000002")
                .await
                .expect("read")
                .map_or(String::new(), |invoice| invoice.body)
        }),
        "void" => Box::pin(async move {
            format!("{:?}", ledger.void_invoice(number, "a mistake", now).await.expect("void"))
        }),
        "give back" => Box::pin(async move {
            let line = CreditLineRequest { position: 1, amount: Some("1.23".to_owned()) };
            let request = CreditRequest { reason: "goodwill".to_owned(), lines: vec![line] };
            let note = ledger.issue_credit_note(number, (&request, "key"), now).await.expect("given back");
            note.to_json().expect("json")
        }),
        "pay" => Box::pin(async move {
            let payment = NewPayment { amount: MinorUnits::new(123), reference: "bank", note: "" };
            format!("{:?}", ledger.record_payment(number, &payment, now).await.expect("paid").0)
        }),
        "grant" => Box::pin(async move {
            let new = NewGrant::paid(Money::from_nanos(5_000_000_000, Currency::USD), "second", "");
            let (grant, _) = ledger.add_grant(tenant.id, &new, now).await.expect("granted");
            format!(
                "{:?} {} {:?} {:?}",
                grant.amount, grant.idempotency_key, grant.created_at, grant.priority
            )
        }),
        "ship" => Box::pin(async move {
            ledger.ship(journal.id, &journal.lines[3..]).await.expect("shipped");
            format!("{:?}", ledger.journal_cursor(journal.id).await.expect("read"))
        }),
        other => panic!("{other} is nothing that can be asked"),
    }
}

/// How many rows each table has.
async fn rows(path: &Path) -> BTreeMap<String, i64> {
    let url = format!("sqlite://{}", path.display());
    let mut connection = SqliteConnection::connect(&url).await.expect("the file opens");
    let query = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let names: Vec<(String,)> = sqlx::query_as(query).fetch_all(&mut connection).await.expect("names");
    let mut rows = BTreeMap::new();
    for (name,) in names {
        let query = AssertSqlSafe(format!("SELECT COUNT(*) FROM \"{name}\""));
        let (count,): (i64,) = sqlx::query_as(query).fetch_one(&mut connection).await.expect("a count");
        rows.insert(name, count);
    }
    connection.close().await.expect("closed");
    rows
}

/// Asks with a crash after so many steps; says the answer, the rows, and whether there was a crash.
async fn crashed(
    base: &Path,
    what: &str,
    before: &Before,
    steps: u64,
) -> (String, BTreeMap<String, i64>, bool) {
    let folder = folder();
    let path = folder.path().join("ledger.db");
    std::fs::copy(base, &path).expect("copied");
    let url = format!("sqlite://{}", path.display());
    let ledger = Ledger::connect(&url).await.expect("the ledger opens");
    let is_crash = cut_short(ask(what, &ledger, before), steps).await.is_none();
    ledger.close().await;
    let ledger = Ledger::connect(&url).await.expect("the ledger opens again");
    let answer = ask(what, &ledger, before).await;
    ledger.close().await;
    (answer, rows(&path).await, is_crash)
}

async fn check(what: &str) {
    let folder = folder();
    let (made, base) = (folder.path().join("made.db"), folder.path().join("base.db"));
    let ledger = Ledger::connect(&format!("sqlite://{}", made.display())).await.expect("a fresh ledger");
    let before = before(&ledger).await;
    ledger.backup(&base).await.expect("copied");
    ledger.close().await;
    let (expected, expected_rows, is_crash) = crashed(&base, what, &before, STEPS_MAX).await;
    assert!(!is_crash, "{what} has more than {STEPS_MAX} steps");
    let mut crashes = 0;
    for steps in 0..STEPS_MAX {
        let mut is_any_crash = false;
        for _ in 0..TRIES {
            let (answer, rows, is_crash) = crashed(&base, what, &before, steps).await;
            assert_eq!(answer, expected, "{what}, after {steps} steps");
            assert_eq!(rows, expected_rows, "{what}, after {steps} steps");
            is_any_crash |= is_crash;
            crashes += u64::from(is_crash);
        }
        if !is_any_crash {
            println!("{what}: {crashes} crashes within {steps} steps");
            assert!(crashes > TRIES, "{what} was never dropped after its first step");
            return;
        }
    }
}

#[tokio::test]
async fn an_invoice_is_the_same_after_a_crash_at_any_step() {
    check("issue and correct").await;
}

#[tokio::test]
async fn a_part_is_the_same_after_a_crash_at_any_step() {
    check("issue a part").await;
}

#[tokio::test]
async fn what_becomes_of_an_invoice_is_the_same_after_a_crash_at_any_step() {
    for what in ["void", "give back", "pay"] {
        check(what).await;
    }
}

#[tokio::test]
async fn grants_and_records_are_the_same_after_a_crash_at_any_step() {
    for what in ["grant", "ship"] {
        check(what).await;
    }
}
