//! PDFs of made-up invoices: every word and amount is in them, the same bytes each time, also when they are long.
//! Never a picture: what a page looks like is for people.
//! Run by `cargo test`.

mod totals;

use billing::invoice::{Invoice, Line};

use super::*;

/// An issued invoice with this many lines.
fn invoice(lines: u32) -> Invoice {
    let line = |position: u32| {
        format!(
            r#"{{"position": {position}, "kind": "charge", "item": "output", "description": "demo-{position}: output tokens",
            "model": "demo", "price_version": "demo@1", "reason": null, "requests": 12, "quantity": {quantity},
            "unit": "tokens", "unit_price": "0.60", "unit_price_per": 1000000, "percent": null, "attainment": null,
            "formula": "{quantity} × 0.60 ÷ 1000000", "exact": "{position}.001", "displayed": "{position}.00"}}"#,
            quantity = 1_000_000 + u64::from(position)
        )
    };
    let lines: Vec<_> = (1..=lines).map(line).collect();
    let days: Vec<_> = (1..=30)
        .map(|day| format!(r#"{{"day": "2026-11-{day:02}", "tokens": {}}}"#, (day * 7_919) % 50_000))
        .collect();
    let energy = r#", {"position": 9999, "kind": "energy", "item": "rapl", "description": "Energy of all requests",
        "model": null, "price_version": null, "reason": null, "requests": 12, "quantity": 1234567, "unit": "millijoules",
        "unit_price": null, "unit_price_per": null, "percent": null, "attainment": null, "formula": null,
        "exact": "0.00", "displayed": "0.00"}"#;
    let party = |name: &str| {
        format!(
            r#"{{"legal_name": "{name}", "address": ["Marktplatz 1", "10115 Berlin"], "country": "DE",
                "tax_id": "DE123456789", "email": "billing@example.com", "payment_note": "IBAN DE02 1203 0000 0000 2020 51"}}"#
        )
    };
    let body = format!(
        r#"{{"schema": "tallygate.invoice/1", "status": "issued", "number": "TG-000042", "made_at": "2026-12-02T10:11:12Z",
        "tenant": {{"id": "01930000-0000-7000-8000-000000000001", "name": "acme"}}, "issuer": {issuer}, "customer": {customer},
        "period": {{"start": "2026-11-01T00:00:00+01:00", "end": "2026-12-01T00:00:00+01:00", "zone": "Europe/Berlin",
        "start_unix_us": 1793487600000000, "end_unix_us": 1796079600000000, "has_begun": true, "has_ended": true}},
        "currency": "EUR", "currency_decimals": 2, "records": 1234, "issued_as": null, "late_records": 0,
        "lines": [{lines}{energy}], "subtotal_exact": "1234.564", "subtotal": "1234.56",
        "taxes": {{"status": "standard", "lines": [{{"name": "VAT", "percent": "19", "mode": "exclusive", "base": "1234.56",
        "formula": "1234.56 × 19 ÷ 100", "amount": "234.57"}}], "net": "1234.56", "tax": "234.57"}},
        "total": "1469.13", "payment_days": 14, "due_at": "2026-12-16T10:11:12Z",
        "projects": [{{"id": null, "path": "research/nlp", "records": 7, "exact": "1234.564", "displayed": "1234.56"}}],
        "daily_tokens": [{days}]}}"#,
        issuer = party("Gateway GmbH"),
        customer = party("Acme AG"),
        lines = lines.join(","),
        energy = if lines.is_empty() { energy.trim_start_matches(", ") } else { energy },
        days = days.join(",")
    );
    Invoice::from_issued(&body).expect("an invoice")
}

/// All words of a PDF without the spaces between them, and the number of its pages.
fn read(pdf: &[u8]) -> (String, usize) {
    let document = lopdf::Document::load_mem(pdf).expect("a PDF");
    let pages: Vec<u32> = document.get_pages().keys().copied().collect();
    let text = document.extract_text(&pages).expect("a text");
    (text.chars().filter(|letter| !letter.is_whitespace()).collect(), pages.len())
}

