//! Counted quantities: tokens, millijoules, microseconds, and money as caps count it.
//! Never a float and never a silent overflow: sums are checked.
//! Used by everything that measures or bills.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Why a quantity could not be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The result does not fit.
    #[error("a quantity of {unit} overflowed")]
    Overflow {
        /// The unit of the quantity.
        unit: &'static str,
    },
    /// A negative number was given.
    #[error("a quantity of {unit} cannot be negative")]
    Negative {
        /// The unit of the quantity.
        unit: &'static str,
    },
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $unit:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// None of it.
            pub const ZERO: Self = Self(0);

            /// This many.
            pub const fn new(count: u64) -> Self {
                Self(count)
            }

            /// The count as a number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// Whether there is none of it.
            pub const fn is_zero(&self) -> bool {
                self.0 == 0
            }

            /// The count as SQL stores it.
            ///
            /// Errors: overflow above `i64::MAX`.
            pub fn to_i64(self) -> Result<i64, QuantityError> {
                i64::try_from(self.0).map_err(|_| QuantityError::Overflow { unit: $unit })
            }

            /// A count that SQL stored.
            ///
            /// Errors: negative numbers.
            pub fn from_i64(count: i64) -> Result<Self, QuantityError> {
                u64::try_from(count).map(Self).map_err(|_| QuantityError::Negative { unit: $unit })
            }

            /// The sum.
            ///
            /// Errors: overflow.
            pub fn checked_add(self, other: Self) -> Result<Self, QuantityError> {
                self.0.checked_add(other.0).map(Self).ok_or(QuantityError::Overflow { unit: $unit })
            }

            /// The difference, `None` when `other` is larger.
            pub fn checked_sub(self, other: Self) -> Option<Self> {
                self.0.checked_sub(other.0).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

quantity!(
    /// A count of units of model text.
    Tokens,
    "tokens"
);
quantity!(
    /// Energy. Unit: millijoules.
    Millijoules,
    "millijoules"
);
quantity!(
    /// A span of time. Unit: microseconds.
    Micros,
    "microseconds"
);

quantity!(
    /// Money as budgets and balances count it: whole, never negative, rounded up from the exact charge.
    /// Unit: billionths of one unit of the tenant's currency.
    Nanos,
    "billionths of a currency unit"
);

impl Micros {
    /// This many milliseconds.
    pub const fn from_millis(millis: u32) -> Self {
        Self(millis as u64 * 1_000)
    }

    /// A measured duration; what does not fit (584,000 years) reads as the longest span.
    pub fn from_duration(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    /// As a duration.
    pub const fn to_duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflow_is_an_error() {
        assert!(Tokens::new(u64::MAX).checked_add(Tokens::new(1)).is_err());
        assert!(Tokens::new(u64::MAX).to_i64().is_err());
        assert!(Tokens::from_i64(-1).is_err());
        assert_eq!(Tokens::new(1).checked_sub(Tokens::new(2)), None);
        assert_eq!(Micros::from_millis(u32::MAX).get(), 4_294_967_295_000);
    }
}
