//! The usage record: what one admitted request used, measured once and never changed.
//! Never holds prices, prompts or answers.
//! Made by `gateway::meter`, made durable by `billing::journal`, rated by `billing::rate`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    JournalId, KeyId, Micros, Millijoules, ModelName, Nanos, PlanVersionId, ProjectId, RequestId, Slo,
    TenantId, Timestamp, Tokens,
};

/// Why an admitted request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The whole answer was produced.
    Completed,
    /// The client left before the end.
    ClientGone,
    /// The request's own deadline passed.
    Deadline,
    /// The engine or a backend failed.
    EngineError,
    /// The gateway died; recovered from the last checkpoint.
    Crashed,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Completed, Self::ClientGone, Self::Deadline, Self::EngineError, Self::Crashed];

    /// The name in records, SQL and plans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::ClientGone => "client_gone",
            Self::Deadline => "deadline",
            Self::EngineError => "engine_error",
            Self::Crashed => "crashed",
        }
    }
}

/// Where a request's energy figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnergySource {
    /// The GPU's own total-energy counter.
    NvmlEnergy,
    /// The GPU's power reading, integrated.
    NvmlPower,
    /// The CPU package's energy counter.
    Rapl,
    /// A declared power model, not a measurement.
    Modelled,
}

impl EnergySource {
    /// Every source.
    pub const ALL: [Self; 4] = [Self::NvmlEnergy, Self::NvmlPower, Self::Rapl, Self::Modelled];

    /// The name in records, SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NvmlEnergy => "nvml_energy",
            Self::NvmlPower => "nvml_power",
            Self::Rapl => "rapl",
            Self::Modelled => "modelled",
        }
    }
}

/// How a request's tokens were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// By one of our engines, as it produced them.
    #[default]
    Engine,
    /// By the server that answered, which told us.
    Upstream,
    /// By us, with a tokenizer, from the texts that passed: the server that answered told nothing.
    Estimated,
}

impl UsageSource {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Engine, Self::Upstream, Self::Estimated];

    /// The name in records, SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Upstream => "upstream",
            Self::Estimated => "estimated",
        }
    }

    /// Whether it is the one that records had before they named it.
    fn is_engine(&self) -> bool {
        *self == Self::Engine
    }
}

/// A stored name that names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a known {1}")]
pub struct UnknownName(String, &'static str);

impl FromStr for EndReason {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        found.ok_or_else(|| UnknownName(text.to_owned(), "end reason"))
    }
}

impl FromStr for EnergySource {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|source| source.as_str() == text);
        found.ok_or_else(|| UnknownName(text.to_owned(), "energy source"))
    }
}

impl FromStr for UsageSource {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|source| source.as_str() == text);
        found.ok_or_else(|| UnknownName(text.to_owned(), "usage source"))
    }
}

/// What one admitted request used.
///
/// Exactly one exists for each admitted request, whatever became of it. The last four fields came later than the
/// others: a record without them reads as one with what was true before, and is written without them again, so
/// that its bytes, and with them the hash of its place in the journal, stay the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// The request.
    pub request_id: RequestId,
    /// Who is billed.
    pub tenant_id: TenantId,
    /// The key it came with.
    pub key_id: KeyId,
    /// The model asked for.
    pub model: ModelName,
    /// Which backend served it.
    pub backend: String,
    /// The class and targets that applied.
    pub slo: Slo,
    /// Why it ended.
    pub reason: EndReason,
    /// Tokens of the prompt, cached ones included; frozen when first scheduled.
    pub prompt_tokens: Tokens,
    /// Prompt tokens that were not computed again.
    pub cached_prompt_tokens: Tokens,
    /// Tokens produced, reasoning included; the end-of-sequence token is not counted.
    pub output_tokens: Tokens,
    /// Produced tokens that were reasoning.
    pub reasoning_tokens: Tokens,
    /// Last byte of the request read → first token handed to the connection. `None`: no token.
    #[serde(rename = "ttft_us")]
    pub ttft: Option<Micros>,
    /// Mean gap between tokens after the first, rounded down. `None` for fewer than two tokens.
    #[serde(rename = "tpot_us")]
    pub tpot: Option<Micros>,
    /// Request goodput: every target of the class was met.
    pub slo_met: bool,
    /// Token goodput: output tokens that were delivered by the moment they were due.
    pub tokens_in_slo: Tokens,
    /// The request's share of the device's energy.
    #[serde(rename = "energy_mj")]
    pub energy: Millijoules,
    /// Where the energy figure comes from.
    pub energy_source: EnergySource,
    /// Time in which the client did not read; counts against nobody.
    #[serde(rename = "client_stall_us")]
    pub client_stall: Micros,
    /// Time between submission and the first step.
    #[serde(rename = "queue_us")]
    pub queue: Micros,
    /// When the last byte of the request had been read.
    #[serde(rename = "started_unix_us")]
    pub started_at: Timestamp,
    /// When the request ended; the period it is billed in contains this instant.
    #[serde(rename = "finished_unix_us")]
    pub finished_at: Timestamp,
    /// The plan version that priced it at admission.
    pub price_version: PlanVersionId,
    /// The project of its key, when it was admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// How its tokens were counted.
    #[serde(default, skip_serializing_if = "UsageSource::is_engine")]
    pub usage_source: UsageSource,
    /// What budgets and balances count: the charge before credits, rounded up; zero when nothing is charged.
    #[serde(rename = "charge_nanos", default, skip_serializing_if = "Nanos::is_zero")]
    pub charge: Nanos,
    /// Computed prompt tokens, where the request was for embeddings; zero where it was for text.
    #[serde(default, skip_serializing_if = "Tokens::is_zero")]
    pub embeddings_tokens: Tokens,
}

