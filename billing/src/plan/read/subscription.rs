//! Reads `[base_fee]`, `[commitment]` and `[trial]`: what being subscribed costs.
//! Never an amount of zero: what costs nothing is left out.
//! Called by `read::terms`.

use bigdecimal::{BigDecimal, Zero as _};

use super::{
    charges::description,
    table::{Found, Table},
};
use crate::plan::{
    BaseFee, Commitment, FeeTiming, OnCancel, PlanProblem, Proration, TRIAL_DAYS_MAX, Trial, TrialUsage,
};

/// The fee of each period.
pub(super) fn base_fee(root: &Table<'_>) -> Found<Option<BaseFee>> {
    if !root.has("base_fee") {
        return Ok(None);
    }
    let table = root.table("base_fee", "[base_fee]")?;
    table.allow(&["amount", "timing", "proration", "on_cancel", "description"])?;
    let amount = positive_amount(&table)?;
    let timing = table.word("timing", &FeeTiming::ALL)?;
    if table.has("on_cancel") && timing == FeeTiming::Arrears {
        return Err((table.field("on_cancel")?.span.clone(), PlanProblem::NothingToRefund));
    }
    let on_cancel = match table.has("on_cancel") {
        true => table.word("on_cancel", &OnCancel::ALL)?,
        false => OnCancel::Refund,
    };
    let (proration, description) = (proration(&table)?, description(&table)?);
    Ok(Some(BaseFee { amount, timing, proration, on_cancel, description }))
}

/// The least of each period.
pub(super) fn commitment(root: &Table<'_>) -> Found<Option<Commitment>> {
    if !root.has("commitment") {
        return Ok(None);
    }
    let table = root.table("commitment", "[commitment]")?;
    table.allow(&["amount", "proration"])?;
    Ok(Some(Commitment { amount: positive_amount(&table)?, proration: proration(&table)? }))
}

/// The time without a base fee.
pub(super) fn trial(root: &Table<'_>) -> Found<Option<Trial>> {
    if !root.has("trial") {
        return Ok(None);
    }
    let table = root.table("trial", "[trial]")?;
    table.allow(&["days", "usage"])?;
    let (span, days) = table.integer("days", u64::from(TRIAL_DAYS_MAX))?;
    let usage = table.word("usage", &TrialUsage::ALL)?;
    match u32::try_from(days) {
        Ok(days @ 1..) => Ok(Some(Trial { days, usage })),
        Ok(0) | Err(_) => Err((span, PlanProblem::TooSmall { field: "days".into(), min: 1 })),
    }
}

fn positive_amount(table: &Table<'_>) -> Found<BigDecimal> {
    let amount = table.money("amount")?;
    match amount.is_zero() {
        false => Ok(amount),
        true => {
            let field = "amount".to_owned();
            Err((table.field("amount")?.span.clone(), PlanProblem::MustBePositive { field }))
        }
    }
}

fn proration(table: &Table<'_>) -> Found<Proration> {
    match table.has("proration") {
        true => table.word("proration", &Proration::ALL),
        false => Ok(Proration::Day),
    }
}
