//! Lines of issued invoices as charges in the columns of FOCUS 1.0 and 1.2 (FinOps Open Cost and Usage Specification).
//! Never a sum that is not the document's: `BilledCost` of all rows is what it adds to what is owed, to the last digit.
//! Called by `Export`; docs/exports.md describes each column.

mod category;
mod charge;
mod columns;
mod consumed;
mod pricing;
#[cfg(test)]
mod tests;

pub(super) use columns::columns;

use self::{charge::Charge, consumed::consumed};
use super::{ExportError, booked::Booked, table::Cell};

/// Which text of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FocusVersion {
    /// 1.0.
    V1_0,
    /// 1.2.
    V1_2,
}

/// The rows of a document.
///
/// Errors: rows that do not add up to what is owed; amounts that do not read.
pub(super) fn rows(
    booked: &Booked,
    version: FocusVersion,
    provider: &str,
) -> Result<Vec<Vec<Cell>>, ExportError> {
    booked.check_sum()?;
    let consumed = consumed(booked);
    let lines = booked.lines.iter().zip(consumed).map(|(line, consumed)| (line, Some(consumed)));
    let taxes = booked.taxes.iter().map(|line| (line, None));
    let row = |line| {
        let charge = Charge::of(booked, line, provider)?;
        columns(version).iter().map(|column| charge.cell(column.name)).collect()
    };
    lines.chain(taxes).map(row).collect()
}
