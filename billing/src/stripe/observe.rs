//! What follows here from how an invoice stands at Stripe.
//! Never a step backwards: an end that was reached here stays, and what contradicts it is for somebody to look at.
//! Called by the gateway's worker after Stripe told that something happened.

use super::{
    amount,
    decide::{Ours, TheirInvoice, TheirStatus},
};
use crate::{ledger::InvoiceState, rate::MinorUnits};

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Nothing: both say the same, or it is not decided there yet.
    Nothing(&'static str),
    /// What is due here was paid there.
    Paid(MinorUnits),
    /// It was made void there.
    Void,
    /// It was written off there.
    WrittenOff,
    /// Both cannot be true.
    Contradiction(String),
}

/// What follows here.
pub fn observe(ours: &Ours, theirs: &TheirInvoice) -> Observed {
    let against = |what: &str| {
        Observed::Contradiction(format!("it is {} at Stripe, and {what} here", theirs.status.as_str()))
    };
    match (theirs.status, ours.state) {
        (TheirStatus::Draft | TheirStatus::Open, _) => Observed::Nothing("it is not decided at Stripe"),
        (TheirStatus::Paid, InvoiceState::Paid)
        | (TheirStatus::Void, InvoiceState::Void)
        | (TheirStatus::Uncollectible, InvoiceState::Uncollectible) => {
            Observed::Nothing("Stripe says the same")
        }
        (TheirStatus::Paid, InvoiceState::Issued | InvoiceState::Uncollectible) => paid(ours, theirs),
        (TheirStatus::Void, InvoiceState::Issued | InvoiceState::Uncollectible) => Observed::Void,
        (TheirStatus::Uncollectible, InvoiceState::Issued) => Observed::WrittenOff,
        // Money may come after it was written off, and our end is then the later one.
        (TheirStatus::Uncollectible, InvoiceState::Paid | InvoiceState::Void) => {
            Observed::Nothing("it has come to its end here")
        }
        (TheirStatus::Paid, InvoiceState::Void) => against("void"),
        (TheirStatus::Void, InvoiceState::Paid) => against("paid"),
    }
}

fn paid(ours: &Ours, theirs: &TheirInvoice) -> Observed {
    let currency = ours.push.currency;
    match amount::from_stripe(theirs.amount_paid, currency) {
        Ok(paid) if paid == ours.due => Observed::Paid(paid),
        Ok(paid) => Observed::Contradiction(format!(
            "{} {currency} was paid at Stripe, and {} is due here",
            paid.to_text(currency),
            ours.due.to_text(currency)
        )),
        Err(error) => Observed::Contradiction(error.to_string()),
    }
}
