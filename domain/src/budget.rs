//! The windows over which a budget counts: a day, a week or a month of the tenant's calendar, or all time.
//! Never an amount and never a sum: it says from when until when.
//! Used by admission, which asks what was spent since a window's start, and by who shows budgets.

use std::{fmt, str::FromStr};

use jiff::{ToSpan as _, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{PeriodError, Timestamp};

/// How long a budget lasts before it begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetPeriod {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday, as ISO 8601 counts weeks.
    Week,
    /// From the first of a month to the first of the next.
    Month,
    /// It never begins anew.
    Ever,
}

/// A span in which spending counts against one budget: from `start` (included) to `end` (excluded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BudgetWindow {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it. `None`: it never ends.
    pub end: Option<Timestamp>,
}

impl BudgetPeriod {
    /// Every period, shortest first.
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Ever];

    /// The name on the command line, in SQL and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Ever => "ever",
        }
    }

    /// The window that an instant falls in, by the calendar of a zone.
    ///
    /// Midnights that a change of daylight saving time skips are the first instant of their day.
    /// Errors: an instant outside the years 1 to 9999.
    pub fn window(self, at: Timestamp, zone: &TimeZone) -> Result<BudgetWindow, PeriodError> {
        let instant = jiff::Timestamp::from_microsecond(at.unix_micros());
        let date = instant.map_err(|_| PeriodError::OutOfRange)?.to_zoned_datetime(zone.clone()).date();
        let (first, length) = match self {
            // No usage is older than 1970, and small numbers are easily compared.
            Self::Ever => return Ok(BudgetWindow { start: Timestamp::from_unix_micros(0), end: None }),
            Self::Day => (date, 1.day()),
            Self::Week => {
                let days = date.weekday().to_monday_zero_offset();
                (date.checked_sub(i64::from(days).days()).map_err(|_| PeriodError::OutOfRange)?, 1.week())
            }
            Self::Month => (date.first_of_month(), 1.month()),
        };
        let after = |date: Date| date.checked_add(length).map_err(|_| PeriodError::OutOfRange);
        let next = after(first)?;
        let (start, end) = (midnight(first, zone)?, midnight(next, zone)?);
        // Where clocks went back over midnight, the evening came again after the next day had begun.
        if end <= at {
            return Ok(BudgetWindow { start: end, end: Some(midnight(after(next)?, zone)?) });
        }
        Ok(BudgetWindow { start, end: Some(end) })
    }
}

fn midnight(date: Date, zone: &TimeZone) -> Result<Timestamp, PeriodError> {
    let zoned = date.to_zoned_datetime(zone.clone()).map_err(|_| PeriodError::OutOfRange)?;
    Ok(Timestamp::from_unix_micros(zoned.timestamp().as_microsecond()))
}

impl fmt::Display for BudgetPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no budget period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a budget's period must be day, week, month or ever")]
pub struct UnknownBudgetPeriod;

impl FromStr for BudgetPeriod {
    type Err = UnknownBudgetPeriod;

