//! `/admin/v1/backends`: what serves models, and how it is.
//! Never changes anything: models come from the configuration.
//! Registered by `admin::resources`.

use actix_web::get;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::ReadFailures,
    page::Page,
};

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(backends);
}

/// A part of the gateway and how it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Part)]
struct PartWire {
    /// Which part.
    name: String,
    /// Its state in words; `ok` or what is wrong.
    state: String,
}

/// Whether the gateway would serve requests now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Status)]
struct StatusWire {
    /// The verdict.
    is_ready: bool,
    /// Models and the parts they need, each with its state.
    parts: Page<PartWire>,
}

/// List what serves models, with its state.
#[utoipa::path(tag = "backends", operation_id = "list_backends",
    responses((status = 200, description = "Every part and its state", body = StatusWire), ReadFailures))]
#[get("/backends")]
async fn backends(call: Call) -> Answer {
    let readiness = call.app().readiness();
    let parts = readiness.parts.into_iter().map(|(name, state)| PartWire { name, state }).collect();
    Ok(ok(&StatusWire { is_ready: readiness.is_ready, parts: Page::whole(parts) }))
}
