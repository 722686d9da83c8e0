//! Rotation: a key that takes another's place, while the old one still opens for a while.
//! Never more rights and never a fresh budget: a line of keys shares its limits and what it spent.
//! Called by the command line and the operators' interface.

use std::time::Duration;

use domain::{KeyId, Timestamp};

use super::{
    Key, Ledger, LedgerError, SecretHash, Value,
    key_rules::check_expiry,
    keys::{find, insert},
    raise_revision, sql,
};

/// What takes a key's place.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The new public half, made by the caller.
    pub id: KeyId,
    /// SHA-256 of the new secret half.
    pub secret_hash: SecretHash,
    /// How long the old key still opens.
    pub overlap: Duration,
    /// When the new key expires. `None`: when the old one would have.
    pub expires_at: Option<Timestamp>,
}

impl Ledger {
    /// Makes a key that takes another's place: the same owner, project, scopes, models and class, the same limits
    /// and the same budget, of which both use while the old one still opens. Gives the old key and the new one.
    ///
    /// Errors: no such key; a disabled, revoked or expired one; an id that is taken; an expiry that has passed.
    pub async fn rotate_key(
        &self,
        key: &KeyId,
        rotation: &Rotation,
        now: Timestamp,
    ) -> Result<(Key, Key), LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        let old = find(&mut transaction, key).await?;
        check_open(&old, now)?;
        let overlap = i64::try_from(rotation.overlap.as_micros()).unwrap_or(i64::MAX);
        let ends_at = Timestamp::from_unix_micros(now.unix_micros().saturating_add(overlap));
        let ends_at = old.expires_at.map_or(ends_at, |expires_at| expires_at.min(ends_at));
        let expires_at = rotation.expires_at.or(old.expires_at);
        check_expiry(expires_at, now)?;
        let new = Key {
            id: rotation.id.clone(),
            expires_at,
            replaces: Some(old.id.clone()),
            created_at: now,
            ..old.clone()
        };
        insert(&mut transaction, &new, rotation.secret_hash).await?;
        let values = [Value::Text(old.id.as_str()), Value::Int(ends_at.unix_micros())];
        transaction.execute(sql::EXPIRE_KEY, &values).await?;
        transaction.commit().await?;
        Ok((Key { expires_at: Some(ends_at), ..old }, new))
    }
}

/// Whether a key still opens, so that another can take its place.
fn check_open(key: &Key, now: Timestamp) -> Result<(), LedgerError> {
    if key.revoked_at.is_some() {
        return Err(LedgerError::Revoked(key.id.clone()));
    }
    if key.disabled_at.is_some() {
        return Err(LedgerError::Disabled { what: "key", name: key.id.to_string() });
    }
    match key.expires_at.filter(|expires_at| *expires_at <= now) {
        Some(expired_at) => Err(LedgerError::Expired { key_id: key.id.clone(), expired_at }),
        None => Ok(()),
    }
}
