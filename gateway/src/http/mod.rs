//! Everything that speaks HTTP: routes, headers, errors, and one folder for each dialect.
//! Never decides about limits or money; it parses, asks, and writes answers.
//! Built by `cli::serve`, once for each worker thread.

pub mod admin;
mod anthropic;
mod bodies;
mod body;
mod connection;
mod encoding;
mod error;
mod gate;
mod headers;
mod health;
mod held;
mod idempotency;
mod json;
mod measured;
pub mod node;
mod openai;
mod peers;
mod planned;
pub mod routes;
mod run;
mod server;
mod sse;
mod statements;
mod stripe;
mod turns;
mod wish;

use std::{sync::Arc, time::Duration};

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{ConnectionType, StatusCode, Version},
    middleware::Next,
    web,
};
use domain::RequestId;

use self::connection::Turn;
use crate::{admit::Served, app::App};

pub use bodies::{ALL_BODIES, BodyKind, read_body};
pub use error::{ApiError, status_of};
pub use peers::Peers;
pub use server::{Bounds, serve, workers};

/// The head of a request that has not arrived by then is given up; clients send it at once.
pub const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a connection without a request stays open. Clients and load balancers keep theirs for about a minute, and
/// the side that closes first should not be ours: a request may be on its way.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Registers every route of the table; all but its public ones authenticate first.
pub fn configure(app: &Arc<App>, config: &mut web::ServiceConfig) {
    config.app_data(web::Data::from(Arc::clone(app)));
    routes::register(config);
}

/// Gives every request an id and every answer the headers that name it; refuses what is not in form.
///
/// # Errors
/// Whatever the inner service fails with.
pub async fn name_request(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let Some(app) = request.app_data::<web::Data<App>>().cloned() else {
        return Err(actix_web::error::ErrorInternalServerError("no application state"));
    };
    let request_id = RequestId::generate(app.clock.now());
    let held = held::Held::of(&mut request);
    request.extensions_mut().insert(request_id);
    let turn = request.request().conn_data::<Turn>().cloned().unwrap_or_default();
    let entered = enter(&request, &turn);
    let mut response = match entered {
        Ok(()) => next.call(request).await?.map_into_left_body(),
        Err(error) => refused(request, &error, &app, &turn).map_into_right_body(),
    };
    if response.status() == StatusCode::REQUEST_TIMEOUT {
        // The rest of the request may still be on its way; nothing on this connection can be read after it.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        turn.end();
    }
    if response.request().version() < Version::HTTP_11
        && response.response().body().size() == BodySize::Stream
    {
        // HTTP/1.0 knows no chunks: there a stream ends with its connection.
        let head = response.response_mut().head_mut();
        head.no_chunking(true);
        head.set_connection_type(ConnectionType::Close);
        turn.end();
    }
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
    Ok(response.map_into_boxed_body().map_body(|_, body| held.until_end_of(body)))
}

/// Whether a request may come in at all, whatever it asks.
fn enter(request: &ServiceRequest, turn: &Turn) -> Result<(), ApiError> {
    if turn.is_over() {
        // The server has read ahead. Another one on the way ends the connection here and never saw this request.
        return Err(ApiError::bad_frame("an earlier one was the last of this connection"));
    }
    if request.head().connection_type() == ConnectionType::Close {
        turn.end();
    }
    if request.request().conn_data::<peers::Connection>().is_some_and(peers::Connection::is_beyond) {
        return Err(ApiError::too_many_connections());
    }
    gate::check(request.head())
}

/// The end of a connection whose bytes may mean something else to another server on the way.
fn refused(request: ServiceRequest, error: &ApiError, app: &App, turn: &Turn) -> ServiceResponse {
    turn.end();
    let mut response = routes::Dialect::of_path(request.path()).error(error, request.request(), app);
    response.head_mut().set_connection_type(ConnectionType::Close);
    request.into_response(response)
}

/// The id the middleware gave a request.
pub(crate) fn request_id(request: &HttpRequest, app: &App) -> RequestId {
    let named = request.extensions().get::<RequestId>().copied();
    named.unwrap_or_else(|| RequestId::generate(app.clock.now()))
}
