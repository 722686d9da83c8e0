//! Who asks a node: a gateway, by the token that it signed; and what is checked of every request before that.
//! Never tells why a token is refused: the log does, at level debug.
//! Wrapped around every route of a node that is not public.

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{ConnectionType, StatusCode, header::AUTHORIZATION},
    middleware::Next,
    web,
};
use domain::Fault;

use crate::{
    http::{ApiError, connection::Turn, enter as enter_by, headers},
    node::Node,
};

/// The gateway that asks: the id of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gateway {
    pub(super) key_id: String,
}

/// Refuses what is not in form, whoever asks, and names every answer as its gateway named the request.
pub(super) async fn enter(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let named = one_header(request.request(), "x-request-id").map(str::to_owned);
    let turn = request.request().conn_data::<Turn>().cloned().unwrap_or_default();
    let mut response = match enter_by(&request, &turn) {
        Ok(()) => next.call(request).await?.map_into_left_body(),
        Err(error) => {
            turn.end();
            let mut response = error.to_response();
            response.head_mut().set_connection_type(ConnectionType::Close);
            request.into_response(response).map_into_right_body()
        }
    };
    if response.status() == StatusCode::REQUEST_TIMEOUT {
        // The rest of the request may still be on its way; nothing on this connection can be read after it.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        turn.end();
    }
    if let Some(name) = named {
        headers::set(response.headers_mut(), "x-request-id", &name);
    }
    Ok(response)
}

/// Lets gateways of this node pass, and nobody else.
pub(super) async fn only(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let Some(node) = request.app_data::<web::Data<Node>>().cloned() else {
        return Err(actix_web::error::ErrorInternalServerError("no node"));
    };
    match identify(request.request(), &node) {
        Ok(gateway) => {
            request.extensions_mut().insert(gateway);
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(error) => Ok(request.into_response(error.to_response()).map_into_right_body()),
    }
}

fn identify(request: &HttpRequest, node: &Node) -> Result<Gateway, ApiError> {
    let refused = || {
        let message =
            "this is an engine node: it takes short-lived tokens that its gateways sign, and no keys";
        ApiError::new(Fault::Unauthenticated, "invalid_gateway_token", message)
    };
    let header = one_header(request, AUTHORIZATION.as_str()).ok_or_else(refused)?;
    let (scheme, token) = header.split_once(' ').ok_or_else(refused)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refused());
    }
    let keys = node.keys.load();
    match keys.check(token, node.clock.now()) {
        Ok(key_id) => Ok(Gateway { key_id: key_id.to_owned() }),
        Err(fault) => {
            tracing::debug!(reason = %fault, "a credential does not open this node");
            Err(refused())
        }
    }
}

/// The text of a header that is there exactly once.
pub(super) fn one_header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    let mut values = request.headers().get_all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        (Some(_) | None, _) => None,
    }
}
