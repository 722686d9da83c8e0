//! `/admin/v1/tenants/{tenant_id}/keys` and `/admin/v1/keys`: the credentials of tenants.
//! Never shows a secret twice: creating answers with it, nothing else does.
//! Registered by `admin::resources`.

use std::time::Duration;

use actix_web::{get, patch, post, web};
use billing::ledger::{Key, KeyChange, NewKey, Rotation, SecretHash};
use domain::{Fault, KeyId, KeyScope, KeyScopes, ModelName, ProjectId, SloClass, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
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
    routes.service(list).service(create).service(show).service(update).service(rotate);
    routes.service(disable).service(enable).service(revoke);
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
    /// The project its usage belongs to; null: none.
    #[schema(format = "uuid", required = true)]
    project_id: Option<String>,
    /// What it may be used for.
    scopes: Vec<String>,
    /// Limits of this key, within the tenant's; shared with those that took its place.
    limits: LimitsWire,
    /// The models it may ask for; null: every priced model.
    #[schema(required = true)]
    models: Option<Vec<String>>,
    /// The latency class of its requests; null: the plan's.
    #[schema(required = true)]
    slo_class: Option<String>,
    /// The key that it took the place of; null: none.
    #[schema(required = true)]
    replaces: Option<String>,
    /// When it was made. RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
    /// From when on it is refused; null: never.
    #[schema(format = "date-time", required = true)]
    expires_at: Option<String>,
    /// When it was switched off; null while it is on.
    #[schema(format = "date-time", required = true)]
    disabled_at: Option<String>,
    /// When it was revoked for good; null while it is not.
    #[schema(format = "date-time", required = true)]
    revoked_at: Option<String>,
}

impl KeyWire {
    fn to_wire(key: Key) -> Self {
        let instant = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            id: key.id.to_string(),
            tenant_id: key.tenant_id.to_string(),
            name: key.name,
            project_id: key.project_id.map(|id| id.to_string()),
            scopes: key.scopes.iter().map(|scope| scope.to_string()).collect(),
            limits: LimitsWire::to_wire(key.limits),
            models: key.models_allowed.map(|models| models.iter().map(ToString::to_string).collect()),
            slo_class: key.slo_class.map(|class| class.to_string()),
            replaces: key.replaces.map(|id| id.to_string()),
            created_at: key.created_at.to_string(),
            expires_at: instant(key.expires_at),
            disabled_at: instant(key.disabled_at),
            revoked_at: instant(key.revoked_at),
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
    /// The project its usage belongs to; null or left out: none.
    #[serde(default)]
    #[schema(format = "uuid")]
    project_id: Option<String>,
    /// What it may be used for; null or left out: everything.
    #[serde(default)]
    #[schema(min_items = 1)]
    scopes: Option<Vec<ScopeWire>>,
    /// Limits of this key, within the tenant's.
    #[serde(default)]
    limits: LimitsWire,
    /// The models it may ask for; null or left out: every priced model.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 100)]
    models: Option<Vec<ModelName>>,
    /// The latency class of its requests; null or left out: the plan's.
    #[serde(default)]
    slo_class: Option<ClassWire>,
    /// From when on it is refused; null or left out: never. RFC 3339.
    #[serde(default)]
    #[schema(format = "date-time")]
    expires_at: Option<String>,
}

/// One kind of route.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[schema(as = KeyScope)]
enum ScopeWire {
    /// Requests that are metered and billed.
    #[serde(rename = "inference")]
    Inference,
    /// The list of models.
    #[serde(rename = "models:read")]
    ModelsRead,
    /// The tenant's own usage and limits.
    #[serde(rename = "usage:read")]
    UsageRead,
}

impl ScopeWire {
    fn to_scope(self) -> KeyScope {
        match self {
            Self::Inference => KeyScope::Inference,
            Self::ModelsRead => KeyScope::ModelsRead,
            Self::UsageRead => KeyScope::UsageRead,
        }
    }
}

/// A latency class.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SloClass)]
enum ClassWire {
    /// For people who wait.
    Interactive,
    /// For programs.
    Standard,
    /// Without targets.
    Batch,
}

impl ClassWire {
    fn to_class(self) -> SloClass {
        match self {
            Self::Interactive => SloClass::Interactive,
            Self::Standard => SloClass::Standard,
            Self::Batch => SloClass::Batch,
        }
    }
}

/// What to change of a key. What is left out stays; null takes away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyChange)]
struct KeyChangeWire {
    /// What its owner calls it: printable characters.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// The project its usage belongs to from now on; null: none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = "uuid")]
    project_id: Option<Option<ProjectId>>,
    /// What it may be used for.
    #[serde(default)]
    #[schema(min_items = 1)]
    scopes: Option<Vec<ScopeWire>>,
    /// The models it may ask for; null: every priced model.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 100)]
    models: Option<Option<Vec<ModelName>>>,
    /// The latency class of its requests; null: the plan's.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<ClassWire>)]
    slo_class: Option<Option<ClassWire>>,
    /// From when on it is refused; null: never. RFC 3339.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = "date-time")]
    expires_at: Option<Option<String>>,
}

/// A field that is there, null or not: what is left out is something else.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(input: D) -> Result<Option<T>, D::Error> {
    T::deserialize(input).map(Some)
}

