//! What tenants are owed of issued invoices: by credit notes, after payments, of totals below zero, until it is given
//! back.
//! Never a refund of more than is owed, and never one that the books do not prove.
//! Run on both databases.

use billing::{
    invoice::{self, CreditLineRequest, CreditRequest},
    ledger::{
        AuditQuestion, GrantKind, InvoiceStanding, InvoiceState, Ledger, LedgerError, NewGrant, NewPayment,
        NewRefund, Recorded, RefundKind, SubscriptionChange, Tenant,
    },
    rate::MinorUnits,
    subscription::Cycle,
};
use domain::{Nanos, UsageRecord};

use crate::{
    credits::{DOLLAR, dollars, ship, standing},
    records::{Chain, NOW, at, november, tenant},
    subscription::{fee, issue, plan, start, tenant_of},
    taxes::ten_dollars,
};

/// An invoice of 10.00, of which a grant paid 4.00.
async fn partly_granted(ledger: &Ledger, name: &str) -> (Tenant, String) {
    let acme = tenant(ledger, name, "UTC").await;
    ledger.add_grant(acme.id, &NewGrant::paid(dollars("4"), "order 1", ""), NOW).await.expect("granted");
    let used = UsageRecord { charge: Nanos::new(10 * DOLLAR), ..ten_dollars(&acme) };
    ship(ledger, &mut Chain::new(), [used]).await;
    let period = november("UTC");
    let issued = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
    assert_eq!((issued.total.as_str(), issued.amount_due.as_deref()), ("10.00", Some("6.00")));
    (acme, issued.number.expect("a number"))
}

async fn credit(ledger: &Ledger, number: &str, amount: Option<&str>, key: &str) -> String {
    let line = |amount: &str| CreditLineRequest { position: 1, amount: Some(amount.to_owned()) };
    let request =
        CreditRequest { reason: "an outage".to_owned(), lines: amount.map(line).into_iter().collect() };
    ledger.issue_credit_note(number, (&request, key), NOW).await.expect("issued").number
}

async fn pay(ledger: &Ledger, number: &str, cents: i64) {
    let payment = NewPayment { amount: MinorUnits::new(cents), reference: "bank 1", note: "" };
    ledger.record_payment(number, &payment, NOW).await.expect("recorded");
}

async fn refund(
    ledger: &Ledger,
    number: &str,
    (kind, cents): (RefundKind, i64),
    reference: &str,
) -> Result<(InvoiceStanding, Recorded), LedgerError> {
    let new = NewRefund { kind, amount: MinorUnits::new(cents), reference, note: "" };
    ledger.record_refund(number, &new, NOW).await
}

async fn stands(ledger: &Ledger, number: &str) -> InvoiceStanding {
    let found = ledger.invoice_standing(number, NOW).await.expect("read").expect("there");
    // Whatever happens, nothing of what was paid or credited is lost.
    let sum = |amounts: &[MinorUnits]| amounts.iter().map(|amount| amount.get()).sum::<i64>();
    let came = sum(&[found.granted, found.paid, found.credited, found.due]);
    assert_eq!(came, sum(&[found.total, found.refunded, found.owed_to_tenant]), "{found:?}");
    found
}

/// Due, given back, owed to the tenant.
fn amounts(found: &InvoiceStanding) -> [i64; 3] {
    [found.due, found.refunded, found.owed_to_tenant].map(MinorUnits::get)
}

