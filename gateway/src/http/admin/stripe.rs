//! `/admin/v1/tenants/{tenant_id}/stripe` and `/admin/v1/stripe/steps`: who is billed through Stripe, and what is to be
//! done there.
//! Never a card and never a secret; only pages are made at Stripe at once, the rest is the worker's.
//! Registered by `admin::resources`.

use actix_web::{get, post, put, web};
use billing::ledger::{Collection, LedgerError, StepState, StripeStep, StripeTenant};
use domain::{Fault, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, created, ok},
    error::{self, ChangeFailures, ReadFailures},
    page::{Page, Rows, bad_cursor, rows},
    parties::amount,
};
use crate::{
    http::ApiError,
    stripe::{PageFor, Trouble},
};

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(show).service(link).service(unlink).service(make_page).service(steps).service(retry);
}

/// How a tenant pays at Stripe.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = StripeCollection)]
enum CollectionWire {
    /// Its card is charged.
    Charge,
    /// The invoice is sent by mail.
    Send,
}

/// How a tenant is billed through Stripe.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StripeTenant)]
struct TenantWire {
    /// How it pays.
    collection: CollectionWire,
    /// Its customer at Stripe; null: it is still being made.
    #[schema(required = true)]
    customer_id: Option<String>,
    /// Since when. RFC 3339, UTC.
    #[schema(format = "date-time")]
    linked_at: String,
    /// Since when further invoices do not go to Stripe; null: they do.
    #[schema(format = "date-time", required = true)]
    unlinked_at: Option<String>,
}

impl TenantWire {
    fn to_wire(linked: StripeTenant) -> Self {
        let StripeTenant { tenant_id: _, collection, customer_id, linked_at, unlinked_at } = linked;
        let collection = match collection {
            Collection::Charge => CollectionWire::Charge,
            Collection::Send => CollectionWire::Send,
        };
        let unlinked_at = unlinked_at.map(|at| at.to_string());
        Self { collection, customer_id, linked_at: linked_at.to_string(), unlinked_at }
    }
}

/// How a tenant is to be billed through Stripe.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewStripeTenant)]
struct LinkWire {
    /// How it pays.
    collection: CollectionWire,
    /// Its customer at Stripe, if it has one there; it never changes.
    #[serde(default)]
    #[schema(min_length = 5, max_length = 255, pattern = "^cus_[A-Za-z0-9_-]+$")]
    customer_id: Option<String>,
}

/// What a page at Stripe is for.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = StripePageKind)]
enum PageKindWire {
    /// Leaving a card, for invoices to come.
    Card,
    /// Paying in advance.
    TopUp,
    /// Looking after cards and invoices.
    Portal,
}

/// A page to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewStripePage)]
struct NewPageWire {
    /// What for.
    kind: PageKindWire,
    /// Of `top_up`, and only there: how much, as a decimal in the tenant's currency above zero.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 20)]
    amount: Option<String>,
}

/// A page at Stripe.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StripePage)]
struct PageWire {
    /// Stripe's id.
    id: String,
    /// Its address: whoever has it may use the page.
    url: String,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = StripeStepState)]
enum StateWire {
    /// It is still to be done.
    Pending,
    /// It was done.
    Done,
    /// Somebody has to look before it can go on.
    Parked,
}

/// Something to be done at Stripe.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StripeStep)]
struct StepWire {
    /// What it is about: an invoice's number, a tenant's id, the id of an event that Stripe told.
    subject: String,
    /// Its place among the steps of its subject.
    #[schema(minimum = 1)]
    sequence: u64,
    /// Whose it is.
    #[schema(format = "uuid")]
    tenant_id: String,
    /// What is done: customer, invoice, collect, settle, void, uncollectible, credit_note, observe, session, refund.
    kind: String,
    /// Where it stands.
    state: StateWire,
    /// How often it was begun.
    attempts: u32,
    /// When it is taken next. RFC 3339, UTC.
    #[schema(format = "date-time")]
    due_at: String,
    /// Why it failed last, or what came of it.
    outcome: String,
    /// When it came to its end.
    #[schema(format = "date-time", required = true)]
    ended_at: Option<String>,
}

impl StepWire {
    fn to_wire(step: StripeStep) -> Self {
        let state = match step.state {
            StepState::Pending => StateWire::Pending,
            StepState::Done => StateWire::Done,
            StepState::Parked => StateWire::Parked,
        };
        let at = |at: Timestamp| at.to_string();
        Self {
            subject: step.subject,
            sequence: step.sequence,
            tenant_id: step.tenant_id.to_string(),
            kind: step.kind.as_str().to_owned(),
            state,
            attempts: step.attempts,
            due_at: at(step.due_at),
            outcome: step.outcome,
            ended_at: step.ended_at.map(at),
        }
    }
}

/// Which steps.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StepsQuery {
    /// Only those that stand so.
    #[serde(default)]
    #[param(inline)]
    state: Option<StateWire>,
    /// How many rows at most.
    #[serde(default, deserialize_with = "rows")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Rows,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    #[param(min_length = 1, max_length = 300)]
    cursor: Option<String>,
}

/// Show how a tenant is billed through Stripe.
#[utoipa::path(tag = "stripe", operation_id = "show_stripe_tenant",
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "How it is billed", body = TenantWire), ReadFailures))]
#[get("/tenants/{tenant_id}/stripe")]
async fn show(call: Call) -> Answer {
    let tenant = call.tenant().await?;
    let linked = call.ledger().stripe_tenant(tenant.id).await?;
    let linked = linked.ok_or_else(|| error::missing("link to Stripe of tenant", &tenant.name))?;
    Ok(ok(&TenantWire::to_wire(linked)))
}

