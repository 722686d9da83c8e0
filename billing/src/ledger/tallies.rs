//! Sums of usage over any period: whole hours from the tallies, partial hours at its edges from the records.
//! Never a sum that depends on the zone's offset: a month that begins at half past is exact too.
//! Called by invoices, and by `groups` for those who look at usage.

use domain::{
    EndReason, EnergySource, Millijoules, ModelName, Period, PlanVersionId, ProjectId, SloClass, TenantId,
    Timestamp, Tokens, UsageRecord,
};
use serde::Serialize;
use uuid::Uuid;

use super::{Ledger, LedgerError, Transaction, Value, error::read_back, projects, rebuild, sql};

pub(super) const HOUR_US: i64 = 3_600_000_000;

/// What was used, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UsageTotals {
    /// Requests.
    pub requests: u64,
    /// Requests that met every target of their class.
    pub requests_slo_met: u64,
    /// Prompt tokens, cached ones included.
    pub prompt_tokens: Tokens,
    /// Prompt tokens taken from the cache.
    pub cached_prompt_tokens: Tokens,
    /// Produced tokens, reasoning included.
    pub output_tokens: Tokens,
    /// Produced tokens that were reasoning.
    pub reasoning_tokens: Tokens,
    /// Produced tokens that were in time.
    pub tokens_in_slo: Tokens,
    /// Produced tokens that were late.
    pub late_tokens: Tokens,
    /// Energy.
    #[serde(rename = "energy_mj")]
    pub energy: Millijoules,
    /// Computed prompt tokens of requests for embeddings.
    pub embeddings_tokens: Tokens,
}

/// What was used of one model, under one plan version, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageSum {
    /// The plan version that priced it.
    pub price_version: PlanVersionId,
    /// The model.
    pub model: ModelName,
    /// The latency class.
    pub slo_class: SloClass,
    /// Why the requests ended.
    pub reason: EndReason,
    /// Where the energy figures come from.
    pub energy_source: EnergySource,
    /// The sums.
    pub totals: UsageTotals,
}

/// Sums, each of one project; without one for requests of keys that had none.
pub(crate) type ProjectSums = Vec<(Option<ProjectId>, UsageSum)>;

#[derive(sqlx::FromRow)]
pub(super) struct TotalsRow {
    requests: i64,
    requests_slo_met: i64,
    prompt_tokens: i64,
    cached_prompt_tokens: i64,
    output_tokens: i64,
    reasoning_tokens: i64,
    tokens_in_slo: i64,
    late_tokens: i64,
    energy_mj: i64,
    embeddings_tokens: i64,
}

#[derive(sqlx::FromRow)]
struct SumRow {
    price_version: String,
    model: String,
    slo_class: String,
    reason: String,
    energy_source: String,
    #[sqlx(flatten)]
    totals: TotalsRow,
}

/// What a tally is kept by, and by how much its counts exceed those of the records.
#[derive(sqlx::FromRow)]
pub(super) struct DifferenceRow {
    pub(super) unix_hour: i64,
    pub(super) key_id: String,
    pub(super) model: String,
    pub(super) slo_class: String,
    pub(super) reason: String,
    pub(super) price_version: String,
    pub(super) energy_source: String,
    pub(super) project_id: Uuid,
    #[sqlx(flatten)]
    totals: TotalsRow,
}

#[derive(sqlx::FromRow)]
struct ProjectSumRow {
    project_id: Uuid,
    #[sqlx(flatten)]
    sum: SumRow,
}

impl UsageTotals {
    pub(super) fn from_row(row: &TotalsRow) -> Result<Self, LedgerError> {
        let count = |count: i64| u64::try_from(count).map_err(|error| LedgerError::corrupt("tally", &error));
        Ok(Self {
            requests: count(row.requests)?,
            requests_slo_met: count(row.requests_slo_met)?,
            prompt_tokens: Tokens::from_i64(row.prompt_tokens)?,
            cached_prompt_tokens: Tokens::from_i64(row.cached_prompt_tokens)?,
            output_tokens: Tokens::from_i64(row.output_tokens)?,
            reasoning_tokens: Tokens::from_i64(row.reasoning_tokens)?,
            tokens_in_slo: Tokens::from_i64(row.tokens_in_slo)?,
            late_tokens: Tokens::from_i64(row.late_tokens)?,
            energy: Millijoules::from_i64(row.energy_mj)?,
            embeddings_tokens: Tokens::from_i64(row.embeddings_tokens)?,
        })
    }

