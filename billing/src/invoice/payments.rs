//! What grants paid of an invoice, and what is left to pay.
//! Never part of what the invoice comes to: its lines, its subtotal and its total know nothing of payments.
//! Called when an invoice is previewed, issued or verified.

use domain::{Currency, Nanos};
use serde::{Deserialize, Serialize};

use super::Invoice;
use crate::{
    ledger::{GrantKind, GrantPayment, beyond},
    rate::{ExactAmount, MinorUnits, RateError, allocate_by_largest_remainder},
};

/// Decimals of a billionth.
const NANO_DECIMALS: u32 = 9;

/// What one grant paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Where the grant's money came from: `paid`, `promotional` or `refund`.
    pub kind: String,
    /// Which grant.
    pub grant_id: String,
    /// For people.
    pub description: String,
    /// What it paid, with all digits.
    pub exact: String,
    /// The part of what was paid in all that this payment shows.
    pub displayed: String,
}

/// An invoice with its payments.
pub(super) struct Paid {
    pub(super) invoice: Invoice,
    /// By how much grants paid more than the invoice comes to.
    pub(super) too_much: Nanos,
}

/// Puts what grants paid on an invoice: at most its total, rounded once as everything on it.
///
/// Errors: amounts that do not fit.
pub(super) fn pay(
    invoice: Invoice,
    (total, currency): (MinorUnits, Currency),
    grants: &[GrantPayment],
) -> Result<Paid, RateError> {
    if grants.is_empty() {
        return Ok(Paid { invoice, too_much: Nanos::ZERO });
    }
    let per_minor = 10_i128.pow(NANO_DECIMALS.saturating_sub(currency.exponent()));
    let due = i128::from(total.get()).max(0) * per_minor;
    let mut all = Nanos::ZERO;
    let mut rest = due;
    let mut exact = Vec::with_capacity(grants.len());
    for grant in grants {
        all = all.checked_add(grant.paid)?;
        let taken = rest.min(i128::from(grant.paid.get()));
        rest -= taken;
        exact.push(ExactAmount::of_nanos(taken));
    }
    let paid = ExactAmount::sum(&exact).round_half_away_from_zero(currency)?;
    let displayed = allocate_by_largest_remainder(&exact, paid, currency)?;
    let shown = grants.iter().zip(&exact).zip(displayed);
    let payments = shown.map(|((grant, exact), displayed)| Payment {
        kind: grant.kind.as_str().to_owned(),
        grant_id: grant.id.to_string(),
        description: description(grant),
        exact: exact.to_text(currency),
        displayed: displayed.to_text(currency),
    });
    let too_much = beyond(all, due)?;
    Ok(Paid { invoice: with_payments(invoice, payments.collect())?, too_much })
}

/// The same invoice with these payments, and what they leave to pay.
///
/// Errors: a payment that is no amount.
pub(super) fn with_payments(invoice: Invoice, payments: Vec<Payment>) -> Result<Invoice, RateError> {
    if payments.is_empty() {
        return Ok(Invoice { payments, amount_due: None, ..invoice });
    }
    let bad = RateError::Impossible("a payment is no amount of its invoice's currency");
    let currency: Currency = invoice.currency.parse().map_err(|_| bad.clone())?;
    let amount = |text: &str| MinorUnits::parse(text, currency).ok_or_else(|| bad.clone());
    let mut due = amount(&invoice.total)?;
    for payment in &payments {
        due = due.checked_sub(amount(&payment.displayed)?)?;
    }
    Ok(Invoice { payments, amount_due: Some(due.to_text(currency)), ..invoice })
}

fn description(grant: &GrantPayment) -> String {
    let words = match grant.kind {
        GrantKind::Paid => "Paid from prepaid credit",
        GrantKind::Promotional => "Paid from promotional credit",
        GrantKind::Refund => "Paid from refunded credit",
    };
    match grant.note.as_str() {
        "" => words.to_owned(),
        note => format!("{words}: {note}"),
    }
}
