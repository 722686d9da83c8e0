//! The Responses API: create, find again, delete; conversations go on by `previous_response_id`.
//! Never holds a measurement or a limit itself; each step is a call and hands its proof to the next.
//! Called through `http::configure`.

mod chat;
mod events;
pub(in crate::http) mod input_items;
mod items;
mod keep;
mod object;
mod output;
mod request;
mod wire;

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, http::header::CONTENT_TYPE, web};
use billing::ledger::StoredResponse;
use serde_json::json;

use self::{
    events::ResponseEvents, keep::Keeper, object::Envelope, output::Output, request::ResponsesRequest,
};
use super::answer::with_limits;
use crate::{
    admit::LimitViews,
    app::App,
    authenticate::Principal,
    http::{
        ApiError, body, measured,
        run::{self, Running, Work as _},
        sse,
    },
};

/// Reads the body of a request for a response, for `http::read_body`.
pub(in crate::http) fn read(body: &[u8]) -> Result<(), ApiError> {
    ResponsesRequest::from_wire(body).map(drop)
}

/// Answers a request for a response, whole or as a stream.
pub(in crate::http) async fn create(
    request: HttpRequest,
    body: web::Payload,
    app: web::Data<App>,
) -> HttpResponse {
    match answer(&request, body, &app).await {
        Ok(response) => response,
        Err((error, limits)) => error.to_response_with_limits(&limits),
    }
}

/// A stored response, as its client got it.
pub(in crate::http) async fn show(
    request: HttpRequest,
    id: web::Path<String>,
    app: web::Data<App>,
) -> HttpResponse {
    match stored(&request, &id, &app).await {
        Ok(stored) => HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(stored.body),
        Err(error) => error.to_response(),
    }
}

/// Deletes a stored response.
pub(in crate::http) async fn delete(
    request: HttpRequest,
    id: web::Path<String>,
    app: web::Data<App>,
) -> HttpResponse {
    let deleted = async {
        let tenant = run::authenticate(&request, &app)?.tenant().id;
        keep::delete(&app.ledger, tenant, &id, app.clock.now()).await
    };
    match deleted.await {
        Ok(true) => HttpResponse::Ok().json(json!({"id": *id, "object": "response", "deleted": true})),
        Ok(false) => ApiError::no_response(&id).to_response(),
        Err(error) => error.to_response(),
    }
}

/// The response that a request names, when it is the asker's.
async fn stored(request: &HttpRequest, id: &str, app: &App) -> Result<StoredResponse, ApiError> {
    let tenant = run::authenticate(request, app)?.tenant().id;
    let found = keep::find(&app.ledger, tenant, id, app.clock.now()).await?;
    found.ok_or_else(|| ApiError::no_response(id))
}

async fn answer(
    request: &HttpRequest,
    body: web::Payload,
    app: &App,
) -> Result<HttpResponse, (ApiError, LimitViews)> {
    let bare = |error: ApiError| (error, LimitViews::default());
    let principal = run::authenticate(request, app).map_err(bare)?;
    let body = body::read(request, body, app.serving().body_bytes_max).await.map_err(bare)?;
    let started = Instant::now();
    let mut response = ResponsesRequest::from_wire(&body).map_err(bare)?;
    go_on(&mut response, app, &principal).await.map_err(bare)?;
    let keeper = Keeper {
        ledger: app.ledger.clone(),
        tenant: principal.tenant().id,
        created_at: app.clock.now(),
        retention: app.serving().response_retention,
        conversation: response.is_stored.then(|| std::mem::take(&mut response.conversation)),
    };
    keeper.check().map_err(bare)?;
    let running = run::start(request, app, principal, &response, started).await?;
    let limits = running.limits;
    let envelope = Envelope::of(&running, std::mem::take(&mut response.echo));
    if response.is_stream() {
        let events = ResponseEvents::new(envelope, keeper);
        return Ok(with_limits(sse::answer(running, events), &limits));
    }
    let answered = whole(running, &envelope, keeper).await.map_err(|error| (error, limits))?;
    Ok(with_limits(answered, &limits))
}

/// Puts the conversation that is gone on with in front.
async fn go_on(response: &mut ResponsesRequest, app: &App, principal: &Principal) -> Result<(), ApiError> {
    let Some(id) = &response.previous_id else { return Ok(()) };
    match keep::find(&app.ledger, principal.tenant().id, id, app.clock.now()).await? {
        Some(stored) => response.continue_from(&stored.conversation),
        None => Err(ApiError::no_previous_response(id)),
    }
}

async fn whole(mut running: Running, envelope: &Envelope, keeper: Keeper) -> Result<HttpResponse, ApiError> {
    let collected = running.collect().await.map_err(ApiError::from_failure)?;
    let record = collected.settled.record();
    let only = collected.choices.into_iter().next().unwrap_or_default();
    let stop = only.stop.clone();
    let output = Output::of(&envelope.request, only, object::status(&stop) == "completed");
    let response = keeper.keep(envelope.ended(&stop, output, record)).await;
    let mut answer = HttpResponse::Ok().json(response);
    measured::set_headers(answer.headers_mut(), record);
    Ok(answer)
}
