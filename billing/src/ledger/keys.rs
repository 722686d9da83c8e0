//! API keys: the public id, the hash of the secret, what a key may do, and until when.
//! Never a secret: callers hash it before it comes here.
//! Called by the command line and the operators' interface.

use std::{collections::HashMap, fmt};

use domain::{KeyId, KeyScopes, ModelName, ProjectId, SloClass, TenantId, Timestamp};
use uuid::Uuid;

use super::{
    Ledger, LedgerError, LimitScope, Limits, Transaction, Value,
    error::read_back,
    key_rules::{check_class, check_expiry, check_name, check_project, models_column},
    limits::{self, LimitColumns, LimitsByScope},
    raise_revision, sql, tenants,
};

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
    /// The project its usage belongs to.
    pub project_id: Option<ProjectId>,
    /// What it may be used for.
    pub scopes: KeyScopes,
    /// The key whose limits apply: itself, or the first of the line in which each took the place of the one before.
    pub limits_key: KeyId,
    /// Limits of this key, within the tenant's, for all models together; shared by its whole line.
    pub limits: Limits,
    /// The models it may ask for. `None`: every priced model.
    pub models_allowed: Option<Vec<ModelName>>,
    /// The latency class of its requests. `None`: the plan's.
    pub slo_class: Option<SloClass>,
    /// The key that it took the place of.
    pub replaces: Option<KeyId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it expires: from this instant on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was switched off or revoked; it is refused from then on.
    pub disabled_at: Option<Timestamp>,
    /// When it was revoked, for good.
    pub revoked_at: Option<Timestamp>,
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
    /// The project its usage belongs to.
    pub project_id: Option<ProjectId>,
    /// What it may be used for.
    pub scopes: KeyScopes,
    /// Limits of this key, within the tenant's.
    pub limits: Limits,
    /// The models it may ask for. `None`: every priced model.
    pub models_allowed: Option<Vec<ModelName>>,
    /// The latency class of its requests, no stricter than the plan's unless the tenant may have that.
    pub slo_class: Option<SloClass>,
    /// When it expires. `None`: never.
    pub expires_at: Option<Timestamp>,
}

impl<'a> NewKey<'a> {
    /// A key that may do everything, without limits of its own and without an end.
    pub fn unlimited(id: KeyId, name: &'a str, secret_hash: SecretHash) -> Self {
        Self {
            id,
            name,
            secret_hash,
            project_id: None,
            scopes: KeyScopes::ALL,
            limits: Limits::default(),
            models_allowed: None,
            slo_class: None,
            expires_at: None,
        }
    }
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    key_id: String,
    tenant_id: Uuid,
    name: String,
    secret_hash: Vec<u8>,
    models_allowed: Option<String>,
    created_unix_us: i64,
    disabled_unix_us: Option<i64>,
    project_id: Option<Uuid>,
    scopes: String,
    expires_unix_us: Option<i64>,
    slo_class: Option<String>,
    replaces: Option<String>,
    revoked_unix_us: Option<i64>,
}

/// A key with the first of its line and the limits that its line shares.
#[derive(sqlx::FromRow)]
struct ShownRow {
    #[sqlx(flatten)]
    key: KeyRow,
    first_id: String,
    #[sqlx(flatten)]
    limits: LimitColumns,
}

impl ShownRow {
    fn into_key(self) -> Result<Key, LedgerError> {
        Key::from_row(self.key, KeyId::new(self.first_id)?, Limits::from_columns(self.limits)?)
    }
}

impl Key {
    fn from_row(row: KeyRow, limits_key: KeyId, limits: Limits) -> Result<Self, LedgerError> {
        let models = |text: &str| text.split(',').map(ModelName::new).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            id: KeyId::new(row.key_id)?,
            tenant_id: TenantId::from_uuid(row.tenant_id),
            name: row.name,
            project_id: row.project_id.map(ProjectId::from_uuid),
            scopes: read_back("list of scopes", &row.scopes)?,
            limits,
            limits_key,
            models_allowed: row.models_allowed.as_deref().map(models).transpose()?,
            slo_class: row.slo_class.map(|class| read_back("SLO class", &class)).transpose()?,
            replaces: row.replaces.map(KeyId::new).transpose()?,
            created_at: Timestamp::from_unix_micros(row.created_unix_us),
            expires_at: row.expires_unix_us.map(Timestamp::from_unix_micros),
            disabled_at: row.disabled_unix_us.map(Timestamp::from_unix_micros),
            revoked_at: row.revoked_unix_us.map(Timestamp::from_unix_micros),
        })
    }
}

