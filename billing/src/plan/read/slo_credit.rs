//! Reads `[slo_credit]`: what is given back for late tokens, for late requests, and for a whole period.
//! Never more than a hundred of a hundred.
//! Called by `read::terms`.

use std::collections::BTreeSet;

use bigdecimal::BigDecimal;

use super::{
    charges::named,
    table::{Found, Table},
};
use crate::plan::{AttainmentTier, Basis, Charge, Percent, PlanProblem, TIERS_MAX, TOKENS_CHARGE};

/// All that a plan gives back.
pub(super) struct SloCredit {
    pub(super) late_tokens: Percent,
    pub(super) late_requests: Percent,
    pub(super) tiers: Vec<AttainmentTier>,
}

/// Reads the table; without it nothing is given back.
pub(super) fn read(root: &Table<'_>, charges: &[Charge]) -> Found<SloCredit> {
    let nothing = || Percent(BigDecimal::from(0));
    if !root.has("slo_credit") {
        return Ok(SloCredit { late_tokens: nothing(), late_requests: nothing(), tiers: Vec::new() });
    }
    let table = root.table("slo_credit", "[slo_credit]")?;
    table.allow(&["late_tokens_percent", "late_requests_percent", "attainment"])?;
    let percent = |field| Ok(table.optional_decimal(field, 100)?.map_or_else(nothing, Percent));
    let is_late_tokens = !table.has("attainment") && !table.has("late_requests_percent");
    let late_tokens = match is_late_tokens {
        true => Percent(table.decimal("late_tokens_percent", 100)?),
        false => percent("late_tokens_percent")?,
    };
    let late_requests = percent("late_requests_percent")?;
    let mut tiers: Vec<AttainmentTier> = Vec::new();
    for tier in table.tables("attainment", "[[slo_credit.attainment]]", TIERS_MAX)? {
        let own = attainment_tier(&tier, charges)?;
        let is_same = |other: &AttainmentTier| other.classes == own.classes && other.below == own.below;
        if tiers.iter().any(is_same) {
            let name = own.below.value().to_plain_string();
            return Err((tier.span, PlanProblem::Duplicate { what: "the tier below", name }));
        }
        tiers.push(own);
    }
    Ok(SloCredit { late_tokens, late_requests, tiers })
}

fn attainment_tier(table: &Table<'_>, known: &[Charge]) -> Found<AttainmentTier> {
    table.allow(&["classes", "below", "percent", "charges"])?;
    let classes = table.classes()?;
    let charges = match table.has("charges") {
        true => named(table, "charges", known)?,
        false => BTreeSet::from([TOKENS_CHARGE.to_owned()]),
    };
    for name in &charges {
        if known.iter().any(|charge| charge.name == *name && !is_of_one_class(charge)) {
            return Err((table.field("charges")?.span.clone(), PlanProblem::NotOfOneClass(name.clone())));
        }
    }
    let (below, percent) = (table.decimal("below", 100)?, table.decimal("percent", 100)?);
    Ok(AttainmentTier { classes, below: Percent(below), percent: Percent(percent), charges })
}

/// Whether all that a charge counts is served in one class, so that a credit for the class can be a share of it.
fn is_of_one_class(charge: &Charge) -> bool {
    match &charge.basis {
        Basis::Usage(usage) => usage.meter.is_of_requests() && usage.filter.classes.len() == 1,
        Basis::Flat(_) | Basis::Percentage { .. } => false,
    }
}
