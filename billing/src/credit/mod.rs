//! Credits: which grants pay for which consumption, as transfers between the accounts of a tenant.
//! Never a database and never a clock: the same debits in the same order give the same transfers.
//! Called by the ledger when records arrive, when money is granted or taken back, and when grants expire.

mod book;
mod rules;

use std::{collections::BTreeSet, fmt, str::FromStr};

use domain::{GrantId, ModelName, Nanos, QuantityError, Timestamp};
use uuid::Uuid;

pub use book::Book;
pub use rules::{BalanceRule, Lapse, RuleParts, SCOPES_MAX, balance_rules};

/// Priorities of grants for named models: before those of grants for all models, because what can be used for less
/// is used first. Otherwise it might be left over while the tenant owes for other models.
pub const PRIORITY_OF_MODELS_MAX: u8 = 49;
/// The last priority there is.
pub const PRIORITY_MAX: u8 = 99;
/// The priority of a grant that names none, for all models or for some.
pub const PRIORITY_DEFAULT: u8 = 50;
/// As [`PRIORITY_DEFAULT`].
pub const PRIORITY_OF_MODELS_DEFAULT: u8 = 25;

/// A place in the books of one tenant. What leaves one account enters another, so all together are always zero.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// Where grants come from: minus all that was ever granted.
    Issued,
    /// What is left of a grant; never below zero.
    Grant(GrantId),
    /// What was left of a grant when it expired, less what late records still used; never below zero.
    Breakage(GrantId),
    /// What requests to a model were charged, ever.
    Consumed(ModelName),
    /// Minus what was consumed without a grant and is on no invoice yet.
    Overage,
    /// Minus what was consumed without a grant and is owed by invoice.
    Billed,
}

/// The records behind a transfer, all of one journal, one model and one quarter of an hour.
///
/// Those between the first and the last are in it with all they were charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The quarter of an hour in which they ended.
    pub quarter: i64,
    /// The first one's place in its journal.
    pub first: u64,
    /// The last one's.
    pub last: u64,
    /// How many there are.
    pub records: u64,
    /// What of the first one's charge is in this transfer.
    pub first_part: Nanos,
    /// The same of the last one.
    pub last_part: Nanos,
}

/// Money that moves between two accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Where it leaves.
    pub from: Account,
    /// Where it arrives.
    pub to: Account,
    /// The grant it is about.
    pub grant: Option<GrantId>,
    /// How much; more than zero.
    pub amount: Nanos,
    /// The records it is for.
    pub span: Option<Span>,
}

/// What one request was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debit {
    /// Which model it used.
    pub model: ModelName,
    /// How much.
    pub charge: Nanos,
    /// When it began: grants that had not expired by then may pay for it, however late its record arrives.
    pub started_at: Timestamp,
    /// Its record. `None`: the sum of records from before the books were opened.
    pub place: Option<DebitPlace>,
}

/// Where a debit's record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebitPlace {
    /// Its place in its journal.
    pub sequence: u64,
    /// The quarter of an hour in which it ended.
    pub quarter: i64,
}

/// A grant with what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenGrant {
    /// Which one.
    pub id: GrantId,
    /// Lower ones are used first.
    pub priority: u8,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it was given.
    pub created_at: Timestamp,
    /// The only models it pays for. `None`: all.
    pub models: Option<BTreeSet<ModelName>>,
    /// What is left.
    pub remaining: Nanos,
    /// What was left when it expired.
    pub lapsed: Nanos,
}

impl OpenGrant {
    /// Whether it may pay for a request.
    fn pays_for(&self, debit: &Debit) -> bool {
        self.models.as_ref().is_none_or(|models| models.contains(&debit.model))
            && self.expires_at.is_none_or(|expires_at| debit.started_at < expires_at)
    }

    /// The order in which grants are used: priority, then expiry, then age.
    fn order(&self) -> (u8, i64, i64, GrantId) {
        let expiry = self.expires_at.map_or(i64::MAX, Timestamp::unix_micros);
        (self.priority, expiry, self.created_at.unix_micros(), self.id)
    }
}

impl fmt::Display for Account {
    /// The name in SQL and answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issued => f.write_str("issued"),
            Self::Grant(id) => write!(f, "grant:{}", id.as_uuid().simple()),
            Self::Breakage(id) => write!(f, "breakage:{}", id.as_uuid().simple()),
            Self::Consumed(model) => write!(f, "consumed:{model}"),
            Self::Overage => f.write_str("overage"),
            Self::Billed => f.write_str("billed"),
        }
    }
}

/// A text that names no account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no account called {0:?}")]
pub struct UnknownAccount(String);

impl FromStr for Account {
    type Err = UnknownAccount;

    fn from_str(text: &str) -> Result<Self, UnknownAccount> {
        let unknown = || UnknownAccount(text.to_owned());
        let grant = |id: &str| Uuid::parse_str(id).map(GrantId::from_uuid).map_err(|_| unknown());
        match text.split_once(':') {
            None => match text {
                "issued" => Ok(Self::Issued),
                "overage" => Ok(Self::Overage),
                "billed" => Ok(Self::Billed),
                _ => Err(unknown()),
            },
            Some(("grant", id)) => grant(id).map(Self::Grant),
            Some(("breakage", id)) => grant(id).map(Self::Breakage),
            Some(("consumed", model)) => ModelName::new(model).map(Self::Consumed).map_err(|_| unknown()),
            Some(_) => Err(unknown()),
        }
    }
}

/// What is taken off a quantity that is known to be at least as large.
fn less(from: Nanos, amount: Nanos) -> Result<Nanos, QuantityError> {
    from.checked_sub(amount).ok_or(QuantityError::Negative { unit: "billionths of a currency unit" })
}

#[cfg(test)]
mod tests;
