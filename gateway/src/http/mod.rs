//! Everything that speaks HTTP: routes, headers, errors, and one folder for each dialect.
//! Never decides about limits or money; it parses, asks, and writes answers.
//! Built by `cli::serve`, once for each worker thread.

pub mod admin;
mod anthropic;
mod bodies;
mod body;
mod error;
mod headers;
mod health;
mod measured;
mod openai;
mod run;
mod sse;

use std::sync::Arc;

use actix_web::{
    Error, HttpMessage as _, HttpRequest, HttpResponse, Route,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web,
};
use domain::RequestId;

use crate::{admit::Served, app::App};

pub use bodies::{ALL_BODIES, BodyKind, read_body};
pub use error::{ApiError, status_of};

/// Registers every route.
///
/// Routes without a key: `/`, `/healthz`, `/readyz`. All others authenticate first.
pub fn configure(app: &Arc<App>, routes: &mut web::ServiceConfig) {
    let get_only = |path: &str, get: Route, head: Route| {
        web::resource(path).route(get).route(head).default_service(web::route().to(method_not_allowed))
    };
    routes
        .app_data(web::Data::from(Arc::clone(app)))
        .service(
            web::resource("/v1/chat/completions")
                .route(web::post().to(openai::chat::create))
                .default_service(web::route().to(method_not_allowed)),
        )
        .configure(anthropic::configure)
        .service(get_only(
            "/v1/models",
            web::get().to(openai::models::list),
            web::head().to(openai::models::list),
        ))
        .service(get_only(
            "/v1/models/{model:.*}",
            web::get().to(openai::models::show),
            web::head().to(openai::models::show),
        ))
        .service(get_only("/healthz", web::get().to(health::healthz), web::head().to(health::healthz)))
        .service(get_only("/readyz", web::get().to(health::readyz), web::head().to(health::readyz)))
        .service(get_only("/", web::get().to(health::home), web::head().to(health::home)))
        .default_service(web::route().to(not_found));
}

/// Gives every request an id and every answer the headers that name it.
///
/// # Errors
/// Whatever the inner service fails with.
pub async fn name_request(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let request_id = match request.app_data::<web::Data<App>>() {
        Some(app) => RequestId::generate(app.clock.now()),
        None => return Err(actix_web::error::ErrorInternalServerError("no application state")),
    };
    request.extensions_mut().insert(request_id);
    let mut response = next.call(request).await?;
    let served = response.request().extensions().get::<Served>().copied();
    if let Some(Served { slo, downgraded_from }) = served {
        headers::set(response.headers_mut(), "x-tallygate-slo-class", slo.class.as_str());
        if let Some(class) = downgraded_from {
            headers::set(response.headers_mut(), "x-tallygate-slo-downgraded-from", class.as_str());
        }
    }
    let text = request_id.to_string();
    // The second name is what Anthropic's clients read.
    for name in ["x-request-id", "request-id"] {
        headers::set(response.headers_mut(), name, &text);
    }
    Ok(response)
}

/// The id the middleware gave a request.
pub(crate) fn request_id(request: &HttpRequest, app: &App) -> RequestId {
    let named = request.extensions().get::<RequestId>().copied();
    named.unwrap_or_else(|| RequestId::generate(app.clock.now()))
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    ApiError::no_route(request.method().as_str(), request.path()).to_response()
}

async fn method_not_allowed(request: HttpRequest) -> HttpResponse {
    ApiError::bad_method(request.method().as_str(), request.path()).to_response()
}
