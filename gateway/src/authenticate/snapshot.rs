//! The keys and tenants of the ledger, in memory, and the task that keeps them fresh.
//! Never on a request's way: requests read the last snapshot, also while the ledger is away.
//! Built at start and every time the ledger's revision has risen.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use billing::ledger::{AccessSnapshot, Ledger, LedgerError, Limits, Operator};
use domain::{KeyId, TenantId};
use tokio_util::sync::CancellationToken;

use super::{Key, Tenant};
use crate::{admit::LimitSet, app::App};

/// How often the ledger's revision is looked at. Changes must reach every replica within two seconds.
const REFRESH_INTERVAL: Duration = Duration::from_millis(500);

/// Why the ledger's rows make no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The ledger did not answer.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A key whose tenant is not there.
    #[error("key {0} belongs to a tenant the ledger does not have")]
    Orphan(KeyId),
}

/// Every key and its tenant, as of one revision of the ledger.
#[derive(Debug)]
pub struct Snapshot {
    revision: i64,
    keys: HashMap<KeyId, Arc<Key>>,
    tenants: HashMap<TenantId, Arc<Tenant>>,
    tenant_ids: HashMap<String, TenantId>,
    operators: Vec<Operator>,
}

impl Snapshot {
    /// Reads the ledger.
    ///
    /// Errors: the ledger is away, or holds a key without its tenant.
    pub async fn read(ledger: &Ledger) -> Result<Self, SnapshotError> {
        Self::from_access(ledger.access_snapshot().await?)
    }

    /// Links keys to their tenants.
    pub(super) fn from_access(access: AccessSnapshot) -> Result<Self, SnapshotError> {
        let tenants: HashMap<TenantId, Arc<Tenant>> = access
            .tenants
            .into_iter()
            .map(|access| {
                let tenant = Tenant {
                    id: access.tenant.id,
                    name: access.tenant.name,
                    limits: limit_set(access.tenant.limits),
                    schedule: access.schedule,
                    is_active: access.tenant.disabled_at.is_none(),
                };
                (tenant.id, Arc::new(tenant))
            })
            .collect();
        let keys = access.keys.into_iter().map(|access| {
            let tenant = tenants.get(&access.key.tenant_id).cloned();
            let tenant = tenant.ok_or_else(|| SnapshotError::Orphan(access.key.id.clone()))?;
            let key = Key {
                id: access.key.id.clone(),
                secret_hash: *access.secret_hash.as_bytes(),
                tenant,
                limits: limit_set(access.key.limits),
                models: access.key.models_allowed,
                is_active: access.key.disabled_at.is_none(),
            };
            Ok((access.key.id, Arc::new(key)))
        });
        let keys = keys.collect::<Result<_, SnapshotError>>()?;
        let tenant_ids = tenants.values().map(|tenant| (tenant.name.clone(), tenant.id)).collect();
        Ok(Self { revision: access.revision, keys, tenants, tenant_ids, operators: access.operators })
    }

    /// The ledger's revision it shows.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Every operator, disabled ones included.
    pub(super) fn operators(&self) -> &[Operator] {
        &self.operators
    }

    /// The tenant with this name or id.
    pub(super) fn tenant(&self, name_or_id: &str) -> Option<&Arc<Tenant>> {
        let id = name_or_id.parse().ok().or_else(|| self.tenant_ids.get(name_or_id).copied());
        self.tenants.get(&id?)
    }

    pub(super) fn key(&self, id: &KeyId) -> Option<&Arc<Key>> {
        self.keys.get(id)
    }
}

fn limit_set(limits: Limits) -> LimitSet {
    LimitSet {
        requests_per_minute: limits.requests_per_minute,
        tokens_per_minute: limits.tokens_per_minute,
        concurrency: limits.concurrency,
        ..LimitSet::default()
    }
}

/// Keeps a running gateway's snapshot fresh, and learns on the way whether the ledger is near.
pub struct Refresher {
    /// Where keys and tenants are stored.
    pub ledger: Ledger,
    /// Whose snapshot it is.
    pub app: Arc<App>,
    /// Cancelled when the process stops.
    pub stopping: CancellationToken,
}

impl Refresher {
    /// Runs until the process stops.
    pub async fn run(self) {
        let mut interval = tokio::time::interval(REFRESH_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let is_near = Arc::clone(&self.app.is_ledger_near);
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                _ = interval.tick() => {}
            }
            let outcome = self.refresh().await;
            let was_near = is_near.swap(outcome.is_ok(), Ordering::Relaxed);
            match outcome {
                Err(error) if was_near => {
                    tracing::warn!(error = %error, "ledger away: serving from the last snapshot");
                }
                Ok(()) if !was_near => tracing::info!("ledger is back"),
                Ok(()) | Err(_) => {}
            }
        }
    }

    async fn refresh(&self) -> Result<(), SnapshotError> {
        if self.ledger.revision().await? != self.app.authenticator.revision() {
            self.app.authenticator.replace(Snapshot::read(&self.ledger).await?);
        }
        Ok(())
    }
}
