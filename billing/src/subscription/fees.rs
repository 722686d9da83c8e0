//! Base fees, their credits and the commitment of one period, as shares of whole amounts.
//! Never a line and never a rounding to minor units: a fee says what it is, how much of what, and exactly how much.
//! Called by invoices, from facts and plans alone.

use std::collections::BTreeMap;

use domain::{PeriodError, PlanVersionId, Timestamp};
use jiff::tz::TimeZone;

use super::{Advance, PeriodFacts, PeriodKind, PlanSpan, Ruler};
use crate::{
    plan::{BaseFee, FeeTiming, OnCancel, Plan, Proration},
    rate::ExactAmount,
};

/// Why a fee is due or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeeKind {
    /// For the period itself, or a part of it.
    Due,
    /// For the next period.
    Advance,
    /// Given back of what was billed in advance: another plan took over.
    Changed,
    /// Given back: paused.
    Paused,
    /// Given back: cancelled.
    Cancelled,
}

/// A share of an amount for a whole period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The whole amount.
    pub amount: ExactAmount,
    /// Days, seconds or, undivided, periods that it is for.
    pub units: u64,
    /// How many of them the whole period has.
    pub whole: u64,
    /// What is counted.
    pub proration: Proration,
    /// The share itself.
    pub exact: ExactAmount,
}

/// A base fee for a part of a period, or a credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fee {
    /// Why.
    pub kind: FeeKind,
    /// Whose fee it is.
    pub plan: PlanVersionId,
    /// The first instant it is for.
    pub from: Timestamp,
    /// The first instant that it is not for.
    pub to: Timestamp,
    /// How much, above zero also of credits.
    pub share: Share,
}

/// Plans by their ids.
pub type Plans = BTreeMap<PlanVersionId, Plan>;

/// One period being reckoned.
struct Reckoning<'a> {
    facts: &'a PeriodFacts,
    ruler: Ruler<'a>,
    plans: &'a Plans,
}

/// What a period's invoice charges and gives back of base fees, in order of time; shares of nothing are left out.
///
/// Errors: instants beyond the calendar.
pub fn fees(facts: &PeriodFacts, zone: &TimeZone, plans: &Plans) -> Result<Vec<Fee>, PeriodError> {
    let ruler = Ruler::new(zone, facts.full_start, facts.full_end);
    let mut found = match facts.kind {
        PeriodKind::Regular => Reckoning { facts, ruler, plans }.own()?,
        PeriodKind::Before | PeriodKind::Trial | PeriodKind::After => Vec::new(),
    };
    if let Some(advance) = &facts.advance {
        found.extend(in_advance(advance, zone, plans)?);
    }
    found.retain(|fee| !fee.share.exact.is_zero());
    Ok(found)
}

/// The least that a period's usage and charges come to, by its plans.
///
/// Errors: instants beyond the calendar.
pub fn committed(
    facts: &PeriodFacts,
    zone: &TimeZone,
    plans: &Plans,
) -> Result<Vec<(PlanVersionId, Share)>, PeriodError> {
    let ruler = Ruler::new(zone, facts.full_start, facts.full_end);
    let reckoning = Reckoning { facts, ruler, plans };
    let mut shares = Vec::new();
    for (span, plan, is_first) in reckoning.active() {
        let Some(commitment) = plan.commitment() else { continue };
        let amount = ExactAmount::of_decimal(commitment.amount.clone());
        let share = reckoning.share(&amount, commitment.proration, span, is_first)?;
        if !share.exact.is_zero() {
            shares.push((plan.id().clone(), share));
        }
    }
    Ok(shares)
}

/// The fee of a period that is yet to come.
fn in_advance(advance: &Advance, zone: &TimeZone, plans: &Plans) -> Result<Option<Fee>, PeriodError> {
    let Some((plan, fee)) = plans.get(&advance.plan).and_then(|plan| Some((plan, plan.base_fee()?))) else {
        return Ok(None);
    };
    let Advance { full_start, start, end, .. } = *advance;
    let ruler = Ruler::new(zone, full_start, end);
    let share = part(&ruler, &whole_of(fee), fee.proration, (start, end), true)?;
    Ok(Some(Fee { kind: FeeKind::Advance, plan: plan.id().clone(), from: start, to: end, share }))
}

