//! `/admin/v1/invoices/{number}/credit-notes` and `/admin/v1/credit-notes/{number}`: what is given back of invoices.
//! Never computes an amount: `billing::invoice` does, and the ledger keeps it below the invoice.
//! Registered by `admin::resources`.

use actix_web::{HttpResponse, get, http::header::CONTENT_TYPE, post, web};
use billing::{
    invoice::{CreditLineRequest, CreditNote, CreditRequest},
    ledger::LedgerError,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::{self, ChangeFailures, ReadFailures},
    invoices::pdf,
    parties::refusal,
    standing::number,
};
use crate::http::ApiError;

/// Lines that one credit note may name: more than an invoice usually has.
const LINES_MAX: usize = 1_000;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(list).service(issue).service(show).service(show_pdf);
}

/// A credit note as docs/billing.md describes it.
#[derive(ToSchema)]
#[schema(as = CreditNote, value_type = Object)]
struct CreditNoteWire(());

/// All credit notes of an invoice.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreditNotes)]
struct CreditNotesWire {
    /// The notes, oldest first.
    #[schema(value_type = Vec<Object>)]
    data: Vec<CreditNote>,
}

/// What to give back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCreditNote)]
struct NewCreditNoteWire {
    /// Why, for people.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// Asking again with the same key is one credit note.
    #[schema(min_length = 1, max_length = 255)]
    idempotency_key: String,
    /// Of which lines, at least one; left out: all that is left of the invoice.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Vec<CreditLineWire>, required = false, min_items = 1, max_items = 1_000)]
    lines: Option<Vec<CreditLineWire>>,
}

/// A list that is there. Credit of a whole invoice is never taken back, so it is given only where nothing is said of
/// lines: a null is no list.
fn named<'de, D: serde::Deserializer<'de>>(lines: D) -> Result<Option<Vec<CreditLineWire>>, D::Error> {
    Vec::deserialize(lines).map(Some)
}

/// A line to give back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCreditLine)]
struct CreditLineWire {
    /// Its place on the invoice.
    #[schema(minimum = 1)]
    position: u32,
    /// How much, as a decimal above zero; without it, all that is left of the line.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 20)]
    amount: Option<String>,
}

/// List the credit notes of an invoice.
#[utoipa::path(tag = "invoices", operation_id = "list_credit_notes",
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 200, description = "The credit notes", body = CreditNotesWire), ReadFailures))]
#[get("/invoices/{number}/credit-notes")]
async fn list(call: Call) -> Answer {
    let number = number(&call)?;
    let found = call.ledger().find_invoice(&number).await?;
    found.ok_or_else(|| error::missing("invoice", &number))?;
    Ok(ok(&CreditNotesWire { data: call.ledger().credit_notes(&number).await? }))
}

/// Give back a part of an issued invoice, or all that is left of it.
#[utoipa::path(tag = "invoices", operation_id = "issue_credit_note", request_body = NewCreditNoteWire,
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 201, description = "The credit note", body = inline(CreditNoteWire)), ChangeFailures))]
#[post("/invoices/{number}/credit-notes")]
async fn issue(call: Call, body: web::Payload) -> Answer {
    call.log_change("invoice.credit");
    let NewCreditNoteWire { reason, idempotency_key, lines } = call.body(body).await?;
    if lines.as_ref().is_some_and(|lines| lines.is_empty() || lines.len() > LINES_MAX) {
        let message = format!("lines: 1 to {LINES_MAX}; leave the field out to give back all that is left");
        return Err(ApiError::invalid("invalid_value", "lines", message));
    }
    let lines = lines.unwrap_or_default();
    let number = number(&call)?;
    let line = |line: CreditLineWire| CreditLineRequest { position: line.position, amount: line.amount };
    let request = CreditRequest { reason, lines: lines.into_iter().map(line).collect() };
    let issued = call.ledger().issue_credit_note(&number, (&request, &idempotency_key), call.now()).await;
    let note = issued.map_err(|error| match matches!(error, LedgerError::BadCredit { .. }) {
        true => ApiError::invalid("invalid_value", "lines", error.to_string()),
        false => refusal(error),
    })?;
    let json = note.to_json()?;
    Ok(HttpResponse::Created().insert_header((CONTENT_TYPE, "application/json")).body(json))
}

/// Show a credit note as a PDF.
#[utoipa::path(tag = "invoices", operation_id = "show_credit_note_pdf",
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 200, description = "The credit note", body = Vec<u8>, content_type = "application/pdf"),
        ReadFailures))]
#[get("/credit-notes/{number}/credit-note.pdf")]
async fn show_pdf(call: Call) -> Answer {
    let number = number(&call)?;
    let found = call.ledger().find_credit_note(&number).await?;
    let note = found.ok_or_else(|| error::missing("credit note", &number))?;
    pdf(::web::credit_note_pdf(&note), &number)
}

/// Show a credit note, as it was issued.
#[utoipa::path(tag = "invoices", operation_id = "show_credit_note",
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 200, description = "The credit note", body = inline(CreditNoteWire)), ReadFailures))]
#[get("/credit-notes/{number}")]
async fn show(call: Call) -> Answer {
    let number = number(&call)?;
    let found = call.ledger().find_credit_note(&number).await?;
    let json = found.ok_or_else(|| error::missing("credit note", &number))?.to_json()?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(json))
}
