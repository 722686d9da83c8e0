//! Lines of a plan's charges and discounts: tiers, packages, flat amounts, shares of others, bounds, money off.
//! Never a token price: those lines, and the credits that belong to them, are there before and only counted here.
//! Called by `build`, once for each invoice.

use std::collections::{BTreeMap, BTreeSet};

use bigdecimal::BigDecimal;
use domain::SloClass;

use super::{InvoiceParts, Line, LineKind, build::Draft, embeddings};
use crate::{
    ledger::UsageSum,
    plan::{Basis, Charge, Discount, DiscountAmount, Meter, Plan, TOKENS_CHARGE, Tier, UsageCharge},
    rate::{ExactAmount, PartKind, PeriodCounts, RateError, RatedCharge, RatedPart, rate_charge},
};

/// What each charge comes to so far, by name; token prices less their credits are one of them.
type Due = BTreeMap<String, ExactAmount>;

/// A plan, a charge of it, what it counts and in what: a version that counts something else under the same name begins
/// anew.
type Counted<'a> = (&'a str, &'a str, Meter, &'a str);

/// Every line of charges and discounts, in the order in which they are computed. `tokens` is what token prices come to,
/// their credits taken off.
///
/// Metered charges are those of the plan versions that the usage names. What a period owes as a whole (flat amounts,
/// shares, bounds, discounts) is that of the version in force at its end.
/// Errors: amounts and counts that do not fit.
pub(super) fn lines(parts: &InvoiceParts<'_>, tokens: ExactAmount) -> Result<Vec<Draft>, RateError> {
    let mut due = Due::new();
    due.insert(TOKENS_CHARGE.to_owned(), tokens);
    let mut drafts = metered(parts, &mut due)?;
    let Some(plan) = parts.plan_at_end else { return Ok(drafts) };
    for charge in plan.charges() {
        if let Some(draft) = whole_period(plan, charge, &due) {
            add_due(&mut due, charge, &draft.exact);
            drafts.push(draft);
        }
        drafts.extend(bounds(plan, charge, &mut due));
    }
    for discount in plan.discounts() {
        drafts.extend(taken_off(plan, discount, &mut due));
    }
    Ok(drafts)
}

/// Metered charges of every plan version, in order: a later version goes on where an earlier one stopped.
fn metered(parts: &InvoiceParts<'_>, due: &mut Due) -> Result<Vec<Draft>, RateError> {
    let mut drafts = Vec::new();
    for Metered { plan, charge, usage, own, rated } in all_metered(parts)? {
        let requests = requests(parts, plan, usage);
        drafts.extend(rated.parts.iter().map(|part| part_line(plan, charge, usage, part, (own, requests))));
        add_due(due, charge, &rated.exact);
    }
    Ok(drafts)
}

/// A metered charge of one plan version, rated.
struct Metered<'a> {
    plan: &'a Plan,
    charge: &'a Charge,
    usage: &'a UsageCharge,
    /// The counts that this version prices.
    own: u64,
    rated: RatedCharge,
}

fn all_metered<'a>(parts: &InvoiceParts<'a>) -> Result<Vec<Metered<'a>>, RateError> {
    let mut versions: Vec<&Plan> = parts.plans.values().collect();
    versions.sort_by_key(|plan| (plan.name(), plan.version()));
    let mut totals: BTreeMap<Counted<'_>, u64> = BTreeMap::new();
    let mut counted = Vec::new();
    for plan in versions {
        for (charge, usage) in usage_charges(plan) {
            let name = (plan.name(), charge.name.as_str(), usage.meter, usage.counted.as_str());
            let own = own_counts(parts, plan, usage)?;
            let total = totals.entry(name).or_default();
            // Until all are counted the total is what came before.
            counted.push((name, plan, charge, usage, (*total, own)));
            *total = add(*total, own)?;
        }
    }
    let rated = counted.into_iter().map(|(name, plan, charge, usage, (before, own))| {
        let total = totals.get(&name).copied().unwrap_or_default();
        Metered { plan, charge, usage, own, rated: rate_charge(usage, PeriodCounts { before, own, total }) }
    });
    Ok(rated.collect())
}

/// What metered charges of these names that count one class alone come to, before bounds and discounts.
///
/// Errors: counts that do not fit.
pub(super) fn sum_of_class(
    parts: &InvoiceParts<'_>,
    names: &BTreeSet<String>,
    class: SloClass,
) -> Result<ExactAmount, RateError> {
    let is_its = |metered: &&Metered<'_>| {
        names.contains(&metered.charge.name) && metered.usage.filter.classes == BTreeSet::from([class])
    };
    let metered = all_metered(parts)?;
    Ok(ExactAmount::sum(metered.iter().filter(is_its).map(|metered| &metered.rated.exact)))
}

