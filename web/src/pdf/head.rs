//! The head of a document: who issued it, who is billed, and the dates.
//! Never a line and never an amount.
//! Called once for each PDF.

use billing::{
    invoice::{BilledIssuer, BilledTenant, CreditNote, Invoice},
    ledger::Party,
};

use super::canvas::{Canvas, Ink, MARGIN, RIGHT, Style};

/// Where the right half of the head begins.
const HALF: f32 = 330.0;
/// Where its values begin, behind their labels.
const VALUES: f32 = 408.0;

/// The head of an invoice, with the word for its end.
pub(super) fn head(canvas: &mut Canvas, invoice: &Invoice, end: Option<&str>) {
    let word = match (&invoice.number, end) {
        (None, _) => "DRAFT INVOICE".to_owned(),
        (Some(_), None) => "INVOICE".to_owned(),
        (Some(_), Some(end)) => format!("INVOICE ({})", end.to_uppercase()),
    };
    titled(canvas, (word.as_str(), invoice.number.as_deref()), invoice.issuer.as_ref());
    billed(canvas, (&invoice.tenant, invoice.customer.as_ref()), dates(invoice));
}

/// The head of a credit note.
pub(super) fn credit_note(canvas: &mut Canvas, note: &CreditNote) {
    titled(canvas, ("CREDIT NOTE", Some(&note.number)), note.issuer.as_ref());
    let rows = vec![
        ("Issued", day(&note.made_at).to_owned()),
        ("For invoice", note.invoice_number.clone()),
        ("Currency", note.currency.clone()),
        ("Reason", note.reason.clone()),
    ];
    billed(canvas, (&note.tenant, note.customer.as_ref()), rows);
}

/// Who issued it, what it is, and its number.
fn titled(canvas: &mut Canvas, (word, number): (&str, Option<&str>), issuer: Option<&BilledIssuer>) {
    let top = canvas.y;
    let left = HALF - MARGIN - 20.0;
    let mut down = 0.0;
    if let Some(issuer) = issuer {
        down += canvas.column(MARGIN, top, left, (Style::NAME, &issuer.party.legal_name)) + 2.0;
        down += party(canvas, (MARGIN, top + down), left, &issuer.party);
    }
    canvas.text_until(RIGHT, top - 4.0, Style::TITLE, word);
    let mut right = 34.0;
    if let Some(number) = number {
        canvas.text_until(RIGHT, top + 22.0, Style::TOTAL, number);
        right = 46.0;
    }
    canvas.y = top + f32::max(down, right) + 18.0;
    canvas.rule();
    canvas.y += 14.0;
}

/// Who is billed, and beside it the dates and what else an accountant looks for.
fn billed(
    canvas: &mut Canvas,
    (tenant, customer): (&BilledTenant, Option<&Party>),
    rows: Vec<(&str, String)>,
) {
    let top = canvas.y;
    let left = HALF - MARGIN - 20.0;
    canvas.text(MARGIN, top, Style::LABEL, "BILL TO");
    let mut down = 14.0;
    match customer {
        Some(customer) => {
            down += canvas.column(MARGIN, top + down, left, (Style::BOLD, &customer.legal_name));
            down += party(canvas, (MARGIN, top + down), left, customer);
            let account = format!("Account {}", tenant.name);
            down += canvas.column(MARGIN, top + down, left, (Style::SMALL, &account));
        }
        None => {
            down += canvas.column(MARGIN, top + down, left, (Style::BOLD, &tenant.name));
            down += canvas.column(MARGIN, top + down, left, (Style::SMALL, &tenant.id));
        }
    }
    let mut right = 0.0;
    for (label, text) in rows.into_iter().filter(|(_, text)| !text.is_empty()) {
        canvas.text(HALF, top + right, Style { ink: Ink::Soft, ..Style::BODY }, label);
        right += canvas.column(VALUES, top + right, RIGHT - VALUES, (Style::BODY, &text)) + 1.0;
    }
    canvas.y = top + f32::max(down, right) + 16.0;
}

/// Address, country, tax number and e-mail; gives their height.
fn party(canvas: &mut Canvas, (x, y): (f32, f32), width: f32, party: &Party) -> f32 {
    let tax_id = party.tax_id.as_ref().map(|tax_id| format!("Tax id {tax_id}"));
    let mut down = 0.0;
    for text in party.address.iter().chain(&party.country).chain(&tax_id).chain(&party.email) {
        down += canvas.column(x, y + down, width, (Style { ink: Ink::Soft, ..Style::BODY }, text));
    }
    down
}

/// A day of an instant in local time.
fn day(instant: &str) -> &str {
    instant.get(..10).unwrap_or(instant)
}

/// What stands beside the address of an invoice.
fn dates(invoice: &Invoice) -> Vec<(&'static str, String)> {
    let period = &invoice.period;
    let made = if invoice.number.is_some() { "Issued" } else { "Made" };
    let due = match (&invoice.due_at, invoice.payment_days) {
        (Some(due), _) => Some(day(due).to_owned()),
        (None, Some(days)) => Some(format!("{days} days after it is issued")),
        (None, None) => None,
    };
    let mut rows = vec![
        (made, day(&invoice.made_at).to_owned()),
        ("Due", due.unwrap_or_default()),
        ("Period", format!("{} up to, not including, {}", period.start, period.end)),
        ("Time zone", period.zone.clone()),
        ("Currency", invoice.currency.clone()),
        ("Usage records", invoice.records.to_string()),
    ];
    if let Some(number) = &invoice.issued_as {
        rows.push(("Issued before", format!("as {number}; {} records came later", invoice.late_records)));
    }
    rows
}
