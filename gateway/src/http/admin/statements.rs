//! `/admin/v1/invoices/{number}/statement`: the issuer's signed word on an issued invoice.
//! Never a signature of its own making: `billing::statement` signs.
//! Registered by `admin::resources`.

use actix_web::{HttpResponse, get, http::header::CONTENT_TYPE, post};
use billing::{ledger::StoredStatement, statement};
use domain::Fault;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::Call,
    error::{self, ChangeFailures, ReadFailures},
};
use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(show).service(sign);
}

/// A statement as docs/billing.md describes it.
#[derive(ToSchema)]
#[schema(as = Statement, value_type = Object)]
struct StatementWire(());

/// Show the statement of an issued invoice, byte for byte as it was signed; of several, the last.
#[utoipa::path(tag = "invoices", operation_id = "show_statement",
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 200, description = "The statement", body = inline(StatementWire)), ReadFailures))]
#[get("/invoices/{number}/statement")]
async fn show(call: Call) -> Answer {
    let number = number(&call)?;
    let found = call.ledger().find_statement(&number).await?;
    let stored = found.ok_or_else(|| error::missing("statement of invoice", &number))?;
    Ok(whole(&mut HttpResponse::Ok(), stored))
}

/// Sign the statement of an issued invoice with the configured key. Asked again, it gives the same one.
#[utoipa::path(tag = "invoices", operation_id = "sign_statement",
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 201, description = "The statement", body = inline(StatementWire)), ChangeFailures))]
#[post("/invoices/{number}/statement")]
async fn sign(call: Call) -> Answer {
    call.log_change("statement.sign");
    let number = number(&call)?;
    let key = call.statement_key().ok_or_else(|| {
        let message = "statements.signing_key names no key; nothing can be signed";
        ApiError::new(Fault::Conflict, "no_signing_key", message)
    })?;
    let stored = statement::state(call.ledger(), &number, key, call.now()).await?;
    Ok(whole(&mut HttpResponse::Created(), stored))
}

/// A text with other characters names no invoice, and no database need look for it.
fn number(call: &Call) -> Result<String, ApiError> {
    let number: String = call.path("number")?;
    let is_good =
        number.len() <= 64 && number.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_good { Ok(number) } else { Err(error::missing("invoice", &number)) }
}

fn whole(response: &mut actix_web::HttpResponseBuilder, stored: StoredStatement) -> HttpResponse {
    response.insert_header((CONTENT_TYPE, "application/json")).body(stored.body)
}
