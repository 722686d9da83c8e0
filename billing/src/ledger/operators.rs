//! Operators, and the first start that creates one.
//! Never a password: callers hash secrets before they come here.
//! Called by `tallygate serve` at start and by the operator console later.

use domain::Timestamp;

use super::{
    Key, Ledger, LedgerError, NewKey, NewTenant, SecretHash, Tenant, Transaction, Value, keys, plans,
    raise_revision, sql, tenants,
};
use crate::plan::Plan;

/// A person who runs this installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The name to sign in with.
    pub name: String,
    /// SHA-256 of the secret.
    pub secret_hash: SecretHash,
    /// When it was created.
    pub created_at: Timestamp,
}

/// What the first start creates, all of it or nothing.
#[derive(Clone, Debug)]
pub struct FirstStart<'a> {
    /// The first operator's name.
    pub operator_name: &'a str,
    /// SHA-256 of the operator's secret.
    pub operator_secret_hash: SecretHash,
    /// The plan to publish.
    pub plan: &'a Plan,
    /// A tenant under that plan.
    pub tenant: NewTenant<'a>,
    /// A key of that tenant.
    pub key: NewKey<'a>,
}

#[derive(sqlx::FromRow)]
struct OperatorRow {
    name: String,
    secret_hash: Vec<u8>,
    created_unix_us: i64,
}

impl Operator {
    fn from_row(row: OperatorRow) -> Result<Self, LedgerError> {
        Ok(Self {
            name: row.name,
            secret_hash: SecretHash::from_column(&row.secret_hash)?,
            created_at: Timestamp::from_unix_micros(row.created_unix_us),
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
        create(&mut transaction, first.operator_name, first.operator_secret_hash, now).await?;
        plans::publish(&mut transaction, first.plan, now).await?;
        let tenant = tenants::create(&mut transaction, &first.tenant, now).await?;
        let key = keys::create(&mut transaction, tenant.id, &first.key, now).await?;
        transaction.commit().await?;
        Ok(Some((tenant, key)))
    }

    /// Creates an operator.
    ///
    /// Errors: a name that is taken, empty or too long.
    pub async fn create_operator(
        &self,
        name: &str,
        secret_hash: SecretHash,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        create(&mut transaction, name, secret_hash, now).await?;
        transaction.commit().await
    }

    /// Every operator, by name.
    pub async fn operators(&self) -> Result<Vec<Operator>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let rows = transaction.rows(sql::OPERATORS, &[]).await?;
        rows.into_iter().map(Operator::from_row).collect()
    }
}

async fn create(
    transaction: &mut Transaction,
    name: &str,
    secret_hash: SecretHash,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
    if name.is_empty() || name.len() > 63 || !name.bytes().all(is_allowed) {
        let allowed = "1 to 63 letters, digits and . _ - @";
        return Err(LedgerError::BadName {
            what: "operator",
            name: name.chars().take(80).collect(),
            allowed,
        });
    }
    let values = [Value::Text(name), Value::Bytes(secret_hash.as_bytes()), Value::Int(now.unix_micros())];
    match transaction.execute(sql::INSERT_OPERATOR, &values).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_taken() => Err(LedgerError::Taken { what: "operator", name: name.to_owned() }),
        Err(error) => Err(error),
    }
}
