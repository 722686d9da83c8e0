//! Whole invoices: the lines of a period, those about earlier invoices, roundings, taxes, payments, credit notes.
//! Never a rule of rating.
//! Used by the auditor.

use std::collections::{BTreeMap, BTreeSet};

use domain::TenantId;

use super::{
    calendar::{Facts, facts_at},
    entry::Entry,
    known::{Document, Known},
    rating,
};
use crate::{
    act::Instant,
    number::{Exact, sum},
};

/// What tells one line of a period from another.
type Key = (&'static str, String, Option<String>, Option<String>);

/// An invoice as it must come out.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) facts: Option<Facts>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) subtotal: i64,
    pub(crate) rates: Vec<(String, bool)>,
    pub(crate) taxes: Vec<i64>,
    pub(crate) total: i64,
}

/// Which invoice is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) tenant: TenantId,
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    pub(crate) is_of_part: bool,
}

pub(super) fn expected(known: &Known, wanted: Wanted) -> Expected {
    let Wanted { tenant, start, end, is_of_part } = wanted;
    let exponent = known.person(tenant).exponent;
    let mut facts = facts_at(known, tenant, start);
    if let Some(facts) = facts.as_mut().filter(|_| is_of_part) {
        // Fees are of the whole period and come with its own invoice.
        (facts.stays, facts.ahead) = (Vec::new(), None);
    }
    let mut entries = rating::entries(known, tenant, (start, end), facts.as_ref());
    entries.extend(invoiced(known, tenant, start, None));
    if !is_of_part {
        entries.extend(corrections(known, tenant, start));
    }
    let subtotal = sum(entries.iter().map(|entry| &entry.exact)).to_minor(exponent);
    let rates = rates(known, tenant);
    let (taxes, total) = taxes(&rates, subtotal);
    Expected { facts, entries, subtotal, rates, taxes, total }
}

/// The taxes that apply to a tenant; none where nobody said how it is taxed.
fn rates(known: &Known, tenant: TenantId) -> Vec<(String, bool)> {
    let Some(billing) = &known.person(tenant).billing else { return Vec::new() };
    match billing.status {
        "standard" => billing.taxes.clone().unwrap_or_else(|| known.issuer_taxes.clone()),
        _ => Vec::new(),
    }
}

/// Each tax of a subtotal, and the subtotal with those that come on top.
pub(super) fn taxes(rates: &[(String, bool)], subtotal: i64) -> (Vec<i64>, i64) {
    let whole = Exact::whole(i128::from(subtotal));
    let percent = |(percent, _): &(String, bool)| Exact::read(percent);
    let hundred = Exact::whole(100);
    let contained: Vec<Exact> = rates.iter().filter(|(_, is_contained)| *is_contained).map(percent).collect();
    let with_contained = hundred.plus(&sum(&contained));
    let inclusive = |rate: &(String, bool)| whole.times(&percent(rate)).over(&with_contained).to_minor(0);
    let net: i64 =
        subtotal - rates.iter().filter(|(_, is_contained)| *is_contained).map(inclusive).sum::<i64>();
    let net = Exact::whole(i128::from(net));
    let each = rates.iter().map(|rate| match rate.1 {
        true => inclusive(rate),
        false => net.percent(&percent(rate)).to_minor(0),
    });
    let each: Vec<i64> = each.collect();
    let added: i64 =
        rates.iter().zip(&each).filter(|((_, is_contained), _)| !is_contained).map(|(_, tax)| tax).sum();
    (each, subtotal + added)
}

/// What was invoiced of a period while it ran; all of it, or the documents that some invoice has.
fn invoiced(known: &Known, tenant: TenantId, start: Instant, but: Option<&str>) -> Vec<Entry> {
    let is_its = |document: &&Document| {
        document.tenant == tenant
            && document.is_of_part
            && document.start == start
            && document.state != "void"
            && but.is_none_or(|number| document.number != number)
    };
    let exponent = known.person(tenant).exponent;
    let entry = |document: &Document| {
        let taken_off = Exact::minor(document.subtotal, exponent).negated();
        Entry::new("invoiced", &document.number, taken_off)
    };
    known.documents.iter().filter(is_its).map(entry).collect()
}

