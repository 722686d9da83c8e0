//! `/admin/v1/tenants`: who is billed, under which plan, within which limits.
//! Never deletes: a tenant is disabled, its usage and invoices stay.
//! Registered by `admin::resources`.

use actix_web::{get, patch, post, web};
use billing::ledger::{BillingMode, LedgerError, NewTenant, Tenant, TenantChange, TenantTerms};
use domain::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, created, ok},
    error::{ChangeFailures, ReadFailures},
    limits::LimitsWire,
    page::{Page, PageQuery},
};
use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(list).service(create).service(show).service(update).service(disable).service(enable);
}

/// Who is billed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(super) struct TenantWire {
    /// The id in usage records.
    #[schema(format = "uuid")]
    id: String,
    /// A unique short name.
    name: String,
    /// The plan; which version applies depends on the day.
    plan: String,
    /// The plan's currency; it never changes.
    currency: String,
    /// The IANA zone whose months are billed.
    zone: String,
    /// Limits over all its keys.
    limits: LimitsWire,
    /// What was agreed beside the plan.
    terms: TermsWire,
    /// When it was created. RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was shut out; null while it is not.
    #[schema(format = "date-time", required = true)]
    disabled_at: Option<String>,
}

impl TenantWire {
    fn to_wire(tenant: Tenant) -> Self {
        Self {
            id: tenant.id.to_string(),
            name: tenant.name,
            plan: tenant.plan_name,
            currency: tenant.currency.to_string(),
            zone: tenant.zone,
            limits: LimitsWire::to_wire(tenant.limits),
            terms: TermsWire::to_wire(tenant.terms),
            created_at: tenant.created_at.to_string(),
            disabled_at: tenant.disabled_at.map(|at| at.to_string()),
        }
    }
}

/// What was agreed with a tenant beside its plan.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = TenantTerms)]
pub(super) struct TermsWire {
    /// When it pays.
    billing: BillingWire,
    /// Whether its requests may be served in a looser class when their own cannot be met, and billed as that.
    allow_slo_downgrade: bool,
    /// Whether keys and requests may ask for a stricter class than the plan's.
    allow_stricter_slo: bool,
}

/// When a tenant pays.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BillingMode)]
enum BillingWire {
    /// By invoice, after the month.
    #[default]
    Postpaid,
    /// From what it was granted.
    Prepaid,
}

impl TermsWire {
    fn to_terms(self) -> TenantTerms {
        let Self { billing, allow_slo_downgrade, allow_stricter_slo } = self;
        let billing = match billing {
            BillingWire::Postpaid => BillingMode::Postpaid,
            BillingWire::Prepaid => BillingMode::Prepaid,
        };
        TenantTerms { billing, allow_slo_downgrade, allow_stricter_slo }
    }

    fn to_wire(terms: TenantTerms) -> Self {
        let TenantTerms { billing, allow_slo_downgrade, allow_stricter_slo } = terms;
        let billing = match billing {
            BillingMode::Postpaid => BillingWire::Postpaid,
            BillingMode::Prepaid => BillingWire::Prepaid,
        };
        Self { billing, allow_slo_downgrade, allow_stricter_slo }
    }
}

/// A tenant to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTenant)]
struct NewTenantWire {
    /// A short name that no other tenant has; no UUID.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
    name: String,
    /// The name of a published plan.
    #[schema(min_length = 1, max_length = 63)]
    plan: String,
    /// The IANA zone whose months are billed.
    #[serde(default = "utc")]
    #[schema(default = "UTC")]
    zone: String,
    /// Limits over all its keys.
    #[serde(default)]
    limits: LimitsWire,
    /// What is agreed beside the plan.
    #[serde(default)]
    terms: TermsWire,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What to change of a tenant. What is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantChange)]
struct TenantChangeWire {
    /// Another plan of the same currency, for requests from now on.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 63)]
    plan: Option<String>,
    /// All limits at once: a limit left out is taken away.
    #[serde(default)]
    limits: Option<LimitsWire>,
    /// All that is agreed beside the plan, at once.
    #[serde(default)]
    terms: Option<TermsWire>,
}

