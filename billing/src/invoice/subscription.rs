//! Lines of a subscription: a free trial taken off, the true-up to a commitment, base fees and what is given back of them.
//! Never an amount of its own: shares are reckoned by `crate::subscription` from the facts that the invoice carries.
//! Called by `build`, after usage, charges and discounts.

use domain::{Currency, PlanVersionId, Timestamp};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{InvoiceParts, Line, LineKind, build::Draft};
use crate::{
    plan::{Plan, Proration, TrialUsage},
    rate::{ExactAmount, RateError},
    subscription::{
        Advance, Fee, FeeKind, PeriodFacts, PeriodKind, PlanSpan, Plans, Share, committed, fees, zone,
    },
};

/// A period of a subscription, with the plans that its facts name.
#[derive(Clone, Copy, Debug)]
pub struct Subscribed<'a> {
    /// What was so.
    pub facts: &'a PeriodFacts,
    /// Every plan version that the facts name.
    pub plans: &'a Plans,
}

/// What only the issuer knows of a subscription. The lines of fees follow from it and the plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledSubscription {
    /// `before`, `trial`, `regular` or `after`.
    pub kind: String,
    /// Where the whole period begins that this is a part of. Unit: microseconds since 1970.
    pub full_start_unix_us: i64,
    /// Where it ends; after the period's own end when it was cut. Unit: microseconds since 1970.
    pub full_end_unix_us: i64,
    /// Of a trial: whether usage is `free` or `charged`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_usage: Option<String>,
    /// Of a regular period: its parts, by plan and pause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<BilledSpan>,
    /// The next period, where its base fee is billed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advance: Option<BilledAdvance>,
}

/// A part of a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledSpan {
    /// Its first instant. Unit: microseconds since 1970.
    pub from_unix_us: i64,
    /// The first instant after it. Unit: microseconds since 1970.
    pub to_unix_us: i64,
    /// The plan version whose fee counts.
    pub plan: Option<String>,
    /// Whether it is paused.
    pub is_paused: bool,
}

/// The period whose base fee is billed before it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledAdvance {
    /// Where the whole period begins that it is a part of. Unit: microseconds since 1970.
    pub full_start_unix_us: i64,
    /// Its first instant. Unit: microseconds since 1970.
    pub start_unix_us: i64,
    /// The first instant after it. Unit: microseconds since 1970.
    pub end_unix_us: i64,
    /// The plan version whose fee it is.
    pub plan: String,
}

impl BilledSubscription {
    pub(super) fn to_wire(facts: &PeriodFacts) -> Self {
        let PeriodFacts { kind, full_start, full_end, usage, spans, advance } = facts;
        let span = |span: &PlanSpan| BilledSpan {
            from_unix_us: span.from.unix_micros(),
            to_unix_us: span.to.unix_micros(),
            plan: span.plan.as_ref().map(ToString::to_string),
            is_paused: span.is_paused,
        };
        let advance = advance.as_ref().map(|advance| BilledAdvance {
            full_start_unix_us: advance.full_start.unix_micros(),
            start_unix_us: advance.start.unix_micros(),
            end_unix_us: advance.end.unix_micros(),
            plan: advance.plan.to_string(),
        });
        Self {
            kind: kind.as_str().to_owned(),
            full_start_unix_us: full_start.unix_micros(),
            full_end_unix_us: full_end.unix_micros(),
            trial_usage: (*kind == PeriodKind::Trial).then(|| usage.as_str().to_owned()),
            spans: spans.iter().map(span).collect(),
            advance,
        }
    }

    /// The facts again.
    ///
    /// Errors: what does not read, in words.
    pub(crate) fn to_facts(&self) -> Result<PeriodFacts, String> {
        let at = Timestamp::from_unix_micros;
        let id = |text: &String| text.parse::<PlanVersionId>().map_err(|error| error.to_string());
        let usage = match &self.trial_usage {
            None => TrialUsage::Charged,
            Some(text) => {
                let found = TrialUsage::ALL.into_iter().find(|(name, _)| name == text);
                found.map(|(_, usage)| usage).ok_or_else(|| format!("{text:?} is no usage of a trial"))?
            }
        };
        let span = |span: &BilledSpan| {
            let plan = span.plan.as_ref().map(id).transpose()?;
            let (from, to) = (at(span.from_unix_us), at(span.to_unix_us));
            Ok(PlanSpan { from, to, plan, is_paused: span.is_paused })
        };
        let advance = |advance: &BilledAdvance| {
            Ok::<_, String>(Advance {
                full_start: at(advance.full_start_unix_us),
                start: at(advance.start_unix_us),
                end: at(advance.end_unix_us),
                plan: id(&advance.plan)?,
            })
        };
        Ok(PeriodFacts {
            kind: self.kind.parse()?,
            full_start: at(self.full_start_unix_us),
            full_end: at(self.full_end_unix_us),
            usage,
            spans: self.spans.iter().map(span).collect::<Result<_, String>>()?,
            advance: self.advance.as_ref().map(advance).transpose()?,
        })
    }
}

/// What lines of base fees are about.
const BASE_FEE: &str = "base_fee";

