//! `/admin/v1/usage-events` and a tenant's events and meters: what programs of the operator report, and what it came to.
//! Never what makes an event or a quantity: billing reads, counts and stores them.
//! Registered by `admin::resources`.

use std::collections::BTreeMap;

use actix_web::{get, post, web};
use billing::{
    ledger::{HashedEvent, LedgerError, MeterSum, Tenant},
    plan::Plan,
    usage_event::{EventLine, UsageEvent},
};
use domain::{PlanVersionId, ProjectId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::{ChangeFailures, ReadFailures},
    event_form::Form,
    page::{Page, Rows, bad_cursor, rows},
    usage::Span,
};
use crate::http::ApiError;

/// Largest body: a thousand events of a kilobyte. Unit: bytes.
const BODY_BYTES_MAX: u32 = 1_024 * 1_024;
pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(take).service(list).service(meters);
}

/// A CloudEvent 1.0 in its JSON form. Further attributes are kept as text.
#[derive(ToSchema)]
#[schema(as = CloudEvent)]
#[expect(dead_code, reason = "it only describes what billing reads field by field")]
struct CloudEventWire {
    /// The version of the specification.
    #[schema(pattern = "^1\\.0$")]
    specversion: String,
    /// With `source` it is one event for ever.
    #[schema(min_length = 1, max_length = 255)]
    id: String,
    /// Who made it. A URI reference.
    #[schema(min_length = 1, max_length = 1024)]
    source: String,
    /// What kind of event it is; a plan's meters choose by it.
    #[serde(rename = "type")]
    #[schema(min_length = 1, max_length = 255)]
    event_type: String,
    /// Whose usage it is: a tenant's name or id, or with a project TENANT/PATH.
    #[schema(min_length = 1, max_length = 1024)]
    subject: String,
    /// When it happened. RFC 3339. Without it: when it comes.
    #[schema(format = "date-time")]
    time: Option<String>,
    /// JSON; `application/json` when it is left out.
    datacontenttype: Option<String>,
    /// What meters take their values from.
    #[schema(value_type = Object)]
    data: Option<String>,
}

/// Events as they are stored.
#[derive(Serialize, ToSchema)]
#[schema(as = TakenEvents)]
struct TakenWire {
    /// In the order in which they came.
    events: Vec<TakenEventWire>,
}

/// An event as it is stored: the same again gives the same.
#[derive(Serialize, ToSchema)]
#[schema(as = TakenEvent)]
struct TakenEventWire {
    source: String,
    id: String,
    /// Whose usage it is.
    #[schema(format = "uuid")]
    tenant_id: String,
    /// Its project, if the subject names one.
    #[schema(format = "uuid", required = true)]
    project_id: Option<String>,
    /// When it happened: the time whose invoice it is on. RFC 3339, UTC.
    #[schema(format = "date-time")]
    time: String,
    /// When it came first. RFC 3339, UTC.
    #[schema(format = "date-time")]
    received_at: String,
    /// The plan version whose meters count it, and whose prices apply.
    price_version: String,
    /// What it counts for; empty where filters leave it out.
    quantities: Vec<QuantityWire>,
    /// Its place among all events of the tenant.
    sequence: u64,
    /// SHA-256 of it as it is stored, in hexadecimal digits.
    hash: String,
}

/// A quantity of a meter.
#[derive(Serialize, ToSchema)]
#[schema(as = MeterQuantity)]
struct QuantityWire {
    meter: String,
    /// A decimal.
    quantity: String,
    unit: String,
}

/// Plans that counted events, by version.
type Plans = BTreeMap<PlanVersionId, Plan>;

/// A quantity in the unit that its plan has for the meter.
fn quantity(plans: &Plans, version: &PlanVersionId, meter: &str, counts: u64) -> QuantityWire {
    let plan = plans.get(version);
    let found = plan.and_then(|plan| plan.meters().iter().find(|own| own.name.as_str() == meter));
    let (quantity, unit) = match found {
        Some(own) => (own.quantity(counts), own.unit.clone()),
        // A plan version never goes away, and so no meter of it.
        None => (counts.to_string(), String::new()),
    };
    QuantityWire { meter: meter.to_owned(), quantity, unit }
}

