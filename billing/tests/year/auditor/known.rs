//! What the auditor has heard: plans, tenants, subscriptions, records and documents, as they were told.
//! Never an answer of billing: only what was asked of it, and the numbers of its documents.
//! Filled by `Auditor::hear`, read by the folder's other modules.

use std::collections::BTreeMap;

use domain::{TenantId, UsageRecord};
use jiff::{civil::Date, tz::TimeZone};

use super::{books::Book, calendar, calendar::Facts, entry::Entry};
use crate::{
    act::{Act, Instant},
    reader::Paper,
};

/// A published plan version.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) paper: Paper,
    pub(crate) at: Instant,
}

/// A subscription.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) start: Instant,
    pub(crate) day: Date,
    pub(crate) is_anniversary: bool,
    /// The ends of its trial, each with when it was said; the last one counts.
    pub(crate) trial_ends: Vec<(Instant, Date)>,
    pub(crate) is_trial_free: bool,
    pub(crate) pauses: Vec<(Instant, Option<Instant>)>,
    pub(crate) end: Option<Instant>,
}

/// How a tenant is taxed, and from how much on it is billed in parts.
#[derive(Clone, Debug)]
pub(crate) struct Billing {
    pub(crate) status: &'static str,
    pub(crate) taxes: Option<Vec<(String, bool)>>,
    pub(crate) threshold: Option<i64>,
}

/// A tenant.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) zone: TimeZone,
    pub(crate) exponent: u32,
    pub(crate) created: Instant,
    pub(crate) plans: Vec<(Instant, String)>,
    pub(crate) terms: Vec<Term>,
    pub(crate) billing: Option<Billing>,
    pub(crate) records: Vec<UsageRecord>,
    pub(crate) book: Book,
}

/// An issued invoice, with what the auditor made of it.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) tenant: TenantId,
    pub(crate) number: String,
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    pub(crate) is_of_part: bool,
    pub(crate) facts: Option<Facts>,
    pub(crate) entries: Vec<Entry>,
    /// What each line shows, in the order of the invoice.
    pub(crate) shown: Vec<i64>,
    pub(crate) subtotal: i64,
    pub(crate) rates: Vec<(String, bool)>,
    pub(crate) total: i64,
    /// What grants paid of it.
    pub(crate) granted: i64,
    pub(crate) paid: i64,
    /// What was given back of each line, and in all with taxes.
    pub(crate) given_back: BTreeMap<u32, i64>,
    pub(crate) credited: i64,
    /// What credit notes gave back as grants.
    pub(crate) granted_again: i64,
    pub(crate) state: &'static str,
}

/// All that was heard.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) published: Vec<Published>,
    pub(crate) issuer_taxes: Vec<(String, bool)>,
    pub(crate) people: BTreeMap<TenantId, Person>,
    pub(crate) documents: Vec<Document>,
}

impl Known {
    pub(crate) fn paper(&self, id: &str) -> &Paper {
        let found = self.published.iter().find(|published| published.paper.id() == id);
        &found.expect("a published plan").paper
    }

    pub(crate) fn person(&self, tenant: TenantId) -> &Person {
        &self.people[&tenant]
    }

    fn person_mut(&mut self, tenant: TenantId) -> &mut Person {
        self.people.get_mut(&tenant).expect("a tenant")
    }

    pub(crate) fn document(&self, number: &str) -> &Document {
        self.documents.iter().find(|document| document.number == number).expect("a document")
    }

    pub(crate) fn document_mut(&mut self, number: &str) -> &mut Document {
        self.documents.iter_mut().find(|document| document.number == number).expect("a document")
    }

