//! The totals of a document: subtotal, taxes, total, what was paid, credited and given back, and what is due.
//! Never an amount that the document or its standing does not say, and never torn over two pages where one holds it.
//! Called once for each PDF.

use billing::{
    invoice::{CreditNote, CreditTax, Invoice},
    ledger::{InvoiceEventKind, InvoiceStanding, InvoiceState, RefundKind},
    rate::MinorUnits,
    tax::TaxMode,
};

use super::canvas::{Canvas, Ink, RIGHT, Style};

/// Where the labels of totals begin.
const TOTALS: f32 = 300.0;
/// How wide they may be.
const LABEL_WIDTH: f32 = RIGHT - 90.0 - TOTALS;
/// Above the first row.
const ABOVE: f32 = 6.0;
/// What a strong line above a row takes.
const RULE: f32 = 5.0;

/// A row of the totals.
struct Row {
    label: String,
    amount: String,
    style: Style,
    has_rule: bool,
}

impl Row {
    fn plain(label: impl Into<String>, amount: impl Into<String>) -> Self {
        Self { label: label.into(), amount: amount.into(), style: Style::BODY, has_rule: false }
    }

    fn strong(label: impl Into<String>, amount: impl Into<String>) -> Self {
        Self { style: Style::TOTAL, ..Self::plain(label, amount) }
    }

    /// One that begins below a strong line.
    fn sum(label: impl Into<String>, amount: impl Into<String>) -> Self {
        Self { has_rule: true, ..Self::strong(label, amount) }
    }

    fn height(&self, canvas: &Canvas) -> f32 {
        let lines = canvas.fonts.wrap(&self.label, (self.style.weight, self.style.size), LABEL_WIDTH).len();
        // A label is never so often broken that a float could not count its lines.
        let lines = u16::try_from(lines).map_or(1.0, f32::from).max(1.0);
        lines * self.style.leading() + 3.0 + if self.has_rule { RULE } else { 0.0 }
    }

    fn draw(&self, canvas: &mut Canvas) {
        let height = self.height(canvas);
        canvas.need(height);
        let (top, mut y) = (canvas.y, canvas.y);
        if self.has_rule {
            canvas.area(TOTALS, y, (RIGHT - TOTALS, 0.8), Ink::Strong);
            y += RULE;
        }
        canvas.column(TOTALS, y, LABEL_WIDTH, (self.style, &self.label));
        canvas.text_until(RIGHT - 5.0, y, self.style, &self.amount);
        canvas.y = top + height;
    }
}

/// Draws rows on one page; where no page holds them all, they go on over the next.
fn block(canvas: &mut Canvas, rows: &[Row]) {
    let height = rows.iter().map(|row| row.height(canvas)).sum::<f32>();
    // A point more: sums of sizes are not exact.
    canvas.keep_together(ABOVE + height + 1.0);
    canvas.y += ABOVE;
    for row in rows {
        row.draw(canvas);
    }
}

/// The totals of an invoice; with its standing also what was paid since.
pub(super) fn invoice(canvas: &mut Canvas, invoice: &Invoice, standing: Option<&InvoiceStanding>) {
    let mut rows = vec![Row::plain("Subtotal", &invoice.subtotal)];
    for tax in invoice.taxes.iter().flat_map(|taxes| &taxes.lines) {
        let name = format!("{} {} %", tax.name, tax.percent);
        rows.push(match tax.mode {
            TaxMode::Exclusive => Row::plain(format!("{name} on {}", tax.base), &tax.amount),
            TaxMode::Inclusive => Row::plain(format!("{name}, contained"), format!("({})", tax.amount)),
        });
    }
    rows.push(Row::sum(format!("Total {}", invoice.currency), &invoice.total));
    rows.extend(payments(invoice));
    rows.extend(match standing {
        Some(standing) => settled(standing),
        None => due_at_first(invoice),
    });
    block(canvas, &rows);
    if let Some(note) = invoice.taxes.as_ref().and_then(|taxes| taxes.note.as_ref()) {
        canvas.y += 4.0;
        let y = canvas.y;
        canvas.y += canvas.column(TOTALS, y, RIGHT - TOTALS, (Style::BODY, note));
    }
    canvas.y += 10.0;
}

