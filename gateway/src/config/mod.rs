//! What an operator can set, as checked types with defaults.
//! Never reads a file or the environment itself: `load` does, and names file, line and reason when it fails.
//! Built once in `cli::serve` or `cli::check` and handed down.
//!
//! Long because it names every section, and holds the small ones: a table of contents is read in one piece.

mod admin;
mod backend;
mod change;
mod energy;
mod engine;
mod exports;
mod invoicing;
mod issuer;
mod issuer_rules;
mod limits;
mod load;
mod log;
mod node;
mod retention;
mod rules;
mod sources;
mod statements;
mod stripe;
#[cfg(test)]
mod tests;
mod variables;
mod webhooks;

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

use domain::ModelName;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::admit::WhenLate;

pub use admin::Admin;
pub use backend::{
    Backend, BackendKind, BackendModel, BackendUrl, Capability, OutputBound, Secret, TokenEnergy,
};
pub use change::{Change, ISSUER, NODE};
pub use energy::{Energy, EnergyChoice};
pub use exports::{Exports, S3};
pub use invoicing::Invoicing;
pub use issuer::{ISSUERS_MAX, Issuer, SignatureAlgorithm, SubjectLimits, private_url};
pub use limits::{Limits, LimitsRedis, LimitsStore, RedisFailure, RedisUrl};
pub use load::{ConfigError, Source, load};
pub use log::Log;
pub use node::{KeyFile, Node, NodeTls, Role};
pub use retention::Retention;
pub use statements::Statements;
pub use stripe::Stripe;
pub use webhooks::Webhooks;

/// Everything an operator can set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What the process is for.
    pub role: Role,
    /// Where and how to listen.
    pub server: Server,
    /// The admin API.
    pub admin: Admin,
    /// An engine node, for the role `engine`.
    pub node: Node,
    /// Where state lives on disk.
    pub data: Data,
    /// The ledger's database.
    pub ledger: Ledger,
    /// The usage journal.
    pub journal: Journal,
    /// When invoices are issued by themselves.
    pub invoicing: Invoicing,
    /// How long usage records stay in the ledger.
    pub retention: Retention,
    /// Where limits are counted.
    pub limits: Limits,
    /// The energy meter of the engine's device.
    pub energy: Energy,
    /// Latency classes at admission.
    pub slo: SloAdmission,
    /// Messages about events.
    pub webhooks: Webhooks,
    /// What is written for people.
    pub log: Log,
    /// The key that signs statements of invoices.
    pub statements: Statements,
    /// Where exports go, and under which name.
    pub exports: Exports,
    /// The account at Stripe.
    pub stripe: Stripe,
    /// Whose signed tokens open the data plane.
    #[serde(rename = "issuer")]
    pub issuers: Vec<Issuer>,
    /// Models to serve from this process.
    #[serde(rename = "model")]
    pub models: Vec<Model>,
    /// Servers that serve models elsewhere.
    #[serde(rename = "backend")]
    pub backends: Vec<Backend>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            role: Role::default(),
            server: Server::default(),
            admin: Admin::default(),
            node: Node::default(),
            data: Data::default(),
            ledger: Ledger::default(),
            journal: Journal::default(),
            invoicing: Invoicing::default(),
            retention: Retention::default(),
            limits: Limits::default(),
            energy: Energy::default(),
            slo: SloAdmission::default(),
            webhooks: Webhooks::default(),
            log: Log::default(),
            statements: Statements::default(),
            exports: Exports::default(),
            stripe: Stripe::default(),
            issuers: Vec::new(),
            models: vec![Model::demo()],
            backends: Vec::new(),
        }
    }
}

impl Config {
    /// The ledger's address: the one set, or a SQLite file in the data folder.
    pub fn ledger_url(&self) -> String {
        match &self.ledger.url {
            Some(url) => url.clone(),
            None => format!("sqlite://{}", self.data.folder.join("ledger.sqlite").display()),
        }
    }

