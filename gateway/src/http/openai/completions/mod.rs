//! `POST /v1/completions`: a plain text to continue, or several.
//! Never holds a measurement or a limit itself; each step is a call and hands its proof to the next.
//! Called through `http::configure`.

mod events;
mod request;
mod response;

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;

use self::{events::CompletionEvents, request::CompletionRequest, response::Envelope};
use super::answer;
use crate::{
    app::App,
    http::{
        ApiError, body,
        run::{self, Running, Work as _},
        sse,
    },
};

/// Reads the body of a completion request, for `http::read_body`.
pub(in crate::http) fn read(body: Bytes) -> Result<(), ApiError> {
    CompletionRequest::from_wire(body).map(drop)
}

/// Answers a completion request, whole or as a stream.
pub(in crate::http) async fn create(
    request: HttpRequest,
    body: web::Payload,
    app: web::Data<App>,
) -> HttpResponse {
    let principal = match run::authenticate(&request, &app) {
        Ok(principal) => principal,
        Err(error) => return error.to_response(),
    };
    let body = match body::read(&request, body, app.body_bytes_max).await {
        Ok(body) => body,
        Err(error) => return error.to_response(),
    };
    let started = Instant::now();
    let completion = match CompletionRequest::from_wire(body) {
        Ok(completion) => completion,
        Err(error) => return error.to_response(),
    };
    match run::start(&request, &app, principal, &completion, started).await {
        Ok(running) if completion.is_stream() => stream(running, completion.include_usage()),
        Ok(running) => whole(running).await,
        Err((error, limits)) => error.to_response_with_limits(&limits),
    }
}

fn stream(running: Running, include_usage: bool) -> HttpResponse {
    let limits = running.limits;
    let events = CompletionEvents::new(Envelope::of(&running), include_usage);
    answer::with_limits(sse::answer(running, events), &limits)
}

async fn whole(mut running: Running) -> HttpResponse {
    let envelope = Envelope::of(&running);
    answer::whole(&mut running, |collected| HttpResponse::Ok().json(envelope.whole(collected))).await
}
