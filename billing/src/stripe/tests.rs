//! What goes to Stripe and what follows from what stands there, as tables that a bookkeeper can read.
//! Never a connection: both sides of each row are written out.
//! Run with the module.

use domain::Currency;
use serde_json::json;

use super::*;
use crate::{
    invoice::{Invoice, SCHEMA},
    ledger::InvoiceState,
    rate::MinorUnits,
};

fn currency(code: &str) -> Currency {
    code.parse().expect("a currency")
}

#[test]
fn amounts_go_over_exactly_or_not_at_all() {
    // The amount here, what Stripe counts, and what it counts where it is to be paid.
    let rows = [
        ("USD", "12.34", Some(1_234), Some(1_234)),
        ("USD", "-0.01", Some(-1), Some(-1)),
        ("EUR", "0.00", Some(0), Some(0)),
        ("JPY", "500", Some(500), Some(500)),
        ("KRW", "1", Some(1), Some(1)),
        ("KWD", "5.120", Some(5_120), Some(5_120)),
        ("KWD", "5.124", Some(5_124), None),
        ("KWD", "-5.124", Some(-5_124), None),
        ("TND", "0.010", Some(10), Some(10)),
        // Without decimals, and counted with two all the same.
        ("ISK", "500", Some(50_000), Some(50_000)),
        ("UGX", "7", Some(700), Some(700)),
        // With decimals, and counted without.
        ("MGA", "3.00", Some(3), Some(3)),
        ("MGA", "3.20", None, None),
        ("HUF", "10.45", Some(1_045), Some(1_045)),
        ("IQD", "1.000", None, None),
        ("CLF", "1.0000", None, None),
    ];
    for (code, text, counted, paid) in rows {
        let currency = currency(code);
        let amount = MinorUnits::parse(text, currency).expect(text);
        let found = to_stripe(amount, currency);
        assert_eq!(found.clone().ok(), counted, "{text} {code}");
        assert_eq!(chargeable(amount, currency).ok(), paid, "{text} {code}");
        if let Ok(found) = found {
            assert_eq!(from_stripe(found, currency), Ok(amount), "{text} {code} and back");
        }
    }
    assert!(from_stripe(50_001, currency("ISK")).is_err(), "no such amount here");
    assert!(to_stripe(MinorUnits::new(i64::MAX), currency("ISK")).is_err(), "too large");
    let error = chargeable(MinorUnits::new(5_124), currency("KWD")).expect_err("a step").to_string();
    assert!(error.contains("5.124 KWD cannot be paid at Stripe"), "{error}");
}

/// An issued invoice with these displayed lines, a tax on top and one contained, and what grants paid.
fn invoice(code: &str, lines: &[(&str, &str)], tax: Option<&str>, paid: Option<&str>, due: &str) -> Invoice {
    let line = |(position, (text, displayed)): (usize, &(&str, &str))| {
        json!({"position": position + 1, "kind": "charge", "item": "input", "description": text, "model": null,
            "price_version": null, "reason": null, "requests": 0, "quantity": 0, "unit": "", "unit_price": null,
            "unit_price_per": null, "percent": null, "attainment": null, "formula": null, "exact": displayed,
            "displayed": displayed})
    };
    let lines: Vec<_> = lines.iter().enumerate().map(line).collect();
    let mut body = json!({
        "schema": SCHEMA, "status": "issued", "number": "TG-000007", "made_at": "2026-12-01T00:00:00Z",
        "tenant": {"id": "0", "name": "acme"},
        "period": {"start": "2026-11-01T00:00:00+01:00", "end": "2026-12-01T00:00:00+01:00", "zone": "Europe/Berlin",
            "start_unix_us": 0, "end_unix_us": 1, "has_begun": true, "has_ended": true},
        "currency": code, "currency_decimals": 2, "records": 0, "issued_as": null, "late_records": 0, "lines": lines,
        "subtotal_exact": "0", "subtotal": "0", "total": due, "payment_days": 14,
    });
    if let Some(tax) = tax {
        let one = |name: &str, mode: &str| json!({"name": name, "percent": "19", "mode": mode, "base": "0", "formula": "", "amount": tax});
        body["taxes"] = json!({"status": "standard", "note": null, "net": "0", "tax": tax,
            "lines": [one("VAT", "exclusive"), one("Levy", "inclusive")]});
    }
    if let Some(paid) = paid {
        body["payments"] = json!([{"kind": "paid", "grant_id": "g", "description": "top-up", "exact": paid,
            "displayed": paid}]);
        body["amount_due"] = json!(due);
    }
    Invoice::from_issued(&body.to_string()).expect("an invoice")
}

