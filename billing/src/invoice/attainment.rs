//! Credits for a whole period's attainment: when too few requests of a class met their targets, a share is given back.
//! Never more than the class was charged, credits for its late tokens and requests taken off, and never more of token
//! prices than is left of them all.
//! Called by `build`, after the token prices and before other charges.

use domain::SloClass;

use super::{
    InvoiceParts, Line, LineKind,
    build::{Draft, attained, billed_totals, token_drafts},
    charges::sum_of_class,
};
use crate::{
    ledger::{UsageSum, UsageTotals},
    plan::{AttainmentTier, Plan, TOKENS_CHARGE},
    rate::{ExactAmount, RateError},
};

/// One line for each class whose attainment is below a tier of the version in force at the end of the period, and what
/// is left of the `tokens` that were charged: a credit is taken off them first, then off the other charges it names.
///
/// Errors: counts that do not fit.
pub(super) fn lines(
    parts: &InvoiceParts<'_>,
    tokens: ExactAmount,
) -> Result<(Vec<Draft>, ExactAmount), RateError> {
    let promised = parts.plan_at_end.filter(|plan| !plan.attainment_tiers().is_empty());
    let mut left = tokens;
    let mut drafts = Vec::new();
    for (plan, class) in promised.iter().flat_map(|plan| SloClass::ALL.map(|class| (plan, class))) {
        drafts.extend(line(parts, plan, class, &mut left)?);
    }
    Ok((drafts, left))
}

fn line(
    parts: &InvoiceParts<'_>,
    plan: &Plan,
    class: SloClass,
    left: &mut ExactAmount,
) -> Result<Option<Draft>, RateError> {
    let sums: Vec<UsageSum> = parts.sums.iter().filter(|sum| sum.slo_class == class).cloned().collect();
    let late: Vec<UsageSum> = parts.late.iter().filter(|sum| sum.slo_class == class).cloned().collect();
    let own = InvoiceParts { sums: &sums, late: &late, ..*parts };
    let totals = billed_totals(&own)?;
    let Some(tier) = reached(plan, class, &totals) else { return Ok(None) };
    let missed = totals.requests.checked_sub(totals.requests_slo_met);
    let missed = missed.ok_or(RateError::Impossible("more requests in time than requests"))?;
    let drafts = match tier.charges.contains(TOKENS_CHARGE) {
        true => token_drafts(&own)?,
        false => Vec::new(),
    };
    let sum_of = |kind| {
        let its = drafts.iter().filter(|draft| draft.line.kind == kind);
        ExactAmount::sum(its.map(|draft| &draft.exact))
    };
    // As they are charged: an earlier version may have counted another class under the same name.
    let others = sum_of_class(parts, &tier.charges, class)?;
    let charged = sum_of(LineKind::Charge).plus(&others);
    // Other classes may have got more for late requests than they were charged themselves.
    let of_tokens = sum_of(LineKind::Charge).plus(&sum_of(LineKind::SloCredit)).min(left.clone());
    let rest = of_tokens.plus(&others);
    let credit = charged.share(&tier.percent).min(rest.clone());
    *left = left.plus(&credit.clone().min(of_tokens).negated());
    let (percent, below) = (tier.percent.value(), tier.below.value());
    let currency = plan.currency();
    let line = Line {
        description: format!(
            "{class}: SLO credit, fewer than {} % of requests met their targets",
            below.normalized().to_plain_string()
        ),
        price_version: Some(plan.id().to_string()),
        requests: totals.requests,
        quantity: missed,
        unit: "requests".to_owned(),
        percent: Some(percent.to_plain_string()),
        attainment: Some(attained(&totals)?),
        formula: Some(format!(
            "-min({} × {} ÷ 100, {})",
            charged.to_text(currency),
            percent.to_plain_string(),
            rest.to_text(currency)
        )),
        ..Line::blank(LineKind::SloCredit, "attainment")
    };
    Ok(Some(Draft { line, exact: credit.negated() }))
}

/// The strictest tier that a class fell below. A class without a request kept its promise.
fn reached<'a>(plan: &'a Plan, class: SloClass, totals: &UsageTotals) -> Option<&'a AttainmentTier> {
    let is_below = |tier: &&AttainmentTier| tier.is_below(totals.requests_slo_met, totals.requests);
    let own = plan
        .attainment_tiers()
        .iter()
        .filter(|tier| tier.classes.is_empty() || tier.classes.contains(&class));
    own.filter(is_below).min_by(|left, right| left.below.value().cmp(right.below.value()))
}
