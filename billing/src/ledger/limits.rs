//! Limits and budgets of tenants, projects and keys, for all models together and for single ones.
//! Never enforced here: admission does, from a snapshot.
//! Called by the command line and the operators' interface; read with everything that has limits.

use std::collections::HashMap;

use domain::{BudgetPeriod, KeyId, ModelName, Nanos, ProjectId, TenantId};
use uuid::Uuid;

use super::{
    Ledger, LedgerError, LimitScope, Transaction, Value, error::read_back, keys, projects, raise_revision,
    sql, tenants,
};

/// What admission enforces. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests admitted per minute.
    pub requests_per_minute: Option<u64>,
    /// Tokens reserved per minute: prompt and `max_tokens`.
    pub tokens_per_minute: Option<u64>,
    /// Requests admitted per day.
    pub requests_per_day: Option<u64>,
    /// Requests running at once.
    pub concurrency: Option<u64>,
    /// What may be spent.
    pub budget: Option<Budget>,
}

/// What may be spent in each period of the tenant's calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The most that requests begun in one period may be charged together.
    pub amount: Nanos,
    /// How long it lasts before it begins anew.
    pub period: BudgetPeriod,
}

/// The limits of one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeLimits {
    /// Whose tenant.
    pub tenant_id: TenantId,
    /// Whose limits. Of a key that was rotated: the first of its line, as the limits are those of all.
    pub scope: LimitScope,
    /// For which model. `None`: for all models together.
    pub model: Option<ModelName>,
    /// The limits; at least one.
    pub limits: Limits,
}

#[derive(Default, sqlx::FromRow)]
pub(super) struct LimitColumns {
    requests_per_minute: Option<i64>,
    tokens_per_minute: Option<i64>,
    requests_per_day: Option<i64>,
    concurrency: Option<i64>,
    budget_nanos: Option<i64>,
    budget_period: Option<String>,
}

/// Where limits are: the end of a page of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsPlace {
    /// Of what.
    pub scope: LimitScope,
    /// Of one model. `None`: of all together.
    pub model: Option<ModelName>,
}

#[derive(sqlx::FromRow)]
struct ScopeRow {
    tenant_id: Uuid,
    scope_kind: String,
    scope_id: String,
    model: String,
    #[sqlx(flatten)]
    limits: LimitColumns,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn from_columns(columns: LimitColumns) -> Result<Self, LedgerError> {
        let limit = |column: Option<i64>| {
            column.map(u64::try_from).transpose().map_err(|error| LedgerError::corrupt("limit", &error))
        };
        let budget = match (columns.budget_nanos, columns.budget_period) {
            (Some(nanos), Some(period)) => {
                Some(Budget { amount: Nanos::from_i64(nanos)?, period: read_back("budget period", &period)? })
            }
            _ => None,
        };
        Ok(Self {
            requests_per_minute: limit(columns.requests_per_minute)?,
            tokens_per_minute: limit(columns.tokens_per_minute)?,
            requests_per_day: limit(columns.requests_per_day)?,
            concurrency: limit(columns.concurrency)?,
            budget,
        })
    }

    /// In the order of the columns.
    ///
    /// Errors: a limit or a budget of zero, or beyond what SQL holds.
    pub(super) fn to_values(self) -> Result<[Value<'static>; 6], LedgerError> {
        let value = |limit: Option<u64>| match limit.map(i64::try_from) {
            None => Ok(Value::MaybeInt(None)),
            Some(Ok(limit @ 1..)) => Ok(Value::MaybeInt(Some(limit))),
            Some(_) => Err(LedgerError::BadLimit),
        };
        Ok([
            value(self.requests_per_minute)?,
            value(self.tokens_per_minute)?,
            value(self.requests_per_day)?,
            value(self.concurrency)?,
            value(self.budget.map(|budget| budget.amount.get()))?,
            Value::MaybeText(self.budget.map(|budget| budget.period.as_str())),
        ])
    }
}

impl LimitScope {
    /// The kind's name.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Project(_) => "project",
            Self::Key(_) => "key",
        }
    }

    fn id_column(&self) -> String {
        match self {
            Self::Tenant => String::new(),
            Self::Project(project) => project.as_uuid().simple().to_string(),
            Self::Key(key) => key.to_string(),
        }
    }

    fn from_columns(kind: &str, id: &str) -> Result<Self, LedgerError> {
        match kind {
            "tenant" => Ok(Self::Tenant),
            "project" => Ok(Self::Project(read_back("project id", id)?)),
            "key" => Ok(Self::Key(KeyId::new(id)?)),
            other => Err(LedgerError::corrupt("limit's scope", &other)),
        }
    }
}

impl ScopeLimits {
    fn from_row(row: ScopeRow) -> Result<Self, LedgerError> {
        let model = Some(row.model).filter(|model| !model.is_empty());
        Ok(Self {
            tenant_id: TenantId::from_uuid(row.tenant_id),
            scope: LimitScope::from_columns(&row.scope_kind, &row.scope_id)?,
            model: model.map(ModelName::new).transpose()?,
            limits: Limits::from_columns(row.limits)?,
        })
    }
}

