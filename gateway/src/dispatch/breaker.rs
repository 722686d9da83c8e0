//! Stops asking a target that keeps failing, and finds out with single requests when it works again.
//! Never reads a clock: instants are arguments; never decides where a request goes instead.
//! One for each target; asked by `route`, told by the exchanges and the health probe.

use std::time::{Duration, Instant};

/// Failures one after another that open it. One may be chance, three in a row are a sign.
pub(super) const FAILURES_MAX: u32 = 3;
/// How long it stays open at first.
pub(super) const OPEN_FIRST: Duration = Duration::from_secs(1);
/// How long it stays open at most; each trial that fails doubles the time.
pub(super) const OPEN_MAX: Duration = Duration::from_secs(30);

/// Whether a target is to be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Breaker {
    /// It works, as far as is known.
    #[default]
    Closed,
    /// It failed this often, one time after another, and is still asked.
    Failing(u32),
    /// It is not asked before `until`.
    Open {
        /// When one request may try.
        until: Instant,
        /// How long it was closed off this time.
        wait: Duration,
    },
    /// One request tries it; all others stay away.
    Trying {
        /// When the trial is taken for lost, should nobody tell its outcome.
        until: Instant,
        /// How long it was closed off before.
        wait: Duration,
    },
}

impl Breaker {
    /// Whether a request may go there.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        match self {
            Self::Closed | Self::Failing(_) => true,
            Self::Open { until, .. } | Self::Trying { until, .. } => now >= *until,
        }
    }

    /// A request goes there.
    pub(super) fn begin(&mut self, now: Instant) {
        match *self {
            Self::Closed | Self::Failing(_) => {}
            Self::Open { wait, .. } | Self::Trying { wait, .. } => {
                *self = Self::Trying { until: now + OPEN_MAX, wait };
            }
        }
    }

    /// It answered.
    pub(super) fn succeed(&mut self) {
        *self = Self::Closed;
    }

    /// It failed.
    pub(super) fn fail(&mut self, now: Instant) {
        *self = match *self {
            Self::Closed if FAILURES_MAX > 1 => Self::Failing(1),
            Self::Failing(count) if count + 1 < FAILURES_MAX => Self::Failing(count + 1),
            Self::Closed | Self::Failing(_) => Self::Open { until: now + OPEN_FIRST, wait: OPEN_FIRST },
            // A request that was under way when it opened says nothing new.
            Self::Open { until, wait } if now < until => Self::Open { until, wait },
            Self::Open { wait, .. } | Self::Trying { wait, .. } => {
                let wait = wait.saturating_mul(2).min(OPEN_MAX);
                Self::Open { until: now + wait, wait }
            }
        };
    }

    /// A request ended without saying whether the target works: its client left.
    pub(super) fn forget(&mut self, now: Instant) {
        if let Self::Trying { wait, .. } = *self {
            *self = Self::Open { until: now, wait };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Do {
        Wait(u64),
        Begin,
        Succeed,
        Fail,
        Forget,
    }

    /// What happens, and whether a request may go there afterwards.
    fn check(steps: &[Do], is_usable: bool) {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        for step in steps {
            match step {
                Do::Wait(ms) => now += Duration::from_millis(*ms),
                Do::Begin => breaker.begin(now),
                Do::Succeed => breaker.succeed(),
                Do::Fail => breaker.fail(now),
                Do::Forget => breaker.forget(now),
            }
        }
        assert_eq!(breaker.is_usable(now), is_usable, "{steps:?}: {breaker:?}");
    }

    #[test]
    fn it_opens_after_failures_in_a_row() {
        use Do::{Begin, Fail, Forget, Succeed, Wait};
        check(&[], true);
        check(&[Begin, Fail, Begin, Fail], true);
        check(&[Begin, Fail, Begin, Fail, Begin, Succeed, Fail, Fail], true);
        check(&[Fail, Fail, Fail], false);
        check(&[Fail, Fail, Fail, Wait(999)], false);
        check(&[Fail, Fail, Fail, Wait(1_000)], true);
        // One trial at a time.
        check(&[Fail, Fail, Fail, Wait(1_000), Begin], false);
        check(&[Fail, Fail, Fail, Wait(1_000), Begin, Succeed], true);
        // A trial that fails doubles the wait; failures of older requests do not.
        check(&[Fail, Fail, Fail, Wait(1_000), Begin, Fail, Wait(1_999)], false);
        check(&[Fail, Fail, Fail, Wait(1_000), Begin, Fail, Wait(2_000)], true);
        check(&[Fail, Fail, Fail, Fail, Fail, Fail, Wait(1_000)], true);
        // A trial whose client left proves nothing; a trial that nobody ends is lost.
        check(&[Fail, Fail, Fail, Wait(1_000), Begin, Forget], true);
        check(&[Fail, Fail, Fail, Wait(1_000), Begin, Wait(30_000)], true);
        check(&[Begin, Forget], true);
    }

    #[test]
    fn the_wait_is_bounded() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            breaker.fail(now);
            now += OPEN_MAX;
        }
        breaker.fail(now);
        assert!(!breaker.is_usable(now + OPEN_MAX - Duration::from_millis(1)));
        assert!(breaker.is_usable(now + OPEN_MAX));
    }
}
