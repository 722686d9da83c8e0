//! Builds an invoice from sums of usage and the plan versions that priced them.
//! Never reads a database or a clock: the same parts give the same invoice.
//! Called by `preview` and `issue`.

use std::collections::BTreeMap;

use bigdecimal::Zero as _;
use domain::{Currency, EndReason, Period, PlanVersionId, Timestamp, Tokens};

use super::{
    Attainment, BilledPeriod, BilledSubscription, BilledTenant, Invoice, Line, LineKind, SCHEMA, Status,
    Subscribed, attainment, charges as charge_lines, embeddings, energy,
    share::{self, ProjectUse},
    subscription,
};
use crate::{
    ledger::{EventSum, Tenant, UsageSum, UsageTotals},
    plan::{Plan, Price, UnitPrice},
    rate::{ExactAmount, MinorUnits, RateError, allocate_by_largest_remainder},
};

/// Prices are for this many tokens.
const PRICE_PER_TOKENS: u64 = 1_000_000;

/// All that an invoice is made of.
#[derive(Clone, Copy, Debug)]
pub struct InvoiceParts<'a> {
    /// Who owes it.
    pub tenant: &'a Tenant,
    /// What it covers.
    pub period: &'a Period,
    /// When it is made.
    pub now: Timestamp,
    /// What was used.
    pub sums: &'a [UsageSum],
    /// What of it was used by requests that missed a target; empty where no plan gives credit for them.
    pub late: &'a [UsageSum],
    /// What usage events came to, by the meters of their plan versions.
    pub events: &'a [EventSum],
    /// How many there are, whatever they count for.
    pub events_count: u64,
    /// The plan versions named in `sums` and `events`.
    pub plans: &'a BTreeMap<PlanVersionId, Plan>,
    /// The same usage by project, with each one's id and path; empty when the tenant has none.
    pub projects: &'a [ProjectUse],
    /// The plan version in force at the end of the period: what it charges for the period itself is due.
    pub plan_at_end: Option<&'a Plan>,
    /// The tenant's subscription in the period. `None`: it has none, so no fee is due.
    pub subscription: Option<Subscribed<'a>>,
}

/// An invoice with the amounts that SQL stores beside it.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) invoice: Invoice,
    pub(super) displayed: Vec<MinorUnits>,
    pub(super) subtotal: MinorUnits,
    /// The subtotal and the taxes that come on top.
    pub(super) total: MinorUnits,
}

/// A line whose displayed amount is not known yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) line: Line,
    pub(super) exact: ExactAmount,
}

/// One model under one plan version, over all billed requests, or over those that ended for one reason.
struct Use<'a> {
    plan: &'a Plan,
    model: &'a str,
    reason: Option<EndReason>,
    totals: UsageTotals,
    /// The same of requests that missed a target.
    late: UsageTotals,
}

impl Invoice {
    /// Builds a draft.
    ///
    /// Errors: a model without a price, two currencies, amounts that do not fit.
    pub fn build(parts: &InvoiceParts<'_>) -> Result<Self, RateError> {
        build(parts).map(|built| built.invoice)
    }
}

pub(super) fn build(parts: &InvoiceParts<'_>) -> Result<Built, RateError> {
    // Tokens of embeddings are input, unless their plan counts them apart.
    let apart = embeddings::Apart::of(parts);
    build_of(&apart.parts(parts))
}

