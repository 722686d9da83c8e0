//! What an invoice must know of a period of a subscription: its kind, its plans, its pauses, what is billed ahead.
//! Never an amount: amounts follow from these facts and the plans' files, so that anybody can compute them.
//! Gathered by the ledger, kept on the invoice, read by `fees`.

use domain::{PlanVersionId, Timestamp};

use super::PeriodKind;
use crate::plan::TrialUsage;

/// A period, as far as fees depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodFacts {
    /// What it is.
    pub kind: PeriodKind,
    /// Where the whole period begins that it is a part of.
    pub full_start: Timestamp,
    /// Where the whole period ends that it is a part of; after the period's own end when it was cut.
    pub full_end: Timestamp,
    /// What usage costs in it, of a trial.
    pub usage: TrialUsage,
    /// Which plan counts when; of regular periods they fill the period, of others there are none.
    pub spans: Vec<PlanSpan>,
    /// The period after it, where its base fee is billed in advance.
    pub advance: Option<Advance>,
}

impl PeriodFacts {
    /// Every plan version that it names.
    pub fn plans(&self) -> impl Iterator<Item = &PlanVersionId> {
        let spans = self.spans.iter().filter_map(|span| span.plan.as_ref());
        spans.chain(self.advance.iter().map(|advance| &advance.plan))
    }
}

/// A part of a period under one plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanSpan {
    /// Its first instant.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
    /// The plan version whose fee and commitment count. `None`: none applied yet.
    pub plan: Option<PlanVersionId>,
    /// Whether it is paused: no fee, no commitment.
    pub is_paused: bool,
}

/// The next period, whose base fee is due before it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Where the whole period begins that it is a part of.
    pub full_start: Timestamp,
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
    /// The plan version in force when it begins.
    pub plan: PlanVersionId,
}
