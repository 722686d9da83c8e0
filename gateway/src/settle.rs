//! The end of a request's way through the gateway: a durable record gives back what was reserved and not used.
//! Never rates: what the record costs is for `billing::rate`.
//! Called by `stream` once for each admission, after the journal has the record.

use billing::journal::Journaled;
use domain::UsageRecord;

use crate::admit::{Reservation, used};

/// Proof that a request's record is durable and its reservation is closed.
#[must_use = "the last bytes of the answer may leave now"]
#[derive(Debug)]
pub struct Settled {
    journaled: Journaled,
}

impl Settled {
    /// What was used.
    pub fn record(&self) -> &UsageRecord {
        self.journaled.record()
    }
}

/// Closes the reservation with the tokens and the charge that the record counts.
///
/// # Panics
/// When the record is not of the request that made the reservation.
pub async fn settle(reservation: Reservation, journaled: Journaled) -> Settled {
    let record = journaled.record();
    assert_eq!(record.request_id, reservation.request_id(), "a record settles its own request");
    reservation.settle(used(record)).await;
    Settled { journaled }
}
