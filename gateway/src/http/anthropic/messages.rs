//! `POST /v1/messages`: the order of a request, top to bottom.
//! Never holds a measurement or a limit itself; each step is a call and hands its proof to the next.
//! Called through `http::routes`.

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};

use super::{error, headers, request::MessagesRequest, response::Envelope, sse::MessageEvents};
use crate::{
    admit::LimitViews,
    app::App,
    http::{
        ApiError, body, measured, request_id,
        run::{self, Running, Work as _},
        sse,
    },
};

/// Answers a request for a message, whole or as a stream.
pub(in crate::http) async fn create(
    request: HttpRequest,
    body: web::Payload,
    app: web::Data<App>,
) -> HttpResponse {
    match answer(&request, body, &app).await {
        Ok(response) => response,
        Err((error, limits)) => {
            let mut response = error::to_response(&error, request_id(&request, &app));
            headers::set_limits(response.headers_mut(), &limits, app.clock.now());
            response
        }
    }
}

async fn answer(
    request: &HttpRequest,
    body: web::Payload,
    app: &App,
) -> Result<HttpResponse, (ApiError, LimitViews)> {
    let bare = |error: ApiError| (error, LimitViews::default());
    let principal = run::authenticate_either(request, app).map_err(bare)?;
    let body = body::read(request, body, app.serving().body_bytes_max).await.map_err(bare)?;
    let started = Instant::now();
    let message = MessagesRequest::from_wire(&body).map_err(bare)?;
    let running = run::start(request, app, principal, &message, started).await?;
    let limits = running.limits;
    let mut response = match message.is_stream() {
        true => stream(running, message.is_thinking()),
        false => whole(running, message.is_thinking()).await.map_err(|error| (error, limits))?,
    };
    headers::set_limits(response.headers_mut(), &limits, app.clock.now());
    Ok(response)
}

fn stream(running: Running, is_thinking: bool) -> HttpResponse {
    let (request_id, prompt_tokens) = (running.request_id, running.prompt_tokens);
    let events = MessageEvents::new(Envelope::of(&running), request_id, prompt_tokens, is_thinking);
    sse::answer(running, events)
}

async fn whole(mut running: Running, is_thinking: bool) -> Result<HttpResponse, ApiError> {
    let envelope = Envelope::of(&running);
    let collected = running.collect().await.map_err(ApiError::from_failure)?;
    let record = collected.settled.record();
    let only = collected.choices.into_iter().next().unwrap_or_default();
    let mut response = HttpResponse::Ok().json(envelope.whole(&only, is_thinking, record));
    measured::set_headers(response.headers_mut(), record);
    Ok(response)
}
