//! Published plan versions: stored as the text they were read from, and never changed.
//! Never an edit: new terms are a new version.
//! Called by the command line, the first start, the access snapshot and invoices.

use std::sync::Arc;

use domain::{Currency, PlanVersionId, Timestamp};
use jiff::tz::TimeZone;

use super::{Ledger, LedgerError, PlanSchedule, Tenant, Transaction, Value, raise_revision, sql};
use crate::plan::Plan;

/// What publishing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The version is new.
    New,
    /// The same terms were published before; nothing changed.
    Already,
}

impl Ledger {
    /// Publishes a plan version.
    ///
    /// The same terms again are a no-op, also with other spaces or comments.
    /// Errors: other terms under a published `name@version`, a currency other than the plan's earlier versions'.
    pub async fn publish_plan(&self, plan: &Plan, now: Timestamp) -> Result<Published, LedgerError> {
        let mut transaction = self.pool.write().await?;
        let published = publish(&mut transaction, plan, now).await?;
        transaction.commit().await?;
        Ok(published)
    }

    /// Every published version, by plan name and version.
    pub async fn plans(&self) -> Result<Vec<Plan>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        all(&mut transaction).await
    }

    /// The first versions after one, by plan name and version; at most `rows_max`.
    pub async fn plans_page(
        &self,
        after: Option<(&str, u32)>,
        rows_max: usize,
    ) -> Result<Vec<Plan>, LedgerError> {
        let (name, version) = after.unwrap_or(("", 0));
        let values = [Value::Text(name), Value::Int(i64::from(version)), Value::rows_max(rows_max)];
        let mut transaction = self.pool.read().await?;
        let rows: Vec<(String, String)> = transaction.rows(sql::PLAN_VERSIONS_PAGE, &values).await?;
        rows.iter().map(|(id, body)| Ok(Plan::from_published(id, body)?)).collect()
    }

    /// One published version.
    pub async fn find_plan(&self, id: &PlanVersionId) -> Result<Option<Plan>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        find(&mut transaction, id).await
    }
}

pub(super) async fn publish(
    transaction: &mut Transaction,
    plan: &Plan,
    now: Timestamp,
) -> Result<Published, LedgerError> {
    // Its row lock puts publishers in one order, so the checks below hold until the commit.
    raise_revision(transaction).await?;
    if let Some(stored) = find(transaction, plan.id()).await? {
        return match stored.has_same_terms(plan) {
            true => Ok(Published::Already),
            false => Err(LedgerError::PlanChanged(plan.id().clone())),
        };
    }
    let currency = plan.currency();
    let named = [Value::Text(plan.name()), Value::Text(currency.as_str())];
    transaction.execute(sql::INSERT_PLAN_NAME, &named).await?;
    let current = currency_of(transaction, plan.name()).await?;
    if current != plan.currency() {
        let (name, wanted) = (plan.name().to_owned(), plan.currency());
        return Err(LedgerError::CurrencyChange { what: "plan", name, current, wanted });
    }
    let values = [
        Value::Text(plan.id().as_str()),
        Value::Text(plan.name()),
        Value::Int(i64::from(plan.version())),
        Value::Text(plan.source()),
        Value::Int(now.unix_micros()),
    ];
    transaction.execute(sql::INSERT_PLAN_VERSION, &values).await?;
    Ok(Published::New)
}

pub(super) async fn all(transaction: &mut Transaction) -> Result<Vec<Plan>, LedgerError> {
    let rows: Vec<(String, String)> = transaction.rows(sql::PLAN_VERSIONS, &[]).await?;
    rows.iter().map(|(id, body)| Ok(Plan::from_published(id, body)?)).collect()
}

pub(crate) async fn find(
    transaction: &mut Transaction,
    id: &PlanVersionId,
) -> Result<Option<Plan>, LedgerError> {
    let row: Option<(String,)> = transaction.find(sql::PLAN_VERSION, &[Value::Text(id.as_str())]).await?;
    row.map(|(body,)| Ok(Plan::from_published(id.as_str(), &body)?)).transpose()
}

/// The versions of a tenant's plan, over time.
pub(super) async fn schedule_of(
    transaction: &mut Transaction,
    tenant: &Tenant,
) -> Result<PlanSchedule, LedgerError> {
    schedule(transaction, tenant, &tenant.plan_name, Timestamp::from_unix_micros(i64::MAX)).await
}

/// The plan version that a tenant was under at an instant, as it was known then: of the plan that it had, without what
/// was published later. `None`: there was none.
pub(crate) async fn in_force(
    transaction: &mut Transaction,
    tenant: &Tenant,
    at: Timestamp,
) -> Result<Option<Arc<Plan>>, LedgerError> {
    let values = [Value::Id(tenant.id.as_uuid()), Value::Int(at.unix_micros())];
    let name: Option<(String,)> = transaction.find(sql::SUBSCRIPTION_AT, &values).await?;
    let Some((name,)) = name else { return Ok(None) };
    let schedule = schedule(transaction, tenant, &name, at).await?;
    Ok(schedule.plan_at(at).cloned())
}

/// The versions of a plan that were published by an instant, in a tenant's calendar.
async fn schedule(
    transaction: &mut Transaction,
    tenant: &Tenant,
    name: &str,
    by: Timestamp,
) -> Result<PlanSchedule, LedgerError> {
    let values = [Value::Text(name), Value::Int(by.unix_micros())];
    let rows: Vec<(String, String)> = transaction.rows(sql::PLAN_VERSIONS_OF_NAME, &values).await?;
    let versions = rows.iter().map(|(id, body)| Ok(Arc::new(Plan::from_published(id, body)?)));
    let versions = versions.collect::<Result<Vec<_>, LedgerError>>()?;
    let zone = TimeZone::get(&tenant.zone).map_err(|error| LedgerError::corrupt("time zone", &error))?;
    Ok(PlanSchedule::new(&versions, &zone))
}

pub(super) async fn currency_of(transaction: &mut Transaction, name: &str) -> Result<Currency, LedgerError> {
    let row: Option<(String,)> = transaction.find(sql::PLAN_CURRENCY, &[Value::Text(name)]).await?;
    match row {
        Some((code,)) => Ok(code.parse()?),
        None => Err(LedgerError::Missing { what: "plan", name: name.chars().take(80).collect() }),
    }
}
