//! `GET /v1/models` and `GET /v1/models/{model}`.
//! Never lists a model the key may not use or the plan does not price.
//! Called through `http::routes`.

use actix_web::{HttpRequest, HttpResponse, web};
use domain::ModelName;
use serde_json::{Value, json};

use crate::{
    app::App,
    authenticate::Principal,
    dispatch::Route,
    http::{ApiError, run},
};

/// Every model the key may use.
pub(in crate::http) async fn list(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    let principal = match run::authenticate(&request, &app) {
        Ok(principal) => principal,
        Err(error) => return error.to_response(),
    };
    let data: Vec<Value> = app
        .serving()
        .backends
        .all()
        .filter(|route| principal.may_use(&route.model))
        .map(|route| to_wire(&app, route))
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
    let serving = app.serving();
    let route = serving.backends.find(&model).filter(|route| principal.may_use(&route.model));
    route.map(|route| to_wire(app, route)).ok_or_else(|| ApiError::no_model(name))
}

fn to_wire(app: &App, route: &Route) -> Value {
    json!({
        "id": route.model,
        "object": "model",
        "created": app.started_at.unix_micros().div_euclid(1_000_000),
        "owned_by": "tallygate",
        "max_model_len": route.context_tokens_max(),
    })
}