impl Line {
    /// Whether it is a base fee, or what is given back of one; a plan's own charge may have the same name.
    pub(crate) fn is_base_fee(&self) -> bool {
        let is_time =
            [Proration::Day, Proration::Second, Proration::None].map(unit).contains(&self.unit.as_str());
        self.item == BASE_FEE && self.units.is_none() && is_time
    }
}

/// The lines, in the order in which they are computed. `before` are those of usage, charges and discounts.
///
/// Errors: instants beyond the calendar.
pub(super) fn lines(parts: &InvoiceParts<'_>, before: &[Draft]) -> Result<Vec<Draft>, RateError> {
    let Some(Subscribed { facts, plans }) = parts.subscription else { return Ok(Vec::new()) };
    let (zone, currency) = (zone(parts.period.zone())?, parts.tenant.currency);
    let mut lines = Vec::new();
    lines.extend(free_trial(facts, before, currency));
    lines.extend(true_up(&committed(facts, &zone, plans)?, before, currency));
    for fee in fees(facts, &zone, plans)? {
        lines.extend(plans.get(&fee.plan).map(|plan| fee_line(&fee, plan, &zone)));
    }
    Ok(lines)
}

/// All that a free trial would have cost, taken off.
fn free_trial(facts: &PeriodFacts, before: &[Draft], currency: Currency) -> Option<Draft> {
    let is_free = facts.kind == PeriodKind::Trial && facts.usage == TrialUsage::Free;
    let sum = ExactAmount::sum(before.iter().map(|draft| &draft.exact));
    if !is_free || sum.is_zero() || sum.is_negative() {
        return None;
    }
    let line = Line {
        description: "Trial: usage is free".to_owned(),
        formula: Some(format!("-({})", sum.to_text(currency))),
        ..Line::blank(LineKind::Discount, "trial")
    };
    Some(Draft { line, exact: sum.negated() })
}

/// What is missing to the commitment. Credits for lateness do not count: what is given back stays given back.
fn true_up(shares: &[(PlanVersionId, Share)], before: &[Draft], currency: Currency) -> Option<Draft> {
    let (last, _) = shares.last()?;
    let counted = before.iter().filter(|draft| draft.line.kind != LineKind::SloCredit);
    let reached = ExactAmount::sum(counted.map(|draft| &draft.exact));
    let committed = ExactAmount::sum(shares.iter().map(|(_, share)| &share.exact));
    let missing = committed.plus(&reached.negated());
    if missing.is_zero() || missing.is_negative() {
        return None;
    }
    let terms: Vec<String> = shares.iter().map(|(_, share)| arithmetic(share, currency)).collect();
    let line = Line {
        description: format!("True-up to the commitment of {}", committed.to_text(currency)),
        price_version: Some(last.to_string()),
        formula: Some(format!("{} - {}", terms.join(" + "), reached.to_text(currency))),
        ..Line::blank(LineKind::Minimum, "true_up")
    };
    Some(Draft { line, exact: missing })
}

fn fee_line(fee: &Fee, plan: &Plan, zone: &TimeZone) -> Draft {
    let currency = plan.currency();
    let title = plan.base_fee().and_then(|fee| fee.description.as_deref()).unwrap_or("Base fee");
    let (why, is_credit) = match fee.kind {
        FeeKind::Due => ("", false),
        FeeKind::Advance => (", in advance", false),
        FeeKind::Changed => (", given back: another plan", true),
        FeeKind::Paused => (", given back: paused", true),
        FeeKind::Cancelled => (", given back: cancelled", true),
    };
    let share = &fee.share;
    let text = arithmetic(share, currency);
    let (formula, kind, exact) = match is_credit {
        true => (format!("-({text})"), LineKind::Discount, share.exact.negated()),
        false => (text, LineKind::Charge, share.exact.clone()),
    };
    let line = Line {
        description: format!("{title}, {} to {}{why}", shown(fee.from, zone), shown(fee.to, zone)),
        price_version: Some(fee.plan.to_string()),
        quantity: share.units,
        unit: unit(share.proration).to_owned(),
        formula: Some(formula),
        ..Line::blank(kind, BASE_FEE)
    };
    Draft { line, exact }
}

/// How a share comes about.
fn arithmetic(share: &Share, currency: Currency) -> String {
    let amount = share.amount.to_text(currency);
    match share.units == share.whole {
        true => amount,
        false => format!("{amount} × {} ÷ {}", share.units, share.whole),
    }
}

const fn unit(proration: Proration) -> &'static str {
    match proration {
        Proration::Day => "days",
        Proration::Second => "seconds",
        Proration::None => "periods",
    }
}

/// An instant as a day, with the time where it is not midnight.
fn shown(at: Timestamp, zone: &TimeZone) -> String {
    let Ok(instant) = jiff::Timestamp::from_microsecond(at.unix_micros()) else { return at.to_string() };
    let local = instant.to_zoned_datetime(zone.clone());
    let is_midnight = local.time() == jiff::civil::Time::midnight();
    local.strftime(if is_midnight { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M:%S" }).to_string()
}
