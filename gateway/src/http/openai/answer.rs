//! What the routes of this dialect share: the order of a request until it runs, and whole answers, ours in our words
//! and forwarded ones as the bytes that came. Never measures; every figure comes from the usage record.
//! Called by the routes of this dialect.

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, http::header::CONTENT_TYPE, web};
use bytes::Bytes;

use crate::{
    admit::LimitViews,
    app::App,
    http::{
        ApiError, body, headers, measured,
        run::{self, Collected, Running, Work},
    },
};

/// Authenticates, reads and parses the body, and runs the request; each step hands its proof to the next.
///
/// Errors: the answer to a request that does not run.
pub(super) async fn begin<W: Work>(
    request: &HttpRequest,
    body: web::Payload,
    app: &App,
    parse: impl FnOnce(Bytes) -> Result<W, ApiError>,
) -> Result<(W, Running), HttpResponse> {
    let refused = |error: ApiError| error.to_response();
    let principal = run::authenticate(request, app).map_err(refused)?;
    let body = body::read(request, body, app.serving().body_bytes_max).await.map_err(refused)?;
    let started = Instant::now();
    let work = parse(body).map_err(refused)?;
    let running = run::start(request, app, principal, &work, started).await;
    let running = running.map_err(|(error, limits)| error.to_response_with_limits(&limits))?;
    Ok((work, running))
}

/// Waits for the whole answer; `write` makes the body of one that is not forwarded.
pub(super) async fn whole(
    running: &mut Running,
    write: impl FnOnce(&Collected) -> HttpResponse,
) -> HttpResponse {
    let limits = running.limits;
    match running.collect().await {
        Ok(collected) => {
            let mut response = match collected.held_back.is_empty() {
                true => write(&collected),
                false => forwarded(&collected.held_back),
            };
            measured::set_headers(response.headers_mut(), collected.settled.record());
            with_limits(response, &limits)
        }
        Err(failure) => ApiError::from_failure(failure).to_response_with_limits(&limits),
    }
}

/// The answer with the limits as they stand.
pub(super) fn with_limits(mut response: HttpResponse, limits: &LimitViews) -> HttpResponse {
    headers::set_limits(response.headers_mut(), limits);
    response
}

fn forwarded(parts: &[Bytes]) -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(parts.concat())
}
