//! `/admin/v1/tenants/{tenant_id}/usage` and `/records`: what a tenant used, summed or record by record.
//! Never rates: prices belong to invoices.
//! Registered by `admin::resources`.

use std::collections::BTreeMap;

use actix_web::get;
use billing::ledger::{GroupUsage, Project, RecordPosition, StoredRecord, Tenant, UsageGroup};
use domain::{JournaledRecord, Period, ProjectId, RequestId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::ReadFailures,
    page::{Page, PageQuery, Rows, bad_cursor, rows},
};
use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(sums).service(records);
}

/// Which span of time: a month, or an exact span. Without either: the running month.
#[derive(Debug, Default)]
pub(super) struct Span {
    pub(super) month: Option<String>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
}

impl Span {
    /// The span in the tenant's zone.
    ///
    /// Errors: no month, no instant, an end that is not after the start, a month beside an exact span.
    pub(super) fn period(&self, tenant: &Tenant, now: Timestamp) -> Result<Period, ApiError> {
        let instant = |name: &'static str, text: &str| {
            let parsed: Result<jiff::Timestamp, _> = text.parse();
            parsed.map(|instant| Timestamp::from_unix_micros(instant.as_microsecond())).map_err(|_| {
                let text: String = text.chars().take(80).collect();
                let message = format!("{name}: {text:?} is no instant such as 2026-11-24T00:00:00Z");
                ApiError::invalid("invalid_value", name, message)
            })
        };
        let made = match (&self.month, &self.from, &self.to) {
            (None, None, None) => Period::month_of(now, &tenant.zone),
            (Some(month), None, None) => Period::month(month, &tenant.zone),
            (None, Some(from), Some(to)) => {
                Period::new(instant("from", from)?, instant("to", to)?, &tenant.zone)
            }
            _ => {
                let message = "give either `month`, or both `from` and `to`, or none of them";
                return Err(ApiError::invalid("invalid_value", "month", message));
            }
        };
        let name = if self.month.is_some() { "month" } else { "to" };
        made.map_err(|error| ApiError::invalid("invalid_value", name, error.to_string()))
    }
}

/// What sums of usage are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SumsQuery {
    /// What to sum by.
    #[serde(default)]
    #[param(inline)]
    by: Group,
    /// A month of the tenant's zone, as YYYY-MM. The running one without it.
    #[param(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$")]
    month: Option<String>,
    /// The first instant, with `to` instead of `month`. RFC 3339.
    #[param(format = "date-time")]
    from: Option<String>,
    /// The first instant after the span. RFC 3339.
    #[param(format = "date-time")]
    to: Option<String>,
    /// Only what this project used, and all below it: its path or id.
    #[param(min_length = 1, max_length = 600)]
    project: Option<String>,
    /// How many groups at most.
    #[serde(default = "all_rows", deserialize_with = "rows")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 1000)]
    limit: Rows,
    /// The `next_cursor` of the page before: the last group's name.
    #[param(min_length = 1, max_length = 600)]
    cursor: Option<String>,
}

/// A month of hours is one page.
fn all_rows() -> Rows {
    Rows::most()
}

/// What to sum by.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Group {
    /// Hours of the span, at most 1,000.
    Hour,
    /// Days of the tenant's zone, at most 1,000.
    Day,
    /// Models.
    #[default]
    Model,
    /// Latency classes.
    Class,
    /// How requests ended.
    Reason,
    /// Keys.
    Key,
    /// Projects by their paths, each without those below it.
    Project,
}

impl Group {
    fn to_group(self) -> UsageGroup {
        match self {
            Self::Hour => UsageGroup::Hour,
            Self::Day => UsageGroup::Day,
            Self::Model => UsageGroup::Model,
            Self::Class => UsageGroup::SloClass,
            Self::Reason => UsageGroup::Reason,
            Self::Key => UsageGroup::Key,
            Self::Project => UsageGroup::Project,
        }
    }
}

/// What one group used.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
struct UsageWire {
    /// The hour, day, model, class, reason, key or path of a project; `(no project)` for keys that have none.
    group: String,
    /// The project, where sums are by project and this is one; else null.
    #[schema(format = "uuid", required = true)]
    project_id: Option<String>,
    requests: u64,
    requests_slo_met: u64,
    prompt_tokens: u64,
    cached_prompt_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    tokens_in_slo: u64,
    late_tokens: u64,
    energy_mj: u64,
    /// Computed prompt tokens of requests for embeddings; they are prompt tokens as well.
    embeddings_tokens: u64,
}

impl UsageWire {
    fn to_wire(GroupUsage { name, project_id, totals }: GroupUsage) -> Self {
        Self {
            group: name,
            project_id: project_id.map(|id| id.to_string()),
            requests: totals.requests,
            requests_slo_met: totals.requests_slo_met,
            prompt_tokens: totals.prompt_tokens.get(),
            cached_prompt_tokens: totals.cached_prompt_tokens.get(),
            output_tokens: totals.output_tokens.get(),
            reasoning_tokens: totals.reasoning_tokens.get(),
            tokens_in_slo: totals.tokens_in_slo.get(),
            late_tokens: totals.late_tokens.get(),
            energy_mj: totals.energy.get(),
            embeddings_tokens: totals.embeddings_tokens.get(),
        }
    }
}

