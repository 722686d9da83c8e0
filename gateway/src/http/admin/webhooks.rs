//! `/admin/v1/webhooks`: who is told of events, with which secret, and how each delivery went.
//! Never shows a secret again: it is in the answer that makes it and in no other.
//! Registered by `admin::resources`.

use actix_web::{get, post, web};
use billing::ledger::{Delivery, DeliveryAttempt, Endpoint, EventKind, NewEndpoint, WebhookSecret};
use domain::{EndpointId, EventId, Fault, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, created, ok},
    error::{self, ChangeFailures, ReadFailures},
    page::{Page, PageQuery},
};
use crate::{
    http::ApiError,
    notify::{check_url, new_secret, secret_text},
};

/// Microseconds in a second.
const SECOND_US: i64 = 1_000_000;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes
        .service(list)
        .service(create)
        .service(show)
        .service(rotate)
        .service(disable)
        .service(enable)
        .service(deliveries)
        .service(resend);
}

/// Who is told of events.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
struct EndpointWire {
    /// Its id.
    #[schema(format = "uuid")]
    id: String,
    /// Whose it is; null: an operator's, which hears of every tenant.
    #[schema(format = "uuid", required = true)]
    tenant_id: Option<String>,
    /// Where messages are sent.
    url: String,
    /// What it hears of; empty: everything.
    events: Vec<KindWire>,
    /// When it was made. RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
    /// Since when nothing is sent; null while something is.
    #[schema(format = "date-time", required = true)]
    disabled_at: Option<String>,
    /// Since when every try failed; null: the last one did not.
    #[schema(format = "date-time", required = true)]
    failing_since: Option<String>,
}

/// What can happen.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = EventKind)]
enum KindWire {
    /// What is left of a tenant's credit fell below its threshold.
    #[serde(rename = "credit.low")]
    CreditLow,
    /// Half, four fifths or all of a budget is spent.
    #[serde(rename = "budget.threshold")]
    BudgetThreshold,
    /// An invoice was issued.
    #[serde(rename = "invoice.issued")]
    InvoiceIssued,
    /// A class met its targets for fewer requests of the month than the plan promises.
    #[serde(rename = "slo.below")]
    SloBelow,
    /// What an invoice comes to could not be collected.
    #[serde(rename = "payment.failed")]
    PaymentFailed,
    /// Something at Stripe is not as it should be, and waits until somebody has looked.
    #[serde(rename = "stripe.parked")]
    StripeParked,
}

impl KindWire {
    fn to_kind(self) -> EventKind {
        match self {
            Self::CreditLow => EventKind::CreditLow,
            Self::BudgetThreshold => EventKind::BudgetThreshold,
            Self::InvoiceIssued => EventKind::InvoiceIssued,
            Self::SloBelow => EventKind::SloBelow,
            Self::PaymentFailed => EventKind::PaymentFailed,
            Self::StripeParked => EventKind::StripeParked,
        }
    }

    fn to_wire(kind: EventKind) -> Self {
        match kind {
            EventKind::CreditLow => Self::CreditLow,
            EventKind::BudgetThreshold => Self::BudgetThreshold,
            EventKind::InvoiceIssued => Self::InvoiceIssued,
            EventKind::SloBelow => Self::SloBelow,
            EventKind::PaymentFailed => Self::PaymentFailed,
            EventKind::StripeParked => Self::StripeParked,
        }
    }
}

impl EndpointWire {
    fn to_wire(endpoint: &Endpoint) -> Self {
        let at = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            id: endpoint.id.to_string(),
            tenant_id: endpoint.tenant_id.map(|tenant| tenant.to_string()),
            url: endpoint.url.clone(),
            events: endpoint.kinds.iter().copied().map(KindWire::to_wire).collect(),
            created_at: endpoint.created_at.to_string(),
            disabled_at: at(endpoint.disabled_at),
            failing_since: at(endpoint.failing_since),
        }
    }
}

/// An endpoint with its new secret: this once.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookWithSecret)]
struct WithSecretWire {
    /// The endpoint.
    webhook: EndpointWire,
    /// What signs its messages, as Standard Webhooks writes secrets.
    secret: String,
}

/// An endpoint to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhook)]
struct NewEndpointWire {
    /// Where messages are sent: https, and no private address unless the configuration allows them.
    #[schema(min_length = 1, max_length = 2000)]
    url: String,
    /// Only events of this tenant; left out: an operator's endpoint, which hears of all.
    #[serde(default)]
    #[schema(format = "uuid")]
    tenant_id: Option<String>,
    /// What it hears of; left out: everything.
    #[serde(default)]
    #[schema(max_items = 4)]
    events: Vec<KindWire>,
}

