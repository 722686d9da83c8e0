//! `/admin/v1/tenants/{tenant_id}/credit-terms`, `/transfers`, `/events` and the payments of one request.
//! Never changes a transfer: they are what records and grants came to.
//! Registered by `admin::resources`.

use actix_web::{get, put, web};
use billing::ledger::{CreditTerms, Event, Overage, StoredTransfer, TracePart};
use domain::{EventId, Nanos, RequestId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::{ChangeFailures, ReadFailures},
    page::{Page, PageQuery},
};

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(show_terms).service(set_terms).service(transfers).service(payments).service(events);
}

/// What was agreed with a tenant about its credit.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreditTerms)]
struct CreditTermsWire {
    /// What happens to a prepaid tenant when its grants are used up.
    #[serde(default)]
    overage: OverageWire,
    /// Where overage is allowed, how much of it between two invoices, in billionths; null: any amount.
    #[serde(default)]
    #[schema(minimum = 1)]
    overage_nanos: Option<u64>,
    /// An event says when the balance falls below this, once each time; null: none does.
    #[serde(default)]
    #[schema(minimum = 1)]
    recharge_below_nanos: Option<u64>,
}

/// What happens when the grants are used up.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Overage)]
enum OverageWire {
    /// Nothing more is served.
    #[default]
    Refuse,
    /// It is served on, and what is consumed beyond the grants is owed by invoice.
    Allow,
}

impl CreditTermsWire {
    /// Errors: an amount of what is refused.
    fn to_terms(&self) -> Result<CreditTerms, crate::http::ApiError> {
        let overage = match (self.overage, self.overage_nanos) {
            (OverageWire::Allow, most) => Overage::Allow(most.map(Nanos::new)),
            (OverageWire::Refuse, None) => Overage::Refuse,
            (OverageWire::Refuse, Some(_)) => {
                let message = "overage_nanos: only where overage is `allow`";
                return Err(crate::http::ApiError::invalid("invalid_value", "overage_nanos", message));
            }
        };
        Ok(CreditTerms { overage, recharge_below: self.recharge_below_nanos.map(Nanos::new) })
    }

    fn to_wire(terms: CreditTerms) -> Self {
        let (overage, overage_nanos) = match terms.overage {
            Overage::Refuse => (OverageWire::Refuse, None),
            Overage::Allow(most) => (OverageWire::Allow, most.map(Nanos::get)),
        };
        Self { overage, overage_nanos, recharge_below_nanos: terms.recharge_below.map(Nanos::get) }
    }
}

/// What moved from one account of a tenant to another.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transfer)]
struct TransferWire {
    /// Its place: 1, 2, 3, … without a gap.
    sequence: u64,
    /// Transfers of one posting were made together.
    posting: u64,
    /// `opening`, `grant`, `take_back`, `usage`, `expiry` or `invoice`.
    cause: String,
    /// When; of an expiry, when the grant expired. RFC 3339, UTC.
    #[schema(format = "date-time")]
    at: String,
    /// `issued`, `overage`, `billed`, `grant:…`, `breakage:…` or `consumed:…`.
    from: String,
    /// As `from`.
    to: String,
    /// In billionths of the tenant's currency.
    amount_nanos: u64,
    /// The grant that it is about.
    #[schema(format = "uuid", required = true)]
    grant_id: Option<String>,
    /// Of usage: the records that it pays for.
    #[schema(required = true)]
    records: Option<SpanWire>,
}

/// Records of one journal, one model and one quarter of an hour; those between the first and the last are paid whole.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TransferRecords)]
struct SpanWire {
    /// The journal.
    #[schema(format = "uuid")]
    journal_id: String,
    /// The quarter of an hour in which the requests ended, in quarters since 1970.
    unix_quarter: i64,
    /// The first record's place in the journal.
    first_sequence: u64,
    /// The last one's.
    last_sequence: u64,
    /// How many there are.
    count: u64,
    /// How much of what the first was charged is in this transfer.
    first_part_nanos: u64,
    /// The same of the last.
    last_part_nanos: u64,
}

impl TransferWire {
    fn to_wire(stored: &StoredTransfer) -> Self {
        let transfer = &stored.transfer;
        let records = transfer.span.zip(stored.journal_id).map(|(span, journal_id)| SpanWire {
            journal_id: journal_id.to_string(),
            unix_quarter: span.quarter,
            first_sequence: span.first,
            last_sequence: span.last,
            count: span.records,
            first_part_nanos: span.first_part.get(),
            last_part_nanos: span.last_part.get(),
        });
        Self {
            sequence: stored.sequence,
            posting: stored.posting,
            cause: stored.cause.as_str().to_owned(),
            at: stored.at.to_string(),
            from: transfer.from.to_string(),
            to: transfer.to.to_string(),
            amount_nanos: transfer.amount.get(),
            grant_id: transfer.grant.map(|grant| grant.to_string()),
            records,
        }
    }
}

