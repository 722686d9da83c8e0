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
}

/// Each project's part, in the order given. Rating is linear in tokens, so the exact parts add up to the whole.
pub(super) fn shares(parts: &InvoiceParts<'_>, subtotal: MinorUnits) -> Result<Vec<ProjectShare>, RateError> {
    let currency = parts.tenant.currency;
    let own = |used: &ProjectUse| exact_sum(&InvoiceParts { sums: &used.sums, projects: &[], ..*parts });
    let exact: Vec<ExactAmount> = parts.projects.iter().map(own).collect::<Result<_, _>>()?;
    if exact.is_empty() {
        return Ok(Vec::new());
    }
    let displayed = allocate_by_largest_remainder(&exact, subtotal, currency)?;
    let amounts = exact.iter().zip(displayed);
    let share = |(used, (exact, displayed)): (&ProjectUse, (&ExactAmount, MinorUnits))| ProjectShare {
        id: used.id.map(|id| id.to_string()),
        path: used.path.clone(),
        records: used.sums.iter().fold(0, |records: u64, sum| records.saturating_add(sum.totals.requests)),
        exact: exact.to_text(currency),
        displayed: displayed.to_text(currency),
    };
    Ok(parts.projects.iter().zip(amounts).map(share).collect())
}
