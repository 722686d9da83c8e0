//! What an invoice's usage events are, in short: how many, what they come to, a digest in their order, their chain's end.
//! Never an event kept: they come one after another and leave sums.
//! Filled when an invoice is issued, and again by whoever verifies.

use std::collections::BTreeMap;

use domain::{QuantityError, RecordHash, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    ledger::{IssuedInvoice, LedgerError, Transaction, event_sums, events_page},
    usage_event::StoredEvent,
};

/// An invoice's usage events, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSeal {
    /// How many there are, whatever they count for.
    pub events: u64,
    /// What they come to, by meter, in the last decimal of each.
    pub counts: BTreeMap<String, u64>,
    /// SHA-256 over their hashes, 32 bytes each, in the order of the export: by their time, then by sequence.
    pub events_sha256: String,
    /// The place of the last of them in the tenant's chain.
    pub last_sequence: u64,
    /// The hash of that event, which covers every one before it.
    pub last_hash: RecordHash,
}

/// Takes events in the order of the export.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventSealBuilder {
    digest: Sha256,
    events: u64,
    counts: BTreeMap<String, u64>,
    last: Option<(u64, RecordHash)>,
}

impl EventSealBuilder {
    /// The next event.
    ///
    /// Errors: more than can be counted.
    pub(crate) fn add(&mut self, stored: &StoredEvent, hash: RecordHash) -> Result<(), QuantityError> {
        self.digest.update(hash.as_bytes());
        self.events += 1;
        for (meter, count) in &stored.counts {
            let sum = self.counts.entry(meter.to_string()).or_default();
            *sum = sum.checked_add(*count).ok_or(QuantityError::Overflow { unit: "counts" })?;
        }
        if self.last.is_none_or(|(sequence, _)| stored.sequence > sequence) {
            self.last = Some((stored.sequence, hash));
        }
        Ok(())
    }

    /// All that were taken; nothing of none.
    pub(crate) fn finish(self) -> Option<EventSeal> {
        let (last_sequence, last_hash) = self.last?;
        Some(EventSeal {
            events: self.events,
            counts: self.counts,
            events_sha256: hex::encode(self.digest.finalize()),
            last_sequence,
            last_hash,
        })
    }
}

impl EventSeal {
    /// Whether an event came after the invoice was issued. Without a seal there were none, so any did.
    pub(crate) fn is_late(seal: Option<&Self>, sequence: u64) -> bool {
        seal.is_none_or(|seal| sequence > seal.last_sequence)
    }
}

/// Reads all events of a period as they are in this transaction, in constant memory.
pub(crate) async fn events_of(
    transaction: &mut Transaction,
    invoice: &IssuedInvoice,
) -> Result<Option<EventSeal>, LedgerError> {
    let span: (Timestamp, Timestamp) = (invoice.period.start(), invoice.period.end());
    let (mut builder, mut after) = (EventSealBuilder::default(), None);
    loop {
        let page = events_page(transaction, invoice.tenant_id, span, after).await?;
        let Some((last, _)) = page.last() else { return Ok(builder.finish()) };
        after = Some((last.time, last.sequence));
        for (stored, hash) in &page {
            builder.add(stored, *hash)?;
        }
    }
}

/// Checks that events come to what the sums of an invoice were made of.
///
/// Errors: they do not.
pub(crate) async fn check_events(
    transaction: &mut Transaction,
    invoice: &IssuedInvoice,
    seal: Option<&EventSeal>,
) -> Result<(), LedgerError> {
    let mut summed: BTreeMap<String, u64> = BTreeMap::new();
    for sum in event_sums(transaction, invoice.tenant_id, &invoice.period).await? {
        let counts = summed.entry(sum.meter.to_string()).or_default();
        *counts = counts.checked_add(sum.counts).ok_or(QuantityError::Overflow { unit: "counts" })?;
    }
    match seal.map(|seal| &seal.counts).unwrap_or(&BTreeMap::new()) == &summed {
        true => Ok(()),
        false => Err(LedgerError::corrupt("count of a usage event", &"it is not the one of the event")),
    }
}
