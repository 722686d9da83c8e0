//! A store to try, with a clock moved by hand and short ways to ask it.
//! Never more than one tenant's: every stand has a tenant of its own.
//! Used by the cases of the suite.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{KeyId, RequestId, TenantId, Timestamp};

use super::super::shared::{Bounds, Connection, Scripts};
use super::super::{
    AmountKey, AmountKind, AmountLimit, Ask, AwayPolicy, Exceeded, Holds, LimitSet, Limits, Local, Node,
    NodeId, Now, RedisAddress, Scope, Settlement, Shared, Store, TakeError, Taken, Used,
};

/// How long a hold of the suite lasts.
pub(super) const TTL: Duration = Duration::from_secs(60);
/// Where the hand-moved clocks begin: some day of the year 2096. A sweep of all tenants by the clock of Redis, which
/// another test may ask for at any time, must find nothing of theirs that is due.
const BEGIN_US: u64 = 4_000_000_000_000_000;

pub(super) struct Stand {
    pub(super) limits: Limits,
    pub(super) tenant_id: TenantId,
    hand: Arc<AtomicU64>,
    /// A connection of the test's own, to move the clock that scripts go by.
    redis: Option<Connection>,
}

/// Scripts of the suite go by a clock beside the tenant's keys.
const HAND_CLOCK: &str = "local now = tonumber(redis.call('GET', KEYS[1] .. ':clock'))
if not now then now = redis.call('TIME')[1] * 1000 end";

/// A Redis for tests, and a cluster.
const REDIS_URL: &str = "TALLYGATE_TEST_REDIS_URL";
const CLUSTER_URL: &str = "TALLYGATE_TEST_REDIS_CLUSTER_URL";
/// Set by the test command: nothing a test needs may be missing.
const REQUIRE: &str = "TALLYGATE_TEST_REQUIRE";

/// The address of the test's Redis; `None`, with a printed line, when the test was started by hand without one.
pub(super) fn redis_url() -> Option<String> {
    url_in(REDIS_URL)
}

/// The same of the test's cluster.
pub(super) fn cluster_url() -> Option<String> {
    url_in(CLUSTER_URL)
}

fn url_in(variable: &str) -> Option<String> {
    let url = std::env::var(variable).ok().filter(|url| !url.is_empty());
    let is_promised = std::env::var(REQUIRE).is_ok_and(|value| value == "1");
    assert!(url.is_some() || !is_promised, "{variable} is missing although {REQUIRE} is set");
    if url.is_none() {
        println!("SKIPPED: {variable} is not set; `cargo xtask test` sets it");
    }
    url
}

impl Stand {
    pub(super) fn local() -> Self {
        let hand = Arc::new(AtomicU64::new(BEGIN_US));
        let local = Local::new(Now::Hand(Arc::clone(&hand)));
        let limits = Limits::over(Store::Local(Arc::new(local)));
        Self { limits, tenant_id: tenant_id(), hand, redis: None }
    }

    /// `None` when there is no Redis and the test was started by hand.
    pub(super) async fn redis() -> Option<Self> {
        Some(Self::over(&redis_url()?).await)
    }

    /// `None` when there is no cluster and the test was started by hand.
    pub(super) async fn cluster() -> Option<Self> {
        Some(Self::over(&cluster_url()?).await)
    }

    async fn over(url: &str) -> Self {
        let patient = Duration::from_secs(10);
        let bounds = Bounds { connect: patient, answer: patient, pipeline: 64 };
        let address = RedisAddress::new(url, None).expect("an address");
        let redis = address.connect(&bounds).await.expect("a Redis");
        let hand = Arc::new(AtomicU64::new(BEGIN_US));
        let stand = Self { limits: Limits::local(), tenant_id: tenant_id(), hand, redis: Some(redis) };
        stand.advance(Duration::ZERO).await;
        Self { limits: stand.another(url), ..stand }
    }

    /// One more gateway's view of the same Redis.
    pub(super) fn another(&self, url: &str) -> Limits {
        let (now, scripts) = (Now::Hand(Arc::clone(&self.hand)), Scripts::with_clock(HAND_CLOCK));
        let address = RedisAddress::new(url, None).expect("an address");
        Limits::over(Store::Shared(Shared::start_with(address, AwayPolicy::Closed, now, scripts)))
    }

    /// Takes everything the tenant has in Redis away, but for the clock.
    pub(super) async fn lose_all(&self) {
        let mut command = redis::cmd("DEL");
        for kind in ["rates", "amounts", "holds", "expired", "places", "due"] {
            command.arg(format!("tg:{{{}}}:{kind}", self.tenant_id));
        }
        self.command(&command).await;
    }

