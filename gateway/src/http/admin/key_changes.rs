//! `PATCH /admin/v1/keys/{key_id}`: a key's name, rights, class and end.
//! Never its owner, its project or its secret.
//! Registered by `admin::resources`.

use actix_web::{patch, web};
use billing::ledger::KeyChange;
use domain::{KeyId, ModelName};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::ChangeFailures,
    keys::{ClassWire, KeyWire, ScopeWire, instant, scopes},
};

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(update);
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

/// Change a key, for requests from now on: all that is given, or nothing. Its owner and its project never change.
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
        scopes: scopes(wire.scopes)?,
        models_allowed: wire.models,
        slo_class: wire.slo_class.map(|class| class.map(ClassWire::to_class)),
        expires_at,
    };
    let id: KeyId = call.path("key_id")?;
    Ok(ok(&KeyWire::to_wire(call.ledger().change_key(&id, &change, call.now()).await?)))
}
