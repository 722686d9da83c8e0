//! What an invoice's usage records are, in short: how many, their sums, a digest in their order, and each journal's end.
//! Never a record kept: they come one after another and leave sums.
//! Filled when an invoice is issued, and again by whoever verifies.

use std::collections::BTreeMap;

use domain::{JournalId, QuantityError, RecordHash, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::events::{EventSeal, check_events, events_of};
use crate::ledger::{IssuedInvoice, LedgerError, Transaction, UsageTotals, insert_seal, sealed_page};

/// An invoice's usage records, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// How many there are, billed or not.
    pub records: u64,
    /// What they add up to.
    pub sums: SealSums,
    /// SHA-256 over their hashes, 32 bytes each, in the order of the export: by the time they finished, then by request.
    pub records_sha256: String,
    /// The journals that they came from, by id.
    pub journals: Vec<JournalHead>,
    /// The usage events beside the records; left out where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<EventSeal>,
}

/// The sums of every meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealSums {
    /// Requests that met every target of their class.
    pub requests_slo_met: u64,
    /// Prompt tokens, cached ones included.
    pub prompt_tokens: u64,
    /// Prompt tokens taken from the cache.
    pub cached_prompt_tokens: u64,
    /// Produced tokens, reasoning included.
    pub output_tokens: u64,
    /// Produced tokens that were reasoning.
    pub reasoning_tokens: u64,
    /// Produced tokens that were in time.
    pub tokens_in_slo: u64,
    /// Produced tokens that were late.
    pub late_tokens: u64,
    /// Energy. Unit: millijoules.
    pub energy_mj: u64,
    /// Computed prompt tokens of requests for embeddings; left out where there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub embeddings_tokens: u64,
}

/// Whether a sum that came later than the others is left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
fn is_zero(sum: &u64) -> bool {
    *sum == 0
}

/// How far a journal's records belong to an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalHead {
    /// Which journal.
    pub journal_id: JournalId,
    /// Records of it.
    pub records: u64,
    /// The place of the last of them in it.
    pub last_sequence: u64,
    /// The hash of that record, which covers every one before it in the journal.
    pub last_hash: RecordHash,
}

/// Takes records in the order of the export.
#[derive(Clone, Debug, Default)]
pub(crate) struct SealBuilder {
    digest: Sha256,
    totals: UsageTotals,
    journals: BTreeMap<JournalId, JournalHead>,
}

impl SealBuilder {
    /// The next record.
    ///
    /// Errors: more than can be counted.
    pub(crate) fn add(
        &mut self,
        (journal_id, sequence, hash): (JournalId, u64, RecordHash),
        totals: &UsageTotals,
    ) -> Result<(), QuantityError> {
        self.digest.update(hash.as_bytes());
        self.totals = self.totals.checked_add(totals)?;
        let first = JournalHead { journal_id, records: 0, last_sequence: 0, last_hash: hash };
        let head = self.journals.entry(journal_id).or_insert(first);
        head.records += 1;
        if sequence > head.last_sequence {
            (head.last_sequence, head.last_hash) = (sequence, hash);
        }
        Ok(())
    }

    /// All that were taken.
    pub(crate) fn finish(self) -> Seal {
        let totals = self.totals;
        Seal {
            records: totals.requests,
            sums: SealSums::of(&totals),
            records_sha256: hex::encode(self.digest.finalize()),
            journals: self.journals.into_values().collect(),
            events: None,
        }
    }
}

impl SealSums {
    /// The sums of every meter but the number of requests.
    pub(crate) fn of(totals: &UsageTotals) -> Self {
        Self {
            requests_slo_met: totals.requests_slo_met,
            prompt_tokens: totals.prompt_tokens.get(),
            cached_prompt_tokens: totals.cached_prompt_tokens.get(),
            output_tokens: totals.output_tokens.get(),
            reasoning_tokens: totals.reasoning_tokens.get(),
            tokens_in_slo: totals.tokens_in_slo.get(),
            late_tokens: totals.late_tokens.get(),
            energy_mj: totals.energy.get(),
            embeddings_tokens: totals.embeddings_tokens.get(),
        }
    }
}

impl Seal {
    /// Whether a record came to the ledger after the invoice was issued: each journal is shipped in its order.
    pub(crate) fn is_late(&self, journal_id: JournalId, sequence: u64) -> bool {
        let head = self.journals.iter().find(|head| head.journal_id == journal_id);
        head.is_none_or(|head| sequence > head.last_sequence)
    }

    pub(crate) fn from_json(body: &str) -> Result<Self, LedgerError> {
        serde_json::from_str(body).map_err(|error| LedgerError::corrupt("seal", &error))
    }

    pub(crate) fn to_json(&self) -> Result<String, LedgerError> {
        serde_json::to_string(self).map_err(|error| LedgerError::corrupt("seal", &error))
    }
}

/// Reads all records and usage events of a period as they are in this transaction, in constant memory.
pub(crate) async fn seal_of(
    transaction: &mut Transaction,
    invoice: &IssuedInvoice,
) -> Result<Seal, LedgerError> {
    let span: (Timestamp, Timestamp) = (invoice.period.start(), invoice.period.end());
    let mut builder = SealBuilder::default();
    let mut after = None;
    loop {
        let page = sealed_page(transaction, invoice.tenant_id, span, after).await?;
        let Some(last) = page.last() else {
            let events = events_of(transaction, invoice).await?;
            return Ok(Seal { events, ..builder.finish() });
        };
        after = Some(last.position);
        for record in &page {
            builder.add((record.journal_id, record.sequence, record.hash), &record.totals)?;
        }
    }
}

/// Seals an invoice in the transaction that issues it.
///
/// Errors: the records are not those that the invoice counts.
pub(crate) async fn seal(transaction: &mut Transaction, invoice: &IssuedInvoice) -> Result<(), LedgerError> {
    let seal = seal_of(transaction, invoice).await?;
    if seal.records != invoice.records {
        let (number, counted, records) = (invoice.number.clone(), invoice.records, seal.records);
        return Err(LedgerError::CannotSeal { number, counted, records });
    }
    check_events(transaction, invoice, seal.events.as_ref()).await?;
    insert_seal(transaction, &invoice.number, &seal.to_json()?).await
}
