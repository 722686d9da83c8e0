//! What tenants use, and the journals that bring it to the ledger: late, in pieces, out of order and again.
//! Never a record that a gateway would not write: its plan is the one in force when it began.
//! Used by the world.

use billing::{
    plan::Plan,
    rate::{ChargedTokens, charge_nanos},
};
use domain::{
    EndReason, EnergySource, JournalId, JournaledRecord, Micros, Millijoules, ProjectId, RecordHash,
    RequestId, Slo, SloClass, TenantId, Timestamp, Tokens, UsageRecord, UsageSource,
};
use sha2::{Digest as _, Sha256};

use crate::{act::Instant, dice::Dice};

pub(crate) type Line = (JournaledRecord, RecordHash);

/// A journal in memory: every record that it ever had, and how many of them the ledger has.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    pub(crate) id: JournalId,
    pub(crate) lines: Vec<Line>,
    pub(crate) shipped: usize,
}

impl Journal {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self { id: JournalId::from_uuid(dice.uuid()), lines: Vec::new(), shipped: 0 }
    }

    pub(crate) fn add(&mut self, record: UsageRecord) {
        let previous_hash = self.lines.last().map_or(RecordHash::GENESIS, |(_, hash)| *hash);
        let sequence = u64::try_from(self.lines.len()).expect("few") + 1;
        let journaled = JournaledRecord { journal_id: self.id, sequence, previous_hash, record };
        let json = serde_json::to_vec(&journaled).expect("json");
        self.lines.push((journaled, RecordHash::from_bytes(Sha256::digest(json).into())));
    }
}

/// A request of a tenant that ended at an instant.
pub(crate) struct Request<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) plan: &'a Plan,
    pub(crate) model: &'a str,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

pub(crate) fn record(dice: &mut Dice, request: &Request<'_>) -> UsageRecord {
    let class = *dice.pick(&SloClass::ALL);
    let reasons = [EndReason::Completed, EndReason::Completed, EndReason::Completed, EndReason::ClientGone];
    let reason = if dice.is_one_of(150) { *dice.pick(&EndReason::ALL) } else { *dice.pick(&reasons) };
    let size = *dice.pick(&[1, 300, 40_000, 900_000]);
    let (prompt, output) = (dice.below(size), dice.below(size));
    let cached = if dice.is_one_of(500) { dice.below(prompt + 1) } else { 0 };
    let late = if dice.is_one_of(300) { dice.below(output + 1) } else { 0 };
    let reasoning = dice.below(output + 1);
    let model = request.model.parse().expect("a model");
    let tokens = ChargedTokens {
        prompt: Tokens::new(prompt),
        cached_prompt: Tokens::new(cached),
        output: Tokens::new(output),
        reasoning: Tokens::new(reasoning),
        embeddings: Tokens::ZERO,
    };
    let charge =
        charge_nanos(request.plan, (&model, class), reason, tokens).expect("a model that is for sale");
    UsageRecord {
        request_id: RequestId::from_uuid(dice.uuid()),
        tenant_id: request.tenant,
        key_id: "key".parse().expect("a key id"),
        model,
        backend: "local".to_owned(),
        slo: Slo::of_class(class),
        reason,
        prompt_tokens: tokens.prompt,
        cached_prompt_tokens: tokens.cached_prompt,
        output_tokens: tokens.output,
        reasoning_tokens: tokens.reasoning,
        embeddings_tokens: tokens.embeddings,
        ttft: Some(Micros::new(1)),
        tpot: None,
        slo_met: !dice.is_one_of(250),
        tokens_in_slo: Tokens::new(output - late),
        energy: Millijoules::new(dice.below(9_000_000)),
        energy_source: *dice.pick(&EnergySource::ALL),
        client_stall: Micros::new(0),
        queue: Micros::new(0),
        started_at: Timestamp::from_unix_micros(request.began),
        finished_at: Timestamp::from_unix_micros(request.ended),
        price_version: request.plan.id().clone(),
        project_id: dice.is_one_of(600).then(|| project(dice.below(3))),
        usage_source: UsageSource::Engine,
        charge,
    }
}

/// Projects that no ledger knows: usage arrives all the same.
fn project(number: u64) -> ProjectId {
    ProjectId::from_uuid(uuid::Uuid::from_u128(
        0x0193_7000_0000_7000_8000_0000_0000_0000 + u128::from(number),
    ))
}
