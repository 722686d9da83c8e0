//! Which periods a tenant is billed by, and what was so in each: plans, pauses, what is billed ahead.
//! Never an amount.
//! Used by the auditor, and by the world to know whose period is over and who may be served.
//!
//! Days are counted one by one and months by their number, so that nothing rests on the arithmetic of a calendar.

use domain::TenantId;
use jiff::{civil::Date, tz::TimeZone};

use super::known::{Known, Person, Term};
use crate::{act::Instant, reader::Paper};

/// A billing period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) kind: &'static str,
    /// The whole period that it is a part of.
    pub(crate) full: (Instant, Instant),
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    /// Of a trial: whether usage costs nothing.
    pub(crate) is_free: bool,
}

/// A part of a period under one plan, paused or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
    pub(crate) plan: Option<String>,
    pub(crate) is_paused: bool,
}

/// What fees follow from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) span: Span,
    pub(crate) stays: Vec<Stay>,
    /// The next period and the plan whose fee is due before it begins.
    pub(crate) ahead: Option<(Span, String)>,
}

pub(crate) fn midnight(day: Date, zone: &TimeZone) -> Instant {
    let start = day
        .to_zoned_datetime(zone.clone())
        .and_then(|zoned| zoned.start_of_day())
        .expect("a day of the calendar");
    start.timestamp().as_microsecond()
}

pub(crate) fn day_of(at: Instant, zone: &TimeZone) -> Date {
    jiff::Timestamp::from_microsecond(at).expect("an instant").to_zoned_datetime(zone.clone()).date()
}

pub(crate) fn days_after(day: Date, days: u32) -> Date {
    (0..days).fold(day, |day, _| day.tomorrow().expect("another day"))
}

/// So many months after a day; in a shorter month its last day.
fn months_after(first: Date, months: i32) -> Date {
    let number = i32::from(first.year()) * 12 + i32::from(first.month()) - 1 + months;
    let year = i16::try_from(number.div_euclid(12)).expect("a year");
    let month = i8::try_from(number.rem_euclid(12) + 1).expect("a month");
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i8::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    Date::new(year, month, first.day().min(last)).expect("a day of the calendar")
}

/// The calendar month that an instant falls in.
fn month_at(at: Instant, zone: &TimeZone) -> (Instant, Instant) {
    let day = day_of(at, zone);
    let first = Date::new(day.year(), day.month(), 1).expect("a first");
    (midnight(first, zone), midnight(months_after(first, 1), zone))
}

fn runs(term: &Term, at: Instant) -> bool {
    term.start <= at && term.end.is_none_or(|end| at < end)
}

/// The subscription that runs at an instant.
pub(crate) fn term_at(person: &Person, at: Instant) -> Option<&Term> {
    person.terms.iter().find(|term| runs(term, at))
}

pub(crate) fn is_paused(term: &Term, at: Instant) -> bool {
    term.pauses.iter().any(|(from, to)| *from <= at && to.is_none_or(|to| at < to))
}

/// Whether requests are refused: paused, or over and no other begun.
pub(crate) fn is_served(person: &Person, at: Instant) -> bool {
    match term_at(person, at) {
        Some(term) => !is_paused(term, at),
        None => !person.terms.iter().any(|term| term.end.is_some_and(|end| end <= at)),
    }
}

/// The period that an instant falls in.
pub(crate) fn period_at(person: &Person, at: Instant) -> Span {
    match term_at(person, at) {
        Some(term) => within(person, term, at),
        None => outside(person, at),
    }
}

/// A month without subscription: the part that no subscription takes.
fn outside(person: &Person, at: Instant) -> Span {
    let full = month_at(at, &person.zone);
    let lasting = || person.terms.iter().filter(|term| term.end.is_none_or(|end| term.start < end));
    let before = lasting().filter_map(|term| term.end).filter(|end| *end <= at).max();
    let next = lasting().map(|term| term.start).filter(|start| at < *start).min();
    Span {
        kind: if before.is_some() { "after" } else { "before" },
        full,
        start: before.map_or(full.0, |end| end.max(full.0)),
        end: next.map_or(full.1, |start| start.min(full.1)),
        is_free: false,
    }
}

