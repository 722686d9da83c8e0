//! The totals of made-up invoices: their arithmetic closes, and they stand together on one page.
//! Never a picture: what a page looks like is for people.
//! Run by `cargo test`.

use billing::{
    invoice::{Invoice, Payment},
    ledger::{InvoiceEvent, InvoiceEventKind, InvoiceRefund, InvoiceStanding, InvoiceState, RefundKind},
    rate::MinorUnits,
};
use domain::{Currency, TenantId, Timestamp};

use super::{has, invoice, read};
use crate::pdf::{Status, invoice_pdf};

/// The invoice of 1469.13 as it was issued: nothing happened since.
fn standing() -> InvoiceStanding {
    InvoiceStanding {
        number: "TG-000042".to_owned(),
        tenant_id: TenantId::generate(Timestamp::from_unix_micros(1_797_000_000_000_000)),
        currency: Currency::EUR,
        state: InvoiceState::Issued,
        total: MinorUnits::new(146_913),
        granted: MinorUnits::ZERO,
        paid: MinorUnits::ZERO,
        credited: MinorUnits::ZERO,
        due: MinorUnits::new(146_913),
        refunded: MinorUnits::ZERO,
        owed_to_tenant: MinorUnits::ZERO,
        due_at: None,
        is_overdue: false,
        events: Vec::new(),
        refunds: Vec::new(),
    }
}

fn payment(cents: i64) -> InvoiceEvent {
    InvoiceEvent {
        sequence: 2,
        kind: InvoiceEventKind::Payment,
        amount: Some(MinorUnits::new(cents)),
        reference: Some("bank 7".to_owned()),
        note: String::new(),
        at: Timestamp::from_unix_micros(1_797_000_000_000_000),
        actor_kind: "operator".to_owned(),
        actor: "anna".to_owned(),
    }
}

fn refund(kind: RefundKind, cents: i64, note: Option<&str>) -> InvoiceRefund {
    let by_hand = note.is_none().then(|| "bank 8".to_owned());
    InvoiceRefund {
        sequence: 1,
        kind,
        amount: MinorUnits::new(cents),
        reference: by_hand,
        credit_note: note.map(str::to_owned),
        grant_id: None,
        note: String::new(),
        at: Timestamp::from_unix_micros(1_797_000_000_000_000),
        actor_kind: "operator".to_owned(),
        actor: "anna".to_owned(),
    }
}

/// Two grants that paid 469.13 together.
fn granted(mut invoice: Invoice) -> Invoice {
    let payment = |displayed: &str| Payment {
        kind: "paid".to_owned(),
        grant_id: "g".to_owned(),
        description: "Paid from prepaid credit: order 7".to_owned(),
        exact: displayed.to_owned(),
        displayed: displayed.to_owned(),
    };
    (invoice.payments, invoice.amount_due) =
        (vec![payment("400.00"), payment("69.13")], Some("1000.00".to_owned()));
    invoice
}

fn shows(invoice: &Invoice, standing: Option<&InvoiceStanding>, words: &[&str]) {
    let (text, _) = read(&invoice_pdf(invoice, standing).expect("a PDF"));
    // The totals, word after word.
    let after = words.iter().try_fold(text.as_str(), |rest, word| {
        let word: String = word.chars().filter(|letter| !letter.is_whitespace()).collect();
        rest.find(&word).and_then(|found| rest.get(found + word.len()..))
    });
    assert!(after.is_some(), "{words:?} in {text}");
}

#[test]
fn what_grants_paid_is_shown() {
    let by_grants = [
        "Total EUR",
        "1469.13",
        "Paid from prepaid credit: order 7",
        "-400.00",
        "-69.13",
        "Amount due EUR",
        "1000.00",
    ];
    shows(&granted(invoice(2)), None, &by_grants);
    let issued =
        InvoiceStanding { granted: MinorUnits::new(46_913), due: MinorUnits::new(100_000), ..standing() };
    shows(&granted(invoice(2)), Some(&issued), &by_grants);
    let mut draft = granted(invoice(2));
    (draft.number, draft.status, draft.due_at, draft.payments) = (None, Status::Draft, None, Vec::new());
    (draft.amount_due, draft.issued_as) = (None, Some("TG-000042".to_owned()));
    shows(&draft, None, &["DRAFT INVOICE", "Total EUR", "What is due is on TG-000042"]);
    let (text, _) = read(&invoice_pdf(&draft, None).expect("a PDF"));
    assert!(!has(&text, "Amount due"), "{text}");
}

