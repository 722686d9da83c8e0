//! Credit notes: whole and in parts, with their taxes, numbered without gap, never above their invoice.
//! Never a change of the invoice.
//! Run on both databases.

use billing::{
    invoice::{self, CreditLineRequest, CreditNote, CreditRequest},
    ledger::{InvoiceState, Ledger, LedgerError, NewPayment, Tenant},
    rate::MinorUnits,
};
use domain::{Tokens, UsageRecord};

use crate::{
    records::{Chain, NOW, november, tenant},
    taxes::{customer, issuer, ten_dollars},
};

/// An invoice of 10.00 for output and 0.15 for input, taxed with 19 % and 0.5 %: 12.13 in all.
async fn owed(ledger: &Ledger, name: &str) -> (Tenant, String) {
    let acme = tenant(ledger, name, "UTC").await;
    let mut chain = Chain::new();
    let used = UsageRecord { prompt_tokens: Tokens::new(1_000_000), ..ten_dollars(&acme) };
    let batch = chain.add_all([used]);
    ledger.ship(chain.journal_id, &batch).await.expect("shipped");
    ledger.set_issuer_details(&issuer(&["VAT=19", "City tax=0.5"])).await.expect("set");
    ledger.set_tenant_billing(acme.id, &customer()).await.expect("set");
    let period = november("UTC");
    let issued = invoice::issue(ledger, &acme, &period, period.end()).await.expect("issued");
    assert_eq!((issued.subtotal.as_str(), issued.total.as_str()), ("10.15", "12.13"));
    (acme, issued.number.expect("a number"))
}

fn request(reason: &str, lines: &[(u32, Option<&str>)]) -> CreditRequest {
    let line = |(position, amount): &(u32, Option<&str>)| CreditLineRequest {
        position: *position,
        amount: amount.map(str::to_owned),
    };
    CreditRequest { reason: reason.to_owned(), lines: lines.iter().map(line).collect() }
}

async fn credit(
    ledger: &Ledger,
    number: &str,
    lines: &[(u32, Option<&str>)],
    key: &str,
) -> Result<CreditNote, LedgerError> {
    ledger.issue_credit_note(number, (&request("goodwill", lines), key), NOW).await
}

async fn due(ledger: &Ledger, number: &str) -> (InvoiceState, i64) {
    let standing = ledger.invoice_standing(number, NOW).await.expect("read").expect("there");
    (standing.state, standing.due.get())
}