    /// What one request used.
    pub fn of(record: &UsageRecord) -> Self {
        Self {
            requests: 1,
            requests_slo_met: u64::from(record.slo_met),
            prompt_tokens: record.prompt_tokens,
            cached_prompt_tokens: record.cached_prompt_tokens,
            output_tokens: record.output_tokens,
            reasoning_tokens: record.reasoning_tokens,
            tokens_in_slo: record.tokens_in_slo,
            late_tokens: record.late_tokens(),
            energy: record.energy,
            embeddings_tokens: record.embeddings_tokens,
        }
    }

    /// The sum.
    ///
    /// Errors: overflow.
    pub fn checked_add(&self, other: &Self) -> Result<Self, domain::QuantityError> {
        let requests = |left: u64, right: u64| {
            left.checked_add(right).ok_or(domain::QuantityError::Overflow { unit: "requests" })
        };
        Ok(Self {
            requests: requests(self.requests, other.requests)?,
            requests_slo_met: requests(self.requests_slo_met, other.requests_slo_met)?,
            prompt_tokens: self.prompt_tokens.checked_add(other.prompt_tokens)?,
            cached_prompt_tokens: self.cached_prompt_tokens.checked_add(other.cached_prompt_tokens)?,
            output_tokens: self.output_tokens.checked_add(other.output_tokens)?,
            reasoning_tokens: self.reasoning_tokens.checked_add(other.reasoning_tokens)?,
            tokens_in_slo: self.tokens_in_slo.checked_add(other.tokens_in_slo)?,
            late_tokens: self.late_tokens.checked_add(other.late_tokens)?,
            energy: self.energy.checked_add(other.energy)?,
            embeddings_tokens: self.embeddings_tokens.checked_add(other.embeddings_tokens)?,
        })
    }
}

impl DifferenceRow {
    /// The first count that differs, and by how much.
    pub(super) fn first_count(&self) -> (&'static str, i64) {
        let first = self.totals.counts().into_iter().find(|(_, difference)| *difference != 0);
        first.unwrap_or(("requests", 0))
    }

    /// The first instant of the tally's hour.
    pub(super) fn hour(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.unix_hour.saturating_mul(HOUR_US))
    }

    /// What else the tally is kept by, in words.
    pub(super) fn group(&self) -> String {
        let project = match self.project_id.is_nil() {
            true => "no project".to_owned(),
            false => format!("project {}", self.project_id),
        };
        let Self { key_id, model, slo_class, reason, price_version, energy_source, .. } = self;
        [model, price_version, slo_class, reason, energy_source, key_id, &project]
            .map(String::as_str)
            .join(", ")
    }
}

impl TotalsRow {
    /// Every count, with its name.
    pub(super) fn counts(&self) -> [(&'static str, i64); 10] {
        [
            ("requests", self.requests),
            ("requests within the SLO", self.requests_slo_met),
            ("prompt tokens", self.prompt_tokens),
            ("cached prompt tokens", self.cached_prompt_tokens),
            ("output tokens", self.output_tokens),
            ("reasoning tokens", self.reasoning_tokens),
            ("tokens within the SLO", self.tokens_in_slo),
            ("late tokens", self.late_tokens),
            ("millijoules", self.energy_mj),
            ("tokens of embeddings", self.embeddings_tokens),
        ]
    }
}

impl UsageSum {
    /// Whether it counts the same usage in all but its totals.
    fn has_same_place(&self, other: &Self) -> bool {
        *self == Self { totals: self.totals, ..other.clone() }
    }

    fn from_row(row: SumRow) -> Result<Self, LedgerError> {
        Ok(Self {
            price_version: PlanVersionId::new(row.price_version)?,
            model: ModelName::new(row.model)?,
            slo_class: read_back("SLO class", &row.slo_class)?,
            reason: read_back("end reason", &row.reason)?,
            energy_source: read_back("energy source", &row.energy_source)?,
            totals: UsageTotals::from_row(&row.totals)?,
        })
    }
}

impl Ledger {
    /// What a tenant used in a period, per plan version, model, class, reason and energy source.
    pub async fn usage_sums(&self, tenant: TenantId, period: &Period) -> Result<Vec<UsageSum>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        sums(&mut transaction, tenant, period.start(), period.end()).await
    }
}

