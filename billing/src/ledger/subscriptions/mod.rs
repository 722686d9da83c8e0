//! Which plan a tenant is under and was under since when, its subscription, and changes of a tenant all at once.
//! Never a plan's history written from here: the database notes every change of a tenant's plan by itself.
//! Called by the command line and the operators' interface.

mod change;
mod events;
mod periods;
mod sql;

use domain::{TenantId, Timestamp};

use super::{
    Ledger, LedgerError, LimitScope, Limits, Tenant, TenantTerms, Transaction, Value, limits, plans,
    raise_revision, sql as ledger_sql, tenants,
};

pub use change::{NewSubscription, SubscriptionChange, SubscriptionStanding};
pub(super) use events::all as all_terms;
pub use periods::PeriodChoice;
pub(crate) use periods::{facts, settle};

/// A plan that a tenant was put under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its place among the tenant's: 1, 2, 3, … without a gap; the highest is the one that applies.
    pub sequence: u64,
    /// The plan.
    pub plan_name: String,
    /// Since when, by the database's clock; the first since the tenant was made.
    pub since: Timestamp,
}

/// What to change of a tenant; what is `None` stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct TenantChange<'a> {
    /// Another plan of the same currency, for requests from now on.
    pub plan_name: Option<&'a str>,
    /// All that is agreed beside the plan.
    pub terms: Option<TenantTerms>,
    /// All limits over all models together.
    pub limits: Option<Limits>,
}

impl Ledger {
    /// Changes a tenant: everything asked for, or nothing.
    ///
    /// Errors: no such tenant or plan, another currency, a limit of zero.
    pub async fn change_tenant(
        &self,
        tenant: TenantId,
        change: &TenantChange<'_>,
    ) -> Result<Tenant, LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        let found = tenants::find_by_id(&mut transaction, tenant).await?;
        if let Some(plan_name) = change.plan_name {
            put_plan(&mut transaction, &found, plan_name).await?;
        }
        if let Some(terms) = change.terms {
            put_terms(&mut transaction, tenant, terms).await?;
        }
        if let Some(limits) = change.limits {
            limits::put(&mut transaction, tenant, (&LimitScope::Tenant, None), limits).await?;
        }
        let changed = tenants::find_by_id(&mut transaction, tenant).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    /// Puts a tenant under another plan of the same currency, for requests from now on.
    ///
    /// Errors: as [`Self::change_tenant`].
    pub async fn set_tenant_plan(&self, tenant: TenantId, plan_name: &str) -> Result<(), LedgerError> {
        let change = TenantChange { plan_name: Some(plan_name), ..TenantChange::default() };
        self.change_tenant(tenant, &change).await.map(drop)
    }

    /// Sets what was agreed with a tenant beside its plan, for requests from now on.
    ///
    /// Errors: as [`Self::change_tenant`].
    pub async fn set_tenant_terms(&self, tenant: TenantId, terms: TenantTerms) -> Result<(), LedgerError> {
        let change = TenantChange { terms: Some(terms), ..TenantChange::default() };
        self.change_tenant(tenant, &change).await.map(drop)
    }

    /// The plans a tenant was under before a place, the latest first; at most `rows_max`.
    pub async fn subscriptions_page(
        &self,
        tenant: TenantId,
        before: Option<u64>,
        rows_max: usize,
    ) -> Result<Vec<Subscription>, LedgerError> {
        let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
        let values = [Value::Id(tenant.as_uuid()), Value::Int(before), Value::rows_max(rows_max)];
        let mut transaction = self.pool.read().await?;
        let rows: Vec<(i64, String, i64)> = transaction.rows(ledger_sql::SUBSCRIPTIONS_PAGE, &values).await?;
        let subscription = |(sequence, plan_name, since): (i64, String, i64)| {
            let sequence =
                u64::try_from(sequence).map_err(|error| LedgerError::corrupt("sequence", &error))?;
            Ok(Subscription { sequence, plan_name, since: Timestamp::from_unix_micros(since) })
        };
        rows.into_iter().map(subscription).collect()
    }
}

async fn put_plan(transaction: &mut Transaction, found: &Tenant, plan_name: &str) -> Result<(), LedgerError> {
    let wanted = plans::currency_of(transaction, plan_name).await?;
    if found.currency != wanted {
        let (name, current) = (found.name.clone(), found.currency);
        return Err(LedgerError::CurrencyChange { what: "tenant", name, current, wanted });
    }
    let values = [Value::Id(found.id.as_uuid()), Value::Text(plan_name)];
    transaction.execute(ledger_sql::SET_TENANT_PLAN, &values).await.map(drop)
}

async fn put_terms(
    transaction: &mut Transaction,
    tenant: TenantId,
    terms: TenantTerms,
) -> Result<(), LedgerError> {
    let values = [
        Value::Id(tenant.as_uuid()),
        Value::Text(terms.billing.as_str()),
        Value::Flag(terms.allow_slo_downgrade),
        Value::Flag(terms.allow_stricter_slo),
    ];
    transaction.execute(ledger_sql::SET_TENANT_TERMS, &values).await.map(drop)
}