    pub(super) async fn command(&self, command: &redis::Cmd) {
        let mut redis = self.redis.clone().expect("a stand with Redis");
        redis.send(command).await.expect("Redis is there");
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.hand.load(Ordering::SeqCst).try_into().expect("a date"))
    }

    pub(super) async fn advance(&self, by: Duration) {
        self.hand.fetch_add(by.as_micros().try_into().expect("a while"), Ordering::SeqCst);
        if self.redis.is_some() {
            let now_ms = self.hand.load(Ordering::SeqCst) / 1_000;
            let name = format!("tg:{{{}}}:rates:clock", self.tenant_id);
            self.command(redis::cmd("SET").arg(name).arg(now_ms)).await;
        }
    }

    pub(super) fn ask(&self, nodes: Vec<Node>) -> Ask {
        Ask {
            request_id: request_id(),
            tenant_id: self.tenant_id,
            nodes,
            tokens: 10,
            hold_nanos: 0,
            ttl: TTL,
        }
    }

    pub(super) async fn take(&self, nodes: &[Node]) -> Result<Taken, TakeError> {
        self.limits.take(&self.ask(nodes.to_vec())).await
    }

    /// Takes with a hold.
    pub(super) async fn hold(&self, nodes: &[Node], hold_nanos: i64) -> Result<Taken, TakeError> {
        self.limits.take(&Ask { hold_nanos, ..self.ask(nodes.to_vec()) }).await
    }

    pub(super) async fn refused(&self, nodes: &[Node]) -> Exceeded {
        exceeded(self.take(nodes).await)
    }

    pub(super) async fn hold_refused(&self, nodes: &[Node], hold_nanos: i64) -> Exceeded {
        exceeded(self.hold(nodes, hold_nanos).await)
    }

    /// Seeds every amount of the nodes.
    pub(super) async fn seed(&self, nodes: &[Node], spent: i64) {
        let rows: Vec<_> = amount_keys(nodes).into_iter().map(|key| (key, spent)).collect();
        self.limits.seed(self.tenant_id, &rows).await.expect("the store is there");
    }

    pub(super) async fn held(&self) -> Holds {
        self.limits.held(self.tenant_id).await.expect("the store is there")
    }

    /// What is left of the first amount of a node, read from a refusal.
    pub(super) async fn left(&self, node: &Node) -> u64 {
        self.hold_refused(std::slice::from_ref(node), i64::MAX).await.remaining
    }

    pub(super) async fn ship(&self, request_id: RequestId, charge_nanos: i64) {
        let tenant_id = self.tenant_id;
        let settlement = Settlement { tenant_id, request_id, tokens_used: 1, charge_nanos };
        self.limits.settle_shipped(&[settlement]).await;
    }
}

pub(super) fn exceeded(outcome: Result<Taken, TakeError>) -> Exceeded {
    match outcome {
        Err(TakeError::Exceeded(exceeded, _)) => *exceeded,
        other => panic!("expected a limit, got {other:?}"),
    }
}

pub(super) fn amount_keys(nodes: &[Node]) -> Vec<AmountKey> {
    nodes
        .iter()
        .flat_map(|node| node.limits.amounts.iter().map(|amount| amount.cache_key(&node.id)))
        .collect()
}

pub(super) fn tenant_id() -> TenantId {
    TenantId::generate(Timestamp::from_unix_micros(1))
}

pub(super) fn request_id() -> RequestId {
    RequestId::generate(Timestamp::from_unix_micros(1))
}

pub(super) fn tenant(limits: LimitSet) -> Node {
    Node { id: NodeId::tenant(), scope: Scope::Tenant, model: None, limits }
}

pub(super) fn project(number: u128, limits: LimitSet) -> Node {
    let id = NodeId::project(uuid::Uuid::from_u128(number));
    Node { id, scope: Scope::Project { name: format!("project {number}") }, model: None, limits }
}

pub(super) fn key(limits: LimitSet) -> Node {
    let id = NodeId::key(&KeyId::new("k3y").expect("a key id"));
    Node { id, scope: Scope::Key, model: None, limits }
}

pub(super) fn requests(limit: u64) -> LimitSet {
    LimitSet { requests_per_minute: Some(limit), ..LimitSet::default() }
}

pub(super) fn tokens(limit: u64) -> LimitSet {
    LimitSet { tokens_per_minute: Some(limit), ..LimitSet::default() }
}

pub(super) fn daily(limit: u64) -> LimitSet {
    LimitSet { requests_per_day: Some(limit), ..LimitSet::default() }
}

pub(super) fn places(limit: u64) -> LimitSet {
    LimitSet { concurrency: Some(limit), ..LimitSet::default() }
}

pub(super) fn budget(limit_nanos: i64) -> LimitSet {
    amount(AmountKind::Budget, 0, limit_nanos, None)
}

pub(super) fn balance(limit_nanos: i64) -> LimitSet {
    amount(AmountKind::Balance, 0, limit_nanos, None)
}

pub(super) fn amount(
    kind: AmountKind,
    start_us: i64,
    limit_nanos: i64,
    resets_at: Option<Timestamp>,
) -> LimitSet {
    let window_start = Timestamp::from_unix_micros(start_us);
    LimitSet {
        amounts: vec![AmountLimit { kind, window_start, limit_nanos, resets_at }],
        ..LimitSet::default()
    }
}

pub(super) fn used(tokens: u64, charge_nanos: i64) -> Used {
    Used { tokens, charge_nanos }
}
