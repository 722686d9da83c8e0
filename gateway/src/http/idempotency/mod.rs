//! `Idempotency-Key`: around the routes that run something, so that a repeat gets what the first request got.
//! Never in the way of a request without the header, and never a rule about rows: `crate::idempotency` has those.
//! Wrapped around routes by `http::routes`; `run` notes when a request begins to run.

mod answer;
mod recorder;

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::{BodySize, BoxBody, MessageBody as _},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{CONTENT_ENCODING, HeaderName},
    },
    middleware::Next,
    web,
};
use billing::ledger::{IdempotencyKey, Outcome};
use futures_util::stream;
use sha2::{Digest as _, Sha256};

use super::{ApiError, body, request_id, routes::Dialect, run};
use crate::{
    app::App,
    idempotency::{Attempt, Found, Spans, Started},
};

/// The header.
const NAME: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key. Unit: bytes. Other services with this header take as much.
const KEY_BYTES_MAX: usize = 255;
/// Largest answer that is kept for repeats. Unit: bytes. An answer of 8,192 tokens, streamed, takes about two megabytes.
pub(super) const OUTCOME_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Runs the request, or answers what the first one with its key got.
pub(super) async fn once(
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if !request.headers().contains_key(NAME) {
        return next.call(request).await;
    }
    let Some(app) = request.app_data::<web::Data<App>>().cloned() else {
        return Err(actix_web::error::ErrorInternalServerError("no application state"));
    };
    let dialect = Dialect::of_path(request.path());
    let error = match claim(&mut request, &app, dialect).await {
        Ok(Found::Mine(attempt)) => return first(request, next, attempt).await,
        Ok(Found::Ended { request_id, outcome: Outcome::Answer(stored) }) => {
            match answer::repeat(request_id, stored) {
                Ok(response) => return Ok(request.into_response(response)),
                Err(error) => error,
            }
        }
        Ok(Found::Ended { request_id, outcome }) => answer::refusal(request_id, &outcome),
        Ok(Found::Conflict) => ApiError::idempotency_conflict(),
        Ok(Found::Running) => ApiError::idempotency_running(),
        Ok(Found::Unresolved) => ApiError::idempotency_unresolved(),
        Err(error) => error,
    };
    let response = dialect.error(&error, request.request(), &app);
    Ok(request.into_response(response))
}

/// Notes that a request has begun to run and will have a usage record.
pub(super) fn note_started(request: &HttpRequest) {
    if let Some(started) = request.extensions().get::<Started>() {
        started.note();
    }
}

/// Authenticates, reads the body and claims the key; the body is put back for the route.
async fn claim(request: &mut ServiceRequest, app: &App, dialect: Dialect) -> Result<Found, ApiError> {
    let principal = match dialect {
        Dialect::Openai => run::authenticate(request.request(), app)?,
        Dialect::Anthropic => run::authenticate_either(request.request(), app)?,
    };
    let name_hash = name_hash(request.request())?;
    let payload = request.extract::<web::Payload>().await.map_err(|_| ApiError::unread())?;
    let bytes = body::receive(request.request(), payload, app.serving().body_bytes_max).await?;
    let mut asked = Sha256::new();
    let coding = request.headers().get(CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes());
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    for part in [
        principal.key().id.as_str().as_bytes(),
        request.method().as_str().as_bytes(),
        target.as_bytes(),
        coding,
        &bytes[..],
    ] {
        // Lengths between them, so that no two requests read as one.
        asked.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        asked.update(part);
    }
    request.set_payload(Payload::Stream { payload: Box::pin(stream::iter([Ok(bytes)])) });
    let key = IdempotencyKey { tenant_id: principal.tenant().id, name_hash };
    let request_id = request_id(request.request(), app);
    let serving = app.serving();
    let spans = Spans { kept_for: serving.idempotency_retention, request_time_max: serving.request_time_max };
    let found = app.idempotency.claim(key, asked.finalize().into(), request_id, spans).await;
    found.map_err(|_| ApiError::idempotency_unavailable())
}

fn name_hash(request: &HttpRequest) -> Result<[u8; 32], ApiError> {
    let mut values = request.headers().get_all(NAME);
    match (values.next(), values.next()) {
        (Some(name), None) if is_name(name.as_bytes()) => Ok(Sha256::digest(name.as_bytes()).into()),
        _ => Err(ApiError::bad_idempotency_key(KEY_BYTES_MAX)),
    }
}

fn is_name(name: &[u8]) -> bool {
    (1..=KEY_BYTES_MAX).contains(&name.len()) && name.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// Runs the request and keeps what comes of it: before the end of the answer leaves.
async fn first(
    request: ServiceRequest,
    next: Next<BoxBody>,
    attempt: Attempt,
) -> Result<ServiceResponse<BoxBody>, Error> {
    request.extensions_mut().insert(attempt.started());
    // When the client leaves, this future is dropped, and with it the attempt.
    let response = next.call(request).await?;
    if is_refusal(response.status(), attempt.has_started()) {
        attempt.refuse().await;
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (mut head, body) = response.into_parts();
    let (status, headers) = (head.status(), answer::headers_text(head.headers()));
    answer::set_first(head.headers_mut(), status);
    if matches!(body.size(), BodySize::Stream) {
        let body = recorder::Recorder::new(body, attempt, status, headers);
        return Ok(ServiceResponse::new(request, head.set_body(BoxBody::new(body))));
    }
    let body = match body.try_into_bytes() {
        Ok(bytes) => {
            attempt.end(answer::outcome(status, headers, &bytes)).await;
            BoxBody::new(bytes)
        }
        // Of a known length and not in memory: no route answers so.
        Err(body) => {
            attempt.end(Outcome::TooLarge).await;
            body
        }
    };
    Ok(ServiceResponse::new(request, head.set_body(body)))
}

/// Whether nothing came of the request that could ever be billed, so that another with its key may run. Failures that
/// say "try again" end with a reason no plan can bill.
fn is_refusal(status: StatusCode, has_started: bool) -> bool {
    const OVERLOADED: u16 = 529;
    let is_busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let has_run = has_started || status.is_success();
    is_busy || status.as_u16() == OVERLOADED || !has_run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_printable_and_bounded() {
        let long = "x".repeat(KEY_BYTES_MAX);
        for name in ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "a b", "~", &long] {
            assert!(is_name(name.as_bytes()), "{name}");
        }
        let longer = "x".repeat(KEY_BYTES_MAX + 1);
        for name in ["", "\u{fc}", "a\tb", "a\u{7f}", &longer] {
            assert!(!is_name(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn only_what_could_be_billed_is_kept() {
        // The status, whether it had begun to run, and whether the key is free again.
        let rows = [
            (200, true, false),
            (200, false, false),
            (400, false, true),
            (401, false, true),
            (404, false, true),
            (408, true, false),
            (429, false, true),
            (429, true, true),
            (500, false, true),
            (500, true, false),
            (502, true, false),
            (503, true, true),
            (504, true, false),
            (529, true, true),
        ];
        for (status, has_started, is_free) in rows {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(is_refusal(status, has_started), is_free, "{status} {has_started}");
        }
    }
}
