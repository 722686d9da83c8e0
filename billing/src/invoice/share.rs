//! Divides an invoice over the projects of its tenant, so that departments see what is theirs.
//! Never changes a line: the parts are the same sums rated apart, and add up to the lines exactly.
//! Called by `build`.

use domain::ProjectId;

use super::{InvoiceParts, ProjectShare, build::exact_sum};
use crate::{
    ledger::UsageSum,
    rate::{ExactAmount, MinorUnits, RateError, allocate_by_largest_remainder},
};

/// What one project used, without those below it.
#[derive(Clone, Debug)]
pub struct ProjectUse {
    /// Which project; none for keys that have none.
    pub id: Option<ProjectId>,
    /// Its path, or what stands for none.
    pub path: String,
    /// What was used.
    pub sums: Vec<UsageSum>,
    /// What of it was used by requests that missed a target, where a plan gives credit for them.
    pub late: Vec<UsageSum>,
}

/// What stands for charges that no project alone has caused: tiers, packages, flat amounts and discounts are of the
/// whole tenant.
pub(super) const COMMON: &str = "(charges of the whole tenant)";

/// Each project's part, in the order given; what the plan charges the tenant as a whole (`common`) is a part of its own.
///
/// Token prices are linear, so the exact parts add up to the whole, but for credits for late requests: what they come
/// to at most is another thing of all usage than of each project's. That difference is the tenant's as well.
pub(super) fn shares(
    parts: &InvoiceParts<'_>,
    common: &ExactAmount,
    subtotal: MinorUnits,
) -> Result<Vec<ProjectShare>, RateError> {
    let currency = parts.tenant.currency;
    let own = |used: &ProjectUse| {
        exact_sum(&InvoiceParts { sums: &used.sums, late: &used.late, projects: &[], ..*parts })
    };
    let mut exact: Vec<ExactAmount> = parts.projects.iter().map(own).collect::<Result<_, _>>()?;
    if exact.is_empty() {
        return Ok(Vec::new());
    }
    let of_projects = ExactAmount::sum(&exact);
    let common = &common.plus(&exact_sum(parts)?).plus(&of_projects.negated());
    let whole = ProjectUse { id: None, path: COMMON.to_owned(), sums: Vec::new(), late: Vec::new() };
    let is_common = !common.is_zero();
    let uses = parts.projects.iter().chain(is_common.then_some(&whole));
    exact.extend(is_common.then(|| common.clone()));
    let displayed = allocate_by_largest_remainder(&exact, subtotal, currency)?;
    let amounts = exact.iter().zip(displayed);
    let share = |(used, (exact, displayed)): (&ProjectUse, (&ExactAmount, MinorUnits))| ProjectShare {
        id: used.id.map(|id| id.to_string()),
        path: used.path.clone(),
        records: used.sums.iter().fold(0, |records: u64, sum| records.saturating_add(sum.totals.requests)),
        exact: exact.to_text(currency),
        displayed: displayed.to_text(currency),
    };
    Ok(uses.zip(amounts).map(share).collect())
}