    fn from_str(text: &str) -> Result<Self, UnknownBudgetPeriod> {
        Self::ALL.into_iter().find(|period| period.as_str() == text).ok_or(UnknownBudgetPeriod)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(instant: &str) -> Timestamp {
        let instant: jiff::Timestamp = instant.parse().expect("an instant");
        Timestamp::from_unix_micros(instant.as_microsecond())
    }

    #[test]
    fn windows_follow_the_calendar_of_the_zone() {
        use BudgetPeriod::{Day, Month, Week};
        let rows = [
            // period, zone, an instant in it, its start, its end
            (Day, "UTC", "2026-11-10T00:00:00Z", "2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z"),
            (Day, "UTC", "2026-11-10T23:59:59.999999Z", "2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z"),
            // Daylight saving ends and begins in Berlin: days of 25 and of 23 hours.
            (Day, "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            (Day, "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            // There was no midnight in São Paulo on that day: it began at one.
            (
                Day,
                "America/Sao_Paulo",
                "2018-11-04T12:00:00Z",
                "2018-11-04T03:00:00Z",
                "2018-11-05T02:00:00Z",
            ),
            // Clocks went back from 00:01 to 23:01 of the day before, which had ended already.
            (Day, "America/St_Johns", "2010-11-07T02:40:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"),
            (Day, "Asia/Kathmandu", "2026-11-10T18:14:59Z", "2026-11-09T18:15:00Z", "2026-11-10T18:15:00Z"),
            // 2026 has 53 ISO weeks; the last begins on Monday the 28th of December.
            (Week, "UTC", "2027-01-01T12:00:00Z", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"),
            (Week, "UTC", "2026-12-28T00:00:00Z", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"),
            (Week, "UTC", "2026-12-27T23:59:59Z", "2026-12-21T00:00:00Z", "2026-12-28T00:00:00Z"),
            // The week in which daylight saving ends is an hour longer.
            (
                Week,
                "America/New_York",
                "2026-11-01T12:00:00Z",
                "2026-10-26T04:00:00Z",
                "2026-11-02T05:00:00Z",
            ),
            (Month, "Asia/Kolkata", "2028-02-29T18:29:59Z", "2028-01-31T18:30:00Z", "2028-02-29T18:30:00Z"),
            (Month, "Europe/Berlin", "2026-10-31T22:59:59Z", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"),
        ];
        for (period, zone, instant, start, end) in rows {
            let found = period.window(at(instant), &TimeZone::get(zone).expect("a zone")).expect("a window");
            let expected = BudgetWindow { start: at(start), end: Some(at(end)) };
            assert_eq!(
                found, expected,
                "{period} of {instant} in {zone}: {} to {:?}",
                found.start, found.end
            );
        }
        let ever = BudgetPeriod::Ever.window(at("2026-11-10T00:00:00Z"), &TimeZone::UTC);
        assert_eq!(ever, Ok(BudgetWindow { start: Timestamp::from_unix_micros(0), end: None }));
        for period in [Day, Week, Month] {
            assert!(period.window(Timestamp::from_unix_micros(i64::MAX), &TimeZone::UTC).is_err());
        }
    }

    #[test]
    fn periods_are_named() {
        for period in BudgetPeriod::ALL {
            assert_eq!(period.as_str().parse(), Ok(period));
        }
        for text in ["", "Day", "year", "months"] {
            assert_eq!(text.parse::<BudgetPeriod>(), Err(UnknownBudgetPeriod), "{text:?}");
        }
    }

    proptest! {
        /// Windows follow on without gap or overlap, and begin on quarters of hours.
        #[test]
        fn windows_tile_time(
            // From 1973, when the last zones had come to offsets of whole quarters, to 2100.
            second in 94_694_400_i64..4_102_444_800,
            period in prop_oneof![Just(BudgetPeriod::Day), Just(BudgetPeriod::Week), Just(BudgetPeriod::Month)],
            zone in prop_oneof![
                Just("UTC"), Just("Europe/Berlin"), Just("America/Sao_Paulo"), Just("Australia/Lord_Howe"),
                Just("Pacific/Apia"), Just("Asia/Kathmandu"), Just("America/St_Johns"), Just("Africa/Cairo"),
            ],
        ) {
            let zone = TimeZone::get(zone).expect("a zone");
            let at = Timestamp::from_unix_micros(second * 1_000_000);
            let window = period.window(at, &zone).expect("a window");
            let end = window.end.expect("an end");
            prop_assert!(window.start <= at && at < end);
            prop_assert_eq!(period.window(window.start, &zone), Ok(window));
            let before = Timestamp::from_unix_micros(window.start.unix_micros() - 1);
            prop_assert_eq!(period.window(before, &zone).expect("a window").end, Some(window.start));
            prop_assert_eq!(period.window(end, &zone).expect("a window").start, end);
        }
    }
}
