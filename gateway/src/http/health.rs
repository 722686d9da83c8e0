//! Whether the process lives and whether it can serve, and the page a person lands on.
//! Never needs a key and never tells about tenants.
//! Called through `http::routes`; orchestrators ask `/readyz` before they send requests.

use actix_web::{HttpResponse, http::header::CONTENT_TYPE, web};
use serde_json::json;

use crate::app::{App, Readiness};

/// The process answers.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// Whether requests would be served now, part by part.
pub(super) async fn readyz(app: web::Data<App>) -> HttpResponse {
    let Readiness { is_ready, parts } = app.readiness();
    let parts: serde_json::Map<_, _> =
        parts.into_iter().map(|(name, state)| (name, serde_json::Value::from(state))).collect();
    let body = json!({"status": if is_ready { "ready" } else { "not_ready" }, "parts": parts});
    match is_ready {
        true => HttpResponse::Ok().json(body),
        false => HttpResponse::ServiceUnavailable().json(body),
    }
}

/// What this server is and where its API begins.
pub(super) async fn home(app: web::Data<App>) -> HttpResponse {
    let readiness = app.readiness();
    let page = ::web::HealthPage {
        is_ready: readiness.is_ready,
        parts: readiness.parts.into_iter().collect(),
        models: app.serving().backends.all().map(|route| route.model.to_string()).collect(),
        version: env!("CARGO_PKG_VERSION"),
    };
    match page.to_html() {
        Ok(html) => HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/html; charset=utf-8")).body(html),
        Err(error) => {
            tracing::error!(error = %error, "the home page was not rendered");
            HttpResponse::InternalServerError().finish()
        }
    }
}
