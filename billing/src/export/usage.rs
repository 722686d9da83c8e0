//! Usage records as rows, and as the JSON lines that `verify` reads.
//! Never a figure that is not in the record.
//! Called by `Export` and `reconcile`.

use std::collections::BTreeMap;

use domain::{Micros, ProjectId, QuantityError};
use serde_json::json;

use super::table::{Cell, Column, Kind};
use crate::ledger::StoredRecord;

/// Paths of projects, which records name by their ids.
pub(crate) type Paths = BTreeMap<ProjectId, String>;

/// The columns; the first ones are those that earlier versions had.
pub(super) static COLUMNS: [Column; 34] = [
    Column::new("request_id", Kind::Text),
    Column::new("key_id", Kind::Text),
    Column::new("model", Kind::Text),
    Column::new("backend", Kind::Text),
    Column::new("slo_class", Kind::Text),
    Column::new("reason", Kind::Text),
    Column::new("prompt_tokens", Kind::Count),
    Column::new("cached_prompt_tokens", Kind::Count),
    Column::new("output_tokens", Kind::Count),
    Column::new("reasoning_tokens", Kind::Count),
    Column::new("tokens_in_slo", Kind::Count),
    Column::new("ttft_us", Kind::Count),
    Column::new("tpot_us", Kind::Count),
    Column::new("slo_met", Kind::Flag),
    Column::new("energy_mj", Kind::Count),
    Column::new("energy_source", Kind::Text),
    Column::new("client_stall_us", Kind::Count),
    Column::new("queue_us", Kind::Count),
    Column::new("started_at", Kind::Instant),
    Column::new("finished_at", Kind::Instant),
    Column::new("price_version", Kind::Text),
    Column::new("project_id", Kind::Text),
    Column::new("project_path", Kind::Text),
    Column::new("usage_source", Kind::Text),
    Column::new("charge_nanos", Kind::Count),
    Column::new("tenant_id", Kind::Text),
    Column::new("ttft_target_us", Kind::Count),
    Column::new("ttft_target_us_per_1k_prompt", Kind::Count),
    Column::new("tpot_target_us", Kind::Count),
    Column::new("journal_id", Kind::Text),
    Column::new("sequence", Kind::Count),
    Column::new("previous_hash", Kind::Text),
    Column::new("hash", Kind::Text),
    Column::new("embeddings_tokens", Kind::Count),
];

/// One record.
///
/// Errors: a count beyond 63 bits; the ledger holds none.
pub(super) fn row(stored: &StoredRecord, paths: &Paths) -> Result<Vec<Cell>, QuantityError> {
    let (journaled, record) = (&stored.journaled, &stored.journaled.record);
    let text = |text: String| Cell::Text(text);
    let span = |span: Option<Micros>| span.map_or(Ok(Cell::Empty), |span| span.to_i64().map(Cell::Count));
    let sequence = i64::try_from(journaled.sequence);
    Ok(vec![
        text(record.request_id.to_string()),
        text(record.key_id.to_string()),
        text(record.model.to_string()),
        text(record.backend.clone()),
        text(record.slo.class.to_string()),
        text(record.reason.as_str().to_owned()),
        Cell::Count(record.prompt_tokens.to_i64()?),
        Cell::Count(record.cached_prompt_tokens.to_i64()?),
        Cell::Count(record.output_tokens.to_i64()?),
        Cell::Count(record.reasoning_tokens.to_i64()?),
        Cell::Count(record.tokens_in_slo.to_i64()?),
        span(record.ttft)?,
        span(record.tpot)?,
        Cell::Flag(record.slo_met),
        Cell::Count(record.energy.to_i64()?),
        text(record.energy_source.as_str().to_owned()),
        Cell::Count(record.client_stall.to_i64()?),
        Cell::Count(record.queue.to_i64()?),
        Cell::Instant(record.started_at),
        Cell::Instant(record.finished_at),
        text(record.price_version.to_string()),
        Cell::text(record.project_id.map(|id| id.to_string())),
        Cell::text(path_of(stored, paths)),
        text(record.usage_source.as_str().to_owned()),
        Cell::Count(record.charge.to_i64()?),
        text(record.tenant_id.to_string()),
        span(record.slo.ttft)?,
        Cell::Count(record.slo.ttft_per_1k_prompt.to_i64()?),
        span(record.slo.tpot)?,
        text(journaled.journal_id.to_string()),
        Cell::Count(sequence.map_err(|_| QuantityError::Overflow { unit: "records" })?),
        text(journaled.previous_hash.to_string()),
        text(stored.hash.to_string()),
        Cell::Count(record.embeddings_tokens.to_i64()?),
    ])
}

fn path_of<'a>(stored: &StoredRecord, paths: &'a Paths) -> Option<&'a str> {
    stored.journaled.record.project_id.and_then(|project| paths.get(&project)).map(String::as_str)
}

/// One record as a JSON line without its end: what `verify` reads.
pub(crate) fn usage_line(stored: &StoredRecord, paths: &Paths) -> String {
    let mut line = json!(stored.journaled);
    line["hash"] = json!(stored.hash);
    line["project_path"] = json!(path_of(stored, paths));
    line.to_string()
}
