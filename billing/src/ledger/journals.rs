//! How far each gateway's journal is complete in the ledger, so that nothing is invoiced before all of it has come.
//! Never a record: those come with the journal's cursor, in `usage`.
//! Written by the shipper and when a gateway starts; read before an invoice is issued.

use std::collections::BTreeSet;

use domain::{JournalId, Timestamp};
use uuid::Uuid;

use super::{Ledger, LedgerError, Value, sql};

/// Journals named in one refusal: enough to begin with.
const BEHIND_SHOWN_MAX: usize = 20;
/// What a mark says of a journal whose gateway has stopped and owes nothing: it is complete for all time, until the
/// gateway starts again.
const FOR_GOOD: i64 = i64::MAX;

/// How complete a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complete {
    /// Nobody has said: its gateway is of an older version, or never shipped all it had.
    Unknown,
    /// Every record that ended before this instant is in the ledger.
    Before(Timestamp),
    /// Its gateway has stopped, and all its records are in the ledger.
    ForGood,
}

impl Complete {
    fn from_column(column: Option<i64>) -> Self {
        match column {
            None => Self::Unknown,
            Some(FOR_GOOD) => Self::ForGood,
            Some(micros) => Self::Before(Timestamp::from_unix_micros(micros)),
        }
    }

    fn to_column(self) -> Option<i64> {
        match self {
            Self::Unknown => None,
            Self::Before(at) => Some(at.unix_micros()),
            Self::ForGood => Some(FOR_GOOD),
        }
    }

    /// Whether no record that ended before this instant can come any more.
    pub fn is_complete(self, end: Timestamp) -> bool {
        match self {
            Self::Unknown => false,
            Self::Before(at) => at >= end,
            Self::ForGood => true,
        }
    }
}

/// A journal that the ledger knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalState {
    /// Which.
    pub id: JournalId,
    /// The last record that the ledger has; 0 before the first.
    pub sequence: u64,
    /// How complete it is.
    pub complete: Complete,
}

impl Ledger {
    /// Takes note of how complete a journal is.
    pub async fn note_complete(&self, journal: JournalId, complete: Complete) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        let values = [Value::Id(journal.as_uuid()), Value::MaybeInt(complete.to_column())];
        transaction.execute(sql::MARK_JOURNAL, &values).await?;
        transaction.commit().await
    }

    /// The first journals after one, by id; at most `rows_max`.
    pub async fn journals_page(
        &self,
        after: Option<JournalId>,
        rows_max: usize,
    ) -> Result<Vec<JournalState>, LedgerError> {
        let after = after.map_or(Uuid::nil(), |after| after.as_uuid());
        let values = [Value::Id(after), Value::rows_max(rows_max)];
        let mut transaction = self.pool.read().await?;
        let rows: Vec<(Uuid, i64, Option<i64>)> = transaction.rows(sql::JOURNALS_PAGE, &values).await?;
        rows.into_iter().map(state).collect()
    }

    /// Refuses while records that ended before an instant may still be on their way.
    ///
    /// What is ignored is said to be lost, or to hold nothing, by whoever issues.
    /// Errors: journals that are not complete up to then.
    pub async fn check_complete(
        &self,
        end: Timestamp,
        ignored: &BTreeSet<JournalId>,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.pool.read().await?;
        let rows: Vec<(Uuid, i64, Option<i64>)> =
            transaction.rows(sql::JOURNALS_BEHIND, &[Value::Int(end.unix_micros())]).await?;
        let all = rows.into_iter().map(state).collect::<Result<Vec<_>, _>>()?;
        let behind: Vec<_> = all.into_iter().filter(|journal| !ignored.contains(&journal.id)).collect();
        match behind.is_empty() {
            true => Ok(()),
            false => {
                let ids = behind.iter().take(BEHIND_SHOWN_MAX).map(|journal| journal.id.to_string());
                let journals = ids.collect::<Vec<_>>().join(", ");
                Err(LedgerError::JournalsBehind { end, count: behind.len(), journals })
            }
        }
    }
}

fn state((id, sequence, complete): (Uuid, i64, Option<i64>)) -> Result<JournalState, LedgerError> {
    let sequence = u64::try_from(sequence).map_err(|error| LedgerError::corrupt("sequence", &error))?;
    Ok(JournalState { id: JournalId::from_uuid(id), sequence, complete: Complete::from_column(complete) })
}
