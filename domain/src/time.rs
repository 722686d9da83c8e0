//! Points in time, and the clock everything asks.
//! Never the machine's time directly: code takes a [`Clock`], tests move one by hand.
//! Used by the gateway, the journal, the ledger and the tests.

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A point in time. Unit: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the epoch.
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// The whole hour it falls in, in hours since the epoch.
    pub const fn unix_hour(self) -> i64 {
        self.0.div_euclid(3_600_000_000)
    }

    /// The whole quarter of an hour it falls in, in quarters since the epoch.
    ///
    /// Every zone's days begin on a quarter of an hour, so that sums by quarter give sums by day, week and month.
    pub const fn unix_quarter(self) -> i64 {
        self.0.div_euclid(900_000_000)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => timestamp.fmt(f),
            Err(_) => write!(f, "{} µs since 1970", self.0),
        }
    }
}

/// Where the time of day comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp(micros)
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    pub const fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves the clock.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_as_rfc_3339() {
        assert_eq!(Timestamp::from_unix_micros(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_unix_micros(-1).unix_hour(), -1);
        assert_eq!(Timestamp::from_unix_micros(3_600_000_000).unix_hour(), 1);
        for (micros, quarter) in [(-1, -1), (0, 0), (899_999_999, 0), (900_000_000, 1)] {
            assert_eq!(Timestamp::from_unix_micros(micros).unix_quarter(), quarter, "{micros}");
        }
    }

    #[test]
    fn a_manual_clock_moves_by_hand() {
        let clock = ManualClock::new(Timestamp::from_unix_micros(1));
        clock.set(Timestamp::from_unix_micros(5));
        assert_eq!(clock.now(), Timestamp::from_unix_micros(5));
    }
}