impl UsageRecord {
    /// Output tokens delivered after they were due.
    pub fn late_tokens(&self) -> Tokens {
        self.output_tokens.checked_sub(self.tokens_in_slo).unwrap_or(Tokens::ZERO)
    }
}

/// SHA-256 of a record as the journal stores it; the next record carries it, so the journal is a chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordHash([u8; 32]);

impl RecordHash {
    /// What the first record of a journal carries as its predecessor.
    pub const GENESIS: Self = Self([0; 32]);

    /// From the digest's bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for RecordHash {
    type Error = UnknownName;

    fn try_from(text: String) -> Result<Self, UnknownName> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
        let bytes: Option<Vec<u8>> = match text.len() {
            64 => text.as_bytes().chunks_exact(2).map(pair).collect(),
            _ => None,
        };
        match bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
            Some(bytes) => Ok(Self(bytes)),
            None => Err(UnknownName(text, "record hash")),
        }
    }
}

impl From<RecordHash> for String {
    fn from(hash: RecordHash) -> String {
        hash.to_string()
    }
}

/// A usage record in its place in a journal's chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournaledRecord {
    /// Which journal.
    pub journal_id: JournalId,
    /// Its place among the journal's records: 1, 2, 3, … without a gap.
    pub sequence: u64,
    /// The hash of record `sequence − 1`, or [`RecordHash::GENESIS`].
    pub previous_hash: RecordHash,
    /// What was used.
    pub record: UsageRecord,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for reason in EndReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
            assert_eq!(serde_json::to_string(&reason).expect("json"), format!("\"{}\"", reason.as_str()));
        }
        for source in EnergySource::ALL {
            assert_eq!(source.as_str().parse(), Ok(source));
            assert_eq!(serde_json::to_string(&source).expect("json"), format!("\"{}\"", source.as_str()));
        }
        for source in UsageSource::ALL {
            assert_eq!(source.as_str().parse(), Ok(source));
            assert_eq!(serde_json::to_string(&source).expect("json"), format!("\"{}\"", source.as_str()));
        }
        assert!("Completed".parse::<EndReason>().is_err());
    }

    /// A record as it was written before projects, usage sources, charges and tokens of embeddings.
    const OLD_RECORD: &str = r#"{"request_id":"01937000-0000-7000-8000-000000000001","tenant_id":"01937000-0000-7000-8000-000000000002","key_id":"k","model":"demo","backend":"local","slo":{"class":"batch","ttft_target_us":null,"ttft_target_us_per_1k_prompt":0,"tpot_target_us":null},"reason":"completed","prompt_tokens":3,"cached_prompt_tokens":0,"output_tokens":2,"reasoning_tokens":0,"ttft_us":5,"tpot_us":6,"slo_met":true,"tokens_in_slo":2,"energy_mj":7,"energy_source":"modelled","client_stall_us":0,"queue_us":1,"started_unix_us":10,"finished_unix_us":20,"price_version":"demo@1"}"#;

    #[test]
    fn records_from_before_a_field_keep_their_bytes() {
        let old: UsageRecord = serde_json::from_str(OLD_RECORD).expect("it reads");
        assert_eq!((old.project_id, old.usage_source, old.charge), (None, UsageSource::Engine, Nanos::ZERO));
        assert_eq!(serde_json::to_string(&old).expect("json"), OLD_RECORD);
        let project: ProjectId = "01937000-0000-7000-8000-000000000003".parse().expect("an id");
        let new = UsageRecord {
            project_id: Some(project),
            usage_source: UsageSource::Estimated,
            charge: Nanos::new(4),
            embeddings_tokens: Tokens::new(3),
            ..old
        };
        let json = serde_json::to_string(&new).expect("json");
        let added = format!(
            r#","project_id":"{project}","usage_source":"estimated","charge_nanos":4,"embeddings_tokens":3}}"#
        );
        assert_eq!(json, OLD_RECORD.trim_end_matches('}').to_owned() + &added);
        assert_eq!(serde_json::from_str::<UsageRecord>(&json).expect("it reads"), new);
    }

    #[test]
    fn hashes_read_back() {
        let hash = RecordHash::from_bytes(std::array::from_fn(|index| u8::try_from(index * 8).unwrap_or(0)));
        assert_eq!(RecordHash::try_from(hash.to_string()), Ok(hash));
        for text in ["", "00", &"g".repeat(64), &"0".repeat(63)] {
            assert!(RecordHash::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