/// How a key is to be replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rotation)]
struct RotationWire {
    /// How long the old key still opens. Unit: seconds.
    #[serde(default)]
    #[schema(default = 0, minimum = 0, maximum = 31_536_000)]
    overlap_seconds: u32,
    /// From when on the new key is refused; null or left out: as the old one was to be. RFC 3339.
    #[serde(default)]
    #[schema(format = "date-time")]
    expires_at: Option<String>,
}

/// The old key, which still opens for a while, and the new one with its text: this once.
#[derive(Serialize, ToSchema)]
#[schema(as = RotatedKey)]
struct RotatedKeyWire {
    /// The key that was replaced.
    old: KeyWire,
    /// The key that takes its place.
    key: KeyWire,
    /// What its owner sends from now on. Only its hash is stored.
    secret: String,
}

/// Longest overlap: a year. Unit: seconds.
const OVERLAP_SECONDS_MAX: u32 = 31_536_000;

/// List a tenant's keys, revoked ones included.
#[utoipa::path(tag = "keys", operation_id = "list_keys",
    params(("tenant_id" = String, Path, format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of keys", body = Page<KeyWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/keys")]
async fn list(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.after::<KeyId>()?;
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
    let project_id = new.project_id.as_deref().map(str::parse::<ProjectId>).transpose();
    let project_id =
        project_id.map_err(|error| ApiError::invalid("invalid_value", "project_id", error.to_string()))?;
    let scopes = scopes(new.scopes)?.unwrap_or(KeyScopes::ALL);
    let expires_at = instant(new.expires_at.as_deref())?;
    let tenant = call.tenant().await?;
    let fresh = fresh_key()?;
    let stored = NewKey {
        project_id,
        scopes,
        limits: new.limits.into_limits(),
        models_allowed: new.models,
        slo_class: new.slo_class.map(ClassWire::to_class),
        expires_at,
        ..NewKey::unlimited(fresh.key_id, &new.name, SecretHash::from_bytes(fresh.secret_hash))
    };
    let key = call.ledger().create_key(tenant.id, &stored, call.now()).await?;
    Ok(created(&CreatedKeyWire { key: KeyWire::to_wire(key), secret: fresh.text.reveal().to_owned() }))
}

/// Errors: a list of none.
fn scopes(listed: Option<Vec<ScopeWire>>) -> Result<Option<KeyScopes>, ApiError> {
    let Some(listed) = listed else { return Ok(None) };
    let found = KeyScopes::new(listed.into_iter().map(ScopeWire::to_scope));
    let message = "scopes: at least one is needed; leave it out for all";
    found.map(Some).ok_or_else(|| ApiError::invalid("invalid_value", "scopes", message))
}

fn fresh_key() -> Result<key::NewKey, ApiError> {
    key::generate_key().map_err(|error| {
        tracing::error!(error = %error, "no key was made");
        ApiError::new(Fault::Broken, "internal_error", "no key could be made")
    })
}

/// Errors: a text that is no instant.
fn instant(text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    let parsed = text.map(str::parse::<jiff::Timestamp>).transpose();
    let parsed = parsed.map_err(|_| {
        let message = "expires_at: an instant such as 2027-01-31T00:00:00Z is needed";
        ApiError::invalid("invalid_value", "expires_at", message)
    })?;
    Ok(parsed.map(|instant| Timestamp::from_unix_micros(instant.as_microsecond())))
}

