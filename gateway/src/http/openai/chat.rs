//! `POST /v1/chat/completions`: the order of a request, top to bottom.
//! Never holds a measurement or a limit itself; each step is a call and hands its proof to the next.
//! Called through `http::configure`.

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, http::header::ContentType, web};

use super::{request::ChatRequest, response::Envelope, sse::ChatEvents};
use crate::{
    app::App,
    http::{
        ApiError, body, headers, measured,
        run::{self, Running},
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
    let chat = match ChatRequest::from_wire(&body) {
        Ok(chat) => chat,
        Err(error) => return error.to_response(),
    };
    let (is_stream, include_usage) = (chat.is_stream, chat.include_usage);
    match run::start(&request, &app, principal, &chat, started).await {
        Ok(running) if is_stream => stream(running, include_usage),
        Ok(running) => whole(running).await,
        Err((error, limits)) => error.to_response_with_limits(&limits),
    }
}

fn stream(running: Running, include_usage: bool) -> HttpResponse {
    let limits = running.limits;
    let events = ChatEvents::new(envelope(&running), include_usage, running.is_forwarded);
    let mut response = sse::answer(running, events);
    headers::set_limits(response.headers_mut(), &limits);
    response
}

async fn whole(mut running: Running) -> HttpResponse {
    let (envelope, limits, is_forwarded) = (envelope(&running), running.limits, running.is_forwarded);
    match running.collect().await {
        Ok(collected) => {
            let record = collected.settled.record();
            let mut response = match is_forwarded {
                true => {
                    HttpResponse::Ok().content_type(ContentType::json()).body(collected.held_back.concat())
                }
                false => HttpResponse::Ok().json(envelope.whole(&collected.choices, record)),
            };
            let headers = response.headers_mut();
            headers::set_limits(headers, &limits);
            measured::set_headers(headers, record);
            response
        }
        Err(failure) => ApiError::from_failure(failure).to_response_with_limits(&limits),
    }
}

fn envelope(running: &Running) -> Envelope {
    Envelope::new(running.request_id, running.started_at, &running.model)
}