fn build_of(parts: &InvoiceParts<'_>) -> Result<Built, RateError> {
    let currency = parts.tenant.currency;
    let mut drafts = token_drafts(parts)?;
    if let Some(plan) = parts.plan_at_end {
        check_currency(plan, currency)?;
    }
    let of_projects = drafts.len();
    let of_tokens = ExactAmount::sum(drafts.iter().map(|draft| &draft.exact));
    let (attained, left_of_tokens) = attainment::lines(parts, of_tokens)?;
    drafts.extend(attained);
    let charged = charge_lines::lines(parts, left_of_tokens)?;
    drafts.extend(charged);
    for plan in parts.subscription.iter().flat_map(|subscribed| subscribed.plans.values()) {
        check_currency(plan, currency)?;
    }
    let subscribed = subscription::lines(parts, &drafts)?;
    drafts.extend(subscribed);
    let common = ExactAmount::sum(drafts.iter().skip(of_projects).map(|draft| &draft.exact));
    for used in not_billed(parts)? {
        drafts.extend(not_billed_lines(&used));
    }
    drafts.extend(energy::lines(parts.sums)?);
    let exact: Vec<ExactAmount> = drafts.iter().map(|draft| draft.exact.clone()).collect();
    let subtotal_exact = ExactAmount::sum(&exact);
    let subtotal = subtotal_exact.round_half_away_from_zero(currency)?;
    let displayed = allocate_by_largest_remainder(&exact, subtotal, currency)?;
    let projects = share::shares(parts, &common, subtotal)?;
    let finished = drafts.into_iter().zip(&displayed).zip(1..);
    let lines = finished.map(|((draft, displayed), position)| draft.finish(position, *displayed, currency));
    let records = parts.sums.iter().map(|sum| sum.totals.requests);
    let records = records.fold(0_u64, u64::saturating_add);
    let invoice = Invoice {
        schema: SCHEMA.to_owned(),
        status: Status::Draft,
        number: None,
        made_at: parts.now.to_string(),
        tenant: BilledTenant { id: parts.tenant.id.to_string(), name: parts.tenant.name.clone() },
        issuer: None,
        customer: None,
        period: BilledPeriod::of(parts.period, parts.now),
        currency: currency.to_string(),
        currency_decimals: currency.exponent(),
        plan_at_end: parts.plan_at_end.map(|plan| plan.id().to_string()),
        subscription: parts.subscription.map(|own| BilledSubscription::to_wire(own.facts)),
        records,
        events: parts.events_count,
        issued_as: None,
        late_records: 0,
        lines: lines.collect(),
        subtotal_exact: subtotal_exact.to_text(currency),
        subtotal: subtotal.to_text(currency),
        taxes: None,
        total: subtotal.to_text(currency),
        payment_days: None,
        due_at: None,
        projects,
        daily_tokens: Vec::new(),
        payments: Vec::new(),
        amount_due: None,
        issued_body: None,
    };
    Ok(Built { invoice, displayed, subtotal, total: subtotal })
}

/// The lines of token prices, and of the credits for late tokens that belong to them.
pub(super) fn token_drafts(parts: &InvoiceParts<'_>) -> Result<Vec<Draft>, RateError> {
    let mut drafts = Vec::new();
    for used in billed(parts)? {
        drafts.extend(charges(&used)?);
    }
    Ok(drafts)
}

/// The exact amount of all of them.
pub(super) fn exact_sum(parts: &InvoiceParts<'_>) -> Result<ExactAmount, RateError> {
    Ok(ExactAmount::sum(token_drafts(parts)?.iter().map(|draft| &draft.exact)))
}

/// All billed usage together.
pub(super) fn billed_totals(parts: &InvoiceParts<'_>) -> Result<UsageTotals, RateError> {
    let add = |sum: UsageTotals, used: &Use<'_>| sum.checked_add(&used.totals);
    Ok(billed(parts)?.iter().try_fold(UsageTotals::default(), add)?)
}

/// One invoice has one currency.
fn check_currency(plan: &Plan, currency: Currency) -> Result<(), RateError> {
    match plan.currency() == currency {
        true => Ok(()),
        false => Err(RateError::MixedCurrencies { first: currency, second: plan.currency() }),
    }
}

/// Billed usage: one entry for each model of each plan version.
fn billed<'a>(parts: &InvoiceParts<'a>) -> Result<Vec<Use<'a>>, RateError> {
    let of_all = |plan: &Plan, sum: &UsageSum| plan.is_billed(sum.reason).then_some(None);
    let mut uses = gather(parts, of_all)?;
    let late = gather(&InvoiceParts { sums: parts.late, ..*parts }, of_all)?;
    for used in &mut uses {
        let is_its = |late: &&Use<'_>| late.plan.id() == used.plan.id() && late.model == used.model;
        used.late = late.iter().find(is_its).map_or_else(UsageTotals::default, |late| late.totals);
    }
    Ok(uses)
}

/// Usage that is not billed: one entry for each model and reason of each plan version.
fn not_billed<'a>(parts: &InvoiceParts<'a>) -> Result<Vec<Use<'a>>, RateError> {
    gather(parts, |plan, sum| (!plan.is_billed(sum.reason)).then_some(Some(sum.reason)))
}

