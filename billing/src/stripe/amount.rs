//! Amounts as Stripe counts them: whole numbers of a unit that is mostly, and not always, the currency's smallest.
//! Never a rounding: what does not go over exactly is refused.
//! Called for every amount that goes to Stripe or comes from there.

use domain::Currency;

use crate::rate::MinorUnits;

/// Why an amount cannot be told to Stripe, or is none of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// A currency that Stripe does not take.
    #[error("Stripe takes no {0}")]
    Currency(Currency),
    /// More decimals than Stripe counts.
    #[error("{amount} {currency} cannot be said at Stripe, which counts {currency} with {decimals} decimals")]
    Decimals {
        /// The amount.
        amount: String,
        /// Its currency.
        currency: Currency,
        /// What Stripe counts.
        decimals: u32,
    },
    /// An amount to be paid whose last digit must be zero.
    #[error(
        "{amount} {currency} cannot be paid at Stripe: there the last {digits} digits of {currency} must be 0"
    )]
    Step {
        /// The amount.
        amount: String,
        /// Its currency.
        currency: Currency,
        /// How many digits.
        digits: u32,
    },
    /// Beyond all bounds.
    #[error("an amount in {0} is too large for Stripe")]
    TooLarge(Currency),
}

/// How many decimals Stripe counts. Of ISK and UGX it counts two, though there are none.
///
/// Source: Stripe, "Supported currencies", zero-decimal and three-decimal currencies and special cases.
fn decimals(currency: Currency) -> Result<u32, AmountError> {
    match currency.as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF" | "VND" | "VUV"
        | "XAF" | "XOF" | "XPF" => Ok(0),
        "BHD" | "JOD" | "KWD" | "OMR" | "TND" => Ok(3),
        "ISK" | "UGX" => Ok(2),
        _ if currency.exponent() == 2 => Ok(2),
        _ => Err(AmountError::Currency(currency)),
    }
}

/// An amount as Stripe counts it.
///
/// Errors: a currency that Stripe does not take, an amount that does not go over exactly.
pub fn to_stripe(amount: MinorUnits, currency: Currency) -> Result<i64, AmountError> {
    let (ours, theirs) = (currency.exponent(), decimals(currency)?);
    if theirs >= ours {
        let factor = 10_i64.pow(theirs - ours);
        return amount.get().checked_mul(factor).ok_or(AmountError::TooLarge(currency));
    }
    let factor = 10_i64.pow(ours - theirs);
    match amount.get() % factor {
        0 => Ok(amount.get() / factor),
        _ => Err(AmountError::Decimals { amount: amount.to_text(currency), currency, decimals: theirs }),
    }
}

/// An amount that Stripe says, as we count it.
///
/// Errors: as those of [`to_stripe`].
pub fn from_stripe(amount: i64, currency: Currency) -> Result<MinorUnits, AmountError> {
    let (ours, theirs) = (currency.exponent(), decimals(currency)?);
    if ours >= theirs {
        let factor = 10_i64.pow(ours - theirs);
        return amount.checked_mul(factor).map(MinorUnits::new).ok_or(AmountError::TooLarge(currency));
    }
    let factor = 10_i64.pow(theirs - ours);
    match amount % factor {
        0 => Ok(MinorUnits::new(amount / factor)),
        _ => Err(AmountError::Decimals { amount: amount.to_string(), currency, decimals: ours }),
    }
}

/// An amount that is to be paid, as Stripe counts it: banks take dinars in steps of ten of their thousandths.
///
/// Errors: as those of [`to_stripe`]; an amount between two steps.
pub fn chargeable(amount: MinorUnits, currency: Currency) -> Result<i64, AmountError> {
    let theirs = to_stripe(amount, currency)?;
    match decimals(currency)? == 3 && theirs % 10 != 0 {
        true => Err(AmountError::Step { amount: amount.to_text(currency), currency, digits: 1 }),
        false => Ok(theirs),
    }
}
