//! What a request leaves in the journal before its record: `open` at admission, `checkpoint` while it runs.
//! Never priced and never shipped: these lines exist only to rebuild a record after a crash.
//! Made by the gateway, read back by `recover` and `reconcile`.

use domain::{
    EndReason, EnergySource, KeyId, Micros, Millijoules, ModelName, Nanos, PlanVersionId, ProjectId,
    RequestId, Slo, TenantId, Timestamp, Tokens, UsageRecord, UsageSource,
};
use serde::{Deserialize, Serialize};

/// Written at admission: everything a `crashed` record needs that does not change while the request runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenEntry {
    /// The request.
    pub request_id: RequestId,
    /// Who is billed.
    pub tenant_id: TenantId,
    /// The key it came with.
    pub key_id: KeyId,
    /// The model asked for.
    pub model: ModelName,
    /// Which backend serves it.
    pub backend: String,
    /// The class and targets that apply.
    pub slo: Slo,
    /// Tokens of the prompt, cached ones included.
    pub prompt_tokens: Tokens,
    /// When the last byte of the request had been read.
    #[serde(rename = "started_unix_us")]
    pub started_at: Timestamp,
    /// The plan version that prices it.
    pub price_version: PlanVersionId,
    /// The project of its key. Entries from before there were projects have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

/// Written about once a second while the request runs; the last one is what a crash leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointEntry {
    /// The request.
    pub request_id: RequestId,
    /// When it was taken.
    #[serde(rename = "at_unix_us")]
    pub at: Timestamp,
    /// Tokens produced so far.
    pub output_tokens: Tokens,
    /// Produced tokens delivered by the moment they were due.
    pub tokens_in_slo: Tokens,
    /// Prompt tokens that were not computed again.
    pub cached_prompt_tokens: Tokens,
    /// Last byte of the request read → first token handed to the connection.
    #[serde(rename = "ttft_us")]
    pub ttft: Option<Micros>,
    /// The request's share of the device's energy so far.
    #[serde(rename = "energy_mj")]
    pub energy: Millijoules,
    /// Where the energy figure comes from.
    pub energy_source: EnergySource,
    /// Time in which the client did not read.
    #[serde(rename = "client_stall_us")]
    pub client_stall: Micros,
    /// Time between submission and the first step.
    #[serde(rename = "queue_us")]
    pub queue: Micros,
}

/// The record of a request that was open when its process died: what its last checkpoint had counted.
///
/// Without a checkpoint it used nothing that is known, and ended when it began. TPOT and reasoning tokens are
/// not in checkpoints: the first is absent, the second zero. The request's targets count as missed.
pub fn crashed_record(open: OpenEntry, checkpoint: Option<CheckpointEntry>) -> UsageRecord {
    let checkpoint = checkpoint.unwrap_or(CheckpointEntry {
        request_id: open.request_id,
        at: open.started_at,
        output_tokens: Tokens::ZERO,
        tokens_in_slo: Tokens::ZERO,
        cached_prompt_tokens: Tokens::ZERO,
        ttft: None,
        energy: Millijoules::ZERO,
        energy_source: EnergySource::Modelled,
        client_stall: Micros::ZERO,
        queue: Micros::ZERO,
    });
    UsageRecord {
        request_id: open.request_id,
        tenant_id: open.tenant_id,
        key_id: open.key_id,
        model: open.model,
        backend: open.backend,
        slo: open.slo,
        reason: EndReason::Crashed,
        prompt_tokens: open.prompt_tokens,
        cached_prompt_tokens: checkpoint.cached_prompt_tokens,
        output_tokens: checkpoint.output_tokens,
        reasoning_tokens: Tokens::ZERO,
        ttft: checkpoint.ttft,
        tpot: None,
        slo_met: false,
        tokens_in_slo: checkpoint.tokens_in_slo,
        energy: checkpoint.energy,
        energy_source: checkpoint.energy_source,
        client_stall: checkpoint.client_stall,
        queue: checkpoint.queue,
        started_at: open.started_at,
        finished_at: checkpoint.at.max(open.started_at),
        price_version: open.price_version,
        project_id: open.project_id,
        // Nobody told more than the checkpoint counted, and a crash is never charged.
        usage_source: UsageSource::Engine,
        charge: Nanos::ZERO,
        embeddings_tokens: Tokens::ZERO,
    }
}
