//! Every route of the gateway in one table: its method, its path, whose form it speaks, and who may ask.
//! Never does a route's work, and no route is registered anywhere else; `cargo xtask tidy` looks for that.
//! Registered by `http::configure`, printed by `cli::routes`, walked by the tests with every kind of credential.

use actix_web::{HttpRequest, HttpResponse, Route as Handler, http::Method, middleware::from_fn, web};
use domain::KeyScope;
use serde::Serialize;

use super::{ApiError, anthropic, headers, health, idempotency, openai, request_id, statements, stripe};
use crate::app::App;

/// Whose form a route's bodies and errors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's; also what is nobody's.
    Openai,
    /// Anthropic's.
    Anthropic,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone.
    Public,
    /// Who has a tenant's key with this scope.
    Key(KeyScope),
}

/// One row of the table.
pub struct Route {
    method: Method,
    path: &'static str,
    dialect: Dialect,
    access: Access,
    /// Whether it runs something that is billed: then a repeat with the same Idempotency-Key does not run.
    is_billed: bool,
    handler: fn() -> Handler,
}

/// A row as it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RouteView {
    /// The method; what answers GET answers HEAD as well.
    pub method: &'static str,
    /// The path; what is in braces stands for a part of it.
    pub path: &'static str,
    /// Whose form it speaks.
    pub dialect: &'static str,
    /// Who may ask: `public`, `key`, or on a node `gateway`.
    pub access: &'static str,
    /// What a key must be for.
    pub scope: Option<&'static str>,
    /// Whether it runs something that is billed.
    pub is_billed: bool,
}

impl RouteView {
    /// The row, and after it the one of HEAD where it is GET.
    pub(super) fn and_head(self) -> impl Iterator<Item = Self> {
        let head = (self.method == Method::GET.as_str()).then_some(Self { method: "HEAD", ..self });
        [Some(self), head].into_iter().flatten()
    }
}

/// Tells in an answer which methods the path has that a request came in on.
pub(super) fn set_allowed(
    response: &mut HttpResponse,
    request: &HttpRequest,
    views: impl Iterator<Item = RouteView>,
) {
    let pattern = request.match_pattern().unwrap_or_default();
    let allowed: Vec<_> = views.filter(|view| view.path == pattern).map(|view| view.method).collect();
    headers::set(response.headers_mut(), "allow", &allowed.join(", "));
}

use Access::Public;
use Dialect::{Anthropic, Openai};

const INFERENCE: Access = Access::Key(KeyScope::Inference);
const MODELS: Access = Access::Key(KeyScope::ModelsRead);
const USAGE: Access = Access::Key(KeyScope::UsageRead);

/// The table. Rows of the same path stand together.
static ROUTES: &[Route] = &[
    get("/", Openai, Public, || web::route().to(health::home)),
    get("/healthz", Openai, Public, || web::route().to(health::healthz)),
    get("/readyz", Openai, Public, || web::route().to(health::readyz)),
    run("/v1/chat/completions", Openai, || web::route().to(openai::chat::create)),
    run("/v1/completions", Openai, || web::route().to(openai::completions::create)),
    run("/v1/embeddings", Openai, || web::route().to(openai::embeddings::create)),
    run("/v1/responses", Openai, || web::route().to(openai::responses::create)),
    get("/v1/responses/{id}", Openai, INFERENCE, || web::route().to(openai::responses::show)),
    delete("/v1/responses/{id}", Openai, INFERENCE, || web::route().to(openai::responses::delete)),
    get("/v1/responses/{id}/input_items", Openai, INFERENCE, || {
        web::route().to(openai::responses::input_items::list)
    }),
    run("/v1/messages", Anthropic, || web::route().to(anthropic::messages::create)),
    post("/v1/messages/count_tokens", Anthropic, INFERENCE, || web::route().to(anthropic::count::create)),
    get("/v1/invoices/{number}/statement", Openai, USAGE, || web::route().to(statements::show)),
    // Stripe has no key of ours: its signature is looked at before anything else of the message.
    post("/webhooks/stripe", Openai, Public, || web::route().to(stripe::receive)),
    get("/v1/models", Openai, MODELS, || web::route().to(openai::models::list)),
    get("/v1/models/{model:.*}", Openai, MODELS, || web::route().to(openai::models::show)),
];

const fn get(path: &'static str, dialect: Dialect, access: Access, handler: fn() -> Handler) -> Route {
    Route { method: Method::GET, path, dialect, access, is_billed: false, handler }
}

const fn post(path: &'static str, dialect: Dialect, access: Access, handler: fn() -> Handler) -> Route {
    Route { method: Method::POST, path, dialect, access, is_billed: false, handler }
}

