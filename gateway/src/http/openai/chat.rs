//! `POST /v1/chat/completions`: a chat to go on with, answered whole or as a stream.
//! Never holds a measurement or a limit itself; `answer::begin` is the order of the request until it runs.
//! Called through `http::routes`.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{answer, request::ChatRequest, response::Envelope, sse::ChatEvents};
use crate::{
    app::App,
    http::{
        run::{Running, Work as _},
        sse,
    },
};

/// Answers a chat request, whole or as a stream.
pub(in crate::http) async fn create(
    request: HttpRequest,
    body: web::Payload,
    app: web::Data<App>,
) -> HttpResponse {
    match answer::begin(&request, body, &app, ChatRequest::from_wire).await {
        Ok((chat, running)) if chat.is_stream() => stream(running, chat.include_usage()),
        Ok((_, running)) => whole(running).await,
        Err(response) => response,
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