/// One statement, so the sums are of one moment.
async fn sums(
    transaction: &mut Transaction,
    tenant: TenantId,
    start: Timestamp,
    end: Timestamp,
) -> Result<Vec<UsageSum>, LedgerError> {
    let rows: Vec<SumRow> = transaction.rows(sql::USAGE_SUMS, &span_values(tenant, start, end)).await?;
    rows.into_iter().map(UsageSum::from_row).collect()
}

/// The same, each of one project; without one for requests of keys that had none.
pub(crate) async fn sums_by_project(
    transaction: &mut Transaction,
    tenant: TenantId,
    start: Timestamp,
    end: Timestamp,
) -> Result<ProjectSums, LedgerError> {
    let values = span_values(tenant, start, end);
    let rows: Vec<ProjectSumRow> = transaction.rows(sql::USAGE_SUMS_BY_PROJECT, &values).await?;
    rows.into_iter()
        .map(|row| Ok((projects::of_column(row.project_id), UsageSum::from_row(row.sum)?)))
        .collect()
}

/// The same from the records themselves, of one moment: all of it, and what requests used that missed a target.
pub(crate) async fn split_by_project(
    transaction: &mut Transaction,
    tenant: TenantId,
    period: &Period,
) -> Result<(ProjectSums, ProjectSums), LedgerError> {
    let values = [
        Value::Id(tenant.as_uuid()),
        Value::Int(period.start().unix_micros()),
        Value::Int(period.end().unix_micros()),
    ];
    let rows: Vec<ProjectSumRow> = transaction.rows(sql::USAGE_SPLIT, &values).await?;
    let (mut all, mut late): (ProjectSums, ProjectSums) = (Vec::new(), Vec::new());
    for row in rows {
        let (project, sum) = (projects::of_column(row.project_id), UsageSum::from_row(row.sum)?);
        if sum.totals.requests_slo_met == 0 {
            late.push((project, sum.clone()));
        }
        match all.last_mut().filter(|(other, last)| *other == project && last.has_same_place(&sum)) {
            Some((_, last)) => last.totals = last.totals.checked_add(&sum.totals)?,
            None => all.push((project, sum)),
        }
    }
    Ok((all, late))
}

/// Compares the tallies that a sum over this period takes with the usage records they were made from.
///
/// Tallies may be written by anybody with a database client; records may not.
/// Errors: the first hour and group in which they differ.
pub(crate) async fn check(
    transaction: &mut Transaction,
    tenant: TenantId,
    period: &Period,
) -> Result<(), LedgerError> {
    let [id, first_hour, last_hour, _, whole_from, whole_to, _] =
        span_values(tenant, period.start(), period.end());
    let values = [id, first_hour, last_hour, whole_from, whole_to];
    match transaction.find::<DifferenceRow>(sql::TALLY_DIFFERENCE, &values).await? {
        None => Ok(()),
        Some(row) => Err(rebuild::described(transaction, tenant, row).await?.into_error()),
    }
}

/// Whether sums over a period are sums of tallies alone.
pub(crate) fn is_of_whole_hours(period: &Period) -> bool {
    [period.start(), period.end()].iter().all(|at| at.unix_micros().rem_euclid(HOUR_US) == 0)
}

/// Hours, and the instants at which they begin: values for statements that compare tallies with what they sum.
pub(super) fn hour_values(tenant: TenantId, (first, end): (i64, i64)) -> [Value<'static>; 5] {
    let instant = |hour: i64| Value::Int(hour.saturating_mul(HOUR_US));
    [Value::Id(tenant.as_uuid()), Value::Int(first), Value::Int(end), instant(first), instant(end)]
}

/// Where whole hours end and edges begin: values for the usage statements.
pub(super) fn span_values(tenant: TenantId, start: Timestamp, end: Timestamp) -> [Value<'static>; 7] {
    let (start, end) = (start.unix_micros(), end.unix_micros());
    let first_hour = start.div_euclid(HOUR_US) + i64::from(start.rem_euclid(HOUR_US) > 0);
    let last_hour = end.div_euclid(HOUR_US);
    // A period within one hour has no whole hour: its first edge is all of it.
    let (head_end, tail_start) = match first_hour <= last_hour {
        true => (first_hour * HOUR_US, last_hour * HOUR_US),
        false => (end, end),
    };
    [
        Value::Id(tenant.as_uuid()),
        Value::Int(first_hour),
        Value::Int(last_hour),
        Value::Int(start),
        Value::Int(head_end),
        Value::Int(tail_start),
        Value::Int(end),
    ]
}