fn has(text: &str, wanted: &str) -> bool {
    let wanted: String = wanted.chars().filter(|letter| !letter.is_whitespace()).collect();
    text.contains(&wanted)
}

#[test]
fn every_line_and_amount_is_in_it() {
    let invoice = invoice(5);
    let pdf = invoice_pdf(&invoice, None).expect("a PDF");
    let (text, pages) = read(&pdf);
    let words = [
        "TG-000042",
        "Gateway GmbH",
        "Acme AG",
        "Marktplatz 1",
        "10115 Berlin",
        "DE123456789",
        "billing@example.com",
        "2026-12-02",
        "2026-12-16",
        "Europe/Berlin",
        "Subtotal",
        "1234.56",
        "VAT 19 % on 1234.56",
        "234.57",
        "Total EUR",
        "1469.13",
        "Amount due EUR",
        "IBAN DE02 1203 0000 0000 2020 51",
        "research/nlp",
        "1,234.567 J",
        "tokens per joule",
        "TOKENS PER DAY",
        "2026-11-01",
        "2026-11-30",
        "Page 1 of",
    ];
    for word in words {
        assert!(has(&text, word), "{word} in {text}");
    }
    for line in &invoice.lines {
        let Line { description, displayed, exact, .. } = line;
        for word in [description, displayed, exact, &line.quantity_text(), &line.price_text("EUR")] {
            assert!(has(&text, word), "{word} in {text}");
        }
    }
    assert!(pages <= 2, "{pages} pages");
}

#[test]
fn the_same_invoice_gives_the_same_bytes() {
    let once = invoice_pdf(&invoice(20), None).expect("a PDF");
    assert_eq!(once, invoice_pdf(&invoice(20), None).expect("a PDF"));
    assert!(once.starts_with(b"%PDF-"));
    assert_ne!(once, invoice_pdf(&invoice(21), None).expect("a PDF"));
}

#[test]
fn five_hundred_lines_take_many_pages() {
    let (text, pages) = read(&invoice_pdf(&invoice(500), None).expect("a PDF"));
    assert!(pages > 10, "{pages} pages");
    for position in 1..=500 {
        assert!(has(&text, &format!("demo-{position}: output tokens")), "{position}");
        assert!(has(&text, &format!("{position}.001")), "{position}");
    }
    for page in 1..=pages {
        assert!(has(&text, &format!("Page {page} of {pages}")), "{page}");
    }
    assert_eq!(
        text.matches("DESCRIPTION").count(),
        pages_with_lines(&text),
        "a heading on each page of the table"
    );
}

/// As many as there are headings of quantities: both stand in the heading of the table.
fn pages_with_lines(text: &str) -> usize {
    text.matches("UNITPRICE").count()
}

#[test]
fn long_words_and_other_scripts_are_not_broken() {
    let mut invoice = invoice(1);
    let long = "x".repeat(300);
    let texts =
        ["Größe Ñandú Œuvre", "Ελληνικά", "Привет", "日本語の請求書", "中文发票", "한국어", "नमस्ते", "ไทย"];
    invoice.lines[0].description = format!("{long} {}", texts.join(" "));
    if let Some(customer) = &mut invoice.customer {
        customer.legal_name = "שלום עולם مرحبا".to_owned();
        customer.address = vec!["東京都千代田区千代田1-1".to_owned()];
    }
    let pdf = invoice_pdf(&invoice, None).expect("a PDF");
    let (text, _) = read(&pdf);
    assert!(has(&text, &long), "{text}");
    for word in [
        "Größe Ñandú Œuvre",
        "Ελληνικά",
        "Привет",
        "日本語の請求書",
        "中文发票",
        "한국어",
        "東京都千代田区千代田1-1",
    ] {
        assert!(has(&text, word), "{word} in {text}");
    }
    // No letter is missing from every font: none would be drawn as an empty box.
    let fonts = fonts::Fonts::load().expect("fonts");
    for text in texts.iter().copied().chain(["שלום", "مرحبا", "€ £ ¥ ₹ × ÷ − … – “ ”"])
    {
        for letter in text.chars().filter(|letter| !letter.is_whitespace()) {
            assert!(fonts.knows(letter), "{letter:?}");
        }
    }
    // A line is never wider than its column.
    for line in fonts.wrap(&invoice.lines[0].description, (fonts::Weight::Plain, 9.0), 232.0) {
        assert!(fonts.width(&line, fonts::Weight::Plain, 9.0) <= 232.0, "{line}");
    }
}

