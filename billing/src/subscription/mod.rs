//! Subscriptions: which periods a tenant is billed by, what it is subscribed to in them, and which fees that makes.
//! Never a database, a clock or an invoice line: the same events give the same periods and amounts.
//! The ledger stores events and periods; invoices and the gateway ask.

mod cycle;
mod facts;
mod fees;
mod proration;
mod terms;
mod timeline;

pub use cycle::Cycle;
pub use facts::{Advance, PeriodFacts, PlanSpan};
pub use fees::{Fee, FeeKind, Plans, Share, committed, fees};
pub use proration::Ruler;
pub use terms::{Event, EventKind, Pause, State, Term, Terms, TrialEnd};
pub use timeline::{BillingPeriod, PeriodKind, StoredPeriod, Timeline};

use domain::{Period, PeriodError, Timestamp};
use jiff::{civil::Date, tz::TimeZone};

/// The zone with this IANA name.
pub(crate) fn zone(name: &str) -> Result<TimeZone, PeriodError> {
    TimeZone::get(name).map_err(|_| PeriodError::BadZone(name.to_owned()))
}

/// The first instant of a day; where its midnight is left out, the first instant after the gap.
pub fn midnight(day: Date, zone: &TimeZone) -> Result<Timestamp, PeriodError> {
    let zoned = day.to_zoned_datetime(zone.clone()).map_err(|_| PeriodError::OutOfRange)?;
    Ok(Timestamp::from_unix_micros(zoned.timestamp().as_microsecond()))
}

/// The day of the local calendar that an instant falls in.
pub fn local_day(at: Timestamp, zone: &TimeZone) -> Result<Date, PeriodError> {
    let instant = jiff::Timestamp::from_microsecond(at.unix_micros()).map_err(|_| PeriodError::OutOfRange)?;
    Ok(instant.to_zoned_datetime(zone.clone()).date())
}

/// Days from one date to a later one.
fn days_between(from: Date, to: Date) -> u64 {
    u64::try_from(from.duration_until(to).as_hours() / 24).unwrap_or(0)
}

/// The instant one microsecond on.
pub(crate) fn just_after(at: Timestamp) -> Timestamp {
    Timestamp::from_unix_micros(at.unix_micros().saturating_add(1))
}

/// The calendar month of an instant in a zone.
fn month_of(at: Timestamp, zone: &str) -> Result<Period, PeriodError> {
    Period::month_of(at, zone)
}

#[cfg(test)]
mod tests;