/// An earlier version may have charged under the same name: what it charged stays due.
fn add_due(due: &mut Due, charge: &Charge, exact: &ExactAmount) {
    let sum = due.entry(charge.name.clone()).or_insert_with(ExactAmount::zero);
    *sum = sum.plus(exact);
}

fn usage_charges(plan: &Plan) -> impl Iterator<Item = (&Charge, &UsageCharge)> {
    plan.charges().iter().filter_map(|charge| match &charge.basis {
        Basis::Usage(usage) => Some((charge, usage)),
        Basis::Flat(_) | Basis::Percentage { .. } => None,
    })
}

/// Billed usage of a plan version that a charge takes.
fn taken<'a>(
    parts: &InvoiceParts<'a>,
    plan: &'a Plan,
    usage: &'a UsageCharge,
) -> impl Iterator<Item = &'a UsageSum> {
    parts.sums.iter().filter(move |sum| {
        sum.price_version == *plan.id()
            && plan.is_billed(sum.reason)
            && usage.filter.takes(&sum.model, sum.slo_class)
    })
}

fn own_counts(parts: &InvoiceParts<'_>, plan: &Plan, usage: &UsageCharge) -> Result<u64, RateError> {
    if let Meter::Custom(meter) = usage.meter {
        let own = parts.events.iter().filter(|sum| sum.price_version == *plan.id() && sum.meter == meter);
        return own.map(|sum| sum.counts).try_fold(0, add);
    }
    taken(parts, plan, usage).try_fold(0, |counts, sum| {
        let totals = &sum.totals;
        let own = match usage.meter {
            Meter::InputTokens => {
                let computed = totals.prompt_tokens.checked_sub(totals.cached_prompt_tokens);
                let computed =
                    computed.ok_or(RateError::Impossible("more cached prompt tokens than prompt tokens"))?;
                embeddings::without(computed, totals)?.get()
            }
            Meter::CachedInputTokens => totals.cached_prompt_tokens.get(),
            Meter::OutputTokens => totals.output_tokens.get(),
            Meter::ReasoningTokens => totals.reasoning_tokens.get(),
            Meter::EmbeddingsTokens => totals.embeddings_tokens.get(),
            Meter::Requests => totals.requests,
            Meter::Energy => totals.energy.get(),
            // Of no request.
            Meter::Custom(_) => 0,
        };
        add(counts, own)
    })
}

fn requests(parts: &InvoiceParts<'_>, plan: &Plan, usage: &UsageCharge) -> u64 {
    if matches!(usage.meter, Meter::Custom(_)) {
        return 0;
    }
    taken(parts, plan, usage).fold(0, |requests, sum| requests.saturating_add(sum.totals.requests))
}

fn add(left: u64, right: u64) -> Result<u64, RateError> {
    left.checked_add(right).ok_or(RateError::Impossible("more counts than 64 bits hold"))
}

/// One part of a metered charge. `own` are the meter's counts and requests behind the whole charge.
fn part_line(
    plan: &Plan,
    charge: &Charge,
    usage: &UsageCharge,
    part: &RatedPart,
    (counts, requests): (u64, u64),
) -> Draft {
    let unit = &usage.unit.name;
    let (words, unit) = match part.kind {
        PartKind::Free => ("free".to_owned(), unit.clone()),
        PartKind::Units => (String::new(), unit.clone()),
        PartKind::Packages => (format!("begun packages of {unit}"), "packages".to_owned()),
        PartKind::Tier(number) => (tier_words(usage, number), unit.clone()),
        PartKind::TierFlat(number) => {
            (format!("{}, flat amount", tier_words(usage, number)), "times".to_owned())
        }
    };
    let title = charge.description.as_deref().unwrap_or(&charge.name);
    let currency = plan.currency();
    let units = part.units.to_plain_string();
    let price = ExactAmount::of_decimal(part.price.clone()).to_text(currency);
    let formula = match part.per {
        1 => format!("{units} × {price}"),
        per => format!("{units} × {price} ÷ {per}"),
    };
    let line = Line {
        description: if words.is_empty() { title.to_owned() } else { format!("{title}: {words}") },
        requests,
        quantity: counts,
        unit: usage.counted.clone(),
        units: Some(units),
        units_name: Some(unit),
        unit_price: Some(price),
        unit_price_per: Some(part.per),
        formula: Some(formula),
        ..line(plan, LineKind::Charge, &charge.name)
    };
    Draft { line, exact: part.exact.clone() }
}

/// Where a tier begins and ends, in words.
fn tier_words(usage: &UsageCharge, number: usize) -> String {
    let tiers = usage.scheme.tiers();
    let end = |index: usize| tiers.get(index).and_then(|tier: &Tier| tier.up_to.as_ref());
    let text = |units: &BigDecimal| units.normalized().to_plain_string();
    let from = number.checked_sub(2).and_then(end).map(|end| format!("above {}", text(end)));
    let to = number.checked_sub(1).and_then(end).map(|end| format!("up to {}", text(end)));
    let span: Vec<String> = [from, to].into_iter().flatten().collect();
    match span.is_empty() {
        true => format!("tier {number}"),
        false => format!("tier {number}, {} {}", span.join(" "), usage.unit.name),
    }
}