    /// Where the journal lives.
    pub fn journal_folder(&self) -> PathBuf {
        self.data.folder.join("journal")
    }
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that serve connections; 0 means one per core.
    #[serde(deserialize_with = "bounded::<0, 1024, _>")]
    pub workers: u32,
    /// Largest request body. Unit: bytes.
    #[serde(deserialize_with = "bounded::<1_024, 67_108_864, _>")]
    pub body_bytes_max: u32,
    /// Longest wait for running streams when stopping. Unit: seconds.
    #[serde(deserialize_with = "bounded::<0, 3_600, _>")]
    pub drain_seconds: u32,
    /// Longest life of one request; it ends with reason `deadline`. Unit: seconds.
    #[serde(deserialize_with = "bounded::<1, 86_400, _>")]
    pub request_seconds_max: u32,
    /// Connections open at the same time; further ones wait to be accepted.
    #[serde(deserialize_with = "bounded::<1, 1_000_000, _>")]
    pub connections_max: u32,
    /// Connections of one address (of one /64 network in IPv6); further ones are refused. 0: no bound.
    #[serde(deserialize_with = "bounded::<0, 1_000_000, _>")]
    pub connections_per_peer_max: u32,
    /// How long an Idempotency-Key is remembered. Unit: seconds.
    #[serde(deserialize_with = "bounded::<60, 2_592_000, _>")]
    pub idempotency_seconds: u32,
    /// Longest silence of a stream: then its headers are sent, and later keep-alives. Unit: milliseconds.
    #[serde(deserialize_with = "bounded::<50, 60_000, _>")]
    pub stream_silence_ms_max: u32,
    /// How long responses are stored for `previous_response_id`. Unit: days.
    #[serde(deserialize_with = "bounded::<1, 3_650, _>")]
    pub response_days: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            workers: 0,
            // A context of 128k tokens is about half a megabyte of text; JSON escapes may double it.
            body_bytes_max: 4 * 1_024 * 1_024,
            drain_seconds: 30,
            request_seconds_max: 600,
            // About 100 kB each, were all of them sending: 2.5 GB.
            connections_max: 25_000,
            // A load balancer is one peer; a thousand streams at once leave it room.
            connections_per_peer_max: 4_096,
            // A day: longer than any client tries again.
            idempotency_seconds: 86_400,
            // Proxies and load balancers cut connections that are silent for 30 s or 60 s.
            stream_silence_ms_max: 10_000,
            response_days: 30,
        }
    }
}

/// `[data]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Folder for the journal and, by default, the ledger.
    pub folder: PathBuf,
}

impl Default for Data {
    fn default() -> Self {
        Self { folder: PathBuf::from("tallygate-data") }
    }
}

/// `[ledger]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// `sqlite://PATH` or `postgres://…`; absent means a SQLite file in the data folder.
    #[serde(deserialize_with = "ledger_url")]
    pub url: Option<String>,
}

/// `[journal]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// A segment file is closed at this size. Unit: mebibytes.
    #[serde(deserialize_with = "bounded::<1, 4_096, _>")]
    pub segment_mib_max: u32,
    /// Records not yet in the ledger may take this much; beyond it new requests are refused. Unit: mebibytes.
    #[serde(deserialize_with = "bounded::<1, 1_048_576, _>")]
    pub unshipped_mib_max: u32,
    /// Shipped segments kept for audit.
    #[serde(deserialize_with = "bounded::<0, 1_000_000, _>")]
    pub retained_segments: u32,
}

impl Default for Journal {
    fn default() -> Self {
        // 4 GiB is about five million records: a day of a database being away at 50 requests/s.
        Self { segment_mib_max: 64, unshipped_mib_max: 4_096, retained_segments: 64 }
    }
}

/// `[slo]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SloAdmission {
    /// What becomes of a request whose class the queue makes unattainable.
    pub when_late: WhenLate,
}

/// `[[model]]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name clients ask for.
    pub name: ModelName,
    /// Where it comes from.
    pub source: ModelSource,
    /// The model's folder, for `source = "folder"`.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// The simulated engine, for `source = "sim"`.
    #[serde(default)]
    pub sim: Option<Sim>,
    /// Requests decoded together.
    #[serde(default, deserialize_with = "bounded_choice::<4_096, _>")]
    pub sequences_max: Option<NonZeroU32>,
    /// Requests waiting for a place among them; beyond it requests are refused.
    #[serde(default, deserialize_with = "bounded_choice::<1_000_000, _>")]
    pub queue_jobs_max: Option<NonZeroU32>,
    /// Tokens computed in one step.
    #[serde(default, deserialize_with = "bounded_choice::<1_048_576, _>")]
    pub step_tokens_max: Option<NonZeroU32>,
    /// Threads of the CPU runner; 0 means all cores but one.
    #[serde(default, deserialize_with = "bounded::<0, 1_024, _>")]
    pub threads: u32,
    /// Output bound of requests that name none; the context left bounds it as well. Unit: tokens.
    #[serde(default = "output_tokens_default")]
    pub output_tokens_default: NonZeroU32,
}

