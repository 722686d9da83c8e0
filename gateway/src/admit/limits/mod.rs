//! Requests per minute, tokens per minute and concurrency, for a tenant and for its key, all or nothing.
//! Never touches a database; the state is this process's own.
//! Called by `admit`, once per request, and by the guards it hands out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use domain::{KeyId, RequestId, TenantId};

use crate::admit::bucket::{Bucket, LimitView};

/// The three limits of one scope; `None` means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitSet {
    /// Requests per minute.
    pub requests_per_minute: Option<u64>,
    /// Prompt and output tokens per minute; the output bound is reserved at admission.
    pub tokens_per_minute: Option<u64>,
    /// Requests running at the same time.
    pub concurrency: Option<u64>,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All keys of the tenant together.
    Tenant,
    /// One key.
    Key,
}

/// Which limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limiter {
    /// Requests per minute.
    RequestsPerMinute,
    /// Tokens per minute.
    TokensPerMinute,
    /// Requests at the same time.
    Concurrency,
}

/// A limit that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which limit.
    pub limiter: Limiter,
    /// Whose.
    pub scope: Scope,
    /// Its size.
    pub limit: u64,
    /// What is left of it.
    pub remaining: u64,
    /// What was asked for.
    pub cost: u64,
    /// When to try again; `None`: the request can never fit.
    pub retry_after: Option<Duration>,
}

/// The tightest per-minute limits, as response headers tell them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitViews {
    /// Requests per minute.
    pub requests: Option<LimitView>,
    /// Tokens per minute.
    pub tokens: Option<LimitView>,
}

/// Who asks, and under which limits.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The request.
    pub request_id: RequestId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The key.
    pub key_id: KeyId,
    /// The tenant's limits.
    pub tenant: LimitSet,
    /// The key's own limits.
    pub key: LimitSet,
    /// Tokens to reserve: prompt and output bound.
    pub tokens: u64,
}

/// How long a concurrency refusal asks the client to wait: about one short answer.
const CONCURRENCY_RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct ScopeState {
    requests: Bucket,
    tokens: Bucket,
    running: u64,
}

#[derive(Debug, Default)]
struct TenantState {
    tenant: ScopeState,
    /// One entry for each key that asked; keys are made by operators, so their number is theirs to bound.
    keys: HashMap<KeyId, ScopeState>,
}

/// The limits' state of this process.
#[derive(Debug)]
pub struct Limits {
    origin: Instant,
    tenants: Mutex<HashMap<TenantId, Arc<Mutex<TenantState>>>>,
}

impl Limits {
    /// No limit used yet; `origin` is when the process started.
    pub fn new(origin: Instant) -> Self {
        Self { origin, tenants: Mutex::default() }
    }

    /// Takes one request and its tokens from every limit of the tenant and the key, or from none.
    ///
    /// Errors: the first limit that has no room, with the limits as they stand; nothing was taken then.
    pub fn admit(
        &self,
        ask: &Ask,
        now: Instant,
    ) -> Result<(Reservation, Permit, LimitViews), (Exceeded, LimitViews)> {
        let now_us = micros_between(self.origin, now);
        let state = Arc::clone(locked(&self.tenants).entry(ask.tenant_id).or_default());
        let views = {
            let mut guard = locked(&state);
            let tenant = &mut *guard;
            let key = tenant.keys.entry(ask.key_id.clone()).or_default();
            let mut scopes = [(Scope::Tenant, &ask.tenant, &mut tenant.tenant), (Scope::Key, &ask.key, key)];
            for (_, limits, state) in &mut scopes {
                state.drain(limits, now_us);
            }
            let exceeded = scopes
                .iter()
                .find_map(|(scope, limits, state)| state.find_exceeded(*scope, limits, ask.tokens));
            if let Some(exceeded) = exceeded {
                return Err((exceeded, views(&scopes)));
            }
            for (_, limits, state) in &mut scopes {
                state.take(limits, ask.tokens);
            }
            views(&scopes)
        };
        let guard = Guard { state, ask: ask.clone(), origin: self.origin, taken_at_us: now_us };
        let permit = Permit { guard: guard.clone() };
        Ok((Reservation { guard, is_settled: false }, permit, views))
    }

    /// Requests running now, over all tenants.
    pub fn running(&self) -> u64 {
        let tenants: Vec<_> = locked(&self.tenants).values().cloned().collect();
        tenants.iter().map(|state| locked(state).tenant.running).sum()
    }
}

impl ScopeState {
    fn drain(&mut self, limits: &LimitSet, now_us: u64) {
        let rows =
            [(limits.requests_per_minute, &mut self.requests), (limits.tokens_per_minute, &mut self.tokens)];
        for (limit, bucket) in rows {
            if let Some(limit) = limit {
                bucket.drain(limit, now_us);
            }
        }
    }

