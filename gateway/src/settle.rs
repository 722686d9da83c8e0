//! The end of a request's way through the gateway: a durable record gives back what was reserved and not used.
//! Never rates: what the record costs is for `billing::rate`.
//! Called by `stream` once for each admission, after the journal has the record.

use billing::journal::Journaled;
use domain::UsageRecord;

use crate::admit::Reservation;

/// Proof that a request's record is durable and its reservation is closed.
#[must_use = "the last bytes of the answer may leave now"]
#[derive(Debug)]
pub struct Settled {
    record: UsageRecord,
}

impl Settled {
    /// What was used.
    pub fn record(&self) -> &UsageRecord {
        &self.record
    }
}

/// Closes the reservation with the tokens the record counts.
pub fn settle(reservation: Reservation, journaled: &Journaled) -> Settled {
    let record = journaled.record().clone();
    let tokens_used = record.prompt_tokens.get().saturating_add(record.output_tokens.get());
    reservation.settle(tokens_used);
    Settled { record }
}
