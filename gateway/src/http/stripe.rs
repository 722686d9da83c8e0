//! `POST /webhooks/stripe`: what Stripe tells, on the only public route that takes a body.
//! Never reads more than the signature before that is known to be good, and never does what a message leads to.
//! In the table of routes; the worker for Stripe does the rest.

use actix_web::{HttpRequest, HttpResponse, web};
use domain::Fault;
use serde_json::json;

use super::{ApiError, body};
use crate::{
    app::App,
    stripe::{self, BadSignature, Told},
};

/// Largest message. Unit: bytes; an invoice with its first ten lines has about thirty thousand.
const MESSAGE_BYTES_MAX: u32 = 512 * 1_024;
const SECOND_US: i64 = 1_000_000;

/// Takes a message of Stripe's: each event once.
pub(super) async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
) -> HttpResponse {
    match take(&request, payload, &app).await {
        Ok(told) => HttpResponse::Ok().json(json!({ "received": true, "is_new": told == Told::New })),
        Err(error) => error.to_response(),
    }
}

async fn take(request: &HttpRequest, payload: web::Payload, app: &App) -> Result<Told, ApiError> {
    let Some(stripe) = &app.stripe else {
        return Err(ApiError::no_route(request.method().as_str(), request.path()));
    };
    let body = body::receive(request, payload, MESSAGE_BYTES_MAX).await?;
    let mut headers = request.headers().get_all("stripe-signature");
    let header = headers.next().filter(|_| headers.next().is_none());
    let header = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let now = app.clock.now();
    let signed = (stripe.webhook_secrets(), now.unix_micros().div_euclid(SECOND_US));
    stripe::verify(header, &body, signed).map_err(|error| refused(&error))?;
    let told = stripe::note(stripe, &body, now).await.map_err(|error| {
        tracing::warn!(%error, "a message of Stripe's was not kept; it is sent again");
        let message = "the message was not kept; send it again";
        ApiError::new(Fault::Overloaded, "ledger_unavailable", message)
    })?;
    told.ok_or_else(|| ApiError::new(Fault::Invalid, "invalid_json", "the body is no event of Stripe's"))
}

fn refused(error: &BadSignature) -> ApiError {
    tracing::warn!(%error, "a message to /webhooks/stripe was refused");
    ApiError::new(Fault::Invalid, "invalid_signature", error.to_string())
}
