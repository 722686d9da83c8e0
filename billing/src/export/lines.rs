//! Lines of issued invoices as rows, with the invoice that each is on.
//! Never an amount of its own: every figure stands on the invoice.
//! Called by `Export`.

use bigdecimal::BigDecimal;
use domain::Timestamp;

use super::{
    ExportError,
    table::{Cell, Column, Kind},
};
use crate::invoice::{Invoice, Line};

/// The columns.
pub(super) static COLUMNS: [Column; 26] = [
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
];

/// One line.
///
/// Errors: an amount that does not read, a count beyond 63 bits.
pub(super) fn row(invoice: &Invoice, line: &Line) -> Result<Vec<Cell>, ExportError> {
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
        count(line.requests)?,
        count(line.quantity)?,
        text(&line.unit),
        decimal_or_empty(line.units.as_deref())?,
        Cell::text(line.units_name.clone()),
        decimal_or_empty(line.unit_price.as_deref())?,
        line.unit_price_per.map_or(Ok(Cell::Empty), count)?,
        decimal_or_empty(line.percent.as_deref())?,
        Cell::text(line.formula.clone()),
        Cell::Decimal(decimal(&line.exact)?),
        Cell::Decimal(decimal(&line.displayed)?),
    ])
}

pub(super) fn count(number: u64) -> Result<Cell, ExportError> {
    let number = i64::try_from(number).map_err(|_| domain::QuantityError::Overflow { unit: "counts" })?;
    Ok(Cell::Count(number))
}

pub(super) fn decimal(text: &str) -> Result<BigDecimal, ExportError> {
    text.parse().map_err(|_| ExportError::NoDecimal(text.chars().take(80).collect()))
}

fn decimal_or_empty(text: Option<&str>) -> Result<Cell, ExportError> {
    text.map_or(Ok(Cell::Empty), |text| decimal(text).map(Cell::Decimal))
}
