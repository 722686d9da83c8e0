//! Limits as the admin API reads and writes them, and `/admin/v1/tenants/{tenant_id}/limits` for every place and model.
//! Never a rule of its own: the ledger refuses a limit that is none.
//! Registered by `admin::resources`; its wire form is used by tenants, projects and keys.

use actix_web::{get, put, web};
use billing::ledger::{Budget, LimitScope, Limits, LimitsPlace, ScopeLimits};
use domain::{BudgetPeriod, KeyId, ModelName, Nanos, ProjectId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::{ChangeFailures, ReadFailures},
    page::{Page, PageQuery, bad_cursor},
};
use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(list).service(set);
}

/// What admission enforces. Null or left out: no limit.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Limits)]
pub(super) struct LimitsWire {
    /// Requests admitted per minute.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    requests_per_minute: Option<u64>,
    /// Tokens reserved per minute: prompt and `max_tokens`.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    tokens_per_minute: Option<u64>,
    /// Requests admitted per day.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    requests_per_day: Option<u64>,
    /// Requests running at once.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    concurrency: Option<u64>,
    /// What may be spent.
    #[serde(default)]
    budget: Option<BudgetWire>,
}

/// What may be spent in each period of the tenant's calendar.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Budget)]
struct BudgetWire {
    /// The most, in billionths of the tenant's currency.
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    amount_nanos: u64,
    /// How long it lasts before it begins anew.
    period: PeriodWire,
}

/// How long a budget lasts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BudgetPeriod)]
enum PeriodWire {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first of a month to the first of the next.
    Month,
    /// It never begins anew.
    Ever,
}

impl PeriodWire {
    fn to_period(self) -> BudgetPeriod {
        match self {
            Self::Day => BudgetPeriod::Day,
            Self::Week => BudgetPeriod::Week,
            Self::Month => BudgetPeriod::Month,
            Self::Ever => BudgetPeriod::Ever,
        }
    }

    fn to_wire(period: BudgetPeriod) -> Self {
        match period {
            BudgetPeriod::Day => Self::Day,
            BudgetPeriod::Week => Self::Week,
            BudgetPeriod::Month => Self::Month,
            BudgetPeriod::Ever => Self::Ever,
        }
    }
}

impl LimitsWire {
    pub(super) fn into_limits(self) -> Limits {
        let Self { requests_per_minute, tokens_per_minute, requests_per_day, concurrency, budget } = self;
        let budget = budget.map(|BudgetWire { amount_nanos, period }| Budget {
            amount: Nanos::new(amount_nanos),
            period: period.to_period(),
        });
        Limits { requests_per_minute, tokens_per_minute, requests_per_day, concurrency, budget }
    }

    pub(super) fn to_wire(limits: Limits) -> Self {
        let Limits { requests_per_minute, tokens_per_minute, requests_per_day, concurrency, budget } = limits;
        let budget = budget.map(|Budget { amount, period }| BudgetWire {
            amount_nanos: amount.get(),
            period: PeriodWire::to_wire(period),
        });
        Self { requests_per_minute, tokens_per_minute, requests_per_day, concurrency, budget }
    }
}

/// A place whose requests are limited: exactly one of its fields, or none for the tenant.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LimitScope)]
struct ScopeWire {
    /// A project, with all projects below it.
    #[serde(default)]
    #[schema(format = "uuid")]
    project_id: Option<String>,
    /// A key, with those that took its place.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    key_id: Option<String>,
}