/// What every earlier period that has an invoice comes to by now, less what was invoiced of it.
fn corrections(known: &Known, tenant: TenantId, start: Instant) -> Vec<Entry> {
    let own: Vec<&Document> = known.documents.iter().filter(|document| document.tenant == tenant).collect();
    let mut entries = Vec::new();
    for original in own.iter().filter(|document| !document.is_of_part && document.end <= start) {
        let period = (original.start, original.end);
        // What the subscription was then is as the invoice had it.
        let mut due = rating::entries(known, tenant, period, original.facts.as_ref());
        due.extend(invoiced(known, tenant, original.start, None));
        let mut invoiced = Vec::new();
        for document in own.iter().filter(|document| document.state != "void") {
            for entry in &document.entries {
                match &entry.correction {
                    Some((number, kind, _, _)) if *number == original.number => {
                        invoiced.push(Entry { kind, ..entry.clone() });
                    }
                    None if document.number == original.number => invoiced.push(entry.clone()),
                    Some(_) | None => {}
                }
            }
        }
        let (due, invoiced) = (by_key(&due), by_key(&invoiced));
        let keys: BTreeSet<&Key> = due.keys().chain(invoiced.keys()).collect();
        for key in keys {
            let of = |sums: &BTreeMap<Key, Exact>| sums.get(key).cloned().unwrap_or(Exact::zero());
            let (now, before) = (of(&due), of(&invoiced));
            let exact = now.minus(&before);
            if !exact.is_zero() {
                let (kind, item, model, version) = key.clone();
                let correction = Some((original.number.clone(), kind, now, before));
                entries.push(Entry { model, version, correction, ..Entry::new("correction", &item, exact) });
            }
        }
    }
    entries
}

fn by_key(entries: &[Entry]) -> BTreeMap<Key, Exact> {
    let mut sums: BTreeMap<Key, Exact> = BTreeMap::new();
    for entry in entries {
        let key = (entry.kind, entry.item.clone(), entry.model.clone(), entry.version.clone());
        let sum = sums.entry(key).or_insert_with(Exact::zero);
        *sum = sum.plus(&entry.exact);
    }
    sums
}

/// What lines show: each cut down to whole units, and the units that are missing given to those that lost most.
pub(super) fn shown(exact: &[Exact], subtotal: i64, exponent: u32) -> Vec<i64> {
    let unit = Exact::whole(10_i128.pow(exponent));
    let minor: Vec<Exact> = exact.iter().map(|exact| exact.times(&unit)).collect();
    let mut shown: Vec<i64> = minor.iter().map(|exact| exact.floor().to_whole()).collect();
    let mut lost: Vec<(Exact, usize)> =
        minor.iter().map(|exact| exact.minus(&exact.floor())).zip(0..).collect();
    // Of two that lost the same the earlier one comes first: the sort keeps their order.
    lost.sort_by(|(one, _), (other, _)| other.cmp(one));
    let missing = subtotal - shown.iter().sum::<i64>();
    for (_, place) in lost.into_iter().take(usize::try_from(missing).expect("not below zero")) {
        shown[place] += 1;
    }
    shown
}

/// What is still owed of an invoice.
pub(super) fn due(document: &Document) -> i64 {
    match document.state {
        "void" | "paid" => 0,
        _ => (document.total - document.granted - document.paid - document.credited).max(0),
    }
}

/// What was paid and credited beyond the total, and not given back yet.
pub(super) fn owed_to_tenant(document: &Document) -> i64 {
    match document.state {
        "void" => 0,
        _ => {
            let beyond = document.granted + document.paid + document.credited - document.total;
            beyond.max(0) - document.granted_again
        }
    }
}

/// Makes an invoice paid when nothing of it is owed.
pub(super) fn settle(document: &mut Document) {
    if document.state != "void" && due(document) == 0 {
        document.state = "paid";
    }
}
