//! What is to be done at Stripe: amounts and lines as Stripe counts them, and which call is next.
//! Never a connection, a key or a form: what stands at Stripe is handed in, and a decision comes back.
//! Called by the gateway's worker for Stripe and by reconciling.

mod amount;
mod decide;
mod observe;
mod push;

pub use amount::{AmountError, chargeable, from_stripe, to_stripe};
pub use decide::{Next, Ours, TheirInvoice, TheirStatus, Wanted, next};
pub use observe::{Observed, observe};
pub use push::{LINES_A_CALL_MAX, Push, PushLine};

use domain::Fault;

/// Why something cannot be told to Stripe as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StripeError {
    /// An amount that Stripe cannot say.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// An issued invoice that does not read, or does not add up.
    #[error("invoice {number} {why}")]
    Invoice {
        /// Which.
        number: String,
        /// What is wrong with it.
        why: String,
    },
}

impl StripeError {
    /// What kind of failure it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Amount(_) => Fault::Invalid,
            Self::Invoice { .. } => Fault::Broken,
        }
    }
}

#[cfg(test)]
mod tests;
