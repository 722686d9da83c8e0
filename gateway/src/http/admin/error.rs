//! How failures of the ledger look to an operator, and which of them each route may answer with.
//! Never an internal text: what broke is in the log.
//! Used by every route of the admin API.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
use billing::{ledger::LedgerError, plan::PlanError};
use domain::Fault;
use serde::Serialize;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        ContentBuilder, Ref, RefOr, ResponseBuilder,
        response::{Response, ResponsesBuilder},
    },
};

use crate::{authenticate::OperatorError, http::ApiError, reload::ReloadError};

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        self.to_response()
    }
}

impl From<OperatorError> for ApiError {
    fn from(error: OperatorError) -> Self {
        Self::new(error.fault(), error.code(), error.to_string())
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        let fault = error.fault();
        if matches!(error, LedgerError::Database(_) | LedgerError::Unreachable { .. }) {
            tracing::error!(error = %error, "the admin API could not reach the ledger");
            return Self::new(
                Fault::Overloaded,
                "ledger_unavailable",
                "the ledger does not answer; try again",
            );
        }
        if fault == Fault::Broken {
            tracing::error!(error = %error, "the ledger failed for the admin API");
            return Self::new(fault, "ledger_error", "the ledger failed; the server's log says why");
        }
        if let LedgerError::Event(error) = &error {
            let code = if fault == Fault::Conflict { "event_conflict" } else { "invalid_event" };
            return Self::new(fault, code, error.to_string()).about(error.path());
        }
        match param_of(&error) {
            Some(param) => Self::invalid(code_of(fault), param, error.to_string()),
            None => Self::new(fault, code_of(fault), error.to_string()),
        }
    }
}

/// The field of the body that the ledger refuses.
fn param_of(error: &LedgerError) -> Option<&'static str> {
    let params = [
        (matches!(error, LedgerError::BadName { .. }), "name"),
        (matches!(error, LedgerError::BadLimit), "limits"),
        (matches!(error, LedgerError::BadModelList(_)), "models"),
        (matches!(error, LedgerError::Plan(_)), "toml"),
        (matches!(error, LedgerError::BadGrant), "amount_nanos"),
        (matches!(error, LedgerError::BadGrantExpiry { .. }), "expires_at"),
        (matches!(error, LedgerError::BadGrantTerms { field: "expires_at", .. }), "expires_at"),
        (matches!(error, LedgerError::BadGrantTerms { field: "models", .. }), "models"),
        (matches!(error, LedgerError::BadGrantTerms { .. }), "priority"),
        (matches!(error, LedgerError::BadText { what: "email", .. }), "email"),
        (matches!(error, LedgerError::BadText { what: "subject", .. }), "subject"),
        (matches!(error, LedgerError::BadExpiry { .. }), "expires_at"),
        (matches!(error, LedgerError::StricterClass { .. }), "slo_class"),
        (matches!(error, LedgerError::ProjectTooDeep(_)), "parent_id"),
    ];
    params.into_iter().find_map(|(is_it, param)| is_it.then_some(param))
}

fn code_of(fault: Fault) -> &'static str {
    match fault {
        Fault::Invalid => "invalid_value",
        Fault::Unauthenticated => "unauthenticated",
        Fault::Forbidden => "forbidden",
        Fault::Missing => "not_found",
        Fault::Conflict => "conflict",
        Fault::Limited => "limited",
        Fault::Overloaded => "overloaded",
        Fault::Broken => "internal_error",
    }
}

impl From<ReloadError> for ApiError {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::Config(error) => Self::invalid("invalid_config", "", error.to_string()),
            ReloadError::Backend(_) => Self::invalid("invalid_config", "backend", error.to_string()),
            ReloadError::NeedsRestart(_) => Self::new(error.fault(), "needs_restart", error.to_string()),
            ReloadError::Stopping => Self::new(error.fault(), "shutting_down", error.to_string()),
        }
    }
}

impl From<PlanError> for ApiError {
    fn from(error: PlanError) -> Self {
        Self::invalid("invalid_plan", "toml", error.to_string())
    }
}

/// A fault of ours: the server was put together without its state.
pub(super) fn no_state() -> ApiError {
    ApiError::new(Fault::Broken, "internal_error", "the server is not set up")
}

/// Nothing has this id.
pub(super) fn missing(what: &str, id: &str) -> ApiError {
    let id: String = id.chars().take(128).collect();
    ApiError::new(Fault::Missing, "not_found", format!("there is no {what} {id:?}"))
}

/// What every failure looks like.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorWire {
    error: ErrorBody,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
struct ErrorBody {
    /// For people.
    message: String,
    /// What kind of failure it is.
    #[serde(rename = "type")]
    kind: String,
    /// The path of the field that is wrong.
    #[schema(required = true)]
    param: Option<String>,
    /// Stable, for programs.
    code: String,
    /// Always `gateway` here.
    origin: String,
}

/// The failures of a route that only reads.
pub(super) struct ReadFailures;

/// The failures of a route that takes a body and changes something.
pub(super) struct ChangeFailures;

const READ_FAILURES: [(StatusCode, &str); 5] = [
    (StatusCode::BAD_REQUEST, "The request is wrong; `param` names the field"),
    (StatusCode::UNAUTHORIZED, "No operator token, or one that is not valid"),
    (StatusCode::FORBIDDEN, "The operator may not do this"),
    (StatusCode::NOT_FOUND, "Nothing has this id"),
    (StatusCode::SERVICE_UNAVAILABLE, "The ledger does not answer"),
];

const MORE_CHANGE_FAILURES: [(StatusCode, &str); 3] = [
    (StatusCode::REQUEST_TIMEOUT, "The body did not arrive"),
    (StatusCode::CONFLICT, "It contradicts what is stored"),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
];

impl IntoResponses for ReadFailures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(READ_FAILURES.iter())
    }
}

impl IntoResponses for ChangeFailures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(READ_FAILURES.iter().chain(&MORE_CHANGE_FAILURES))
    }
}

fn responses<'a>(
    failures: impl Iterator<Item = &'a (StatusCode, &'a str)>,
) -> BTreeMap<String, RefOr<Response>> {
    let content = || ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build();
    let add = |builder: ResponsesBuilder, (status, text): &(StatusCode, &str)| {
        let response =
            ResponseBuilder::new().description(*text).content("application/json", content()).build();
        builder.response(status.as_str(), response)
    };
    failures.fold(ResponsesBuilder::new(), add).build().into()
}
