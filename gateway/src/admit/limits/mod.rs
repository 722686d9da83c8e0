//! Limits on a tree of tenant, projects and key, each also by model: one decision for all of them, all or nothing.
//! Never asks the ledger and never knows a price: what was spent is said to it, what may be spent is asked of it.
//! Called by `admit`, once per request, and by the guards it hands out.

mod ask;
mod exceeded;
mod local;
mod now;
mod shared;
#[cfg(test)]
mod tests;
mod verdict;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{Fault, RequestId, TenantId};

pub use self::{
    ask::{
        AmountKey, AmountKind, AmountLimit, Ask, Holds, LimitSet, Node, NodeId, OpenHold, PER_DAY_MAX,
        PER_MINUTE_MAX, Scope, Settlement, Used,
    },
    exceeded::{Exceeded, LimitViews, Limiter},
    shared::AwayPolicy,
};
use self::{
    local::Local,
    now::Now,
    shared::{Holder, Shared},
};

/// How long an expired hold is remembered, so that a late settlement still counts. A gateway that comes back later
/// than this after a crash has its records in the ledger, from which the next window is seeded.
const EXPIRED_MEMORY: Duration = Duration::from_secs(86_400);

/// Where limits are counted.
#[derive(Clone, Debug)]
pub struct Limits {
    store: Store,
    /// How many requests of this process run.
    running: Arc<AtomicU64>,
}

#[derive(Clone, Debug)]
enum Store {
    /// In this process, for this process alone.
    Local(Arc<Local>),
    /// In a Redis that all gateways share.
    Shared(Arc<Shared>),
}

/// The address of a Redis is none.
#[derive(Debug, thiserror::Error)]
#[error("limits.redis.url: {0}")]
pub struct BadAddress(#[source] redis::RedisError);

impl BadAddress {
    /// The operator's input is at fault.
    pub fn fault(&self) -> Fault {
        Fault::Invalid
    }
}

/// What a request took.
#[must_use = "dropped, it is given back as if it had never been"]
#[derive(Debug)]
pub struct Taken {
    /// What it took from limits over time and from amounts.
    pub reservation: Reservation,
    /// Its place among the running.
    pub permit: Permit,
    /// The limits as they stand.
    pub views: LimitViews,
}

/// Why a request took nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// A limit has no room; with the limits as they stand.
    #[error("{0}")]
    Exceeded(Box<Exceeded>, LimitViews),
    /// What was spent of these amounts is not known yet: say it with `seed`, then take again.
    #[error("{} amounts have not been seeded", .0.len())]
    Unseeded(Vec<AmountKey>),
    /// The request has taken before; one request has one hold.
    #[error("the request holds already")]
    Repeated,
    /// The store cannot be reached, and the policy is to refuse then.
    #[error("the limits cannot be checked at the moment")]
    Away {
        /// When it is asked again.
        retry_after: Duration,
    },
}

impl Limits {
    /// Limits counted in this process.
    pub fn local() -> Self {
        Self::over(Store::Local(Arc::new(Local::new(Now::machine()))))
    }

