//! Usage events as rows, and as the JSON lines that `verify` reads.
//! Never a figure that is not in the event.
//! Called by `Export` and `reconcile`.

use std::collections::BTreeMap;

use domain::{QuantityError, RecordHash};

use super::{
    table::{Cell, Column, Kind},
    usage::Paths,
};
use crate::usage_event::StoredEvent;

/// The columns.
pub(super) static COLUMNS: [Column; 15] = [
    Column::new("source", Kind::Text),
    Column::new("id", Kind::Text),
    Column::new("type", Kind::Text),
    Column::new("subject", Kind::Text),
    Column::new("time", Kind::Instant),
    Column::new("received_at", Kind::Instant),
    Column::new("price_version", Kind::Text),
    Column::new("project_id", Kind::Text),
    Column::new("project_path", Kind::Text),
    Column::new("counts", Kind::Text),
    Column::new("event", Kind::Text),
    Column::new("tenant_id", Kind::Text),
    Column::new("sequence", Kind::Count),
    Column::new("previous_hash", Kind::Text),
    Column::new("hash", Kind::Text),
];

/// One event.
///
/// Errors: a count beyond 63 bits; the ledger holds none.
pub(super) fn row(stored: &StoredEvent, hash: RecordHash, paths: &Paths) -> Result<Vec<Cell>, QuantityError> {
    let text = |text: &str| Cell::Text(text.to_owned());
    let counts: BTreeMap<&str, u64> =
        stored.counts.iter().map(|(meter, count)| (meter.as_str(), *count)).collect();
    let event = &stored.event;
    let sequence = i64::try_from(stored.sequence);
    Ok(vec![
        text(&event.source),
        text(&event.id),
        text(&event.event_type),
        text(&event.subject),
        Cell::Instant(stored.time),
        Cell::Instant(stored.received_at),
        Cell::Text(stored.price_version.to_string()),
        Cell::text(stored.project_id.map(|project| project.to_string())),
        Cell::text(path_of(stored, paths)),
        Cell::Text(serde_json::json!(counts).to_string()),
        Cell::Text(event.to_json()),
        Cell::Text(stored.tenant_id.to_string()),
        Cell::Count(sequence.map_err(|_| QuantityError::Overflow { unit: "events" })?),
        Cell::Text(stored.previous_hash.to_string()),
        Cell::Text(hash.to_string()),
    ])
}

fn path_of<'a>(stored: &StoredEvent, paths: &'a Paths) -> Option<&'a str> {
    stored.project_id.and_then(|project| paths.get(&project)).map(String::as_str)
}

/// One event as a JSON line without its end: what `verify` reads.
///
/// Errors: none in practice.
pub(crate) fn event_line(
    stored: &StoredEvent,
    hash: RecordHash,
    paths: &Paths,
) -> Result<String, serde_json::Error> {
    serde_json::to_string(&stored.to_export(hash, path_of(stored, paths))?)
}
