//! `/admin/v1/tenants/{tenant_id}/invoices` and `/admin/v1/invoices`: drafts, issuing, and what was issued.
//! Never computes an amount and never changes an issued invoice: `billing::invoice` does the first, nobody the second.
//! Registered by `admin::resources`.

use std::collections::BTreeSet;

use ::web::PdfError;
use actix_web::{HttpResponse, get, http::header::CONTENT_TYPE, post, web};
use billing::{
    invoice::{self, Invoice},
    journal::Journal,
    ledger::{Booking, BookingKind, BookingList, IssuedInvoice, LedgerError, PeriodChoice, Tenant},
    ship::RecordSource as _,
    statement,
};
use domain::{Fault, JournalId, Period, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::{self, ChangeFailures, ReadFailures},
    page::{Page, PageQuery},
};
use crate::http::ApiError;

/// Records read from the journal at once when looking for some that are not in the ledger yet.
const JOURNAL_PAGE_RECORDS: usize = 1_000;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes
        .service(list)
        .service(list_parts)
        .service(draft)
        .service(draft_page)
        .service(issue)
        .service(show)
        .service(show_page)
        .service(show_pdf);
}

/// An issued invoice in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InvoiceSummary)]
struct InvoiceSummaryWire {
    /// Its number.
    number: String,
    /// Who owes it.
    #[schema(format = "uuid")]
    tenant_id: String,
    /// Its first instant. RFC 3339, UTC.
    #[schema(format = "date-time")]
    period_start: String,
    /// The first instant after it. RFC 3339, UTC.
    #[schema(format = "date-time")]
    period_end: String,
    /// What its amounts are in.
    currency: String,
    /// What is owed, as a decimal.
    total: String,
    /// Usage records in the period when it was issued.
    records: u64,
    /// When it was issued. RFC 3339, UTC.
    #[schema(format = "date-time")]
    issued_at: String,
    /// Whether it is of a part of a period that was running. The invoice of the whole takes such parts off.
    is_part: bool,
}

impl InvoiceSummaryWire {
    fn to_wire(invoice: &IssuedInvoice, is_part: bool) -> Self {
        Self {
            number: invoice.number.clone(),
            tenant_id: invoice.tenant_id.to_string(),
            period_start: invoice.period.start().to_string(),
            period_end: invoice.period.end().to_string(),
            currency: invoice.currency.to_string(),
            total: invoice.total.to_text(invoice.currency),
            records: invoice.records,
            issued_at: invoice.issued_at.to_string(),
            is_part,
        }
    }
}

/// An invoice as docs/billing.md describes it, with every line's arithmetic.
#[derive(ToSchema)]
#[schema(as = Invoice, value_type = Object)]
struct InvoiceWire(());

/// Which period.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MonthQuery {
    /// A month of the tenant's zone, as YYYY-MM: the billing period that begins in it. Or a day in the period, as
    /// YYYY-MM-DD. The running one without it.
    #[param(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]))?$")]
    month: Option<String>,
}

/// What to issue.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IssueInvoice)]
struct IssueWire {
    /// A month of the tenant's zone, as YYYY-MM: the billing period that begins in it, which must be over. Or a day in
    /// the period, as YYYY-MM-DD.
    #[schema(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]))?$")]
    month: String,
    /// Journals whose gateways are gone for good: what they did not ship is lost, and the invoice does not wait for it.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 100)]
    ignore_journals: Vec<JournalId>,
}

/// Journals that one request may name: far more than die in a month.
const IGNORED_MAX: usize = 100;

/// List a tenant's issued invoices by the beginning of their periods, also those of parts of periods.
#[utoipa::path(tag = "invoices", operation_id = "list_invoices",
    params(("tenant_id" = String, Path, format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of invoices", body = Page<InvoiceSummaryWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/invoices")]
async fn list(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let list = (BookingList::Invoices, page.after()?);
    let tenant = call.tenant().await?;
    let all = (Timestamp::from_unix_micros(i64::MIN), Timestamp::from_unix_micros(i64::MAX));
    let issued = call.ledger().bookings_page(tenant.id, list, all, page.limit.get() + 1).await?;
    let cursor_of = |booking: &Booking| booking.position.to_string();
    let Page { data, next_cursor } = Page::cut(issued, page.limit, cursor_of);
    let row =
        |booking: &Booking| InvoiceSummaryWire::to_wire(&booking.issued, booking.kind == BookingKind::Part);
    Ok(ok(&Page { data: data.iter().map(row).collect(), next_cursor }))
}

