//! Measures parts of a period in whole days or seconds.
//! Never a rounding of money: that is `ExactAmount::share_of_period`.
//! Called by `fees`.

use domain::{PeriodError, Timestamp};
use jiff::tz::TimeZone;

use super::{days_between, local_day};
use crate::plan::Proration;

const SECOND_US: i64 = 1_000_000;

/// A whole period with marks at every day or second.
#[derive(Clone, Debug)]
pub struct Ruler<'a> {
    zone: &'a TimeZone,
    start: Timestamp,
    end: Timestamp,
}

impl<'a> Ruler<'a> {
    /// Over a whole period.
    pub fn new(zone: &'a TimeZone, start: Timestamp, end: Timestamp) -> Self {
        Self { zone, start, end }
    }

    /// How many marks the period has.
    pub fn whole(&self, proration: Proration) -> Result<u64, PeriodError> {
        self.mark(self.end, proration)
    }

    /// The last mark that is not after an instant, counted from the beginning. Instants outside count as the ends.
    ///
    /// By days, a change counts from the beginning of its day; by seconds, from the beginning of its second. Amounts
    /// that are not divided have one mark, at their end.
    pub fn mark(&self, at: Timestamp, proration: Proration) -> Result<u64, PeriodError> {
        let at = at.clamp(self.start, self.end);
        match proration {
            Proration::Day => Ok(days_between(local_day(self.start, self.zone)?, local_day(at, self.zone)?)),
            Proration::Second => {
                let passed = at.unix_micros().saturating_sub(self.start.unix_micros());
                u64::try_from(passed / SECOND_US).map_err(|_| PeriodError::OutOfRange)
            }
            Proration::None => Ok(u64::from(at == self.end)),
        }
    }
}
