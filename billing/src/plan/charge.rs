//! Charges beyond token prices: what is metered, in which unit, and by which scheme its quantity becomes money.
//! Never an amount of a period: that is rating's; a charge only says how.
//! Read by `read`, rated by `rate::charge`.

use std::{collections::BTreeSet, fmt};

use bigdecimal::{BigDecimal, Zero as _};
use domain::{ModelName, SloClass};

use super::MeterName;

/// Longest name of a charge, a discount or a custom meter; it stands on every invoice line.
pub const CHARGE_NAME_LENGTH_MAX: usize = 63;
/// Charges in a plan; each is at least one line of every invoice.
pub const CHARGES_MAX: usize = 200;
/// Tiers of one charge: a table that a person still reads.
pub const TIERS_MAX: usize = 50;
/// Decimals of a converted quantity.
pub const UNIT_DECIMALS_MAX: u32 = 18;

/// How one meter, or one period, becomes money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Its name within the plan; the same name in another version of the plan is the same charge.
    pub name: String,
    /// What an invoice says of it; without it, the name.
    pub description: Option<String>,
    /// What it is for.
    pub basis: Basis,
    /// It never comes to less in a period.
    pub minimum: Option<BigDecimal>,
    /// It never comes to more in a period.
    pub maximum: Option<BigDecimal>,
}

/// What a charge is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// For a metered quantity.
    Usage(UsageCharge),
    /// For the period itself. Unit: the plan's currency.
    Flat(BigDecimal),
    /// A share of what other charges come to; of all metered ones and all before it when none is named.
    Percentage {
        /// The share of a hundred; may be above a hundred.
        percent: BigDecimal,
        /// The charges it is of.
        of: BTreeSet<String>,
    },
}

/// A price for a metered quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageCharge {
    /// What is counted.
    pub meter: Meter,
    /// What one count of the meter is, as invoices say it: `tokens`, `mJ`, `0.001 s`.
    pub counted: String,
    /// Whose usage counts.
    pub filter: Filter,
    /// What the meter's counts are turned into before anything else.
    pub unit: QuantityUnit,
    /// Units of each period that cost nothing.
    pub free: BigDecimal,
    /// How the rest becomes money.
    pub scheme: Scheme,
}

/// Which requests a charge counts. An empty set takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Requests to these models.
    pub models: BTreeSet<ModelName>,
    /// Requests served in these classes.
    pub classes: BTreeSet<SloClass>,
}

impl Filter {
    /// Whether such a request counts.
    pub fn takes(&self, model: &ModelName, class: SloClass) -> bool {
        (self.models.is_empty() || self.models.contains(model))
            && (self.classes.is_empty() || self.classes.contains(&class))
    }

    /// Whether some request to this model counts.
    pub fn takes_model(&self, model: &ModelName) -> bool {
        self.models.is_empty() || self.models.contains(model)
    }
}

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meter {
    /// Prompt tokens that were computed.
    InputTokens,
    /// Prompt tokens taken from the cache.
    CachedInputTokens,
    /// Produced tokens, reasoning included.
    OutputTokens,
    /// Produced tokens that were reasoning.
    ReasoningTokens,
    /// Prompt tokens of requests for embeddings that were computed.
    EmbeddingsTokens,
    /// Requests.
    Requests,
    /// Energy. Counted in millijoules.
    Energy,
    /// What usage events say, by a meter of the plan's own.
    Custom(MeterName),
}

impl Meter {
    /// Every meter that a plan need not define, in the order of documentation.
    pub const BUILT_IN: [Self; 7] = [
        Self::InputTokens,
        Self::CachedInputTokens,
        Self::OutputTokens,
        Self::ReasoningTokens,
        Self::EmbeddingsTokens,
        Self::Requests,
        Self::Energy,
    ];