#[test]
fn lines_add_up_to_what_is_due() {
    let lines = [("input", "10.00"), ("nothing", "0.00"), ("late", "-1.50")];
    let push = Push::of(&invoice("USD", &lines, Some("1.62"), Some("0.12"), "10.00")).expect("adds up");
    let shown: Vec<_> = push.lines.iter().map(|line| (line.description.as_str(), line.amount)).collect();
    let expected = [("input", 1_000), ("late", -150), ("VAT 19 %", 162), ("Paid from credit: top-up", -12)];
    assert_eq!((shown.as_slice(), push.total), (&expected[..], 1_000));
    assert_eq!((push.period.as_str(), push.payment_days), ("2026-11-01 to 2026-12-01", Some(14)));
    // One cent more or less is refused.
    for due in ["9.99", "10.01"] {
        let error = Push::of(&invoice("USD", &lines, Some("1.62"), Some("0.12"), due)).expect_err(due);
        assert_eq!(
            error.to_string(),
            format!("invoice TG-000007 has lines that come to 10.00, and {due} is due")
        );
    }
    // Where single lines do not go over, all of them are one; and the whole must.
    let halves = [("a", "1.50"), ("b", "1.50")];
    let whole = Push::of(&invoice("MGA", &halves, None, None, "3.00")).expect("three whole ones");
    assert_eq!((whole.lines.len(), whole.lines[0].amount, whole.total), (1, 3, 3));
    assert!(Push::of(&invoice("MGA", &halves[..1], None, None, "1.50")).is_err());
    assert!(Push::of(&invoice("KWD", &[("a", "1.234")], None, None, "1.234")).is_err());
}

fn ours(state: InvoiceState, due: i64, lines: &[i64]) -> Ours {
    let line = |amount: &i64| PushLine { description: String::new(), amount: *amount };
    let total = lines.iter().sum();
    let push = Push {
        number: "TG-000007".to_owned(),
        currency: Currency::USD,
        lines: lines.iter().map(line).collect(),
        total,
        payment_days: None,
        period: String::new(),
    };
    Ours { push, state, due: MinorUnits::new(due), is_paid_by_stripe: false, is_made: false }
}

fn theirs(status: TheirStatus, total: i64, lines: &[i64]) -> TheirInvoice {
    let amount_paid = if status == TheirStatus::Paid { total } else { 0 };
    TheirInvoice {
        id: "in_1".to_owned(),
        status,
        currency: "usd".to_owned(),
        total,
        amount_paid,
        amount_remaining: total - amount_paid,
        credited: 0,
        lines: lines.to_vec(),
    }
}

use InvoiceState::{Issued, Uncollectible, Void};
use TheirStatus::{Draft, Open};

/// What a decision is, without its words.
fn kind(next: &Next) -> String {
    if matches!(next, Next::Done(_)) {
        return "done".to_owned();
    }
    if matches!(next, Next::Park(_)) {
        return "park".to_owned();
    }
    format!("{next:?}")
}