/// Who paid what of a request's charge.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RequestPayments)]
struct PaymentsWire {
    /// The parts; none where it was charged nothing or came before the first grant.
    data: Vec<PartWire>,
}

/// A part of what a request was charged.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RequestPayment)]
struct PartWire {
    /// The transfer it is in.
    transfer_sequence: u64,
    /// The grant that paid; null: it is owed by invoice.
    #[schema(format = "uuid", required = true)]
    grant_id: Option<String>,
    /// In billionths of the tenant's currency.
    amount_nanos: u64,
}

impl PartWire {
    fn to_wire(part: &TracePart) -> Self {
        Self {
            transfer_sequence: part.sequence,
            grant_id: part.grant.map(|grant| grant.to_string()),
            amount_nanos: part.amount.get(),
        }
    }
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
struct EventWire {
    /// Its id.
    #[schema(format = "uuid")]
    id: String,
    /// What it is, such as `credit.low`.
    #[serde(rename = "type")]
    kind: String,
    /// When. RFC 3339, UTC.
    #[schema(format = "date-time")]
    at: String,
    /// What is told of it.
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

impl EventWire {
    fn to_wire(event: Event) -> Self {
        Self { id: event.id.to_string(), kind: event.kind, at: event.at.to_string(), data: event.body }
    }
}

/// Show what was agreed with a tenant about its credit.
#[utoipa::path(tag = "grants", operation_id = "show_credit_terms",
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The terms", body = CreditTermsWire), ReadFailures))]
#[get("/tenants/{tenant_id}/credit-terms")]
async fn show_terms(call: Call) -> Answer {
    let tenant = call.tenant().await?;
    Ok(ok(&CreditTermsWire::to_wire(call.ledger().credit_terms(tenant.id).await?)))
}

/// Set all that is agreed with a tenant about its credit, at once.
#[utoipa::path(tag = "grants", operation_id = "set_credit_terms", request_body = CreditTermsWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The terms as they are now", body = CreditTermsWire), ChangeFailures))]
#[put("/tenants/{tenant_id}/credit-terms")]
async fn set_terms(call: Call, body: web::Payload) -> Answer {
    call.log_change("credit_terms.set");
    let new: CreditTermsWire = call.body(body).await?;
    let terms = new.to_terms()?;
    let tenant = call.tenant().await?;
    call.ledger().set_credit_terms(tenant.id, terms, call.now()).await?;
    Ok(ok(&CreditTermsWire::to_wire(call.ledger().credit_terms(tenant.id).await?)))
}

/// List what moved from which account of a tenant to which, oldest first.
#[utoipa::path(tag = "grants", operation_id = "list_transfers",
    params(("tenant_id" = String, Path, format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of transfers", body = Page<TransferWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/transfers")]
async fn transfers(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.after::<u64>()?;
    let tenant = call.tenant().await?;
    let found = call.ledger().transfers_page(tenant.id, after, page.limit.get() + 1).await?;
    let found = found.iter().map(TransferWire::to_wire).collect();
    Ok(ok(&Page::cut(found, page.limit, |transfer: &TransferWire| transfer.sequence.to_string())))
}

/// Say which grants paid for one request, and how much each.
#[utoipa::path(tag = "grants", operation_id = "show_request_payments",
    params(("tenant_id" = String, Path, format = "uuid"), ("request_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "Who paid", body = PaymentsWire), ReadFailures))]
#[get("/tenants/{tenant_id}/records/{request_id}/payments")]
async fn payments(call: Call) -> Answer {
    let request: RequestId = call.path("request_id")?;
    let tenant = call.tenant().await?;
    let parts = call.ledger().trace(tenant.id, request).await?;
    Ok(ok(&PaymentsWire { data: parts.iter().map(PartWire::to_wire).collect() }))
}

/// List what happened to a tenant that somebody may want to be told of, oldest first.
#[utoipa::path(tag = "grants", operation_id = "list_events",
    params(("tenant_id" = String, Path, format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of events", body = Page<EventWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/events")]
async fn events(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.after::<EventId>()?;
    let tenant = call.tenant().await?;
    let found = call.ledger().events_page(tenant.id, after, page.limit.get() + 1).await?;
    let found = found.into_iter().map(EventWire::to_wire).collect();
    Ok(ok(&Page::cut(found, page.limit, |event: &EventWire| event.id.clone())))
}
