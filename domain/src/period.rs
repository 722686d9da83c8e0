//! Billing periods: half-open spans of time with the zone they were computed in.
//! Never derived twice: a period is computed once here, then stored by its bounds.
//! Used by rating and invoices.

use jiff::{ToSpan, civil::Date, tz::TimeZone};

use crate::Timestamp;

/// Calendars have no year before it, though the arithmetic of dates does.
const YEAR_MIN: i16 = 1;

/// Why a period could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// Not `YYYY-MM`.
    #[error("a period must be a month such as 2026-11, not {0:?}")]
    BadMonth(String),
    /// Not a name of the IANA time zone database.
    #[error("{0:?} is not an IANA time zone such as Europe/Berlin")]
    BadZone(String),
    /// The end is not after the start, or the date is out of range.
    #[error("a period must end after it starts, and begin and end within the years 1 to 9999")]
    OutOfRange,
}

/// A span of time: from `start` (included) to `end` (excluded), and the zone its bounds were drawn in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    start: Timestamp,
    end: Timestamp,
    zone: String,
}

impl Period {
    /// A period between two instants that were stored.
    ///
    /// Errors: an end that is not after the start, an unknown zone.
    pub fn new(start: Timestamp, end: Timestamp, zone: &str) -> Result<Self, PeriodError> {
        TimeZone::get(zone).map_err(|_| PeriodError::BadZone(zone.to_owned()))?;
        if end <= start {
            return Err(PeriodError::OutOfRange);
        }
        Ok(Self { start, end, zone: zone.to_owned() })
    }

    /// Whole days in an IANA zone: from local midnight of the first to local midnight of the day after the last.
    ///
    /// Errors: an unknown zone, an end that is not after the start, days outside the years 1 to 9999.
    pub fn days(from: Date, to: Date, zone: &str) -> Result<Self, PeriodError> {
        let found = TimeZone::get(zone).map_err(|_| PeriodError::BadZone(zone.to_owned()))?;
        let instant = |day: Date| {
            let zoned = day.to_zoned_datetime(found.clone()).ok().filter(|_| day.year() >= YEAR_MIN);
            let zoned = zoned.ok_or(PeriodError::OutOfRange)?;
            Ok::<_, PeriodError>(Timestamp::from_unix_micros(zoned.timestamp().as_microsecond()))
        };
        Self::new(instant(from)?, instant(to)?, zone)
    }

    /// The calendar month `YYYY-MM` in an IANA zone, from local midnight to local midnight.
    ///
    /// Errors: a text that is no month, an unknown zone, a month outside the years 1 to 9999.
    pub fn month(month: &str, zone: &str) -> Result<Self, PeriodError> {
        let bad = || PeriodError::BadMonth(month.to_owned());
        let (year, number) = month.split_once('-').ok_or_else(bad)?;
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if year.len() != 4 || number.len() != 2 || !is_digits(year) || !is_digits(number) {
            return Err(bad());
        }
        let year: i16 = year.parse().map_err(|_| bad())?;
        let number: i8 = number.parse().map_err(|_| bad())?;
        let first = Date::new(year, number, 1).map_err(|_| bad())?;
        Self::month_from(first, zone)
    }

    /// The calendar month that `at` falls in.
    ///
    /// Errors: an unknown zone.
    pub fn month_of(at: Timestamp, zone: &str) -> Result<Self, PeriodError> {
        let instant =
            jiff::Timestamp::from_microsecond(at.unix_micros()).map_err(|_| PeriodError::OutOfRange)?;
        let zone_found = TimeZone::get(zone).map_err(|_| PeriodError::BadZone(zone.to_owned()))?;
        Self::month_from(instant.to_zoned_datetime(zone_found).date().first_of_month(), zone)
    }

    fn month_from(first: Date, zone: &str) -> Result<Self, PeriodError> {
        let next = first.checked_add(1.month()).map_err(|_| PeriodError::OutOfRange)?;
        Self::days(first, next, zone)
    }

    /// The first instant in it.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// The first instant after it.
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// The IANA zone its bounds were drawn in.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// Whether an instant falls in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_the_zone() {
        let day = |text: &str| text.parse::<Date>().expect("a day");
        let days = |from, to| Period::days(day(from), day(to), "Europe/Berlin");
        let summer = days("2026-03-28", "2026-03-30").expect("two days");
        assert_eq!(
            (summer.start().to_string(), summer.end().to_string()),
            ("2026-03-27T23:00:00Z".to_owned(), "2026-03-29T22:00:00Z".to_owned())
        );
        assert_eq!(days("2026-11-01", "2026-12-01"), Period::month("2026-11", "Europe/Berlin"));
        assert_eq!(days("2026-11-01", "2026-11-01"), Err(PeriodError::OutOfRange));
        assert_eq!(days("2026-11-02", "2026-11-01"), Err(PeriodError::OutOfRange));
        assert!(Period::days(day("2026-11-01"), day("2026-11-02"), "Europe/Nowhere").is_err());
    }

    #[test]
    fn months_follow_the_zone() {
        let rows = [
            ("2026-11", "UTC", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            // Daylight saving ends inside: the month is an hour longer than 31 days.
            ("2026-10", "Europe/Berlin", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"),
            ("2026-12", "America/New_York", "2026-12-01T05:00:00Z", "2027-01-01T05:00:00Z"),
            ("2028-02", "Asia/Kolkata", "2028-01-31T18:30:00Z", "2028-02-29T18:30:00Z"),
        ];
        for (month, zone, start, end) in rows {
            let period = Period::month(month, zone).expect("a good period");
            assert_eq!((period.start().to_string(), period.end().to_string()), (start.into(), end.into()));
            assert_eq!(Period::month_of(period.start(), zone).as_ref(), Ok(&period));
            assert!(period.contains(period.start()) && !period.contains(period.end()));
        }
    }

    #[test]
    fn refuses_what_is_no_month() {
        for month in ["", "2026", "2026-13", "2026-00", "26-11", "2026-1", "2026-11-01", "+026-11"] {
            assert!(Period::month(month, "UTC").is_err(), "{month:?}");
        }
        for month in ["0000-01", "0000-12", "9999-12"] {
            assert_eq!(Period::month(month, "UTC"), Err(PeriodError::OutOfRange), "{month:?}");
        }
        assert!(Period::month("0001-01", "UTC").is_ok() && Period::month("9999-11", "UTC").is_ok());
        let before = Period::month("0001-01", "UTC").expect("a month").start().unix_micros() - 1;
        let before = Period::month_of(Timestamp::from_unix_micros(before), "UTC");
        assert_eq!(before, Err(PeriodError::OutOfRange));
        assert!(matches!(Period::month("2026-11", "Mars/Base"), Err(PeriodError::BadZone(_))));
    }
}