async fn plans_of<'a>(
    call: &Call,
    versions: impl Iterator<Item = &'a PlanVersionId>,
) -> Result<Plans, ApiError> {
    let mut plans = Plans::new();
    for version in versions {
        if !plans.contains_key(version)
            && let Some(plan) = call.ledger().find_plan(version).await?
        {
            plans.insert(version.clone(), plan);
        }
    }
    Ok(plans)
}

impl TakenEventWire {
    fn to_wire((stored, hash): &HashedEvent, plans: &Plans) -> Self {
        let counts = stored.counts.iter();
        let quantities =
            counts.map(|(meter, counts)| quantity(plans, &stored.price_version, meter.as_str(), *counts));
        Self {
            source: stored.event.source.clone(),
            id: stored.event.id.clone(),
            tenant_id: stored.tenant_id.to_string(),
            project_id: stored.project_id.map(|project| project.to_string()),
            time: stored.time.to_string(),
            received_at: stored.received_at.to_string(),
            price_version: stored.price_version.to_string(),
            quantities: quantities.collect(),
            sequence: stored.sequence,
            hash: hash.to_string(),
        }
    }
}

/// Take usage events: one CloudEvent, a batch of them, or one with its attributes in `ce-` headers. All of a batch is
/// taken, or nothing. An event that was taken before counts nothing and is answered as it was; the same `source` and
/// `id` with anything else different is a conflict that names the field.
#[utoipa::path(tag = "usage", operation_id = "take_usage_events",
    request_body(description = "One event or a batch", content(
        (CloudEventWire = "application/cloudevents+json"),
        (Vec<CloudEventWire> = "application/cloudevents-batch+json"))),
    responses((status = 200, description = "The events as they are stored", body = TakenWire), ChangeFailures))]
#[post("/usage-events")]
async fn take(call: Call, body: web::Payload) -> Answer {
    let form = Form::of(call.headers())?;
    let is_batch = matches!(form, Form::Batch);
    let bytes = call.bytes(body, BODY_BYTES_MAX).await?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| ApiError::invalid("invalid_json", "", "the body is not UTF-8"))?;
    let read = match form {
        Form::One => UsageEvent::from_json(text).map(|event| vec![event]),
        Form::Batch => UsageEvent::batch_from_json(text),
        Form::Headers { attributes, media_type } => {
            UsageEvent::from_parts(attributes, media_type.as_deref(), text).map(|event| vec![event])
        }
    };
    let events = read.map_err(LedgerError::Event)?;
    let taken = match call.ledger().take_events(&events, call.now()).await {
        // Where there is only one event, its place says nothing.
        Err(LedgerError::Event(error)) if !is_batch => return Err(LedgerError::Event(error.alone()).into()),
        taken => taken?,
    };
    let plans = plans_of(&call, taken.iter().map(|(stored, _)| &stored.price_version)).await?;
    let events = taken.iter().map(|event| TakenEventWire::to_wire(event, &plans)).collect();
    Ok(ok(&TakenWire { events }))
}

/// Which span of a tenant's events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// A month of the tenant's zone, as YYYY-MM. The running one without it.
    #[param(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$")]
    month: Option<String>,
    /// The first instant, with `to` instead of `month`. RFC 3339.
    #[param(format = "date-time")]
    from: Option<String>,
    /// The first instant after the span. RFC 3339.
    #[param(format = "date-time")]
    to: Option<String>,
    /// How many rows at most.
    #[serde(default, deserialize_with = "rows")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Rows,
    /// The `next_cursor` of the page before.
    #[param(min_length = 1, max_length = 200)]
    cursor: Option<String>,
}

/// A stored event, as the export has it.
#[derive(Serialize, ToSchema)]
#[serde(transparent)]
#[schema(as = UsageEvent, value_type = Object)]
struct EventLineWire(EventLine);

