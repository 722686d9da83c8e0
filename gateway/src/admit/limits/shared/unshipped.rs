//! Requests that were settled here and whose records the ledger has not confirmed.
//! Never more than a bound; the oldest goes first.
//! Kept by the shared store: if Redis loses what it knows in between, their charges must be said again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::RequestId;

use super::wire::Origin;

/// Requests remembered. Shipping takes about a second; this is a minute and a half of a thousand requests a second.
const REQUESTS_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Unshipped(Mutex<Requests>);

#[derive(Debug, Default)]
struct Requests {
    origins: HashMap<RequestId, Origin>,
    /// In the order of settlement; may name requests that have been shipped since.
    order: VecDeque<RequestId>,
}

impl Unshipped {
    pub(super) fn remember(&self, request_id: RequestId, origin: &Origin) {
        if origin.amounts.is_empty() {
            return;
        }
        let mut requests = self.locked();
        while requests.order.len() >= REQUESTS_MAX {
            let Some(oldest) = requests.order.pop_front() else { break };
            requests.origins.remove(&oldest);
        }
        requests.order.push_back(request_id);
        requests.origins.insert(request_id, origin.clone());
    }

    /// Where a request's hold was taken, if it was settled here; it is forgotten with this.
    pub(super) fn recall(&self, request_id: RequestId) -> Origin {
        let mut requests = self.locked();
        let origin = requests.origins.remove(&request_id).unwrap_or_default();
        // Shipping goes by the order of settlement, so the shipped gather at the front.
        while requests.order.front().is_some_and(|id| !requests.origins.contains_key(id)) {
            requests.order.pop_front();
        }
        origin
    }

    fn locked(&self) -> MutexGuard<'_, Requests> {
        // A map is whole after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
