//! Columns and cells of an export: what every format writes, each in its own way.
//! Never a float: numbers are whole or exact decimals.
//! Made by `usage`, `lines` and `focus`; written by `csv`, `json` and `parquet`.

use bigdecimal::BigDecimal;
use domain::Timestamp;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text. In CSV, one that a spreadsheet would take for a formula is made harmless.
    Text,
    /// A whole number.
    Count,
    /// An exact decimal. Parquet rounds it to what its decimals hold.
    Decimal,
    /// An exact decimal of any length: Parquet has its digits as text as well.
    Exact,
    /// Yes or no.
    Flag,
    /// An instant, UTC.
    Instant,
}

/// A column. Any cell may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// One value, of its column's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Empty,
    /// A text.
    Text(String),
    /// A whole number.
    Count(i64),
    /// An exact decimal.
    Decimal(BigDecimal),
    /// Yes or no.
    Flag(bool),
    /// An instant.
    Instant(Timestamp),
}

impl Column {
    pub(super) const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind }
    }
}

impl Cell {
    /// A text that may be absent.
    pub(super) fn text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Empty, |text| Self::Text(text.into()))
    }

    /// As CSV and JSON write it, before any quoting. `None`: nothing.
    pub(super) fn to_plain(&self) -> Option<String> {
        match self {
            Self::Empty => None,
            Self::Text(text) => Some(text.clone()),
            Self::Count(number) => Some(number.to_string()),
            Self::Decimal(decimal) => Some(plain(decimal)),
            Self::Flag(flag) => Some(flag.to_string()),
            Self::Instant(at) => Some(at.to_string()),
        }
    }
}

/// All digits, no exponent, no zeros at the end.
pub(super) fn plain(decimal: &BigDecimal) -> String {
    decimal.normalized().to_plain_string()
}