/// Show one key.
#[utoipa::path(tag = "keys", operation_id = "show_key",
    params(("key_id" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9]+$")),
    responses((status = 200, description = "The key", body = KeyWire), ReadFailures))]
#[get("/keys/{key_id}")]
async fn show(call: Call) -> Answer {
    Ok(ok(&KeyWire::to_wire(find(&call).await?)))
}

/// Change a key, for requests from now on: all that is given, or nothing. Usage keeps the project it was made under.
#[utoipa::path(tag = "keys", operation_id = "change_key", request_body = KeyChangeWire,
    params(("key_id" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9]+$")),
    responses((status = 200, description = "The key as it is now", body = KeyWire), ChangeFailures))]
#[patch("/keys/{key_id}")]
async fn update(call: Call, body: web::Payload) -> Answer {
    call.log_change("key.update");
    let wire: KeyChangeWire = call.body(body).await?;
    let expires_at = match &wire.expires_at {
        None => None,
        Some(text) => Some(instant(text.as_deref())?),
    };
    let change = KeyChange {
        name: wire.name.as_deref(),
        project_id: wire.project_id,
        scopes: scopes(wire.scopes)?,
        models_allowed: wire.models,
        slo_class: wire.slo_class.map(|class| class.map(ClassWire::to_class)),
        expires_at,
    };
    let id: KeyId = call.path("key_id")?;
    Ok(ok(&KeyWire::to_wire(call.ledger().change_key(&id, &change, call.now()).await?)))
}

/// Replace a key by a new one with the same rights, limits and budget. The old one opens until the overlap is over.
#[utoipa::path(tag = "keys", operation_id = "rotate_key", request_body = RotationWire,
    params(("key_id" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9]+$")),
    responses((status = 201, description = "Both keys, and the new one's secret", body = RotatedKeyWire),
              ChangeFailures))]
#[post("/keys/{key_id}/rotate")]
async fn rotate(call: Call, body: web::Payload) -> Answer {
    call.log_change("key.rotate");
    let wire: RotationWire = call.body(body).await?;
    if wire.overlap_seconds > OVERLAP_SECONDS_MAX {
        let message = format!("overlap_seconds: at most {OVERLAP_SECONDS_MAX}");
        return Err(ApiError::invalid("invalid_value", "overlap_seconds", message));
    }
    let expires_at = instant(wire.expires_at.as_deref())?;
    let old = find(&call).await?;
    let fresh = fresh_key()?;
    let rotation = Rotation {
        id: fresh.key_id,
        secret_hash: SecretHash::from_bytes(fresh.secret_hash),
        overlap: Duration::from_secs(u64::from(wire.overlap_seconds)),
        expires_at,
    };
    let (old, key) = call.ledger().rotate_key(&old.id, &rotation, call.now()).await?;
    let (old, key) = (KeyWire::to_wire(old), KeyWire::to_wire(key));
    Ok(created(&RotatedKeyWire { old, key, secret: fresh.text.reveal().to_owned() }))
}

/// Switch a key off until it is switched on again. Doing it twice keeps the first time.
#[utoipa::path(tag = "keys", operation_id = "disable_key",
    params(("key_id" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9]+$")),
    responses((status = 200, description = "The key as it is now", body = KeyWire), ChangeFailures))]
#[post("/keys/{key_id}/disable")]
async fn disable(call: Call) -> Answer {
    call.log_change("key.disable");
    let key = find(&call).await?;
    call.ledger().disable_key(&key.id, call.now()).await?;
    Ok(ok(&KeyWire::to_wire(find(&call).await?)))
}

/// Switch a key on again. A revoked one stays off.
#[utoipa::path(tag = "keys", operation_id = "enable_key",
    params(("key_id" = String, Path, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9]+$")),
    responses((status = 200, description = "The key as it is now", body = KeyWire), ChangeFailures))]
#[post("/keys/{key_id}/enable")]
async fn enable(call: Call) -> Answer {
    call.log_change("key.enable");
    let key = find(&call).await?;
    call.ledger().enable_key(&key.id).await?;
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
