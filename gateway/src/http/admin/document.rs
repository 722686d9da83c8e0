//! The OpenAPI document of the admin API, the page that shows it, and the answer for what is not in it.
//! Never written by hand: the routes themselves say what they take and give.
//! Made once at start by `server`; served without a token, as it tells nothing of tenants.

use std::fmt::Write as _;

use actix_web::{
    HttpRequest, HttpResponse, ResponseError as _,
    http::{
        Method,
        header::{ALLOW, CONTENT_TYPE, HeaderValue},
    },
    web,
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        path::{Operation, PathItem},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_actix_web::{AppExt as _, scope};

use super::{BASE, error::ErrorWire, resources};
use crate::http::ApiError;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tallygate admin API",
        description = "Tenants, keys, plans, usage and invoices, for operators. Send an operator token as \
                       `Authorization: Bearer tgop-…`; a tenant's key opens nothing here.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(ErrorWire)),
    security(("operator_token" = [])),
    modifiers(&OperatorToken)
)]
struct Description;

struct OperatorToken;

impl Modify for OperatorToken {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("operator_token", scheme);
    }
}

/// The document, and which methods each path has.
pub(super) struct Document {
    json: String,
    page: String,
    paths: Vec<(String, Vec<Method>)>,
}

impl Document {
    /// Asks every route what it takes and gives.
    ///
    /// Errors: a document that cannot be written as JSON; none in practice.
    pub(super) fn build() -> Result<Self, serde_json::Error> {
        let (_, document) = actix_web::App::new()
            .into_utoipa_app()
            .openapi(Description::openapi())
            .service(scope(BASE).configure(resources))
            .split_for_parts();
        let paths = document.paths.paths.iter().map(|(path, item)| {
            let methods = operations(item).into_iter().map(|(method, _)| method).collect();
            (path.clone(), methods)
        });
        Ok(Self { json: document.to_json()?, page: page_of(&document), paths: paths.collect() })
    }

    /// The methods of a path that exists.
    fn methods(&self, path: &str) -> Option<&[Method]> {
        let is_same = |template: &str| {
            let (template, path) = (template.split('/'), path.split('/'));
            let is_part = |(wanted, given): (&str, &str)| {
                wanted == given || (wanted.starts_with('{') && !given.is_empty())
            };
            template.clone().count() == path.clone().count() && template.zip(path).all(is_part)
        };
        let found = self.paths.iter().filter(|(template, _)| is_same(template));
        // A path with a fixed part is nearer than one with a name in its place.
        found.min_by_key(|(template, _)| template.matches('{').count()).map(|(_, methods)| methods.as_slice())
    }
}

fn operations(item: &PathItem) -> Vec<(Method, &Operation)> {
    let all = [
        (Method::GET, &item.get),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?))).collect()
}

/// `GET /admin/v1/openapi.json`
pub(super) async fn json(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(document.json.clone())
}

/// `GET /admin/v1/docs`
pub(super) async fn page(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header(("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"))
        .body(document.page.clone())
}

/// What no route answers: the path is unknown, or has other methods.
pub(super) async fn no_such_operation(request: HttpRequest, document: web::Data<Document>) -> HttpResponse {
    let (method, path) = (request.method().as_str(), request.path());
    let fixed = [format!("{BASE}/openapi.json"), format!("{BASE}/docs")];
    let methods = match fixed.iter().any(|fixed| fixed == path) {
        true => Some(&[Method::GET][..]),
        false => document.methods(path),
    };
    let Some(methods) = methods else {
        return ApiError::no_route(method, path).error_response();
    };
    let mut response = ApiError::bad_method(method, path).error_response();
    let allowed = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    if let Ok(allowed) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
    code{background:#eee;padding:.1em .3em}h2{margin-top:2rem}dt{margin-top:.6rem}";

/// A page for people: every operation with its first sentence. It needs no script and no other file.
fn page_of(document: &utoipa::openapi::OpenApi) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         <h1>{title}</h1><p>{about}</p><p>The whole description is <a href=\"openapi.json\">openapi.json</a>.</p>",
        title = escape(&document.info.title),
        about = escape(document.info.description.as_deref().unwrap_or_default()),
    );
    let mut last_tag = String::new();
    let mut rows: Vec<_> = document
        .paths
        .paths
        .iter()
        .flat_map(|(path, item)| operations(item).into_iter().map(move |found| (path, found)))
        .map(|(path, (method, operation))| {
            let tag = operation.tags.as_ref().and_then(|tags| tags.first()).cloned().unwrap_or_default();
            (tag, path, method, operation.summary.as_deref().unwrap_or_default())
        })
        .collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    for (tag, path, method, summary) in rows {
        if tag != last_tag {
            // Writing to a text does not fail.
            let _ = write!(page, "<h2>{}</h2>", escape(&tag));
            last_tag = tag;
        }
        let (path, summary) = (escape(path), escape(summary));
        // The same.
        let _ = write!(page, "<dl><dt><code>{method} {path}</code></dt><dd>{summary}</dd></dl>");
    }
    page + "</html>"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_described_whole() {
        let document = Document::build().expect("a document");
        let json: serde_json::Value = serde_json::from_str(&document.json).expect("JSON");
        let mut ids = std::collections::BTreeSet::new();
        for (path, item) in json["paths"].as_object().expect("paths") {
            assert!(path.starts_with(BASE), "{path}");
            for (method, operation) in item.as_object().expect("operations") {
                let name = format!("{method} {path}");
                assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
                let id = operation["operationId"].as_str().expect("an id");
                assert!(ids.insert(id.to_owned()), "{id} stands twice");
                for status in ["400", "401", "403", "404", "503"] {
                    assert!(operation["responses"][status].is_object(), "{name} says nothing of {status}");
                }
                let given = path.matches('{').count();
                let parameters = operation["parameters"]
                    .as_array()
                    .map_or(0, |all| all.iter().filter(|parameter| parameter["in"] == "path").count());
                assert_eq!(given, parameters, "{name} describes its path");
            }
        }
        assert!(json["components"]["securitySchemes"]["operator_token"].is_object());
        assert!(!document.page.contains("<script"));
    }

    #[test]
    fn paths_know_their_methods() {
        let document = Document::build().expect("a document");
        let rows = [
            ("/admin/v1/tenants", true),
            ("/admin/v1/tenants/0198", true),
            ("/admin/v1/tenants/", false),
            ("/admin/v1/nothing", false),
            ("/tenants", false),
        ];
        for (path, is_known) in rows {
            assert_eq!(document.methods(path).is_some(), is_known, "{path}");
        }
    }
}
