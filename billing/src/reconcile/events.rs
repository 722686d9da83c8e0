//! Usage events against their own chain, and as they are exported, for the invoice that they are on.
//! Never an event that came after its invoice was issued: a seal tells which those are.
//! Called by `reconcile`, tenant by tenant.

use std::collections::BTreeMap;

use domain::{PlanVersionId, RecordHash};

use super::{Finding, HandOver, ReconcileError, Walk};
use crate::{
    export::{Paths, event_line},
    ledger::{IssuedInvoice, LedgerError, Tenant},
    plan::Plan,
    statement::Seal,
    verify::{EventReader, ReadEvents},
};

/// Events read at once.
const EVENTS_PAGE: usize = 500;

/// Follows a tenant's chain of events: places, links and hashes.
pub(super) async fn chain(walk: &mut Walk<'_>, tenant: &Tenant) -> Result<(), ReconcileError> {
    let (mut sequence, mut hash) = (0, RecordHash::GENESIS);
    loop {
        let page = walk.ledger.event_chain(tenant.id, sequence, EVENTS_PAGE).await?;
        for (stored, stated) in &page {
            let computed = stored.hash().map_err(|error| LedgerError::corrupt("usage event", &error))?;
            let found = [
                ("place", (sequence + 1).to_string(), stored.sequence.to_string()),
                ("previous_hash", hash.to_string(), stored.previous_hash.to_string()),
                ("hash", stated.to_string(), computed.to_string()),
            ];
            if let Some((field, before, after)) = found.into_iter().find(|(_, left, right)| left != right) {
                walk.note(Finding {
                    hand_over: HandOver::JournalToLedger,
                    subject: format!("usage event {} of tenant {}", stored.sequence, tenant.name),
                    field: field.to_owned(),
                    before,
                    after,
                });
                return Ok(());
            }
            (sequence, hash) = (stored.sequence, *stated);
        }
        walk.count(HandOver::JournalToLedger, u64::try_from(page.len()).unwrap_or(u64::MAX));
        if page.len() < EVENTS_PAGE {
            return Ok(());
        }
    }
}

/// Reads the period's events as they are exported, and back. `None`: one of them is not what came.
pub(super) async fn read(
    walk: &mut Walk<'_>,
    issued: &IssuedInvoice,
    seal: Option<&Seal>,
    paths: &Paths,
) -> Result<Option<ReadEvents>, ReconcileError> {
    let stated = seal.map(|seal| seal.events.as_ref());
    let mut reader = EventReader::new(issued.tenant_id, &issued.period, stated);
    let mut plans: BTreeMap<PlanVersionId, Plan> = BTreeMap::new();
    let span = (issued.period.start(), issued.period.end());
    let mut after = None;
    loop {
        let page = walk.ledger.usage_events_page(issued.tenant_id, span, after, EVENTS_PAGE).await?;
        for (stored, hash) in &page {
            if !plans.contains_key(&stored.price_version)
                && let Some(plan) = walk.ledger.plan_version(&stored.price_version).await?
            {
                plans.insert(stored.price_version.clone(), plan);
            }
            let line = event_line(stored, *hash, paths);
            let line = line.map_err(|error| LedgerError::corrupt("usage event", &error))?;
            if let Err(problem) = reader.take_line(line.as_bytes(), &plans) {
                walk.note(Finding {
                    hand_over: HandOver::InvoiceToExport,
                    subject: format!("usage event {}", stored.sequence),
                    field: "the event".to_owned(),
                    before: "what the ledger has".to_owned(),
                    after: problem.to_string(),
                });
                return Ok(None);
            }
        }
        walk.count(HandOver::InvoiceToExport, u64::try_from(page.len()).unwrap_or(u64::MAX));
        match page.last() {
            Some((last, _)) if page.len() == EVENTS_PAGE => after = Some((last.time, last.sequence)),
            Some(_) | None => return Ok(Some(reader.finish())),
        }
    }
}
