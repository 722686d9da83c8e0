//! All that admission needs to know, read in one consistent state.
//! Never read on the request path: gateways hold a snapshot and look whether the revision has grown.
//! Called by the gateway at start and whenever the revision grows.

use std::{collections::BTreeMap, sync::Arc};

use domain::Timestamp;
use jiff::tz::TimeZone;

use super::{
    Key, Ledger, LedgerError, Operator, Project, ScopeLimits, SecretHash, Tenant, credits, keys, limits,
    operators, plans, projects, read_revision, subscriptions, tenants,
};
use crate::{credit::BalanceRule, plan::Plan, subscription::Terms};

/// Tenants, projects, keys, limits and plans as of one revision.
#[derive(Clone, Debug)]
pub struct AccessSnapshot {
    /// The revision it shows.
    pub revision: i64,
    /// Every tenant, disabled ones included.
    pub tenants: Vec<TenantAccess>,
    /// Every key, revoked ones included.
    pub keys: Vec<KeyAccess>,
    /// Every project, disabled ones included.
    pub projects: Vec<Project>,
    /// Every limit there is.
    pub limits: Vec<ScopeLimits>,
    /// Every published plan version.
    pub plans: Vec<Arc<Plan>>,
    /// Every operator, disabled ones included.
    pub operators: Vec<Operator>,
}

/// A tenant and the plan versions that apply to it over time.
#[derive(Clone, Debug)]
pub struct TenantAccess {
    /// The tenant.
    pub tenant: Tenant,
    /// Its plan's versions with the instants from which they apply.
    pub schedule: PlanSchedule,
    /// The calendar its budgets follow.
    pub zone: TimeZone,
    /// What it may spend in all; no rule: it does not pay in advance.
    pub balance: Vec<BalanceRule>,
    /// Its subscriptions: requests are refused while one is paused, and after the last has ended.
    pub subscriptions: Terms,
}

/// A key and what its secret must hash to.
#[derive(Clone, Debug)]
pub struct KeyAccess {
    /// The key.
    pub key: Key,
    /// SHA-256 of its secret half.
    pub secret_hash: SecretHash,
}

/// Versions of one plan with the instants from which they apply in one zone, highest version first.
#[derive(Clone, Debug)]
pub struct PlanSchedule(Vec<(Timestamp, Arc<Plan>)>);

impl PlanSchedule {
    /// Draws up the schedule of some versions of a plan for a zone.
    ///
    /// A version applies from midnight of its `effective_from` in that zone, or always.
    pub fn new(versions: &[Arc<Plan>], zone: &TimeZone) -> Self {
        let always = Timestamp::from_unix_micros(i64::MIN);
        let start = |plan: &Arc<Plan>| (plan.effective_at(zone).unwrap_or(always), Arc::clone(plan));
        let mut starts: Vec<_> = versions.iter().map(start).collect();
        starts.sort_by_key(|(_, plan)| std::cmp::Reverse(plan.version()));
        Self(starts)
    }

    /// The version that applies at an instant: the highest whose day has come. `None`: none has.
    pub fn plan_at(&self, now: Timestamp) -> Option<&Arc<Plan>> {
        self.0.iter().find(|(start, _)| *start <= now).map(|(_, plan)| plan)
    }
}

impl Ledger {
    /// Reads tenants, projects, keys, limits and plans in one consistent state.
    pub async fn access_snapshot(&self) -> Result<AccessSnapshot, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let revision = read_revision(&mut transaction).await?;
        let plans: Vec<_> = plans::all(&mut transaction).await?.into_iter().map(Arc::new).collect();
        let mut by_name: BTreeMap<&str, Vec<Arc<Plan>>> = BTreeMap::new();
        for plan in &plans {
            by_name.entry(plan.name()).or_default().push(Arc::clone(plan));
        }
        let mut terms = subscriptions::all_terms(&mut transaction).await?;
        let tenants = tenants::all(&mut transaction).await?;
        let mut rules = credits::rules_of_all(&mut transaction, &tenants).await?;
        let tenants = tenants.into_iter().map(|tenant| {
            let zone = TimeZone::get(&tenant.zone);
            let zone = zone.map_err(|error| LedgerError::corrupt("time zone", &error))?;
            let versions = by_name.get(tenant.plan_name.as_str()).map_or(&[][..], Vec::as_slice);
            let schedule = PlanSchedule::new(versions, &zone);
            let balance = rules.remove(&tenant.id).unwrap_or_default();
            let subscriptions = terms.remove(&tenant.id).unwrap_or_default();
            Ok(TenantAccess { tenant, schedule, zone, balance, subscriptions })
        });
        let tenants = tenants.collect::<Result<_, LedgerError>>()?;
        let keys = keys::of(&mut transaction, None).await?;
        let keys = keys.into_iter().map(|(key, secret_hash)| KeyAccess { key, secret_hash }).collect();
        let projects = projects::of(&mut transaction, None).await?;
        let limits = limits::of(&mut transaction, None).await?;
        let operators = operators::all(&mut transaction).await?;
        Ok(AccessSnapshot { revision, tenants, keys, projects, limits, plans, operators })
    }
}
