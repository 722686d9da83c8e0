//! What happened to a subscription, told by its events: since when, on trial until when, paused, ended.
//! Never a plan and never an amount.
//! Folded by the ledger from what it stored; asked by timelines and, on each request, by the gateway.

use domain::Timestamp;
use jiff::civil::Date;

use super::Cycle;
use crate::plan::TrialUsage;

/// One thing that happened, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it counts from.
    pub at: Timestamp,
    /// What it is.
    pub kind: EventKind,
}

/// What can happen to a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It begins, at midnight of a day.
    Start {
        /// By what periods it is billed.
        cycle: Cycle,
        /// The day.
        day: Date,
        /// Where its trial ends, and what usage costs until then.
        trial: Option<(TrialEnd, TrialUsage)>,
    },
    /// Its trial ends at another time.
    Trial(TrialEnd),
    /// No base fee and no requests from here on.
    Pause,
    /// All as before the pause.
    Resume,
    /// It is over.
    Cancel,
    /// It goes on after all: its planned end is taken back.
    Withdraw,
}

/// Where a trial ends: at midnight of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialEnd {
    /// The first instant after it.
    pub at: Timestamp,
    /// The day that begins there.
    pub day: Date,
}

/// A time without base fee and without requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Its first instant.
    pub from: Timestamp,
    /// The first instant after it. `None`: it goes on.
    pub to: Option<Timestamp>,
}

/// One subscription, from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Its first instant.
    pub start: Timestamp,
    /// By what periods it is billed.
    pub cycle: Cycle,
    /// The day on which it began.
    pub day: Date,
    /// Its trial.
    pub trial: Option<(TrialEnd, TrialUsage)>,
    /// Its pauses, in order.
    pub pauses: Vec<Pause>,
    /// The first instant after it. `None`: it was not cancelled.
    pub end: Option<Timestamp>,
}

impl Term {
    /// Whether it runs at an instant, paused or not.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && self.end.is_none_or(|end| at < end)
    }

    /// The pause that an instant falls in.
    pub fn pause_at(&self, at: Timestamp) -> Option<Pause> {
        let is_in = |pause: &&Pause| pause.from <= at && pause.to.is_none_or(|to| at < to);
        self.pauses.iter().find(is_in).copied()
    }

    /// The day that all anniversaries are reckoned from: the one on which fees begin.
    pub(super) fn anchor(&self) -> Date {
        self.trial.map_or(self.day, |(end, _)| end.day)
    }
}

/// How a tenant's subscription stands at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There never was one: calendar months are billed, without base fee.
    None,
    /// It will begin.
    Planned(Timestamp),
    /// It runs without base fee until an instant.
    Trial(Timestamp),
    /// It runs.
    Active,
    /// It is paused since an instant.
    Paused(Timestamp),
    /// It ended at an instant.
    Ended(Timestamp),
}

impl State {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Planned(_) => "planned",
            Self::Trial(_) => "trial",
            Self::Active => "active",
            Self::Paused(_) => "paused",
            Self::Ended(_) => "ended",
        }
    }
}

/// All subscriptions of a tenant, one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms(Vec<Term>);

impl Terms {
    /// What events come to, in their order. An event that fits no subscription is left out; the ledger stores none.
    pub fn of(events: impl IntoIterator<Item = Event>) -> Self {
        let mut terms: Vec<Term> = Vec::new();
        for Event { at, kind } in events {
            if let EventKind::Start { cycle, day, trial } = kind {
                terms.push(Term { start: at, cycle, day, trial, pauses: Vec::new(), end: None });
                continue;
            }
            let Some(term) = terms.last_mut() else { continue };
            match kind {
                EventKind::Start { .. } => {}
                EventKind::Trial(end) => {
                    if let Some((known, _)) = &mut term.trial {
                        *known = end;
                    }
                }
                EventKind::Pause => term.pauses.push(Pause { from: at, to: None }),
                EventKind::Resume => {
                    if let Some(pause) = term.pauses.last_mut() {
                        pause.to = Some(at);
                    }
                }
                EventKind::Cancel => term.end = Some(at),
                EventKind::Withdraw => term.end = None,
            }
        }
        Self(terms)
    }

    /// Every subscription, the first one first.
    pub fn all(&self) -> &[Term] {
        &self.0
    }

    /// The one that runs at an instant, paused or not.
    pub fn at(&self, at: Timestamp) -> Option<&Term> {
        self.0.iter().find(|term| term.contains(at))
    }

    /// How things stand at an instant.
    pub fn state_at(&self, at: Timestamp) -> State {
        if let Some(term) = self.at(at) {
            let trial = term.trial.map(|(end, _)| end.at).filter(|until| at < *until);
            return match (term.pause_at(at), trial) {
                (Some(pause), _) => State::Paused(pause.from),
                (None, Some(until)) => State::Trial(until),
                (None, None) => State::Active,
            };
        }
        let ended = self.0.iter().filter_map(|term| term.end).filter(|end| *end <= at).max();
        let planned = self.0.iter().map(|term| term.start).find(|start| at < *start);
        match (planned, ended) {
            // Before a second one begins, the first is what counts.
            (_, Some(end)) => State::Ended(end),
            (Some(start), None) => State::Planned(start),
            (None, None) => State::None,
        }
    }
}