/// A flat amount, or a share of other charges. `None`: the charge is for a metered quantity.
fn whole_period(plan: &Plan, charge: &Charge, due: &Due) -> Option<Draft> {
    let title = charge.description.as_deref().unwrap_or(&charge.name);
    let (description, formula, exact) = match &charge.basis {
        Basis::Usage(_) => return None,
        Basis::Flat(amount) => {
            (title.to_owned(), "each period".to_owned(), ExactAmount::of_decimal(amount.clone()))
        }
        Basis::Percentage { percent, of } => {
            let bases = due.iter().filter(|(name, _)| of.is_empty() || of.contains(*name));
            let base = ExactAmount::sum(bases.map(|(_, exact)| exact));
            let (text, shown) = (base.to_text(plan.currency()), percent.normalized().to_plain_string());
            let description = format!("{title}: {shown} % of {}", all_or_names(of));
            (description, format!("{text} × {shown} ÷ 100"), base.percent(percent))
        }
    };
    let line = Line { description, formula: Some(formula), ..line(plan, LineKind::Charge, &charge.name) };
    Some(Draft { line, exact })
}

/// What is missing to a charge's minimum, or above its maximum.
fn bounds(plan: &Plan, charge: &Charge, due: &mut Due) -> Option<Draft> {
    let sum = due.entry(charge.name.clone()).or_insert_with(ExactAmount::zero);
    let bound = |bound: &Option<BigDecimal>| bound.clone().map(ExactAmount::of_decimal);
    let (minimum, maximum) = (bound(&charge.minimum), bound(&charge.maximum));
    let (kind, bound) = match (minimum, maximum) {
        (Some(minimum), _) if *sum < minimum => (LineKind::Minimum, minimum),
        (_, Some(maximum)) if *sum > maximum => (LineKind::Maximum, maximum),
        (Some(_) | None, Some(_) | None) => return None,
    };
    let exact = bound.plus(&sum.negated());
    let title = charge.description.as_deref().unwrap_or(&charge.name);
    let (words, currency) = (kind.as_str(), plan.currency());
    let line = Line {
        description: format!("{title}: {words} of {} in a period", bound.to_text(currency)),
        formula: Some(format!("{} - {}", bound.to_text(currency), sum.to_text(currency))),
        ..line(plan, kind, &charge.name)
    };
    *sum = bound;
    Some(Draft { line, exact })
}

/// What a discount takes from what its charges still come to; nothing where there is nothing to take.
fn taken_off(plan: &Plan, discount: &Discount, due: &mut Due) -> Option<Draft> {
    let currency = plan.currency();
    let is_its = |name: &str| discount.charges.is_empty() || discount.charges.contains(name);
    let mut rest = match &discount.amount {
        DiscountAmount::Amount(amount) => Some(ExactAmount::of_decimal(amount.clone())),
        DiscountAmount::Percent(_) => None,
    };
    let mut taken = ExactAmount::zero();
    let mut base = ExactAmount::zero();
    for (_, exact) in due.iter_mut().filter(|(name, _)| is_its(name)) {
        base = base.plus(exact);
        let part = match (&discount.amount, &mut rest) {
            (DiscountAmount::Percent(percent), _) => exact.percent(percent),
            (DiscountAmount::Amount(_), Some(rest)) => {
                let part = (*rest).clone().min(exact.clone());
                *rest = rest.plus(&part.negated());
                part
            }
            (DiscountAmount::Amount(_), None) => ExactAmount::zero(),
        };
        *exact = exact.plus(&part.negated());
        taken = taken.plus(&part);
    }
    if taken.is_zero() {
        return None;
    }
    let formula = match &discount.amount {
        DiscountAmount::Percent(percent) => {
            format!("-({} × {} ÷ 100)", base.to_text(currency), percent.normalized().to_plain_string())
        }
        DiscountAmount::Amount(amount) => {
            let amount = ExactAmount::of_decimal(amount.clone()).to_text(currency);
            format!("-min({amount}, {})", base.to_text(currency))
        }
    };
    let title = discount.description.as_deref().unwrap_or(&discount.name);
    let line = Line {
        description: format!("{title}: discount on {}", all_or_names(&discount.charges)),
        formula: Some(formula),
        ..line(plan, LineKind::Discount, &discount.name)
    };
    Some(Draft { line, exact: taken.negated() })
}

fn all_or_names(charges: &BTreeSet<String>) -> String {
    match charges.is_empty() {
        true => "all charges".to_owned(),
        false => charges.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}

/// A line of a plan version, without a quantity.
fn line(plan: &Plan, kind: LineKind, item: &str) -> Line {
    Line { price_version: Some(plan.id().to_string()), ..Line::blank(kind, item) }
}