/// Sum what a tenant used, by hour, day, model, class, reason, key or project.
#[utoipa::path(tag = "usage", operation_id = "sum_usage",
    params(("tenant_id" = String, Path, format = "uuid"), SumsQuery),
    responses((status = 200, description = "A page of the groups that used something", body = Page<UsageWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/usage")]
async fn sums(call: Call) -> Answer {
    let SumsQuery { by, month, from, to, project, limit, cursor } = call.query()?;
    let tenant = call.tenant().await?;
    let period = Span { month, from, to }.period(&tenant, call.now())?;
    let within = within(&call, &tenant, project.as_deref()).await?;
    let groups = call.ledger().usage_by(tenant.id, &period, by.to_group(), within).await?;
    let page = PageQuery { limit, cursor };
    let rest = page.rest(&groups, |group, after| group.name == after)?;
    let rest = rest.cloned().map(UsageWire::to_wire).collect();
    Ok(ok(&Page::cut(rest, limit, |group: &UsageWire| group.group.clone())))
}

/// Which usage records.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RecordsQuery {
    /// A month of the tenant's zone, as YYYY-MM. The running one without it.
    #[param(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$")]
    month: Option<String>,
    /// The first instant, with `to` instead of `month`. RFC 3339.
    #[param(format = "date-time")]
    from: Option<String>,
    /// The first instant after the span. RFC 3339.
    #[param(format = "date-time")]
    to: Option<String>,
    /// Only those of this project, and of all below it: its path or id.
    #[param(min_length = 1, max_length = 600)]
    project: Option<String>,
    /// How many rows at most.
    #[serde(default, deserialize_with = "rows")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Rows,
    /// The `next_cursor` of the page before.
    #[param(min_length = 1, max_length = 200)]
    cursor: Option<String>,
}

/// A usage record in its place in its journal, with its hash.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageRecord)]
struct RecordWire {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    journaled: JournaledRecord,
    /// SHA-256 of the record, in hexadecimal digits.
    hash: String,
    /// The path of its project now; null: it has none. The id in the record never changes and is part of the hash.
    #[schema(required = true)]
    project_path: Option<String>,
}

/// List usage records, by the time they finished.
#[utoipa::path(tag = "usage", operation_id = "list_records",
    params(("tenant_id" = String, Path, format = "uuid"), RecordsQuery),
    responses((status = 200, description = "A page of records", body = Page<RecordWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/records")]
async fn records(call: Call) -> Answer {
    let RecordsQuery { month, from, to, project, limit, cursor } = call.query()?;
    let after = cursor.as_deref().map(position).transpose()?;
    let tenant = call.tenant().await?;
    let period = Span { month, from, to }.period(&tenant, call.now())?;
    let within = within(&call, &tenant, project.as_deref()).await?;
    let page = call.ledger().records_page(tenant.id, &period, within, after, limit.get()).await?;
    let next_cursor = page.next.map(cursor_of);
    let paths: BTreeMap<ProjectId, String> = match page.records.is_empty() {
        true => BTreeMap::new(),
        false => paths(call.ledger().projects(tenant.id).await?),
    };
    let data = page.records.into_iter().map(|stored| RecordWire::to_wire(stored, &paths)).collect();
    Ok(ok(&Page { data, next_cursor }))
}

fn paths(projects: Vec<Project>) -> BTreeMap<ProjectId, String> {
    projects.into_iter().map(|project| (project.id, project.path)).collect()
}

/// The project of the query, by path or id.
///
/// Errors: the tenant has none such.
pub(super) async fn within(
    call: &Call,
    tenant: &Tenant,
    project: Option<&str>,
) -> Result<Option<ProjectId>, ApiError> {
    let Some(text) = project else { return Ok(None) };
    // A text with a NUL names no project, and no database takes one.
    let found = match text.contains('\0') {
        true => None,
        false => call.ledger().find_project(tenant.id, text).await?,
    };
    let text: String = text.chars().take(80).collect();
    let message = format!("project: the tenant has no project {text:?}");
    found
        .map(|project| Some(project.id))
        .ok_or_else(|| ApiError::invalid("unknown_project", "project", message))
}

impl RecordWire {
    fn to_wire(StoredRecord { journaled, hash }: StoredRecord, paths: &BTreeMap<ProjectId, String>) -> Self {
        let project_path = journaled.record.project_id.and_then(|id| paths.get(&id)).cloned();
        Self { journaled, hash: hash.to_string(), project_path }
    }
}

/// Microseconds and request id: where the page ended.
fn cursor_of(position: RecordPosition) -> String {
    format!("{}.{}", position.finished_at().unix_micros(), position.request_id())
}

fn position(cursor: &str) -> Result<RecordPosition, ApiError> {
    let parsed = cursor.split_once('.').and_then(|(micros, id)| {
        let finished_at = Timestamp::from_unix_micros(micros.parse().ok()?);
        let request_id: RequestId = id.parse().ok()?;
        Some(RecordPosition::new(finished_at, request_id))
    });
    parsed.ok_or_else(bad_cursor)
}
