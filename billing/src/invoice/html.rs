//! An invoice as one HTML page: no other file, no script, fit for printing.
//! Never marks text as safe: the template escapes every value.
//! Called by `Invoice::to_html`.

use askama::Template;

use super::{
    DayTokens, Invoice, Line, Status,
    text::{counted, late_records},
};
use crate::ledger::LedgerError;

#[derive(Template)]
#[template(path = "invoice.html")]
struct Page<'a> {
    invoice: &'a Invoice,
    title: String,
    remark: Option<&'static str>,
    late: String,
    lines: Vec<Row<'a>>,
    energy: Option<String>,
    bars: Vec<Bar>,
    bars_width: usize,
}

/// A line as the page shows it.
struct Row<'a> {
    line: &'a Line,
    quantity: String,
    price: String,
    note: String,
}

pub(super) fn render(invoice: &Invoice) -> Result<String, LedgerError> {
    let title = match (invoice.status, &invoice.number) {
        (Status::Issued, Some(number)) => format!("Invoice {number}"),
        (Status::Issued | Status::Draft, _) => "Draft invoice".to_owned(),
    };
    let lines = invoice.lines.iter().map(|line| row(line, &invoice.currency)).collect();
    let bars = bars(invoice);
    let page = Page {
        invoice,
        title,
        remark: invoice.period.remark(),
        late: late_records(invoice),
        lines,
        energy: invoice.energy_text(),
        bars_width: bars.len() * BAR,
        bars,
    };
    page.render().map_err(|error| LedgerError::corrupt("invoice", &error))
}

fn row<'a>(line: &'a Line, currency: &str) -> Row<'a> {
    Row { line, quantity: line.quantity_text(), price: line.price_text(currency), note: line.note_text() }
}

/// A day as a bar: where it begins, how high it is of a hundred, and its words.
struct Bar {
    left: usize,
    height: u64,
    words: String,
}

/// Units that a bar of the chart is wide, with the space to the next.
const BAR: usize = 10;

fn bars(invoice: &Invoice) -> Vec<Bar> {
    let most = invoice.daily_tokens.iter().map(|day| day.tokens).max().unwrap_or(0).max(1);
    let bar = |(index, day): (usize, &DayTokens)| Bar {
        left: index * BAR,
        height: u64::try_from(u128::from(day.tokens) * 100 / u128::from(most)).unwrap_or(100),
        words: format!("{}: {}", day.day, counted(day.tokens, "tokens")),
    };
    invoice.daily_tokens.iter().enumerate().map(bar).collect()
}
