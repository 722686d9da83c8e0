//! Plans: what a tenant pays per token, which latency is promised, what lateness costs us.
//! Never a float and never a default price: a model without a price is not served.
//! Read from TOML or JSON by the command line, stored by the ledger, asked by admission and rating.

mod charge;
mod compare;
mod doubts;
mod error;
mod meter;
mod read;
mod subscription;

use std::collections::BTreeSet;

use bigdecimal::{BigDecimal, ToPrimitive as _};
use domain::{Currency, EndReason, ModelName, PlanVersionId, Slo, SloClass, Timestamp};
use jiff::{civil::Date, tz::TimeZone};

use crate::rate::PlanRates;

pub use charge::{
    Basis, CHARGE_NAME_LENGTH_MAX, CHARGES_MAX, Charge, Discount, DiscountAmount, Filter, Meter,
    QuantityRounding, QuantityUnit, Scheme, TIERS_MAX, TOKENS_CHARGE, Tier, UNIT_DECIMALS_MAX, UsageCharge,
};
pub use compare::TermChange;
pub use error::{PlanError, PlanProblem};
pub use meter::{
    Aggregation, BadMeterName, DataFilter, DataPointer, METER_DECIMALS_MAX, METER_FILTERS_MAX,
    METER_NAME_LENGTH_MAX, METERS_MAX, MeterDefinition, MeterName,
};
pub use subscription::{
    BaseFee, Commitment, FeeTiming, OnCancel, Proration, TRIAL_DAYS_MAX, Trial, TrialUsage,
};

/// The plan of the embedded default: what `tallygate` starts with.
pub const DEMO_PLAN_TOML: &str = include_str!("../../plans/demo.toml");

/// Text of a plan file. Some hundred prices fit many times; beyond it the file is something else.
pub const PLAN_BYTES_MAX: usize = 256 * 1024;
/// Prices in a plan: far more models than one operator serves, few enough to look through.
pub const PRICES_MAX: usize = 1_000;
/// Decimals of a price or percentage: billionths, the finest that money is held in.
pub const DECIMALS_MAX: usize = 9;
/// Highest price per million tokens. Ten times the dearest model there is, in any currency's units.
pub const PRICE_MAX: u64 = 1_000_000_000;
/// Billionths in one currency unit.
const NANOS_PER_UNIT: u64 = 1_000_000_000;
/// Longest plan name, so that `name@version` stays a readable id.
pub const PLAN_NAME_LENGTH_MAX: usize = 63;
/// Latest latency target: one day. Beyond it a target promises nothing.
pub const TARGET_MS_MAX: u64 = 86_400_000;

/// One version of a plan. It never changes once published.
#[derive(Clone, Debug)]
pub struct Plan {
    terms: Terms,
    /// What caps count for a request, worked out from the terms.
    rates: PlanRates,
    source: String,
}

/// What two texts of the same plan have in common, whatever their spaces and comments.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Terms {
    name: String,
    version: u32,
    id: PlanVersionId,
    currency: Currency,
    price_unit: Option<PriceUnit>,
    effective_from: Option<Date>,
    billed_reasons: BTreeSet<EndReason>,
    slo: Slo,
    late_tokens_percent: Percent,
    late_requests_percent: Percent,
    attainment_tiers: Vec<AttainmentTier>,
    prices: Vec<Price>,
    meters: Vec<MeterDefinition>,
    charges: Vec<Charge>,
    discounts: Vec<Discount>,
    base_fee: Option<BaseFee>,
    commitment: Option<Commitment>,
    trial: Option<Trial>,
}

/// What amounts of a plan are written in when it is not the currency: credits, compute units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceUnit {
    /// Its name.
    pub name: String,
    /// What one of it is worth. Unit: the plan's currency.
    pub worth: BigDecimal,
}

/// What tokens of one model cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    model: PricedModel,
    /// Prompt tokens that were computed.
    pub input: UnitPrice,
    /// Prompt tokens taken from the cache.
    pub cached_input: UnitPrice,
    /// Produced tokens, reasoning included.
    pub output: UnitPrice,
}

/// Which models a price is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PricedModel {
    Named(ModelName),
    Any,
}

/// An exact price. Unit: the plan's currency per 1,000,000 tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitPrice {
    per_million_tokens: BigDecimal,
    nanos_per_million_tokens: u64,
}

/// What is given back when the share of requests that met their targets falls below a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttainmentTier {
    /// Of which classes; each by itself. An empty set takes all.
    pub classes: BTreeSet<SloClass>,
    /// The bound; at the bound itself nothing is given back.
    pub below: Percent,
    /// The share of the class's charges that is given back.
    pub percent: Percent,
    /// The charges it is of, each of one class alone; the class's token prices are the charge `tokens`.
    pub charges: BTreeSet<String>,
}

