//! One limit of units per span of time as a leaky bucket, in whole numbers.
//! Never reads a clock and never locks: time is an argument, the owner holds the lock.
//! Called by `admit::limits` for what is limited per minute and per day.

use std::time::Duration;

/// So many units in so much time, drained evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admit) struct Quota {
    /// Units that fit at once, and that drain in one span.
    pub(in crate::admit) limit: u64,
    /// The span. Unit: microseconds.
    pub(in crate::admit) span_us: u64,
}

/// What has been used of a limit and not yet drained away.
///
/// The level is kept in units of one part in `span_us`, so that draining `limit` units per span is exact.
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

impl Quota {
    fn parts(&self, units: u64) -> u128 {
        u128::from(units) * u128::from(self.span_us)
    }

    /// Parts that drain in a time, of which one unit's are `span_us`.
    fn drained(&self, elapsed_us: u64) -> u128 {
        u128::from(elapsed_us) * u128::from(self.limit)
    }

    /// How long `parts` take to drain.
    fn draining_time(&self, parts: u128) -> Duration {
        micros(parts.div_ceil(u128::from(self.limit.max(1))))
    }
}

impl Bucket {
    /// A bucket that another process has filled to `level` parts and drained until now.
    pub(in crate::admit) fn at_level(level: u128) -> Self {
        Self { level, drained_at_us: 0 }
    }

    /// Lets drain away what time has freed since the last look.
    pub(in crate::admit) fn drain(&mut self, quota: Quota, now_us: u64) {
        let elapsed_us = now_us.saturating_sub(self.drained_at_us);
        self.level = self.level.saturating_sub(quota.drained(elapsed_us));
        self.drained_at_us = self.drained_at_us.max(now_us);
    }

    /// How long until `cost` fits; zero means it fits now, `None` means it never will.
    pub(in crate::admit) fn wait(&self, quota: Quota, cost: u64) -> Option<Duration> {
        let room = quota.parts(quota.limit.checked_sub(cost)?);
        Some(quota.draining_time(self.level.saturating_sub(room)))
    }

    /// Takes `cost`; the caller has seen that it fits.
    pub(in crate::admit) fn take(&mut self, quota: Quota, cost: u64) {
        self.level += quota.parts(cost);
    }

    /// Gives back what was taken and not used, `held_us` after it was taken.
    ///
    /// What has drained since counts as drained from this very taking, so that nothing frees room twice.
    pub(in crate::admit) fn give_back(&mut self, quota: Quota, taken: u64, unused: u64, held_us: u64) {
        let left = quota.parts(taken).saturating_sub(quota.drained(held_us));
        self.level = self.level.saturating_sub(left.min(quota.parts(unused)));
    }

    /// What clients are told.
    pub(in crate::admit) fn view(&self, quota: Quota) -> LimitView {
        let free = quota.parts(quota.limit).saturating_sub(self.level) / u128::from(quota.span_us.max(1));
        let remaining = u64::try_from(free).unwrap_or(quota.limit);
        LimitView { limit: quota.limit, remaining, reset: quota.draining_time(self.level) }
    }
}

fn micros(count: u128) -> Duration {
    Duration::from_micros(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: u64 = 1_000_000;

    fn per_minute(limit: u64) -> Quota {
        Quota { limit, span_us: 60 * SECOND_US }
    }

    #[test]
    fn a_full_bucket_frees_one_unit_at_a_time() {
        let (mut bucket, quota) = (Bucket::default(), per_minute(60));
        for _ in 0..60 {
            bucket.drain(quota, 0);
            assert_eq!(bucket.wait(quota, 1), Some(Duration::ZERO));
            bucket.take(quota, 1);
        }
        assert_eq!(bucket.wait(quota, 1), Some(Duration::from_secs(1)));
        assert_eq!(bucket.wait(quota, 30), Some(Duration::from_secs(30)));
        assert_eq!(bucket.wait(quota, 61), None);
        bucket.drain(quota, SECOND_US - 1);
        assert_eq!(bucket.wait(quota, 1), Some(Duration::from_micros(1)));
        bucket.drain(quota, SECOND_US);
        assert_eq!(bucket.wait(quota, 1), Some(Duration::ZERO));
        assert_eq!(bucket.view(quota), LimitView { limit: 60, remaining: 1, reset: Duration::from_secs(59) });
    }

    #[test]
    fn a_day_frees_as_evenly_as_a_minute() {
        let quota = Quota { limit: 24, span_us: 86_400 * SECOND_US };
        let mut bucket = Bucket::default();
        bucket.take(quota, 24);
        assert_eq!(bucket.wait(quota, 1), Some(Duration::from_secs(3_600)));
        bucket.drain(quota, 7_200 * SECOND_US);
        assert_eq!(bucket.view(quota).remaining, 2);
    }

    #[test]
    fn draining_in_steps_equals_draining_at_once() {
        let (mut steps, mut once, quota) = (Bucket::default(), Bucket::default(), per_minute(7));
        steps.take(quota, 7);
        once.take(quota, 7);
        for now in (0..=SECOND_US).step_by(37) {
            steps.drain(quota, now);
        }
        steps.drain(quota, SECOND_US);
        once.drain(quota, SECOND_US);
        assert_eq!(steps.level, once.level);
    }

    #[test]
    fn a_clock_that_steps_back_frees_nothing() {
        let (mut bucket, quota) = (Bucket::default(), per_minute(60));
        bucket.drain(quota, 10 * SECOND_US);
        bucket.take(quota, 60);
        bucket.drain(quota, 5 * SECOND_US);
        bucket.drain(quota, 10 * SECOND_US);
        assert_eq!(bucket.view(quota).remaining, 0);
    }

    #[test]
    fn what_was_not_used_comes_back() {
        let (mut bucket, quota) = (Bucket::default(), per_minute(100));
        bucket.take(quota, 100);
        bucket.give_back(quota, 100, 40, 0);
        assert_eq!(bucket.view(quota).remaining, 40);
        bucket.give_back(quota, 1_000, 1_000, 0);
        assert_eq!(bucket.view(quota).remaining, 100);
    }

    #[test]
    fn what_has_drained_does_not_come_back() {
        // Taken, unused, seconds held at 60 per minute; expected: what comes back.
        for (taken, unused, seconds, expected) in
            [(10, 9, 0, 9), (10, 9, 4, 6), (10, 2, 4, 2), (10, 9, 20, 0)]
        {
            let (mut bucket, quota) = (Bucket::default(), per_minute(60));
            bucket.take(quota, 60);
            bucket.give_back(quota, taken, unused, seconds * SECOND_US);
            assert_eq!(bucket.view(quota).remaining, expected, "{taken} {unused} {seconds}");
        }
    }

    #[test]
    fn a_limit_of_zero_never_admits() {
        let quota = per_minute(0);
        assert_eq!(Bucket::default().wait(quota, 1), None);
        assert_eq!(Bucket::default().view(quota).remaining, 0);
    }
}