on_each_database! {
    async fn parts_are_given_back_until_nothing_is_left(database: &Database) {
        let ledger = &database.ledger;
        let (_, number) = owed(ledger, "acme").await;
        // Line 1 is input (0.15), line 2 output (10.00), line 3 the credit for late tokens (0.00).
        let first = credit(ledger, &number, &[(2, Some("3.33"))], "a").await.expect("issued");
        // 3.33 × 19 % = 0.6327, × 0.5 % = 0.01665.
        let taxes: Vec<_> = first.taxes.iter().map(|tax| tax.amount.as_str()).collect();
        assert_eq!((first.number.as_str(), first.subtotal.as_str(), taxes, first.total.as_str()), ("TG-CN-000001", "3.33", vec!["0.63", "0.02"], "3.98"));
        assert_eq!(due(ledger, &number).await, (InvoiceState::Issued, 815));
        let same = credit(ledger, &number, &[(2, Some("3.33"))], "a").await.expect("known");
        assert_eq!(same, first);
        let other = credit(ledger, &number, &[(2, Some("3.34"))], "a").await.expect_err("another");
        assert!(matches!(other, LedgerError::CreditConflict { .. }), "{other}");
        let refused = [
            (vec![(2, Some("6.68"))], "line 2 has 6.67 left to give back, not 6.68"),
            (vec![(9, None)], "line 9 is not on the invoice"),
            (vec![(3, None)], "line 3 has nothing left to give back"),
            (vec![(1, Some("0.01")), (1, Some("0.01"))], "line 1 is named twice"),
            (vec![(1, Some("0"))], "above zero"),
            (vec![(1, Some("-1"))], "above zero"),
            (vec![(1, Some("0.001"))], "above zero"),
        ];
        for (lines, text) in refused {
            let error = credit(ledger, &number, &lines, "b").await.expect_err(text).to_string();
            assert!(error.contains(text), "{error}");
        }
        let second = credit(ledger, &number, &[(1, None), (2, Some("1.00"))], "c").await.expect("issued");
        assert_eq!((second.number.as_str(), second.subtotal.as_str()), ("TG-CN-000002", "1.15"));
        let rest = credit(ledger, &number, &[], "d").await.expect("issued");
        assert_eq!(rest.subtotal, "5.67");
        // Together the notes give back exactly what the invoice took, each tax too.
        assert_eq!(due(ledger, &number).await, (InvoiceState::Paid, 0));
        let notes = ledger.credit_notes(&number).await.expect("read");
        let cents = |text: &str| MinorUnits::parse(text, domain::Currency::USD).expect("an amount").get();
        let sum = |of: fn(&CreditNote) -> &str| notes.iter().map(|note| cents(of(note))).sum::<i64>();
        assert_eq!((sum(|note| &note.subtotal), sum(|note| &note.total)), (1_015, 1_213));
        assert_eq!((sum(|note| &note.taxes[0].amount), sum(|note| &note.taxes[1].amount)), (193, 5));
        let nothing = credit(ledger, &number, &[], "e").await.expect_err("nothing left").to_string();
        assert!(nothing.contains("nothing left"), "{nothing}");
        assert_eq!(ledger.find_credit_note("TG-CN-000002").await.expect("read"), Some(second));
        assert_eq!(ledger.find_credit_note("TG-CN-000009").await.expect("read"), None);
    }

    async fn what_was_paid_may_be_given_back_and_what_is_void_not(database: &Database) {
        let ledger = &database.ledger;
        let (_, paid) = owed(ledger, "paid").await;
        let payment = NewPayment { amount: MinorUnits::new(1_213), reference: "all", note: "" };
        ledger.record_payment(&paid, &payment, NOW).await.expect("recorded");
        credit(ledger, &paid, &[], "a").await.expect("issued");
        let standing = ledger.invoice_standing(&paid, NOW).await.expect("read").expect("there");
        assert_eq!((standing.state, standing.credited.get(), standing.due.get()), (InvoiceState::Paid, 1_213, 0));
        let (_, void) = owed(ledger, "void").await;
        ledger.void_invoice(&void, "a mistake", NOW).await.expect("void");
        let error = credit(ledger, &void, &[], "a").await.expect_err("void").to_string();
        assert!(error.contains("is void and cannot be credited"), "{error}");
        let missing = credit(ledger, "TG-000099", &[], "a").await.expect_err("missing");
        assert!(matches!(missing, LedgerError::Missing { .. }));
        let (_, credited) = owed(ledger, "credited").await;
        credit(ledger, &credited, &[(1, None)], "a").await.expect("issued");
        let error = ledger.void_invoice(&credited, "x", NOW).await.expect_err("credited").to_string();
        assert!(error.contains("cannot become void: a part of it was paid or credited"), "{error}");
        // SQL says so too.
        let raw = [
            ("UPDATE credit_notes SET reason = 'x'", "a credit note never changes"),
            ("DELETE FROM credit_notes", "a credit note"),
            ("INSERT INTO credit_notes SELECT 'TG-CN-000099', issuer, 99, invoice_number, tenant_id, currency, 1213, 1213, 'x', 'z', 0, '{}'
              FROM credit_notes WHERE serial = 2", "credit notes never exceed their invoice"),
            ("INSERT INTO credit_notes SELECT 'TG-CN-000099', issuer, 99, number, tenant_id, currency, 1, 1, 'x', 'z', 0, '{}'
              FROM invoices WHERE number NOT IN (SELECT invoice_number FROM credit_notes)", "credit notes are numbered one after another"),
        ];
        for (statement, reason) in raw {
            let error = database.raw(statement).await.expect_err(statement).to_string();
            assert!(error.contains(reason), "{statement}: {error}");
        }
    }

    async fn many_notes_at_once_leave_no_gap_and_exceed_nothing(database: &Database) {
        let ledger = &database.ledger;
        let mut numbers = Vec::new();
        for name in ["one", "two", "three"] {
            numbers.push(owed(ledger, name).await.1);
        }
        let tasks: Vec<_> = (0..30).map(|index: usize| {
            let (ledger, number) = (ledger.clone(), numbers[index % 3].clone());
            tokio::spawn(async move {
                credit(&ledger, &number, &[(2, Some("2.00"))], &format!("key {}", index / 3)).await.map(|note| note.number)
            })
        }).collect();
        let mut issued = Vec::new();
        for task in tasks {
            issued.extend(task.await.expect("ran"));
        }
        issued.sort();
        let expected: Vec<_> = (1..=15).map(|serial| format!("TG-CN-{serial:06}")).collect();
        assert_eq!(issued, expected, "five of each invoice, as 10.00 are five times 2.00");
    }
}
