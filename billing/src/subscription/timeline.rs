//! All billing periods of a tenant in order: calendar months before and after a subscription, its own within it.
//! Never a period twice: what is stored is taken as it is, and only what comes after it is reckoned.
//! Asked by the ledger, which stores what has begun, and through it by invoices.

use std::str::FromStr;

use domain::{PeriodError, Timestamp};
use jiff::tz::TimeZone;

use super::{Term, Terms, month_of, zone};
use crate::plan::TrialUsage;

/// Periods of one subscription: a hundred years of months, found in a tenth of a second.
const PERIODS_MAX: usize = 1_200;

/// What kind of period it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodKind {
    /// A calendar month of a tenant that has no subscription yet, cut where one begins.
    Before,
    /// The time before the base fee begins.
    Trial,
    /// A period with a base fee.
    Regular,
    /// A calendar month after a subscription has ended: only what was used is charged.
    After,
}

impl PeriodKind {
    /// Every kind.
    const ALL: [Self; 4] = [Self::Before, Self::Trial, Self::Regular, Self::After];

    /// The name in SQL and on invoices.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Trial => "trial",
            Self::Regular => "regular",
            Self::After => "after",
        }
    }
}

impl FromStr for PeriodKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no kind of period"))
    }
}

/// A period of a subscription as it was when it began. A cancellation or a trial that ends early cuts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredPeriod {
    /// What it is: a trial or a regular one.
    pub kind: PeriodKind,
    /// Where it would begin if the subscription had not begun within it: shares are of the time from here on.
    pub full_start: Timestamp,
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

/// A period that is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BillingPeriod {
    /// What it is.
    pub kind: PeriodKind,
    /// Where the whole period begins that it is a part of.
    pub full_start: Timestamp,
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
    /// Where the whole period ends that it is a part of.
    pub full_end: Timestamp,
    /// What usage costs in it, of a trial.
    pub usage: TrialUsage,
}

/// A tenant's subscriptions in its calendar, and the periods that have been stored.
#[derive(Clone, Debug)]
pub struct Timeline {
    zone_name: String,
    zone: TimeZone,
    terms: Terms,
    stored: Vec<StoredPeriod>,
}

impl Timeline {
    /// Takes what is known of a tenant; `stored` in its order.
    ///
    /// Errors: an unknown zone.
    pub fn new(zone_name: &str, terms: Terms, stored: Vec<StoredPeriod>) -> Result<Self, PeriodError> {
        Ok(Self { zone_name: zone_name.to_owned(), zone: zone(zone_name)?, terms, stored })
    }

    /// The subscriptions.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The calendar.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The period that an instant falls in. Every instant falls in exactly one.
    ///
    /// Errors: an instant beyond the calendar.
    pub fn at(&self, at: Timestamp) -> Result<BillingPeriod, PeriodError> {
        match self.terms.at(at) {
            Some(term) => self.within(term, at),
            None => self.outside(at),
        }
    }

    /// A calendar month, cut where a subscription ends or begins in it.
    fn outside(&self, at: Timestamp) -> Result<BillingPeriod, PeriodError> {
        let month = month_of(at, &self.zone_name)?;
        let lasting = || self.terms.all().iter().filter(|term| term.end.is_none_or(|end| term.start < end));
        let ended = lasting().filter_map(|term| term.end).filter(|end| *end <= at).max();
        let begins = lasting().map(|term| term.start).filter(|start| at < *start).min();
        let kind = if ended.is_some() { PeriodKind::After } else { PeriodKind::Before };
        Ok(BillingPeriod {
            kind,
            full_start: month.start(),
            start: ended.map_or(month.start(), |end| end.max(month.start())),
            end: begins.map_or(month.end(), |start| start.min(month.end())),
            full_end: month.end(),
            usage: TrialUsage::Charged,
        })
    }

    fn within(&self, term: &Term, at: Timestamp) -> Result<BillingPeriod, PeriodError> {
        for found in self.periods(term).take(PERIODS_MAX) {
            let whole = found?;
            let end = cut(term, &whole);
            if at < end {
                let usage = match whole.kind {
                    PeriodKind::Trial => term.trial.map_or(TrialUsage::Charged, |(_, usage)| usage),
                    PeriodKind::Before | PeriodKind::Regular | PeriodKind::After => TrialUsage::Charged,
                };
                let StoredPeriod { kind, full_start, start, end: full_end } = whole;
                return Ok(BillingPeriod { kind, full_start, start, end, full_end, usage });
            }
        }
        Err(PeriodError::OutOfRange)
    }

    /// The periods that have begun by an instant and are not stored yet, in order.
    ///
    /// Errors: an instant beyond the calendar.
    pub fn begun(&self, now: Timestamp) -> Result<Vec<StoredPeriod>, PeriodError> {
        let mut begun = Vec::new();
        for term in self.terms.all() {
            let known = self.stored_of(term).count();
            for found in self.periods(term).skip(known).take(PERIODS_MAX) {
                let period = found?;
                if now < period.start || term.end.is_some_and(|end| end <= period.start) {
                    break;
                }
                begun.push(period);
            }
        }
        Ok(begun)
    }

    fn stored_of<'a>(&'a self, term: &'a Term) -> impl Iterator<Item = StoredPeriod> + 'a {
        let next = self.terms.all().iter().map(|other| other.start).find(|start| term.start < *start);
        let is_its = move |period: &StoredPeriod| {
            term.start <= period.start && next.is_none_or(|next| period.start < next)
        };
        self.stored.iter().copied().filter(is_its)
    }

    /// Every period of a subscription as if it never ended: those stored, then those that follow.
    fn periods<'a>(&'a self, term: &'a Term) -> impl Iterator<Item = Result<StoredPeriod, PeriodError>> + 'a {
        let mut stored = self.stored_of(term);
        let mut from = term.start;
        std::iter::from_fn(move || {
            let found = stored.next().map_or_else(|| self.next(term, from), Ok);
            if let Ok(period) = &found {
                from = trial_cut(term, period);
            }
            Some(found)
        })
    }

    /// The period that begins at an instant at which another one ends, or at which the subscription begins.
    fn next(&self, term: &Term, from: Timestamp) -> Result<StoredPeriod, PeriodError> {
        if let Some((until, _)) = term.trial
            && from < until.at
        {
            return Ok(StoredPeriod {
                kind: PeriodKind::Trial,
                full_start: from,
                start: from,
                end: until.at,
            });
        }
        let (full_start, end) = term.cycle.bounds(term.anchor(), from, &self.zone)?;
        Ok(StoredPeriod { kind: PeriodKind::Regular, full_start, start: from, end })
    }
}

/// Where a period ends after all.
fn cut(term: &Term, period: &StoredPeriod) -> Timestamp {
    let end = trial_cut(term, period);
    term.end.map_or(end, |ended| ended.min(end))
}

/// Where a trial ends after all; other periods end where they end.
fn trial_cut(term: &Term, period: &StoredPeriod) -> Timestamp {
    match (period.kind, term.trial) {
        (PeriodKind::Trial, Some((until, _))) => until.at.min(period.end),
        (PeriodKind::Before | PeriodKind::Trial | PeriodKind::Regular | PeriodKind::After, _) => period.end,
    }
}