impl AttainmentTier {
    /// Whether so many of so many requests are a share below the bound. None of none is not.
    pub fn is_below(&self, met: u64, requests: u64) -> bool {
        BigDecimal::from(met) * BigDecimal::from(100) < self.below.value() * BigDecimal::from(requests)
    }
}

/// An exact share of a hundred, from 0 to 100.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Percent(BigDecimal);

impl Plan {
    /// Reads a plan that may be published from TOML, or from JSON, which begins with a brace. `file` is only named in
    /// errors.
    ///
    /// Errors: the first thing that is wrong, with its line and column.
    pub fn from_text(file: &str, text: &str) -> Result<Self, PlanError> {
        let plan = Self::from_published(file, text)?;
        match plan.currency().is_in_use() {
            true => Ok(plan),
            false => Err(read::currency_out_of_use(file, text)),
        }
    }

    /// Reads a plan that was published: its currency may have gone out of use since.
    ///
    /// Errors: the first thing that is wrong, with its line and column.
    pub fn from_published(file: &str, text: &str) -> Result<Self, PlanError> {
        let terms = read::terms(file, text)?;
        let too_dear =
            || PlanError { file: file.to_owned(), line: 1, column: 1, problem: PlanProblem::TooDear };
        let rates = PlanRates::of(&terms.prices, &terms.charges).ok_or_else(too_dear)?;
        Ok(Self { terms, rates, source: text.to_owned() })
    }

    /// What its author may not have meant, in words: terms that are good and give, take or count nothing.
    pub fn doubts(&self) -> Vec<String> {
        doubts::of(self)
    }

    /// The embedded demo plan.
    ///
    /// Errors: none in practice; a test reads it.
    pub fn demo() -> Result<Self, PlanError> {
        Self::from_text("demo.toml", DEMO_PLAN_TOML)
    }

    /// The plan's name, shared by its versions.
    pub fn name(&self) -> &str {
        &self.terms.name
    }

    /// Which version this is: 1, 2, 3, …
    pub fn version(&self) -> u32 {
        self.terms.version
    }

    /// `name@version`, as usage records carry it.
    pub fn id(&self) -> &PlanVersionId {
        &self.terms.id
    }

    /// What it is priced in.
    pub fn currency(&self) -> Currency {
        self.terms.currency
    }

    /// What its amounts are written in when it is not the currency. All other amounts here are converted already.
    pub fn price_unit(&self) -> Option<&PriceUnit> {
        self.terms.price_unit.as_ref()
    }

    /// The first day on which it applies, by the tenant's own calendar. `None`: from its publication.
    pub fn effective_from(&self) -> Option<Date> {
        self.terms.effective_from
    }

    /// The first instant at which it applies to a tenant in this zone. `None`: always.
    pub fn effective_at(&self, zone: &TimeZone) -> Option<Timestamp> {
        let zoned = self.terms.effective_from?.to_zoned_datetime(zone.clone()).ok()?;
        Some(Timestamp::from_unix_micros(zoned.timestamp().as_microsecond()))
    }

    /// Whether requests that ended like this are charged.
    pub fn is_billed(&self, reason: EndReason) -> bool {
        self.terms.billed_reasons.contains(&reason)
    }

