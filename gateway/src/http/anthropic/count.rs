//! `POST /v1/messages/count_tokens`: how many tokens a prompt would have.
//! Never admits, submits or records anything: a count consumes no limit and costs nothing.
//! Called through `http::routes`.

use actix_web::{HttpRequest, HttpResponse, web};
use domain::Tokens;
use serde_json::json;

use super::{error, request::CountRequest};
use crate::{
    admit::check_model,
    app::App,
    http::{
        ApiError, body, request_id,
        run::{self, Work as _},
    },
};

/// Answers with the count.
pub(in crate::http) async fn create(
    request: HttpRequest,
    body: web::Payload,
    app: web::Data<App>,
) -> HttpResponse {
    match count(&request, body, &app).await {
        Ok(tokens) => HttpResponse::Ok().json(json!({"input_tokens": tokens})),
        Err(error) => error::to_response(&error, request_id(&request, &app)),
    }
}

async fn count(request: &HttpRequest, body: web::Payload, app: &App) -> Result<Tokens, ApiError> {
    let principal = run::authenticate_either(request, app)?;
    let serving = app.serving();
    let body = body::read(request, body, serving.body_bytes_max).await?;
    let count = CountRequest::from_wire(&body)?;
    let model = count.model();
    let route = serving.backends.find(model).ok_or_else(|| ApiError::no_model(model.as_str()))?;
    check_model(&principal, route, false)?;
    run::count(route, &count).await
}
