//! One request to the admin API: who asks, and its path, query and body as checked types.
//! Never reads a body before the operator is known.
//! The first argument of every handler.

use std::{fmt::Display, future::Ready, str::FromStr};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest, HttpResponse,
    dev::Payload,
    http::{StatusCode, header::HeaderMap},
    web,
};
use billing::{
    ledger::{Actor, ActorKind, Ledger, Tenant},
    statement::SigningKey,
};
use domain::{TenantId, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use super::{Admin, error};
use crate::{
    app::App,
    authenticate::OperatorPrincipal,
    http::{ApiError, body, request_id},
    reload::Reloader,
};

/// Largest body: a plan's text of 256 KiB, twice for JSON's escapes. Unit: bytes.
const BODY_BYTES_MAX: u32 = 512 * 1_024;

/// A request of an operator.
pub(super) struct Call {
    admin: web::Data<Admin>,
    /// The ledger, with every change noted under the operator's name and this request.
    ledger: Ledger,
    request: HttpRequest,
    operator: OperatorPrincipal,
}

impl FromRequest for Call {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let admin = request.app_data::<web::Data<Admin>>().cloned();
        let operator = request.extensions().get::<OperatorPrincipal>().cloned();
        std::future::ready(match (admin, operator) {
            (Some(admin), Some(operator)) => {
                let actor = Actor {
                    kind: ActorKind::Operator,
                    name: operator.name().to_owned(),
                    request_id: Some(request_id(request, &admin.app)),
                };
                let ledger = admin.ledger.acting(actor);
                Ok(Self { admin, ledger, request: request.clone(), operator })
            }
            // The middleware lets nobody through without one.
            _ => Err(error::no_state()),
        })
    }
}

impl Call {
    /// The ledger.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The running gateway.
    pub(super) fn app(&self) -> &App {
        &self.admin.app
    }

    /// Who provides the service, in exports.
    pub(super) fn provider(&self) -> &str {
        &self.admin.provider
    }

    /// What signs statements.
    pub(super) fn statement_key(&self) -> Option<&SigningKey> {
        self.admin.statement_key.as_ref()
    }

    /// What reads the configuration again.
    pub(super) fn reloader(&self) -> &Reloader {
        &self.admin.reloader
    }

    /// Now.
    pub(super) fn now(&self) -> Timestamp {
        self.admin.app.clock.now()
    }

    /// Who asks.
    pub(super) fn operator_name(&self) -> &str {
        self.operator.name()
    }

    /// Says in the log who changed something, and in which request.
    pub(super) fn log_change(&self, action: &'static str) {
        let request_id = request_id(&self.request, &self.admin.app);
        tracing::info!(operator = self.operator.name(), request.id = %request_id, action, "admin API");
    }

    /// A part of the path as a checked type.
    ///
    /// Errors: it has another form.
    pub(super) fn path<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<T, ApiError> {
        let text = self.request.match_info().get(name).unwrap_or_default();
        text.parse().map_err(|error: T::Err| ApiError::invalid("invalid_value", name, error.to_string()))
    }

    /// The tenant that the path names by its id.
    ///
    /// Errors: no UUID, no such tenant.
    pub(super) async fn tenant(&self) -> Result<Tenant, ApiError> {
        let id: TenantId = self.path("tenant_id")?;
        let found = self.ledger().find_tenant(&id.to_string()).await?;
        found.ok_or_else(|| error::missing("tenant", &id.to_string()))
    }

    /// The query as a checked type.
    ///
    /// Errors: an unknown name, a value of another form.
    pub(super) fn query<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let parsed = web::Query::<T>::from_query(self.request.query_string());
        parsed.map(web::Query::into_inner).map_err(|error| {
            let message = error.to_string();
            let message = message.strip_prefix("Query deserialize error: ").unwrap_or(&message);
            ApiError::invalid("invalid_query", "", format!("query: {message}"))
        })
    }

    /// The request's headers.
    pub(super) fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// The body as it is, decoded.
    ///
    /// Errors: too large, broken off, of a shape that would be costly to parse.
    pub(super) async fn bytes(&self, body: web::Payload, bytes_max: u32) -> Result<web::Bytes, ApiError> {
        body::read(&self.request, body, bytes_max).await
    }

    /// The body of a change as a checked type.
    ///
    /// Errors: too large, no JSON object, an unknown field, a value of another form.
    pub(super) async fn body<T: DeserializeOwned>(&self, body: web::Payload) -> Result<T, ApiError> {
        let bytes = body::read(&self.request, body, BODY_BYTES_MAX).await?;
        body::parse(&bytes, ToString::to_string)
    }
}

/// An answer with a body.
pub(super) fn ok(wire: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(wire)
}

/// An answer about something that is new.
pub(super) fn created(wire: &impl Serialize) -> HttpResponse {
    HttpResponse::build(StatusCode::CREATED).json(wire)
}