/// Adds sums up by plan version, model and what `group` says; sums for which it says nothing are left out.
fn gather<'a>(
    parts: &InvoiceParts<'a>,
    group: impl Fn(&Plan, &UsageSum) -> Option<Option<EndReason>>,
) -> Result<Vec<Use<'a>>, RateError> {
    let mut uses: BTreeMap<(&str, u32, &str, Option<EndReason>), Use<'a>> = BTreeMap::new();
    for sum in parts.sums {
        let unknown = || RateError::UnknownPriceVersion { price_version: sum.price_version.clone() };
        let plan = parts.plans.get(&sum.price_version).ok_or_else(unknown)?;
        check_currency(plan, parts.tenant.currency)?;
        let Some(reason) = group(plan, sum) else { continue };
        let model = sum.model.as_str();
        let (totals, late) = (UsageTotals::default(), UsageTotals::default());
        let start = || Use { plan, model, reason, totals, late };
        let used = uses.entry((plan.name(), plan.version(), model, reason)).or_insert_with(start);
        used.totals = used.totals.checked_add(&sum.totals)?;
    }
    Ok(uses.into_values().collect())
}

/// The charges of one model and the credit that belongs to them.
fn charges(used: &Use<'_>) -> Result<Vec<Draft>, RateError> {
    let totals = &used.totals;
    let Some(price) = used.price()? else { return Ok(Vec::new()) };
    let charged = meters(totals, price)?;
    let mut drafts: Vec<Draft> =
        charged.map(|(item, words, tokens, price)| used.charge(item, words, tokens, price)).collect();
    drafts.push(used.slo_credit(price)?);
    if !used.plan.late_requests_percent().value().is_zero() {
        let due = ExactAmount::sum(drafts.iter().map(|draft| &draft.exact));
        drafts.push(used.late_requests(price, &due)?);
    }
    Ok(drafts)
}

/// What is metered for token prices, where there is any of it.
fn meters<'a>(
    totals: &UsageTotals,
    price: &'a Price,
) -> Result<impl Iterator<Item = (&'static str, &'static str, Tokens, &'a UnitPrice)>, RateError> {
    let computed = totals.prompt_tokens.checked_sub(totals.cached_prompt_tokens);
    let computed = computed.ok_or(RateError::Impossible("more cached prompt tokens than prompt tokens"))?;
    let computed = embeddings::without(computed, totals)?;
    let meters = [
        ("input", "input tokens", computed, &price.input),
        ("cached_input", "cached input tokens", totals.cached_prompt_tokens, &price.cached_input),
        ("output", "output tokens", totals.output_tokens, &price.output),
    ];
    Ok(meters.into_iter().filter(|(_, _, tokens, _)| *tokens > Tokens::ZERO))
}

