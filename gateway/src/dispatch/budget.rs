//! How many requests may be tried again: a share of all, so that an outage is not multiplied by its retries.
//! Never waits and never reads a clock.
//! One for each route; asked before each retry.

use std::sync::atomic::{AtomicU32, Ordering};

/// Attempts after the first that one request may cause. With two, a request survives two targets going away at
/// once; more only keeps its client waiting.
pub(super) const RETRIES_MAX: u32 = 2;

/// Requests that earn one retry: a tenth of all requests may be tried again.
const REQUESTS_PER_RETRY: u32 = 10;
/// Retries that may be saved up: enough for a burst after quiet, too few to flood whoever is left.
const SAVED_MAX: u32 = 50;
/// Retries there are at the beginning, so that the first requests can be tried again as well.
const SAVED_FIRST: u32 = 10;

/// Retries that a route has left.
#[derive(Debug)]
pub(super) struct RetryBudget {
    /// In parts of a retry: [`REQUESTS_PER_RETRY`] parts are one.
    parts: AtomicU32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { parts: AtomicU32::new(SAVED_FIRST * REQUESTS_PER_RETRY) }
    }
}

impl RetryBudget {
    /// A request comes for the first time.
    pub(super) fn earn(&self) {
        let add = |parts| (parts < SAVED_MAX * REQUESTS_PER_RETRY).then_some(parts + 1);
        // A full budget stays as it is.
        self.parts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok();
    }

    /// A request is to be tried again. `false`: there is nothing left.
    pub(super) fn spend(&self) -> bool {
        let take = |parts: u32| parts.checked_sub(REQUESTS_PER_RETRY);
        self.parts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many retries there are after so many requests.
    fn check(spent_first: u32, requests: u32, retries: u32) {
        let budget = RetryBudget::default();
        for _ in 0..spent_first {
            assert!(budget.spend());
        }
        for _ in 0..requests {
            budget.earn();
        }
        let found = (0..1_000).take_while(|_| budget.spend()).count();
        assert_eq!(found, usize::try_from(retries).expect("few"), "{spent_first} {requests}");
    }

    #[test]
    fn retries_are_a_tenth_of_requests() {
        check(0, 0, 10);
        check(10, 9, 0);
        check(10, 10, 1);
        check(10, 1_000, 50);
        check(0, 100, 20);
    }
}
