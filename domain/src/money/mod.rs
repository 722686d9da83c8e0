//! Money: integer billionths of one currency, and the currencies themselves.
//! Never a float, never two currencies in one sum, and no rounding: that happens in `billing::rate`.
//! Used for amounts that are held, owed or paid.

mod codes;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why an amount could not be computed or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Two currencies met in one sum.
    #[error("amounts of different currencies cannot be added")]
    MixedCurrency,
    /// The result does not fit.
    #[error("an amount of money overflowed")]
    Overflow,
    /// Not three capital letters.
    #[error("a currency must be an ISO 4217 code of three capital letters")]
    BadCurrency,
    /// Not a plain decimal.
    #[error("an amount must be a plain decimal such as 25 or 25.00, with at most 9 decimals")]
    BadAmount,
}

/// An ISO 4217 currency code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(*b"EUR");
    /// The US dollar.
    pub const USD: Self = Self(*b"USD");

    /// Digits after the decimal point of the smallest payable unit: 2 for most, 0 for yen, 3 for dinars.
    ///
    /// A code that is not in use any more has two.
    /// Source: ISO 4217, minor unit column.
    pub fn exponent(self) -> u32 {
        codes::exponent(self.0).unwrap_or(2)
    }

    /// Whether ISO 4217 has the code in use, with a smallest unit that can be paid. What was billed in another stays
    /// readable: codes go out of use.
    pub fn is_in_use(self) -> bool {
        codes::exponent(self.0).is_some()
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(MoneyError::BadCurrency),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, MoneyError> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.as_str().to_owned()
    }
}

/// Decimals of a billionth.
const NANO_DECIMALS: usize = 9;
/// Billionths in one currency unit.
const NANOS_PER_UNIT: u128 = 1_000_000_000;

/// An amount in billionths of one currency unit; negative means credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    nanos: i128,
    currency: Currency,
}

impl Money {
    /// An amount of `nanos` billionths.
    pub const fn from_nanos(nanos: i128, currency: Currency) -> Self {
        Self { nanos, currency }
    }

    /// Billionths of one currency unit.
    pub const fn nanos(self) -> i128 {
        self.nanos
    }

    /// Billionths of one currency unit, as SQL stores them and admission counts them.
    ///
    /// Errors: overflow beyond 9 thousand million units.
    pub fn to_i64_nanos(self) -> Result<i64, MoneyError> {
        i64::try_from(self.nanos).map_err(|_| MoneyError::Overflow)
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Reads a plain decimal: digits, at most one point between them, at most nine decimals; a minus may come first.
    ///
    /// Errors: any other text, overflow.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text),
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(decimals) || decimals.len() > NANO_DECIMALS {
            return Err(MoneyError::BadAmount);
        }
        // Only digits: what does not read is too large.
        let nanos: i128 =
            format!("{whole}{decimals:0<NANO_DECIMALS$}").parse().map_err(|_| MoneyError::Overflow)?;
        Ok(Self { nanos: sign * nanos, currency })
    }

    /// The sum.
    ///
    /// Errors: different currencies, overflow.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::MixedCurrency);
        }
        let nanos = self.nanos.checked_add(other.nanos).ok_or(MoneyError::Overflow)?;
        Ok(Self { nanos, ..self })
    }
}

impl fmt::Display for Money {
    /// The amount without its currency: every digit that counts, at least the currency's own decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.nanos < 0 { "-" } else { "" };
        let magnitude = self.nanos.unsigned_abs();
        let decimals = format!("{:0NANO_DECIMALS$}", magnitude % NANOS_PER_UNIT);
        let shortest = usize::try_from(self.currency.exponent()).unwrap_or(NANO_DECIMALS).min(NANO_DECIMALS);
        let counted = decimals.trim_end_matches('0').len().max(shortest);
        let whole = magnitude / NANOS_PER_UNIT;
        match counted {
            0 => write!(f, "{sign}{whole}"),
            counted => write!(f, "{sign}{whole}.{}", &decimals[..counted]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_their_currency() {
        let one = Money::from_nanos(1, Currency::USD);
        assert_eq!(one.checked_add(one), Ok(Money::from_nanos(2, Currency::USD)));
        assert_eq!(one.checked_add(Money::from_nanos(1, Currency::EUR)), Err(MoneyError::MixedCurrency));
        let most = Money::from_nanos(i128::MAX, Currency::USD);
        assert_eq!(most.checked_add(one), Err(MoneyError::Overflow));
    }

    #[test]
    fn amounts_show_every_digit_that_counts() {
        let rows = [
            (0, "USD", "0.00"),
            (25_000_000_000, "USD", "25.00"),
            (-1, "USD", "-0.000000001"),
            (-1_500_000_000, "USD", "-1.50"),
            (1_234_000_000, "USD", "1.234"),
            (7_000_000_000, "JPY", "7"),
            (7_100_000_000, "JPY", "7.1"),
            (i128::from(i64::MAX), "KWD", "9223372036.854775807"),
        ];
        for (nanos, code, text) in rows {
            let money = Money::from_nanos(nanos, code.parse().expect("a currency"));
            assert_eq!(money.to_string(), text, "{nanos} {code}");
            assert_eq!(Money::parse(text, money.currency()), Ok(money), "{text} {code}");
        }
        for text in
            ["", "-", ".", "1.", ".5", "1e3", "+1", " 1", "1,5", "1.0000000001", "--1", "1.5.2", "0x1", "١"]
        {
            assert_eq!(Money::parse(text, Currency::USD), Err(MoneyError::BadAmount), "{text:?}");
        }
        let most = Money::from_nanos(i128::from(i64::MAX) + 1, Currency::USD);
        assert_eq!(most.to_i64_nanos(), Err(MoneyError::Overflow));
        assert_eq!(Money::parse(&"9".repeat(40), Currency::USD), Err(MoneyError::Overflow));
    }

    #[test]
    fn currencies_are_three_capitals() {
        let rows = [("USD", true), ("usd", false), ("US", false), ("USDX", false), ("ÄB", false)];
        for (text, is_good) in rows {
            assert_eq!(text.parse::<Currency>().is_ok(), is_good, "{text}");
        }
    }

    #[test]
    fn codes_in_use_have_the_decimals_of_the_standard() {
        let rows = [
            ("JPY", 0, true),
            ("UYI", 0, true),
            ("USD", 2, true),
            ("EUR", 2, true),
            ("SLE", 2, true),
            ("XCG", 2, true),
            ("ZWG", 2, true),
            ("KWD", 3, true),
            ("CLF", 4, true),
            // Out of use, never in it, and without a unit that can be paid.
            ("HRK", 2, false),
            ("BGN", 2, false),
            ("ANG", 2, false),
            ("SLL", 2, false),
            ("EUE", 2, false),
            ("XBT", 2, false),
            ("BTC", 2, false),
            ("XXX", 2, false),
            ("XTS", 2, false),
            ("XAU", 2, false),
            ("XDR", 2, false),
        ];
        for (code, exponent, is_in_use) in rows {
            let currency: Currency = code.parse().expect("three capitals");
            assert_eq!((currency.exponent(), currency.is_in_use()), (exponent, is_in_use), "{code}");
        }
    }
}