    /// The name in plans and on invoices.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InputTokens => "input_tokens",
            Self::CachedInputTokens => "cached_input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::ReasoningTokens => "reasoning_tokens",
            Self::EmbeddingsTokens => "embeddings_tokens",
            Self::Requests => "requests",
            Self::Energy => "energy",
            Self::Custom(name) => name.as_str(),
        }
    }

    /// What it counts when nothing is converted. `None`: the plan says it.
    pub const fn counts(self) -> Option<&'static str> {
        Some(match self {
            Self::InputTokens
            | Self::CachedInputTokens
            | Self::OutputTokens
            | Self::ReasoningTokens
            | Self::EmbeddingsTokens => "tokens",
            Self::Requests => "requests",
            Self::Energy => "mJ",
            Self::Custom(_) => return None,
        })
    }

    /// Whether a request is counted by it when it is admitted, so that a charge for it sells a model.
    pub const fn is_of_requests(self) -> bool {
        match self {
            Self::InputTokens
            | Self::CachedInputTokens
            | Self::OutputTokens
            | Self::ReasoningTokens
            | Self::EmbeddingsTokens
            | Self::Requests => true,
            Self::Energy | Self::Custom(_) => false,
        }
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A unit of quantity: so many counts of the meter, to so many decimals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantityUnit {
    /// Its name on invoices: `tokens`, `kWh`.
    pub name: String,
    /// Counts of the meter in one unit; at least 1.
    pub counts: u64,
    /// Decimals that a converted quantity keeps. `None`: all of them, and they end.
    pub rounding: Option<(u32, QuantityRounding)>,
}

impl QuantityUnit {
    /// The meter's own: so many counts are one of it.
    pub fn plain(name: &str, counts: u64) -> Self {
        Self { name: name.to_owned(), counts, rounding: None }
    }
}

/// What becomes of the decimals that a converted quantity does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantityRounding {
    /// Any rest counts as one more.
    Up,
    /// A rest counts as nothing.
    Down,
    /// Half or more counts as one more.
    HalfUp,
}

impl QuantityRounding {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Up, Self::Down, Self::HalfUp];

    /// The name in plans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::HalfUp => "half_up",
        }
    }
}

/// How a quantity becomes money. Prices are in the plan's currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Every `per` units cost `price`, in proportion.
    Unit {
        /// For `per` units.
        price: BigDecimal,
        /// How many units the price is for; it has no prime factors but 2 and 5, so that every share of it ends.
        per: u64,
    },
    /// Whole packages only: a begun one is a whole one.
    Package {
        /// For one package.
        price: BigDecimal,
        /// Units in one package.
        size: BigDecimal,
    },
    /// Each part of the quantity at the price of its own tier.
    Graduated(Vec<Tier>),
    /// All of the quantity at the price of the tier that its total reaches.
    Volume(Vec<Tier>),
}

/// One tier. The first begins above zero, each other one where the one before ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its last unit, included. `None`: it has no end; only the last tier has none.
    pub up_to: Option<BigDecimal>,
    /// For one unit.
    pub price: BigDecimal,
    /// Once, when any of the quantity falls into the tier.
    pub flat: BigDecimal,
}

impl Scheme {
    /// Its tiers; none where it has none.
    pub fn tiers(&self) -> &[Tier] {
        match self {
            Self::Graduated(tiers) | Self::Volume(tiers) => tiers,
            Self::Unit { .. } | Self::Package { .. } => &[],
        }
    }

    /// The highest price of a single unit, flat amounts aside, as a price and the units it is for.
    pub fn dearest_unit(&self) -> (BigDecimal, BigDecimal) {
        match self {
            Self::Unit { price, per } => (price.clone(), BigDecimal::from(*per)),
            Self::Package { price, size } => (price.clone(), size.clone()),
            Self::Graduated(tiers) | Self::Volume(tiers) => {
                let dearest = tiers.iter().map(|tier| tier.price.clone()).max();
                (dearest.unwrap_or_else(BigDecimal::zero), BigDecimal::from(1))
            }
        }
    }
}

/// Money off, taken after all charges of a period are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discount {
    /// Its name within the plan.
    pub name: String,
    /// What an invoice says of it; without it, the name.
    pub description: Option<String>,
    /// How much.
    pub amount: DiscountAmount,
    /// The charges it is taken from; of all when none is named. Token prices count as the charge `tokens`.
    pub charges: BTreeSet<String>,
}

/// How much is taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiscountAmount {
    /// This much, at most what the charges come to. Unit: the plan's currency.
    Amount(BigDecimal),
    /// This share of a hundred, at most a hundred.
    Percent(BigDecimal),
}

/// What the lines of `[[price]]` are called together where charges are named.
pub const TOKENS_CHARGE: &str = "tokens";