/// How to rotate a secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookRotation)]
struct RotationWire {
    /// For how long the secrets before sign too. At most 30 days.
    #[serde(default = "one_day")]
    #[schema(default = 86400, maximum = 2_592_000)]
    overlap_seconds: u32,
}

fn one_day() -> u32 {
    86_400
}

/// An event on its way to an endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
struct DeliveryWire {
    /// What: `webhook-id` of its messages.
    #[schema(format = "uuid")]
    event_id: String,
    /// What happened.
    #[serde(rename = "type")]
    kind: String,
    /// `pending`, `delivered` or `failed`.
    state: String,
    /// Tries so far.
    attempts: u32,
    /// When it is tried next, of one that waits. RFC 3339, UTC.
    #[schema(format = "date-time")]
    due_at: String,
    /// The latest tries, newest first; at most 20.
    log: Vec<AttemptWire>,
}

/// A try.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookAttempt)]
struct AttemptWire {
    /// Its number, from 1.
    attempt: u32,
    /// When it began. RFC 3339, UTC.
    #[schema(format = "date-time")]
    at: String,
    /// How long it took.
    duration_ms: u32,
    /// What was answered; null: nothing.
    #[schema(required = true)]
    status: Option<u16>,
    /// `delivered`, `refused`, `timed_out`, `unreachable` or `forbidden_address`.
    outcome: String,
}

impl DeliveryWire {
    fn to_wire(delivery: &Delivery) -> Self {
        let tried = |tried: &DeliveryAttempt| AttemptWire {
            attempt: tried.attempt,
            at: tried.at.to_string(),
            duration_ms: tried.duration_ms,
            status: tried.status,
            outcome: tried.outcome.clone(),
        };
        Self {
            event_id: delivery.event_id.to_string(),
            kind: delivery.kind.clone(),
            state: delivery.state.clone(),
            attempts: delivery.attempts,
            due_at: delivery.due_at.to_string(),
            log: delivery.log.iter().map(tried).collect(),
        }
    }
}

fn fresh() -> Result<WebhookSecret, ApiError> {
    new_secret().ok_or_else(|| ApiError::new(Fault::Broken, "internal_error", "no secret could be made"))
}

/// List endpoints, oldest first.
#[utoipa::path(tag = "webhooks", operation_id = "list_webhooks", params(PageQuery),
    responses((status = 200, description = "A page of endpoints", body = Page<EndpointWire>), ReadFailures))]
#[get("/webhooks")]
async fn list(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.after::<EndpointId>()?;
    let found = call.ledger().webhooks_page(after, page.limit.get() + 1).await?;
    let found = found.iter().map(EndpointWire::to_wire).collect();
    Ok(ok(&Page::cut(found, page.limit, |endpoint: &EndpointWire| endpoint.id.clone())))
}

/// Make an endpoint. The secret is in this answer and in no other.
#[utoipa::path(tag = "webhooks", operation_id = "create_webhook", request_body = NewEndpointWire,
    responses((status = 201, description = "The endpoint and its secret", body = WithSecretWire), ChangeFailures))]
#[post("/webhooks")]
async fn create(call: Call, body: web::Payload) -> Answer {
    call.log_change("webhook.create");
    let new: NewEndpointWire = call.body(body).await?;
    check_url(&new.url, call.app().is_private_webhook_allowed)
        .map_err(|error| ApiError::invalid("invalid_value", "url", format!("url: {error}")))?;
    let tenant = new.tenant_id.as_deref().map(str::parse::<TenantId>).transpose();
    let tenant_id =
        tenant.map_err(|error| ApiError::invalid("invalid_value", "tenant_id", error.to_string()))?;
    if let Some(id) = tenant_id
        && call.ledger().find_tenant(&id.to_string()).await?.is_none()
    {
        return Err(error::missing("tenant", &id.to_string()));
    }
    let kinds: Vec<_> = new.events.into_iter().map(KindWire::to_kind).collect();
    let secret = fresh()?;
    let new = NewEndpoint { tenant_id, url: &new.url, kinds: &kinds, secret: &secret };
    let endpoint = call.ledger().add_webhook(&new, call.now()).await?;
    Ok(created(&WithSecretWire { webhook: EndpointWire::to_wire(&endpoint), secret: secret_text(&secret) }))
}

