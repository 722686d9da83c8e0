//! What becomes of issued invoices: payments, their end, what is refused, and issuing by itself, by many at once.
//! Never a change of what was issued.
//! Run on both databases.

use std::collections::BTreeSet;

use billing::{
    invoice,
    ledger::{
        Actor, ActorKind, Complete, InvoiceStanding, InvoiceState, Ledger, LedgerError, NewPayment, Recorded,
        Tenant,
    },
    rate::MinorUnits,
};
use domain::{JournalId, Timestamp};

use crate::{
    records::{Chain, HOUR_US, NOW, at, november, record, some_records, tenant},
    taxes::{customer, issuer, ten_dollars},
};

const DAY_US: i64 = 24 * HOUR_US;

fn later(instant: Timestamp, days: i64) -> Timestamp {
    Timestamp::from_unix_micros(instant.unix_micros() + days * DAY_US)
}

/// An issued invoice of 11.90 USD, due after two weeks.
async fn owed(ledger: &Ledger, name: &str) -> (Tenant, String) {
    let acme = tenant(ledger, name, "UTC").await;
    let mut chain = Chain::new();
    let batch = chain.add_all([ten_dollars(&acme)]);
    ledger.ship(chain.journal_id, &batch).await.expect("shipped");
    ledger.set_issuer_details(&issuer(&["VAT=19"])).await.expect("set");
    ledger.set_tenant_billing(acme.id, &customer()).await.expect("set");
    let period = november("UTC");
    let issued = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
    (acme, issued.number.expect("a number"))
}

fn payment<'a>(cents: i64, reference: &'a str) -> NewPayment<'a> {
    NewPayment { amount: MinorUnits::new(cents), reference, note: "" }
}

async fn pay(
    ledger: &Ledger,
    number: &str,
    cents: i64,
    reference: &str,
) -> Result<(InvoiceStanding, Recorded), LedgerError> {
    ledger.record_payment(number, &payment(cents, reference), later(NOW, 30)).await
}

fn steps(standing: &InvoiceStanding) -> Vec<&'static str> {
    standing.events.iter().map(|event| event.kind.as_str()).collect()
}

