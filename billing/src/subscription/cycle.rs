//! Where the periods of a subscription begin and end: at the first of each month, or at the day it began on.
//! Never a date that drifts: every bound is reckoned from the first one, so the 31st comes back after February.
//! Called by `timeline`, once for each period; what it gives is stored.

use std::str::FromStr;

use domain::{PeriodError, Timestamp};
use jiff::{ToSpan as _, civil::Date, tz::TimeZone};

use super::{days_between, local_day, midnight};

/// Days in the longest month: bounds this far apart are a month apart at least.
const MONTH_DAYS_MAX: u64 = 31;

/// By what periods a subscription is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cycle {
    /// Months of the calendar; the first is cut where the subscription begins in the middle of one.
    Calendar,
    /// Months from the day on which it began; in a month without such a day, from its last day.
    Anniversary,
}

impl Cycle {
    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calendar => "calendar",
            Self::Anniversary => "anniversary",
        }
    }

    /// The bounds of the whole period that an instant falls in: its first instant and the first after it.
    ///
    /// `anchor` is the day on which the first period began.
    /// Errors: bounds beyond the years that have a calendar.
    pub(super) fn bounds(
        self,
        anchor: Date,
        at: Timestamp,
        zone: &TimeZone,
    ) -> Result<(Timestamp, Timestamp), PeriodError> {
        let first = match self {
            Self::Calendar => anchor.first_of_month(),
            Self::Anniversary => anchor,
        };
        let bound = |months: i64| {
            let span = months.months();
            midnight(first.checked_add(span).map_err(|_| PeriodError::OutOfRange)?, zone)
        };
        let day = local_day(at, zone)?;
        // A few months too early, then on to the first bound after the instant.
        let whole = (days_between(first, day) / MONTH_DAYS_MAX).saturating_sub(1);
        let mut months = i64::try_from(whole).map_err(|_| PeriodError::OutOfRange)?;
        while bound(months.saturating_add(1))? <= at {
            months = months.saturating_add(1);
        }
        Ok((bound(months)?, bound(months.saturating_add(1))?))
    }
}

impl FromStr for Cycle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Calendar, Self::Anniversary].into_iter().find(|cycle| cycle.as_str() == text);
        found.ok_or_else(|| format!("a cycle must be calendar or anniversary, not {text:?}"))
    }
}
