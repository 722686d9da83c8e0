//! Changes of a key that is in use: its name, rights, end, class and project, all of one request at once.
//! Never its owner and never its secret: another secret is another key, made by `rotate`.
//! Called by the command line and the operators' interface.

use domain::{KeyId, KeyScopes, ModelName, ProjectId, SloClass, Timestamp};

use super::{
    Key, Ledger, LedgerError, Transaction, Value,
    key_rules::{check_class, check_expiry, check_name, check_project, models_column},
    keys::find,
    raise_revision, sql, tenants,
};

/// What to change of a key; what is `None` stays, what is `Some(None)` is taken away.
#[derive(Clone, Debug, Default)]
pub struct KeyChange<'a> {
    /// What its owner calls it.
    pub name: Option<&'a str>,
    /// The project its usage belongs to from now on.
    pub project_id: Option<Option<ProjectId>>,
    /// What it may be used for.
    pub scopes: Option<KeyScopes>,
    /// The models it may ask for.
    pub models_allowed: Option<Option<Vec<ModelName>>>,
    /// The latency class of its requests.
    pub slo_class: Option<Option<SloClass>>,
    /// When it expires.
    pub expires_at: Option<Option<Timestamp>>,
}

impl Ledger {
    /// Changes a key, for requests from now on: everything asked for, or nothing.
    ///
    /// Usage keeps the project under which it was admitted. A key that has been replaced may end earlier, not later.
    /// Errors: no such key; a revoked or expired one; a name, list, class, project or end that `create_key` refuses;
    /// a later end of a key that was replaced.
    pub async fn change_key(
        &self,
        key: &KeyId,
        change: &KeyChange<'_>,
        now: Timestamp,
    ) -> Result<Key, LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        let found = find(&mut transaction, key).await?;
        check_changeable(&found, now)?;
        let owner = tenants::find_by_id(&mut transaction, found.tenant_id).await?;
        if let Some(name) = change.name {
            check_name(name)?;
        }
        if let Some(class) = change.slo_class {
            check_class(&mut transaction, &owner, class, now).await?;
        }
        if let Some(project) = change.project_id {
            check_project(&mut transaction, owner.id, project).await?;
        }
        if let Some(expires_at) = change.expires_at {
            check_expiry(expires_at, now)?;
            check_replaced(&mut transaction, &found, expires_at).await?;
        }
        let changed = apply(found, change);
        put(&mut transaction, &changed).await?;
        transaction.commit().await?;
        Ok(changed)
    }
}

fn apply(found: Key, change: &KeyChange<'_>) -> Key {
    Key {
        name: change.name.map_or(found.name, str::to_owned),
        project_id: change.project_id.unwrap_or(found.project_id),
        scopes: change.scopes.unwrap_or(found.scopes),
        models_allowed: change.models_allowed.clone().unwrap_or(found.models_allowed),
        slo_class: change.slo_class.unwrap_or(found.slo_class),
        expires_at: change.expires_at.unwrap_or(found.expires_at),
        ..found
    }
}

async fn put(transaction: &mut Transaction, key: &Key) -> Result<(), LedgerError> {
    let models = models_column(key.models_allowed.as_deref())?;
    let scopes = key.scopes.to_string();
    let values = [
        Value::Text(key.id.as_str()),
        Value::Text(&key.name),
        Value::MaybeId(key.project_id.map(|project| project.as_uuid())),
        Value::Text(&scopes),
        Value::MaybeText(models.as_deref()),
        Value::MaybeText(key.slo_class.map(SloClass::as_str)),
        Value::MaybeInt(key.expires_at.map(Timestamp::unix_micros)),
    ];
    transaction.execute(sql::CHANGE_KEY, &values).await.map(drop)
}

fn check_changeable(key: &Key, now: Timestamp) -> Result<(), LedgerError> {
    if key.revoked_at.is_some() {
        return Err(LedgerError::Revoked(key.id.clone()));
    }
    match key.expires_at.filter(|expires_at| *expires_at <= now) {
        Some(expired_at) => Err(LedgerError::Expired { key_id: key.id.clone(), expired_at }),
        None => Ok(()),
    }
}

/// Whoever replaced a key was told when it ends: it may not live longer than that.
async fn check_replaced(
    transaction: &mut Transaction,
    key: &Key,
    expires_at: Option<Timestamp>,
) -> Result<(), LedgerError> {
    let is_longer = match (key.expires_at, expires_at) {
        (Some(before), Some(after)) => after > before,
        (Some(_), None) => true,
        (None, _) => false,
    };
    if !is_longer {
        return Ok(());
    }
    let successor: Option<(String,)> =
        transaction.find(sql::SUCCESSOR_OF_KEY, &[Value::Text(key.id.as_str())]).await?;
    match successor {
        Some(_) => Err(LedgerError::Replaced(key.id.clone())),
        None => Ok(()),
    }
}
