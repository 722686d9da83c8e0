//! This gateway's share of every limit, for when Redis is away and the policy is to go on.
//! Never gives out more than its share of what was left when Redis was last seen; of what it never saw, nothing.
//! Asked by the shared store instead of Redis.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use domain::TenantId;

use super::super::{
    TakeError,
    ask::{AmountKey, Ask, LimitSet},
    exceeded::LimitViews,
    local::Local,
    now::Now,
};

/// Amounts whose rest is remembered. About 20 MiB; beyond it all are forgotten, and refused until they are seen again.
const AMOUNTS_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct Fallback {
    /// How many gateways share the limits.
    gateways: AtomicU32,
    now: Now,
    lefts: Mutex<HashMap<(TenantId, AmountKey), i64>>,
    /// The store of this absence of Redis, or of the last one.
    store: Mutex<Option<Shares>>,
    /// When Redis answered last. Unit: microseconds.
    seen_us: AtomicU64,
}

#[derive(Debug)]
struct Shares {
    local: Arc<Local>,
    /// Unit: microseconds.
    used_us: u64,
}

/// An absence is over when Redis has answered this long after the last use of a share. Shorter gaps are one absence:
/// a Redis that answers now and then must not give out a whole share each time. Unit: microseconds.
const ABSENCE_GAP_US: u64 = 60_000_000;

impl Fallback {
    pub(super) fn new(gateways: NonZeroU32, now: Now) -> Self {
        let (lefts, store) = (Mutex::default(), Mutex::default());
        Self { gateways: gateways.get().into(), now, lefts, store, seen_us: AtomicU64::new(0) }
    }

    /// From now on so many share the limits.
    pub(super) fn share_among(&self, gateways: NonZeroU32) {
        self.gateways.store(gateways.get(), Ordering::Relaxed);
    }

    /// Remembers what was left, in the order of the ask.
    pub(super) fn seen(&self, ask: &Ask, lefts: &[i64]) {
        self.seen_us.store(self.now.micros(), Ordering::Relaxed);
        let mut known = locked(&self.lefts);
        if known.len() >= AMOUNTS_MAX {
            known.clear();
        }
        let amounts = ask.nodes.iter().flat_map(|node| node.amounts());
        for ((key, _), left) in amounts.zip(lefts) {
            // Beyond 2^53 the script's answer may be rounded up by less than this.
            known.insert((ask.tenant_id, key), left - (left >> 52));
        }
    }

    /// Takes from this gateway's share.
    pub(super) fn take(&self, ask: &Ask) -> Result<(Arc<Local>, LimitViews), TakeError> {
        let store = self.store();
        let mut ask = ask.clone();
        for node in &mut ask.nodes {
            node.limits = self.share(ask.tenant_id, &node.id, &node.limits);
        }
        let unspent: Vec<_> =
            ask.nodes.iter().flat_map(|node| node.amounts()).map(|(key, _)| (key, 0)).collect();
        // What others have spent is not in a share, so nothing of it has been spent at first.
        store.seed(ask.tenant_id, &unspent);
        let views = store.take(&ask)?;
        Ok((store, views))
    }

    fn store(&self) -> Arc<Local> {
        let (now_us, seen_us) = (self.now.micros(), self.seen_us.load(Ordering::Relaxed));
        let mut store = locked(&self.store);
        if store.as_ref().is_some_and(|shares| seen_us > shares.used_us.saturating_add(ABSENCE_GAP_US)) {
            *store = None;
        }
        let fresh = || Shares { local: Arc::new(Local::new(self.now.clone())), used_us: now_us };
        let shares = store.get_or_insert_with(fresh);
        shares.used_us = now_us;
        Arc::clone(&shares.local)
    }

    fn share(&self, tenant_id: TenantId, node: &super::super::NodeId, limits: &LimitSet) -> LimitSet {
        let gateways = self.gateways.load(Ordering::Relaxed).max(1);
        // A limit that allows anything allows something here, or a small limit would refuse everybody.
        let count = |limit: Option<u64>| limit.map(|limit| (limit / u64::from(gateways)).max(limit.min(1)));
        let lefts = locked(&self.lefts);
        let amounts = limits.amounts.iter().map(|amount| {
            let left = lefts.get(&(tenant_id, amount.cache_key(node))).copied().unwrap_or(0).max(0);
            let limit_nanos = left.min(amount.limit_nanos) / i64::from(gateways);
            super::super::AmountLimit { limit_nanos, ..*amount }
        });
        LimitSet {
            requests_per_minute: count(limits.requests_per_minute),
            tokens_per_minute: count(limits.tokens_per_minute),
            requests_per_day: count(limits.requests_per_day),
            concurrency: count(limits.concurrency),
            amounts: amounts.collect(),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Maps are whole after a panic elsewhere.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