impl Model {
    /// The demo model that ships inside the binary.
    pub fn demo() -> Self {
        Self {
            name: demo_name(),
            source: ModelSource::Demo,
            path: None,
            sim: None,
            sequences_max: None,
            queue_jobs_max: None,
            step_tokens_max: None,
            threads: 0,
            output_tokens_default: output_tokens_default(),
        }
    }
}

/// Where a model comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSource {
    /// The demo model inside the binary.
    Demo,
    /// A folder with config.json, tokenizer.json and safetensors.
    Folder,
    /// The simulated engine, for tests and load generation.
    Sim,
}

/// `[model.sim]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sim {
    /// Same seed, same answers.
    pub seed: u64,
    /// Prompt tokens computed per second.
    #[serde(deserialize_with = "bounded::<1, 1_000_000_000, _>")]
    pub prefill_tokens_per_second: u32,
    /// Time of one decode step. Unit: microseconds.
    #[serde(deserialize_with = "bounded::<0, 60_000_000, _>")]
    pub decode_step_us: u32,
    /// Prompt and output together. Unit: tokens.
    #[serde(deserialize_with = "bounded::<2, 16_777_216, _>")]
    pub context_tokens_max: u32,
    /// Every sequence fails after this many tokens; for fault tests.
    pub fail_after_tokens: Option<u32>,
    /// The engine's thread panics after this many tokens of a sequence; for fault tests.
    pub panic_after_tokens: Option<u32>,
    /// What it answers.
    pub answer: SimAnswer,
}

/// What a simulated engine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimAnswer {
    /// Words drawn by chance.
    Words,
    /// The last user message.
    Echo,
}

impl Default for Sim {
    fn default() -> Self {
        Self {
            seed: 0,
            prefill_tokens_per_second: 100_000,
            decode_step_us: 1_000,
            context_tokens_max: 8_192,
            fail_after_tokens: None,
            panic_after_tokens: None,
            answer: SimAnswer::Words,
        }
    }
}

fn output_tokens_default() -> NonZeroU32 {
    // Long enough for an answer, short enough that a forgotten bound does not reserve a whole context.
    const OUTPUT_TOKENS_DEFAULT: NonZeroU32 = NonZeroU32::new(512).unwrap();
    OUTPUT_TOKENS_DEFAULT
}

#[expect(clippy::expect_used, reason = "a constant that a test below checks")]
fn demo_name() -> ModelName {
    ModelName::new("demo").expect("the demo model's name is good")
}

/// A whole number between two bounds, refused with both named.
fn bounded<'de, const MIN: u32, const MAX: u32, D: Deserializer<'de>>(input: D) -> Result<u32, D::Error> {
    let number = i64::deserialize(input)?;
    match u32::try_from(number) {
        Ok(number) if (MIN..=MAX).contains(&number) => Ok(number),
        _ => Err(D::Error::custom(format!("{number} is not between {MIN} and {MAX}"))),
    }
}

/// A whole number from 1 to a bound, where leaving it out leaves it to the engine.
fn bounded_choice<'de, const MAX: u32, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<NonZeroU32>, D::Error> {
    bounded::<1, MAX, D>(input).map(NonZeroU32::new)
}

fn ledger_url<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let url = String::deserialize(input)?;
    let schemes = ["sqlite://", "postgres://", "postgresql://"];
    if url == "sqlite://" {
        return Err(D::Error::custom("a ledger url sqlite:// needs the file's path after it"));
    }
    match schemes.iter().any(|scheme| url.starts_with(scheme)) {
        true => Ok(Some(url)),
        false => Err(D::Error::custom("a ledger url must start with sqlite:// or postgres://")),
    }
}
