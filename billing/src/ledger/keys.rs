//! API keys: the public id, the hash of the secret, and what a key may do.
//! Never a secret: callers hash it before it comes here.
//! Called by the command line and, later, the portal.

use std::fmt;

use domain::{KeyId, ModelName, TenantId, Timestamp};
use uuid::Uuid;

use super::{Ledger, LedgerError, Limits, Transaction, Value, raise_revision, sql, tenants};

/// Longest name a person gives a key.
const KEY_NAME_LENGTH_MAX: usize = 100;
/// Models in a key's list: more than any gateway serves.
const MODELS_ALLOWED_MAX: usize = 100;

/// SHA-256 of the secret half of a key. It is compared in constant time by the gateway and never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// From the digest's bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn from_column(column: &[u8]) -> Result<Self, LedgerError> {
        let bytes = <[u8; 32]>::try_from(column);
        bytes.map(Self).map_err(|error| LedgerError::corrupt("secret hash", &error))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The public half.
    pub id: KeyId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What its owner calls it.
    pub name: String,
    /// Limits of this key, within the tenant's.
    pub limits: Limits,
    /// The models it may ask for. `None`: every priced model.
    pub models_allowed: Option<Vec<ModelName>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked; it is refused from then on.
    pub disabled_at: Option<Timestamp>,
}

/// A key to create.
#[derive(Clone, Debug)]
pub struct NewKey<'a> {
    /// The public half, made by the caller.
    pub id: KeyId,
    /// What its owner calls it.
    pub name: &'a str,
    /// SHA-256 of the secret half.
    pub secret_hash: SecretHash,
    /// Limits of this key, within the tenant's.
    pub limits: Limits,
    /// The models it may ask for. `None`: every priced model.
    pub models_allowed: Option<Vec<ModelName>>,
}

#[derive(sqlx::FromRow)]
pub(super) struct KeyRow {
    key_id: String,
    tenant_id: Uuid,
    name: String,
    pub(super) secret_hash: Vec<u8>,
    requests_per_minute: Option<i64>,
    tokens_per_minute: Option<i64>,
    concurrency: Option<i64>,
    models_allowed: Option<String>,
    created_unix_us: i64,
    disabled_unix_us: Option<i64>,
}

impl Key {
    pub(super) fn from_row(row: KeyRow) -> Result<Self, LedgerError> {
        let models = |text: &str| text.split(',').map(ModelName::new).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            id: KeyId::new(row.key_id)?,
            tenant_id: TenantId::from_uuid(row.tenant_id),
            name: row.name,
            limits: Limits::from_columns([row.requests_per_minute, row.tokens_per_minute, row.concurrency])?,
            models_allowed: row.models_allowed.as_deref().map(models).transpose()?,
            created_at: Timestamp::from_unix_micros(row.created_unix_us),
            disabled_at: row.disabled_unix_us.map(Timestamp::from_unix_micros),
        })
    }
}

impl Ledger {
    /// Creates a key of a tenant.
    ///
    /// Errors: no such tenant, a disabled one, a name that is empty or too long, an id that is taken.
    pub async fn create_key(
        &self,
        tenant: TenantId,
        new: &NewKey<'_>,
        now: Timestamp,
    ) -> Result<Key, LedgerError> {
        let mut transaction = self.pool.write().await?;
        let key = create(&mut transaction, tenant, new, now).await?;
        transaction.commit().await?;
        Ok(key)
    }

    /// The keys of one tenant, or of all; oldest first, revoked ones included.
    pub async fn keys(&self, tenant: Option<TenantId>) -> Result<Vec<Key>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let rows: Vec<KeyRow> = match tenant {
            Some(tenant) => transaction.rows(sql::KEYS_OF_TENANT, &[Value::Id(tenant.as_uuid())]).await?,
            None => transaction.rows(sql::KEYS, &[]).await?,
        };
        rows.into_iter().map(Key::from_row).collect()
    }

    /// The first keys of a tenant after one, by id; at most `rows_max`.
    pub async fn keys_page(
        &self,
        tenant: TenantId,
        after: Option<&KeyId>,
        rows_max: usize,
    ) -> Result<Vec<Key>, LedgerError> {
        let values = [
            Value::Id(tenant.as_uuid()),
            // Before every id.
            Value::Text(after.map_or("", KeyId::as_str)),
            Value::Int(i64::try_from(rows_max).unwrap_or(i64::MAX)),
        ];
        let mut transaction = self.pool.read().await?;
        let rows: Vec<KeyRow> = transaction.rows(sql::KEYS_PAGE, &values).await?;
        rows.into_iter().map(Key::from_row).collect()
    }

    /// The key with this public id, also a revoked one.
    pub async fn find_key(&self, key: &KeyId) -> Result<Option<Key>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let row: Option<KeyRow> = transaction.find(sql::KEY_BY_ID, &[Value::Text(key.as_str())]).await?;
        row.map(Key::from_row).transpose()
    }

    /// Revokes a key for good. Doing it twice keeps the first time.
    ///
    /// Errors: no such key.
    pub async fn revoke_key(&self, key: &KeyId, now: Timestamp) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        let values = [Value::Text(key.as_str()), Value::Int(now.unix_micros())];
        if transaction.execute(sql::REVOKE_KEY, &values).await? == 0 {
            return Err(LedgerError::Missing { what: "key", name: key.to_string() });
        }
        transaction.commit().await
    }
}

pub(super) async fn create(
    transaction: &mut Transaction,
    tenant: TenantId,
    new: &NewKey<'_>,
    now: Timestamp,
) -> Result<Key, LedgerError> {
    check_name(new.name)?;
    let models_allowed = models_column(new.models_allowed.as_deref())?;
    let [requests, tokens, concurrency] = new.limits.to_values()?;
    raise_revision(transaction).await?;
    let owner = tenants::find_by_id(transaction, tenant).await?;
    if owner.disabled_at.is_some() {
        return Err(LedgerError::Disabled { what: "tenant", name: owner.name });
    }
    let values = [
        Value::Text(new.id.as_str()),
        Value::Id(tenant.as_uuid()),
        Value::Text(new.name),
        Value::Bytes(new.secret_hash.as_bytes()),
        requests,
        tokens,
        concurrency,
        Value::MaybeText(models_allowed.as_deref()),
        Value::Int(now.unix_micros()),
    ];
    match transaction.execute(sql::INSERT_KEY, &values).await {
        Ok(_) => Ok(Key {
            id: new.id.clone(),
            tenant_id: tenant,
            name: new.name.to_owned(),
            limits: new.limits,
            models_allowed: new.models_allowed.clone(),
            created_at: now,
            disabled_at: None,
        }),
        Err(error) if error.is_taken() => Err(LedgerError::Taken { what: "key", name: new.id.to_string() }),
        Err(error) => Err(error),
    }
}

fn check_name(name: &str) -> Result<(), LedgerError> {
    let length = name.chars().count();
    if (1..=KEY_NAME_LENGTH_MAX).contains(&length) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let name = name.chars().take(KEY_NAME_LENGTH_MAX).collect();
    Err(LedgerError::BadName { what: "key", name, allowed: "1 to 100 printable characters" })
}

/// Comma separated: no model name holds a comma.
fn models_column(models: Option<&[ModelName]>) -> Result<Option<String>, LedgerError> {
    let Some(models) = models else { return Ok(None) };
    if models.is_empty() || models.len() > MODELS_ALLOWED_MAX {
        return Err(LedgerError::BadModelList(MODELS_ALLOWED_MAX));
    }
    Ok(Some(models.iter().map(ModelName::as_str).collect::<Vec<_>>().join(",")))
}
