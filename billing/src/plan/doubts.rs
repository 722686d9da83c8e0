//! What a good plan says that its author may not have meant.
//! Never a reason to refuse it: published plans say such things, and some may be meant.
//! Shown by `tallygate plan check` and `tallygate plan publish`.

use bigdecimal::Zero as _;
use domain::Currency;

use super::{AttainmentTier, Plan, read};

/// All of them, in words.
pub(super) fn of(plan: &Plan) -> Vec<String> {
    let mut doubts = Vec::new();
    if plan.billed_reasons().next().is_none() {
        doubts.push("`billed_reasons` is empty: no request is ever billed".to_owned());
    }
    if let Some(unit) = plan.price_unit()
        && let Ok(currency) = unit.name.parse::<Currency>()
        && currency.is_in_use()
    {
        let worth = unit.worth.to_plain_string();
        doubts.push(format!(
            "`price_unit` is called {currency} as a currency is, and each is worth {worth} {}",
            plan.currency()
        ));
    }
    for (name, list) in read::empty_lists(plan.source()) {
        doubts.push(format!("{name}: an empty list of `{list}` takes all of them, as none does"));
    }
    let tiers = plan.attainment_tiers();
    for tier in tiers {
        if tier.below.value().is_zero() {
            doubts.push("the attainment tier below \"0\" can never be missed".to_owned());
        }
    }
    for (index, one) in tiers.iter().enumerate() {
        for other in &tiers[index + 1..] {
            let (worse, better) =
                if one.below.value() < other.below.value() { (one, other) } else { (other, one) };
            if is_of_same(one, other) && worse.percent.value() < better.percent.value() {
                let plain = |percent: &super::Percent| percent.value().normalized().to_plain_string();
                doubts.push(format!(
                    "fewer than {} % in time give back {} %, and fewer than {} % give back {} %: the worse gives less",
                    plain(&better.below),
                    plain(&better.percent),
                    plain(&worse.below),
                    plain(&worse.percent)
                ));
            }
        }
    }
    doubts
}

/// Whether two tiers give back a share of the same, to some class.
fn is_of_same(one: &AttainmentTier, other: &AttainmentTier) -> bool {
    let is_shared =
        one.classes.is_empty() || other.classes.is_empty() || !one.classes.is_disjoint(&other.classes);
    is_shared && one.charges == other.charges
}
