//! `/admin/v1/invoices/{number}/standing` and the steps of an issued invoice: payments, refunds, its end.
//! Never changes an invoice: each step is added to it by the ledger, which also knows which may be taken.
//! Registered by `admin::resources`.

use actix_web::{get, post, web};
use billing::ledger::{InvoiceEvent, InvoiceRefund, InvoiceStanding, NewPayment, NewRefund, RefundKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, created, ok},
    error::{self, ChangeFailures, ReadFailures},
    parties::{amount, refusal},
};
use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(show).service(pay).service(refund).service(void).service(write_off);
}

/// Where an issued invoice stands. Amounts are decimals in its currency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InvoiceStanding)]
struct StandingWire {
    /// Its number.
    number: String,
    /// Who owes it.
    #[schema(format = "uuid")]
    tenant_id: String,
    /// What its amounts are in.
    currency: String,
    /// `issued`, `paid`, `void` or `uncollectible`.
    state: String,
    /// What it came to.
    total: String,
    /// What grants had paid when it was issued.
    granted: String,
    /// All payments since.
    paid: String,
    /// All credit notes.
    credited: String,
    /// What is still owed.
    due: String,
    /// All that was given back of what the tenant was owed.
    refunded: String,
    /// What the tenant is still owed: what it paid and was credited beyond what the invoice came to.
    owed_to_tenant: String,
    /// When it is due; null without terms of payment. RFC 3339, UTC.
    #[schema(format = "date-time", required = true)]
    due_at: Option<String>,
    /// Whether that time is over and something is owed.
    is_overdue: bool,
    /// Every step, in order.
    events: Vec<EventWire>,
    /// Every refund, in order.
    refunds: Vec<RefundWire>,
}

/// A step of an invoice.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InvoiceEvent)]
struct EventWire {
    /// Its place: 1, 2, 3, …
    sequence: u64,
    /// `issued`, `payment`, `paid`, `void` or `uncollectible`.
    kind: String,
    /// Of payments: how much.
    #[schema(required = true)]
    amount: Option<String>,
    /// Of payments: the reference.
    #[schema(required = true)]
    reference: Option<String>,
    /// Why, for people.
    note: String,
    /// When. RFC 3339, UTC.
    #[schema(format = "date-time")]
    at: String,
    /// `operator`, `command_line` or `system`.
    actor_kind: String,
    /// Who.
    actor: String,
}

/// What was given back of an invoice.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InvoiceRefund)]
struct RefundWire {
    /// Its place: 1, 2, 3, …
    sequence: u64,
    /// `payout`: money was paid out. `grant`: credit to spend.
    kind: String,
    /// How much.
    amount: String,
    /// The reference; null where a credit note gave it by itself.
    #[schema(required = true)]
    reference: Option<String>,
    /// The credit note that gave it by itself.
    #[schema(required = true)]
    credit_note: Option<String>,
    /// Of credit: the grant.
    #[schema(format = "uuid", required = true)]
    grant_id: Option<String>,
    /// Why, for people.
    note: String,
    /// When. RFC 3339, UTC.
    #[schema(format = "date-time")]
    at: String,
    /// `operator`, `command_line` or `system`.
    actor_kind: String,
    /// Who.
    actor: String,
}

impl StandingWire {
    fn to_wire(standing: InvoiceStanding) -> Self {
        let currency = standing.currency;
        let event = |event: InvoiceEvent| EventWire {
            sequence: event.sequence,
            kind: event.kind.as_str().to_owned(),
            amount: event.amount.map(|amount| amount.to_text(currency)),
            reference: event.reference,
            note: event.note,
            at: event.at.to_string(),
            actor_kind: event.actor_kind,
            actor: event.actor,
        };
        let to_wire = |given: InvoiceRefund| RefundWire {
            sequence: given.sequence,
            kind: given.kind.as_str().to_owned(),
            amount: given.amount.to_text(currency),
            reference: given.reference,
            credit_note: given.credit_note,
            grant_id: given.grant_id.map(|id| id.to_string()),
            note: given.note,
            at: given.at.to_string(),
            actor_kind: given.actor_kind,
            actor: given.actor,
        };
        Self {
            number: standing.number,
            tenant_id: standing.tenant_id.to_string(),
            currency: currency.to_string(),
            state: standing.state.as_str().to_owned(),
            total: standing.total.to_text(currency),
            granted: standing.granted.to_text(currency),
            paid: standing.paid.to_text(currency),
            credited: standing.credited.to_text(currency),
            due: standing.due.to_text(currency),
            refunded: standing.refunded.to_text(currency),
            owed_to_tenant: standing.owed_to_tenant.to_text(currency),
            due_at: standing.due_at.map(|at| at.to_string()),
            is_overdue: standing.is_overdue,
            events: standing.events.into_iter().map(event).collect(),
            refunds: standing.refunds.into_iter().map(to_wire).collect(),
        }
    }
}

/// A payment to record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPayment)]
struct PaymentWire {
    /// How much: a decimal above zero in the invoice's currency, at most what is due.
    #[schema(min_length = 1, max_length = 20)]
    amount: String,
    /// The bank's or provider's reference: recording it twice is one payment.
    #[schema(min_length = 1, max_length = 255)]
    reference: String,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 500)]
    note: String,
}

