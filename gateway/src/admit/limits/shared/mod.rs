//! The limits' state in a Redis that all gateways share: one script for each decision.
//! Never decides by this machine's clock, and never keeps what an invoice needs.
//! Called by `Limits` and by the guards it hands out.

mod address;
mod breaker;
mod fallback;
mod pending;
mod redis;
mod sweep;
mod unshipped;
mod wire;

use std::{
    collections::HashSet,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use domain::{RequestId, TenantId};
use tokio::runtime::Handle;
use uuid::Uuid;

pub use self::address::{BadAddress, RedisAddress};
#[cfg(test)]
pub(super) use self::address::{Bounds, Connection};
pub(super) use self::redis::Scripts;
use self::{
    fallback::Fallback,
    pending::{Attempt, Pending, Told, Unheard, remember},
    redis::{Away, Redis},
    unshipped::Unshipped,
    wire::{Ending, Garbled, Granted, Origin, Settle},
};
use super::{
    TakeError,
    ask::{AmountKey, Ask, Holds, Node, OpenHold, Settlement, Used},
    exceeded::LimitViews,
    local::Local,
    now::Now,
};

/// Where every gateway notes which tenants it has asked for, so that any of them sweeps for all.
const TENANTS_KEY: &str = "tg:tenants";
/// Ends gather for this long before they are told, so that many go in one call.
const FLUSH_DELAY: Duration = Duration::from_millis(2);
/// How long the flusher waits after a call that got no answer.
const FLUSH_RETRY: Duration = Duration::from_millis(250);
/// Settlements of shipped records told in one call.
const SHIPPED_MAX: usize = 100;

/// What happens while Redis is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwayPolicy {
    /// Nothing new runs.
    Closed,
    /// This gateway's share of every limit holds, of so many gateways.
    Local {
        /// How many gateways share the limits.
        gateways: NonZeroU32,
    },
}

/// The store in Redis.
#[derive(Debug)]
pub(super) struct Shared {
    redis: Redis,
    pending: Pending,
    unshipped: Unshipped,
    /// `None`: nothing runs while Redis is away.
    fallback: ArcSwapOption<Fallback>,
    now: Now,
    /// Tenants that this process has noted in Redis.
    noted: Mutex<HashSet<TenantId>>,
}

/// Who holds what a request took.
#[derive(Clone, Debug)]
pub(super) enum Holder {
    /// Redis does.
    Redis(Origin),
    /// This gateway's share does, while Redis is away.
    Share(Arc<Local>, Arc<[AmountKey]>),
}

/// A generation no hold of Redis has: what was taken from a share always counts.
const SHARE_GENERATION: &str = "share";

impl Shared {
    /// A store at an address, and the task that tells it what guards leave behind.
    pub(super) fn start(address: RedisAddress, policy: AwayPolicy) -> Arc<Self> {
        Self::start_with(address, policy, Now::machine(), Scripts::new())
    }

    pub(super) fn start_with(
        address: RedisAddress,
        policy: AwayPolicy,
        now: Now,
        scripts: Scripts,
    ) -> Arc<Self> {
        let runtime = Handle::current();
        let shared = Arc::new(Self {
            redis: Redis::new(address, runtime.clone(), scripts, Now::machine()),
            pending: Pending::default(),
            unshipped: Unshipped::default(),
            fallback: ArcSwapOption::empty(),
            now,
            noted: Mutex::default(),
        });
        shared.set_policy(policy);
        runtime.spawn(flush_for_ever(Arc::downgrade(&shared)));
        shared
    }

    /// From now on does this while Redis is away. What is known of amounts is kept for as long as shares are given.
    pub(super) fn set_policy(&self, policy: AwayPolicy) {
        match (policy, self.fallback.load_full()) {
            (AwayPolicy::Closed, _) => self.fallback.store(None),
            (AwayPolicy::Local { gateways }, Some(fallback)) => fallback.share_among(gateways),
            (AwayPolicy::Local { gateways }, None) => {
                self.fallback.store(Some(Arc::new(Fallback::new(gateways, self.now.clone()))));
            }
        }
    }

    /// Whether Redis is not asked at the moment.
    pub(super) fn is_away(&self) -> bool {
        self.redis.is_away()
    }

    pub(super) async fn take(self: &Arc<Self>, ask: &Ask) -> Result<(Holder, LimitViews), TakeError> {
        match self.take_from_redis(ask).await {
            Ok(outcome) => {
                let Granted { generation, views, lefts } = outcome?;
                if let Some(fallback) = &*self.fallback.load() {
                    fallback.seen(ask, &lefts);
                }
                Ok((Holder::Redis(Origin { generation, amounts: amounts_of(ask) }), views))
            }
            Err(Away { retry_after, .. }) => match &*self.fallback.load() {
                None => Err(TakeError::Away { retry_after }),
                Some(fallback) => {
                    let (local, views) = fallback.take(ask)?;
                    Ok((Holder::Share(local, amounts_of(ask)), views))
                }
            },
        }
    }