/// List usage events, by the time they happened, as the JSON Lines export gives them.
#[utoipa::path(tag = "usage", operation_id = "list_usage_events",
    params(("tenant_id" = String, Path, format = "uuid"), EventsQuery),
    responses((status = 200, description = "A page of events", body = Page<EventLineWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/usage-events")]
async fn list(call: Call) -> Answer {
    let EventsQuery { month, from, to, limit, cursor } = call.query()?;
    let after = cursor.as_deref().map(position).transpose()?;
    let tenant = call.tenant().await?;
    let period = Span { month, from, to }.period(&tenant, call.now())?;
    let span = (period.start(), period.end());
    let mut found = Vec::new();
    // The ledger gives at most some hundred at once.
    let mut next = after;
    while found.len() <= limit.get() {
        let wanted = limit.get() + 1 - found.len();
        let page = call.ledger().usage_events_page(tenant.id, span, next, wanted).await?;
        let Some((last, _)) = page.last() else { break };
        next = Some((last.time, last.sequence));
        found.extend(page);
    }
    let paths = paths(&call, &tenant).await?;
    let is_full = found.len() > limit.get();
    found.truncate(limit.get());
    let next_cursor = found.last().filter(|_| is_full).map(|(last, _)| cursor_of((last.time, last.sequence)));
    let data = found.iter().map(|(stored, hash)| {
        let path = stored.project_id.and_then(|project| paths.get(&project)).map(String::as_str);
        stored.to_export(*hash, path).map(EventLineWire).map_err(|error| unreadable(&error))
    });
    Ok(ok(&Page { data: data.collect::<Result<_, ApiError>>()?, next_cursor }))
}

fn unreadable(error: &serde_json::Error) -> ApiError {
    tracing::error!(error = %error, "a usage event could not be written");
    ApiError::new(domain::Fault::Broken, "internal_error", "an event could not be written")
}

async fn paths(call: &Call, tenant: &Tenant) -> Result<BTreeMap<ProjectId, String>, ApiError> {
    let projects = call.ledger().projects(tenant.id).await?;
    Ok(projects.into_iter().map(|project| (project.id, project.path)).collect())
}

/// Microseconds and place in the chain: where the page ended.
fn cursor_of((time, sequence): (Timestamp, u64)) -> String {
    format!("{}.{sequence}", time.unix_micros())
}

fn position(cursor: &str) -> Result<(Timestamp, u64), ApiError> {
    let parsed = cursor.split_once('.').and_then(|(micros, sequence)| {
        let sequence: u64 = sequence.parse().ok()?;
        Some((Timestamp::from_unix_micros(micros.parse().ok()?), sequence))
    });
    parsed.filter(|(_, sequence)| i64::try_from(*sequence).is_ok()).ok_or_else(bad_cursor)
}

/// Which span of a tenant's meters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MetersQuery {
    /// A month of the tenant's zone, as YYYY-MM. The running one without it.
    #[param(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$")]
    month: Option<String>,
    /// The first instant, with `to` instead of `month`. RFC 3339.
    #[param(format = "date-time")]
    from: Option<String>,
    /// The first instant after the span. RFC 3339.
    #[param(format = "date-time")]
    to: Option<String>,
}

/// What events came to in one meter.
#[derive(Serialize, ToSchema)]
#[schema(as = MeterUsage)]
struct MeterWire {
    /// The meter.
    meter: String,
    /// The plan version whose meter it is.
    price_version: String,
    /// The project, without those below it; null: events that name none.
    #[schema(format = "uuid", required = true)]
    project_id: Option<String>,
    /// The project's path.
    #[schema(required = true)]
    project_path: Option<String>,
    /// Events that it took.
    events: u64,
    /// What they come to. A decimal.
    quantity: String,
    /// Of what.
    unit: String,
}

/// Sum what usage events came to, by meter, plan version and project.
#[utoipa::path(tag = "usage", operation_id = "sum_meters",
    params(("tenant_id" = String, Path, format = "uuid"), MetersQuery),
    responses((status = 200, description = "All meters that counted something", body = Page<MeterWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/meters")]
async fn meters(call: Call) -> Answer {
    let MetersQuery { month, from, to } = call.query()?;
    let tenant = call.tenant().await?;
    let period = Span { month, from, to }.period(&tenant, call.now())?;
    let sums = call.ledger().meter_sums(tenant.id, &period).await?;
    let plans = plans_of(&call, sums.iter().map(|row| &row.sum.price_version)).await?;
    let paths = paths(&call, &tenant).await?;
    let wire = |MeterSum { project_id, sum }: &MeterSum| {
        let found = quantity(&plans, &sum.price_version, sum.meter.as_str(), sum.counts);
        let QuantityWire { meter, quantity, unit } = found;
        MeterWire {
            meter,
            price_version: sum.price_version.to_string(),
            project_id: project_id.map(|project| project.to_string()),
            project_path: project_id.and_then(|project| paths.get(&project)).cloned(),
            events: sum.events,
            quantity,
            unit,
        }
    };
    Ok(ok(&Page::whole(sums.iter().map(wire).collect())))
}
