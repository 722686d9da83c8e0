//! Whole answers of this dialect: ours in our words, forwarded ones as the bytes that came.
//! Never measures; every figure comes from the usage record.
//! Called by the routes of this dialect.

use actix_web::{HttpResponse, http::header::CONTENT_TYPE};
use bytes::Bytes;

use crate::{
    admit::LimitViews,
    http::{
        ApiError, headers, measured,
        run::{Collected, Running},
    },
};

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
