//! Whether the numbers of issued invoices and credit notes follow one another without a gap.
//! Never a number that is given out: `invoices` and `credit_notes` draw those.
//! Called by `reconcile`.

mod sql;

use super::{Ledger, LedgerError};

/// Numbers of one issuer that are not one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialDifference {
    /// Which series, such as `invoices of TG`.
    pub series: String,
    /// What is wrong with it.
    pub field: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

#[derive(sqlx::FromRow)]
struct SeriesRow {
    series: String,
    /// What the next document will have.
    next: i64,
    last: i64,
    /// The first that has none before it.
    after_gap: Option<i64>,
    /// The first whose number is not that of its serial.
    misnamed: Option<String>,
}

impl SeriesRow {
    fn difference(self) -> Option<SerialDifference> {
        let Self { series, next, last, after_gap, misnamed } = self;
        let (field, expected, found) = if let Some(found) = after_gap {
            (
                "the serial after the first gap",
                "the one after the serial before it".to_owned(),
                found.to_string(),
            )
        } else if last.checked_add(1) != Some(next) {
            ("the next serial", last.saturating_add(1).to_string(), next.to_string())
        } else if let Some(number) = misnamed {
            ("a number", "that of its serial".to_owned(), number)
        } else {
            return None;
        };
        Some(SerialDifference { series, field: field.to_owned(), expected, found })
    }
}

impl Ledger {
    /// The first thing that is wrong with each series of numbers, all of one moment.
    ///
    /// Errors: a database that fails.
    pub async fn serial_differences(&self) -> Result<Vec<SerialDifference>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let rows: Vec<SeriesRow> = transaction.rows(sql::SERIES, &[]).await?;
        Ok(rows.into_iter().filter_map(SeriesRow::difference).collect())
    }
}
