//! Rating: quantity × price as exact decimals, and the one function that rounds money.
//! Never a float; money that is owed is rounded in `round_half_away_from_zero` alone, what caps count in `cap`.
//! Called by invoices; the rules are told in docs/billing.md.

mod cap;
mod charge;
mod display;
mod read;
mod share;

use std::fmt;

use bigdecimal::{BigDecimal, Signed, ToPrimitive, Zero, num_bigint::BigInt};
use domain::{Currency, Fault, PeriodError, PlanVersionId, QuantityError, Tokens};

pub(crate) use cap::PlanRates;
pub use cap::{ChargedTokens, affordable_output_tokens, charge_nanos, hold_embeddings_nanos, hold_nanos};
pub use charge::{PartKind, PeriodCounts, RatedCharge, RatedPart, rate_charge, to_units};
pub use display::allocate_by_largest_remainder;
pub(crate) use read::plain_decimal;

use crate::plan::{Percent, UnitPrice};

/// Prices are per this many tokens: ten to the power of six.
const PRICE_UNIT_EXPONENT: i64 = 6;
/// A billionth: ten to the power of minus nine.
const NANO_EXPONENT: i64 = 9;
/// A percentage is per this many: ten to the power of two.
const PERCENT_EXPONENT: i64 = 2;

/// Why usage could not be rated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// A model that the plan version in the usage record does not price.
    #[error("model {model:?} was used under plan version {price_version}, which has no price for it")]
    Unpriced {
        /// The model.
        model: String,
        /// The plan version in the records.
        price_version: String,
    },
    /// Usage priced in two currencies cannot stand on one invoice.
    #[error("usage of this period is priced in {first} and in {second}; one invoice has one currency")]
    MixedCurrencies {
        /// One currency.
        first: Currency,
        /// Another.
        second: Currency,
    },
    /// An amount beyond what an invoice can hold.
    #[error("an amount of {0} minor units does not fit an invoice")]
    TooLarge(String),
    /// A sum of quantities beyond what an invoice can hold.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// A plan version named in the usage that is not at hand.
    #[error("usage was priced by plan version {price_version}, which is not in the ledger")]
    UnknownPriceVersion {
        /// The version.
        price_version: PlanVersionId,
    },
    /// A tax of an invoice that is no percentage.
    #[error("an invoice has a tax of {0:?} percent, which is none")]
    BadTax(String),
    /// A period beyond the calendar.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// Sums that contradict each other.
    #[error("the sums of usage are impossible: {0}")]
    Impossible(&'static str),
}

impl RateError {
    /// Which kind of failure this is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unpriced { .. } | Self::MixedCurrencies { .. } => Fault::Conflict,
            Self::BadTax(_) => Fault::Invalid,
            Self::TooLarge(_)
            | Self::Quantity(_)
            | Self::Period(_)
            | Self::UnknownPriceVersion { .. }
            | Self::Impossible(_) => Fault::Broken,
        }
    }
}

/// An exact amount of money in currency units: no digit is ever dropped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExactAmount(BigDecimal);

impl ExactAmount {
    /// Nothing.
    pub fn zero() -> Self {
        Self(BigDecimal::zero())
    }

    /// `tokens × price / 1,000,000`.
    pub fn of_tokens(tokens: Tokens, price: &UnitPrice) -> Self {
        let product = BigDecimal::from(tokens.get()) * price.per_million_tokens();
        Self(product * BigDecimal::new(BigInt::from(1), PRICE_UNIT_EXPONENT))
    }

    /// A decimal, as a plan states it.
    pub fn of_decimal(amount: BigDecimal) -> Self {
        Self(amount)
    }

    /// A number of billionths, as caps count money.
    pub fn of_nanos(nanos: i128) -> Self {
        Self(BigDecimal::new(BigInt::from(nanos), NANO_EXPONENT))
    }

    /// `percent / 100` of it, also above a hundred.
    pub fn percent(&self, percent: &BigDecimal) -> Self {
        Self(&self.0 * percent * BigDecimal::new(BigInt::from(1), PERCENT_EXPONENT))
    }

    /// `percent / 100` of it.
    pub fn share(&self, percent: &Percent) -> Self {
        self.percent(percent.value())
    }

    /// The same amount in the other direction.
    pub fn negated(&self) -> Self {
        Self(-self.0.clone())
    }

    /// The sum.
    pub fn plus(&self, other: &Self) -> Self {
        Self(&self.0 + &other.0)
    }

