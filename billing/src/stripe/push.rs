//! An issued invoice as it goes to Stripe: its lines, its taxes on top and what grants paid of it.
//! Never a sum that is only believed: the lines add up to what is due, or the invoice is refused.
//! Called by the worker before it makes an invoice at Stripe, and by reconciling.

use domain::Currency;

use super::{StripeError, amount};
use crate::{invoice::Invoice, rate::MinorUnits, tax::TaxMode};

/// Lines that Stripe takes in one call.
pub const LINES_A_CALL_MAX: usize = 250;
/// Longest description of a line. Unit: characters; Stripe takes 5,000.
const DESCRIPTION_LENGTH_MAX: usize = 500;

/// A line at Stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushLine {
    /// For people.
    pub description: String,
    /// As Stripe counts; below zero it takes off.
    pub amount: i64,
}

/// An invoice as it stands at Stripe when all went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Our number.
    pub number: String,
    /// What its amounts are in.
    pub currency: Currency,
    /// Its lines, in order.
    pub lines: Vec<PushLine>,
    /// What they add up to: what was due when it was issued.
    pub total: i64,
    /// The time to pay. Unit: days.
    pub payment_days: Option<u32>,
    /// The period it covers, for people.
    pub period: String,
}

impl Push {
    /// The lines of an issued invoice: what is shown of each, the taxes that come on top, and, taken off, what grants
    /// paid. Lines of nothing are left out.
    ///
    /// Where a currency has more decimals here than at Stripe, and single lines do not go over, all of them are one.
    /// Errors: amounts that Stripe cannot say, an invoice that does not add up.
    pub fn of(invoice: &Invoice) -> Result<Self, StripeError> {
        let number = invoice.number.clone().unwrap_or_default();
        let wrong = |why: String| StripeError::Invoice { number: number.clone(), why };
        let currency: Currency =
            invoice.currency.parse().map_err(|_| wrong("has an unknown currency".to_owned()))?;
        let read = |text: &str| {
            MinorUnits::parse(text, currency).ok_or_else(|| wrong(format!("has the amount {text:?}")))
        };
        let mut lines = Vec::with_capacity(invoice.lines.len());
        for line in &invoice.lines {
            lines.push((line.description.clone(), read(&line.displayed)?));
        }
        let taxes = invoice.taxes.iter().flat_map(|taxes| &taxes.lines);
        for tax in taxes.filter(|tax| tax.mode == TaxMode::Exclusive) {
            lines.push((format!("{} {} %", tax.name, tax.percent), read(&tax.amount)?));
        }
        for payment in &invoice.payments {
            let paid = MinorUnits::ZERO.checked_sub(read(&payment.displayed)?);
            let paid = paid.map_err(|error| wrong(error.to_string()))?;
            lines.push((format!("Paid from credit: {}", payment.description), paid));
        }
        lines.retain(|(_, amount)| *amount != MinorUnits::ZERO);
        let due = read(invoice.amount_due.as_deref().unwrap_or(&invoice.total))?;
        let sum = lines.iter().try_fold(MinorUnits::ZERO, |sum, (_, amount)| sum.checked_add(*amount));
        let sum = sum.map_err(|error| wrong(error.to_string()))?;
        if sum != due {
            let (sum, due) = (sum.to_text(currency), due.to_text(currency));
            return Err(wrong(format!("has lines that come to {sum}, and {due} is due")));
        }
        let total = amount::chargeable(due, currency)?;
        let each = lines.iter().map(|(text, amount)| {
            Ok(PushLine { description: shortened(text), amount: amount::to_stripe(*amount, currency)? })
        });
        let each: Result<Vec<_>, amount::AmountError> = each.collect();
        let lines = match each {
            Ok(lines) => lines,
            Err(_) => vec![PushLine { description: format!("Invoice {number}, all lines"), amount: total }],
        };
        let days = |text: &str| text.split('T').next().unwrap_or_default().to_owned();
        let period = format!("{} to {}", days(&invoice.period.start), days(&invoice.period.end));
        Ok(Self { number, currency, lines, total, payment_days: invoice.payment_days, period })
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(DESCRIPTION_LENGTH_MAX).collect()
}
