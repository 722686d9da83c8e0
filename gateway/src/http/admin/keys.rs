//! `/admin/v1/tenants/{tenant_id}/keys` and `/admin/v1/keys`: the credentials of tenants.
//! Never shows a secret twice: creating answers with it, nothing else does.
//! Registered by `admin::resources`.

use actix_web::{get, post, web};
use billing::ledger::{Key, NewKey, SecretHash};
use domain::{Fault, KeyId, ModelName};
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
use crate::{authenticate::key, http::ApiError};

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(list).service(create).service(show).service(revoke);
}

/// A key without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
struct KeyWire {
    /// The public half, safe to log and to show.
    id: String,
    /// Whose it is.
    #[schema(format = "uuid")]
    tenant_id: String,
    /// What its owner calls it.
    name: String,
    /// Limits of this key, within the tenant's.
    limits: LimitsWire,
    /// The models it may ask for; null: every priced model.
    #[schema(required = true)]
    models: Option<Vec<String>>,
    /// When it was made. RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was revoked; null while it is not.
    #[schema(format = "date-time", required = true)]
    disabled_at: Option<String>,
}

impl KeyWire {
    fn to_wire(key: Key) -> Self {
        Self {
            id: key.id.to_string(),
            tenant_id: key.tenant_id.to_string(),
            name: key.name,
            limits: LimitsWire::to_wire(key.limits),
            models: key.models_allowed.map(|models| models.iter().map(ToString::to_string).collect()),
            created_at: key.created_at.to_string(),
            disabled_at: key.disabled_at.map(|at| at.to_string()),
        }
    }
}

/// A new key, with its text: this once.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedKey)]
struct CreatedKeyWire {
    /// The key.
    key: KeyWire,
    /// What its owner sends. Only its hash is stored.
    secret: String,
}

/// A key to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKey)]
struct NewKeyWire {
    /// What its owner calls it: printable characters.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Limits of this key, within the tenant's.
    #[serde(default)]
    limits: LimitsWire,
    /// The models it may ask for; null or left out: every priced model.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 100)]
    models: Option<Vec<ModelName>>,
}

/// List a tenant's keys, revoked ones included.
#[utoipa::path(tag = "keys", operation_id = "list_keys",
    params(("tenant_id" = String, Path, format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of keys", body = Page<KeyWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/keys")]
async fn list(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.cursor.as_deref().map(KeyId::new).transpose();
    let after = after.map_err(|error| ApiError::invalid("invalid_value", "cursor", error.to_string()))?;
    let tenant = call.tenant().await?;
    let keys = call.ledger().keys_page(tenant.id, after.as_ref(), page.limit.get() + 1).await?;
    let keys = keys.into_iter().map(KeyWire::to_wire).collect();
    Ok(ok(&Page::cut(keys, page.limit, |key| key.id.clone())))
}

/// Create a key. Its secret is in this answer and in no other.
#[utoipa::path(tag = "keys", operation_id = "create_key", request_body = NewKeyWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 201, description = "The key and its secret", body = CreatedKeyWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/keys")]
async fn create(call: Call, body: web::Payload) -> Answer {
    call.log_change("key.create");
    let new: NewKeyWire = call.body(body).await?;
    let tenant = call.tenant().await?;
    let fresh = key::generate_key().map_err(|error| {
        tracing::error!(error = %error, "no key was made");
        ApiError::new(Fault::Broken, "internal_error", "no key could be made")
    })?;
    let stored = NewKey {
        limits: new.limits.into_limits(),
        models_allowed: new.models,
        ..NewKey::unlimited(fresh.key_id, &new.name, SecretHash::from_bytes(fresh.secret_hash))
    };
    let key = call.ledger().create_key(tenant.id, &stored, call.now()).await?;
    Ok(created(&CreatedKeyWire { key: KeyWire::to_wire(key), secret: fresh.text.reveal().to_owned() }))
}

/// Show one key.
#[utoipa::path(tag = "keys", operation_id = "show_key",
    params(("key_id" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9]+$")),
    responses((status = 200, description = "The key", body = KeyWire), ReadFailures))]
#[get("/keys/{key_id}")]
async fn show(call: Call) -> Answer {
    Ok(ok(&KeyWire::to_wire(find(&call).await?)))
}

/// Revoke a key for good. Doing it twice keeps the first time.
#[utoipa::path(tag = "keys", operation_id = "revoke_key",
    params(("key_id" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9]+$")),
    responses((status = 200, description = "The key as it is now", body = KeyWire), ChangeFailures))]
#[post("/keys/{key_id}/revoke")]
async fn revoke(call: Call) -> Answer {
    call.log_change("key.revoke");
    let key = find(&call).await?;
    call.ledger().revoke_key(&key.id, call.now()).await?;
    Ok(ok(&KeyWire::to_wire(find(&call).await?)))
}

async fn find(call: &Call) -> Result<Key, ApiError> {
    let id: KeyId = call.path("key_id")?;
    call.ledger().find_key(&id).await?.ok_or_else(|| error::missing("key", id.as_str()))
}