    /// The reasons that are charged, in their own order.
    pub fn billed_reasons(&self) -> impl Iterator<Item = EndReason> + '_ {
        self.terms.billed_reasons.iter().copied()
    }

    /// The latency class and targets that tenants of this plan get.
    pub fn slo(&self) -> Slo {
        self.terms.slo
    }

    /// The share of the output price given back for each late output token.
    pub fn late_tokens_percent(&self) -> &Percent {
        &self.terms.late_tokens_percent
    }

    /// The share of its token prices given back for each request that missed a target.
    pub fn late_requests_percent(&self) -> &Percent {
        &self.terms.late_requests_percent
    }

    /// What is given back of a period in which too few requests met their targets, in the order of the file.
    pub fn attainment_tiers(&self) -> &[AttainmentTier] {
        &self.terms.attainment_tiers
    }

    /// What a model costs: its own price, else the price of `"*"`. `None`: the model is not for sale.
    pub fn price_of(&self, model: &ModelName) -> Option<&Price> {
        self.place_of_price(model).and_then(|place| self.terms.prices.get(place))
    }

    /// The place of that price among all.
    pub(crate) fn place_of_price(&self, model: &ModelName) -> Option<usize> {
        let prices = &self.terms.prices;
        let named =
            prices.iter().position(|price| matches!(&price.model, PricedModel::Named(name) if name == model));
        named.or_else(|| prices.iter().position(|price| price.model == PricedModel::Any))
    }

    /// What caps count for a request.
    pub(crate) fn rates(&self) -> &PlanRates {
        &self.rates
    }

    /// Every price, in the order of the file.
    pub fn prices(&self) -> &[Price] {
        &self.terms.prices
    }

    /// Every meter of the plan's own, in the order of the file.
    pub fn meters(&self) -> &[MeterDefinition] {
        &self.terms.meters
    }

    /// Every charge, in the order of the file.
    pub fn charges(&self) -> &[Charge] {
        &self.terms.charges
    }

    /// Every discount, in the order of the file: each is taken from what those before it leave.
    pub fn discounts(&self) -> &[Discount] {
        &self.terms.discounts
    }

    /// What each period of a subscription costs.
    pub fn base_fee(&self) -> Option<&BaseFee> {
        self.terms.base_fee.as_ref()
    }

    /// The least that usage and charges of a subscription's period come to.
    pub fn commitment(&self) -> Option<&Commitment> {
        self.terms.commitment.as_ref()
    }

    /// How a subscription begins.
    pub fn trial(&self) -> Option<Trial> {
        self.terms.trial
    }

    /// Whether requests for text to a model can be sold: it has a price, or a charge for its tokens or its requests.
    pub fn sells(&self, model: &ModelName) -> bool {
        let is_its = |meter: Meter| meter.is_of_requests() && meter != Meter::EmbeddingsTokens;
        self.price_of(model).is_some() || self.charges_for(model, is_its)
    }

    /// Whether requests for embeddings to a model can be sold: it has a price, or a charge for what they use.
    pub fn sells_embeddings(&self, model: &ModelName) -> bool {
        let own = [Meter::EmbeddingsTokens, Meter::InputTokens, Meter::Requests];
        self.price_of(model).is_some() || self.charges_for(model, |meter| own.contains(&meter))
    }

    /// Whether a charge counts tokens of embeddings of such requests: they are no input tokens then.
    pub fn has_embeddings_apart(&self, model: &ModelName, class: SloClass) -> bool {
        self.terms.charges.iter().any(|charge| match &charge.basis {
            Basis::Usage(usage) => usage.meter == Meter::EmbeddingsTokens && usage.filter.takes(model, class),
            Basis::Flat(_) | Basis::Percentage { .. } => false,
        })
    }

    fn charges_for(&self, model: &ModelName, is_its: impl Fn(Meter) -> bool) -> bool {
        self.terms.charges.iter().any(|charge| match &charge.basis {
            Basis::Usage(usage) => is_its(usage.meter) && usage.filter.takes_model(model),
            Basis::Flat(_) | Basis::Percentage { .. } => false,
        })
    }

    /// The text it was read from, as stored.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether another text says the same, whatever its spaces, comments and order of fields.
    pub fn has_same_terms(&self, other: &Self) -> bool {
        self.terms == other.terms
    }
}

impl Price {
    /// The model's name, or `*` for every model without a price of its own.
    pub fn model(&self) -> &str {
        match &self.model {
            PricedModel::Named(name) => name.as_str(),
            PricedModel::Any => "*",
        }
    }
}

impl UnitPrice {
    /// A price with at most [`DECIMALS_MAX`] decimals, from 0 to [`PRICE_MAX`]. `None`: any other number.
    fn new(per_million_tokens: BigDecimal) -> Option<Self> {
        let (nanos, scale) = (&per_million_tokens * NANOS_PER_UNIT).normalized().into_bigint_and_scale();
        // A scale below zero stands for zeros at the end.
        let zeros = u32::try_from(scale.checked_neg()?).ok()?;
        let nanos = nanos.to_u64()?.checked_mul(10_u64.checked_pow(zeros)?)?;
        let is_bounded = nanos <= PRICE_MAX * NANOS_PER_UNIT;
        is_bounded.then_some(Self { per_million_tokens, nanos_per_million_tokens: nanos })
    }

    /// The currency amount for 1,000,000 tokens.
    pub fn per_million_tokens(&self) -> &BigDecimal {
        &self.per_million_tokens
    }

    /// The same amount, exactly. Unit: billionths of a currency unit for 1,000,000 tokens.
    pub fn nanos_per_million_tokens(&self) -> u64 {
        self.nanos_per_million_tokens
    }
}

impl Percent {
    /// The share, from 0 to 100.
    pub fn value(&self) -> &BigDecimal {
        &self.0
    }
}

#[cfg(test)]
mod tests;
