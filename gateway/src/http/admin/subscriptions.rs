//! `/admin/v1/tenants/{tenant_id}/subscription`: the plan a tenant is under, since when, and those before.
//! Never dates back: another plan counts for requests from now on.
//! Registered by `admin::resources`.

use actix_web::{get, put, web};
use billing::ledger::Subscription;
use domain::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::{self, ChangeFailures, ReadFailures},
    page::{Page, PageQuery},
    tenants,
};
use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(show).service(change).service(history);
}

/// A plan that a tenant is or was under.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
struct SubscriptionWire {
    /// Its place among the tenant's: 1, 2, 3, …; the highest is the one that applies.
    #[schema(minimum = 1)]
    sequence: u64,
    /// The plan; which version applies depends on the day.
    plan: String,
    /// Since when; the first since the tenant was made. RFC 3339, UTC.
    #[schema(format = "date-time")]
    since: String,
}

impl SubscriptionWire {
    fn to_wire(subscription: Subscription) -> Self {
        let Subscription { sequence, plan_name, since } = subscription;
        Self { sequence, plan: plan_name, since: since.to_string() }
    }
}

/// Which plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSubscription)]
struct NewSubscriptionWire {
    /// A published plan of the tenant's currency, for requests from now on. The one it is under changes nothing.
    #[schema(min_length = 1, max_length = 63)]
    plan: String,
}

/// Show the plan a tenant is under, and since when.
#[utoipa::path(tag = "subscriptions", operation_id = "show_subscription",
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The plan that applies", body = SubscriptionWire), ReadFailures))]
#[get("/tenants/{tenant_id}/subscription")]
async fn show(call: Call) -> Answer {
    let tenant = call.tenant().await?;
    current(&call, tenant.id).await
}

/// Put a tenant under another plan of the same currency, for requests from now on.
#[utoipa::path(tag = "subscriptions", operation_id = "change_subscription", request_body = NewSubscriptionWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The plan that applies now", body = SubscriptionWire), ChangeFailures))]
#[put("/tenants/{tenant_id}/subscription")]
async fn change(call: Call, body: web::Payload) -> Answer {
    call.log_change("subscription.change");
    let new: NewSubscriptionWire = call.body(body).await?;
    let tenant = call.tenant().await?;
    call.ledger().change_plan(tenant.id, &new.plan, call.now()).await.map_err(tenants::refusal)?;
    current(&call, tenant.id).await
}

/// List the plans a tenant was under, the latest first.
#[utoipa::path(tag = "subscriptions", operation_id = "list_subscriptions",
    params(("tenant_id" = String, Path, format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of plans", body = Page<SubscriptionWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/subscription/history")]
async fn history(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let before = page.after::<u64>()?;
    let tenant = call.tenant().await?;
    let found = call.ledger().subscriptions_page(tenant.id, before, page.limit.get() + 1).await?;
    let rows = found.into_iter().map(SubscriptionWire::to_wire).collect();
    Ok(ok(&Page::cut(rows, page.limit, |subscription| subscription.sequence.to_string())))
}

async fn current(call: &Call, tenant: TenantId) -> Result<actix_web::HttpResponse, ApiError> {
    let found = call.ledger().subscriptions_page(tenant, None, 1).await?.pop();
    let found = found.ok_or_else(|| error::missing("subscription of tenant", &tenant.to_string()))?;
    Ok(ok(&SubscriptionWire::to_wire(found)))
}