/// Bill a tenant through Stripe from its next invoice on; again: change how it pays.
#[utoipa::path(tag = "stripe", operation_id = "link_stripe_tenant", request_body = LinkWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "How it is billed now", body = TenantWire), ChangeFailures))]
#[put("/tenants/{tenant_id}/stripe")]
async fn link(call: Call, body: web::Payload) -> Answer {
    call.log_change("stripe.link");
    let LinkWire { collection, customer_id } = call.body(body).await?;
    let tenant = call.tenant().await?;
    let collection = match collection {
        CollectionWire::Charge => Collection::Charge,
        CollectionWire::Send => Collection::Send,
    };
    let how = (collection, customer_id.as_deref());
    let linked = call.ledger().link_stripe(tenant.id, how, call.now()).await;
    let linked = linked.map_err(|error| {
        if let LedgerError::BadText { what, .. } = &error {
            return ApiError::invalid("invalid_value", *what, error.to_string());
        }
        error.into()
    })?;
    Ok(ok(&TenantWire::to_wire(linked)))
}

/// Bill a tenant without Stripe from its next invoice on; what went there goes on there.
#[utoipa::path(tag = "stripe", operation_id = "unlink_stripe_tenant",
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "How it was billed", body = TenantWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/stripe/unlink")]
async fn unlink(call: Call) -> Answer {
    call.log_change("stripe.unlink");
    let tenant = call.tenant().await?;
    Ok(ok(&TenantWire::to_wire(call.ledger().unlink_stripe(tenant.id, call.now()).await?)))
}

/// Make a page at Stripe for a tenant: to leave a card, to pay in advance, or to look after cards and invoices.
#[utoipa::path(tag = "stripe", operation_id = "make_stripe_page", request_body = NewPageWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 201, description = "The page", body = PageWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/stripe/pages")]
async fn make_page(call: Call, body: web::Payload) -> Answer {
    call.log_change("stripe.page");
    let new: NewPageWire = call.body(body).await?;
    let tenant = call.tenant().await?;
    let wrong = |text: &str| ApiError::invalid("invalid_value", "amount", format!("amount: {text}"));
    let page = match (new.kind, new.amount) {
        (PageKindWire::TopUp, Some(text)) => PageFor::TopUp(amount("amount", &text, tenant.currency)?),
        (PageKindWire::TopUp, None) => return Err(wrong("how much is to be paid in advance?")),
        (PageKindWire::Card | PageKindWire::Portal, Some(_)) => {
            return Err(wrong("belongs to the kind top_up"));
        }
        (PageKindWire::Card, None) => PageFor::Card,
        (PageKindWire::Portal, None) => PageFor::Portal,
    };
    let Some(stripe) = &call.app().stripe else {
        let message = "there is no account at Stripe: stripe.secret_key is not set";
        return Err(ApiError::new(Fault::Conflict, "stripe_not_configured", message));
    };
    let made = stripe.make_page(call.ledger(), (&tenant, page), call.now()).await.map_err(refusal)?;
    Ok(created(&PageWire { id: made.id, url: made.url }))
}

/// What Stripe or the ledger refuses.
fn refusal(trouble: Trouble) -> ApiError {
    match trouble {
        Trouble::Ledger(error) => error.into(),
        Trouble::Stripe(error) => ApiError::invalid("invalid_value", "amount", error.to_string()),
        Trouble::Call(error) => ApiError::new(Fault::Overloaded, "stripe_failed", error.to_string()),
        Trouble::Park(text) => ApiError::new(Fault::Conflict, "conflict", text),
    }
}

/// List what is to be done at Stripe, or was.
#[utoipa::path(tag = "stripe", operation_id = "list_stripe_steps", params(StepsQuery),
    responses((status = 200, description = "A page of steps", body = Page<StepWire>), ReadFailures))]
#[get("/stripe/steps")]
async fn steps(call: Call) -> Answer {
    let query: StepsQuery = call.query()?;
    let state = query.state.map(|state| match state {
        StateWire::Pending => StepState::Pending,
        StateWire::Done => StepState::Done,
        StateWire::Parked => StepState::Parked,
    });
    let after = match query.cursor.as_deref() {
        None => None,
        Some(cursor) => Some(place(cursor).ok_or_else(bad_cursor)?),
    };
    let found = call.ledger().stripe_steps_page(state, after, query.limit.get() + 1).await?;
    let found = found.into_iter().map(StepWire::to_wire).collect();
    Ok(ok(&Page::cut(found, query.limit, |step: &StepWire| format!("{}:{}", step.subject, step.sequence))))
}

fn place(cursor: &str) -> Option<(&str, u64)> {
    let (subject, sequence) = cursor.rsplit_once(':')?;
    Some((subject, sequence.parse().ok()?))
}

/// Let a parked step go on, after what was in its way is gone.
#[utoipa::path(tag = "stripe", operation_id = "retry_stripe_step",
    params(("subject" = String, Path, min_length = 1, max_length = 255), ("sequence" = u64, Path, minimum = 1)),
    responses((status = 200, description = "The step as it is now", body = StepWire), ChangeFailures))]
#[post("/stripe/steps/{subject}/{sequence}/retry")]
async fn retry(call: Call) -> Answer {
    call.log_change("stripe.retry");
    let (subject, sequence): (String, u64) = (call.path("subject")?, call.path("sequence")?);
    let step = call.ledger().retry_stripe_step((&subject, sequence), call.now()).await?;
    Ok(ok(&StepWire::to_wire(step)))
}
