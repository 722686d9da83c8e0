//! Who changed what, when, from what to what: kept by the database in the transaction of each change.
//! Never written from here: triggers do that, so that no path around this program's code leaves a gap.
//! Read by the admin API and `tallygate audit`; `Ledger::acting` says who is at work.

use std::fmt;

use domain::{RequestId, TenantId, Timestamp};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{Ledger, LedgerError, Value, sql};

/// Entries in one page: some hundred kilobytes.
const PAGE_ENTRIES_MAX: usize = 1_000;

/// What kind of somebody changes things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// An operator, at the admin API.
    Operator,
    /// Somebody at a terminal of a machine that reaches the ledger.
    CommandLine,
    /// The program itself.
    System,
}

impl ActorKind {
    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::CommandLine => "command_line",
            Self::System => "system",
        }
    }
}

impl fmt::Display for ActorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who changes the ledger, for one request or one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What kind of somebody.
    pub kind: ActorKind,
    /// The operator's name, or the account on the machine.
    pub name: String,
    /// The request that asks for the changes.
    pub request_id: Option<RequestId>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its place: 1, 2, 3, … without a gap, in the order of the commits.
    pub sequence: u64,
    /// When, by the database's clock.
    pub at: Timestamp,
    /// What kind of somebody; see [`ActorKind`].
    pub actor_kind: String,
    /// Who.
    pub actor: String,
    /// What was done, such as `key.created`.
    pub action: String,
    /// What it was done to, such as `key`.
    pub object_kind: String,
    /// Which one.
    pub object_id: String,
    /// Whose it is.
    pub tenant_id: Option<TenantId>,
    /// The request that asked for it.
    pub request_id: Option<RequestId>,
    /// How it was. `None`: it was not there.
    pub before: Option<Json>,
    /// How it is now. `None`: it is gone.
    pub after: Option<Json>,
}

/// Which changes are asked for; what is `None` is not asked about.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditQuestion<'a> {
    /// Changes of this tenant and what belongs to it.
    pub tenant: Option<TenantId>,
    /// Changes of what has this id.
    pub object_id: Option<&'a str>,
    /// Changes made by this somebody.
    pub actor: Option<&'a str>,
    /// Changes before this place.
    pub before: Option<u64>,
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    sequence: i64,
    at_unix_us: i64,
    actor_kind: String,
    actor: String,
    action: String,
    object_kind: String,
    object_id: String,
    tenant_id: Option<Uuid>,
    request_id: Option<Uuid>,
    before: Option<String>,
    after: Option<String>,
}

impl AuditEntry {
    fn from_row(row: EntryRow) -> Result<Self, LedgerError> {
        let json = |text: String| {
            serde_json::from_str(&text).map_err(|error| LedgerError::corrupt("audit entry", &error))
        };
        Ok(Self {
            sequence: u64::try_from(row.sequence)
                .map_err(|error| LedgerError::corrupt("sequence", &error))?,
            at: Timestamp::from_unix_micros(row.at_unix_us),
            actor_kind: row.actor_kind,
            actor: row.actor,
            action: row.action,
            object_kind: row.object_kind,
            object_id: row.object_id,
            tenant_id: row.tenant_id.map(TenantId::from_uuid),
            request_id: row.request_id.map(RequestId::from_uuid),
            before: row.before.map(json).transpose()?,
            after: row.after.map(json).transpose()?,
        })
    }
}

impl Ledger {
    /// The same ledger for somebody whose changes are noted under his name.
    #[must_use]
    pub fn acting(&self, actor: Actor) -> Self {
        Self { pool: self.pool.acting(actor) }
    }

    /// The latest changes, newest first; at most 1,000 and one more.
    pub async fn audit_page(
        &self,
        question: &AuditQuestion<'_>,
        rows_max: usize,
    ) -> Result<Vec<AuditEntry>, LedgerError> {
        let before = question.before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
        let rows_max = i64::try_from(rows_max.min(PAGE_ENTRIES_MAX + 1)).unwrap_or(1);
        let values = [
            Value::Int(before),
            // No tenant has the id of zeros.
            Value::Id(question.tenant.map_or(Uuid::nil(), |tenant| tenant.as_uuid())),
            Value::Text(question.object_id.unwrap_or("")),
            Value::Text(question.actor.unwrap_or("")),
            Value::Int(rows_max),
        ];
        let mut transaction = self.pool.read().await?;
        let rows: Vec<EntryRow> = transaction.rows(sql::AUDIT_PAGE, &values).await?;
        rows.into_iter().map(AuditEntry::from_row).collect()
    }
}
