//! What a request asks of the limits: the nodes of the tree it stands under, their limits, and what it would take.
//! Never decides and never counts.
//! Built by `admit`, read by every store.

use std::{fmt, sync::Arc, time::Duration};

use domain::{GrantId, KeyId, ModelName, RequestId, TenantId, Timestamp};
use uuid::Uuid;

use super::Limiter;
use crate::admit::bucket::Quota;

/// Largest limit per minute that every store counts exactly; a larger one counts as this.
///
/// A shared store counts in doubles, exact to 2^53, in units of one part in 60,000 (milliseconds of a minute).
pub const PER_MINUTE_MAX: u64 = 100_000_000_000;

/// Largest limit per day that every store counts exactly; a larger one counts as this.
///
/// As for a minute, in units of one part in 864,000 (tenths of a second of a day).
pub const PER_DAY_MAX: u64 = 10_000_000_000;

const MINUTE_US: u64 = 60_000_000;
const DAY_US: u64 = 86_400_000_000;

/// A node of the tree of limits, as a stable text: `t`, `p:<project>` or `k:<key>`, with `|m:<model>` behind when it
/// counts one model only, and `|x:<model>,…|<grant>` when it counts all but some, for as long
/// as the grant is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The tenant, all of it.
    pub fn tenant() -> Self {
        Self("t".into())
    }

    /// A project of the tenant.
    pub fn project(id: Uuid) -> Self {
        Self(format!("p:{id}").into())
    }

    /// A key of the tenant.
    pub fn key(id: &KeyId) -> Self {
        Self(format!("k:{id}").into())
    }

    /// The same place, counting one model only.
    pub fn for_model(&self, model: &ModelName) -> Self {
        Self(format!("{}|m:{model}", self.0).into())
    }

    /// The same place, counting all models but these, since there is this grant for them.
    pub fn without_models(&self, except: &[ModelName], since: Option<GrantId>) -> Self {
        let names: Vec<_> = except.iter().map(ModelName::as_str).collect();
        let since = since.map(|since| since.to_string()).unwrap_or_default();
        Self(format!("{}|x:{}|{since}", self.0, names.join(",")).into())
    }

    /// The id as text; never has a space.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose limit it is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of the tenant.
    Tenant,
    /// One project with what is below it.
    Project {
        /// Its name.
        name: String,
    },
    /// One key.
    Key,
    /// The subject of signed tokens.
    Token,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant => f.write_str("your account"),
            Self::Project { name } => write!(f, "project {name}"),
            Self::Key => f.write_str("this API key"),
            Self::Token => f.write_str("the subject of this token"),
        }
    }
}

/// A place of the tree with its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Which place.
    pub id: NodeId,
    /// Whose it is.
    pub scope: Scope,
    /// The only model it counts; `None`: all.
    pub model: Option<ModelName>,
    /// What it may use.
    pub limits: LimitSet,
}

impl Node {
    /// The names of its amounts, in the order of its limits.
    pub(super) fn amounts(&self) -> impl Iterator<Item = (AmountKey, &AmountLimit)> {
        self.limits.amounts.iter().map(|amount| (amount.cache_key(&self.id), amount))
    }
}

/// The limits of one node; `None` means unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitSet {
    /// Requests per minute, at most [`PER_MINUTE_MAX`].
    pub requests_per_minute: Option<u64>,
    /// Prompt and output tokens per minute, at most [`PER_MINUTE_MAX`]; the output bound is reserved at admission.
    pub tokens_per_minute: Option<u64>,
    /// Requests per day, at most [`PER_DAY_MAX`]; they come back evenly, as those of a minute do.
    pub requests_per_day: Option<u64>,
    /// Requests running at the same time.
    pub concurrency: Option<u64>,
    /// What may be spent.
    pub amounts: Vec<AmountLimit>,
}

/// Limits over time in the order in which stores keep their buckets.
pub(super) const RATED: [Limiter; 3] =
    [Limiter::RequestsPerMinute, Limiter::TokensPerMinute, Limiter::RequestsPerDay];

/// What one request takes from the limits over time, in the order of [`RATED`].
pub(super) fn costs(tokens: u64) -> [u64; 3] {
    [1, tokens, 1]
}

impl LimitSet {
    /// The limits over time, in the order of [`RATED`].
    pub(super) fn quotas(&self) -> [Option<Quota>; 3] {
        let minute = |limit: u64| Quota { limit: limit.min(PER_MINUTE_MAX), span_us: MINUTE_US };
        let day = |limit: u64| Quota { limit: limit.min(PER_DAY_MAX), span_us: DAY_US };
        [
            self.requests_per_minute.map(minute),
            self.tokens_per_minute.map(minute),
            self.requests_per_day.map(day),
        ]
    }
}

/// Which amount is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AmountKind {
    /// What may be spent in a period.
    Budget,
    /// What was paid in advance.
    Balance,
}

impl AmountKind {
    pub(super) fn limiter(self) -> Limiter {
        match self {
            Self::Budget => Limiter::Budget,
            Self::Balance => Limiter::Balance,
        }
    }
}

/// An amount that may be spent in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmountLimit {
    /// Which amount.
    pub kind: AmountKind,
    /// When the window began; it tells windows apart. The epoch for a window without end.
    pub window_start: Timestamp,
    /// What may be spent in it; below zero counts as zero. Unit: billionths of the tenant's currency.
    pub limit_nanos: i64,
    /// When the next window begins.
    pub resets_at: Option<Timestamp>,
}

impl AmountLimit {
    /// What stores keep this window of a node under.
    pub fn cache_key(&self, node: &NodeId) -> AmountKey {
        AmountKey { node: node.clone(), kind: self.kind, window_start: self.window_start }
    }
}

/// One window of one amount of one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AmountKey {
    /// Whose.
    pub node: NodeId,
    /// Which amount.
    pub kind: AmountKind,
    /// When the window began.
    pub window_start: Timestamp,
}

/// What a request would take.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The request.
    pub request_id: RequestId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// Where it stands in the tree, outermost first; each node once.
    pub nodes: Vec<Node>,
    /// Tokens to reserve: prompt and output bound.
    pub tokens: u64,
    /// The most it can cost; below zero counts as zero. Unit: billionths of the tenant's currency.
    pub hold_nanos: i64,
    /// After this, what it holds is given back without it. Longer than any request lives.
    pub ttl: Duration,
}

/// What a request has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Prompt and output tokens.
    pub tokens: u64,
    /// What it costs; below zero counts as zero. Unit: billionths of the tenant's currency.
    pub charge_nanos: i64,
}

/// The end of a request as the ledger knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Whose request.
    pub tenant_id: TenantId,
    /// Which request.
    pub request_id: RequestId,
    /// Prompt and output tokens.
    pub tokens_used: u64,
    /// What it costs. Unit: billionths of the tenant's currency.
    pub charge_nanos: i64,
}

/// What one running request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenHold {
    /// Which request.
    pub request_id: RequestId,
    /// Tokens reserved: prompt and output bound.
    pub tokens: u64,
    /// The most it may cost. Unit: billionths of the tenant's currency.
    pub nanos: i64,
    /// How long it has been held.
    pub age: Duration,
    /// When it ends by itself, if nobody settles or voids it.
    pub left: Duration,
}

/// What is held for requests that run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// Requests with a hold.
    pub count: u64,
    /// The sum of their holds, each counted once. Unit: billionths of the tenant's currency.
    pub nanos: i128,
}