#[test]
fn an_invoice_is_made_line_by_line_and_finalized_only_when_it_is_exact() {
    let many: Vec<i64> = (1..=520).collect();
    let whole: i64 = many.iter().sum();
    let made = |ours: Ours| Ours { is_made: true, ..ours };
    let owed = || ours(Issued, 300, &[100, 250, -50]);
    let rows = [
        (owed(), None, "Create"),
        (made(owed()), None, "park"),
        (owed(), Some(theirs(Draft, 0, &[])), "AddLines(0..3)"),
        // In any order, as long as each is there.
        (owed(), Some(theirs(Draft, 300, &[-50, 250, 100])), "Finalize"),
        (owed(), Some(theirs(Draft, 301, &[100, 250, -50])), "park"),
        (owed(), Some(theirs(Draft, 299, &[100, 250, -50])), "park"),
        (owed(), Some(theirs(Draft, 300, &[101, 249, -50])), "park"),
        (owed(), Some(theirs(Draft, 350, &[100, 250])), "park"),
        (owed(), Some(theirs(Draft, 300, &[100, 250, -50, 0])), "park"),
        (owed(), Some(TheirInvoice { currency: "eur".to_owned(), ..theirs(Draft, 0, &[]) }), "park"),
        (owed(), Some(theirs(Open, 300, &[])), "done"),
        (owed(), Some(theirs(Open, 301, &[])), "park"),
        (owed(), Some(theirs(TheirStatus::Paid, 300, &[])), "done"),
        // 250 lines a call.
        (ours(Issued, whole, &many), Some(theirs(Draft, 0, &[])), "AddLines(0..250)"),
        (ours(Issued, whole, &many), Some(theirs(Draft, 0, &many[..250])), "AddLines(250..500)"),
        (ours(Issued, whole, &many), Some(theirs(Draft, 0, &many[..500])), "AddLines(500..520)"),
        (ours(Issued, whole, &many), Some(theirs(Draft, 0, &many[..251])), "park"),
        (ours(Issued, whole, &many), Some(theirs(Draft, whole, &many)), "Finalize"),
        // What is not owed any more does not go to Stripe.
        (ours(Issued, 0, &[]), None, "done"),
        (ours(Issued, -5, &[-5]), None, "done"),
        (ours(Void, 0, &[300]), None, "done"),
        (made(ours(Void, 0, &[300])), None, "done"),
        (ours(Void, 0, &[300]), Some(theirs(Draft, 300, &[300])), "Delete"),
        (ours(InvoiceState::Paid, 0, &[300]), Some(theirs(Draft, 0, &[])), "Delete"),
        (ours(Uncollectible, 300, &[300]), None, "done"),
    ];
    for (ours, theirs, expected) in rows {
        let next = next(&Wanted::Pushed, &ours, theirs.as_ref());
        assert_eq!(kind(&next), expected, "{:?} {theirs:?}: {next:?}", ours.state);
    }
    let cent = next(&Wanted::Pushed, &owed(), Some(&theirs(Draft, 301, &[100, 250, -50])));
    assert_eq!(cent, Next::Park("its total is 3.01 USD at Stripe, and 3.00 here".to_owned()));
}

#[test]
fn nothing_is_collected_but_what_is_due() {
    let rows = [
        (ours(Issued, 300, &[300]), Some(theirs(Open, 300, &[])), "Pay", "Send"),
        // A part came elsewhere, or a credit note did not reach Stripe: nobody pays too much.
        (ours(Issued, 200, &[300]), Some(theirs(Open, 300, &[])), "park", "park"),
        (ours(Void, 0, &[300]), Some(theirs(Open, 300, &[])), "done", "done"),
        (ours(InvoiceState::Paid, 0, &[300]), Some(theirs(Open, 300, &[])), "done", "done"),
        (ours(Issued, 300, &[300]), Some(theirs(TheirStatus::Paid, 300, &[])), "done", "done"),
        (ours(Issued, 300, &[300]), Some(theirs(TheirStatus::Void, 300, &[])), "done", "done"),
        (ours(Issued, 300, &[300]), Some(theirs(Draft, 300, &[300])), "park", "park"),
        (ours(Issued, 300, &[300]), None, "done", "done"),
    ];
    for (ours, theirs, charged, sent) in rows {
        for (wanted, expected) in [(Wanted::Charged, charged), (Wanted::Sent, sent)] {
            let next = next(&wanted, &ours, theirs.as_ref());
            assert_eq!(kind(&next), expected, "{wanted:?} {theirs:?}");
        }
    }
}

#[test]
fn ends_are_reached_from_where_stripe_stands() {
    let at = |status| Some(theirs(status, 300, &[]));
    let rows = [
        (Wanted::Settled, None, "done"),
        (Wanted::Settled, at(Open), "PayElsewhere"),
        (Wanted::Settled, at(Draft), "Delete"),
        (Wanted::Settled, at(TheirStatus::Uncollectible), "PayElsewhere"),
        (Wanted::Settled, at(TheirStatus::Paid), "done"),
        (Wanted::Settled, at(TheirStatus::Void), "park"),
        (Wanted::Void, at(Open), "Void"),
        (Wanted::Void, at(Draft), "Delete"),
        (Wanted::Void, at(TheirStatus::Void), "done"),
        (Wanted::Void, at(TheirStatus::Paid), "park"),
        (Wanted::Void, None, "done"),
        (Wanted::WrittenOff, at(Open), "WriteOff"),
        (Wanted::WrittenOff, at(TheirStatus::Uncollectible), "done"),
        (Wanted::WrittenOff, at(TheirStatus::Paid), "done"),
        (Wanted::WrittenOff, at(TheirStatus::Void), "done"),
    ];
    for (wanted, theirs, expected) in rows {
        let next = next(&wanted, &ours(Issued, 300, &[300]), theirs.as_ref());
        assert_eq!(kind(&next), expected, "{wanted:?} {theirs:?}");
    }
}

