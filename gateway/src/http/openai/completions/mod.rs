//! `POST /v1/completions`: a plain text to continue, or several.
//! Never holds a measurement or a limit itself; `answer::begin` is the order of the request until it runs.
//! Called through `http::configure`.

mod events;
mod request;
mod response;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;

use self::{events::CompletionEvents, request::CompletionRequest, response::Envelope};
use super::answer;
use crate::{
    app::App,
    http::{
        ApiError,
        run::{Running, Work},
        sse,
    },
};

/// Reads the body of a completion request, for `http::read_body`.
pub(in crate::http) fn read(body: Bytes) -> Result<(), ApiError> {
    CompletionRequest::from_wire(body).map(drop)
}

/// A completion request, for engine nodes.
pub(in crate::http) fn work(body: Bytes) -> Result<impl Work, ApiError> {
    CompletionRequest::from_wire(body)
}

/// Answers a completion request, whole or as a stream.
pub(in crate::http) async fn create(
    request: HttpRequest,
    body: web::Payload,
    app: web::Data<App>,
) -> HttpResponse {
    match answer::begin(&request, body, &app, CompletionRequest::from_wire).await {
        Ok((completion, running)) if completion.is_stream() => stream(running, completion.include_usage()),
        Ok((_, running)) => whole(running).await,
        Err(response) => response,
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
