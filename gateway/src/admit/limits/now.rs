//! The time a store in this process goes by.
//! Never steps back: what drains and expires goes by the machine's uptime, only texts by the time of day.
//! Read by the store in this process and by the breaker of the shared one.

use std::time::Instant;

use domain::{Clock as _, SystemClock, Timestamp};

/// A clock that counts from when it was made.
#[derive(Clone, Debug)]
pub(super) enum Now {
    /// The machine's.
    Machine {
        /// When it was made.
        origin: Instant,
    },
    /// One that tests move.
    #[cfg(test)]
    Hand(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

impl Now {
    pub(super) fn machine() -> Self {
        Self::Machine { origin: Instant::now() }
    }

    /// Microseconds since it was made.
    pub(super) fn micros(&self) -> u64 {
        match self {
            Self::Machine { origin } => u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX),
            #[cfg(test)]
            Self::Hand(micros) => micros.load(std::sync::atomic::Ordering::SeqCst),
        }
    }

    /// The time of day.
    pub(super) fn time_of_day(&self) -> Timestamp {
        match self {
            Self::Machine { .. } => SystemClock.now(),
            #[cfg(test)]
            Self::Hand(_) => Timestamp::from_unix_micros(i64::try_from(self.micros()).unwrap_or(i64::MAX)),
        }
    }
}
