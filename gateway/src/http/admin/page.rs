//! Long lists in pages: how many, from where, and where the next page begins.
//! Never an offset: a page begins after the last row of the one before, so that new rows move nothing.
//! Used by every route that lists.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use utoipa::{IntoParams, ToSchema};

use crate::http::ApiError;

/// Rows of a page that asks for no number.
const PAGE_ROWS_DEFAULT: usize = 100;
/// Rows of a page at most: a few hundred kilobytes.
const PAGE_ROWS_MAX: usize = 1_000;

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// How many rows at most.
    #[serde(default, deserialize_with = "rows")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    pub(super) limit: Rows,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    #[param(min_length = 1, max_length = 200)]
    pub(super) cursor: Option<String>,
}

impl PageQuery {
    /// Where the page before ended, as a checked type.
    ///
    /// Errors: a text that no page gave.
    pub(super) fn after<T: FromStr>(&self) -> Result<Option<T>, ApiError> {
        let parsed = self.cursor.as_deref().map(str::parse::<T>).transpose();
        parsed.map_err(|_| bad_cursor())
    }

    /// The part of a list that is in memory, and bounded: what comes after the row that the cursor names.
    ///
    /// Errors: it names none.
    pub(super) fn rest<'a, T>(
        &self,
        all: &'a [T],
        is_named: impl Fn(&T, &str) -> bool,
    ) -> Result<impl Iterator<Item = &'a T>, ApiError> {
        let start = match self.cursor.as_deref() {
            None => 0,
            Some(after) => all
                .iter()
                .position(|row| is_named(row, after))
                .map(|place| place + 1)
                .ok_or_else(bad_cursor)?,
        };
        Ok(all.iter().skip(start).take(self.limit.get() + 1))
    }
}

/// A cursor that no page gave.
pub(super) fn bad_cursor() -> ApiError {
    ApiError::invalid("invalid_value", "cursor", "cursor: give back a next_cursor as it was")
}

/// Rows of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows(usize);

impl Default for Rows {
    fn default() -> Self {
        Self(PAGE_ROWS_DEFAULT)
    }
}

impl Rows {
    /// As many as a page may have.
    pub(super) fn most() -> Self {
        Self(PAGE_ROWS_MAX)
    }

    pub(super) fn get(self) -> usize {
        self.0
    }
}

/// A number of rows from 1 to 1,000.
pub(super) fn rows<'de, D: Deserializer<'de>>(input: D) -> Result<Rows, D::Error> {
    let number = u64::deserialize(input)?;
    let rows = usize::try_from(number).ok().filter(|rows| (1..=PAGE_ROWS_MAX).contains(rows));
    rows.map(Rows)
        .ok_or_else(|| D::Error::custom(format!("limit: {number} is not between 1 and {PAGE_ROWS_MAX}")))
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The rows.
    pub(super) data: Vec<T>,
    /// What to send as `cursor` for the next page; null on the last one.
    #[schema(required = true)]
    pub(super) next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The only page.
    pub(super) fn whole(data: Vec<T>) -> Self {
        Self { data, next_cursor: None }
    }

    /// A page of `rows` rows out of a list of which one row more was asked for.
    pub(super) fn cut(mut data: Vec<T>, rows: Rows, cursor_of: impl Fn(&T) -> String) -> Self {
        let is_full = data.len() > rows.get();
        data.truncate(rows.get());
        let next_cursor = data.last().filter(|_| is_full).map(cursor_of);
        Self { data, next_cursor }
    }
}