impl ScopeWire {
    /// Errors: two fields, or one of another form.
    fn from_wire(wire: &Self) -> Result<LimitScope, ApiError> {
        let wrong = |param: &'static str, text: String| ApiError::invalid("invalid_value", param, text);
        match (&wire.project_id, &wire.key_id) {
            (None, None) => Ok(LimitScope::Tenant),
            (Some(id), None) => {
                let id: Result<ProjectId, _> = id.parse();
                id.map(LimitScope::Project).map_err(|error| wrong("scope.project_id", error.to_string()))
            }
            (None, Some(id)) => {
                let id = KeyId::new(id.as_str());
                id.map(LimitScope::Key).map_err(|error| wrong("scope.key_id", error.to_string()))
            }
            (Some(_), Some(_)) => {
                Err(wrong("scope", "scope: give project_id or key_id, or none for the tenant".to_owned()))
            }
        }
    }

    fn to_wire(scope: &LimitScope) -> Self {
        match scope {
            LimitScope::Tenant => Self::default(),
            LimitScope::Project(id) => Self { project_id: Some(id.to_string()), key_id: None },
            LimitScope::Key(id) => Self { project_id: None, key_id: Some(id.to_string()) },
        }
    }
}

/// The limits of one place, over all models together or over one.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ScopeLimits)]
struct ScopeLimitsWire {
    /// Where. Left out: the tenant.
    #[serde(default)]
    scope: ScopeWire,
    /// The model; null or left out: all models together.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    model: Option<ModelName>,
    /// The limits, all at once: what is left out has no limit.
    limits: LimitsWire,
}

impl ScopeLimitsWire {
    fn to_wire(found: &ScopeLimits) -> Self {
        Self {
            scope: ScopeWire::to_wire(&found.scope),
            model: found.model.clone(),
            limits: LimitsWire::to_wire(found.limits),
        }
    }
}

/// Where a page of limits ended: `kind/id/model`.
fn cursor_of(found: &ScopeLimits) -> String {
    let id = match &found.scope {
        LimitScope::Tenant => String::new(),
        LimitScope::Project(id) => id.to_string(),
        LimitScope::Key(id) => id.to_string(),
    };
    format!("{}/{id}/{}", found.scope.kind(), found.model.as_ref().map_or("", ModelName::as_str))
}

fn place(cursor: &str) -> Option<LimitsPlace> {
    let (kind, rest) = cursor.split_once('/')?;
    let (id, model) = rest.split_once('/')?;
    let scope = match kind {
        "tenant" if id.is_empty() => LimitScope::Tenant,
        "project" => LimitScope::Project(id.parse().ok()?),
        "key" => LimitScope::Key(id.parse().ok()?),
        _ => return None,
    };
    let model = match model {
        "" => None,
        model => Some(model.parse().ok()?),
    };
    Some(LimitsPlace { scope, model })
}

/// List the limits of a tenant, of its projects and of its keys.
#[utoipa::path(tag = "limits", operation_id = "list_limits",
    params(("tenant_id" = String, Path, format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of limits", body = Page<ScopeLimitsWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/limits")]
async fn list(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.cursor.as_deref().map(|cursor| place(cursor).ok_or_else(bad_cursor)).transpose()?;
    let tenant = call.tenant().await?;
    let found = call.ledger().limits_page(tenant.id, after.as_ref(), page.limit.get() + 1).await?;
    let Page { data, next_cursor } = Page::cut(found, page.limit, cursor_of);
    Ok(ok(&Page { data: data.iter().map(ScopeLimitsWire::to_wire).collect(), next_cursor }))
}

/// Set the limits of one place, over all models together or over one.
#[utoipa::path(tag = "limits", operation_id = "set_limits", request_body = ScopeLimitsWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The limits as they are now", body = ScopeLimitsWire), ChangeFailures))]
#[put("/tenants/{tenant_id}/limits")]
async fn set(call: Call, body: web::Payload) -> Answer {
    call.log_change("limits.set");
    let new: ScopeLimitsWire = call.body(body).await?;
    let scope = ScopeWire::from_wire(&new.scope)?;
    let tenant = call.tenant().await?;
    call.ledger().set_limits(tenant.id, &scope, new.model.as_ref(), new.limits.into_limits()).await?;
    Ok(ok(&new))
}
