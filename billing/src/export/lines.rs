//! Lines of invoices and of what takes them back as rows, with the document that each is on.
//! Never an amount of its own: every figure stands on the document.
//! Called by `Export`.

use bigdecimal::BigDecimal;
use domain::Timestamp;

use super::{
    ExportError,
    booked::{Booked, BookedKind},
    table::{Cell, Column, Kind},
};
use crate::invoice::Line;

/// The columns.
pub(super) static COLUMNS: [Column; 29] = [
    Column::new("invoice_number", Kind::Text),
    Column::new("issued_at", Kind::Instant),
    Column::new("tenant_id", Kind::Text),
    Column::new("tenant_name", Kind::Text),
    Column::new("period_start", Kind::Instant),
    Column::new("period_end", Kind::Instant),
    Column::new("zone", Kind::Text),
    Column::new("currency", Kind::Text),
    Column::new("position", Kind::Count),
    Column::new("kind", Kind::Text),
    Column::new("item", Kind::Text),
    Column::new("description", Kind::Text),
    Column::new("model", Kind::Text),
    Column::new("price_version", Kind::Text),
    Column::new("reason", Kind::Text),
    Column::new("requests", Kind::Count),
    Column::new("quantity", Kind::Count),
    Column::new("unit", Kind::Text),
    Column::new("units", Kind::Exact),
    Column::new("units_name", Kind::Text),
    Column::new("unit_price", Kind::Decimal),
    Column::new("unit_price_per", Kind::Count),
    Column::new("percent", Kind::Decimal),
    Column::new("formula", Kind::Text),
    Column::new("exact", Kind::Exact),
    Column::new("displayed", Kind::Decimal),
    Column::new("document", Kind::Text),
    Column::new("document_number", Kind::Text),
    Column::new("document_at", Kind::Instant),
];

/// One line.
///
/// Errors: an amount that does not read, a count beyond 63 bits.
pub(super) fn row(booked: &Booked, line: &Line) -> Result<Vec<Cell>, ExportError> {
    let invoice = &booked.invoice;
    // What became void takes its counts back as well.
    let counted = |number| if booked.kind == BookedKind::Void { taken_back(number) } else { count(number) };
    let text = |text: &str| Cell::Text(text.to_owned());
    let made: Result<jiff::Timestamp, _> = invoice.made_at.parse();
    let issued =
        made.map_or(Cell::Empty, |at| Cell::Instant(Timestamp::from_unix_micros(at.as_microsecond())));
    Ok(vec![
        Cell::text(invoice.number.clone()),
        issued,
        text(&invoice.tenant.id),
        text(&invoice.tenant.name),
        Cell::Instant(Timestamp::from_unix_micros(invoice.period.start_unix_us)),
        Cell::Instant(Timestamp::from_unix_micros(invoice.period.end_unix_us)),
        text(&invoice.period.zone),
        text(&invoice.currency),
        Cell::Count(i64::from(line.position)),
        text(line.kind.as_str()),
        text(&line.item),
        text(&line.description),
        Cell::text(line.model.clone()),
        Cell::text(line.price_version.clone()),
        Cell::text(line.reason.clone()),
        counted(line.requests)?,
        counted(line.quantity)?,
        text(&line.unit),
        decimal_or_empty(line.units.as_deref())?,
        Cell::text(line.units_name.clone()),
        decimal_or_empty(line.unit_price.as_deref())?,
        line.unit_price_per.map_or(Ok(Cell::Empty), count)?,
        decimal_or_empty(line.percent.as_deref())?,
        Cell::text(line.formula.clone()),
        Cell::Decimal(decimal(&line.exact)?),
        Cell::Decimal(decimal(&line.displayed)?),
        text(booked.kind.as_str()),
        Cell::text(booked.number.clone()),
        booked.at.map_or(Cell::Empty, Cell::Instant),
    ])
}

pub(super) fn count(number: u64) -> Result<Cell, ExportError> {
    let number = i64::try_from(number).map_err(|_| domain::QuantityError::Overflow { unit: "counts" })?;
    Ok(Cell::Count(number))
}

/// The same below zero.
fn taken_back(number: u64) -> Result<Cell, ExportError> {
    let number = i64::try_from(number).map_err(|_| domain::QuantityError::Overflow { unit: "counts" })?;
    Ok(Cell::Count(-number))
}

pub(super) fn decimal(text: &str) -> Result<BigDecimal, ExportError> {
    text.parse().map_err(|_| ExportError::NoDecimal(text.chars().take(80).collect()))
}

fn decimal_or_empty(text: Option<&str>) -> Result<Cell, ExportError> {
    text.map_or(Ok(Cell::Empty), |text| decimal(text).map(Cell::Decimal))
}
