//! Errors in Anthropic's form: its types, and its status for a server that has too much to do.
//! Never decides what is an error; it writes what the table of `http::error` says.
//! Used by every route of this dialect and by its event stream.

use actix_web::{HttpResponse, http::StatusCode};
use domain::{Fault, RequestId};
use serde_json::{Value, json};

use crate::http::ApiError;

/// What Anthropic answers instead of 503; its clients know it and wait.
const OVERLOADED_STATUS: u16 = 529;

/// The error's body, also the data of an `error` event.
pub(super) fn to_wire(error: &ApiError, request_id: RequestId) -> Value {
    json!({
        "type": "error",
        "error": {
            "type": kind(error), "message": error.message(),
            "param": error.param(), "code": error.code(), "origin": error.origin(),
        },
        "request_id": request_id.to_string(),
    })
}

/// The whole answer.
pub(in crate::http) fn to_response(error: &ApiError, request_id: RequestId) -> HttpResponse {
    let mut response = HttpResponse::build(status(error)).json(to_wire(error, request_id));
    error.set_headers(response.headers_mut());
    response
}

fn status(error: &ApiError) -> StatusCode {
    match error.fault() {
        Fault::Overloaded => {
            StatusCode::from_u16(OVERLOADED_STATUS).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
        }
        Fault::Invalid
        | Fault::Unauthenticated
        | Fault::Forbidden
        | Fault::Missing
        | Fault::Conflict
        | Fault::Limited
        | Fault::Broken => error.status(),
    }
}

fn kind(error: &ApiError) -> &'static str {
    match error.fault() {
        Fault::Invalid if error.status() == StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        Fault::Invalid | Fault::Conflict => "invalid_request_error",
        Fault::Unauthenticated => "authentication_error",
        Fault::Forbidden => "permission_error",
        Fault::Missing => "not_found_error",
        Fault::Limited => "rate_limit_error",
        Fault::Overloaded => "overloaded_error",
        Fault::Broken if error.status() == StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        Fault::Broken => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;
    use crate::stream::Failure;

    #[test]
    fn every_failure_has_anthropics_status_and_type() {
        let failed = ApiError::from_failure;
        let rows = [
            (ApiError::invalid("invalid_value", "top_k", "no"), 400, "invalid_request_error"),
            (ApiError::two_credentials(), 400, "invalid_request_error"),
            (ApiError::no_credential(), 401, "authentication_error"),
            (ApiError::no_model("x"), 404, "not_found_error"),
            (ApiError::no_route("GET", "/v1/messages/x"), 404, "not_found_error"),
            (ApiError::bad_method("GET", "/v1/messages"), 405, "invalid_request_error"),
            (ApiError::unread(), 408, "invalid_request_error"),
            (ApiError::too_large(9), 413, "request_too_large"),
            (failed(Failure::Engine), 500, "api_error"),
            (failed(Failure::Deadline), 504, "timeout_error"),
            (failed(Failure::Draining), 529, "overloaded_error"),
            (failed(Failure::Journal), 529, "overloaded_error"),
        ];
        let request_id = RequestId::generate(Timestamp::from_unix_micros(0));
        for (error, status, kind) in rows {
            let body = to_wire(&error, request_id);
            assert_eq!(to_response(&error, request_id).status().as_u16(), status, "{body}");
            assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)));
            assert_eq!(body["error"]["message"], error.message());
            assert_eq!(body["request_id"], request_id.to_string());
        }
    }
}
