//! Charges for what is metered: how much each version's share of a period comes to, tier by tier.
//! Never a difference of rounded amounts: a part is what all up to its end comes to, less what came before it.
//! Used by `rating`.

use std::collections::BTreeMap;

use domain::UsageRecord;

use super::{
    entry::Entry,
    tokens::{Used, is_billed},
};
use crate::{
    number::{Exact, sum},
    reader::{Basis, Item, Metered, Paper, Scheme, Step},
};

/// What one charge of one plan version comes to.
pub(super) struct Rated<'a> {
    pub(super) item: &'a Item,
    pub(super) metered: &'a Metered,
    pub(super) entries: Vec<Entry>,
    pub(super) exact: Exact,
}

/// How often a charge's meter has counted in a record.
fn counted(meter: &str, record: &UsageRecord) -> u64 {
    match meter {
        "input_tokens" => record.prompt_tokens.get() - record.cached_prompt_tokens.get(),
        "cached_input_tokens" => record.cached_prompt_tokens.get(),
        "output_tokens" => record.output_tokens.get(),
        "reasoning_tokens" => record.reasoning_tokens.get(),
        "requests" => 1,
        "energy" => record.energy.get(),
        other => panic!("{other} is no meter"),
    }
}

fn takes(metered: &Metered, record: &UsageRecord) -> bool {
    let is_in = |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
    is_in(&metered.models, record.model.as_str()) && is_in(&metered.classes, record.slo.class.as_str())
}

/// Every metered charge of every version that a record names.
pub(super) fn all<'a>(used: Used<'a>) -> Vec<Rated<'a>> {
    let mut through: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    let mut found = Vec::new();
    for paper in used.papers {
        for item in &paper.items {
            let Basis::Metered(metered) = &item.basis else { continue };
            let is_its = |record: &&&UsageRecord| {
                record.price_version.as_str() == paper.id()
                    && is_billed(paper, record)
                    && takes(metered, record)
            };
            let own: Vec<_> = used.records.iter().filter(is_its).collect();
            let counts: u64 = own.iter().map(|record| counted(&metered.meter, record)).sum();
            // The same name that counts something else begins anew.
            let key = (paper.name.clone(), item.name.clone(), metered.meter.clone());
            let reached = through.entry(key.clone()).or_default();
            let before = *reached;
            *reached += counts;
            found.push((*paper, item, &**metered, key, (before, counts), own.len()));
        }
    }
    let rate = |(paper, item, metered, key, (before, counts), requests): (
        &Paper,
        &'a Item,
        &'a Metered,
        _,
        (u64, u64),
        usize,
    )| {
        let whole = through[&key];
        let parts = parts(metered, (before, before + counts), whole);
        let entry = |(units, price, per): (Exact, Exact, u64)| Entry {
            version: Some(paper.id()),
            requests: u64::try_from(requests).expect("few"),
            quantity: counts,
            unit: unit_of(&metered.meter).to_owned(),
            units: Some((units.clone(), price.clone(), per)),
            ..Entry::new("charge", &item.name, units.times(&price).over(&Exact::count(per)))
        };
        let entries: Vec<Entry> = parts.into_iter().map(entry).collect();
        let exact = sum(entries.iter().map(|entry| &entry.exact));
        Rated { item, metered, entries, exact }
    };
    found.into_iter().map(rate).collect()
}

fn unit_of(meter: &str) -> &'static str {
    match meter {
        "requests" => "requests",
        "energy" => "mJ",
        _ => "tokens",
    }
}

/// A count in a charge's units.
fn converted(metered: &Metered, counts: u64) -> Exact {
    let units = Exact::count(counts).over(&Exact::count(metered.counts));
    match metered.rounding.as_ref().map(|(decimals, way)| (*decimals, way.as_str())) {
        None => units,
        Some((decimals, "up")) => units.to_decimals(decimals, Exact::ceiling),
        Some((decimals, "down")) => units.to_decimals(decimals, Exact::floor),
        Some((decimals, _)) => units.to_decimals(decimals, Exact::nearest),
    }
}

/// Units, price, and what it is the price of, of the counts from one place of the period to another.
fn parts(metered: &Metered, (from, to): (u64, u64), whole: u64) -> Vec<(Exact, Exact, u64)> {
    let units = |counts| converted(metered, counts);
    let above_free = |counts| units(counts).minus(&metered.free).max(Exact::zero());
    let below_free = |counts| units(counts).min(metered.free.clone());
    let (start, end) = (above_free(from), above_free(to));
    let mut parts = vec![(below_free(to).minus(&below_free(from)), Exact::zero(), 1)];
    match &metered.scheme {
        Scheme::Unit { price, per } => parts.push((end.minus(&start), price.clone(), *per)),
        Scheme::Package { price, size } => {
            let begun = |units: &Exact| units.over(size).ceiling();
            parts.push((begun(&end).minus(&begun(&start)), price.clone(), 1));
        }
        Scheme::Graduated(steps) => parts.extend(graduated(steps, (&start, &end))),
        Scheme::Volume(steps) => {
            let reached = above_free(whole);
            let is_in = |step: &&Step| step.up_to.as_ref().is_none_or(|last| reached <= *last);
            let step = steps.iter().find(is_in).expect("the last tier has no end");
            let is_first = start.is_zero() && !end.is_zero();
            if is_first && !step.flat.is_zero() {
                parts.push((Exact::whole(1), step.flat.clone(), 1));
            }
            parts.push((end.minus(&start), step.price.clone(), 1));
        }
    }
    parts.retain(|(units, _, _)| !units.is_zero());
    parts
}

/// How many units of each tier lie before a place, and whether its flat amount is due there; then the differences.
fn graduated(steps: &[Step], (start, end): (&Exact, &Exact)) -> Vec<(Exact, Exact, u64)> {
    let mut parts = Vec::new();
    let mut floor = Exact::zero();
    for step in steps {
        let top = step.up_to.clone();
        let filled = |place: &Exact| {
            let place = top.as_ref().map_or_else(|| place.clone(), |top| place.clone().min(top.clone()));
            place.minus(&floor).max(Exact::zero())
        };
        let is_entered = |place: &Exact| *place > floor;
        if is_entered(end) && !is_entered(start) && !step.flat.is_zero() {
            parts.push((Exact::whole(1), step.flat.clone(), 1));
        }
        parts.push((filled(end).minus(&filled(start)), step.price.clone(), 1));
        floor = top.unwrap_or(floor);
    }
    parts
}