impl Ledger {
    /// Every limit of a tenant, of its projects and of its keys.
    pub async fn limits(&self, tenant: TenantId) -> Result<Vec<ScopeLimits>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        of(&mut transaction, Some(tenant)).await
    }

    /// The first limits of a tenant after a place, by place; at most `rows_max`.
    pub async fn limits_page(
        &self,
        tenant: TenantId,
        after: Option<&LimitsPlace>,
        rows_max: usize,
    ) -> Result<Vec<ScopeLimits>, LedgerError> {
        let id = after.map_or_else(String::new, |place| place.scope.id_column());
        let values = [
            Value::Id(tenant.as_uuid()),
            Value::Text(after.map_or("", |place| place.scope.kind())),
            Value::Text(&id),
            Value::Text(after.and_then(|place| place.model.as_ref()).map_or("", ModelName::as_str)),
            Value::rows_max(rows_max),
        ];
        let mut transaction = self.pool.read().await?;
        let rows: Vec<ScopeRow> = transaction.rows(sql::LIMITS_PAGE, &values).await?;
        rows.into_iter().map(ScopeLimits::from_row).collect()
    }

    /// Sets the limits of a scope, for one model or for all together; what is not limited has no limit from then on.
    ///
    /// Errors: no such tenant, project or key; a limit of zero.
    pub async fn set_limits(
        &self,
        tenant: TenantId,
        scope: &LimitScope,
        model: Option<&ModelName>,
        limits: Limits,
    ) -> Result<(), LedgerError> {
        self.change_limits(tenant, scope, model, |_| limits).await.map(drop)
    }

    /// Changes the limits of a scope, for one model or for all together, and gives them as they are then.
    ///
    /// Errors: as [`Self::set_limits`].
    pub async fn change_limits(
        &self,
        tenant: TenantId,
        scope: &LimitScope,
        model: Option<&ModelName>,
        change: impl FnOnce(Limits) -> Limits + Send,
    ) -> Result<Limits, LedgerError> {
        let mut transaction = self.pool.write().await?;
        // Its row lock keeps another change from coming between reading and writing.
        raise_revision(&mut transaction).await?;
        tenants::find_by_id(&mut transaction, tenant).await?;
        let scope = resolve(&mut transaction, tenant, scope).await?;
        let all = of(&mut transaction, Some(tenant)).await?;
        let is_meant = |found: &&ScopeLimits| found.scope == scope && found.model.as_ref() == model;
        let limits = change(all.iter().find(is_meant).map(|found| found.limits).unwrap_or_default());
        put(&mut transaction, tenant, (&scope, model), limits).await?;
        transaction.commit().await?;
        Ok(limits)
    }
}

/// The scope whose limits apply: for a key, that of the first key of its line.
///
/// Errors: a project or key that is not the tenant's.
async fn resolve(
    transaction: &mut Transaction,
    tenant: TenantId,
    scope: &LimitScope,
) -> Result<LimitScope, LedgerError> {
    Ok(match scope {
        LimitScope::Tenant => LimitScope::Tenant,
        LimitScope::Project(project) => {
            projects::find_by_id(transaction, tenant, *project).await?;
            LimitScope::Project(*project)
        }
        LimitScope::Key(key) => {
            let found = keys::find(transaction, key).await?;
            if found.tenant_id != tenant {
                return Err(LedgerError::Missing { what: "key", name: key.to_string() });
            }
            LimitScope::Key(found.limits_key)
        }
    })
}

/// Stores limits; none at all take their row away.
pub(super) async fn put(
    transaction: &mut Transaction,
    tenant: TenantId,
    (scope, model): (&LimitScope, Option<&ModelName>),
    limits: Limits,
) -> Result<(), LedgerError> {
    let id = scope.id_column();
    let place = [
        Value::Id(tenant.as_uuid()),
        Value::Text(scope.kind()),
        Value::Text(&id),
        Value::Text(model.map_or("", ModelName::as_str)),
    ];
    let columns = limits.to_values()?;
    if limits.is_empty() {
        return transaction.execute(sql::DELETE_LIMITS, &place).await.map(drop);
    }
    let values: Vec<_> = place.into_iter().chain(columns).collect();
    transaction.execute(sql::PUT_LIMITS, &values).await.map(drop)
}

/// Every limit of one tenant, or of all.
pub(super) async fn of(
    transaction: &mut Transaction,
    tenant: Option<TenantId>,
) -> Result<Vec<ScopeLimits>, LedgerError> {
    let rows: Vec<ScopeRow> = match tenant {
        Some(tenant) => transaction.rows(sql::LIMITS_OF_TENANT, &[Value::Id(tenant.as_uuid())]).await?,
        None => transaction.rows(sql::LIMITS, &[]).await?,
    };
    rows.into_iter().map(ScopeLimits::from_row).collect()
}

/// The limits for all models together, of projects and of keys.
#[derive(Debug, Default)]
pub(super) struct LimitsByScope {
    projects: HashMap<ProjectId, Limits>,
    keys: HashMap<KeyId, Limits>,
}

impl LimitsByScope {
    pub(super) fn new(all: &[ScopeLimits]) -> Self {
        let mut by_scope = Self::default();
        for found in all.iter().filter(|found| found.model.is_none()) {
            match &found.scope {
                LimitScope::Tenant => {}
                LimitScope::Project(project) => {
                    by_scope.projects.insert(*project, found.limits);
                }
                LimitScope::Key(key) => {
                    by_scope.keys.insert(key.clone(), found.limits);
                }
            }
        }
        by_scope
    }

    pub(super) fn of_project(&self, project: ProjectId) -> Limits {
        self.projects.get(&project).copied().unwrap_or_default()
    }

    pub(super) fn of_key(&self, key: &KeyId) -> Limits {
        self.keys.get(key).copied().unwrap_or_default()
    }
}
