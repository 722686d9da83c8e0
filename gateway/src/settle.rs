//! The end of a request's way through the gateway: a durable record gives back what was reserved and not used.
//! Never rates: what the record costs is for `billing::rate`.
//! Called by `stream` once for each admission, after the journal has the record.

use std::{pin::Pin, sync::Arc};

use billing::{journal::Journaled, ship::ShipObserver};
use domain::{JournaledRecord, RecordHash, UsageRecord};

use crate::{
    admit::{Reservation, Settlement, used},
    app::App,
};

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

/// Settles every request once more when the ledger has its record.
///
/// Almost all were settled before, and nothing changes. What is left are requests whose gateway died between the
/// record and its settlement: here their holds end, with what the record says they cost.
pub struct SettleShipped(pub Arc<App>);

impl std::fmt::Debug for SettleShipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SettleShipped")
    }
}

impl ShipObserver for SettleShipped {
    fn shipped<'a>(
        &'a self,
        batch: &'a [(JournaledRecord, RecordHash)],
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        let settlements: Vec<_> = batch.iter().map(|(journaled, _)| settlement(&journaled.record)).collect();
        Box::pin(async move { self.0.admitter.limits().settle_shipped(&settlements).await })
    }
}

fn settlement(record: &UsageRecord) -> Settlement {
    let used = used(record);
    Settlement {
        tenant_id: record.tenant_id,
        request_id: record.request_id,
        tokens_used: used.tokens,
        charge_nanos: used.charge_nanos,
    }
}