    async fn take_from_redis(&self, ask: &Ask) -> Result<Result<Granted, TakeError>, Away> {
        self.note(ask.tenant_id).await?;
        let mut attempt = Attempt {
            pending: &self.pending,
            tenant_id: ask.tenant_id,
            request_id: ask.request_id,
            is_sent: true,
        };
        // A Redis that is away hears nothing of them.
        let carried = if self.redis.is_away() { Told::default() } else { self.pending.carry(ask.tenant_id) };
        let outcome = self.redis.run(&self.redis.scripts.take, ask.tenant_id, |command| {
            wire::write_endings(command, &carried.endings);
            wire::write_ask(command, ask);
        });
        let answer = match outcome.await {
            Ok(answer) => answer,
            Err(away) => {
                attempt.is_sent = away.was_sent;
                return Err(away);
            }
        };
        let read = wire::read_take(&answer, ask, self.now.time_of_day());
        if matches!(read, Ok(Err(TakeError::Repeated))) && self.redis.sends_again() {
            // The first answer was lost on its way, and nobody knows what it said: it is undone.
            return Err(Away { retry_after: FLUSH_RETRY, was_sent: true });
        }
        attempt.answered(&carried);
        read.map_err(|Garbled| {
            self.abandon(ask.tenant_id, ask.request_id);
            garbled()
        })
    }

    /// Says what was spent of amounts that nobody has said it of.
    pub(super) async fn seed(
        &self,
        tenant_id: TenantId,
        spent: &[(AmountKey, i64)],
    ) -> Result<(), TakeError> {
        let generation = Uuid::new_v4().to_string();
        let script = &self.redis.scripts.seed;
        let outcome = self.redis.run(script, tenant_id, |command| {
            command.arg(&generation).arg(spent.len());
            for (key, nanos) in spent {
                command.arg(wire::amount_name(key)).arg((*nanos).max(0));
            }
        });
        outcome.await.map(drop).map_err(TakeError::from)
    }

    /// Settles a request; if Redis does not hear of it now, it is told later.
    pub(super) async fn settle(
        &self,
        tenant_id: TenantId,
        request_id: RequestId,
        holder: &Holder,
        used: Used,
    ) {
        let origin = match holder {
            Holder::Redis(origin) => origin.clone(),
            Holder::Share(local, amounts) => {
                local.settle(tenant_id, request_id, used);
                Origin { generation: SHARE_GENERATION.into(), amounts: Arc::clone(amounts) }
            }
        };
        self.unshipped.remember(request_id, &origin);
        let Used { tokens, charge_nanos } = used;
        self.tell(
            tenant_id,
            vec![Ending::Settle(Box::new(Settle { request_id, tokens, charge_nanos, origin }))],
        )
        .await;
    }

    /// Settles requests whose records the ledger has.
    pub(super) async fn settle_shipped(&self, settlements: &[Settlement]) {
        let mut sorted: Vec<&Settlement> = settlements.iter().collect();
        sorted.sort_by_key(|settlement| settlement.tenant_id);
        for group in sorted.chunk_by(|one, other| one.tenant_id == other.tenant_id) {
            for batch in group.chunks(SHIPPED_MAX) {
                let Some(Settlement { tenant_id, .. }) = batch.first() else { continue };
                self.tell(*tenant_id, batch.iter().map(|settlement| self.shipped(settlement)).collect())
                    .await;
            }
        }
    }

    fn shipped(&self, settlement: &Settlement) -> Ending {
        let Settlement { request_id, tokens_used: tokens, charge_nanos, .. } = *settlement;
        let origin = self.unshipped.recall(request_id);
        Ending::Settle(Box::new(Settle { request_id, tokens, charge_nanos, origin }))
    }

    /// The request never was.
    pub(super) fn void(&self, tenant_id: TenantId, request_id: RequestId, holder: &Holder) {
        match holder {
            Holder::Redis(_) => self.remember(tenant_id, [Ending::Void(request_id)]),
            Holder::Share(local, _) => local.void(tenant_id, request_id),
        }
    }

    /// Its place is free.
    pub(super) fn free(&self, tenant_id: TenantId, request_id: RequestId, holder: &Holder) {
        match holder {
            Holder::Redis(_) => self.remember(tenant_id, [Ending::Free(request_id)]),
            Holder::Share(local, _) => local.free(tenant_id, request_id),
        }
    }

