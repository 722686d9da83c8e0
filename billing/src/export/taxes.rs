//! Taxes of an invoice as lines, for forms that have one row for each charge.
//! Never a tax that prices contain: that is billed with the lines.
//! Called by `booked`.

use crate::{
    invoice::{Invoice, Line, LineKind},
    tax::TaxMode,
};

/// The taxes that come on top, as lines after the others. Those that prices contain are billed with the lines.
pub(super) fn taxes(invoice: &Invoice) -> impl Iterator<Item = Line> {
    let lines = invoice.taxes.iter().flat_map(|taxes| &taxes.lines);
    let added = lines.filter(|tax| tax.mode == TaxMode::Exclusive);
    let first = u32::try_from(invoice.lines.len()).unwrap_or(u32::MAX).saturating_add(1);
    (first..).zip(added).map(|(position, tax)| Line {
        position,
        description: format!("{} {} %", tax.name, tax.percent),
        percent: Some(tax.percent.clone()),
        formula: Some(tax.formula.clone()),
        exact: tax.amount.clone(),
        displayed: tax.amount.clone(),
        ..Line::blank(LineKind::Charge, "tax")
    })
}