#[test]
fn credit_notes_give_back_what_stands_at_stripe() {
    let open = || theirs(Open, 700, &[]);
    let paid = || theirs(TheirStatus::Paid, 700, &[]);
    let by_stripe = |is_paid_by_stripe| Ours { is_paid_by_stripe, ..ours(Issued, 700, &[700]) };
    let credit = |amount, after_payment, is_refunded| Next::Credit { amount, after_payment, is_refunded };
    let rows = [
        (by_stripe(false), Some(open()), 250, credit(250, 0, false)),
        (by_stripe(true), Some(paid()), 250, credit(250, 250, true)),
        (by_stripe(false), Some(paid()), 250, credit(250, 250, false)),
        // Grants had paid 300 of 1,000: only 700 stand at Stripe.
        (by_stripe(false), Some(open()), 1_000, credit(700, 0, false)),
        (
            by_stripe(false),
            Some(TheirInvoice { credited: 600, amount_remaining: 100, ..open() }),
            400,
            credit(100, 0, false),
        ),
    ];
    for (ours, theirs, total, expected) in rows {
        let next = next(&Wanted::Credited(MinorUnits::new(total)), &ours, theirs.as_ref());
        assert_eq!(next, expected, "{total} of {theirs:?}");
    }
    let words = [
        (None, "done"),
        (Some(TheirInvoice { credited: 700, ..paid() }), "done"),
        (Some(theirs(Draft, 700, &[700])), "park"),
        (Some(theirs(TheirStatus::Void, 700, &[])), "park"),
        (Some(TheirInvoice { amount_remaining: 200, ..open() }), "park"),
    ];
    for (theirs, expected) in words {
        let next = next(&Wanted::Credited(MinorUnits::new(250)), &by_stripe(false), theirs.as_ref());
        assert_eq!(kind(&next), expected, "{theirs:?}");
    }
}

#[test]
fn what_stripe_tells_leads_forward_and_never_back() {
    let paid = |amount_paid| TheirInvoice { amount_paid, ..theirs(TheirStatus::Paid, 300, &[]) };
    let rows = [
        (Issued, 300, theirs(Draft, 300, &[]), "nothing"),
        (Issued, 300, theirs(Open, 300, &[]), "nothing"),
        (InvoiceState::Paid, 0, theirs(Open, 300, &[]), "nothing"),
        (Void, 0, theirs(Open, 300, &[]), "nothing"),
        (Issued, 300, paid(300), "paid 300"),
        (Uncollectible, 300, paid(300), "paid 300"),
        (Issued, 300, paid(299), "contradiction"),
        (Issued, 200, paid(300), "contradiction"),
        (InvoiceState::Paid, 0, paid(300), "nothing"),
        (Void, 0, paid(300), "contradiction"),
        (Issued, 300, theirs(TheirStatus::Void, 300, &[]), "void"),
        (Uncollectible, 300, theirs(TheirStatus::Void, 300, &[]), "void"),
        (Void, 0, theirs(TheirStatus::Void, 300, &[]), "nothing"),
        (InvoiceState::Paid, 0, theirs(TheirStatus::Void, 300, &[]), "contradiction"),
        (Issued, 300, theirs(TheirStatus::Uncollectible, 300, &[]), "written off"),
        (Uncollectible, 300, theirs(TheirStatus::Uncollectible, 300, &[]), "nothing"),
        (InvoiceState::Paid, 0, theirs(TheirStatus::Uncollectible, 300, &[]), "nothing"),
        (Void, 0, theirs(TheirStatus::Uncollectible, 300, &[]), "nothing"),
    ];
    for (state, due, theirs, expected) in rows {
        let found = match observe(&ours(state, due, &[300]), &theirs) {
            Observed::Nothing(_) => "nothing".to_owned(),
            Observed::Paid(amount) => format!("paid {}", amount.get()),
            Observed::Void => "void".to_owned(),
            Observed::WrittenOff => "written off".to_owned(),
            Observed::Contradiction(_) => "contradiction".to_owned(),
        };
        assert_eq!(found, expected, "{state:?} {theirs:?}");
    }
}
