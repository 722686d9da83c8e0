//! Puts lines about earlier invoices among those of a period and makes the sums of all anew.
//! Never changes the exact amount of a line.
//! Called by `issue`, and by `verify` with the lines that an issued invoice states.

use domain::Currency;

use super::{Extra, Invoice, Line, LineKind};
use crate::{
    invoice::{ProjectShare, build::Built, share::COMMON},
    ledger::LedgerError,
    rate::{ExactAmount, MinorUnits, allocate_by_largest_remainder, plain_decimal},
};

/// Reads an exact amount back.
pub(in crate::invoice) fn exact_of(text: &str) -> Result<ExactAmount, LedgerError> {
    let read = plain_decimal(text).map(ExactAmount::of_decimal);
    read.ok_or_else(|| LedgerError::corrupt("exact amount", &"it is no plain decimal"))
}

impl Built {
    /// The same invoice with further lines, after those that are owed and before those that only inform.
    ///
    /// Errors: amounts that do not fit.
    pub(in crate::invoice) fn with_extras(
        self,
        extras: Vec<Extra>,
        currency: Currency,
    ) -> Result<Self, LedgerError> {
        if extras.is_empty() {
            return Ok(self);
        }
        let Self { mut invoice, .. } = self;
        let added = ExactAmount::sum(extras.iter().map(|extra| &extra.exact));
        let is_owed = |line: &Line| !matches!(line.kind, LineKind::NotBilled | LineKind::Energy);
        let place = invoice.lines.iter().take_while(|line| is_owed(line)).count();
        invoice.lines.splice(place..place, extras.into_iter().map(|extra| extra.line));
        let exact: Vec<_> =
            invoice.lines.iter().map(|line| exact_of(&line.exact)).collect::<Result<_, _>>()?;
        let subtotal_exact = ExactAmount::sum(&exact);
        let subtotal = subtotal_exact.round_half_away_from_zero(currency)?;
        let displayed = allocate_by_largest_remainder(&exact, subtotal, currency)?;
        for ((line, shown), position) in invoice.lines.iter_mut().zip(&displayed).zip(1..) {
            (line.position, line.displayed) = (position, shown.to_text(currency));
        }
        invoice.subtotal_exact = subtotal_exact.to_text(currency);
        (invoice.subtotal, invoice.total) = (subtotal.to_text(currency), subtotal.to_text(currency));
        share_anew(&mut invoice, &added, subtotal, currency)?;
        Ok(Self { invoice, displayed, subtotal, total: subtotal })
    }
}

/// What belongs to no project alone grows by the further lines.
fn share_anew(
    invoice: &mut Invoice,
    added: &ExactAmount,
    subtotal: MinorUnits,
    currency: Currency,
) -> Result<(), LedgerError> {
    if invoice.projects.is_empty() {
        return Ok(());
    }
    let common = invoice.projects.iter().position(|share| share.id.is_none() && share.path == COMMON);
    if common.is_none() {
        invoice.projects.push(ProjectShare {
            id: None,
            path: COMMON.to_owned(),
            records: 0,
            exact: ExactAmount::zero().to_text(currency),
            displayed: String::new(),
        });
    }
    let common = common.unwrap_or(invoice.projects.len() - 1);
    let mut exact: Vec<_> =
        invoice.projects.iter().map(|share| exact_of(&share.exact)).collect::<Result<_, _>>()?;
    exact[common] = exact[common].plus(added);
    let displayed = allocate_by_largest_remainder(&exact, subtotal, currency)?;
    for ((share, exact), displayed) in invoice.projects.iter_mut().zip(exact).zip(displayed) {
        (share.exact, share.displayed) = (exact.to_text(currency), displayed.to_text(currency));
    }
    Ok(())
}

impl Invoice {
    /// A draft with the lines about earlier invoices that an issued one states.
    ///
    /// Errors: amounts that do not read or do not fit.
    pub(crate) fn with_stated_extras(self, issued: &Self, currency: Currency) -> Result<Self, LedgerError> {
        let stated = issued.lines.iter().filter(|line| line.is_extra());
        let extra = |line: &Line| Ok(Extra { exact: exact_of(&line.exact)?, line: line.clone() });
        let extras = stated.map(extra).collect::<Result<Vec<_>, LedgerError>>()?;
        let subtotal = MinorUnits::parse(&self.subtotal, currency).unwrap_or_default();
        let built = Built { invoice: self, displayed: Vec::new(), subtotal, total: subtotal };
        built.with_extras(extras, currency).map(|built| built.invoice)
    }
}