    /// The sum of all.
    pub fn sum<'a>(amounts: impl IntoIterator<Item = &'a Self>) -> Self {
        amounts.into_iter().fold(Self::zero(), |sum, amount| sum.plus(amount))
    }

    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// Whether it is below zero: a credit.
    pub fn is_negative(&self) -> bool {
        self.0.is_negative()
    }

    /// Rounds to whole minor units (cents, yen, fils) of a currency. A half goes away from zero:
    /// 0.005 becomes 0.01 and −0.005 becomes −0.01.
    ///
    /// This is the only place where money that is owed is rounded; what caps count is rounded in `cap`.
    /// Errors: an amount beyond 92 thousand million million minor units.
    pub fn round_half_away_from_zero(&self, currency: Currency) -> Result<MinorUnits, RateError> {
        let minor = &self.0 * ten_to(currency.exponent());
        let (digits, scale) = minor.into_bigint_and_scale();
        // `digits / 10^scale`; with a scale of zero or below the amount is whole already.
        let Ok(decimals @ 1..) = u32::try_from(scale) else {
            let whole = BigDecimal::new(digits, scale);
            return whole
                .to_i64()
                .map(MinorUnits)
                .ok_or_else(|| RateError::TooLarge(whole.to_plain_string()));
        };
        let rounded = divided_half_away_from_zero(&digits, BigInt::from(10).pow(decimals));
        rounded.to_i64().map(MinorUnits).ok_or_else(|| RateError::TooLarge(rounded.to_string()))
    }

    /// The largest whole number of minor units that is not above it, and what is left over.
    fn split_down(&self, currency: Currency) -> Result<(i64, BigDecimal), RateError> {
        let minor = &self.0 * ten_to(currency.exponent());
        let truncated = minor.with_scale(0);
        let floor = if truncated > minor { truncated - BigDecimal::from(1) } else { truncated };
        let rest = &minor - &floor;
        floor.to_i64().map(|floor| (floor, rest)).ok_or_else(|| RateError::TooLarge(floor.to_plain_string()))
    }

    /// All digits, at least as many decimals as the currency has, no exponent, no minus before zero.
    pub fn to_text(&self, currency: Currency) -> String {
        let normal = self.0.normalized();
        let decimals = normal.fractional_digit_count().max(i64::from(currency.exponent()));
        normal.with_scale(decimals).to_plain_string()
    }
}

impl fmt::Display for ExactAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.normalized().to_plain_string())
    }
}

/// A rounded amount. Unit: the smallest payable unit of its currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinorUnits(i64);

impl MinorUnits {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// This many.
    pub const fn new(minor: i64) -> Self {
        Self(minor)
    }

    /// The count.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// `part / whole` of it, rounded once, half away from zero: the share that a tax takes.
    ///
    /// Errors: an amount that does not fit; a whole that is not above zero.
    pub fn share(self, part: &BigDecimal, whole: &BigDecimal) -> Result<Self, RateError> {
        let decimals = part.fractional_digit_count().max(whole.fractional_digit_count()).max(0);
        let (part, _) = part.with_scale(decimals).into_bigint_and_scale();
        let (whole, _) = whole.with_scale(decimals).into_bigint_and_scale();
        if !whole.is_positive() {
            return Err(RateError::Impossible("a share of nothing"));
        }
        let rounded = divided_half_away_from_zero(&(part * self.0), whole);
        rounded.to_i64().map(Self).ok_or_else(|| RateError::TooLarge(rounded.to_string()))
    }

    /// The sum.
    ///
    /// Errors: it does not fit.
    pub fn checked_add(self, other: Self) -> Result<Self, RateError> {
        let sum = self.0.checked_add(other.0);
        sum.map(Self).ok_or_else(|| RateError::TooLarge(format!("{} + {}", self.0, other.0)))
    }

    /// The difference.
    ///
    /// Errors: it does not fit.
    pub fn checked_sub(self, other: Self) -> Result<Self, RateError> {
        let difference = self.0.checked_sub(other.0);
        difference.map(Self).ok_or_else(|| RateError::TooLarge(format!("{} - {}", self.0, other.0)))
    }

    /// Reads an amount of a currency as it is shown: `12.50`, `-3`, with at most the currency's decimals.
    pub fn parse(text: &str, currency: Currency) -> Option<Self> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (whole, decimals) = digits.split_once('.').map_or((digits, None), |(a, b)| (a, Some(b)));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let exponent = usize::try_from(currency.exponent()).ok()?;
        let is_amount = is_digits(whole) && decimals.is_none_or(is_digits);
        let decimals = decimals.unwrap_or("");
        if !is_amount || decimals.len() > exponent {
            return None;
        }
        let minor: i64 = format!("{whole}{decimals:0<exponent$}").parse().ok()?;
        Some(Self(sign * minor))
    }

    /// In currency units with the currency's decimals: `-0.05`, `12.00`, `7` for yen.
    pub fn to_text(self, currency: Currency) -> String {
        BigDecimal::new(BigInt::from(self.0), i64::from(currency.exponent())).to_plain_string()
    }
}

/// A quotient as a whole number, a half going away from zero; the divisor is above zero.
fn divided_half_away_from_zero(amount: &BigInt, divisor: BigInt) -> BigInt {
    let twice: BigInt = amount.abs() * 2 + &divisor;
    (twice / (divisor * 2)) * amount.signum()
}

/// How often `size` goes into `amount`, any rest counted as one more; neither is below zero.
fn divided_up(amount: &BigDecimal, size: &BigDecimal) -> BigInt {
    // In whole numbers of the finest decimal of both, so that nothing depends on how far a division goes.
    let decimals = amount.fractional_digit_count().max(size.fractional_digit_count()).max(0);
    let (amount, _) = amount.with_scale(decimals).into_bigint_and_scale();
    let (size, _) = size.with_scale(decimals).into_bigint_and_scale();
    (amount + &size - 1) / size
}

fn ten_to(exponent: u32) -> BigDecimal {
    BigDecimal::from(BigInt::from(10).pow(exponent))
}

#[cfg(test)]
mod tests;