    /// Takes note of something that was done to plans, tenants, subscriptions, records and credit.
    pub(crate) fn take(&mut self, act: &Act) {
        match act {
            Act::Publish { text, at } => {
                self.published.push(Published { paper: Paper::read(text), at: *at });
            }
            Act::IssuerTaxes(taxes) => self.issuer_taxes.clone_from(taxes),
            Act::Tenant { tenant, zone, plan, at } => self.take_tenant(*tenant, (zone, plan), *at),
            Act::Plan { tenant, plan, at } => {
                let person = self.person_mut(*tenant);
                if person.plans.last().is_none_or(|(_, last)| last != plan) {
                    person.plans.push((*at, plan.clone()));
                }
            }
            Act::Start { .. }
            | Act::TrialUntil { .. }
            | Act::Pause { .. }
            | Act::Resume { .. }
            | Act::Cancel { .. } => {
                self.take_subscription(act);
            }
            Act::Billing { tenant, status, taxes, threshold } => {
                let billing = Billing { status, taxes: taxes.clone(), threshold: *threshold };
                self.person_mut(*tenant).billing = Some(billing);
            }
            Act::Arrive { record } => {
                let person = self.person_mut(record.tenant_id);
                person.records.push((**record).clone());
                person.book.spend(record);
            }
            Act::Grant(grant) => self.person_mut(grant.tenant).book.grant(grant),
            Act::CreditTerms { tenant } => self.person_mut(*tenant).book.open(),
            Act::Pay { .. } | Act::Void { .. } | Act::WriteOff { .. } => {}
        }
    }

    fn take_tenant(&mut self, tenant: TenantId, (zone, plan): (&str, &str), at: Instant) {
        let currency = plan.split('-').next().expect("plans are named after their currency");
        let exponent = match currency {
            "jpy" => 0,
            "kwd" => 3,
            _ => 2,
        };
        let person = Person {
            zone: TimeZone::get(zone).expect("a zone"),
            exponent,
            created: at,
            plans: vec![(at, plan.to_owned())],
            terms: Vec::new(),
            billing: None,
            records: Vec::new(),
            book: Book::default(),
        };
        self.people.insert(tenant, person);
    }

    fn take_subscription(&mut self, act: &Act) {
        match act {
            Act::Start { tenant, day, is_anniversary, trial_days, at } => {
                let zone = self.person(*tenant).zone.clone();
                let start = calendar::midnight(*day, &zone);
                let of_plan =
                    calendar::in_force(self, *tenant, start.max(*at)).and_then(|plan| plan.trial.clone());
                let days = trial_days.or(of_plan.as_ref().map(|(days, _)| *days)).unwrap_or(0);
                let is_trial_free = of_plan.is_some_and(|(_, usage)| usage == "free");
                let trial_ends = match days {
                    0 => Vec::new(),
                    days => vec![(*at, calendar::days_after(*day, days))],
                };
                let (pauses, end) = (Vec::new(), None);
                let (day, is_anniversary) = (*day, *is_anniversary);
                let term = Term { start, day, is_anniversary, trial_ends, is_trial_free, pauses, end };
                self.person_mut(*tenant).terms.push(term);
            }
            Act::TrialUntil { tenant, day, at } => self.term_mut(*tenant).trial_ends.push((*at, *day)),
            Act::Pause { tenant, at } => self.term_mut(*tenant).pauses.push((*at, None)),
            Act::Resume { tenant, at } => {
                self.term_mut(*tenant).pauses.last_mut().expect("a pause").1 = Some(*at);
            }
            Act::Cancel { tenant, is_at_once, at } => {
                let person = self.person(*tenant);
                let from = person.terms.last().expect("a subscription").start.max(*at);
                let end = if *is_at_once { from } else { calendar::period_at(person, from).end };
                self.term_mut(*tenant).end = Some(end);
            }
            Act::Publish { .. }
            | Act::IssuerTaxes(_)
            | Act::Tenant { .. }
            | Act::Plan { .. }
            | Act::Billing { .. }
            | Act::Arrive { .. }
            | Act::Grant(_)
            | Act::CreditTerms { .. }
            | Act::Pay { .. }
            | Act::Void { .. }
            | Act::WriteOff { .. } => unreachable!("{act:?} is no act of a subscription"),
        }
    }

    fn term_mut(&mut self, tenant: TenantId) -> &mut Term {
        self.person_mut(tenant).terms.last_mut().expect("a subscription")
    }
}