const fn delete(path: &'static str, dialect: Dialect, access: Access, handler: fn() -> Handler) -> Route {
    Route { method: Method::DELETE, path, dialect, access, is_billed: false, handler }
}

/// What runs something that is billed.
const fn run(path: &'static str, dialect: Dialect, handler: fn() -> Handler) -> Route {
    Route { method: Method::POST, path, dialect, access: INFERENCE, is_billed: true, handler }
}

/// The table as it is printed, HEAD included.
pub fn views() -> impl Iterator<Item = RouteView> {
    ROUTES.iter().flat_map(|route| {
        let dialect = match route.dialect {
            Openai => "openai",
            Anthropic => "anthropic",
        };
        let (access, scope) = match route.access {
            Public => ("public", None),
            Access::Key(scope) => ("key", Some(scope.as_str())),
        };
        let method = route.method.as_str();
        let (path, is_billed) = (route.path, route.is_billed);
        RouteView { method, path, dialect, access, scope, is_billed }.and_head()
    })
}

/// What a key must be for on the route that a request came in on. `None`: a path that is in no row.
pub(super) fn scope_of(request: &HttpRequest) -> Option<KeyScope> {
    let pattern = request.match_pattern()?;
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let row = ROUTES.iter().find(|row| row.path == pattern && row.method == *method)?;
    match row.access {
        Public => None,
        Access::Key(scope) => Some(scope),
    }
}

/// Registers the whole table, and what is told of every path and method that is not in it.
pub(super) fn register(config: &mut web::ServiceConfig) {
    for rows in ROUTES.chunk_by(|one, other| one.path == other.path) {
        let Some(first) = rows.first() else { continue };
        let mut resource = web::resource(first.path).default_service(web::route().to(method_not_allowed));
        for row in rows {
            let handler = (row.handler)().method(row.method.clone());
            resource = resource.route(match row.is_billed {
                true => handler.wrap(from_fn(idempotency::once)),
                false => handler,
            });
            if row.method == Method::GET {
                resource = resource.route((row.handler)().method(Method::HEAD));
            }
        }
        config.service(resource);
    }
    config.default_service(web::route().to(not_found));
}

impl Dialect {
    /// Whose client asks for this path, whether it is in the table or not.
    pub(super) fn of_path(path: &str) -> Self {
        match path.strip_prefix("/v1/messages") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::Anthropic,
            Some(_) | None => Self::Openai,
        }
    }

    /// An error as this dialect's clients read it.
    pub(super) fn error(self, error: &ApiError, request: &HttpRequest, app: &App) -> HttpResponse {
        match self {
            Self::Openai => error.to_response(),
            Self::Anthropic => anthropic::error::to_response(error, request_id(request, app)),
        }
    }
}

async fn not_found(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    let error = ApiError::no_route(request.method().as_str(), request.path());
    Dialect::of_path(request.path()).error(&error, &request, &app)
}

async fn method_not_allowed(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    let error = ApiError::bad_method(request.method().as_str(), request.path());
    let mut response = Dialect::of_path(request.path()).error(&error, &request, &app);
    set_allowed(&mut response, &request, views());
    response
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn only_the_short_list_is_public() {
        let public: Vec<_> = views().filter(|view| view.access == "public").map(|view| view.path).collect();
        assert_eq!(public, ["/", "/", "/healthz", "/healthz", "/readyz", "/readyz", "/webhooks/stripe"]);
    }

    #[test]
    fn the_table_is_in_form() {
        let mut seen = HashSet::new();
        for view in views() {
            assert!(seen.insert((view.method, view.path)), "{view:?} is there twice");
            assert!(view.path.starts_with('/') && !view.path.contains("//"), "{view:?}");
        }
        for route in ROUTES {
            assert_eq!(
                route.dialect,
                Dialect::of_path(route.path),
                "{}: errors come in the path's form",
                route.path
            );
        }
        let paths: Vec<_> =
            ROUTES.chunk_by(|one, other| one.path == other.path).map(<[Route]>::len).collect();
        let apart: HashSet<_> = ROUTES.iter().map(|route| route.path).collect();
        assert_eq!(paths.len(), apart.len(), "rows of the same path stand together");
    }

    #[test]
    fn paths_have_the_dialect_of_their_clients() {
        let rows = [
            ("/v1/messages", Anthropic),
            ("/v1/messages/", Anthropic),
            ("/v1/messages/count_tokens", Anthropic),
            ("/v1/messages/batches/x", Anthropic),
            ("/v1/messagesx", Openai),
            ("/v1/models", Openai),
            ("/", Openai),
            ("", Openai),
        ];
        for (path, dialect) in rows {
            assert_eq!(Dialect::of_path(path), dialect, "{path}");
        }
    }
}