    /// What a tenant's running requests hold in Redis.
    pub(super) async fn held(&self, tenant_id: TenantId) -> Result<Holds, TakeError> {
        self.tell_all(tenant_id).await;
        let answer = self.redis.run(&self.redis.scripts.held, tenant_id, |_| ()).await?;
        wire::read_held(&answer).map_err(|Garbled| garbled().into())
    }

    /// Which requests of a tenant hold what in Redis.
    pub(super) async fn open_holds(
        &self,
        tenant_id: TenantId,
        after: Option<RequestId>,
        rows_max: usize,
    ) -> Result<Vec<OpenHold>, TakeError> {
        self.tell_all(tenant_id).await;
        let after = after.map_or_else(String::new, |after| after.to_string());
        let write = |command: &mut ::redis::Cmd| {
            command.arg(&after).arg(rows_max);
        };
        let answer = self.redis.run(&self.redis.scripts.open, tenant_id, write).await?;
        wire::read_open(&answer).map_err(|Garbled| garbled().into())
    }

    /// Tells of every end of this tenant's requests that waits to be told.
    async fn tell_all(&self, tenant_id: TenantId) {
        loop {
            let carried = self.pending.carry(tenant_id);
            // What was not heard stays where it is; the call after it says that Redis is away.
            if carried.endings.is_empty() || !self.tell_pending(tenant_id, carried).await {
                break;
            }
        }
    }

    /// Tells Redis what it has not been told; stops at the first call without an answer.
    pub(super) async fn flush(&self) -> bool {
        while let Some((tenant_id, told)) = self.pending.batch() {
            if !self.tell_pending(tenant_id, told).await {
                return false;
            }
        }
        true
    }

    /// Tells it now; what is not heard, or dropped on the way, is remembered for later.
    async fn tell(&self, tenant_id: TenantId, endings: Vec<Ending>) {
        let mut unheard = Unheard { pending: &self.pending, tenant_id, endings };
        if self.finish(tenant_id, &unheard.endings).await {
            unheard.endings.clear();
        }
    }

    /// Tells what is remembered, and forgets it once it was heard.
    async fn tell_pending(&self, tenant_id: TenantId, told: Told) -> bool {
        let is_heard = self.finish(tenant_id, &told.endings).await;
        if is_heard {
            self.pending.forget(tenant_id, &told);
        }
        is_heard
    }

    async fn finish(&self, tenant_id: TenantId, endings: &[Ending]) -> bool {
        let script = &self.redis.scripts.finish;
        self.redis.run(script, tenant_id, |command| wire::write_endings(command, endings)).await.is_ok()
    }

    fn remember(&self, tenant_id: TenantId, endings: impl IntoIterator<Item = Ending>) {
        remember(&self.pending, tenant_id, endings);
    }

    /// A take without a usable answer may have taken.
    fn abandon(&self, tenant_id: TenantId, request_id: RequestId) {
        self.remember(tenant_id, [Ending::Void(request_id), Ending::Free(request_id)]);
    }

    /// Notes a tenant once for each process.
    async fn note(&self, tenant_id: TenantId) -> Result<(), Away> {
        if self.noted.lock().unwrap_or_else(PoisonError::into_inner).contains(&tenant_id) {
            return Ok(());
        }
        let mut command = ::redis::cmd("SADD");
        command.arg(TENANTS_KEY).arg(tenant_id.to_string());
        self.redis.command(&command).await?;
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant_id);
        Ok(())
    }
}

/// Tells Redis what guards leave behind, soon after they do, as long as the store is there.
async fn flush_for_ever(shared: Weak<Shared>) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let is_idle = strong.pending.is_empty();
        if is_idle {
            // Looks up now and then whether the store is still there.
            let look = tokio::time::timeout(FLUSH_RETRY, strong.pending.filled());
            // Whether it was filled or not is looked at again.
            look.await.ok();
            drop(strong);
            tokio::time::sleep(FLUSH_DELAY).await;
        } else if !strong.flush().await {
            drop(strong);
            tokio::time::sleep(FLUSH_RETRY).await;
        }
    }
}

fn amounts_of(ask: &Ask) -> Arc<[AmountKey]> {
    ask.nodes.iter().flat_map(Node::amounts).map(|(key, _)| key).collect()
}

fn garbled() -> Away {
    tracing::error!("redis gave an answer that no script gives");
    Away { retry_after: FLUSH_RETRY, was_sent: true }
}

impl From<Away> for TakeError {
    fn from(away: Away) -> Self {
        Self::Away { retry_after: away.retry_after }
    }
}
