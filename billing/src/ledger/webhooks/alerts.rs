//! What is told once: a budget's thresholds in each window, and whatever else says its own name.
//! Never told twice: what was told stands in a table, in the transaction that writes the event.
//! Called by a task of the gateway.

use domain::{Money, Nanos, TenantId, Timestamp};
use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{EventKind, sql};
use crate::ledger::{
    Budget, Ledger, LedgerError, LimitScope, ScopeLimits, SpentQuestion, Tenant, Transaction, Value, credits,
    limits, spending, tenants,
};

/// Shares of a budget of which somebody is told. Unit: percent.
const BUDGET_PERCENTS: [u8; 3] = [50, 80, 100];

/// What one look at all tenants of whom somebody wants to hear did.
#[derive(Debug, Default)]
pub struct AlertRound {
    /// How many things were told.
    pub told: usize,
    /// Tenants that could not be looked at, and why.
    pub failed: Vec<(String, LedgerError)>,
}

impl AlertRound {
    /// Notes how it went for one tenant; what fails for one stops nobody else.
    pub(crate) fn note(&mut self, tenant: &Tenant, told: Result<usize, LedgerError>) {
        match told {
            Ok(told) => self.told += told,
            Err(error) => self.failed.push((tenant.name.clone(), error)),
        }
    }
}

/// A share of a budget that is spent.
struct Reached {
    budget: Budget,
    window_start: Timestamp,
    spent: Nanos,
    percent: u8,
}

impl Ledger {
    /// Tells of budgets of which half, four fifths or all is spent, once for each window; says of how many.
    ///
    /// Errors: a database that fails. What fails for one tenant is in the round.
    pub async fn tell_budgets(&self, now: Timestamp) -> Result<AlertRound, LedgerError> {
        let mut round = AlertRound::default();
        for tenant in self.listened_tenants(EventKind::BudgetThreshold).await? {
            round.note(&tenant, self.tell_budgets_of(&tenant, now).await);
        }
        Ok(round)
    }

    async fn tell_budgets_of(&self, tenant: &Tenant, now: Timestamp) -> Result<usize, LedgerError> {
        let mut told = 0;
        let mut reading = self.pool.read().await?;
        let found = limits::of(&mut reading, Some(tenant.id)).await?;
        let mut reached = Vec::new();
        for place in found {
            let highest = highest_reached(&mut reading, tenant, &place, now).await?;
            reached.extend(highest.map(|highest| (place, highest)));
        }
        drop(reading);
        for (place, reached) in reached {
            told += usize::from(self.tell_budget(tenant, &place, &reached, now).await?);
        }
        Ok(told)
    }

    /// Tells of one budget what was not told before.
    async fn tell_budget(
        &self,
        tenant: &Tenant,
        place: &ScopeLimits,
        reached: &Reached,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let (kind, id) = match &place.scope {
            LimitScope::Tenant => ("tenant", String::new()),
            LimitScope::Project(id) => ("project", id.to_string()),
            LimitScope::Key(id) => ("key", id.to_string()),
        };
        let model = place.model.as_ref().map(ToString::to_string);
        let Reached { budget, window_start, spent, percent } = reached;
        let named = format!(
            "budget {kind} {id} {} {} {}",
            model.as_deref().unwrap_or(""),
            window_start.unix_micros(),
            budget.amount
        );
        let mut transaction = self.pool.write().await?;
        let mut is_new = false;
        // Lower shares that were passed meanwhile are told with the highest.
        for share in BUDGET_PERCENTS.into_iter().filter(|share| share <= percent) {
            let first = first_time(&mut transaction, tenant.id, &format!("{named} {share}"), now).await?;
            is_new |= first && share == *percent;
        }
        if !is_new {
            return Ok(false);
        }
        let money = |nanos: Nanos| Money::from_nanos(i128::from(nanos.get()), tenant.currency).to_string();
        let body = json!({
            "tenant_id": tenant.id.to_string(),
            "tenant": tenant.name,
            "currency": tenant.currency.to_string(),
            "scope": kind,
            "scope_id": id,
            "model": model,
            "percent": percent,
            "budget": money(budget.amount),
            "period": budget.period.to_string(),
            "window_start": window_start.to_string(),
            "spent": money(*spent),
        });
        credits::insert_event(&mut transaction, (tenant.id, EventKind::BudgetThreshold), &body, now).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Tenants of which somebody wants to hear this.
    pub(crate) async fn listened_tenants(&self, kind: EventKind) -> Result<Vec<Tenant>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        let rows: Vec<(Uuid,)> =
            transaction.rows(sql::LISTENED_TENANTS, &[Value::Text(kind.as_str())]).await?;
        let mut found = Vec::with_capacity(rows.len());
        for (id,) in rows {
            found.push(tenants::find_by_id(&mut transaction, TenantId::from_uuid(id)).await?);
        }
        Ok(found)
    }

    /// Writes an event unless what it tells, by its name, was told before.
    pub(crate) async fn tell_once(
        &self,
        (tenant, kind): (TenantId, EventKind),
        name: &str,
        body: &Json,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let mut transaction = self.pool.write().await?;
        if !first_time(&mut transaction, tenant, name, now).await? {
            return Ok(false);
        }
        credits::insert_event(&mut transaction, (tenant, kind), body, now).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// The highest share of a budget that is spent in its running window.
async fn highest_reached(
    transaction: &mut Transaction,
    tenant: &Tenant,
    place: &ScopeLimits,
    now: Timestamp,
) -> Result<Option<Reached>, LedgerError> {
    let Some(budget) = place.limits.budget else { return Ok(None) };
    let zone = TimeZone::get(&tenant.zone).map_err(|error| LedgerError::corrupt("time zone", &error))?;
    let window = budget.period.window(now, &zone)?;
    let (scope, model) = (place.scope.clone(), place.model.clone());
    let question = SpentQuestion { scope, model, since: window.start };
    let spent = spending::spent(transaction, tenant.id, &question).await?;
    let is_reached = |percent: &u8| {
        u128::from(spent.get()) * 100 >= u128::from(budget.amount.get()) * u128::from(*percent)
    };
    let percent = BUDGET_PERCENTS.into_iter().rev().find(is_reached);
    Ok(percent.map(|percent| Reached { budget, window_start: window.start, spent, percent }))
}

/// Whether something is told for the first time; from now on it is not.
async fn first_time(
    transaction: &mut Transaction,
    tenant: TenantId,
    name: &str,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let values = [Value::Id(tenant.as_uuid()), Value::Text(name), Value::Int(now.unix_micros())];
    Ok(transaction.execute(sql::INSERT_ALERT, &values).await? > 0)
}