    /// The first limit without room.
    fn find_exceeded(&self, scope: Scope, limits: &LimitSet, tokens: u64) -> Option<Exceeded> {
        let rows = [
            (Limiter::RequestsPerMinute, limits.requests_per_minute, &self.requests, 1),
            (Limiter::TokensPerMinute, limits.tokens_per_minute, &self.tokens, tokens),
        ];
        for (limiter, limit, bucket, cost) in rows {
            let Some(limit) = limit else { continue };
            let wait = bucket.wait(limit, cost);
            if wait != Some(Duration::ZERO) {
                let remaining = bucket.view(limit).remaining;
                return Some(Exceeded { limiter, scope, limit, remaining, cost, retry_after: wait });
            }
        }
        let limit = limits.concurrency.filter(|limit| self.running >= *limit)?;
        Some(Exceeded {
            limiter: Limiter::Concurrency,
            scope,
            limit,
            remaining: 0,
            cost: 1,
            retry_after: (limit > 0).then_some(CONCURRENCY_RETRY),
        })
    }

    /// An unlimited scope counts nothing but what runs: a bucket that never drains must not fill.
    fn take(&mut self, limits: &LimitSet, tokens: u64) {
        if limits.requests_per_minute.is_some() {
            self.requests.take(1);
        }
        if limits.tokens_per_minute.is_some() {
            self.tokens.take(tokens);
        }
        self.running += 1;
    }
}

fn views(scopes: &[(Scope, &LimitSet, &mut ScopeState)]) -> LimitViews {
    let tightest = |views: Vec<LimitView>| views.into_iter().min_by_key(|view| view.remaining);
    let requests = scopes
        .iter()
        .filter_map(|(_, limits, state)| limits.requests_per_minute.map(|limit| state.requests.view(limit)));
    let tokens = scopes
        .iter()
        .filter_map(|(_, limits, state)| limits.tokens_per_minute.map(|limit| state.tokens.view(limit)));
    LimitViews { requests: tightest(requests.collect()), tokens: tightest(tokens.collect()) }
}

#[derive(Clone, Debug)]
struct Guard {
    state: Arc<Mutex<TenantState>>,
    ask: Ask,
    origin: Instant,
    taken_at_us: u64,
}

impl Guard {
    fn each_scope(&self, mut act: impl FnMut(&LimitSet, &mut ScopeState)) {
        let mut guard = locked(&self.state);
        let tenant = &mut *guard;
        act(&self.ask.tenant, &mut tenant.tenant);
        if let Some(key) = tenant.keys.get_mut(&self.ask.key_id) {
            act(&self.ask.key, key);
        }
    }
}

/// What one request took from the per-minute limits.
///
/// Dropped without `settle`, it gives everything back: the request never was.
#[must_use = "settle it with the tokens used, or all of it is given back"]
#[derive(Debug)]
pub struct Reservation {
    guard: Guard,
    is_settled: bool,
}

impl Reservation {
    /// Whose reservation it is.
    pub fn request_id(&self) -> RequestId {
        self.guard.ask.request_id
    }

    /// Keeps the request and the tokens it used; gives back the rest of what was reserved.
    pub fn settle(self, tokens_used: u64) {
        self.settle_at(tokens_used, Instant::now());
    }

    fn settle_at(mut self, tokens_used: u64, now: Instant) {
        self.give_back(Some(tokens_used), now);
        self.is_settled = true;
    }

    /// What has drained away since it was taken is gone already and is not given back a second time.
    fn give_back(&self, tokens_used: Option<u64>, now: Instant) {
        let reserved = self.guard.ask.tokens;
        let unused = reserved.saturating_sub(tokens_used.unwrap_or(0));
        let is_void = tokens_used.is_none();
        let held_us = micros_between(self.guard.origin, now).saturating_sub(self.guard.taken_at_us);
        self.guard.each_scope(|limits, state| {
            if let Some(limit) = limits.tokens_per_minute {
                state.tokens.give_back(reserved, unused, limit, held_us);
            }
            if let (true, Some(limit)) = (is_void, limits.requests_per_minute) {
                state.requests.give_back(1, 1, limit, held_us);
            }
        });
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_settled {
            self.give_back(None, Instant::now());
        }
    }
}

fn micros_between(from: Instant, until: Instant) -> u64 {
    u64::try_from(until.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}

/// A place among the requests that run at the same time; freed when dropped.
#[must_use = "hold it until the last byte is written or the client is gone"]
#[derive(Debug)]
pub struct Permit {
    guard: Guard,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.guard.each_scope(|_, state| state.running = state.running.saturating_sub(1));
    }
}

/// A panic elsewhere does not make counters wrong, so a poisoned lock is still good.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