/// List tenants, oldest first, disabled ones included.
#[utoipa::path(tag = "tenants", operation_id = "list_tenants", params(PageQuery),
    responses((status = 200, description = "A page of tenants", body = Page<TenantWire>), ReadFailures))]
#[get("/tenants")]
async fn list(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.after::<TenantId>()?;
    let tenants = call.ledger().tenants_page(after, page.limit.get() + 1).await?;
    let tenants = tenants.into_iter().map(TenantWire::to_wire).collect();
    Ok(ok(&Page::cut(tenants, page.limit, |tenant| tenant.id.clone())))
}

/// Create a tenant under a published plan.
#[utoipa::path(tag = "tenants", operation_id = "create_tenant", request_body = NewTenantWire,
    responses((status = 201, description = "The new tenant", body = TenantWire), ChangeFailures))]
#[post("/tenants")]
async fn create(call: Call, body: web::Payload) -> Answer {
    call.log_change("tenant.create");
    let new: NewTenantWire = call.body(body).await?;
    let limits = new.limits.into_limits();
    let new = NewTenant {
        name: &new.name,
        plan_name: &new.plan,
        zone: &new.zone,
        limits,
        terms: new.terms.to_terms(),
    };
    let tenant = call.ledger().create_tenant(&new, call.now()).await.map_err(refusal)?;
    Ok(created(&TenantWire::to_wire(tenant)))
}

/// Show one tenant.
#[utoipa::path(tag = "tenants", operation_id = "show_tenant",
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The tenant", body = TenantWire), ReadFailures))]
#[get("/tenants/{tenant_id}")]
async fn show(call: Call) -> Answer {
    Ok(ok(&TenantWire::to_wire(call.tenant().await?)))
}

/// Change a tenant's plan, terms or limits: all that is given, or nothing.
#[utoipa::path(tag = "tenants", operation_id = "change_tenant", request_body = TenantChangeWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The tenant as it is now", body = TenantWire), ChangeFailures))]
#[patch("/tenants/{tenant_id}")]
async fn update(call: Call, body: web::Payload) -> Answer {
    call.log_change("tenant.update");
    let change: TenantChangeWire = call.body(body).await?;
    let tenant = call.tenant().await?;
    let change = TenantChange {
        plan_name: change.plan.as_deref(),
        terms: change.terms.map(TermsWire::to_terms),
        limits: change.limits.map(LimitsWire::into_limits),
    };
    let changed = call.ledger().change_tenant(tenant.id, &change).await.map_err(refusal)?;
    Ok(ok(&TenantWire::to_wire(changed)))
}

/// Refuse all requests of a tenant from now on. Doing it twice keeps the first time.
#[utoipa::path(tag = "tenants", operation_id = "disable_tenant",
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The tenant as it is now", body = TenantWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/disable")]
async fn disable(call: Call) -> Answer {
    call.log_change("tenant.disable");
    let tenant = call.tenant().await?;
    call.ledger().disable_tenant(tenant.id, call.now()).await?;
    Ok(ok(&TenantWire::to_wire(call.tenant().await?)))
}

/// Accept the requests of a disabled tenant again.
#[utoipa::path(tag = "tenants", operation_id = "enable_tenant",
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The tenant as it is now", body = TenantWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/enable")]
async fn enable(call: Call) -> Answer {
    call.log_change("tenant.enable");
    let tenant = call.tenant().await?;
    call.ledger().enable_tenant(tenant.id).await?;
    Ok(ok(&TenantWire::to_wire(call.tenant().await?)))
}

/// A plan or zone that the body names and that does not exist is a wrong body, not a missing page.
pub(super) fn refusal(error: LedgerError) -> ApiError {
    if matches!(error, LedgerError::Missing { what: "plan", .. }) {
        return ApiError::invalid("unknown_plan", "plan", error.to_string());
    }
    if matches!(error, LedgerError::Period(_)) {
        return ApiError::invalid("invalid_value", "zone", error.to_string());
    }
    error.into()
}