    /// Limits counted in a Redis that all gateways share. Nothing is connected yet: a Redis that is away is no error.
    ///
    /// Errors: the address is none.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn shared(url: &str, policy: AwayPolicy) -> Result<Self, BadAddress> {
        Shared::start(url, policy).map(|shared| Self::over(Store::Shared(shared))).map_err(BadAddress)
    }

    fn over(store: Store) -> Self {
        Self { store, running: Arc::default() }
    }

    /// Takes what a request asks for from every node, or nothing from any.
    ///
    /// Errors: the first limit without room; amounts that must be seeded; the store is away.
    pub async fn take(&self, ask: &Ask) -> Result<Taken, TakeError> {
        let (owner, views) = match &self.store {
            Store::Local(local) => (Owner::Local(Arc::clone(local)), local.take(ask)?),
            Store::Shared(shared) => {
                let (holder, views) = shared.take(ask).await?;
                (Owner::Shared(Arc::clone(shared), holder), views)
            }
        };
        let guard = Guard { owner, tenant_id: ask.tenant_id, request_id: ask.request_id };
        self.running.fetch_add(1, Ordering::Relaxed);
        let permit = Permit { guard: guard.clone(), running: Arc::clone(&self.running) };
        Ok(Taken { reservation: Reservation { guard, is_settled: false }, permit, views })
    }

    /// Says what was spent of amounts, for those that nobody has said it of: the first one wins.
    ///
    /// Errors: the store is away.
    pub async fn seed(&self, tenant_id: TenantId, spent: &[(AmountKey, i64)]) -> Result<(), TakeError> {
        match &self.store {
            Store::Local(local) => {
                local.seed(tenant_id, spent);
                Ok(())
            }
            Store::Shared(shared) => shared.seed(tenant_id, spent).await,
        }
    }

    /// Settles requests whose records the ledger has. Those that were settled before change nothing.
    pub async fn settle_shipped(&self, settlements: &[Settlement]) {
        match &self.store {
            Store::Local(local) => {
                for Settlement { tenant_id, request_id, tokens_used, charge_nanos } in settlements {
                    let used = Used { tokens: *tokens_used, charge_nanos: *charge_nanos };
                    local.settle(*tenant_id, *request_id, used);
                }
            }
            Store::Shared(shared) => shared.settle_shipped(settlements).await,
        }
    }

    /// What a tenant's running requests hold.
    ///
    /// Errors: the store is away.
    pub async fn held(&self, tenant_id: TenantId) -> Result<Holds, TakeError> {
        match &self.store {
            Store::Local(local) => Ok(local.held(tenant_id)),
            Store::Shared(shared) => shared.held(tenant_id).await,
        }
    }

    /// The first holds of a tenant after one, by request and so by age; at most `rows_max`.
    ///
    /// In process these are this gateway's, in Redis those of all gateways.
    /// Errors: the store is away.
    pub async fn open_holds(
        &self,
        tenant_id: TenantId,
        after: Option<RequestId>,
        rows_max: usize,
    ) -> Result<Vec<OpenHold>, TakeError> {
        match &self.store {
            Store::Local(local) => Ok(local.open_holds(tenant_id, after, rows_max)),
            Store::Shared(shared) => shared.open_holds(tenant_id, after, rows_max).await,
        }
    }

    /// Expires what was held for longer than its time, and forgets what expired long ago.
    pub async fn sweep(&self) {
        match &self.store {
            Store::Local(local) => local.sweep(),
            Store::Shared(shared) => shared.sweep().await,
        }
    }

    /// Tells the store what it has not been told of ended requests; false when it does not listen.
    ///
    /// For the end of a process: guards that are dropped leave their ends to be told a little later.
    pub async fn flush(&self) -> bool {
        match &self.store {
            Store::Local(_) => true,
            Store::Shared(shared) => shared.flush().await,
        }
    }

    /// Whether the store is not asked at the moment, because it did not answer.
    pub fn is_away(&self) -> bool {
        match &self.store {
            Store::Local(_) => false,
            Store::Shared(shared) => shared.is_away(),
        }
    }

    /// Requests of this process that run now.
    pub fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }
}

/// Where a request's hold and place are.
#[derive(Clone, Debug)]
struct Guard {
    owner: Owner,
    tenant_id: TenantId,
    request_id: RequestId,
}

#[derive(Clone, Debug)]
enum Owner {
    Local(Arc<Local>),
    Shared(Arc<Shared>, Holder),
}

/// What one request took from limits over time and from amounts.
///
/// Dropped without `settle`, it gives everything back: the request never was.
#[must_use = "settle it with what was used, or all of it is given back"]
#[derive(Debug)]
pub struct Reservation {
    guard: Guard,
    is_settled: bool,
}

impl Reservation {
    /// Whose reservation it is.
    pub fn request_id(&self) -> RequestId {
        self.guard.request_id
    }

    /// Keeps what was used, and gives back the rest of what was taken.
    pub async fn settle(mut self, used: Used) {
        self.is_settled = true;
        let Guard { owner, tenant_id, request_id } = &self.guard;
        match owner {
            Owner::Local(local) => local.settle(*tenant_id, *request_id, used),
            Owner::Shared(shared, holder) => shared.settle(*tenant_id, *request_id, holder, used).await,
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let Guard { owner, tenant_id, request_id } = &self.guard;
        match owner {
            Owner::Local(local) => local.void(*tenant_id, *request_id),
            Owner::Shared(shared, holder) => shared.void(*tenant_id, *request_id, holder),
        }
    }
}

/// A place among the requests that run at the same time; freed when dropped.
#[must_use = "hold it until the last byte is written or the client is gone"]
#[derive(Debug)]
pub struct Permit {
    guard: Guard,
    running: Arc<AtomicU64>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        let Guard { owner, tenant_id, request_id } = &self.guard;
        match owner {
            Owner::Local(local) => local.free(*tenant_id, *request_id),
            Owner::Shared(shared, holder) => shared.free(*tenant_id, *request_id, holder),
        }
    }
}