impl<'a> Reckoning<'a> {
    /// Spans that are not paused, with their plans; the first of them is told.
    fn active(&self) -> impl Iterator<Item = (&'a PlanSpan, &'a Plan, bool)> {
        let (facts, plans) = (self.facts, self.plans);
        let spans = facts.spans.iter().filter(|span| !span.is_paused).zip(0..);
        spans.filter_map(move |(span, place)| {
            let plan = plans.get(span.plan.as_ref()?)?;
            Some((span, plan, place == 0))
        })
    }

    /// What was billed for this period before it began: the fee of the plan that it began under.
    fn billed(&self) -> Option<(&'a Plan, &'a BaseFee)> {
        let first = self.facts.spans.first().filter(|span| !span.is_paused)?;
        let plan = self.plans.get(first.plan.as_ref()?)?;
        let fee = plan.base_fee().filter(|fee| fee.timing == FeeTiming::Advance)?;
        Some((plan, fee))
    }

    fn own(&self) -> Result<Vec<Fee>, PeriodError> {
        let billed = self.billed();
        let is_billed = |plan: &Plan| billed.is_some_and(|(known, _)| known.id() == plan.id());
        let mut fees = Vec::new();
        if let Some((plan, fee)) = billed {
            fees.extend(self.credits(plan, fee)?);
        }
        for (span, plan, is_first) in self.active() {
            let Some(fee) = plan.base_fee().filter(|_| !is_billed(plan)) else { continue };
            let share = self.share(&whole_of(fee), fee.proration, span, is_first)?;
            let (from, to) = (span.from, span.to);
            fees.push(Fee { kind: FeeKind::Due, plan: plan.id().clone(), from, to, share });
        }
        fees.sort_by_key(|fee| fee.from);
        Ok(fees)
    }

    /// What is given back of a fee that was billed in advance: all of the time that was not under its plan.
    fn credits(&self, plan: &Plan, fee: &BaseFee) -> Result<Vec<Fee>, PeriodError> {
        if fee.proration == Proration::None {
            return Ok(Vec::new());
        }
        let mut unused = Vec::new();
        for span in &self.facts.spans {
            let kind = match (span.is_paused, span.plan.as_ref() == Some(plan.id())) {
                (true, _) => FeeKind::Paused,
                (false, true) => continue,
                (false, false) => FeeKind::Changed,
            };
            unused.push((kind, span.from, span.to));
        }
        let end = self.facts.spans.last().map_or(self.facts.full_end, |span| span.to);
        if end < self.facts.full_end && fee.on_cancel == OnCancel::Refund {
            unused.push((FeeKind::Cancelled, end, self.facts.full_end));
        }
        let credit = |(kind, from, to)| {
            let share = part(&self.ruler, &whole_of(fee), fee.proration, (from, to), true)?;
            Ok(Fee { kind, plan: plan.id().clone(), from, to, share })
        };
        unused.into_iter().map(credit).collect()
    }

    fn share(
        &self,
        amount: &ExactAmount,
        proration: Proration,
        span: &PlanSpan,
        is_first: bool,
    ) -> Result<Share, PeriodError> {
        part(&self.ruler, amount, proration, (span.from, span.to), is_first)
    }
}

fn whole_of(fee: &BaseFee) -> ExactAmount {
    ExactAmount::of_decimal(fee.amount.clone())
}

/// The share for a part of a period. What is not divided is due whole for the first part, and not at all for others.
fn part(
    ruler: &Ruler<'_>,
    amount: &ExactAmount,
    proration: Proration,
    (from, to): (Timestamp, Timestamp),
    is_first: bool,
) -> Result<Share, PeriodError> {
    let amount = amount.clone();
    if proration == Proration::None {
        let (units, exact) = if is_first { (1, amount.clone()) } else { (0, ExactAmount::zero()) };
        return Ok(Share { amount, units, whole: 1, proration, exact });
    }
    let whole = ruler.whole(proration)?;
    let (from, to) = (ruler.mark(from, proration)?, ruler.mark(to, proration)?);
    let exact = amount.share_of_period(from, to, whole);
    Ok(Share { amount, units: to.saturating_sub(from), whole, proration, exact })
}