/// What grants paid of an invoice.
fn payments(invoice: &Invoice) -> impl Iterator<Item = Row> {
    invoice.payments.iter().map(|payment| Row::plain(&payment.description, taken_off(&payment.displayed)))
}

/// The amount with its sign turned; nothing stays nothing.
fn taken_off(amount: &str) -> String {
    match amount.strip_prefix('-') {
        Some(amount) => amount.to_owned(),
        None if amount.bytes().all(|byte| matches!(byte, b'0' | b'.')) => amount.to_owned(),
        None => format!("-{amount}"),
    }
}

/// What is due of an invoice of which nothing more is known. A draft of an issued period leaves that to the invoice.
fn due_at_first(invoice: &Invoice) -> Vec<Row> {
    let currency = &invoice.currency;
    if let Some(number) = &invoice.issued_as {
        return vec![Row::plain(
            format!("What is due is on {number}, which was issued for this period."),
            "",
        )];
    }
    vec![match invoice.owed_to_tenant() {
        Some(owed) => Row::strong(format!("Owed to you {currency}"), owed),
        None => {
            let due = invoice.amount_due.as_ref().unwrap_or(&invoice.total);
            Row::strong(format!("Amount due {currency}"), due)
        }
    }]
}

/// The day of an instant, UTC.
fn day(at: &impl ToString) -> String {
    at.to_string().chars().take(10).collect()
}

/// What was paid, credited and given back since the invoice was issued, and what is left.
fn settled(standing: &InvoiceStanding) -> Vec<Row> {
    let currency = standing.currency;
    let mut rows = Vec::new();
    for event in standing.events.iter().filter(|event| event.kind == InvoiceEventKind::Payment) {
        let label =
            format!("Payment of {}, {}", day(&event.at), event.reference.as_deref().unwrap_or_default());
        let amount = event.amount.map(|amount| taken_off(&amount.to_text(currency)));
        rows.push(Row::plain(label, amount.unwrap_or_default()));
    }
    if standing.credited != MinorUnits::ZERO {
        rows.push(Row::plain("Credit notes", taken_off(&standing.credited.to_text(currency))));
    }
    for refund in &standing.refunds {
        let how = match refund.kind {
            RefundKind::Payout => "Paid back on",
            RefundKind::Grant => "Given back as credit on",
        };
        let source = refund.reference.as_deref().or(refund.credit_note.as_deref()).unwrap_or_default();
        let label = format!("{how} {}, {source}", day(&refund.at));
        rows.push(Row::plain(label, refund.amount.to_text(currency)));
    }
    if standing.state == InvoiceState::Void {
        rows.push(Row::plain("Void: nothing of it is owed", taken_off(&standing.total.to_text(currency))));
    }
    let state = match standing.state {
        InvoiceState::Issued => "",
        InvoiceState::Paid => " (paid)",
        InvoiceState::Void => " (void)",
        InvoiceState::Uncollectible => " (uncollectible)",
    };
    rows.push(match standing.owed_to_tenant > MinorUnits::ZERO {
        true => Row::strong(format!("Owed to you {currency}"), standing.owed_to_tenant.to_text(currency)),
        false => Row::strong(format!("Amount due {currency}{state}"), standing.due.to_text(currency)),
    });
    rows
}

/// The totals of a credit note: subtotal, taxes, and what is given back.
pub(super) fn credit_note(canvas: &mut Canvas, note: &CreditNote) {
    let tax = |tax: &CreditTax| {
        let name = format!("{} {} %", tax.name, tax.percent);
        match tax.mode {
            TaxMode::Exclusive => Row::plain(name, &tax.amount),
            TaxMode::Inclusive => Row::plain(format!("{name}, contained"), format!("({})", tax.amount)),
        }
    };
    let mut rows = vec![Row::plain("Subtotal", &note.subtotal)];
    rows.extend(note.taxes.iter().map(tax));
    rows.push(Row::sum(format!("Total credit {}", note.currency), &note.total));
    block(canvas, &rows);
}
