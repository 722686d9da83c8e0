//! `/admin/v1/backends` and `/admin/v1/reload`: what serves models, how it is, and reading the configuration again.
//! Never a setting over HTTP: they are in the configuration's file.
//! Registered by `admin::resources`.

use actix_web::{get, post};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::{ChangeFailures, ReadFailures},
    page::Page,
};

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(backends).service(reload);
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

/// What a reload took over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reloaded)]
struct ReloadedWire {
    /// The settings that had changed and count now: `server.body_bytes_max`, or a whole section such as `backend`.
    sections: Vec<String>,
}

/// Read the configuration again, as SIGHUP does. No stream ends. A fault, or a setting that needs a restart, is named
/// and changes nothing.
#[utoipa::path(tag = "backends", operation_id = "reload",
    responses((status = 200, description = "What was taken over", body = ReloadedWire), ChangeFailures))]
#[post("/reload")]
async fn reload(call: Call) -> Answer {
    call.log_change("reload");
    let sections = call.reloader().reload().await?;
    Ok(ok(&ReloadedWire { sections: sections.into_iter().map(str::to_owned).collect() }))
}
