//! `GET /v1/invoices/{number}/statement`: the issuer's signed word on an invoice, for the tenant that owes it.
//! Never another tenant's: to a stranger an invoice is as one that never was.
//! Called through `http::routes`.

use actix_web::{HttpRequest, HttpResponse, http::header::CONTENT_TYPE, web};
use billing::ledger::StoredStatement;
use domain::Fault;

use crate::{
    app::App,
    http::{ApiError, run},
};

/// The statement, byte for byte as it was signed.
pub(in crate::http) async fn show(
    request: HttpRequest,
    number: web::Path<String>,
    app: web::Data<App>,
) -> HttpResponse {
    match find(&request, &number, &app).await {
        Ok(stored) => HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(stored.body),
        Err(error) => error.to_response(),
    }
}

async fn find(request: &HttpRequest, number: &str, app: &App) -> Result<StoredStatement, ApiError> {
    let tenant = run::authenticate(request, app)?.tenant().id;
    let is_number =
        number.len() <= 64 && number.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let found = match is_number {
        true => app.ledger.find_statement(number).await?,
        false => None,
    };
    found.filter(|stored| stored.tenant_id == tenant).ok_or_else(|| {
        let number: String = number.chars().take(64).collect();
        let message = format!("there is no statement of an invoice {number:?}");
        ApiError::new(Fault::Missing, "not_found", message)
    })
}