on_each_database! {
    async fn an_invoice_is_paid_in_parts(database: &Database) {
        let anna = Actor { kind: ActorKind::Operator, name: "anna".to_owned(), request_id: None };
        let ledger = &database.ledger.acting(anna);
        let (_, number) = owed(ledger, "acme").await;
        let end = november("UTC").end();
        let standing = ledger.invoice_standing(&number, end).await.expect("read").expect("there");
        assert_eq!((standing.state, standing.due.get(), standing.is_overdue), (InvoiceState::Issued, 1_190, false));
        assert_eq!(standing.due_at, Some(later(end, 14)));
        assert_eq!((standing.events[0].actor.as_str(), standing.events[0].at), ("anna", end));
        let overdue = ledger.invoice_standing(&number, later(end, 15)).await.expect("read").expect("there");
        assert!(overdue.is_overdue);
        let (partly, recorded) = pay(ledger, &number, 1_000, "bank 1").await.expect("recorded");
        assert_eq!((partly.state, partly.paid.get(), partly.due.get(), recorded), (InvoiceState::Issued, 1_000, 190, Recorded::New));
        // The same payment again is the same payment.
        let (same, recorded) = pay(ledger, &number, 1_000, "bank 1").await.expect("known");
        assert_eq!((same.paid.get(), recorded), (1_000, Recorded::Already));
        let other = pay(ledger, &number, 100, "bank 1").await.expect_err("another amount");
        assert!(matches!(&other, LedgerError::PaymentConflict { field: "amount", .. }), "{other}");
        let much = pay(ledger, &number, 191, "bank 2").await.expect_err("too much").to_string();
        assert!(much.contains("1.91") && much.contains("1.90"), "{much}");
        let gap = "INSERT INTO invoice_events SELECT number, 9, tenant_id, 'void', NULL, NULL, '', 0, 'system', 'x' FROM invoice_events
            WHERE sequence = 1";
        let error = database.raw(gap).await.expect_err("a gap").to_string();
        assert!(error.contains("what became of an invoice is only added to"), "{error}");
        let (paid, _) = pay(ledger, &number, 190, "bank 2").await.expect("recorded");
        assert_eq!((paid.state, paid.due.get()), (InvoiceState::Paid, 0));
        assert_eq!(steps(&paid), ["issued", "payment", "payment", "paid"]);
        assert!(paid.events.iter().all(|event| event.actor == "anna" && event.actor_kind == "operator"));
        // Also of a paid one, a payment that is known is told again.
        assert_eq!(pay(ledger, &number, 190, "bank 2").await.expect("known").1, Recorded::Already);
        assert!(!ledger.invoice_standing(&number, later(end, 99)).await.expect("read").expect("there").is_overdue);
    }

    async fn only_steps_that_lead_on_are_taken(database: &Database) {
        let ledger = &database.ledger;
        let (_, paid) = owed(ledger, "paid").await;
        pay(ledger, &paid, 1_190, "all").await.expect("recorded");
        let (_, partly) = owed(ledger, "partly").await;
        pay(ledger, &partly, 1, "a cent").await.expect("recorded");
        let (_, gone) = owed(ledger, "gone").await;
        let void = ledger.void_invoice(&gone, "a mistake", NOW).await.expect("void");
        assert_eq!((void.state, void.due.get(), steps(&void)), (InvoiceState::Void, 0, vec!["issued", "void"]));
        let refused = [
            (ledger.void_invoice(&paid, "x", NOW).await, "is paid and cannot become void"),
            (ledger.write_off_invoice(&paid, "x", NOW).await, "is paid and cannot become uncollectible"),
            (pay(ledger, &paid, 1, "more").await.map(|done| done.0), "is paid and cannot be paid again"),
            (ledger.void_invoice(&partly, "x", NOW).await, "is issued and cannot become void: a part of it was paid"),
            (pay(ledger, &gone, 1, "x").await.map(|done| done.0), "is void and cannot be paid: nobody owes it"),
            (ledger.write_off_invoice(&gone, "x", NOW).await, "is void and cannot become uncollectible"),
            (ledger.void_invoice("TG-000099", "x", NOW).await, "no invoice"),
            (ledger.void_invoice(&partly, "", NOW).await, "reason must be"),
            (pay(ledger, &partly, 0, "nothing").await.map(|done| done.0), "amount must be above zero"),
            (pay(ledger, &partly, 5, "").await.map(|done| done.0), "reference must be"),
        ];
        for (found, text) in refused {
            let error = found.expect_err(text).to_string();
            assert!(error.contains(text), "{error}");
        }
        // Asked for where it stands already, nothing happens.
        assert_eq!(ledger.void_invoice(&gone, "again", NOW).await.expect("the same").events.len(), 2);
        // What was written off may still be paid.
        let off = ledger.write_off_invoice(&partly, "insolvent", NOW).await.expect("written off");
        assert_eq!((off.state, off.due.get()), (InvoiceState::Uncollectible, 1_189));
        assert_eq!(ledger.write_off_invoice(&partly, "x", NOW).await.expect("the same").events.len(), 3);
        let (late, _) = pay(ledger, &partly, 1_189, "liquidator").await.expect("recorded");
        assert_eq!(late.state, InvoiceState::Paid);
        // SQL says so too.
        let raw = [
            ("UPDATE invoice_events SET note = 'x'", "never changes"),
            ("DELETE FROM invoice_events", "what became of an invoice"),
            ("INSERT INTO invoice_events SELECT number, 3, tenant_id, 'uncollectible', NULL, NULL, '', 0, 'system', 'x' FROM invoice_events
              WHERE kind = 'void'", "nothing becomes of an invoice after its end"),
            ("INSERT INTO threshold_invoices SELECT number FROM invoices", "an invoice of a whole period stays one"),
        ];
        for (statement, reason) in raw {
            let error = database.raw(statement).await.expect_err(statement).to_string();
            assert!(error.contains(reason), "{statement}: {error}");
        }
    }

    async fn nothing_to_pay_is_paid_at_once(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let period = november("UTC");
        let issued = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
        let number = issued.number.expect("a number");
        let standing = ledger.invoice_standing(&number, period.end()).await.expect("read").expect("there");
        assert_eq!((standing.state, steps(&standing)), (InvoiceState::Paid, vec!["issued", "paid"]));
    }

    async fn many_payments_at_once_never_exceed_what_is_due(database: &Database) {
        let ledger = &database.ledger;
        let (_, number) = owed(ledger, "acme").await;
        let tasks: Vec<_> = (0..24).map(|index| {
            let (ledger, number) = (ledger.clone(), number.clone());
            // Each reference comes twice; twelve times 2.00 is more than 11.90.
            tokio::spawn(async move { pay(&ledger, &number, 200, &format!("bank {}", index / 2)).await.map(|done| done.1) })
        }).collect();
        let mut new = 0;
        for task in tasks {
            match task.await.expect("ran") {
                Ok(Recorded::New) => new += 1,
                Ok(Recorded::Already) | Err(LedgerError::PaymentTooLarge { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let standing = ledger.invoice_standing(&number, NOW).await.expect("read").expect("there");
        assert_eq!((new, standing.paid.get(), standing.due.get()), (5, 1_000, 190));
    }

    async fn what_is_due_is_issued_once_by_any_number_of_processes(database: &Database) {
        let ledger = &database.ledger;
        let mut tenants = Vec::new();
        for number in 0..24 {
            let tenant = tenant(ledger, &format!("tenant-{number}"), if number % 2 == 0 { "UTC" } else { "Asia/Kolkata" }).await;
            let mut chain = Chain::new();
            let batch = chain.add_all(some_records(&tenant, 3));
            ledger.ship(chain.journal_id, &batch).await.expect("shipped");
            ledger.note_complete(chain.journal_id, Complete::Before(at("2027-02-01T00:00:00Z"))).await.expect("noted");
            tenants.push(tenant);
        }
        let grace = 24 * HOUR_US;
        let end = november("UTC").end();
        // A day after the end minus an hour: India's months ended earlier and are due, the others are not.
        let early = Timestamp::from_unix_micros(end.unix_micros() + 23 * HOUR_US);
        let report = invoice::issue_due(ledger, early, grace).await.expect("a report");
        assert_eq!((report.issued.len(), report.waiting.len(), report.failed.len()), (12, 0, 0));
        // By eight at once, two months of all.
        let now = at("2027-01-03T00:00:00Z");
        let tasks: Vec<_> = (0..8).map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move { invoice::issue_due(&ledger, now, grace).await.expect("a report") })
        }).collect();
        let mut named = BTreeSet::new();
        for task in tasks {
            let report = task.await.expect("ran");
            assert!(report.failed.is_empty(), "{report:?}");
            named.extend(report.issued);
        }
        assert_eq!(named.len(), 36);
        let mut numbers = BTreeSet::new();
        for tenant in &tenants {
            let issued = ledger.invoices_page(tenant.id, None, 100).await.expect("read");
            assert_eq!(issued.len(), 2, "{}", tenant.name);
            numbers.extend(issued.into_iter().map(|invoice| invoice.number));
        }
        let expected: BTreeSet<_> = (1..=48).map(|serial| format!("TG-{serial:06}")).collect();
        assert_eq!(numbers, expected);
        assert!(invoice::issue_due(ledger, now, grace).await.expect("a report").issued.is_empty());
    }

    async fn usage_on_its_way_is_waited_for(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let other = tenant(ledger, "other", "UTC").await;
        let mut chain = Chain::new();
        let batch = chain.add_all([record(&acme, 2, NOW), record(&other, 2, NOW)]);
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let now = at("2026-12-02T00:00:00Z");
        let before = invoice::issue_due(ledger, now, 0).await.expect("a report");
        assert_eq!((before.issued.len(), before.waiting.len()), (0, 2));
        assert!(before.waiting[0].1.contains("may still be on its way"), "{before:?}");
        ledger.note_complete(chain.journal_id, Complete::Before(now)).await.expect("noted");
        let gone = JournalId::from_uuid(uuid::Uuid::from_u128(5));
        ledger.note_complete(gone, Complete::Unknown).await.expect("noted");
        assert_eq!(invoice::issue_due(ledger, now, 0).await.expect("a report").waiting.len(), 2);
        ledger.note_complete(gone, Complete::Before(now)).await.expect("noted");
        let report = invoice::issue_due(ledger, now, 0).await.expect("a report");
        assert_eq!(report.issued, ["TG-000001", "TG-000002"]);
    }
}
