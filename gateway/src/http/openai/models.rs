//! `GET /v1/models` and `GET /v1/models/{model}`.
//! Never lists a model the key may not use or the plan does not price.
//! Called through `http::configure`.

use actix_web::{HttpRequest, HttpResponse, web};
use domain::ModelName;
use serde_json::{Value, json};

use crate::{
    app::App,
    authenticate::Principal,
    dispatch::Backend,
    http::{ApiError, run},
};

/// Every model the key may use.
pub(in crate::http) async fn list(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    let principal = match run::authenticate(&request, &app) {
        Ok(principal) => principal,
        Err(error) => return error.to_response(),
    };
    let data: Vec<Value> = app
        .backends
        .all()
        .filter(|backend| principal.may_use(&backend.model))
        .map(|backend| to_wire(&app, backend))
        .collect();
    HttpResponse::Ok().json(json!({"object": "list", "data": data}))
}

/// One model, by name.
pub(in crate::http) async fn show(
    request: HttpRequest,
    app: web::Data<App>,
    name: web::Path<String>,
) -> HttpResponse {
    match find(&request, &app, &name) {
        Ok(model) => HttpResponse::Ok().json(model),
        Err(error) => error.to_response(),
    }
}

fn find(request: &HttpRequest, app: &App, name: &str) -> Result<Value, ApiError> {
    let principal: Principal = run::authenticate(request, app)?;
    let model = ModelName::new(name).map_err(|_| ApiError::no_model(name))?;
    let backend = app.backends.find(&model).filter(|backend| principal.may_use(&backend.model));
    backend.map(|backend| to_wire(app, backend)).ok_or_else(|| ApiError::no_model(name))
}

fn to_wire(app: &App, backend: &Backend) -> Value {
    let info = backend.engine.info();
    json!({
        "id": backend.model,
        "object": "model",
        "created": app.started_at.unix_micros().div_euclid(1_000_000),
        "owned_by": "tallygate",
        "max_model_len": info.context_tokens_max,
    })
}