/// Goes from the beginning of a subscription to the period that holds an instant.
fn within(person: &Person, term: &Term, at: Instant) -> Span {
    let zone = &person.zone;
    let cut = |end: Instant| term.end.map_or(end, |over| over.min(end));
    let mut start = term.start;
    // A trial ends where it was last said to; one that got longer after it began goes on in a period of its own.
    if let Some((_, last)) = term.trial_ends.last() {
        let last = midnight(*last, zone);
        while start < last {
            let said = term
                .trial_ends
                .iter()
                .rev()
                .find(|(noted, _)| *noted <= start)
                .unwrap_or(&term.trial_ends[0]);
            let planned = midnight(said.1, zone);
            let end = planned.min(last);
            if at < cut(end) {
                let full = (start, planned);
                return Span { kind: "trial", full, start, end: cut(end), is_free: term.is_trial_free };
            }
            start = end;
        }
    }
    let anchor = term.trial_ends.last().map_or(term.day, |(_, day)| *day);
    let first = match term.is_anniversary {
        true => anchor,
        false => Date::new(anchor.year(), anchor.month(), 1).expect("a first"),
    };
    for months in 0.. {
        let full =
            (midnight(months_after(first, months), zone), midnight(months_after(first, months + 1), zone));
        let end = cut(full.1);
        if at < end {
            return Span { kind: "regular", full, start: start.max(full.0), end, is_free: false };
        }
    }
    unreachable!("months never end")
}

/// The version of a tenant's plan that applies at an instant, without what was published later.
pub(crate) fn in_force(known: &Known, tenant: TenantId, at: Instant) -> Option<&Paper> {
    let person = known.person(tenant);
    let (_, name) = person.plans.iter().rev().find(|(since, _)| *since <= at)?;
    let applies = |paper: &Paper| paper.effective.is_none_or(|day| midnight(day, &person.zone) <= at);
    let published = known.published.iter().filter(|published| published.at <= at);
    let papers =
        published.map(|published| &published.paper).filter(|paper| paper.name == *name && applies(paper));
    papers.max_by_key(|paper| paper.version)
}

/// What was so in the period that holds an instant; nothing for a tenant that never had a subscription.
pub(crate) fn facts_at(known: &Known, tenant: TenantId, at: Instant) -> Option<Facts> {
    let person = known.person(tenant);
    if person.terms.is_empty() {
        return None;
    }
    let span = period_at(person, at);
    let stays = match (span.kind, term_at(person, span.start)) {
        ("regular", Some(term)) => stays(known, tenant, (&span, term)),
        _ => Vec::new(),
    };
    let next = period_at(person, span.end);
    let is_paused = term_at(person, next.start).is_some_and(|term| is_paused(term, next.start));
    let plan = in_force(known, tenant, next.start.max(person.created));
    let plan = plan.filter(|plan| plan.fee.as_ref().is_some_and(|fee| fee.is_in_advance));
    let ahead = plan.filter(|_| next.kind == "regular" && !is_paused).map(|plan| (next.clone(), plan.id()));
    Some(Facts { span, stays, ahead })
}

/// The parts of a period: at each change of plan and at each end of a pause one begins.
fn stays(known: &Known, tenant: TenantId, (span, term): (&Span, &Term)) -> Vec<Stay> {
    let person = known.person(tenant);
    let is_within = |at: &Instant| span.start < *at && *at < span.end;
    let changes = person.plans.iter().map(|(since, _)| *since).filter(is_within);
    let mut changes: Vec<Instant> = changes.collect();
    changes.insert(0, span.start);
    let pauses = term.pauses.iter().flat_map(|(from, to)| [Some(*from), *to]).flatten().filter(is_within);
    let mut marks: Vec<Instant> = changes.iter().copied().chain(pauses).collect();
    marks.sort_unstable();
    marks.dedup();
    let mut found: Vec<Stay> = Vec::new();
    for (place, from) in marks.iter().enumerate() {
        let to = marks.get(place + 1).copied().unwrap_or(span.end);
        // A version that is published within the period counts from the next one, or the next change of plan.
        let since =
            changes.iter().copied().filter(|change| change <= from).max().expect("the period's start");
        let plan = in_force(known, tenant, since.max(person.created)).map(Paper::id);
        let is_paused = is_paused(term, *from);
        match found.last_mut().filter(|last| last.plan == plan && last.is_paused == is_paused) {
            Some(last) => last.to = to,
            None => found.push(Stay { from: *from, to, plan, is_paused }),
        }
    }
    found
}