#[test]
fn a_draft_without_parties_is_a_page_too() {
    let mut draft = invoice(0);
    (draft.issuer, draft.customer, draft.taxes) = (None, None, None);
    (draft.number, draft.status, draft.due_at) = (None, Status::Draft, None);
    draft.lines.clear();
    draft.daily_tokens.clear();
    let (text, pages) = read(&invoice_pdf(&draft, None).expect("a PDF"));
    assert_eq!(pages, 1);
    for word in ["DRAFT INVOICE", "acme", "Nothing was used.", "No tax is included."] {
        assert!(has(&text, word), "{word} in {text}");
    }
}

/// A note that gives back so many lines.
fn note(lines: u32) -> CreditNote {
    let line = |position: u32| {
        format!(
            r#"{{"position": {position}, "description": "demo-{position}: output tokens", "amount": "{position}.00"}}"#
        )
    };
    let lines: Vec<_> = (1..=lines).map(line).collect();
    let body = format!(
        r#"{{"schema": "tallygate.credit_note/1", "number": "TG-CN-000007", "invoice_number": "TG-000042",
        "made_at": "2026-12-09T10:11:12Z", "tenant": {{"id": "01930000-0000-7000-8000-000000000001", "name": "acme"}},
        "issuer": {{"legal_name": "Gateway GmbH", "address": ["Marktplatz 1"], "country": "DE", "tax_id": null,
        "email": null, "payment_note": null}}, "currency": "EUR", "currency_decimals": 2, "reason": "an outage",
        "lines": [{}], "subtotal": "28.00", "taxes": [{{"name": "VAT", "percent": "19", "mode": "exclusive",
        "amount": "5.32"}}, {{"name": "Levy", "percent": "1", "mode": "inclusive", "amount": "0.28"}}],
        "total": "33.32", "asked": {{"reason": "an outage", "lines": []}}}}"#,
        lines.join(",")
    );
    CreditNote::from_issued(&body).expect("a credit note")
}

#[test]
fn a_credit_note_says_what_it_gives_back_of_what() {
    let pdf = credit_note_pdf(&note(7)).expect("a PDF");
    let (text, pages) = read(&pdf);
    let words = [
        "CREDIT NOTE",
        "TG-CN-000007",
        "TG-000042",
        "2026-12-09",
        "an outage",
        "Gateway GmbH",
        "acme",
        "7.00",
        "demo-7: output tokens",
        "Subtotal",
        "28.00",
        "VAT 19 %",
        "5.32",
        "Levy 1 %, contained",
        "(0.28)",
        "Total credit EUR",
        "33.32",
    ];
    for wanted in words {
        assert!(has(&text, wanted), "{wanted:?} is not in {text}");
    }
    assert_eq!(pages, 1);
    assert_eq!(credit_note_pdf(&note(7)).expect("a PDF"), pdf, "the same bytes each time");
    let (text, pages) = read(&credit_note_pdf(&note(200)).expect("a PDF"));
    assert!(pages > 2 && has(&text, "demo-200: output tokens") && has(&text, "200.00"), "{pages} pages");
}
