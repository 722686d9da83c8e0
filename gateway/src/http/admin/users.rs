//! `/admin/v1/tenants/{tenant_id}/users`: people of a tenant and what they may do.
//! Never a password: people sign in at their tenant's identity provider.
//! Registered by `admin::resources`.

use actix_web::{get, patch, post, web};
use billing::ledger::{NewUser, Tenant, User, UserRole};
use domain::UserId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, created, ok},
    error::{self, ChangeFailures, ReadFailures},
    page::{Page, PageQuery},
};
use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(list).service(create).service(show).service(update).service(disable).service(enable);
}

/// A person of a tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
struct UserWire {
    /// The id.
    #[schema(format = "uuid")]
    id: String,
    /// Whose person.
    #[schema(format = "uuid")]
    tenant_id: String,
    /// The address, in small letters.
    email: String,
    /// What the tenant's identity provider calls the person; null: not known yet.
    #[schema(required = true)]
    subject: Option<String>,
    /// What the person may do.
    role: RoleWire,
    /// When it was created. RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was shut out; null while it is not.
    #[schema(format = "date-time", required = true)]
    disabled_at: Option<String>,
}

/// What a person may do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = UserRole)]
enum RoleWire {
    /// Everything of the tenant, other people included.
    Owner,
    /// Keys and projects.
    Developer,
    /// Invoices, grants and usage.
    Billing,
    /// Look at usage.
    Viewer,
}

impl RoleWire {
    fn to_role(self) -> UserRole {
        match self {
            Self::Owner => UserRole::Owner,
            Self::Developer => UserRole::Developer,
            Self::Billing => UserRole::Billing,
            Self::Viewer => UserRole::Viewer,
        }
    }

    fn to_wire(role: UserRole) -> Self {
        match role {
            UserRole::Owner => Self::Owner,
            UserRole::Developer => Self::Developer,
            UserRole::Billing => Self::Billing,
            UserRole::Viewer => Self::Viewer,
        }
    }
}

impl UserWire {
    fn to_wire(user: User) -> Self {
        Self {
            id: user.id.to_string(),
            tenant_id: user.tenant_id.to_string(),
            email: user.email,
            subject: user.subject,
            role: RoleWire::to_wire(user.role),
            created_at: user.created_at.to_string(),
            disabled_at: user.disabled_at.map(|at| at.to_string()),
        }
    }
}

/// A person to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUser)]
struct NewUserWire {
    /// The address, which nobody else of the tenant has; kept in small letters.
    #[schema(min_length = 3, max_length = 254)]
    email: String,
    /// What the tenant's identity provider calls the person; null or left out: not known yet.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255)]
    subject: Option<String>,
    /// What the person may do.
    role: RoleWire,
}

/// What to change of a person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserChange)]
struct UserChangeWire {
    /// What the person may do from now on.
    role: RoleWire,
}

/// List a tenant's people, oldest first, disabled ones included.
#[utoipa::path(tag = "users", operation_id = "list_users",
    params(("tenant_id" = String, Path, format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of people", body = Page<UserWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/users")]
async fn list(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.after::<UserId>()?;
    let tenant = call.tenant().await?;
    let users = call.ledger().users_page(tenant.id, after, page.limit.get() + 1).await?;
    let users = users.into_iter().map(UserWire::to_wire).collect();
    Ok(ok(&Page::cut(users, page.limit, |user| user.id.clone())))
}

/// Create a person of a tenant.
#[utoipa::path(tag = "users", operation_id = "create_user", request_body = NewUserWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 201, description = "The new person", body = UserWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/users")]
async fn create(call: Call, body: web::Payload) -> Answer {
    call.log_change("user.create");
    let new: NewUserWire = call.body(body).await?;
    let tenant = call.tenant().await?;
    let new = NewUser { email: &new.email, subject: new.subject.as_deref(), role: new.role.to_role() };
    Ok(created(&UserWire::to_wire(call.ledger().create_user(tenant.id, &new, call.now()).await?)))
}

/// Show one person.
#[utoipa::path(tag = "users", operation_id = "show_user",
    params(("tenant_id" = String, Path, format = "uuid"), ("user_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The person", body = UserWire), ReadFailures))]
#[get("/tenants/{tenant_id}/users/{user_id}")]
async fn show(call: Call) -> Answer {
    let (_, user) = find(&call).await?;
    Ok(ok(&UserWire::to_wire(user)))
}

/// Give a person another role.
#[utoipa::path(tag = "users", operation_id = "change_user", request_body = UserChangeWire,
    params(("tenant_id" = String, Path, format = "uuid"), ("user_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The person as it is now", body = UserWire), ChangeFailures))]
#[patch("/tenants/{tenant_id}/users/{user_id}")]
async fn update(call: Call, body: web::Payload) -> Answer {
    call.log_change("user.update");
    let change: UserChangeWire = call.body(body).await?;
    let (tenant, user) = find(&call).await?;
    call.ledger().set_user_role(tenant.id, user.id, change.role.to_role()).await?;
    Ok(ok(&UserWire::to_wire(find(&call).await?.1)))
}

/// Shut a person out. Doing it twice keeps the first time.
#[utoipa::path(tag = "users", operation_id = "disable_user",
    params(("tenant_id" = String, Path, format = "uuid"), ("user_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The person as it is now", body = UserWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/users/{user_id}/disable")]
async fn disable(call: Call) -> Answer {
    call.log_change("user.disable");
    let (tenant, user) = find(&call).await?;
    call.ledger().disable_user(tenant.id, user.id, call.now()).await?;
    Ok(ok(&UserWire::to_wire(find(&call).await?.1)))
}

/// Let a person in again.
#[utoipa::path(tag = "users", operation_id = "enable_user",
    params(("tenant_id" = String, Path, format = "uuid"), ("user_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The person as it is now", body = UserWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/users/{user_id}/enable")]
async fn enable(call: Call) -> Answer {
    call.log_change("user.enable");
    let (tenant, user) = find(&call).await?;
    call.ledger().enable_user(tenant.id, user.id).await?;
    Ok(ok(&UserWire::to_wire(find(&call).await?.1)))
}

async fn find(call: &Call) -> Result<(Tenant, User), ApiError> {
    let id: UserId = call.path("user_id")?;
    let tenant = call.tenant().await?;
    let found = call.ledger().find_user(tenant.id, id).await?;
    Ok((tenant, found.ok_or_else(|| error::missing("user", &id.to_string()))?))
}
