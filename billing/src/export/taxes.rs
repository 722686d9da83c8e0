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
        kind: LineKind::Charge,
        item: "tax".to_owned(),
        description: format!("{} {} %", tax.name, tax.percent),
        model: None,
        price_version: None,
        reason: None,
        requests: 0,
        quantity: 0,
        unit: String::new(),
        units: None,
        units_name: None,
        unit_price: None,
        unit_price_per: None,
        percent: Some(tax.percent.clone()),
        attainment: None,
        formula: Some(tax.formula.clone()),
        exact: tax.amount.clone(),
        displayed: tax.amount.clone(),
        correction: None,
    })
}
