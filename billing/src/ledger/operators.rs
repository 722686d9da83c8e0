//! Operators, and the first start that creates one.
//! Never a password: callers hash secrets before they come here.
//! Called by `tallygate serve` at start and by the operator console later.

use std::{fmt, str::FromStr};

use domain::{KeyId, Timestamp};

use super::{
    Key, Ledger, LedgerError, NewKey, NewTenant, SecretHash, Tenant, Transaction, Value, error::read_back,
    keys, plans, raise_revision, sql, tenants,
};
use crate::plan::Plan;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorRole {
    /// Read and change everything.
    Admin,
    /// Read everything.
    ReadOnly,
    /// Send usage events, and nothing else.
    Events,
}

impl OperatorRole {
    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::ReadOnly => "read_only",
            Self::Events => "events",
        }
    }
}

impl fmt::Display for OperatorRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is admin, read_only or events, not {0:?}")]
pub struct UnknownRole(String);

impl FromStr for OperatorRole {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let found =
            [Self::Admin, Self::ReadOnly, Self::Events].into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| UnknownRole(text.chars().take(80).collect()))
    }
}

/// A person who runs this installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The name the audit log shows.
    pub name: String,
    /// The public half of the token. `None`: from before it was kept.
    pub token_id: Option<KeyId>,
    /// SHA-256 of the secret half.
    pub secret_hash: SecretHash,
    /// What it may do.
    pub role: OperatorRole,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its token stopped opening anything.
    pub disabled_at: Option<Timestamp>,
}

/// An operator to create.
#[derive(Clone, Debug)]
pub struct NewOperator<'a> {
    /// A name that no other operator has.
    pub name: &'a str,
    /// The public half of the token, made by the caller.
    pub token_id: KeyId,
    /// SHA-256 of the secret half.
    pub secret_hash: SecretHash,
    /// What it may do.
    pub role: OperatorRole,
}

/// What the first start creates, all of it or nothing.
#[derive(Clone, Debug)]
pub struct FirstStart<'a> {
    /// The first operator.
    pub operator: NewOperator<'a>,
    /// The plan to publish.
    pub plan: &'a Plan,
    /// A tenant under that plan.
    pub tenant: NewTenant<'a>,
    /// A key of that tenant.
    pub key: NewKey<'a>,
}

#[derive(sqlx::FromRow)]
pub(super) struct OperatorRow {
    name: String,
    token_id: Option<String>,
    secret_hash: Vec<u8>,
    role: String,
    created_unix_us: i64,
    disabled_unix_us: Option<i64>,
}

impl Operator {
    fn from_row(row: OperatorRow) -> Result<Self, LedgerError> {
        Ok(Self {
            name: row.name,
            token_id: row.token_id.map(KeyId::new).transpose()?,
            secret_hash: SecretHash::from_column(&row.secret_hash)?,
            role: read_back("role", &row.role)?,
            created_at: Timestamp::from_unix_micros(row.created_unix_us),
            disabled_at: row.disabled_unix_us.map(Timestamp::from_unix_micros),
        })
    }
}

impl Ledger {
    /// Creates the first operator, plan, tenant and key, if there is no operator yet.
    ///
    /// Of any number of callers at once, on any number of machines, exactly one gets `Some`:
    /// only that one may print the secrets.
    pub async fn bootstrap(
        &self,
        first: &FirstStart<'_>,
        now: Timestamp,
    ) -> Result<Option<(Tenant, Key)>, LedgerError> {
        let mut transaction = self.pool.write().await?;
        // The row lock makes the second caller wait here until the first has committed.
        raise_revision(&mut transaction).await?;
        let (operators,): (i64,) = transaction.row(sql::COUNT_OPERATORS, &[]).await?;
        if operators > 0 {
            return Ok(None);
        }
        create(&mut transaction, &first.operator, now).await?;
        plans::publish(&mut transaction, first.plan, now).await?;
        let tenant = tenants::create(&mut transaction, &first.tenant, now).await?;
        let key = keys::create(&mut transaction, tenant.id, &first.key, now).await?;
        transaction.commit().await?;
        Ok(Some((tenant, key)))
    }

    /// Creates an operator.
    ///
    /// Errors: a name that is taken, empty or too long.
    pub async fn create_operator(&self, new: &NewOperator<'_>, now: Timestamp) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        create(&mut transaction, new, now).await?;
        transaction.commit().await
    }

    /// Every operator, by name; disabled ones included.
    pub async fn operators(&self) -> Result<Vec<Operator>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        all(&mut transaction).await
    }

    /// The first operators after one, by name; at most `rows_max`.
    pub async fn operators_page(
        &self,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<Operator>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let values = [Value::Text(after.unwrap_or("")), Value::rows_max(rows_max)];
        let rows: Vec<OperatorRow> = transaction.rows(sql::OPERATORS_PAGE, &values).await?;
        rows.into_iter().map(Operator::from_row).collect()
    }

    /// The operator with this name.
    pub async fn find_operator(&self, name: &str) -> Result<Option<Operator>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let row: Option<OperatorRow> = transaction.find(sql::OPERATOR, &[Value::Text(name)]).await?;
        row.map(Operator::from_row).transpose()
    }

    /// Takes an operator's token its power. Doing it twice keeps the first time.
    ///
    /// Errors: no such operator; the last one who may change things, as nobody could make another then.
    pub async fn disable_operator(&self, name: &str, now: Timestamp) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        let operators = all(&mut transaction).await?;
        if !operators.iter().any(|operator| operator.name == name) {
            let name = name.chars().take(80).collect();
            return Err(LedgerError::Missing { what: "operator", name });
        }
        let is_admin = |operator: &&Operator| {
            operator.role == OperatorRole::Admin && operator.disabled_at.is_none() && operator.name != name
        };
        if !operators.iter().any(|operator| is_admin(&operator)) {
            return Err(LedgerError::LastOperator);
        }
        let values = [Value::Text(name), Value::Int(now.unix_micros())];
        transaction.execute(sql::DISABLE_OPERATOR, &values).await?;
        transaction.commit().await
    }
}

pub(super) async fn all(transaction: &mut Transaction) -> Result<Vec<Operator>, LedgerError> {
    let rows: Vec<OperatorRow> = transaction.rows(sql::OPERATORS, &[]).await?;
    rows.into_iter().map(Operator::from_row).collect()
}

async fn create(
    transaction: &mut Transaction,
    new: &NewOperator<'_>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
    if new.name.is_empty() || new.name.len() > 63 || !new.name.bytes().all(is_allowed) {
        let allowed = "1 to 63 letters, digits and . _ - @";
        let name = new.name.chars().take(80).collect();
        return Err(LedgerError::BadName { what: "operator", name, allowed });
    }
    let values = [
        Value::Text(new.name),
        Value::Text(new.token_id.as_str()),
        Value::Bytes(new.secret_hash.as_bytes()),
        Value::Text(new.role.as_str()),
        Value::Int(now.unix_micros()),
    ];
    match transaction.execute(sql::INSERT_OPERATOR, &values).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_taken() => {
            Err(LedgerError::Taken { what: "operator", name: new.name.to_owned() })
        }
        Err(error) => Err(error),
    }
}
