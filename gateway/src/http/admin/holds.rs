//! `/admin/v1/tenants/{tenant_id}/holds`: what running requests hold of a tenant's money.
//! Never ends a hold: its request does, or its time.
//! Registered by `admin::resources`.

use std::time::Duration;

use actix_web::get;
use domain::{Fault, RequestId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::ReadFailures,
    page::{Page, PageQuery},
};
use crate::{admit::OpenHold, http::ApiError};

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(list);
}

/// What one running request holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hold)]
struct HoldWire {
    /// Which request.
    #[schema(format = "uuid")]
    request_id: String,
    /// The most it may cost, in billionths of the tenant's currency.
    amount_nanos: i64,
    /// Tokens reserved: prompt and output bound.
    tokens: u64,
    /// How long it has been held. Unit: milliseconds.
    age_ms: u64,
    /// Since when. RFC 3339, UTC.
    #[schema(format = "date-time")]
    held_at: String,
    /// When it ends by itself, if its request does not end before. RFC 3339, UTC.
    #[schema(format = "date-time")]
    expires_at: String,
}

impl HoldWire {
    fn to_wire(hold: &OpenHold, now: Timestamp) -> Self {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let at = |micros: i64| Timestamp::from_unix_micros(micros).to_string();
        Self {
            request_id: hold.request_id.to_string(),
            amount_nanos: hold.nanos,
            tokens: hold.tokens,
            age_ms: u64::try_from(hold.age.as_millis()).unwrap_or(u64::MAX),
            held_at: at(now.unix_micros().saturating_sub(micros(hold.age))),
            expires_at: at(now.unix_micros().saturating_add(micros(hold.left))),
        }
    }
}

/// List what a tenant's running requests hold, oldest first: of all gateways where they share Redis, else of this one.
#[utoipa::path(tag = "grants", operation_id = "list_holds",
    params(("tenant_id" = String, Path, format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of holds", body = Page<HoldWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/holds")]
async fn list(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.after::<RequestId>()?;
    let tenant = call.tenant().await?;
    let held = call.app().admitter.limits().open_holds(tenant.id, after, page.limit.get() + 1).await;
    let held = held.map_err(|error| {
        tracing::error!(error = %error, "the admin API could not read the holds");
        ApiError::new(
            Fault::Overloaded,
            "limits_unavailable",
            "the store of limits does not answer; try again",
        )
    })?;
    let now = call.now();
    let rows = held.iter().map(|hold| HoldWire::to_wire(hold, now)).collect();
    Ok(ok(&Page::cut(rows, page.limit, |hold| hold.request_id.clone())))
}
