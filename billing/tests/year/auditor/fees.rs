//! What being subscribed costs in a period: a free trial taken off, the true-up, base fees and what is given back.
//! Never an amount that was rounded but to the twelve decimals of a share.
//! Used by `rating`.

use domain::TenantId;
use jiff::tz::TimeZone;

use super::{
    calendar::{Facts, Span, Stay, day_of},
    entry::Entry,
    known::Known,
};
use crate::{
    act::Instant,
    number::{Exact, sum},
    reader::Fee,
};

/// Decimals of a share.
const SHARE_DECIMALS: u32 = 12;

/// A share of an amount: how many days or seconds of how many it is for.
struct Share {
    units: u64,
    exact: Exact,
}

pub(super) fn entries(known: &Known, tenant: TenantId, facts: &Facts, before: &[Entry]) -> Vec<Entry> {
    let zone = &known.person(tenant).zone;
    let mut entries = Vec::new();
    if facts.span.is_free {
        let all = sum(before.iter().map(|entry| &entry.exact));
        if all.is_above_zero() {
            entries.push(Entry::new("discount", "trial", all.negated()));
        }
    }
    entries.extend(true_up(known, zone, facts, before));
    if facts.span.kind == "regular" {
        entries.extend(own_fees(known, zone, facts));
    }
    if let Some((next, plan)) = &facts.ahead {
        let fee = known.paper(plan).fee.clone().expect("a fee");
        let span = (next.start, next.full.1);
        let share = share(zone, next.full, (&fee.amount, &fee.proration), span, true);
        entries.push(entry(plan, (&fee, &share), false));
    }
    entries.retain(|entry| entry.item != "base_fee" || !entry.exact.is_zero());
    entries
}

fn entry(plan: &str, (fee, share): (&Fee, &Share), is_given_back: bool) -> Entry {
    let unit = match fee.proration.as_str() {
        "day" => "days",
        "second" => "seconds",
        _ => "periods",
    };
    let (kind, exact) = match is_given_back {
        true => ("discount", share.exact.negated()),
        false => ("charge", share.exact.clone()),
    };
    let (version, unit) = (Some(plan.to_owned()), unit.to_owned());
    Entry { version, quantity: share.units, unit, ..Entry::new(kind, "base_fee", exact) }
}

/// What is missing to the commitments of the plans of a period. What is given back for lateness does not count.
fn true_up(known: &Known, zone: &TimeZone, facts: &Facts, before: &[Entry]) -> Option<Entry> {
    let mut least = Exact::zero();
    let mut version = None;
    for (place, stay) in active(facts).enumerate() {
        let Some(plan) = &stay.plan else { continue };
        let Some((amount, proration)) = &known.paper(plan).commitment else { continue };
        let share = share(zone, facts.span.full, (amount, proration), (stay.from, stay.to), place == 0);
        if !share.exact.is_zero() {
            least = least.plus(&share.exact);
            version = Some(plan.clone());
        }
    }
    let counted = before.iter().filter(|entry| entry.kind != "slo_credit");
    let missing = least.minus(&sum(counted.map(|entry| &entry.exact)));
    let is_missing = version.is_some() && missing.is_above_zero();
    is_missing.then(|| Entry { version, ..Entry::new("minimum", "true_up", missing) })
}

fn active(facts: &Facts) -> impl Iterator<Item = &Stay> {
    facts.stays.iter().filter(|stay| !stay.is_paused)
}

/// Fees of the period itself, and what is given back of the one that was billed before it began.
fn own_fees(known: &Known, zone: &TimeZone, facts: &Facts) -> Vec<Entry> {
    let Span { full, .. } = facts.span;
    // The plan that the period began under was billed, unless the period began with a pause.
    let first = facts.stays.first().filter(|stay| !stay.is_paused).and_then(|stay| stay.plan.clone());
    let billed = first.filter(|plan| known.paper(plan).fee.as_ref().is_some_and(|fee| fee.is_in_advance));
    let mut entries = Vec::new();
    if let Some(plan) = &billed {
        let fee = known.paper(plan).fee.clone().expect("a fee");
        let mut unused: Vec<(Instant, Instant)> = Vec::new();
        for stay in &facts.stays {
            if stay.is_paused || stay.plan.as_ref() != Some(plan) {
                unused.push((stay.from, stay.to));
            }
        }
        let over = facts.stays.last().expect("a part").to;
        if over < full.1 && !fee.is_kept {
            unused.push((over, full.1));
        }
        // What is not divided is not given back in parts.
        unused.retain(|_| fee.proration != "none");
        for span in unused {
            let share = share(zone, full, (&fee.amount, &fee.proration), span, true);
            entries.push(entry(plan, (&fee, &share), true));
        }
    }
    for (place, stay) in active(facts).enumerate() {
        let Some(plan) = stay.plan.as_ref().filter(|plan| billed.as_ref() != Some(plan)) else { continue };
        let Some(fee) = known.paper(plan).fee.clone() else { continue };
        let share = share(zone, full, (&fee.amount, &fee.proration), (stay.from, stay.to), place == 0);
        entries.push(entry(plan, (&fee, &share), false));
    }
    entries
}

/// The share of an amount for a part of a period: what comes to its end less what comes to its beginning.
fn share(
    zone: &TimeZone,
    full: (Instant, Instant),
    (amount, proration): (&Exact, &String),
    (from, to): (Instant, Instant),
    is_first: bool,
) -> Share {
    if proration == "none" {
        let exact = if is_first { amount.clone() } else { Exact::zero() };
        return Share { units: u64::from(is_first), exact };
    }
    let mark = |at: Instant| match proration.as_str() {
        "second" => u64::try_from((at.clamp(full.0, full.1) - full.0) / 1_000_000).expect("not before"),
        _ => midnights(zone, full.0, at.clamp(full.0, full.1)),
    };
    let (from, to, whole) = (mark(from), mark(to), mark(full.1));
    let until = |mark| {
        let share = amount.times(&Exact::count(mark)).over(&Exact::count(whole));
        share.to_decimals(SHARE_DECIMALS, Exact::nearest)
    };
    Share { units: to - from, exact: until(to).minus(&until(from)) }
}

/// How many days have begun after one instant up to another.
fn midnights(zone: &TimeZone, from: Instant, to: Instant) -> u64 {
    let (mut day, last) = (day_of(from, zone), day_of(to, zone));
    let mut count = 0;
    while day < last {
        day = day.tomorrow().expect("another day");
        count += 1;
    }
    count
}
