//! Taxes of an invoice: several rates on one subtotal, added to it or contained in it, or none and the reason why.
//! Never a float and never a sum of rounded parts: each tax is rounded once, from the subtotal that is shown.
//! Called by invoices, credit notes and `verify`, which all compute the same from the same few words.

use std::str::FromStr;

use bigdecimal::{BigDecimal, Zero as _};
use domain::Currency;
use serde::{Deserialize, Serialize};

use crate::rate::{MinorUnits, RateError};

/// Tax rates on one invoice: no country takes more than a handful.
pub const TAX_RATES_MAX: usize = 10;
/// Longest name of a tax. Unit: characters.
const NAME_LENGTH_MAX: usize = 64;
/// Decimals of a percentage, as of those in plans.
const PERCENT_DECIMALS_MAX: usize = 9;
/// What a reverse charge is called where the issuer has no words of its own.
const REVERSE_CHARGE: &str = "Reverse charge: the recipient of the supply owes the tax.";

/// Whether a tax comes on top of prices or is a part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxMode {
    /// Added to the subtotal.
    Exclusive,
    /// Contained in the subtotal.
    Inclusive,
}

/// How a tenant is taxed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxStatus {
    /// By the rates that apply.
    #[default]
    Standard,
    /// Not at all; the note says why.
    Exempt,
    /// By the tenant itself, as the note says.
    ReverseCharge,
}

impl TaxMode {
    /// The name in JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Inclusive => "inclusive",
        }
    }
}

impl TaxStatus {
    /// The name in SQL, JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Exempt => "exempt",
            Self::ReverseCharge => "reverse_charge",
        }
    }
}

impl FromStr for TaxStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Standard, Self::Exempt, Self::ReverseCharge];
        let found = all.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| format!("a tax status must be standard, exempt or reverse_charge, not {text:?}"))
    }
}

/// One tax: what it is called and how much of a hundred it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaxRate {
    /// What it is called, such as `VAT`.
    pub name: String,
    /// How much of a hundred: a decimal from 0 to 100, such as `19` or `8.875`.
    pub percent: String,
    /// Whether it is added or contained.
    pub mode: TaxMode,
}

/// Why a tax rate cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaxError {
    /// A name of nothing, or too long.
    #[error("a tax must have a name of 1 to 64 printable characters, not {0:?}")]
    BadName(String),
    /// No share of a hundred.
    #[error("a tax must be a percentage from 0 to 100 with at most 9 decimals, not {0:?}")]
    BadPercent(String),
    /// Too many.
    #[error("there may be at most {TAX_RATES_MAX} taxes")]
    TooMany,
    /// Not `NAME=PERCENT`.
    #[error("a tax is given as NAME=PERCENT or NAME=PERCENT:inclusive, not {0:?}")]
    BadForm(String),
}

impl FromStr for TaxRate {
    type Err = TaxError;

    /// `VAT=19`, `VAT=19:exclusive` or `VAT=19:inclusive`.
    fn from_str(text: &str) -> Result<Self, TaxError> {
        let bad = || TaxError::BadForm(text.to_owned());
        let (name, rest) = text.rsplit_once('=').ok_or_else(bad)?;
        let (percent, mode) = match rest.split_once(':') {
            None | Some((_, "exclusive")) => (rest.split(':').next().unwrap_or(rest), TaxMode::Exclusive),
            Some((percent, "inclusive")) => (percent, TaxMode::Inclusive),
            Some(_) => return Err(bad()),
        };
        Self::new(name, percent, mode)
    }
}

