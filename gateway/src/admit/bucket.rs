//! One limit per minute as a leaky bucket, in whole numbers.
//! Never reads a clock and never locks: time is an argument, the owner holds the lock.
//! Called by `admit::limits` for requests per minute and tokens per minute.

use std::time::Duration;

/// Microseconds in the minute that limits are stated for.
const MINUTE_US: u128 = 60_000_000;

/// What has been used of a limit and not yet drained away.
///
/// The level is kept in units of 1/60,000,000 so that draining `limit` units per minute is exact.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::admit) struct Bucket {
    level: u128,
    drained_at_us: u64,
}

/// A look at a limit at one moment, as clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitView {
    /// Units per minute.
    pub limit: u64,
    /// Units that could be taken now.
    pub remaining: u64,
    /// Until the whole limit is free again.
    pub reset: Duration,
}

impl Bucket {
    /// Lets drain away what time has freed since the last look.
    pub(in crate::admit) fn drain(&mut self, limit: u64, now_us: u64) {
        let elapsed = u128::from(now_us.saturating_sub(self.drained_at_us));
        self.level = self.level.saturating_sub(elapsed * u128::from(limit));
        self.drained_at_us = self.drained_at_us.max(now_us);
    }

    /// How long until `cost` fits; zero means it fits now, `None` means it never will.
    pub(in crate::admit) fn wait(&self, limit: u64, cost: u64) -> Option<Duration> {
        if cost > limit {
            return None;
        }
        let room = u128::from(limit - cost) * MINUTE_US;
        let excess = self.level.saturating_sub(room);
        Some(micros(excess.div_ceil(u128::from(limit.max(1)))))
    }

    /// Takes `cost`; the caller has seen that it fits.
    pub(in crate::admit) fn take(&mut self, cost: u64) {
        self.level += u128::from(cost) * MINUTE_US;
    }

    /// Gives back what was taken and not used, `held_us` after it was taken.
    ///
    /// What has drained since counts as drained from this very taking, so that nothing frees room twice.
    pub(in crate::admit) fn give_back(&mut self, taken: u64, unused: u64, limit: u64, held_us: u64) {
        let drained = u128::from(held_us) * u128::from(limit);
        let left = (u128::from(taken) * MINUTE_US).saturating_sub(drained);
        self.level = self.level.saturating_sub(left.min(u128::from(unused) * MINUTE_US));
    }

    /// What clients are told.
    pub(in crate::admit) fn view(&self, limit: u64) -> LimitView {
        let free = (u128::from(limit) * MINUTE_US).saturating_sub(self.level) / MINUTE_US;
        let reset = micros(self.level.div_ceil(u128::from(limit.max(1))));
        LimitView { limit, remaining: u64::try_from(free).unwrap_or(limit), reset }
    }
}

fn micros(count: u128) -> Duration {
    Duration::from_micros(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: u64 = 1_000_000;

    #[test]
    fn a_full_bucket_frees_one_unit_at_a_time() {
        let mut bucket = Bucket::default();
        for _ in 0..60 {
            bucket.drain(60, 0);
            assert_eq!(bucket.wait(60, 1), Some(Duration::ZERO));
            bucket.take(1);
        }
        assert_eq!(bucket.wait(60, 1), Some(Duration::from_secs(1)));
        assert_eq!(bucket.wait(60, 30), Some(Duration::from_secs(30)));
        assert_eq!(bucket.wait(60, 61), None);
        bucket.drain(60, SECOND_US - 1);
        assert_eq!(bucket.wait(60, 1), Some(Duration::from_micros(1)));
        bucket.drain(60, SECOND_US);
        assert_eq!(bucket.wait(60, 1), Some(Duration::ZERO));
        assert_eq!(bucket.view(60), LimitView { limit: 60, remaining: 1, reset: Duration::from_secs(59) });
    }

    #[test]
    fn draining_in_steps_equals_draining_at_once() {
        let (mut steps, mut once) = (Bucket::default(), Bucket::default());
        steps.take(7);
        once.take(7);
        for now in (0..=SECOND_US).step_by(37) {
            steps.drain(7, now);
        }
        steps.drain(7, SECOND_US);
        once.drain(7, SECOND_US);
        assert_eq!(steps.level, once.level);
    }

    #[test]
    fn a_clock_that_steps_back_frees_nothing() {
        let mut bucket = Bucket::default();
        bucket.drain(60, 10 * SECOND_US);
        bucket.take(60);
        bucket.drain(60, 5 * SECOND_US);
        bucket.drain(60, 10 * SECOND_US);
        assert_eq!(bucket.view(60).remaining, 0);
    }

    #[test]
    fn what_was_not_used_comes_back() {
        let mut bucket = Bucket::default();
        bucket.take(100);
        bucket.give_back(100, 40, 100, 0);
        assert_eq!(bucket.view(100).remaining, 40);
        bucket.give_back(1_000, 1_000, 100, 0);
        assert_eq!(bucket.view(100).remaining, 100);
    }

    #[test]
    fn what_has_drained_does_not_come_back() {
        // Taken, unused, seconds held at 60 per minute; expected: what comes back.
        for (taken, unused, seconds, expected) in
            [(10, 9, 0, 9), (10, 9, 4, 6), (10, 2, 4, 2), (10, 9, 20, 0)]
        {
            let mut bucket = Bucket::default();
            bucket.take(60);
            bucket.give_back(taken, unused, 60, seconds * SECOND_US);
            assert_eq!(bucket.view(60).remaining, expected, "{taken} {unused} {seconds}");
        }
    }

    #[test]
    fn a_limit_of_zero_never_admits() {
        assert_eq!(Bucket::default().wait(0, 1), None);
        assert_eq!(Bucket::default().view(0).remaining, 0);
    }
}
