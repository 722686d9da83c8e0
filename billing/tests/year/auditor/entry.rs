//! A line as the auditor writes it, and how a line of an issued invoice looks in the same form.
//! Never an amount of its own.
//! Used by the folder's other modules.

use billing::invoice::{Line, LineKind};

use crate::number::Exact;

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: &'static str,
    pub(crate) item: String,
    pub(crate) model: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) requests: u64,
    pub(crate) quantity: u64,
    pub(crate) unit: String,
    /// Of metered charges: units, price, and what it is the price of.
    pub(crate) units: Option<(Exact, Exact, u64)>,
    pub(crate) exact: Exact,
    /// Of corrections: the invoice, the kind of its line, what is due now and what was invoiced.
    pub(crate) correction: Option<(String, &'static str, Exact, Exact)>,
}

impl Entry {
    pub(crate) fn new(kind: &'static str, item: &str, exact: Exact) -> Self {
        Self {
            kind,
            item: item.to_owned(),
            model: None,
            version: None,
            reason: None,
            requests: 0,
            quantity: 0,
            unit: String::new(),
            units: None,
            exact,
            correction: None,
        }
    }

    /// All of it on one line, without what is for people alone.
    pub(crate) fn text(&self, exponent: u32) -> String {
        let units = self
            .units
            .as_ref()
            .map(|(units, price, per)| format!("{} at {} per {per}", units.text(0), price.text(exponent)));
        let correction = self.correction.as_ref().map(|(number, kind, now, before)| {
            format!("{number} {kind} {} - {}", now.text(exponent), before.text(exponent))
        });
        // What a correction counts is the difference of two counts, and shown where it is above zero.
        let counted = match correction.is_some() {
            true => String::new(),
            false => format!("{} of {} {}", self.requests, self.quantity, self.unit),
        };
        let parts = [
            Some(self.kind.to_owned()),
            Some(self.item.clone()),
            self.model.clone(),
            self.version.clone(),
            self.reason.clone(),
            Some(counted),
            units,
            correction,
            Some(format!("= {}", self.exact.text(exponent))),
        ];
        parts.map(Option::unwrap_or_default).join(" | ")
    }

    /// The same of a line of an invoice.
    pub(crate) fn of(line: &Line) -> Self {
        let price = line.unit_price.as_deref().map(Exact::read);
        let units = line.units.as_deref().map(Exact::read);
        let units = units.map(|units| {
            (units, price.expect("a price of units"), line.unit_price_per.expect("what it is the price of"))
        });
        let correction = line.correction.as_ref().map(|of| {
            (of.invoice.clone(), kind_of(of.kind), Exact::read(&of.now), Exact::read(&of.invoiced))
        });
        Self {
            kind: kind_of(line.kind),
            item: line.item.clone(),
            model: line.model.clone(),
            version: line.price_version.clone(),
            reason: line.reason.clone(),
            requests: line.requests,
            quantity: line.quantity,
            unit: line.unit.clone(),
            units,
            exact: Exact::read(&line.exact),
            correction,
        }
    }
}

/// The words of the documentation.
const fn kind_of(kind: LineKind) -> &'static str {
    match kind {
        LineKind::Charge => "charge",
        LineKind::Minimum => "minimum",
        LineKind::Maximum => "maximum",
        LineKind::Discount => "discount",
        LineKind::SloCredit => "slo_credit",
        LineKind::NotBilled => "not_billed",
        LineKind::Energy => "energy",
        LineKind::Correction => "correction",
        LineKind::Invoiced => "invoiced",
    }
}
