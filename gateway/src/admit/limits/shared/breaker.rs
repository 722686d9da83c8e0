//! Keeps requests from waiting for a Redis that does not answer.
//! Never knows Redis: it counts failures and says who may try.
//! Asked before each call, told after it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::super::now::Now;

/// Failures in a row after which nobody waits any more. One is a lost packet; five are not.
const FAILURES_MAX: u32 = 5;
/// How long the first break lasts; a restart of Redis takes about this.
const BREAK_MIN: Duration = Duration::from_millis(500);
/// How long a break lasts at most: so late a Redis that is back is noticed.
const BREAK_MAX: Duration = Duration::from_secs(8);

/// Whether calls are let through.
#[derive(Debug)]
pub(super) struct Breaker {
    now: Now,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Breaks since the last success.
    breaks: u32,
    /// When a probe is let through; `None` while closed. Unit: microseconds.
    until_us: Option<u64>,
    is_probing: bool,
}

/// A call that was let through. Dropped without a word, it says nothing of Redis.
#[must_use = "say how the call went"]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
    is_told: bool,
}

impl Breaker {
    pub(super) fn new(now: Now) -> Self {
        Self { now, state: Mutex::default() }
    }

    /// Lets a call through, or says when the next one is.
    pub(super) fn pass(&self) -> Result<Pass<'_>, Duration> {
        let mut state = self.locked();
        let is_probe = match state.until_us {
            None => false,
            Some(until_us) => {
                let wait_us = until_us.saturating_sub(self.now.micros());
                if wait_us > 0 || state.is_probing {
                    return Err(Duration::from_micros(wait_us).max(BREAK_MIN / 2));
                }
                state.is_probing = true;
                true
            }
        };
        Ok(Pass { breaker: self, is_probe, is_told: false })
    }

    /// Whether nobody waits for Redis.
    pub(super) fn is_open(&self) -> bool {
        self.locked().until_us.is_some()
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        // Counters are right after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// Redis answered. True: it had been away.
    pub(super) fn succeeded(mut self) -> bool {
        self.is_told = true;
        let mut state = self.breaker.locked();
        let was_open = state.until_us.is_some();
        // The answer to a call from before the break does not end it: only a probe does.
        if !was_open || self.is_probe {
            *state = State::default();
        }
        was_open && self.is_probe
    }

    /// Redis did not answer. True: from now on nobody waits.
    pub(super) fn failed(mut self) -> bool {
        self.is_told = true;
        let now_us = self.breaker.now.micros();
        let mut state = self.breaker.locked();
        state.failures = state.failures.saturating_add(1);
        let was_open = state.until_us.is_some();
        if self.is_probe || (!was_open && state.failures >= FAILURES_MAX) {
            let span = BREAK_MIN.saturating_mul(1 << state.breaks.min(8)).min(BREAK_MAX);
            state.breaks = state.breaks.saturating_add(1);
            state.until_us = Some(now_us.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)));
            state.is_probing = false;
        }
        !was_open && state.until_us.is_some()
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_probe && !self.is_told {
            self.breaker.locked().is_probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    fn breaker() -> (Breaker, Arc<AtomicU64>) {
        let hand = Arc::new(AtomicU64::new(0));
        (Breaker::new(Now::Hand(Arc::clone(&hand))), hand)
    }

    fn pass(breaker: &Breaker) -> Pass<'_> {
        breaker.pass().unwrap_or_else(|wait| panic!("closed for {wait:?}"))
    }

    #[test]
    fn it_opens_after_failures_in_a_row() {
        let (breaker, _hand) = breaker();
        for _ in 1..FAILURES_MAX {
            assert!(!pass(&breaker).failed());
        }
        assert!(!pass(&breaker).succeeded());
        for _ in 1..FAILURES_MAX {
            assert!(!pass(&breaker).failed(), "the row begins again");
        }
        assert!(pass(&breaker).failed());
        assert_eq!(breaker.pass().err(), Some(BREAK_MIN));
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let (breaker, hand) = breaker();
        for _ in 0..FAILURES_MAX {
            pass(&breaker).failed();
        }
        let late = Duration::from_secs(1);
        for span in [1, 2, 4, 8, 16, 16, 16].map(|times| BREAK_MIN * times) {
            hand.fetch_add(u64::try_from(span.as_micros()).expect("a while") - 1, Ordering::SeqCst);
            assert!(breaker.pass().is_err(), "not before {span:?}");
            hand.fetch_add(1, Ordering::SeqCst);
            drop(pass(&breaker));
            let probe = pass(&breaker);
            assert!(breaker.pass().is_err(), "one at a time");
            assert!(!probe.failed(), "it was open already");
        }
        hand.fetch_add(u64::try_from((BREAK_MAX + late).as_micros()).expect("a while"), Ordering::SeqCst);
        assert!(pass(&breaker).succeeded());
        assert!(!breaker.is_open());
        assert!(!pass(&breaker).succeeded());
    }

    #[test]
    fn an_answer_from_before_the_break_does_not_end_it() {
        let (breaker, _hand) = breaker();
        let early = pass(&breaker);
        for _ in 0..FAILURES_MAX {
            pass(&breaker).failed();
        }
        assert!(!early.succeeded());
        assert!(breaker.is_open());
    }
}
