//! Tokens of embeddings among the input of an invoice: apart where their plan counts them so, else input like any other.
//! Never a price: charges and token prices are computed by others, from what this leaves.
//! Called by `build`, once for each invoice.

use domain::Tokens;

use super::{InvoiceParts, ProjectUse};
use crate::{
    ledger::{UsageSum, UsageTotals},
    rate::RateError,
};

/// An invoice's usage, in which tokens of embeddings are told only where their plan counts them apart from input.
pub(super) struct Apart {
    sums: Vec<UsageSum>,
    late: Vec<UsageSum>,
    projects: Vec<ProjectUse>,
}

impl Apart {
    pub(super) fn of(parts: &InvoiceParts<'_>) -> Self {
        let kept = |sum: &UsageSum| {
            let plan = parts.plans.get(&sum.price_version);
            let is_apart = plan.is_some_and(|plan| plan.has_embeddings_apart(&sum.model, sum.slo_class));
            let embeddings_tokens = if is_apart { sum.totals.embeddings_tokens } else { Tokens::ZERO };
            UsageSum { totals: UsageTotals { embeddings_tokens, ..sum.totals }, ..sum.clone() }
        };
        let all = |sums: &[UsageSum]| sums.iter().map(kept).collect::<Vec<_>>();
        let project = |used: &ProjectUse| ProjectUse {
            id: used.id,
            path: used.path.clone(),
            sums: all(&used.sums),
            late: all(&used.late),
        };
        let projects = parts.projects.iter().map(project).collect();
        Self { sums: all(parts.sums), late: all(parts.late), projects }
    }

    /// The same invoice of this usage.
    pub(super) fn parts<'a>(&'a self, parts: &InvoiceParts<'a>) -> InvoiceParts<'a> {
        InvoiceParts { sums: &self.sums, late: &self.late, projects: &self.projects, ..*parts }
    }
}

/// Computed prompt tokens that are input.
///
/// Errors: sums that contradict each other.
pub(super) fn without(computed: Tokens, totals: &UsageTotals) -> Result<Tokens, RateError> {
    let input = computed.checked_sub(totals.embeddings_tokens);
    input.ok_or(RateError::Impossible("more tokens of embeddings than prompt tokens"))
}
