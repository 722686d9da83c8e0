//! Usage records for tests, chained as a journal chains them, and a ledger with a tenant to bill.
//! Never random by itself: numbers come from the caller.
//! Used by the tests beside it.

use billing::{
    ledger::{Ledger, Limits, NewTenant, Tenant, TenantTerms},
    plan::Plan,
};
use domain::{
    EndReason, EnergySource, JournalId, JournaledRecord, Micros, Millijoules, Nanos, Period, ProjectId,
    RecordHash, RequestId, Slo, SloClass, Timestamp, Tokens, UsageRecord, UsageSource,
};
use sha2::{Digest as _, Sha256};

pub(crate) type Entry = (JournaledRecord, RecordHash);

/// 2026-11-10T00:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_micros(1_794_268_800_000_000);
pub(crate) const HOUR_US: i64 = 3_600_000_000;

/// A journal in memory.
pub(crate) struct Chain {
    pub(crate) journal_id: JournalId,
    sequence: u64,
    hash: RecordHash,
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self {
            journal_id: JournalId::from_uuid(uuid::Uuid::new_v4()),
            sequence: 0,
            hash: RecordHash::GENESIS,
        }
    }

    pub(crate) fn add(&mut self, record: UsageRecord) -> Entry {
        self.sequence += 1;
        let journaled = JournaledRecord {
            journal_id: self.journal_id,
            sequence: self.sequence,
            previous_hash: self.hash,
            record,
        };
        self.hash = hash_of(&journaled);
        (journaled, self.hash)
    }

    pub(crate) fn add_all(&mut self, records: impl IntoIterator<Item = UsageRecord>) -> Vec<Entry> {
        records.into_iter().map(|record| self.add(record)).collect()
    }
}

pub(crate) fn hash_of(journaled: &JournaledRecord) -> RecordHash {
    let json = serde_json::to_vec(journaled).expect("json");
    RecordHash::from_bytes(Sha256::digest(json).into())
}

pub(crate) fn at(instant: &str) -> Timestamp {
    let instant: jiff::Timestamp = instant.parse().expect("an instant");
    Timestamp::from_unix_micros(instant.as_microsecond())
}

pub(crate) fn november(zone: &str) -> Period {
    Period::month("2026-11", zone).expect("a month")
}

/// A plan with `demo` at 0.15 / 0.075 / 0.60 USD and half of late tokens given back.
pub(crate) async fn tenant(ledger: &Ledger, name: &str, zone: &str) -> Tenant {
    let plan = Plan::demo().expect("the demo plan");
    ledger.publish_plan(&plan, NOW).await.expect("published");
    let new = new_tenant(name, "demo", zone);
    ledger.create_tenant(&new, NOW).await.expect("a tenant")
}

/// A tenant without limits, billed by invoice.
pub(crate) fn new_tenant<'a>(name: &'a str, plan_name: &'a str, zone: &'a str) -> NewTenant<'a> {
    NewTenant { name, plan_name, zone, limits: Limits::default(), terms: TenantTerms::default() }
}

/// A record that differs in every quantity with `number`, finished at `finished_at`.
pub(crate) fn record(tenant: &Tenant, number: u64, finished_at: Timestamp) -> UsageRecord {
    let output = number % 50;
    UsageRecord {
        request_id: RequestId::from_uuid(uuid::Uuid::new_v4()),
        tenant_id: tenant.id,
        key_id: format!("key{}", number % 3).parse().expect("a key id"),
        model: "demo".parse().expect("a model"),
        backend: "local".to_owned(),
        slo: Slo::of_class(SloClass::Interactive),
        reason: EndReason::ALL[usize::try_from(number % 5).expect("small")],
        prompt_tokens: Tokens::new(number % 200 + 10),
        cached_prompt_tokens: Tokens::new(number % 10),
        output_tokens: Tokens::new(output),
        reasoning_tokens: Tokens::new(output / 3),
        ttft: (!number.is_multiple_of(7)).then_some(Micros::new(number * 11)),
        tpot: (output >= 2).then_some(Micros::new(number * 5)),
        slo_met: !number.is_multiple_of(4),
        tokens_in_slo: Tokens::new(output - output / 4),
        energy: Millijoules::new(number * 3),
        energy_source: EnergySource::ALL[usize::try_from(number % 4).expect("small")],
        client_stall: Micros::new(number),
        queue: Micros::new(number * 2),
        started_at: Timestamp::from_unix_micros(finished_at.unix_micros() - 1_000_000),
        finished_at,
        price_version: "demo@1".parse().expect("a version"),
        // Three of four have a project; every usage source and charge comes with each of them.
        project_id: (!number.is_multiple_of(4)).then(|| project(number % 4)),
        usage_source: UsageSource::ALL[usize::try_from(number % 3).expect("small")],
        charge: Nanos::new(number * 1_000),
        // Every sixth is for embeddings.
        embeddings_tokens: Tokens::new(if number % 6 == 5 { number % 200 + 10 - number % 10 } else { 0 }),
    }
}

/// A project that is in no ledger: usage must arrive all the same.
pub(crate) fn project(number: u64) -> ProjectId {
    ProjectId::from_uuid(uuid::Uuid::from_u128(
        0x0193_7000_0000_7000_8000_0000_0000_0000 + u128::from(number),
    ))
}

/// Some records spread over ten days from 2026-11-03.
pub(crate) fn some_records(tenant: &Tenant, count: u64) -> Vec<UsageRecord> {
    let first = at("2026-11-03T10:00:00Z").unix_micros();
    let spread = |number: u64| {
        let step = i64::try_from(number * 7_919 % 240).expect("small");
        Timestamp::from_unix_micros(first + step * HOUR_US + step)
    };
    (0..count).map(|number| record(tenant, number, spread(number))).collect()
}