impl TaxRate {
    /// A tax, its percentage in the shortest form.
    ///
    /// Errors: a name that is empty or too long, a percentage that is none.
    pub fn new(name: &str, percent: &str, mode: TaxMode) -> Result<Self, TaxError> {
        let is_name =
            (1..=NAME_LENGTH_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if !is_name || name.trim() != name {
            return Err(TaxError::BadName(name.to_owned()));
        }
        let value = share_of(percent).ok_or_else(|| TaxError::BadPercent(percent.to_owned()))?;
        Ok(Self { name: name.to_owned(), percent: value.normalized().to_plain_string(), mode })
    }
}

/// A percentage from 0 to 100, written as digits with at most one point.
fn share_of(percent: &str) -> Option<BigDecimal> {
    let (whole, decimals) = percent.split_once('.').unwrap_or((percent, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(decimals) || whole.len() > 3 || decimals.len() > PERCENT_DECIMALS_MAX {
        return None;
    }
    let hundred = BigDecimal::from(100);
    percent.parse::<BigDecimal>().ok().filter(|value| value <= &hundred)
}

/// Checks every rate of a list, as it came from somebody.
///
/// Errors: the first that cannot be used, or too many.
pub fn check_rates(rates: &[TaxRate]) -> Result<Vec<TaxRate>, TaxError> {
    if rates.len() > TAX_RATES_MAX {
        return Err(TaxError::TooMany);
    }
    rates.iter().map(|rate| TaxRate::new(&rate.name, &rate.percent, rate.mode)).collect()
}

/// The taxes of an invoice, as they stand on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taxes {
    /// How the tenant is taxed.
    pub status: TaxStatus,
    /// Why there is no tax, or who owes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Each tax, rounded once.
    pub lines: Vec<TaxLine>,
    /// The subtotal less the taxes that it contains.
    pub net: String,
    /// All taxes together.
    pub tax: String,
}

/// One tax on an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxLine {
    /// What it is called.
    pub name: String,
    /// How much of a hundred.
    pub percent: String,
    /// Whether it is added or contained.
    pub mode: TaxMode,
    /// What it is a share of.
    pub base: String,
    /// The arithmetic, written out.
    pub formula: String,
    /// The result, rounded once, half away from zero.
    pub amount: String,
}

impl TaxLine {
    fn rate(&self) -> TaxRate {
        TaxRate { name: self.name.clone(), percent: self.percent.clone(), mode: self.mode }
    }
}

impl Taxes {
    /// The taxes on a subtotal, and the total that they make of it.
    ///
    /// Errors: amounts that do not fit; a percentage that is none.
    pub fn on(
        subtotal: MinorUnits,
        currency: Currency,
        (status, note): (TaxStatus, Option<&str>),
        rates: &[TaxRate],
    ) -> Result<(Self, MinorUnits), RateError> {
        let rates = match status {
            TaxStatus::Standard => rates,
            TaxStatus::Exempt | TaxStatus::ReverseCharge => &[],
        };
        let note = match status {
            TaxStatus::Standard => None,
            TaxStatus::Exempt => note,
            TaxStatus::ReverseCharge => Some(note.unwrap_or(REVERSE_CHARGE)),
        };
        let amounts = amounts(subtotal, rates)?;
        let contained = sum_of(&amounts, TaxMode::Inclusive)?;
        let added = sum_of(&amounts, TaxMode::Exclusive)?;
        let net = subtotal.checked_sub(contained)?;
        let inclusive = percent_sum(rates, TaxMode::Inclusive)?;
        let line = |(rate, amount): &(&TaxRate, MinorUnits)| {
            let base = match rate.mode {
                TaxMode::Exclusive => net.to_text(currency),
                TaxMode::Inclusive => subtotal.to_text(currency),
            };
            let divisor = match rate.mode {
                TaxMode::Exclusive => "100".to_owned(),
                TaxMode::Inclusive => format!("(100 + {})", inclusive.normalized().to_plain_string()),
            };
            TaxLine {
                name: rate.name.clone(),
                percent: rate.percent.clone(),
                mode: rate.mode,
                formula: format!("{base} × {} ÷ {divisor}", rate.percent),
                base,
                amount: amount.to_text(currency),
            }
        };
        let taxes = Self {
            status,
            note: note.map(str::to_owned),
            lines: amounts.iter().map(line).collect(),
            net: net.to_text(currency),
            tax: contained.checked_add(added)?.to_text(currency),
        };
        Ok((taxes, subtotal.checked_add(added)?))
    }

    /// The same rates on another subtotal.
    ///
    /// Errors: as [`Self::on`].
    pub fn again(&self, subtotal: MinorUnits, currency: Currency) -> Result<(Self, MinorUnits), RateError> {
        let rates: Vec<_> = self.lines.iter().map(TaxLine::rate).collect();
        Self::on(subtotal, currency, (self.status, self.note.as_deref()), &rates)
    }

    /// The rounded amount of each tax on a subtotal, in the order of the lines, and the total with those added.
    ///
    /// Errors: as [`Self::on`].
    pub fn amounts_on(&self, subtotal: MinorUnits) -> Result<(Vec<MinorUnits>, MinorUnits), RateError> {
        let rates: Vec<_> = self.lines.iter().map(TaxLine::rate).collect();
        let amounts = amounts(subtotal, &rates)?;
        let total = subtotal.checked_add(sum_of(&amounts, TaxMode::Exclusive)?)?;
        Ok((amounts.into_iter().map(|(_, amount)| amount).collect(), total))
    }
}

/// Each tax of a subtotal. Contained ones are shares of the whole subtotal; added ones of what is left without those.
fn amounts(subtotal: MinorUnits, rates: &[TaxRate]) -> Result<Vec<(&TaxRate, MinorUnits)>, RateError> {
    let hundred = BigDecimal::from(100);
    let whole = &hundred + percent_sum(rates, TaxMode::Inclusive)?;
    let mut contained = MinorUnits::ZERO;
    for rate in rates.iter().filter(|rate| rate.mode == TaxMode::Inclusive) {
        contained = contained.checked_add(subtotal.share(&percent_of(rate)?, &whole)?)?;
    }
    let net = subtotal.checked_sub(contained)?;
    let each = rates.iter().map(|rate| {
        let amount = match rate.mode {
            TaxMode::Exclusive => net.share(&percent_of(rate)?, &hundred)?,
            TaxMode::Inclusive => subtotal.share(&percent_of(rate)?, &whole)?,
        };
        Ok((rate, amount))
    });
    each.collect()
}

fn sum_of(amounts: &[(&TaxRate, MinorUnits)], mode: TaxMode) -> Result<MinorUnits, RateError> {
    let of_mode = amounts.iter().filter(|(rate, _)| rate.mode == mode);
    of_mode.map(|(_, amount)| *amount).try_fold(MinorUnits::ZERO, MinorUnits::checked_add)
}

fn percent_of(rate: &TaxRate) -> Result<BigDecimal, RateError> {
    share_of(&rate.percent).ok_or_else(|| RateError::BadTax(rate.percent.clone()))
}

fn percent_sum(rates: &[TaxRate], mode: TaxMode) -> Result<BigDecimal, RateError> {
    let of_mode = rates.iter().filter(|rate| rate.mode == mode);
    of_mode.map(percent_of).try_fold(BigDecimal::zero(), |sum, percent| Ok(sum + percent?))
}

#[cfg(test)]
mod tests;
