//! Every route of an engine node in one table: its method, its path, and who may ask.
//! Never does a route's work, and no route of a node is registered anywhere else.
//! Registered by `server`, printed by `cli::routes`, walked by the tests with every kind of credential.

use actix_web::{HttpRequest, HttpResponse, Route as Handler, http::Method, middleware::from_fn, web};

use super::{create, gateway, models};
use crate::http::{
    ApiError,
    routes::{RouteView, set_allowed},
};

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Everyone.
    Public,
    /// Who has a token that a gateway of this node signed.
    Gateway,
}

/// One row of the table.
struct Route {
    method: Method,
    path: &'static str,
    access: Access,
    handler: fn() -> Handler,
}

use Access::{Gateway, Public};

/// The table. Each path has one row.
static ROUTES: &[Route] = &[
    row(Method::GET, "/healthz", Public, || web::route().to(models::healthz)),
    row(Method::GET, "/readyz", Public, || web::route().to(models::readyz)),
    row(Method::GET, "/engine/v1/models", Gateway, || web::route().to(models::list)),
    row(Method::POST, "/engine/v1/chat/completions", Gateway, || web::route().to(create::chat)),
    row(Method::POST, "/engine/v1/completions", Gateway, || web::route().to(create::completion)),
    row(Method::DELETE, "/engine/v1/requests/{id}", Gateway, || web::route().to(create::end)),
];

const fn row(method: Method, path: &'static str, access: Access, handler: fn() -> Handler) -> Route {
    Route { method, path, access, handler }
}

/// The table as it is printed, HEAD included.
pub fn views() -> impl Iterator<Item = RouteView> {
    ROUTES.iter().flat_map(|route| {
        let access = match route.access {
            Public => "public",
            Gateway => "gateway",
        };
        let (method, path, dialect) = (route.method.as_str(), route.path, "openai");
        RouteView { method, path, dialect, access, scope: None, is_billed: false }.and_head()
    })
}

/// Registers the whole table, and what is told of every path and method that is not in it. What is not public asks
/// for a gateway's token before its handler is called.
pub(super) fn register(config: &mut web::ServiceConfig) {
    for route in ROUTES {
        let methods = [Some(&route.method), (route.method == Method::GET).then_some(&Method::HEAD)];
        let mut resource = web::resource(route.path).default_service(web::route().to(method_not_allowed));
        for method in methods.into_iter().flatten() {
            let handler = (route.handler)().method(method.clone());
            resource = resource.route(match route.access {
                Public => handler,
                Gateway => handler.wrap(from_fn(gateway::only)),
            });
        }
        config.service(resource);
    }
    config.default_service(web::route().to(not_found));
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    ApiError::no_route(request.method().as_str(), request.path()).to_response()
}

async fn method_not_allowed(request: HttpRequest) -> HttpResponse {
    let mut response = ApiError::bad_method(request.method().as_str(), request.path()).to_response();
    set_allowed(&mut response, &request, views());
    response
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::node::{API_PATH, READY_PATH, REQUESTS_PATH};

    #[test]
    fn all_but_health_is_for_gateways() {
        let public: HashSet<_> =
            views().filter(|view| view.access == "public").map(|view| view.path).collect();
        assert_eq!(public, HashSet::from(["/healthz", READY_PATH]));
        assert!(views().all(|view| view.access == "public" || view.path.starts_with(API_PATH)));
        let ended = format!("{API_PATH}{REQUESTS_PATH}{{id}}");
        assert!(views().any(|view| view.path == ended), "gateways end requests there");
        let apart: HashSet<_> = ROUTES.iter().map(|route| route.path).collect();
        assert_eq!(apart.len(), ROUTES.len(), "each path has one row");
    }
}
