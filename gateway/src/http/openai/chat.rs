//! `POST /v1/chat/completions`: the order of a request, top to bottom.
//! Never holds a measurement or a limit itself; each step is a call and hands its proof to the next.
//! Called through `http::routes`.

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};

use super::{answer, request::ChatRequest, response::Envelope, sse::ChatEvents};
use crate::{
    app::App,
    http::{
        body,
        run::{self, Running, Work as _},
        sse,
    },
};

/// Answers a chat request, whole or as a stream.
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
    let chat = match ChatRequest::from_wire(body) {
        Ok(chat) => chat,
        Err(error) => return error.to_response(),
    };
    match run::start(&request, &app, principal, &chat, started).await {
        Ok(running) if chat.is_stream() => stream(running, chat.include_usage()),
        Ok(running) => whole(running).await,
        Err((error, limits)) => error.to_response_with_limits(&limits),
    }
}

fn stream(running: Running, include_usage: bool) -> HttpResponse {
    let limits = running.limits;
    let events = ChatEvents::new(envelope(&running), include_usage);
    answer::with_limits(sse::answer(running, events), &limits)
}

async fn whole(mut running: Running) -> HttpResponse {
    let envelope = envelope(&running);
    answer::whole(&mut running, |collected| HttpResponse::Ok().json(envelope.whole(collected))).await
}

fn envelope(running: &Running) -> Envelope {
    Envelope::new(running.request_id, running.started_at, &running.model)
}
