//! Puts both sides of an invoice on it: who issues it, who is billed, the taxes between them and the time to pay.
//! Never a tax where nobody said how the tenant is taxed, and never a change of a line or the subtotal.
//! Called by `issue` after the lines are rated, and by `verify`, which takes the words from the invoice itself.

use domain::{Currency, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Invoice, Status, build::Built, payments::with_payments};
use crate::{
    ledger::{LedgerError, Parties, Party, TenantBilling},
    rate::{MinorUnits, RateError},
    tax::{TaxRate, TaxStatus, Taxes},
};

/// A day has so many microseconds; terms of payment know no daylight saving.
const DAY_US: i64 = 86_400_000_000;

/// Who issued an invoice, as it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledIssuer {
    /// Name and address.
    #[serde(flatten)]
    pub party: Party,
    /// How to pay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_note: Option<String>,
}

impl Built {
    /// The same invoice with its issuer, its recipient, its taxes and the time to pay.
    pub(super) fn between(self, parties: Parties, currency: Currency) -> Result<Self, RateError> {
        let Parties { issuer, customer } = parties;
        let days = customer.as_ref().and_then(|customer| customer.payment_days);
        let days = days.or_else(|| issuer.as_ref().and_then(|issuer| issuer.payment_days));
        let mut total = self.total;
        let mut taxes = None;
        if let Some(customer) = &customer {
            let own = issuer.as_ref();
            let reverse = own.and_then(|issuer| issuer.reverse_charge_note.as_deref());
            let of_issuer = own.map_or(&[][..], |issuer| &issuer.taxes);
            (taxes, total) = taxed(customer, (of_issuer, reverse), self.subtotal, currency)?;
        }
        let issuer =
            issuer.map(|issuer| BilledIssuer { party: issuer.party, payment_note: issuer.payment_note });
        let invoice = Invoice {
            issuer,
            customer: customer.map(|customer| customer.party),
            taxes,
            total: total.to_text(currency),
            payment_days: days,
            ..self.invoice
        };
        Ok(Self { invoice, total, ..self })
    }
}

/// The taxes of a tenant that has said how it is taxed; none where no rate applies and nothing is to be told.
fn taxed(
    customer: &TenantBilling,
    (of_issuer, reverse): (&[TaxRate], Option<&str>),
    subtotal: MinorUnits,
    currency: Currency,
) -> Result<(Option<Taxes>, MinorUnits), RateError> {
    let rates = customer.taxes.as_deref().unwrap_or(of_issuer);
    if customer.tax_status == TaxStatus::Standard && rates.is_empty() {
        return Ok((None, subtotal));
    }
    let note = match customer.tax_status {
        TaxStatus::Standard | TaxStatus::Exempt => customer.tax_note.as_deref(),
        TaxStatus::ReverseCharge => customer.tax_note.as_deref().or(reverse),
    };
    let (taxes, total) = Taxes::on(subtotal, currency, (customer.tax_status, note), rates)?;
    Ok((Some(taxes), total))
}

/// When an invoice is due that was issued now; none without terms of payment.
pub(super) fn due_at(invoice: &Invoice, now: Timestamp) -> Option<String> {
    let days = i64::from(invoice.payment_days?);
    let due = days.checked_mul(DAY_US).and_then(|days| now.unix_micros().checked_add(days));
    due.map(|due| Timestamp::from_unix_micros(due).to_string())
}

impl Invoice {
    /// Computes taxes, total and due time of an invoice again, by the parties and rates that an issued one names.
    ///
    /// Errors: amounts that do not fit; a tax that is no percentage.
    pub(crate) fn dressed_as(
        self,
        issued: &Self,
        (subtotal, currency): (MinorUnits, Currency),
        made_at: Timestamp,
    ) -> Result<Self, LedgerError> {
        let (taxes, total) = match &issued.taxes {
            None => (None, subtotal),
            Some(taxes) => {
                let (taxes, total) = taxes.again(subtotal, currency)?;
                (Some(taxes), total)
            }
        };
        let dressed = Self {
            issuer: issued.issuer.clone(),
            customer: issued.customer.clone(),
            taxes,
            total: total.to_text(currency),
            payment_days: issued.payment_days,
            ..self
        };
        let due_at = (issued.status == Status::Issued).then(|| due_at(&dressed, made_at)).flatten();
        // What grants paid is taken as stated, and what they leave to pay computed.
        Ok(with_payments(Self { due_at, ..dressed }, issued.payments.clone())?)
    }
}
