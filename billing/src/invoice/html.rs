//! An invoice as one HTML page: no other file, no script, fit for printing.
//! Never marks text as safe: the template escapes every value.
//! Called by `Invoice::to_html`.

use askama::Template;

use super::{
    Invoice, Line, Status,
    text::{attained, counted, joules, late_records, with_separators},
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
    let page = Page { invoice, title, remark: invoice.period.remark(), late: late_records(invoice), lines };
    page.render().map_err(|error| LedgerError::corrupt("invoice", &error))
}

fn row<'a>(line: &'a Line, currency: &str) -> Row<'a> {
    let quantity = match (line.units.as_ref().zip(line.units_name.as_ref()), line.unit.as_str()) {
        (Some((units, name)), _) => format!("{units} {name}"),
        (None, "") => String::new(),
        (None, "millijoules") => format!("{} J", joules(line.quantity)),
        (None, unit) => counted(line.quantity, unit),
    };
    let price = match (&line.unit_price, line.unit_price_per) {
        (Some(price), Some(1)) => format!("{price} {currency}"),
        (Some(price), Some(per)) => format!("{price} {currency} per {}", with_separators(per)),
        _ => String::new(),
    };
    let note = match (&line.percent, &line.attainment, &line.unit_price) {
        (Some(percent), Some(attainment), Some(_)) => {
            format!("{percent} % of the output price for each late token. {}.", attained(attainment))
        }
        (_, Some(attainment), None) => format!("{}.", attained(attainment)),
        _ => String::new(),
    };
    Row { line, quantity, price, note }
}
