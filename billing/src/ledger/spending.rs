//! What tenants, projects and keys were charged, as caps count it, by quarter of an hour.
//! Never an invoice's amount and never a hold: only records that have arrived count here.
//! Called by shipping, which adds to it, and by admission, which asks once for each budget's window.

use std::collections::BTreeMap;

use domain::{KeyId, ModelName, Nanos, ProjectId, QuantityError, TenantId, Timestamp, UsageRecord};
use serde::Serialize;

use super::{
    Ledger, LedgerError, Transaction, Value, sql,
    usage::{hex_id, project_column, to_json},
};

/// Sums in one question: as many as a key's chain of ten scopes has, each with all models and one, twice over.
pub const SPENT_QUESTIONS_MAX: usize = 64;

/// Whose limits or spending is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitScope {
    /// The tenant: all its keys together.
    Tenant,
    /// A project with all projects below it.
    Project(ProjectId),
    /// One key, with those that took its place: its limits and budget are theirs too.
    Key(KeyId),
}

/// One question: what was spent in a scope, on one model or all, by requests that began at an instant or later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpentQuestion {
    /// Whose spending.
    pub scope: LimitScope,
    /// On which model. `None`: on all.
    pub model: Option<ModelName>,
    /// The window's first instant. Within a quarter of an hour, the whole quarter counts.
    pub since: Timestamp,
}

/// What spending is kept by. Ordered, so that concurrent batches touch rows in one order.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct SpendKey<'a> {
    tenant_id: String,
    unix_quarter: i64,
    project_id: String,
    key_id: &'a str,
    model: &'a str,
}

#[derive(Serialize)]
struct Spend<'a> {
    #[serde(flatten)]
    key: SpendKey<'a>,
    charge_nanos: Nanos,
    requests: u64,
}

impl Ledger {
    /// What was spent, one answer for each question, all as of one moment.
    ///
    /// Errors: more than [`SPENT_QUESTIONS_MAX`] questions, sums that do not fit.
    pub async fn spent_since(
        &self,
        tenant: TenantId,
        questions: &[SpentQuestion],
    ) -> Result<Vec<Nanos>, LedgerError> {
        if questions.len() > SPENT_QUESTIONS_MAX {
            return Err(QuantityError::Overflow { unit: "questions" }.into());
        }
        let mut transaction = self.pool.read().await?;
        let mut answers = Vec::with_capacity(questions.len());
        for question in questions {
            answers.push(spent(&mut transaction, tenant, question).await?);
        }
        Ok(answers)
    }
}

pub(super) async fn spent(
    transaction: &mut Transaction,
    tenant: TenantId,
    question: &SpentQuestion,
) -> Result<Nanos, LedgerError> {
    let shared = [
        Value::Id(tenant.as_uuid()),
        Value::Int(question.since.unix_quarter()),
        Value::Text(question.model.as_ref().map_or("", ModelName::as_str)),
    ];
    let [tenant, since, model] = shared;
    let (sum,): (i64,) = match &question.scope {
        LimitScope::Tenant => transaction.row(sql::SPENT_BY_TENANT, &shared).await?,
        LimitScope::Project(project) => {
            let values = [tenant, since, model, Value::Id(project.as_uuid())];
            transaction.row(sql::SPENT_BY_PROJECT, &values).await?
        }
        LimitScope::Key(key) => {
            let values = [tenant, since, model, Value::Text(key.as_str())];
            transaction.row(sql::SPENT_BY_KEY, &values).await?
        }
    };
    Ok(Nanos::from_i64(sum)?)
}

/// Adds the charges of records that are new.
pub(super) async fn add<'a>(
    transaction: &mut Transaction,
    records: impl Iterator<Item = &'a UsageRecord>,
) -> Result<(), LedgerError> {
    let mut sums: BTreeMap<SpendKey<'a>, (Nanos, u64)> = BTreeMap::new();
    for record in records {
        let key = SpendKey {
            tenant_id: hex_id(record.tenant_id.as_uuid()),
            unix_quarter: record.started_at.unix_quarter(),
            project_id: hex_id(project_column(record)),
            key_id: record.key_id.as_str(),
            model: record.model.as_str(),
        };
        let (charge, requests) = sums.entry(key).or_default();
        *charge = charge.checked_add(record.charge)?;
        *requests += 1;
    }
    let spend = |(key, (charge_nanos, requests))| Spend { key, charge_nanos, requests };
    let rows: Vec<_> = sums.into_iter().map(spend).collect();
    transaction.execute(sql::ADD_SPENDING, &[Value::Text(&to_json(&rows)?)]).await.map(drop)
}