on_each_database! {
    async fn what_grants_had_paid_is_credit_again_with_the_note(database: &Database) {
        let ledger = &database.ledger;
        // What was paid otherwise, what is credited, what is then due, given back, owed, and left to spend.
        let rows = [
            ("nothing", 0, Some("5.99"), [1, 0, 0], "0.00"),
            ("enough", 0, Some("6.00"), [0, 0, 0], "0.00"),
            ("more", 0, Some("7.50"), [0, 150, 0], "1.50"),
            ("all", 0, None, [0, 400, 0], "4.00"),
            ("paid", 600, Some("5.00"), [0, 400, 100], "4.00"),
            ("paid-all", 600, None, [0, 400, 600], "4.00"),
        ];
        for (name, paid, credited, expected, left) in rows {
            let (acme, number) = partly_granted(ledger, name).await;
            if paid > 0 {
                pay(ledger, &number, paid).await;
            }
            let note = credit(ledger, &number, credited, "a").await;
            let found = stands(ledger, &number).await;
            assert_eq!(amounts(&found), expected, "{name}");
            assert_eq!(found.state, if expected[0] > 0 { InvoiceState::Issued } else { InvoiceState::Paid }, "{name}");
            assert_eq!(standing(ledger, &acme).await[0], left, "{name}");
            let grants = ledger.grants(acme.id).await.expect("grants");
            let refunds: Vec<_> = found.refunds.iter().map(|refund| (refund.kind, refund.credit_note.clone(), refund.grant_id)).collect();
            let given = grants.iter().find(|grant| grant.kind == GrantKind::Refund).map(|grant| grant.id);
            let wanted = given.map(|grant| (RefundKind::Grant, Some(note), Some(grant)));
            assert_eq!(refunds, Vec::from_iter(wanted), "{name}");
            assert_eq!((given.is_some(), grants.len()), (expected[1] > 0, 1 + refunds.len()), "{name}");
            // The same note again gives nothing again.
            credit(ledger, &number, credited, "a").await;
            assert_eq!(stands(ledger, &number).await, found, "{name}");
            ledger.prove_credits(acme.id).await.expect("proved");
        }
    }

    async fn what_is_owed_stays_owed_until_it_is_given_back(database: &Database) {
        let ledger = &database.ledger;
        let (acme, number) = partly_granted(ledger, "acme").await;
        pay(ledger, &number, 600).await;
        credit(ledger, &number, Some("5.00"), "a").await;
        let much = refund(ledger, &number, (RefundKind::Payout, 101), "bank 9").await.expect_err("too much").to_string();
        assert!(much.contains("1.01") && much.contains("1.00"), "{much}");
        let (paid, recorded) = refund(ledger, &number, (RefundKind::Payout, 40), "bank 9").await.expect("recorded");
        assert_eq!((amounts(&paid), recorded), ([0, 440, 60], Recorded::New));
        let (same, recorded) = refund(ledger, &number, (RefundKind::Payout, 40), "bank 9").await.expect("known");
        assert_eq!((same.refunds.len(), recorded), (2, Recorded::Already));
        for (other, field) in [((RefundKind::Payout, 41), "amount"), ((RefundKind::Grant, 40), "kind")] {
            let error = refund(ledger, &number, other, "bank 9").await.expect_err(field);
            assert!(matches!(&error, LedgerError::RefundConflict { field: found, .. } if *found == field), "{error}");
        }
        let (given, _) = refund(ledger, &number, (RefundKind::Grant, 60), "goodwill").await.expect("recorded");
        assert_eq!((amounts(&given), standing(ledger, &acme).await[0].as_str()), ([0, 500, 0], "4.60"));
        for (cents, reference, text) in [(1, "more", "more than the 0.00"), (0, "none", "above zero"), (1, "", "reference must be")] {
            let error = refund(ledger, &number, (RefundKind::Payout, cents), reference).await.expect_err(text).to_string();
            assert!(error.contains(text), "{error}");
        }
        let missing = refund(ledger, "TG-000099", (RefundKind::Payout, 1), "x").await.expect_err("missing");
        assert!(matches!(missing, LedgerError::Missing { .. }));
        // Grants paid 4.00 and are whole again: what comes now was paid with money.
        credit(ledger, &number, None, "b").await;
        assert_eq!(amounts(&stands(ledger, &number).await), [0, 500, 500]);
        ledger.prove_credits(acme.id).await.expect("proved");
        let question = AuditQuestion { tenant: Some(acme.id), ..AuditQuestion::default() };
        let log = ledger.audit_page(&question, 1_000).await.expect("entries");
        let noted = log.iter().filter(|entry| entry.action == "invoice_refund.created").count();
        assert_eq!(noted, 3);
        // SQL says so too.
        let add = |sequence: i64, kind: &str, cents: i64, grant: &str| format!(
            "INSERT INTO invoice_refunds SELECT number, {sequence}, tenant_id, '{kind}', {cents}, 'x', NULL, {grant}, '', 0, 'system', 'x'
             FROM invoice_refunds WHERE sequence = 1");
        let raw = [
            (add(4, "payout", 501, "NULL"), "refunds never exceed what the tenant is owed"),
            (add(5, "payout", 1, "NULL"), "refunds are only added to"),
            (add(4, "grant", 1, "(SELECT grant_id FROM grants WHERE kind = 'paid')"), "a refund as credit is a grant"),
            (add(4, "payout", 1, "(SELECT grant_id FROM grants WHERE kind = 'paid')"), "check"),
            ("UPDATE invoice_refunds SET amount_minor = 1".to_owned(), "a refund never changes"),
            ("DELETE FROM invoice_refunds".to_owned(), "a refund"),
        ];
        for (statement, reason) in raw {
            let error = database.raw(&statement).await.expect_err(&statement).to_string().to_lowercase();
            assert!(error.contains(reason), "{statement}: {error}");
        }
        if database.is_sqlite() {
            let replaced = "INSERT OR REPLACE INTO invoice_refunds SELECT number, sequence, tenant_id, kind, 1, reference, credit_note,
                grant_id, note, at_unix_us, actor_kind, actor FROM invoice_refunds";
            let error = database.raw(replaced).await.expect_err("replaced").to_string();
            // Both guards see it; which one speaks first is the database's choice.
            assert!(error.contains("a refund never changes") || error.contains("refunds are only added to"), "{error}");
        }
    }

    async fn many_refunds_at_once_never_exceed_what_is_owed(database: &Database) {
        let ledger = &database.ledger;
        let (acme, number) = partly_granted(ledger, "acme").await;
        pay(ledger, &number, 600).await;
        credit(ledger, &number, None, "a").await;
        let tasks: Vec<_> = (0..24).map(|index| {
            let (ledger, number) = (ledger.clone(), number.clone());
            let kind = if index % 4 < 2 { RefundKind::Payout } else { RefundKind::Grant };
            // Each reference comes twice; twelve times 1.10 is more than 6.00.
            tokio::spawn(async move { refund(&ledger, &number, (kind, 110), &format!("bank {}", index / 2)).await.map(|done| done.1) })
        }).collect();
        let mut new = 0;
        for task in tasks {
            match task.await.expect("ran") {
                Ok(Recorded::New) => new += 1,
                Ok(Recorded::Already) | Err(LedgerError::RefundTooLarge { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((new, amounts(&stands(ledger, &number).await)), (5, [0, 950, 50]));
        ledger.prove_credits(acme.id).await.expect("proved");
    }

    async fn a_total_below_zero_is_owed_to_the_tenant(database: &Database) {
        let ledger = &database.ledger;
        let plans = [plan("silver", 1, &fee("31", "advance"))];
        let acme = tenant_of(ledger, &plans, "UTC").await;
        start(ledger, &acme, Cycle::Calendar, None).await;
        ledger.change_subscription(acme.id, &SubscriptionChange::CancelNow, at("2026-03-11T10:00:00Z")).await.expect("cancelled");
        let march = issue(ledger, &acme, "2026-03-10T00:00:00Z").await;
        assert_eq!((march.total.as_str(), march.owed_to_tenant()), ("-21.00", Some("21.00")));
        assert!(march.to_text().contains("OWED TO THE TENANT USD"), "{}", march.to_text());
        assert!(march.to_html().expect("a page").contains("Owed to you USD"));
        let number = march.number.expect("a number");
        let found = stands(ledger, &number).await;
        assert_eq!((found.state, amounts(&found)), (InvoiceState::Paid, [0, 0, 2_100]));
        let (paid, _) = refund(ledger, &number, (RefundKind::Payout, 1_500), "bank 3").await.expect("recorded");
        assert_eq!(amounts(&paid), [0, 1_500, 600]);
        // A tenant without any grant has books from now on.
        let (given, _) = refund(ledger, &number, (RefundKind::Grant, 600), "as credit").await.expect("recorded");
        assert_eq!((amounts(&given), standing(ledger, &acme).await[0].as_str()), ([0, 2_100, 0], "6.00"));
        ledger.prove_credits(acme.id).await.expect("proved");
    }
}
