//! The keys and tenants of the ledger, in memory, and the task that keeps them fresh.
//! Never on a request's way: requests read the last snapshot, also while the ledger is away.
//! Built at start and every time the ledger's revision has risen.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use billing::ledger::{
    AccessSnapshot, Key as StoredKey, KeyAccess, Ledger, LedgerError, LimitScope, Operator, ScopeLimits,
    TenantAccess,
};
use domain::{KeyId, ProjectId, TenantId};
use tokio_util::sync::CancellationToken;

use super::{Key, LimitPlace, Tenant};
use crate::app::App;

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
    places: Places,
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

    /// Links keys to their tenants, and to every place whose limits they count against.
    pub(super) fn from_access(access: AccessSnapshot) -> Result<Self, SnapshotError> {
        let places = Places::new(&access);
        let tenants: HashMap<TenantId, Arc<Tenant>> = access
            .tenants
            .into_iter()
            .map(|access| {
                let tenant = Tenant {
                    id: access.tenant.id,
                    name: access.tenant.name,
                    schedule: access.schedule,
                    zone: access.zone,
                    terms: access.tenant.terms,
                    subscriptions: access.subscriptions,
                    balance: access.balance,
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
                project_id: access.key.project_id,
                places: places.of(&access.key),
                scopes: access.key.scopes,
                is_active: access.key.disabled_at.is_none(),
                is_project_active: places.is_open(&access.key),
                models: access.key.models_allowed,
                slo_class: access.key.slo_class,
                expires_at: access.key.expires_at,
            };
            Ok((access.key.id, Arc::new(key)))
        });
        let keys = keys.collect::<Result<_, SnapshotError>>()?;
        let tenant_ids = tenants.values().map(|tenant| (tenant.name.clone(), tenant.id)).collect();
        Ok(Self {
            revision: access.revision,
            keys,
            tenants,
            // Keys hold theirs.
            places: Places { keys: HashMap::new(), ..places },
            tenant_ids,
            operators: access.operators,
        })
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

    /// Where all requests of a tenant count.
    pub(super) fn place_of(&self, tenant: TenantId) -> Option<&Arc<LimitPlace>> {
        self.places.tenants.get(&tenant)
    }

    /// The project of a tenant with this path or id, for a token that names it.
    pub(super) fn project(&self, tenant: TenantId, path_or_id: &str) -> Option<TokenProject> {
        let by_path = || self.places.project_ids.get(&(tenant, path_or_id.to_owned())).copied();
        let id = path_or_id.parse().ok().or_else(by_path)?;
        self.places.projects.get(&id).filter(|project| project.tenant_id == tenant)?;
        let mut places: Vec<_> =
            self.places.above(Some(id)).map(|project| Arc::clone(&project.place)).collect();
        places.reverse();
        Some(TokenProject { id, is_open: self.places.above(Some(id)).all(|project| project.is_open), places })
    }

    pub(super) fn key(&self, id: &KeyId) -> Option<&Arc<Key>> {
        self.keys.get(id)
    }
}

/// A project as a token names it.
pub(super) struct TokenProject {
    pub(super) id: ProjectId,
    /// Whether it and all above it are open.
    pub(super) is_open: bool,
    /// Where its requests count, from the top down.
    pub(super) places: Vec<Arc<LimitPlace>>,
}

/// Every place there is, with its limits; made once and shared.
#[derive(Debug)]
struct Places {
    tenants: HashMap<TenantId, Arc<LimitPlace>>,
    projects: HashMap<ProjectId, ProjectPlace>,
    project_ids: HashMap<(TenantId, String), ProjectId>,
    keys: HashMap<KeyId, Arc<LimitPlace>>,
}

#[derive(Debug)]
struct ProjectPlace {
    tenant_id: TenantId,
    place: Arc<LimitPlace>,
    parent: Option<ProjectId>,
    is_open: bool,
}

impl Places {
    fn new(access: &AccessSnapshot) -> Self {
        let mut limits: HashMap<(TenantId, LimitScope), Vec<&ScopeLimits>> = HashMap::new();
        for found in &access.limits {
            limits.entry((found.tenant_id, found.scope.clone())).or_default().push(found);
        }
        let place = |tenant, scope: LimitScope, name: &str| {
            let mut place = LimitPlace::new(scope.clone(), name);
            for found in limits.get(&(tenant, scope)).into_iter().flatten() {
                match &found.model {
                    None => place.limits = found.limits,
                    Some(model) => {
                        place.limits_by_model.insert(model.clone(), found.limits);
                    }
                }
            }
            Arc::new(place)
        };
        let tenants = access.tenants.iter().map(|TenantAccess { tenant, .. }| {
            (tenant.id, place(tenant.id, LimitScope::Tenant, &tenant.name))
        });
        let projects = access.projects.iter().map(|project| {
            let found = ProjectPlace {
                tenant_id: project.tenant_id,
                place: place(project.tenant_id, LimitScope::Project(project.id), &project.path),
                parent: project.parent_id,
                is_open: project.disabled_at.is_none(),
            };
            (project.id, found)
        });
        let keys = access.keys.iter().map(|KeyAccess { key, .. }| {
            let scope = LimitScope::Key(key.limits_key.clone());
            (key.id.clone(), place(key.tenant_id, scope, &key.name))
        });
        let ids =
            access.projects.iter().map(|project| ((project.tenant_id, project.path.clone()), project.id));
        Self {
            tenants: tenants.collect(),
            projects: projects.collect(),
            project_ids: ids.collect(),
            keys: keys.collect(),
        }
    }

    /// Where a key's requests count: the tenant, projects from the top down, the key.
    fn of(&self, key: &StoredKey) -> Vec<Arc<LimitPlace>> {
        let mut chain: Vec<_> = self.keys.get(&key.id).into_iter().collect();
        chain.extend(self.above(key.project_id).map(|project| &project.place));
        chain.extend(self.tenants.get(&key.tenant_id));
        chain.into_iter().rev().map(Arc::clone).collect()
    }

    /// Whether the key's project and all above it are open.
    fn is_open(&self, key: &StoredKey) -> bool {
        self.above(key.project_id).all(|project| project.is_open)
    }

    /// A project and those above it, the lowest first. The ledger bounds how many there are.
    fn above(&self, project: Option<ProjectId>) -> impl Iterator<Item = &ProjectPlace> {
        let find = |id: Option<ProjectId>| self.projects.get(&id?);
        std::iter::successors(find(project), move |project| find(project.parent))
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