/// Show one endpoint.
#[utoipa::path(tag = "webhooks", operation_id = "show_webhook",
    params(("webhook_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The endpoint", body = EndpointWire), ReadFailures))]
#[get("/webhooks/{webhook_id}")]
async fn show(call: Call) -> Answer {
    let id: EndpointId = call.path("webhook_id")?;
    Ok(ok(&EndpointWire::to_wire(&call.ledger().webhook(id).await?)))
}

/// Make a new secret, which is in this answer and in no other; those before sign beside it for a while.
#[utoipa::path(tag = "webhooks", operation_id = "rotate_webhook_secret", request_body = RotationWire,
    params(("webhook_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The endpoint and its new secret", body = WithSecretWire), ChangeFailures))]
#[post("/webhooks/{webhook_id}/rotate")]
async fn rotate(call: Call, body: web::Payload) -> Answer {
    call.log_change("webhook.rotate");
    let id: EndpointId = call.path("webhook_id")?;
    let rotation: RotationWire = call.body(body).await?;
    const OVERLAP_SECONDS_MAX: u32 = 30 * 86_400;
    if rotation.overlap_seconds > OVERLAP_SECONDS_MAX {
        let message = "overlap_seconds: at most 2592000, which are 30 days";
        return Err(ApiError::invalid("invalid_value", "overlap_seconds", message));
    }
    let (now, secret) = (call.now(), fresh()?);
    let overlap = i64::from(rotation.overlap_seconds) * SECOND_US;
    let until = Timestamp::from_unix_micros(now.unix_micros().saturating_add(overlap));
    let endpoint = call.ledger().rotate_webhook(id, &secret, (now, until)).await?;
    Ok(ok(&WithSecretWire { webhook: EndpointWire::to_wire(&endpoint), secret: secret_text(&secret) }))
}

/// Send nothing to an endpoint from now on. Doing it twice keeps the first time.
#[utoipa::path(tag = "webhooks", operation_id = "disable_webhook",
    params(("webhook_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The endpoint as it is now", body = EndpointWire), ChangeFailures))]
#[post("/webhooks/{webhook_id}/disable")]
async fn disable(call: Call) -> Answer {
    call.log_change("webhook.disable");
    let id: EndpointId = call.path("webhook_id")?;
    Ok(ok(&EndpointWire::to_wire(&call.ledger().disable_webhook(id, call.now()).await?)))
}

/// Send to an endpoint again, first what waits.
#[utoipa::path(tag = "webhooks", operation_id = "enable_webhook",
    params(("webhook_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The endpoint as it is now", body = EndpointWire), ChangeFailures))]
#[post("/webhooks/{webhook_id}/enable")]
async fn enable(call: Call) -> Answer {
    call.log_change("webhook.enable");
    let id: EndpointId = call.path("webhook_id")?;
    Ok(ok(&EndpointWire::to_wire(&call.ledger().enable_webhook(id).await?)))
}

/// List the deliveries to an endpoint, newest first, each with its latest tries.
#[utoipa::path(tag = "webhooks", operation_id = "list_webhook_deliveries",
    params(("webhook_id" = String, Path, format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of deliveries", body = Page<DeliveryWire>), ReadFailures))]
#[get("/webhooks/{webhook_id}/deliveries")]
async fn deliveries(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let before = page.after::<EventId>()?;
    let id: EndpointId = call.path("webhook_id")?;
    let found = call.ledger().deliveries_page(id, before, page.limit.get() + 1).await?;
    let found = found.iter().map(DeliveryWire::to_wire).collect();
    Ok(ok(&Page::cut(found, page.limit, |delivery: &DeliveryWire| delivery.event_id.clone())))
}

/// Deliver an event once more, with the same id.
#[utoipa::path(tag = "webhooks", operation_id = "resend_webhook_delivery",
    params(("webhook_id" = String, Path, format = "uuid"), ("event_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The endpoint", body = EndpointWire), ChangeFailures))]
#[post("/webhooks/{webhook_id}/deliveries/{event_id}/resend")]
async fn resend(call: Call) -> Answer {
    call.log_change("webhook.resend");
    let (id, event): (EndpointId, EventId) = (call.path("webhook_id")?, call.path("event_id")?);
    call.ledger().resend_delivery(id, event, call.now()).await?;
    Ok(ok(&EndpointWire::to_wire(&call.ledger().webhook(id).await?)))
}
