//! Invoices and credit notes as PDFs that a company would send: fonts inside, pages numbered, the same bytes each time.
//! Never an amount that the document does not say, and never the time or the fonts of the machine.
//! Called by the command line and the operators' interface.

mod body;
mod canvas;
mod chart;
mod credit_note;
mod fonts;
mod head;
mod totals;

use billing::{
    invoice::{CreditNote, Invoice, Status},
    ledger::{InvoiceStanding, InvoiceState},
};
use krilla::metadata::DateTime;

use self::canvas::Canvas;

/// Why there is no PDF.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// A font of the program does not read.
    #[error("a font that is part of the program does not read")]
    Font,
    /// A size that is none.
    #[error("a page or an area has no size")]
    Shape,
    /// The document does not hold together.
    #[error("the PDF could not be written: {0}")]
    Krilla(String),
}

/// An invoice as a PDF; with its standing also what was paid since, and what is due now.
///
/// Errors: none in practice; tests make PDFs of all kinds of invoices.
pub fn invoice_pdf(invoice: &Invoice, standing: Option<&InvoiceStanding>) -> Result<Vec<u8>, PdfError> {
    let mut canvas = Canvas::new()?;
    head::head(&mut canvas, invoice, end(standing));
    body::lines(&mut canvas, invoice);
    totals::invoice(&mut canvas, invoice, standing);
    body::projects(&mut canvas, invoice);
    chart::energy(&mut canvas, invoice);
    chart::chart(&mut canvas, invoice);
    body::notes(&mut canvas, invoice);
    canvas.finish((&title(invoice, end(standing)), "en"), made(&invoice.made_at))
}

/// A credit note as a PDF.
///
/// Errors: none in practice; tests make PDFs of short and long ones.
pub fn credit_note_pdf(note: &CreditNote) -> Result<Vec<u8>, PdfError> {
    let mut canvas = Canvas::new()?;
    head::credit_note(&mut canvas, note);
    credit_note::lines(&mut canvas, note);
    credit_note::totals(&mut canvas, note);
    canvas.finish((&format!("Credit note {}", note.number), "en"), made(&note.made_at))
}

/// How an invoice ended, as its title says it. What is still owed, expected or not, has no such word.
fn end(standing: Option<&InvoiceStanding>) -> Option<&'static str> {
    match standing?.state {
        InvoiceState::Issued | InvoiceState::Uncollectible => None,
        InvoiceState::Paid => Some("paid"),
        InvoiceState::Void => Some("void"),
    }
}

/// What the document is.
fn title(invoice: &Invoice, end: Option<&str>) -> String {
    match (invoice.status, &invoice.number, end) {
        (Status::Issued, Some(number), None) => format!("Invoice {number}"),
        (Status::Issued, Some(number), Some(end)) => format!("Invoice {number} ({end})"),
        (Status::Issued | Status::Draft, _, _) => format!("Draft invoice for {}", invoice.tenant.name),
    }
}

/// When a document was made, as its own text says.
fn made(at: &str) -> Option<DateTime> {
    let number = |from: usize, to: usize| at.get(from..to)?.parse::<u8>().ok();
    let year = at.get(0..4)?.parse::<u16>().ok()?;
    let day = DateTime::new(year).month(number(5, 7)?).day(number(8, 10)?);
    let time = day.hour(number(11, 13)?).minute(number(14, 16)?).second(number(17, 19)?);
    Some(time.utc_offset_hour(0).utc_offset_minute(0))
}

#[cfg(test)]
mod tests;
