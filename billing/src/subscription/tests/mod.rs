//! Periods, states and fees of subscriptions, as a bookkeeper would write them down.
//! Never a database.
//! Run by `cargo test`.

mod fees;
mod periods;
mod states;

use domain::Timestamp;
use jiff::{civil::Date, tz::TimeZone};

use super::*;
use crate::plan::TrialUsage;

/// An instant from its text in UTC.
fn at(text: &str) -> Timestamp {
    let instant: jiff::Timestamp = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    Timestamp::from_unix_micros(instant.as_microsecond())
}

fn day(text: &str) -> Date {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn zone_of(name: &str) -> TimeZone {
    TimeZone::get(name).expect("a zone")
}

/// Midnight of a day in a zone.
fn midnight_of(text: &str, zone: &str) -> Timestamp {
    midnight(day(text), &zone_of(zone)).expect("an instant")
}

/// The local wall clock, with the time where it is not midnight.
fn local(instant: Timestamp, zone: &str) -> String {
    let instant = jiff::Timestamp::from_microsecond(instant.unix_micros()).expect("an instant");
    let zoned = instant.to_zoned_datetime(zone_of(zone));
    let is_midnight = zoned.time() == jiff::civil::Time::midnight();
    zoned.strftime(if is_midnight { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M" }).to_string()
}

/// A subscription that begins on a day, with what happens to it afterwards.
struct Story {
    zone: &'static str,
    cycle: Cycle,
    day: &'static str,
    /// The first day after a trial in which usage is free.
    trial_until: Option<&'static str>,
    then: Vec<(Timestamp, EventKind)>,
}

impl Story {
    fn new(cycle: Cycle, day: &'static str, zone: &'static str) -> Self {
        Self { zone, cycle, day, trial_until: None, then: Vec::new() }
    }

    fn until(self, trial_until: &'static str) -> Self {
        Self { trial_until: Some(trial_until), ..self }
    }

    fn and(mut self, at: Timestamp, kind: EventKind) -> Self {
        self.then.push((at, kind));
        self
    }

    fn end_of_trial(&self, text: &str) -> TrialEnd {
        TrialEnd { at: midnight_of(text, self.zone), day: day(text) }
    }

    fn terms(&self) -> Terms {
        let trial = self.trial_until.map(|text| (self.end_of_trial(text), TrialUsage::Free));
        let kind = EventKind::Start { cycle: self.cycle, day: day(self.day), trial };
        let start = Event { at: midnight_of(self.day, self.zone), kind };
        let then = self.then.iter().map(|(at, kind)| Event { at: *at, kind: kind.clone() });
        Terms::of([start].into_iter().chain(then))
    }

    fn timeline(&self, stored: Vec<StoredPeriod>) -> Timeline {
        Timeline::new(self.zone, self.terms(), stored).expect("a timeline")
    }
}
