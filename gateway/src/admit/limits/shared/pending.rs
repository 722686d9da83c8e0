//! Ends of requests that Redis has not been told yet.
//! Never more than a bound: beyond it, what expires by itself is left to expire.
//! Filled by guards and by calls that got no answer, emptied by the next take and by the flusher.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::{RequestId, TenantId};
use tokio::sync::Notify;

use super::wire::Ending;

/// Ends that may wait. About 20 MiB, and minutes of a Redis that is away at a thousand requests a second.
const ENDINGS_MAX: usize = 100_000;
/// Ends told in one call; a script must not hold up others for longer than about a millisecond.
const BATCH_MAX: usize = 100;
/// Ends that a take carries along, so that a place its own client has just left is free for it.
const CARRIED_MAX: usize = 32;

/// What is to be told, by tenant.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queues: Mutex<Queues>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    by_tenant: HashMap<TenantId, Vec<Ending>>,
    count: usize,
}

impl Pending {
    /// Remembers ends. False: the bound is reached, and some were not taken.
    pub(super) fn push(&self, tenant_id: TenantId, endings: impl IntoIterator<Item = Ending>) -> bool {
        let mut queues = self.locked();
        let mut are_all_taken = true;
        for ending in endings {
            if queues.count >= ENDINGS_MAX {
                are_all_taken = false;
                break;
            }
            queues.by_tenant.entry(tenant_id).or_default().push(ending);
            queues.count += 1;
        }
        drop(queues);
        self.filled.notify_one();
        are_all_taken
    }

    /// Some of a tenant's ends, for a take to carry along.
    pub(super) fn carry(&self, tenant_id: TenantId) -> Vec<Ending> {
        self.locked().take(tenant_id, CARRIED_MAX)
    }

    /// Some ends of some tenant.
    pub(super) fn batch(&self) -> Option<(TenantId, Vec<Ending>)> {
        let mut queues = self.locked();
        let tenant_id = *queues.by_tenant.keys().next()?;
        Some((tenant_id, queues.take(tenant_id, BATCH_MAX)))
    }

    /// Until there is something to tell.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.locked().count == 0
    }

    fn locked(&self) -> MutexGuard<'_, Queues> {
        // A queue is whole after a panic elsewhere.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    fn take(&mut self, tenant_id: TenantId, most: usize) -> Vec<Ending> {
        let Some(queue) = self.by_tenant.get_mut(&tenant_id) else { return Vec::new() };
        let taken: Vec<Ending> = queue.drain(..queue.len().min(most)).collect();
        if queue.is_empty() {
            self.by_tenant.remove(&tenant_id);
        }
        self.count = self.count.saturating_sub(taken.len());
        taken
    }
}

/// A take that has not been answered. Dropped like that, because the client left or Redis said nothing, it is undone.
pub(super) struct Attempt<'a> {
    pub(super) pending: &'a Pending,
    pub(super) tenant_id: TenantId,
    pub(super) request_id: RequestId,
    pub(super) carried: Vec<Ending>,
    pub(super) is_sent: bool,
}

impl Attempt<'_> {
    /// It was answered: nothing is to be undone.
    pub(super) fn answered(&mut self) {
        self.carried.clear();
        self.is_sent = false;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let carried = std::mem::take(&mut self.carried);
        let undone = [Ending::Void(self.request_id), Ending::Free(self.request_id)];
        let undone = undone.into_iter().filter(|_| self.is_sent);
        remember(self.pending, self.tenant_id, carried.into_iter().chain(undone));
    }
}

/// Ends on their way; those that are not heard go back.
pub(super) struct Unheard<'a> {
    pub(super) pending: &'a Pending,
    pub(super) tenant_id: TenantId,
    pub(super) endings: Vec<Ending>,
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        let endings = std::mem::take(&mut self.endings);
        if !endings.is_empty() {
            remember(self.pending, self.tenant_id, endings);
        }
    }
}

/// Remembers ends, and says so when there are too many.
pub(super) fn remember(pending: &Pending, tenant_id: TenantId, endings: impl IntoIterator<Item = Ending>) {
    if !pending.push(tenant_id, endings) {
        tracing::error!(
            tenant.id = %tenant_id,
            waiting_max = ENDINGS_MAX,
            "redis was away for too long: ends of requests are left to shipping and to expiry"
        );
    }
}
