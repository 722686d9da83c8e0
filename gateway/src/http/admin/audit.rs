//! `/admin/v1/audit-log`: who changed what, when, from what to what.
//! Never written over HTTP: the database notes every change by itself.
//! Registered by `admin::resources`.

use actix_web::get;
use billing::ledger::{AuditEntry, AuditQuestion};
use domain::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::ReadFailures,
    page::{Page, Rows, rows},
};
use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(list);
}

/// Which changes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Changes of this tenant and what belongs to it.
    #[param(format = "uuid")]
    tenant_id: Option<String>,
    /// Changes of what has this id.
    #[param(min_length = 1, max_length = 255)]
    object_id: Option<String>,
    /// Changes made by this somebody.
    #[param(min_length = 1, max_length = 255)]
    actor: Option<String>,
    /// How many rows at most.
    #[serde(default, deserialize_with = "rows")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Rows,
    /// The `next_cursor` of the page before.
    #[param(pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
}

/// One change. Secrets are in none of its fields.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct AuditEntryWire {
    /// Its place among all changes, without a gap.
    #[schema(minimum = 1)]
    sequence: u64,
    /// When. RFC 3339, UTC.
    #[schema(format = "date-time")]
    at: String,
    /// `operator`, `command_line` or `system`.
    actor_kind: String,
    /// Who: an operator's name, an account on the machine, or `unknown`.
    actor: String,
    /// What was done, such as `key.created`.
    action: String,
    /// What it was done to, such as `key`.
    object_kind: String,
    /// Which one.
    object_id: String,
    /// Whose it is; null: nobody's.
    #[schema(format = "uuid", required = true)]
    tenant_id: Option<String>,
    /// The request that asked for it.
    #[schema(format = "uuid", required = true)]
    request_id: Option<String>,
    /// How it was; null: it was not there.
    #[schema(value_type = Option<Object>, required = true)]
    before: Option<serde_json::Value>,
    /// How it is now; null: it is gone.
    #[schema(value_type = Option<Object>, required = true)]
    after: Option<serde_json::Value>,
}

impl AuditEntryWire {
    fn to_wire(entry: AuditEntry) -> Self {
        Self {
            sequence: entry.sequence,
            at: entry.at.to_string(),
            actor_kind: entry.actor_kind,
            actor: entry.actor,
            action: entry.action,
            object_kind: entry.object_kind,
            object_id: entry.object_id,
            tenant_id: entry.tenant_id.map(|id| id.to_string()),
            request_id: entry.request_id.map(|id| id.to_string()),
            before: entry.before,
            after: entry.after,
        }
    }
}

/// List changes, newest first, made over HTTP, on the command line, or with any other client of the database.
#[utoipa::path(tag = "audit", operation_id = "list_audit_log", params(AuditQuery),
    responses((status = 200, description = "A page of changes", body = Page<AuditEntryWire>), ReadFailures))]
#[get("/audit-log")]
async fn list(call: Call) -> Answer {
    let query: AuditQuery = call.query()?;
    let wrong = |name: &'static str, error: String| ApiError::invalid("invalid_value", name, error);
    let tenant = query.tenant_id.as_deref().map(str::parse::<TenantId>).transpose();
    let before = query.cursor.as_deref().map(str::parse::<u64>).transpose();
    let texts = [("object_id", &query.object_id), ("actor", &query.actor)];
    for (name, text) in texts {
        if text.as_ref().is_some_and(|text| text.is_empty() || text.contains('\0')) {
            return Err(wrong(name, format!("{name}: printable characters are needed")));
        }
    }
    let question = AuditQuestion {
        tenant: tenant.map_err(|error| wrong("tenant_id", error.to_string()))?,
        object_id: query.object_id.as_deref(),
        actor: query.actor.as_deref(),
        before: before
            .map_err(|_| wrong("cursor", "cursor: give back a next_cursor as it was".to_owned()))?,
    };
    let entries = call.ledger().audit_page(&question, query.limit.get() + 1).await?;
    let entries = entries.into_iter().map(AuditEntryWire::to_wire).collect();
    Ok(ok(&Page::cut(entries, query.limit, |entry| entry.sequence.to_string())))
}