#[test]
fn what_was_paid_since_is_shown() {
    let paid = InvoiceStanding {
        paid: MinorUnits::new(100_000),
        credited: MinorUnits::new(913),
        due: MinorUnits::new(46_000),
        events: vec![payment(100_000)],
        ..standing()
    };
    let words = [
        "Total EUR",
        "1469.13",
        "Payment of 2026-12-11, bank 7",
        "-1000.00",
        "Credit notes",
        "-9.13",
        "Amount due EUR",
        "460.00",
    ];
    shows(&invoice(2), Some(&paid), &words);
    let void = InvoiceStanding { state: InvoiceState::Void, due: MinorUnits::ZERO, ..standing() };
    let words = [
        "INVOICE (VOID)",
        "Total EUR",
        "1469.13",
        "Void",
        "-1469.13",
        "Amount due EUR (void)",
        "0.00",
        "Invoice TG-000042 (void)",
    ];
    shows(&invoice(2), Some(&void), &words);
    let whole = InvoiceStanding {
        state: InvoiceState::Paid,
        paid: MinorUnits::new(146_913),
        due: MinorUnits::ZERO,
        events: vec![payment(146_913)],
        ..standing()
    };
    let words = ["INVOICE (PAID)", "Total EUR", "1469.13", "-1469.13", "Amount due EUR (paid)", "0.00"];
    shows(&invoice(2), Some(&whole), &words);
    let (text, _) = read(&invoice_pdf(&invoice(2), Some(&standing())).expect("a PDF"));
    assert!(has(&text, "INVOICE TG-000042") && !has(&text, "INVOICE ("), "{text}");
}

#[test]
fn what_is_owed_to_the_tenant_is_shown() {
    // 1469.13 less 469.13 by grants, 1000.00 paid, 600.00 credited; 469.13 and 30.87 given back leave 100.00.
    let owed = InvoiceStanding {
        state: InvoiceState::Paid,
        granted: MinorUnits::new(46_913),
        paid: MinorUnits::new(100_000),
        credited: MinorUnits::new(60_000),
        due: MinorUnits::ZERO,
        refunded: MinorUnits::new(50_000),
        owed_to_tenant: MinorUnits::new(10_000),
        events: vec![payment(100_000)],
        refunds: vec![
            refund(RefundKind::Grant, 46_913, Some("TG-CN-000007")),
            refund(RefundKind::Payout, 3_087, None),
        ],
        ..standing()
    };
    let words = [
        "1469.13",
        "-400.00",
        "-69.13",
        "-1000.00",
        "Credit notes",
        "-600.00",
        "Given back as credit on 2026-12-11, TG-CN-000007",
        "469.13",
        "Paid back on 2026-12-11, bank 8",
        "30.87",
        "Owed to you EUR",
        "100.00",
    ];
    shows(&granted(invoice(2)), Some(&owed), &words);
    let mut below = invoice(2);
    below.total = "-13.00".to_owned();
    shows(&below, None, &["Total EUR", "-13.00", "Owed to you EUR", "13.00"]);
    let born = InvoiceStanding {
        state: InvoiceState::Paid,
        total: MinorUnits::new(-1_300),
        due: MinorUnits::ZERO,
        owed_to_tenant: MinorUnits::new(1_300),
        ..standing()
    };
    shows(&below, Some(&born), &["Total EUR", "-13.00", "Owed to you EUR", "13.00"]);
}

#[test]
fn totals_stand_together_on_one_page() {
    let mut turned = 0;
    let paid = InvoiceStanding { events: vec![payment(100); 4], ..standing() };
    for lines in 1..=60 {
        let pdf = invoice_pdf(&granted(invoice(lines)), Some(&paid)).expect("a PDF");
        let document = lopdf::Document::load_mem(&pdf).expect("a PDF");
        let pages: Vec<u32> = document.get_pages().keys().copied().collect();
        let page_of = |word: &str| {
            let wanted: String = word.chars().filter(|letter| !letter.is_whitespace()).collect();
            let has_it = |page: &&u32| {
                let text = document.extract_text(&[**page]).expect("a text");
                text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>().contains(&wanted)
            };
            pages.iter().find(has_it).copied().unwrap_or_else(|| panic!("{word} is on a page"))
        };
        let first = page_of("Subtotal");
        assert_eq!([page_of("Total EUR"), page_of("Amount due EUR")], [first; 2], "{lines} lines");
        let last_line = page_of(&format!("demo-{lines}: output tokens"));
        turned += u32::from(last_line != first);
    }
    assert!(turned > 3, "some totals begin a page of their own");
    // More rows than a page holds go on over the next.
    let paid = InvoiceStanding { events: vec![payment(100); 120], ..standing() };
    let (text, _) = read(&invoice_pdf(&invoice(1), Some(&paid)).expect("a PDF"));
    assert_eq!(text.matches("Paymentof").count(), 120);
}
