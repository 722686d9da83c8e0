//! `/admin/v1/tenants/{tenant_id}/projects`: departments and purposes within a tenant, up to eight levels deep.
//! Never deletes: a project is disabled, its usage stays.
//! Registered by `admin::resources`.

use actix_web::{get, post, web};
use billing::ledger::{NewProject, Project, Tenant};
use domain::ProjectId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, created, ok},
    error::{self, ChangeFailures, ReadFailures},
    limits::LimitsWire,
    page::{Page, PageQuery},
};
use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(list).service(create).service(show).service(disable).service(enable);
}

/// A department or purpose within a tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Project)]
struct ProjectWire {
    /// The id in usage records.
    #[schema(format = "uuid")]
    id: String,
    /// Whose it is.
    #[schema(format = "uuid")]
    tenant_id: String,
    /// The project it is part of; null: it is at the top.
    #[schema(format = "uuid", required = true)]
    parent_id: Option<String>,
    /// Its name among those beside it.
    name: String,
    /// All names from the top to its own: `research/nlp`.
    path: String,
    /// Limits over all its keys and all projects below.
    limits: LimitsWire,
    /// When it was created. RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was shut; null while it is not.
    #[schema(format = "date-time", required = true)]
    disabled_at: Option<String>,
}

impl ProjectWire {
    fn to_wire(project: &Project) -> Self {
        Self {
            id: project.id.to_string(),
            tenant_id: project.tenant_id.to_string(),
            parent_id: project.parent_id.map(|id| id.to_string()),
            name: project.name.clone(),
            path: project.path.clone(),
            limits: LimitsWire::to_wire(project.limits),
            created_at: project.created_at.to_string(),
            disabled_at: project.disabled_at.map(|at| at.to_string()),
        }
    }
}

/// A project to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewProject)]
struct NewProjectWire {
    /// A short name that no project beside it has; no UUID.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
    name: String,
    /// The project it is part of; null or left out: it is at the top.
    #[serde(default)]
    #[schema(format = "uuid")]
    parent_id: Option<String>,
    /// Limits over all its keys and all projects below.
    #[serde(default)]
    limits: LimitsWire,
}

/// List a tenant's projects, by path, disabled ones included.
#[utoipa::path(tag = "projects", operation_id = "list_projects",
    params(("tenant_id" = String, Path, format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of projects", body = Page<ProjectWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/projects")]
async fn list(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let tenant = call.tenant().await?;
    let all = call.ledger().projects(tenant.id).await?;
    // The ledger bounds how many there are.
    let rest = page.rest(&all, |project, after| project.id.to_string() == after)?;
    let rest = rest.map(ProjectWire::to_wire).collect();
    Ok(ok(&Page::cut(rest, page.limit, |project| project.id.clone())))
}

/// Create a project, at the top or within another one.
#[utoipa::path(tag = "projects", operation_id = "create_project", request_body = NewProjectWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 201, description = "The new project", body = ProjectWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/projects")]
async fn create(call: Call, body: web::Payload) -> Answer {
    call.log_change("project.create");
    let new: NewProjectWire = call.body(body).await?;
    let parent_id = new.parent_id.as_deref().map(str::parse::<ProjectId>).transpose();
    let parent_id =
        parent_id.map_err(|error| ApiError::invalid("invalid_value", "parent_id", error.to_string()))?;
    let tenant = call.tenant().await?;
    let new = NewProject { name: &new.name, parent_id, limits: new.limits.into_limits() };
    let project = call.ledger().create_project(tenant.id, &new, call.now()).await?;
    Ok(created(&ProjectWire::to_wire(&project)))
}

/// Show one project.
#[utoipa::path(tag = "projects", operation_id = "show_project",
    params(("tenant_id" = String, Path, format = "uuid"), ("project_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The project", body = ProjectWire), ReadFailures))]
#[get("/tenants/{tenant_id}/projects/{project_id}")]
async fn show(call: Call) -> Answer {
    let (_, project) = find(&call).await?;
    Ok(ok(&ProjectWire::to_wire(&project)))
}

/// Refuse the keys of a project and of all below it. Doing it twice keeps the first time.
#[utoipa::path(tag = "projects", operation_id = "disable_project",
    params(("tenant_id" = String, Path, format = "uuid"), ("project_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The project as it is now", body = ProjectWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/projects/{project_id}/disable")]
async fn disable(call: Call) -> Answer {
    call.log_change("project.disable");
    let (tenant, project) = find(&call).await?;
    call.ledger().disable_project(tenant.id, project.id, call.now()).await?;
    Ok(ok(&ProjectWire::to_wire(&find(&call).await?.1)))
}

/// Open a project again. One below a shut one stays shut with it.
#[utoipa::path(tag = "projects", operation_id = "enable_project",
    params(("tenant_id" = String, Path, format = "uuid"), ("project_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The project as it is now", body = ProjectWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/projects/{project_id}/enable")]
async fn enable(call: Call) -> Answer {
    call.log_change("project.enable");
    let (tenant, project) = find(&call).await?;
    call.ledger().enable_project(tenant.id, project.id).await?;
    Ok(ok(&ProjectWire::to_wire(&find(&call).await?.1)))
}

async fn find(call: &Call) -> Result<(Tenant, Project), ApiError> {
    let id: ProjectId = call.path("project_id")?;
    let tenant = call.tenant().await?;
    let found = call.ledger().find_project(tenant.id, &id.to_string()).await?;
    Ok((tenant, found.ok_or_else(|| error::missing("project", &id.to_string()))?))
}
