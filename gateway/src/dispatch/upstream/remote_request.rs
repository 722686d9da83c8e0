//! A request for servers elsewhere, with what admission allows it, and what of it depends on the target.
//! Never a target of its own: each attempt has one.
//! Made by `Route::run`, sent by the exchange.

use std::time::Instant;

use crate::dispatch::{Affinity, Relay, UpstreamCall, UpstreamWork, remote::RemoteTarget};

/// A request for upstreams, with what admission allows it.
#[derive(Clone, Debug)]
pub struct RemoteRequest {
    /// What is asked.
    pub work: UpstreamWork,
    /// Engines of ours can do it, so nodes may have it.
    pub fits_nodes: bool,
    /// The id that upstreams may log.
    pub request_id: String,
    /// About how many tokens the prompt has.
    pub prompt_tokens: u64,
    /// More it cannot have.
    pub prompt_tokens_max: u64,
    /// Most tokens of each choice.
    pub output_tokens_max: u32,
    /// When to give up.
    pub deadline: Instant,
    /// Whose share of a node it takes; nodes get another number in its place.
    pub fairness_key: u64,
    /// Whose cached prompts it may share at a node; nodes get another number in its place.
    pub cache_scope: u64,
    /// The tier it is served in, as answers tell it.
    pub tier: Option<&'static str>,
    /// What it shares with requests like it.
    pub(in crate::dispatch) affinity: Affinity,
}

impl RemoteRequest {
    /// Whether a target's answer comes as a stream. A node's always does: each token then counts when it came.
    pub(super) fn is_stream_from(&self, target: &RemoteTarget) -> bool {
        self.work.is_stream || target.is_node()
    }

    /// How a target's answer reaches the client. A node's is written anew, as that of an engine of this process is.
    pub(super) fn relay_from(&self, target: &RemoteTarget) -> Relay {
        if target.is_node() { Relay::Parse } else { self.work.relay }
    }

    /// What a forwarded answer tells as its tier; only chats have one.
    pub(super) fn tier(&self) -> Option<&'static str> {
        self.tier.filter(|_| self.work.call == UpstreamCall::ChatCompletions)
    }

    /// What a target has to deliver for it at most.
    pub(super) fn tokens(&self) -> u64 {
        let output = u64::from(self.output_tokens_max).saturating_mul(u64::from(self.work.choices));
        self.prompt_tokens.saturating_add(output)
    }
}