impl Use<'_> {
    /// The model's token prices; `None` where only charges sell it.
    ///
    /// Errors: the plan does not sell it at all.
    fn price(&self) -> Result<Option<&Price>, RateError> {
        let unpriced = || RateError::Unpriced {
            model: self.model.to_owned(),
            price_version: self.plan.id().to_string(),
        };
        let model = self.model.parse().map_err(|_| unpriced())?;
        match self.plan.price_of(&model) {
            None if !self.plan.sells(&model) && !self.plan.sells_embeddings(&model) => Err(unpriced()),
            price => Ok(price),
        }
    }

    fn charge(&self, item: &str, words: &str, tokens: Tokens, price: &UnitPrice) -> Draft {
        let currency = self.plan.currency();
        let unit_price = unit_price_text(price, currency);
        let line = Line {
            unit_price_per: Some(PRICE_PER_TOKENS),
            formula: Some(format!("{tokens} × {unit_price} ÷ 1000000")),
            unit_price: Some(unit_price),
            ..self.line(LineKind::Charge, item, format!("{}: {words}", self.model), tokens)
        };
        Draft { line, exact: ExactAmount::of_tokens(tokens, price) }
    }

    /// The share of the output price for each late token. There always is such a line, so that a tenant
    /// sees how the promise was kept also when nothing came late.
    fn slo_credit(&self, price: &Price) -> Result<Draft, RateError> {
        let currency = self.plan.currency();
        let late = self.totals.late_tokens;
        let percent = self.plan.late_tokens_percent();
        let unit_price = unit_price_text(&price.output, currency);
        let charge = ExactAmount::of_tokens(self.totals.output_tokens, &price.output);
        // Late tokens are output tokens and a percentage is at most 100, so the charge is never exceeded;
        // the smaller of both is taken all the same, as nobody may be paid for being served.
        let credit = ExactAmount::of_tokens(late, &price.output).share(percent).min(charge);
        let percent = percent.value().to_plain_string();
        let line = Line {
            formula: Some(format!("-({late} × {unit_price} ÷ 1000000 × {percent} ÷ 100)")),
            unit_price: Some(unit_price),
            unit_price_per: Some(PRICE_PER_TOKENS),
            percent: Some(percent),
            attainment: Some(attained(&self.totals)?),
            ..self.line(
                LineKind::SloCredit,
                "late_output",
                format!("{}: SLO credit for late output tokens", self.model),
                late,
            )
        };
        Ok(Draft { line, exact: credit.negated() })
    }

    /// The share of their token prices for requests that missed a target. `due` is what the model's tokens still come
    /// to: with the credit for late tokens it never exceeds what was charged.
    fn late_requests(&self, price: &Price, due: &ExactAmount) -> Result<Draft, RateError> {
        let (currency, percent) = (self.plan.currency(), self.plan.late_requests_percent());
        let mut charged = ExactAmount::zero();
        let mut terms = Vec::new();
        for (_, _, tokens, price) in meters(&self.late, price)? {
            charged = charged.plus(&ExactAmount::of_tokens(tokens, price));
            terms.push(format!("{tokens} × {} ÷ 1000000", unit_price_text(price, currency)));
        }
        let credit = charged.share(percent).min(due.clone());
        let sum = if terms.is_empty() { "0".to_owned() } else { terms.join(" + ") };
        let percent = percent.value().to_plain_string();
        let line = Line {
            quantity: self.late.requests,
            unit: "requests".to_owned(),
            formula: Some(format!("-min(({sum}) × {percent} ÷ 100, {})", due.to_text(currency))),
            percent: Some(percent),
            attainment: Some(attained(&self.totals)?),
            ..self.line(
                LineKind::SloCredit,
                "late_requests",
                format!("{}: SLO credit for late requests", self.model),
                Tokens::ZERO,
            )
        };
        Ok(Draft { line, exact: credit.negated() })
    }

    /// A line about this usage, without price.
    fn line(&self, kind: LineKind, item: &str, description: String, tokens: Tokens) -> Line {
        Line {
            description,
            model: Some(self.model.to_owned()),
            price_version: Some(self.plan.id().to_string()),
            reason: self.reason.map(|reason| reason.as_str().to_owned()),
            requests: self.totals.requests,
            quantity: tokens.get(),
            unit: "tokens".to_owned(),
            ..Line::blank(kind, item)
        }
    }
}

pub(super) fn attained(totals: &UsageTotals) -> Result<Attainment, RateError> {
    let (met, all) = (totals.requests_slo_met, totals.requests);
    // Hundredths of a percent in whole numbers.
    let hundredths = (u128::from(met) * 10_000).checked_div(u128::from(all));
    let hundredths = hundredths.ok_or(RateError::Impossible("usage without a request"))?;
    let percent_rounded_down = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    Ok(Attainment { requests_slo_met: met, requests: all, percent_rounded_down })
}

/// Input and output of requests that are not charged; of requests without any token the input line stays.
fn not_billed_lines(used: &Use<'_>) -> Vec<Draft> {
    let totals = &used.totals;
    let reason = used.reason.map_or("", EndReason::as_str);
    let meters = [("input", totals.prompt_tokens), ("output", totals.output_tokens)];
    let is_empty = meters.iter().all(|(_, tokens)| *tokens == Tokens::ZERO);
    let shown =
        meters.into_iter().filter(|(item, tokens)| *tokens > Tokens::ZERO || (is_empty && *item == "input"));
    let draft = |(item, tokens)| {
        let description = format!("{}: {item} tokens, not billed ({reason})", used.model);
        Draft { line: used.line(LineKind::NotBilled, item, description, tokens), exact: ExactAmount::zero() }
    };
    shown.map(draft).collect()
}

/// A price with all its digits, at least as many decimals as the currency has.
fn unit_price_text(price: &UnitPrice, currency: Currency) -> String {
    ExactAmount::of_tokens(Tokens::new(PRICE_PER_TOKENS), price).to_text(currency)
}

impl Draft {
    fn finish(self, position: u32, displayed: MinorUnits, currency: Currency) -> Line {
        Line {
            position,
            exact: self.exact.to_text(currency),
            displayed: displayed.to_text(currency),
            ..self.line
        }
    }
}
