//! What a period comes to: every line of an invoice but those about other invoices.
//! Never a shortcut: each amount follows the words of the documentation, one after another.
//! Used by the auditor for each invoice, and again for each correction.

use std::collections::BTreeMap;

use domain::{TenantId, UsageRecord};

use super::{
    calendar::{Facts, in_force},
    entry::Entry,
    fees,
    known::Known,
    metered,
    tokens::{self, Used},
};
use crate::{
    act::Instant,
    number::{Exact, sum},
    reader::{Basis, Item, Paper},
};

/// What each charge comes to so far, by its name.
type Due = BTreeMap<String, Exact>;

/// A period comes to this, by what has arrived.
pub(super) fn entries(
    known: &Known,
    tenant: TenantId,
    (start, end): (Instant, Instant),
    facts: Option<&Facts>,
) -> Vec<Entry> {
    let person = known.person(tenant);
    let is_within = |record: &&UsageRecord| (start..end).contains(&record.finished_at.unix_micros());
    let records: Vec<&UsageRecord> = person.records.iter().filter(is_within).collect();
    let is_named = |paper: &&Paper| records.iter().any(|record| record.price_version.as_str() == paper.id());
    let mut papers: Vec<&Paper> =
        known.published.iter().map(|published| &published.paper).filter(is_named).collect();
    papers.sort_by_key(|paper| (paper.name.clone(), paper.version));
    let used = Used { records: &records, papers: &papers };
    // After a subscription has ended only what was used is charged.
    let is_after = facts.is_some_and(|facts| facts.span.kind == "after");
    let last = if is_after { None } else { in_force(known, tenant, end - 1) };
    let mut entries = tokens::entries(used, None);
    let mut of_tokens = sum(entries.iter().map(|entry| &entry.exact));
    let given_back = attained(used, last, &mut of_tokens);
    entries.extend(given_back);
    let charged = charges(used, last, of_tokens);
    entries.extend(charged);
    if let Some(facts) = facts {
        let of_subscription = fees::entries(known, tenant, facts, &entries);
        entries.extend(of_subscription);
    }
    entries.extend(tokens::for_information(used));
    entries
}

/// Credits for a class whose requests missed their targets too often. What they take of token prices is taken off `left`.
fn attained(used: Used<'_>, last: Option<&Paper>, left: &mut Exact) -> Vec<Entry> {
    let Some(paper) = last else { return Vec::new() };
    let mut entries = Vec::new();
    for class in ["interactive", "standard", "batch"] {
        let is_its = |record: &&&UsageRecord| {
            let own = used.papers.iter().find(|paper| record.price_version.as_str() == paper.id());
            record.slo.class.as_str() == class && tokens::is_billed(own.expect("a plan"), record)
        };
        let own: Vec<_> = used.records.iter().filter(is_its).collect();
        let (all, met) = (own.len(), own.iter().filter(|record| record.slo_met).count());
        let share = |of: usize| Exact::count(u64::try_from(of).expect("few"));
        let is_missed =
            |below: &Exact| all > 0 && share(met).times(&Exact::whole(100)).over(&share(all)) < *below;
        let promises = paper.promises.iter().filter(|promise| {
            (promise.classes.is_empty() || promise.classes.iter().any(|own| own == class))
                && is_missed(&promise.below)
        });
        let Some(promise) = promises.min_by(|one, other| one.below.cmp(&other.below)) else { continue };
        let names = |name: &str| promise.charges.iter().any(|own| own == name);
        let of_tokens = if names("tokens") { tokens::entries(used, Some(class)) } else { Vec::new() };
        let of_kind =
            |kind: &str| sum(of_tokens.iter().filter(|entry| entry.kind == kind).map(|entry| &entry.exact));
        let rated = metered::all(used);
        let others = rated.iter().filter(|rated| names(&rated.item.name) && rated.metered.classes == [class]);
        let others = sum(others.map(|rated| &rated.exact));
        let charged = of_kind("charge").plus(&others);
        // Of token prices no more than is left of them all.
        let rest = of_kind("charge").plus(&of_kind("slo_credit")).min(left.clone());
        let credit = charged.percent(&promise.percent).min(rest.plus(&others));
        *left = left.minus(&credit.clone().min(rest));
        entries.push(Entry {
            version: Some(paper.id()),
            requests: u64::try_from(all).expect("few"),
            quantity: u64::try_from(all - met).expect("few"),
            unit: "requests".to_owned(),
            ..Entry::new("slo_credit", "attainment", credit.negated())
        });
    }
    entries
}

/// Metered charges by the versions of their requests; all others by the version in force at the end.
fn charges(used: Used<'_>, last: Option<&Paper>, of_tokens: Exact) -> Vec<Entry> {
    let mut due = Due::from([("tokens".to_owned(), of_tokens)]);
    let mut entries = Vec::new();
    for rated in metered::all(used) {
        let sum = due.entry(rated.item.name.clone()).or_insert_with(Exact::zero);
        *sum = sum.plus(&rated.exact);
        entries.extend(rated.entries);
    }
    let Some(paper) = last else { return entries };
    let entry =
        |kind, item: &str, exact| Entry { version: Some(paper.id()), ..Entry::new(kind, item, exact) };
    for item in &paper.items {
        if let Some(exact) = of_period(item, &due) {
            let sum = due.entry(item.name.clone()).or_insert_with(Exact::zero);
            *sum = sum.plus(&exact);
            entries.push(entry("charge", &item.name, exact));
        }
        let sum = due.entry(item.name.clone()).or_insert_with(Exact::zero);
        for (kind, bound, is_beyond) in [
            ("minimum", &item.minimum, item.minimum.as_ref().is_some_and(|least| *sum < *least)),
            ("maximum", &item.maximum, item.maximum.as_ref().is_some_and(|most| *sum > *most)),
        ] {
            if let Some(bound) = bound.as_ref().filter(|_| is_beyond) {
                entries.push(entry(kind, &item.name, bound.minus(sum)));
                *sum = bound.clone();
            }
        }
    }
    for discount in &paper.discounts {
        let is_its = |name: &String| discount.charges.is_empty() || discount.charges.contains(name);
        let mut rest = discount.amount.clone().unwrap_or(Exact::zero());
        let mut taken = Exact::zero();
        // In the order of the charges' names.
        for (_, sum) in due.iter_mut().filter(|(name, _)| is_its(name)) {
            let part = match &discount.percent {
                Some(percent) => sum.percent(percent),
                None => rest.clone().min(sum.clone()),
            };
            rest = rest.minus(&part);
            *sum = sum.minus(&part);
            taken = taken.plus(&part);
        }
        if !taken.is_zero() {
            entries.push(entry("discount", &discount.name, taken.negated()));
        }
    }
    entries
}

/// A flat amount, or a share of what other charges come to so far.
fn of_period(item: &Item, due: &Due) -> Option<Exact> {
    match &item.basis {
        Basis::Metered(_) => None,
        Basis::Flat(amount) => Some(amount.clone()),
        Basis::Percentage { percent, of } => {
            let its = due.iter().filter(|(name, _)| of.is_empty() || of.contains(*name));
            Some(sum(its.map(|(_, exact)| exact)).percent(percent))
        }
    }
}
