//! What a gateway and an engine node share: keys, signed tokens, what goes along with a request; and the node itself.
//! Never a tenant, a ledger or a journal: a node knows models and gateways.
//! Used by `dispatch` on the gateway's side, and by `http::node` and `cli::node` on the other.

mod keys;
mod requests;
mod terms;
mod token;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use domain::{Clock, ModelName, Timestamp};
use engine::Engine;

pub use keys::{KeyError, KeyPair, PublicKey, SigningKey};
pub use requests::{BeginError, Requests, RunningRequest};
pub use terms::{CACHE_SCOPE_HEADER, DEADLINE_HEADER, FAIRNESS_KEY_HEADER, OpaqueNumber, Terms, TermsError};
pub use token::{KeyRing, Signer, TokenFault};

/// Where a node's API begins.
pub const API_PATH: &str = "/engine/v1";
/// What orchestrators and gateways ask to learn whether it serves.
pub const READY_PATH: &str = "/readyz";
/// Where a request that runs is ended: its id follows.
pub const REQUESTS_PATH: &str = "/requests/";

/// An engine node.
pub struct Node {
    /// Who tokens must mean.
    pub name: String,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// When the process started.
    pub started_at: Timestamp,
    /// The gateways that it serves, as they were last read.
    pub keys: ArcSwap<KeyRing>,
    /// In the order of the configuration.
    pub models: Vec<NodeModel>,
    /// What runs.
    pub requests: Arc<Requests>,
    /// Largest request body. Unit: bytes.
    pub body_bytes_max: u32,
    /// Longest life of one request, whatever its gateway allows.
    pub request_time_max: Duration,
}

/// A model that a node runs.
#[derive(Clone, Debug)]
pub struct NodeModel {
    /// The name gateways ask for.
    pub name: ModelName,
    /// What runs it.
    pub engine: Engine,
    /// Output bound of requests that name none. Unit: tokens.
    pub output_tokens_default: u32,
}

impl Node {
    /// The model with this name.
    pub fn find(&self, name: &ModelName) -> Option<&NodeModel> {
        self.models.iter().find(|model| model.name == *name)
    }

    /// Whether it takes requests, and each part's state in words.
    pub fn readiness(&self) -> (bool, Vec<(String, String)>) {
        let is_draining = self.requests.is_draining();
        let mut parts = vec![("requests".to_owned(), if is_draining { "draining" } else { "ok" }.to_owned())];
        let mut is_ready = !is_draining;
        for model in &self.models {
            let status = model.engine.status();
            let is_serving = status.is_ready && !status.is_failed;
            is_ready &= is_serving;
            let state = match is_serving {
                true => format!("ok, {} running, {} queued", status.running, status.queued),
                false => "failed".to_owned(),
            };
            parts.push((format!("model {}", model.name), state));
        }
        (is_ready, parts)
    }
}
