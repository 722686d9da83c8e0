//! The Anthropic dialect: messages, and counting their tokens.
//! Never holds business rules; wire forms in, wire forms out.
//! Registered by `http::configure`.

mod count;
mod error;
mod headers;
mod messages;
mod request;
mod response;
mod sse;

use actix_web::{HttpRequest, HttpResponse, web};

use super::{ApiError, request_id};
use crate::app::App;

/// Registers every route below `/v1/messages`; what is not there is told so in this dialect too.
pub(super) fn configure(routes: &mut web::ServiceConfig) {
    routes
        .service(
            web::resource("/v1/messages")
                .route(web::post().to(messages::create))
                .default_service(web::route().to(method_not_allowed)),
        )
        .service(
            web::resource("/v1/messages/count_tokens")
                .route(web::post().to(count::create))
                .default_service(web::route().to(method_not_allowed)),
        )
        .service(web::resource("/v1/messages/{rest:.*}").default_service(web::route().to(not_found)));
}

/// Reads the body of a request for a message, for `http::read_body`.
pub(super) fn read_message(body: &[u8]) -> Result<(), ApiError> {
    request::MessagesRequest::from_wire(body).map(drop)
}

/// Reads the body of a request for a count, for `http::read_body`.
pub(super) fn read_count(body: &[u8]) -> Result<(), ApiError> {
    request::CountRequest::from_wire(body).map(drop)
}

async fn not_found(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    let error = ApiError::no_route(request.method().as_str(), request.path());
    error::to_response(&error, request_id(&request, &app))
}

async fn method_not_allowed(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    let error = ApiError::bad_method(request.method().as_str(), request.path());
    error::to_response(&error, request_id(&request, &app))
}
