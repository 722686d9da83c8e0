//! The one table from a failure's kind to an HTTP status, and the error body clients get.
//! Never shows an internal text: the client reads what to do, the log what broke.
//! Used by every route; dialects write the same error in their own form.
//!
//! Long because every failure that a client can meet is spelled out here, where one reader sees them all.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::HeaderMap},
};
use billing::journal::JournalError;
use domain::Fault;
use engine::EngineError;
use serde_json::json;

use super::{encoding, headers};
use crate::{
    admit::{LimitViews, Refusal, TooStrict},
    authenticate::AuthenticateError,
    dispatch::{Refusal as BackendRefusal, RefusalKind},
    stream::Failure,
};

/// How long an overloaded service asks clients to wait: a queue moves on within it.
const OVERLOADED_RETRY: Duration = Duration::from_secs(1);

/// How long a repeat waits for the request before it: most answers take seconds.
const IDEMPOTENCY_RETRY: Duration = Duration::from_secs(1);
/// How long a repeat waits for a gateway to start again.
const UNRESOLVED_RETRY: Duration = Duration::from_secs(60);

/// The code of a prompt that leaves no room.
const TOO_LONG: &str = "context_length_exceeded";

/// The HTTP status for each kind of failure.
pub fn status_of(fault: Fault) -> StatusCode {
    match fault {
        Fault::Invalid => StatusCode::BAD_REQUEST,
        Fault::Unauthenticated => StatusCode::UNAUTHORIZED,
        Fault::Forbidden => StatusCode::FORBIDDEN,
        Fault::Missing => StatusCode::NOT_FOUND,
        Fault::Conflict => StatusCode::CONFLICT,
        Fault::Limited => StatusCode::TOO_MANY_REQUESTS,
        Fault::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        Fault::Broken => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A failure as a client is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    fault: Fault,
    /// Where HTTP has a more precise status than the table.
    status: Option<StatusCode>,
    code: &'static str,
    message: String,
    param: Option<String>,
    retry_after: Option<Duration>,
    is_retry_useless: bool,
    /// A server elsewhere failed, not the gateway.
    is_of_backend: bool,
}

impl ApiError {
    /// A failure that has no more to say than its kind, its code and a text.
    pub(in crate::http) fn new(fault: Fault, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            fault,
            status: None,
            code,
            message: message.into(),
            param: None,
            retry_after: None,
            is_retry_useless: false,
            is_of_backend: false,
        }
    }

    /// The request's content is wrong; `param` is the path of the field.
    pub fn invalid(code: &'static str, param: impl Into<String>, message: impl Into<String>) -> Self {
        let param = Some(param.into()).filter(|param: &String| !param.is_empty());
        Self { param, ..Self::new(Fault::Invalid, code, message) }
    }

    /// The same, about this field.
    pub(in crate::http) fn about(self, param: String) -> Self {
        Self { param: Some(param).filter(|param| !param.is_empty()), ..self }
    }

    /// The body is larger than the server takes.
    pub fn too_large(bytes_max: u32) -> Self {
        let message = format!("the request body is larger than {bytes_max} bytes");
        let error = Self::new(Fault::Invalid, "request_too_large", message);
        Self { status: Some(StatusCode::PAYLOAD_TOO_LARGE), ..error }
    }

    /// The body is compressed in a way that is not taken.
    pub(super) fn unknown_coding(codings: &str) -> Self {
        let message = format!("send the body as it is, or with one Content-Encoding of {codings}");
        let error = Self::new(Fault::Invalid, "unsupported_encoding", message);
        Self { status: Some(StatusCode::UNSUPPORTED_MEDIA_TYPE), ..error }
    }

    /// The body does not decode as its Content-Encoding says.
    pub(super) fn undecodable() -> Self {
        Self::new(Fault::Invalid, "invalid_encoding", "the body does not decode as its Content-Encoding says")
    }

    /// The peer has as many connections as one may have.
    pub(super) fn too_many_connections() -> Self {
        let message = "too many connections from your address; use the ones that are open";
        let error = Self::new(Fault::Limited, "too_many_connections", message);
        Self { retry_after: Some(OVERLOADED_RETRY), ..error }
    }

    /// The header is there more than once, or is no key in form.
    pub(super) fn bad_idempotency_key(bytes_max: usize) -> Self {
        let message =
            format!("send one Idempotency-Key header of 1 to {bytes_max} printable ASCII characters");
        Self::invalid("invalid_idempotency_key", "idempotency-key", message)
    }

    /// The key was used for something else.
    pub(super) fn idempotency_conflict() -> Self {
        let message = "this Idempotency-Key was used for another request: another body, route or API key; \
                       use a new key for a new request";
        Self::idempotency_spent("idempotency_conflict", message)
    }

    /// The key was used, and there is no answer to give again.
    pub(super) fn idempotency_spent(code: &'static str, message: impl Into<String>) -> Self {
        Self { is_retry_useless: true, ..Self::new(Fault::Conflict, code, message) }
    }

    /// The first request with the key still runs.
    pub(super) fn idempotency_running() -> Self {
        let message = "the first request with this Idempotency-Key is still running";
        let error = Self::new(Fault::Conflict, "idempotency_in_progress", message);
        Self { retry_after: Some(IDEMPOTENCY_RETRY), ..error }
    }

    /// The gateway that ran the first request has stopped and not come back.
    pub(super) fn idempotency_unresolved() -> Self {
        let message = "the first request with this Idempotency-Key was cut off, and it is not known yet whether it \
                       was billed; it will be when its gateway has started again";
        let error = Self::new(Fault::Conflict, "idempotency_unresolved", message);
        Self { retry_after: Some(UNRESOLVED_RETRY), ..error }
    }

    /// The ledger, which knows the keys, cannot be asked.
    pub(super) fn idempotency_unavailable() -> Self {
        let message =
            "Idempotency-Keys cannot be checked at the moment; try again, or send the request without one";
        let error = Self::new(Fault::Overloaded, "idempotency_unavailable", message);
        Self { retry_after: Some(OVERLOADED_RETRY), ..error }
    }

    /// The head of the request is larger than the server takes.
    pub(super) fn large_head(bound: &str) -> Self {
        let message = format!("the request has more than {bound}");
        let error = Self::new(Fault::Invalid, "request_headers_too_large", message);
        Self { status: Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE), ..error }
    }

    /// The path with what follows it is longer than the server takes.
    pub(super) fn long_target(bytes_max: usize) -> Self {
        let message = format!("the request's URL is longer than {bytes_max} bytes");
        let error = Self::new(Fault::Invalid, "url_too_long", message);
        Self { status: Some(StatusCode::URI_TOO_LONG), ..error }
    }

    /// The head of the request can be read in more than one way.
    pub(super) fn bad_frame(what: &str) -> Self {
        Self::new(
            Fault::Invalid,
            "bad_request",
            format!("the request cannot be read in one way only: {what}"),
        )
    }

    /// The body broke off. Whoever still reads this has sent chunks that are none.
    pub(super) fn broken_off() -> Self {
        let message = "the request body broke off, or its chunks are not in form";
        Self::new(Fault::Invalid, "request_incomplete", message)
    }

    /// The body did not arrive in time.
    pub fn unread() -> Self {
        let error =
            Self::new(Fault::Invalid, "request_incomplete", "the request body did not arrive in full");
        Self { status: Some(StatusCode::REQUEST_TIMEOUT), ..error }
    }

    /// More than one credential: which one counts would be a guess.
    pub fn two_keys() -> Self {
        Self::new(Fault::Invalid, "two_api_keys", "send one Authorization header, not several")
    }

    /// A key in each of the two headers that may carry one.
    pub fn two_credentials() -> Self {
        let message = "send one credential: either the x-api-key header or the Authorization header, once";
        Self::new(Fault::Invalid, "two_api_keys", message)
    }

    /// Neither of the two headers that may carry a key.
    pub fn no_credential() -> Self {
        let error = AuthenticateError::NoKey;
        let message = "no API key was given; send it as \"x-api-key: tg-…\"";
        Self::new(error.fault(), error.code(), message)
    }

    /// No such path.
    pub fn no_route(method: &str, path: &str) -> Self {
        Self::new(Fault::Missing, "unknown_url", format!("unknown request URL: {method} {path}"))
    }

    /// The path exists, not for this method.
    pub fn bad_method(method: &str, path: &str) -> Self {
        let error =
            Self::new(Fault::Invalid, "method_not_allowed", format!("{method} is not allowed for {path}"));
        Self { status: Some(StatusCode::METHOD_NOT_ALLOWED), ..error }
    }

    /// No such model, or none the key may know of.
    pub fn no_model(model: &str) -> Self {
        let message = format!("the model {model:?} does not exist or you do not have access to it");
        Self { param: Some("model".to_owned()), ..Self::new(Fault::Missing, "model_not_found", message) }
    }

    /// The model is there and cannot be asked this.
    pub fn wrong_kind(model: &str) -> Self {
        let message = format!("model: {model:?} does not take requests of this kind");
        Self::invalid("unsupported_model", "model", message)
    }

    /// No server elsewhere answered.
    fn from_backend(refusal: BackendRefusal) -> Self {
        let BackendRefusal { kind, message, param, retry_after } = refusal;
        let gateway = |code, message| {
            let error = Self::new(Fault::Broken, code, message);
            Self { status: Some(StatusCode::BAD_GATEWAY), ..error }
        };
        let wait = retry_after.unwrap_or(OVERLOADED_RETRY);
        let error = match kind {
            RefusalKind::Invalid | RefusalKind::TooLarge => {
                let text = message.unwrap_or_else(|| "the backend refused the request".to_owned());
                let error = Self::new(Fault::Invalid, "backend_refused", text);
                let status = (kind == RefusalKind::TooLarge).then_some(StatusCode::PAYLOAD_TOO_LARGE);
                Self { status, param, ..error }
            }
            RefusalKind::Credential => {
                gateway("backend_auth", "the backend does not accept the gateway; nothing was billed")
            }
            RefusalKind::Misconfigured => {
                gateway("backend_misconfigured", "the backend does not know this model; nothing was billed")
            }
            RefusalKind::Unavailable => {
                gateway("backend_unavailable", "the backend failed; nothing was billed")
            }
            RefusalKind::Timeout => {
                let error =
                    gateway("backend_timeout", "the backend did not answer in time; nothing was billed");
                Self { status: Some(StatusCode::GATEWAY_TIMEOUT), ..error }
            }
            RefusalKind::Overloaded => {
                let error = Self::new(
                    Fault::Overloaded,
                    "backend_overloaded",
                    "the backend has no room at the moment; nothing was billed",
                );
                Self { retry_after: Some(wait), ..error }
            }
            RefusalKind::NoTarget => {
                let error = Self::new(
                    Fault::Overloaded,
                    "no_backend",
                    "no backend can take the request at the moment; nothing was billed",
                );
                Self { retry_after: Some(wait), ..error }
            }
        };
        Self { is_of_backend: true, ..error }
    }

    /// No stored response has this id, or none of this tenant.
    pub fn no_response(id: &str) -> Self {
        let message =
            format!("there is no stored response {id:?}: it was never stored, deleted, or has expired");
        Self {
            param: Some("response_id".to_owned()),
            ..Self::new(Fault::Missing, "response_not_found", message)
        }
    }

    /// As [`Self::no_response`], for one to go on with.
    pub fn no_previous_response(id: &str) -> Self {
        let message = format!("the previous response {id:?} was never stored, deleted, or has expired");
        Self::invalid("previous_response_not_found", "previous_response_id", message)
    }

    /// Stored responses cannot be reached.
    pub fn unstored() -> Self {
        let message = "stored responses cannot be reached at the moment";
        let error = Self::new(Fault::Overloaded, "responses_unavailable", message);
        Self { retry_after: Some(OVERLOADED_RETRY), ..error }
    }

    /// An answer that broke off.
    pub fn from_failure(failure: Failure) -> Self {
        match failure {
            Failure::Backend(refusal) => Self::from_backend(*refusal),
            Failure::Engine => {
                Self::new(Fault::Broken, "engine_error", "the model failed; nothing was billed")
            }
            Failure::Deadline => {
                let message = "the request took longer than the server allows";
                let error = Self::new(Fault::Broken, "deadline_exceeded", message);
                Self { status: Some(StatusCode::GATEWAY_TIMEOUT), ..error }
            }
            Failure::Draining => Self::new(
                Fault::Overloaded,
                "shutting_down",
                "the server is shutting down; nothing was billed",
            ),
            Failure::Unread => {
                let message = "the answer was not read in time; what was produced is billed";
                let error = Self::new(Fault::Invalid, "answer_not_read", message);
                Self { status: Some(StatusCode::REQUEST_TIMEOUT), ..error }
            }
            Failure::Journal => {
                let message = "the request's usage could not be recorded; nothing was billed";
                Self::new(Fault::Overloaded, "usage_unrecordable", message)
            }
        }
    }

    /// The status this error is sent with.
    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| status_of(self.fault))
    }

    /// The journal took no entry for an admitted request; nothing was consumed.
    pub fn from_journal(error: &JournalError) -> Self {
        tracing::error!(error = %error, "request not opened in the journal");
        let base =
            Self::new(Fault::Overloaded, "usage_unrecordable", "usage cannot be recorded at the moment");
        Self { retry_after: Some(OVERLOADED_RETRY), ..base }
    }

    /// The `error` object in OpenAI's form.
    pub fn to_openai(&self) -> serde_json::Value {
        let kind = match self.fault {
            Fault::Invalid | Fault::Missing | Fault::Conflict => "invalid_request_error",
            Fault::Unauthenticated => "authentication_error",
            Fault::Forbidden => "permission_error",
            Fault::Limited => "rate_limit_error",
            Fault::Overloaded => "overloaded_error",
            Fault::Broken => "server_error",
        };
        json!({"error": {
            "message": self.message, "type": kind, "param": self.param, "code": self.code, "origin": self.origin(),
        }})
    }

    /// The error, which names this field where the prompt is too long.
    pub(super) fn of_prompt(mut self, field: &str) -> Self {
        if self.code == TOO_LONG {
            self.param = Some(field.to_owned());
        }
        self
    }

    /// Who failed: `gateway` or `backend`.
    pub fn origin(&self) -> &'static str {
        if self.is_of_backend { "backend" } else { "gateway" }
    }

    /// What kind of failure it is.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The path of the field that is wrong.
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// The whole answer, in OpenAI's form.
    pub fn to_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status()).json(self.to_openai());
        self.set_headers(response.headers_mut());
        response
    }

    /// Headers that are the same in every dialect: when to try again, and how to authenticate.
    pub(super) fn set_headers(&self, headers: &mut HeaderMap) {
        if let Some(wait) = self.retry_after {
            headers::set_retry_after(headers, wait);
        }
        if self.is_retry_useless {
            headers::set(headers, "x-should-retry", "false");
        }
        if self.fault == Fault::Unauthenticated {
            headers::set(headers, "www-authenticate", "Bearer");
        }
        if self.status == Some(StatusCode::UNSUPPORTED_MEDIA_TYPE) {
            headers::set(headers, "accept-encoding", encoding::CODINGS);
        }
    }

    /// The whole answer, with the limits as they stand.
    pub fn to_response_with_limits(&self, views: &LimitViews) -> HttpResponse {
        let mut response = self.to_response();
        headers::set_limits(response.headers_mut(), views);
        response
    }
}