/// List a tenant's issued invoices of parts of running periods, by their end.
#[utoipa::path(tag = "invoices", operation_id = "list_invoice_parts",
    params(("tenant_id" = String, Path, format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of invoices", body = Page<InvoiceSummaryWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/invoices/parts")]
async fn list_parts(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.after::<i64>()?.map(Timestamp::from_unix_micros);
    let tenant = call.tenant().await?;
    let issued = call.ledger().invoice_parts_page(tenant.id, after, page.limit.get() + 1).await?;
    let cursor_of = |invoice: &IssuedInvoice| invoice.period.end().unix_micros().to_string();
    let Page { data, next_cursor } = Page::cut(issued, page.limit, cursor_of);
    let row = |invoice: &IssuedInvoice| InvoiceSummaryWire::to_wire(invoice, true);
    Ok(ok(&Page { data: data.iter().map(row).collect(), next_cursor }))
}

/// Show what a month's invoice would be now.
#[utoipa::path(tag = "invoices", operation_id = "draft_invoice",
    params(("tenant_id" = String, Path, format = "uuid"), MonthQuery),
    responses((status = 200, description = "The draft", body = inline(InvoiceWire)), ReadFailures))]
#[get("/tenants/{tenant_id}/invoices/draft")]
async fn draft(call: Call) -> Answer {
    whole(&preview(&call).await?)
}

/// Show what a month's invoice would be now, as a page.
#[utoipa::path(tag = "invoices", operation_id = "draft_invoice_page",
    params(("tenant_id" = String, Path, format = "uuid"), MonthQuery),
    responses((status = 200, description = "The draft", body = String, content_type = "text/html"), ReadFailures))]
#[get("/tenants/{tenant_id}/invoices/draft.html")]
async fn draft_page(call: Call) -> Answer {
    html(&preview(&call).await?)
}

async fn preview(call: &Call) -> Result<Invoice, ApiError> {
    let MonthQuery { month } = call.query()?;
    let tenant = call.tenant().await?;
    let period = period(call, &tenant, month.as_deref()).await?;
    Ok(invoice::preview(call.ledger(), &tenant, &period, call.now()).await?)
}

/// The tenant's billing period that is named by a month or a day, or the running one.
async fn period(call: &Call, tenant: &Tenant, named: Option<&str>) -> Result<Period, ApiError> {
    let refused = |error: String| ApiError::invalid("invalid_value", "month", error);
    let choice = match named {
        Some(text) => text.parse::<PeriodChoice>().map_err(|error| refused(error.to_string()))?,
        None => PeriodChoice::At(call.now()),
    };
    call.ledger().billing_period(tenant, choice).await.map_err(|error| {
        match matches!(error, LedgerError::Period(_) | LedgerError::SeveralPeriods { .. }) {
            true => refused(error.to_string()),
            false => error.into(),
        }
    })
}

/// Issue a month's invoice: it gets a number and never changes. Asked again, it gives the same one. It is refused while
/// usage of the month may still be on its way from any gateway.
#[utoipa::path(tag = "invoices", operation_id = "issue_invoice", request_body = IssueWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 201, description = "The invoice", body = inline(InvoiceWire)), ChangeFailures))]
#[post("/tenants/{tenant_id}/invoices")]
async fn issue(call: Call, body: web::Payload) -> Answer {
    call.log_change("invoice.issue");
    let IssueWire { month, ignore_journals } = call.body(body).await?;
    if ignore_journals.len() > IGNORED_MAX {
        let message = format!("ignore_journals: at most {IGNORED_MAX}");
        return Err(ApiError::invalid("invalid_value", "ignore_journals", message));
    }
    let tenant = call.tenant().await?;
    let period = period(&call, &tenant, Some(&month)).await?;
    refuse_unshipped(&call, &period, ignore_journals.into_iter().collect()).await?;
    let invoice = invoice::issue(call.ledger(), &tenant, &period, call.now()).await?;
    if let (Some(key), Some(number)) = (call.statement_key(), &invoice.number) {
        statement::state(call.ledger(), number, key, call.now()).await?;
    }
    Ok(HttpResponse::Created().insert_header((CONTENT_TYPE, "application/json")).body(invoice.to_json()?))
}

/// Show an issued invoice, byte for byte as it was issued.
#[utoipa::path(tag = "invoices", operation_id = "show_invoice",
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 200, description = "The invoice", body = inline(InvoiceWire)), ReadFailures))]
#[get("/invoices/{number}")]
async fn show(call: Call) -> Answer {
    whole(&find(&call).await?)
}