impl Ledger {
    /// Creates a key of a tenant.
    ///
    /// Errors: no such tenant or project, a disabled one, a name that is empty or too long, an id that is taken,
    /// an expiry that has passed, a latency class stricter than the tenant may have.
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
        Ok(of(&mut transaction, tenant).await?.into_iter().map(|(key, _)| key).collect())
    }

    /// The first keys of a tenant after one, by id; at most `rows_max`.
    pub async fn keys_page(
        &self,
        tenant: TenantId,
        after: Option<&KeyId>,
        rows_max: usize,
    ) -> Result<Vec<Key>, LedgerError> {
        let after = after.map_or("", KeyId::as_str);
        let values = [Value::Id(tenant.as_uuid()), Value::Text(after), Value::rows_max(rows_max)];
        let mut transaction = self.pool.read().await?;
        let rows: Vec<ShownRow> = transaction.rows(sql::KEYS_PAGE, &values).await?;
        rows.into_iter().map(ShownRow::into_key).collect()
    }

    /// The key with this public half.
    pub async fn find_key(&self, key: &KeyId) -> Result<Option<Key>, LedgerError> {
        match find(&mut self.pool.read().await?, key).await {
            Err(LedgerError::Missing { .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Revokes a key for good. Doing it twice keeps the first time.
    ///
    /// Errors: no such key.
    pub async fn revoke_key(&self, key: &KeyId, now: Timestamp) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        let values = [Value::Text(key.as_str()), Value::Int(now.unix_micros())];
        if transaction.execute(sql::REVOKE_KEY, &values).await? == 0 {
            return Err(missing(key));
        }
        transaction.commit().await
    }

    /// Switches a key off until it is switched on again. Doing it twice keeps the first time.
    ///
    /// Errors: no such key.
    pub async fn disable_key(&self, key: &KeyId, now: Timestamp) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        let values = [Value::Text(key.as_str()), Value::Int(now.unix_micros())];
        if transaction.execute(sql::DISABLE_KEY, &values).await? == 0 {
            return Err(missing(key));
        }
        transaction.commit().await
    }

    /// Switches a key on again. One that is on stays on.
    ///
    /// Errors: no such key, a revoked one.
    pub async fn enable_key(&self, key: &KeyId) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        if find(&mut transaction, key).await?.revoked_at.is_some() {
            return Err(LedgerError::Revoked(key.clone()));
        }
        transaction.execute(sql::ENABLE_KEY, &[Value::Text(key.as_str())]).await?;
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
    check_expiry(new.expires_at, now)?;
    raise_revision(transaction).await?;
    let owner = tenants::find_active(transaction, tenant).await?;
    check_class(transaction, &owner, new.slo_class, now).await?;
    check_project(transaction, tenant, new.project_id).await?;
    let key = Key {
        id: new.id.clone(),
        tenant_id: tenant,
        name: new.name.to_owned(),
        project_id: new.project_id,
        scopes: new.scopes,
        limits_key: new.id.clone(),
        limits: new.limits,
        models_allowed: new.models_allowed.clone(),
        slo_class: new.slo_class,
        replaces: None,
        created_at: now,
        expires_at: new.expires_at,
        disabled_at: None,
        revoked_at: None,
    };
    insert(transaction, &key, new.secret_hash).await?;
    let scope = LimitScope::Key(key.id.clone());
    limits::put(transaction, tenant, (&scope, None), new.limits).await?;
    Ok(key)
}

pub(super) async fn insert(
    transaction: &mut Transaction,
    key: &Key,
    secret_hash: SecretHash,
) -> Result<(), LedgerError> {
    let models_allowed = models_column(key.models_allowed.as_deref())?;
    let scopes = key.scopes.to_string();
    let values = [
        Value::Text(key.id.as_str()),
        Value::Id(key.tenant_id.as_uuid()),
        Value::Text(&key.name),
        Value::Bytes(secret_hash.as_bytes()),
        Value::MaybeText(models_allowed.as_deref()),
        Value::Int(key.created_at.unix_micros()),
        Value::MaybeId(key.project_id.map(|project| project.as_uuid())),
        Value::Text(&scopes),
        Value::MaybeInt(key.expires_at.map(Timestamp::unix_micros)),
        Value::MaybeText(key.slo_class.map(SloClass::as_str)),
        Value::MaybeText(key.replaces.as_ref().map(KeyId::as_str)),
    ];
    match transaction.execute(sql::INSERT_KEY, &values).await {
        Err(error) if error.is_taken() => Err(LedgerError::Taken { what: "key", name: key.id.to_string() }),
        inserted => inserted.map(drop),
    }
}

/// The keys of one tenant, or of all, with what their secrets hash to; oldest first.
pub(super) async fn of(
    transaction: &mut Transaction,
    tenant: Option<TenantId>,
) -> Result<Vec<(Key, SecretHash)>, LedgerError> {
    let limits = LimitsByScope::new(&limits::of(transaction, tenant).await?);
    let rows: Vec<KeyRow> = match tenant {
        Some(tenant) => transaction.rows(sql::KEYS_OF_TENANT, &[Value::Id(tenant.as_uuid())]).await?,
        None => transaction.rows(sql::KEYS, &[]).await?,
    };
    let replaced: HashMap<String, String> =
        rows.iter().filter_map(|row| Some((row.key_id.clone(), row.replaces.clone()?))).collect();
    let keys = rows.into_iter().map(|row| {
        let mut first = row.key_id.as_str();
        // A key takes the place of one that was there before it, so the line ends.
        while let Some(before) = replaced.get(first) {
            first = before;
        }
        let limits_key = KeyId::new(first)?;
        let secret_hash = SecretHash::from_column(&row.secret_hash)?;
        let own = limits.of_key(&limits_key);
        Ok((Key::from_row(row, limits_key, own)?, secret_hash))
    });
    keys.collect()
}

/// The key with this public half.
///
/// Errors: there is none.
pub(super) async fn find(transaction: &mut Transaction, key: &KeyId) -> Result<Key, LedgerError> {
    let row: Option<ShownRow> = transaction.find(sql::KEY, &[Value::Text(key.as_str())]).await?;
    row.ok_or_else(|| missing(key))?.into_key()
}

fn missing(key: &KeyId) -> LedgerError {
    LedgerError::Missing { what: "key", name: key.to_string() }
}