impl From<AuthenticateError> for ApiError {
    fn from(error: AuthenticateError) -> Self {
        Self::new(error.fault(), error.code(), error.to_string())
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let base = Self::new(refusal.fault(), refusal.code(), refusal.to_string());
        match refusal {
            // A budget begins anew in days, and a day's limit comes back in hours: not in the minutes that a client waits.
            Refusal::Limit(exceeded, _) => {
                let retry_after = exceeded.retry_after.filter(|wait| *wait <= headers::RETRY_AFTER_MAX);
                Self { is_retry_useless: retry_after.is_none(), retry_after, ..base }
            }
            Refusal::LimitsAway { retry_after } => Self { retry_after: Some(retry_after), ..base },
            Refusal::Unattainable(late) => Self { retry_after: Some(late.retry_after), ..base },
            Refusal::TooStrict(TooStrict::Class { .. }) => {
                Self { param: Some("service_tier".to_owned()), ..base }
            }
            Refusal::TooStrict(TooStrict::Ttft(_)) => {
                Self { param: Some("x-slo-ttft-ms".to_owned()), ..base }
            }
            Refusal::TooStrict(TooStrict::Tpot(_)) => {
                Self { param: Some("x-slo-tpot-ms".to_owned()), ..base }
            }
            Refusal::Unpriceable => base,
            Refusal::Repeated => Self { is_retry_useless: true, ..base },
            Refusal::PromptTooLong { .. } => Self { param: Some("messages".to_owned()), ..base },
            Refusal::Journal(error) => {
                tracing::error!(error = %error, "admission refused: journal");
                Self { retry_after: Some(OVERLOADED_RETRY), ..base }
            }
            Refusal::Draining => Self { retry_after: Some(OVERLOADED_RETRY), ..base },
            Refusal::ModelNotAllowed(..) | Refusal::ModelNotPriced(_) => {
                Self { param: Some("model".to_owned()), ..base }
            }
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error.fault() {
            Fault::Invalid => {
                let is_long = matches!(error, EngineError::PromptTooLong { .. });
                let code = if is_long { TOO_LONG } else { "invalid_value" };
                Self::invalid(code, "messages", error.to_string())
            }
            Fault::Overloaded => Self {
                retry_after: Some(OVERLOADED_RETRY),
                ..Self::new(Fault::Overloaded, "engine_overloaded", "the model's queue is full; try again")
            },
            fault @ (Fault::Unauthenticated
            | Fault::Forbidden
            | Fault::Missing
            | Fault::Conflict
            | Fault::Limited
            | Fault::Broken) => {
                tracing::error!(error = %error, "engine refused a job");
                Self::new(fault, "engine_error", "the model is not available")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::{Exceeded, Limiter, Scope};

    fn refused(exceeded: Exceeded) -> ApiError {
        ApiError::from(Refusal::Limit(Box::new(exceeded), LimitViews::default()))
    }

    fn limited(limiter: Limiter, retry_after: Option<Duration>, is_held: bool) -> Exceeded {
        Exceeded {
            limiter,
            scope: Scope::Key,
            model: None,
            limit: 100,
            remaining: 40,
            unspent: 90,
            cost: 70,
            retry_after,
            resets_at: None,
            is_held,
        }
    }

    #[test]
    fn whether_to_try_again_is_told_by_how_long_it_takes() {
        let (soon, later) = (Some(Duration::from_secs(1)), Some(Duration::from_secs(121)));
        // Limiter, wait, whether it is held; expected: code, `retry-after`, `x-should-retry`.
        let rows = [
            (Limiter::RequestsPerDay, soon, false, "rate_limit_exceeded", Some("1"), None),
            (Limiter::RequestsPerDay, later, false, "rate_limit_exceeded", None, Some("false")),
            (Limiter::Budget, later, false, "budget_exceeded", None, Some("false")),
            (Limiter::Budget, soon, true, "budget_held", Some("1"), None),
            (Limiter::Balance, None, false, "insufficient_balance", None, Some("false")),
            (Limiter::Balance, soon, true, "balance_held", Some("1"), None),
        ];
        for (limiter, wait, is_held, code, retry_after, should_retry) in rows {
            let error = refused(limited(limiter, wait, is_held));
            let response = error.to_response();
            let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
            let told = (error.code(), header("retry-after"), header("x-should-retry"));
            assert_eq!(told, (code, retry_after, should_retry), "{limiter:?}");
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        }
    }

    #[test]
    fn a_limit_says_who_what_and_when() {
        let exceeded = |retry_after| refused(limited(Limiter::TokensPerMinute, retry_after, false));
        let soon = exceeded(Some(Duration::from_millis(1_500)));
        let response = soon.to_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers().get("retry-after").map(|value| value.as_bytes()), Some(&b"2"[..]));
        assert!(response.headers().get("x-should-retry").is_none());
        let text = "limit of 100 tokens per minute for this API key: 40 remaining, 70 asked for; try again in 1.500 s";
        assert_eq!(soon.to_openai()["error"]["message"], text);
        let never = exceeded(None).to_response();
        assert_eq!(never.headers().get("x-should-retry").map(|value| value.as_bytes()), Some(&b"false"[..]));
    }

    #[test]
    fn bodies_have_the_openai_form() {
        let body = ApiError::invalid("invalid_value", "messages[0].role", "no").to_openai();
        assert_eq!(body["error"]["param"], "messages[0].role");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert_eq!(ApiError::no_model("x").status(), StatusCode::NOT_FOUND);
        assert_eq!(ApiError::too_large(1).status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