/// Show an issued invoice as a page that needs no other file.
#[utoipa::path(tag = "invoices", operation_id = "show_invoice_page",
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 200, description = "The invoice", body = String, content_type = "text/html"), ReadFailures))]
#[get("/invoices/{number}/page.html")]
async fn show_page(call: Call) -> Answer {
    html(&find(&call).await?)
}

/// Show an issued invoice as a PDF, with what was paid since.
#[utoipa::path(tag = "invoices", operation_id = "show_invoice_pdf",
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 200, description = "The invoice", body = Vec<u8>, content_type = "application/pdf"),
        ReadFailures))]
#[get("/invoices/{number}/invoice.pdf")]
async fn show_pdf(call: Call) -> Answer {
    let invoice = find(&call).await?;
    let number: String = call.path("number")?;
    let standing = call.ledger().invoice_standing(&number, call.now()).await?;
    pdf(::web::invoice_pdf(&invoice, standing.as_ref()), &number)
}

/// A PDF, or that there is none.
pub(super) fn pdf(made: Result<Vec<u8>, PdfError>, number: &str) -> Answer {
    let pdf = made.map_err(|error| {
        tracing::error!(%error, document.number = number, "no PDF");
        ApiError::new(Fault::Broken, "internal_error", "the PDF could not be made; the server's log says why")
    })?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/pdf")).body(pdf))
}

async fn find(call: &Call) -> Result<Invoice, ApiError> {
    let number: String = call.path("number")?;
    // A text with other characters names no invoice, and no database need look for it.
    let is_number =
        number.len() <= 64 && number.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let found = match is_number {
        true => call.ledger().find_invoice(&number).await?,
        false => None,
    };
    let issued = found.ok_or_else(|| error::missing("invoice", &number))?;
    Ok(Invoice::from_issued(&issued.body)?)
}

fn whole(invoice: &Invoice) -> Answer {
    let json = invoice.to_json()?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(json))
}

fn html(invoice: &Invoice) -> Answer {
    let page = invoice.to_html()?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header(("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"))
        .body(page))
}

/// An issued invoice never changes, so nothing of its period may still be on its way to the ledger.
///
/// This gateway's journal is looked at itself; of every other one the ledger has been told up to when it is complete.
async fn refuse_unshipped(
    call: &Call,
    period: &Period,
    mut ignored: BTreeSet<JournalId>,
) -> Result<(), ApiError> {
    let journal = call.app().streams.journal.clone();
    if ignored.contains(&journal.journal_id()) {
        let message = "ignore_journals: the journal of the gateway that you ask is not lost";
        return Err(ApiError::invalid("invalid_value", "ignore_journals", message));
    }
    // Asked before the journal is read: what was complete then is in what is read.
    if journal.complete_before(call.now()) < period.end() {
        return Err(unshipped(
            "requests of this period still run; try again when they have ended".to_owned(),
        ));
    }
    refuse_unread(call, &journal, period).await?;
    ignored.insert(journal.journal_id());
    call.ledger().check_complete(period.end(), &ignored).await.map_err(|error| {
        match matches!(error, LedgerError::JournalsBehind { .. }) {
            true => unshipped(error.to_string()),
            false => error.into(),
        }
    })
}

fn unshipped(message: String) -> ApiError {
    ApiError::new(Fault::Conflict, "usage_not_shipped", message)
}

/// Refuses while this gateway's journal has records of the period that the ledger has not.
async fn refuse_unread(call: &Call, journal: &Journal, period: &Period) -> Result<(), ApiError> {
    let mut sequence = call.ledger().journal_cursor(journal.journal_id()).await?.sequence;
    loop {
        let source = journal.clone();
        let read = web::block(move || source.read_after(sequence, JOURNAL_PAGE_RECORDS)).await;
        let records = read.map_err(|_| unreadable())?.map_err(|error| {
            tracing::error!(error = %error, "the journal was not read before issuing an invoice");
            unreadable()
        })?;
        let Some((last, _)) = records.last() else { return Ok(()) };
        sequence = last.sequence;
        if records.iter().any(|(journaled, _)| journaled.record.finished_at < period.end()) {
            let message =
                "usage records of this period are not in the ledger yet; try again in a few seconds";
            return Err(unshipped(message.to_owned()));
        }
    }
}

fn unreadable() -> ApiError {
    ApiError::new(Fault::Overloaded, "journal_unreadable", "the journal could not be read; try again")
}
