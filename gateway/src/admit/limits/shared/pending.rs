//! Ends of requests that Redis has not been told yet.
//! Never more than a bound: beyond it, what expires by itself is left to expire.
//! Filled by guards and by calls that got no answer; the next take and the flusher tell of them, and only what was
//! answered is forgotten.

use std::{
    collections::{HashMap, VecDeque},
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

/// What is to be told, by tenant. What is on its way stays here until it is answered, so that a call that overtakes
/// another carries along what that one has not brought yet; an end that is told twice counts once.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queues: Mutex<Queues>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    by_tenant: HashMap<TenantId, VecDeque<(u64, Ending)>>,
    count: usize,
    /// The number of the next end.
    next: u64,
}

/// Ends to be told, and their numbers.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) endings: Vec<Ending>,
    numbers: Vec<u64>,
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
            let number = queues.next;
            queues.by_tenant.entry(tenant_id).or_default().push_back((number, ending));
            queues.next += 1;
            queues.count += 1;
        }
        drop(queues);
        self.filled.notify_one();
        are_all_taken
    }

    /// Some of a tenant's ends, for a take to carry along.
    pub(super) fn carry(&self, tenant_id: TenantId) -> Told {
        self.locked().first(tenant_id, CARRIED_MAX)
    }

    /// Some ends of some tenant.
    pub(super) fn batch(&self) -> Option<(TenantId, Told)> {
        let queues = self.locked();
        let tenant_id = *queues.by_tenant.keys().next()?;
        Some((tenant_id, queues.first(tenant_id, BATCH_MAX)))
    }

    /// These were answered.
    pub(super) fn forget(&self, tenant_id: TenantId, told: &Told) {
        self.locked().remove(tenant_id, &told.numbers);
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
    fn first(&self, tenant_id: TenantId, most: usize) -> Told {
        let queue = self.by_tenant.get(&tenant_id).into_iter().flatten().take(most);
        let (numbers, endings) = queue.cloned().unzip();
        Told { endings, numbers }
    }

    /// Both are in the order of their numbers, and what is removed stands near the front.
    fn remove(&mut self, tenant_id: TenantId, numbers: &[u64]) {
        let Some(queue) = self.by_tenant.get_mut(&tenant_id) else { return };
        let before = queue.len();
        for number in numbers {
            if let Ok(place) = queue.binary_search_by_key(number, |(number, _)| *number) {
                queue.remove(place);
            }
        }
        self.count = self.count.saturating_sub(before - queue.len());
        if queue.is_empty() {
            self.by_tenant.remove(&tenant_id);
        }
    }
}

/// A take that has not been answered. Dropped like that, because the client left or Redis said nothing, it is undone.
pub(super) struct Attempt<'a> {
    pub(super) pending: &'a Pending,
    pub(super) tenant_id: TenantId,
    pub(super) request_id: RequestId,
    pub(super) is_sent: bool,
}

impl Attempt<'_> {
    /// It was answered: nothing is to be undone, and what it carried along was heard.
    pub(super) fn answered(&mut self, carried: &Told) {
        self.pending.forget(self.tenant_id, carried);
        self.is_sent = false;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.is_sent {
            let undone = [Ending::Void(self.request_id), Ending::Free(self.request_id)];
            remember(self.pending, self.tenant_id, undone);
        }
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

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;

    fn free(number: i64) -> Ending {
        Ending::Free(RequestId::generate(Timestamp::from_unix_micros(number * 1_000_000)))
    }

    #[test]
    fn what_is_on_its_way_is_carried_along_until_it_is_answered() {
        let tenant_id = TenantId::generate(Timestamp::from_unix_micros(1));
        let pending = Pending::default();
        assert!(pending.push(tenant_id, (0..3).map(free)));
        let (_, flushed) = pending.batch().expect("some");
        assert_eq!(flushed.endings.len(), 3);
        // A take that overtakes the flush has to bring them, or it meets places that are free.
        let carried = pending.carry(tenant_id);
        assert_eq!(carried.endings.len(), 3);
        assert!(pending.push(tenant_id, [free(3)]));
        pending.forget(tenant_id, &carried);
        assert_eq!(pending.carry(tenant_id).endings.len(), 1, "what came meanwhile stays");
        // The slower answer changes nothing any more.
        pending.forget(tenant_id, &flushed);
        assert_eq!(pending.carry(tenant_id).endings.len(), 1);
        let last = pending.carry(tenant_id);
        pending.forget(tenant_id, &last);
        assert!(pending.is_empty() && pending.batch().is_none());
    }

    #[test]
    fn more_than_a_call_carries_goes_in_several() {
        let tenant_id = TenantId::generate(Timestamp::from_unix_micros(1));
        let pending = Pending::default();
        assert!(pending.push(tenant_id, (0..250).map(free)));
        let mut told = Vec::new();
        while let Some((_, batch)) = pending.batch() {
            told.push(batch.endings.len());
            pending.forget(tenant_id, &batch);
        }
        assert_eq!(told, [100, 100, 50]);
    }
}