/// A refund to record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRefund)]
struct NewRefundWire {
    /// How much: a decimal above zero in the invoice's currency, at most what the tenant is owed.
    #[schema(min_length = 1, max_length = 20)]
    amount: String,
    /// The bank's or provider's reference: recording it twice is one refund.
    #[schema(min_length = 1, max_length = 255)]
    reference: String,
    /// `payout`: money was paid out. `grant`: it is given now, as credit to spend.
    #[serde(default)]
    kind: RefundKindWire,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 500)]
    note: String,
}

/// How a refund reaches the tenant.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RefundKind)]
enum RefundKindWire {
    #[default]
    Payout,
    Grant,
}

impl RefundKindWire {
    fn to_kind(self) -> RefundKind {
        match self {
            Self::Payout => RefundKind::Payout,
            Self::Grant => RefundKind::Grant,
        }
    }
}

/// Why a step is taken.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InvoiceStep)]
struct StepWire {
    /// Why, for people.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// The number in the path. A text with other characters names no invoice.
pub(super) fn number(call: &Call) -> Result<String, ApiError> {
    let number: String = call.path("number")?;
    let is_number =
        number.len() <= 64 && number.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match is_number {
        true => Ok(number),
        false => Err(error::missing("invoice", &number)),
    }
}

/// Show where an issued invoice stands: its state, what is due, and every step.
#[utoipa::path(tag = "invoices", operation_id = "show_invoice_standing",
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 200, description = "The standing", body = StandingWire), ReadFailures))]
#[get("/invoices/{number}/standing")]
async fn show(call: Call) -> Answer {
    let number = number(&call)?;
    let found = call.ledger().invoice_standing(&number, call.now()).await?;
    let standing = found.ok_or_else(|| error::missing("invoice", &number))?;
    Ok(ok(&StandingWire::to_wire(standing)))
}

/// Record a payment, once for each reference. The last one makes the invoice paid.
#[utoipa::path(tag = "invoices", operation_id = "record_payment", request_body = PaymentWire,
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 201, description = "The standing with the payment", body = StandingWire), ChangeFailures))]
#[post("/invoices/{number}/payments")]
async fn pay(call: Call, body: web::Payload) -> Answer {
    call.log_change("invoice.pay");
    let payment: PaymentWire = call.body(body).await?;
    let number = number(&call)?;
    let found = call.ledger().find_invoice(&number).await?;
    let found = found.ok_or_else(|| error::missing("invoice", &number))?;
    let amount = amount("amount", &payment.amount, found.currency)?;
    let new = NewPayment { amount, reference: &payment.reference, note: &payment.note };
    let (standing, _) = call.ledger().record_payment(&number, &new, call.now()).await.map_err(refusal)?;
    Ok(created(&StandingWire::to_wire(standing)))
}

/// Record what was given back of what a tenant is owed, once for each reference: as paid out, or as credit.
#[utoipa::path(tag = "invoices", operation_id = "record_refund", request_body = NewRefundWire,
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 201, description = "The standing with the refund", body = StandingWire), ChangeFailures))]
#[post("/invoices/{number}/refunds")]
async fn refund(call: Call, body: web::Payload) -> Answer {
    call.log_change("invoice.refund");
    let refund: NewRefundWire = call.body(body).await?;
    let number = number(&call)?;
    let found = call.ledger().find_invoice(&number).await?;
    let found = found.ok_or_else(|| error::missing("invoice", &number))?;
    let amount = amount("amount", &refund.amount, found.currency)?;
    let kind = refund.kind.to_kind();
    let new = NewRefund { kind, amount, reference: &refund.reference, note: &refund.note };
    let (standing, _) = call.ledger().record_refund(&number, &new, call.now()).await.map_err(refusal)?;
    Ok(created(&StandingWire::to_wire(standing)))
}

/// Make an invoice void: it never should have been, and what it billed comes onto the next one.
#[utoipa::path(tag = "invoices", operation_id = "void_invoice", request_body = StepWire,
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 200, description = "The standing as it is now", body = StandingWire), ChangeFailures))]
#[post("/invoices/{number}/void")]
async fn void(call: Call, body: web::Payload) -> Answer {
    call.log_change("invoice.void");
    let step: StepWire = call.body(body).await?;
    let number = number(&call)?;
    let standing = call.ledger().void_invoice(&number, &step.reason, call.now()).await.map_err(refusal)?;
    Ok(ok(&StandingWire::to_wire(standing)))
}

/// Note that nobody expects the money of an invoice any more. It may still come.
#[utoipa::path(tag = "invoices", operation_id = "write_off_invoice", request_body = StepWire,
    params(("number" = String, Path, min_length = 1, max_length = 64)),
    responses((status = 200, description = "The standing as it is now", body = StandingWire), ChangeFailures))]
#[post("/invoices/{number}/uncollectible")]
async fn write_off(call: Call, body: web::Payload) -> Answer {
    call.log_change("invoice.write_off");
    let step: StepWire = call.body(body).await?;
    let number = number(&call)?;
    let written_off = call.ledger().write_off_invoice(&number, &step.reason, call.now()).await;
    Ok(ok(&StandingWire::to_wire(written_off.map_err(refusal)?)))
}
