//! `/admin/v1/plans`: what requests cost and which latency is promised.
//! Never changes a published version: new terms are a new version.
//! Registered by `admin::resources`.

use actix_web::{get, post, web};
use billing::{
    ledger::Published,
    plan::{Plan, Price},
};
use domain::{Micros, PlanVersionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, created, ok},
    error::{self, ChangeFailures, ReadFailures},
    page::{Page, PageQuery, bad_cursor},
};

use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(list).service(publish).service(validate).service(show);
}

/// One version of a plan. It never changes once published.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plan)]
struct PlanWire {
    /// `name@version`, as usage records carry it.
    id: String,
    /// The plan's name, shared by its versions.
    name: String,
    /// Which version this is.
    #[schema(minimum = 1)]
    version: u32,
    /// What it is priced in.
    currency: String,
    /// What its amounts are written in when it is not the currency; all amounts here are converted already.
    #[schema(required = true)]
    price_unit: Option<PriceUnitWire>,
    /// The first day on which it applies, by the tenant's own calendar; null: from its publication.
    #[schema(format = "date", required = true)]
    effective_from: Option<String>,
    /// The latency that is promised.
    slo: SloWire,
    /// How requests that are charged ended.
    billed_reasons: Vec<String>,
    /// The share of the output price given back for each late output token, in percent.
    late_tokens_percent: String,
    /// What models cost.
    prices: Vec<PriceWire>,
}

/// A unit that a plan's amounts are written in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PriceUnit)]
struct PriceUnitWire {
    /// Its name.
    name: String,
    /// What one of it is worth in the plan's currency. An exact decimal.
    worth: String,
}

/// A latency class and its targets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Slo)]
struct SloWire {
    /// `interactive`, `standard` or `batch`.
    class: String,
    /// Time to the first token; null: none.
    #[schema(required = true, minimum = 0)]
    ttft_us: Option<u64>,
    /// More time to the first token for every thousand prompt tokens.
    #[schema(minimum = 0)]
    ttft_us_per_1k_prompt: u64,
    /// Time per output token; null: none.
    #[schema(required = true, minimum = 0)]
    tpot_us: Option<u64>,
}

/// What a model costs, in the plan's currency for 1,000,000 tokens. Exact decimals.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Price)]
struct PriceWire {
    /// The model, or `*` for every model without a price of its own.
    model: String,
    /// Prompt tokens that were computed.
    input: String,
    /// Prompt tokens taken from the cache.
    cached_input: String,
    /// Produced tokens.
    output: String,
}

/// A plan with the text it was published as.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublishedPlan)]
struct PublishedPlanWire {
    /// What it says.
    plan: PlanWire,
    /// The text it was read from, TOML or JSON.
    source: String,
}

/// A plan to check or to publish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlanText)]
struct PlanTextWire {
    /// The plan as TOML, or as JSON, which begins with a brace.
    #[schema(max_length = 262_144)]
    source: String,
}

impl PlanTextWire {
    fn read(&self) -> Result<Plan, billing::plan::PlanError> {
        Plan::from_text("source", &self.source)
    }
}

impl PlanWire {
    fn to_wire(plan: &Plan) -> Self {
        let slo = plan.slo();
        Self {
            id: plan.id().to_string(),
            name: plan.name().to_owned(),
            version: plan.version(),
            currency: plan.currency().to_string(),
            price_unit: plan
                .price_unit()
                .map(|unit| PriceUnitWire { name: unit.name.clone(), worth: unit.worth.to_plain_string() }),
            effective_from: plan.effective_from().map(|day| day.to_string()),
            slo: SloWire {
                class: slo.class.to_string(),
                ttft_us: slo.ttft.map(Micros::get),
                ttft_us_per_1k_prompt: slo.ttft_per_1k_prompt.get(),
                tpot_us: slo.tpot.map(Micros::get),
            },
            billed_reasons: plan.billed_reasons().map(|reason| reason.as_str().to_owned()).collect(),
            late_tokens_percent: plan.late_tokens_percent().value().to_plain_string(),
            prices: plan.prices().iter().map(PriceWire::to_wire).collect(),
        }
    }
}

impl PriceWire {
    fn to_wire(price: &Price) -> Self {
        Self {
            model: price.model().to_owned(),
            input: price.input.per_million_tokens().to_plain_string(),
            cached_input: price.cached_input.per_million_tokens().to_plain_string(),
            output: price.output.per_million_tokens().to_plain_string(),
        }
    }
}

/// List every published version, by plan name and version.
#[utoipa::path(tag = "plans", operation_id = "list_plans", params(PageQuery),
    responses((status = 200, description = "A page of versions", body = Page<PlanWire>), ReadFailures))]
#[get("/plans")]
async fn list(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.after::<PlanVersionId>()?;
    let after = after.as_ref().map(|after| {
        let (name, version) = after.as_str().rsplit_once('@').ok_or_else(bad_cursor)?;
        Ok::<_, ApiError>((name, version.parse().map_err(|_| bad_cursor())?))
    });
    let plans = call.ledger().plans_page(after.transpose()?, page.limit.get() + 1).await?;
    let plans = plans.iter().map(PlanWire::to_wire).collect();
    Ok(ok(&Page::cut(plans, page.limit, |plan| plan.id.clone())))
}

/// Publish a version. The same terms again change nothing and answer 200.
#[utoipa::path(tag = "plans", operation_id = "publish_plan", request_body = PlanTextWire,
    responses((status = 201, description = "The new version", body = PlanWire),
              (status = 200, description = "It was published before with these terms", body = PlanWire),
              ChangeFailures))]
#[post("/plans")]
async fn publish(call: Call, body: web::Payload) -> Answer {
    call.log_change("plan.publish");
    let plan = call.body::<PlanTextWire>(body).await?.read()?;
    let published = call.ledger().publish_plan(&plan, call.now()).await?;
    let wire = PlanWire::to_wire(&plan);
    Ok(match published {
        Published::New => created(&wire),
        Published::Already => ok(&wire),
    })
}

/// Check a plan and say what is wrong, with line and column. Nothing is published.
#[utoipa::path(tag = "plans", operation_id = "validate_plan", request_body = PlanTextWire,
    responses((status = 200, description = "It is good; this is what it says", body = PlanWire),
              ChangeFailures))]
#[post("/plans/validate")]
async fn validate(call: Call, body: web::Payload) -> Answer {
    let plan = call.body::<PlanTextWire>(body).await?.read()?;
    Ok(ok(&PlanWire::to_wire(&plan)))
}

/// Show one version, with its text.
#[utoipa::path(tag = "plans", operation_id = "show_plan",
    params(("plan_version" = String, Path, min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._@-]+$")),
    responses((status = 200, description = "The version", body = PublishedPlanWire), ReadFailures))]
#[get("/plans/{plan_version}")]
async fn show(call: Call) -> Answer {
    let id: PlanVersionId = call.path("plan_version")?;
    let plan = call.ledger().find_plan(&id).await?.ok_or_else(|| error::missing("plan", id.as_str()))?;
    Ok(ok(&PublishedPlanWire { plan: PlanWire::to_wire(&plan), source: plan.source().to_owned() }))
}
