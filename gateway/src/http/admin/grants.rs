//! `/admin/v1/tenants/{tenant_id}/grants` and `/balance`: what a tenant was given and what is left of it.
//! Never gives twice: a grant has a key of its caller's, and the same key is the same grant.
//! Registered by `admin::resources`.

use std::collections::BTreeSet;

use actix_web::{get, post, web};
use billing::ledger::{Grant, GrantKind, Granted, NewGrant};
use domain::{GrantId, ModelName, Money};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, created, ok},
    error::{ChangeFailures, ReadFailures},
    keys::instant,
    page::{Page, PageQuery},
};
use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes.service(list).service(add).service(balance);
}

/// Money given to a tenant, or taken back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Grant)]
struct GrantWire {
    /// Its id.
    #[schema(format = "uuid")]
    id: String,
    /// Who got it.
    #[schema(format = "uuid")]
    tenant_id: String,
    /// How much, in billionths of the currency's unit; below zero it takes back.
    amount_nanos: i64,
    /// What the amount is in.
    currency: String,
    /// What makes giving it twice one grant.
    idempotency_key: String,
    /// Why, for people.
    note: String,
    /// Where the money comes from.
    kind: KindWire,
    /// Grants with lower ones are used first; of equal ones the one that expires first, then the oldest.
    priority: u8,
    /// From when on it pays for nothing new; null: it has no end. RFC 3339, UTC.
    #[schema(format = "date-time", required = true)]
    expires_at: Option<String>,
    /// The only models it pays for; null: all.
    #[schema(required = true)]
    models: Option<Vec<String>>,
    /// When. RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
}

impl GrantWire {
    fn to_wire(grant: &Grant) -> Self {
        Self {
            id: grant.id.to_string(),
            tenant_id: grant.tenant_id.to_string(),
            amount_nanos: nanos(grant.amount),
            currency: grant.amount.currency().to_string(),
            idempotency_key: grant.idempotency_key.clone(),
            note: grant.note.clone(),
            kind: KindWire::to_wire(grant.kind),
            priority: grant.priority,
            expires_at: grant.expires_at.map(|at| at.to_string()),
            models: grant.models.as_ref().map(|models| models.iter().map(ToString::to_string).collect()),
            created_at: grant.created_at.to_string(),
        }
    }
}

/// Where the money of a grant comes from.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = GrantKind)]
enum KindWire {
    /// It was paid for.
    #[default]
    Paid,
    /// It was given away.
    Promotional,
    /// It was given back.
    Refund,
}

impl KindWire {
    fn to_kind(self) -> GrantKind {
        match self {
            Self::Paid => GrantKind::Paid,
            Self::Promotional => GrantKind::Promotional,
            Self::Refund => GrantKind::Refund,
        }
    }

    fn to_wire(kind: GrantKind) -> Self {
        match kind {
            GrantKind::Paid => Self::Paid,
            GrantKind::Promotional => Self::Promotional,
            GrantKind::Refund => Self::Refund,
        }
    }
}

/// A grant to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewGrant)]
struct NewGrantWire {
    /// How much, in billionths of the tenant's currency; below zero it takes back. Not zero.
    amount_nanos: i64,
    /// What makes giving it twice one grant.
    #[schema(min_length = 1, max_length = 255)]
    idempotency_key: String,
    /// Why, for people.
    #[serde(default)]
    #[schema(max_length = 500)]
    note: String,
    /// Where the money comes from.
    #[serde(default)]
    kind: KindWire,
    /// Grants with lower ones are used first: 0 to 49 with models, 50 to 99 without. Left out: 25, or 50.
    #[serde(default)]
    #[schema(maximum = 99)]
    priority: Option<u8>,
    /// From when on it pays for nothing new, such as 2027-01-31T00:00:00Z. Left out: it has no end.
    #[serde(default)]
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// The only models it pays for. Left out: all.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 16)]
    models: Option<BTreeSet<ModelName>>,
}

/// What a tenant was given and what it was charged, ever. In billionths of the currency's unit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Balance)]
struct BalanceWire {
    /// What the amounts are in.
    currency: String,
    /// All grants together.
    granted_nanos: i64,
    /// All charges that have reached the ledger.
    charged_nanos: i64,
    /// What was left of grants when they expired.
    expired_nanos: i64,
    /// What was charged beyond the grants and is on no invoice yet.
    overage_nanos: i64,
    /// What was charged without a grant and is owed by invoice: before the first grant, or beyond the grants.
    billed_nanos: i64,
    /// What is left of the grants, less what was charged beyond them; may be below zero.
    left_nanos: i64,
}

/// Sums that the ledger keeps in 64 bits, and their difference.
fn nanos(amount: Money) -> i64 {
    i64::try_from(amount.nanos()).unwrap_or(if amount.nanos() < 0 { i64::MIN } else { i64::MAX })
}

/// List a tenant's grants, oldest first.
#[utoipa::path(tag = "grants", operation_id = "list_grants",
    params(("tenant_id" = String, Path, format = "uuid"), PageQuery),
    responses((status = 200, description = "A page of grants", body = Page<GrantWire>), ReadFailures))]
#[get("/tenants/{tenant_id}/grants")]
async fn list(call: Call) -> Answer {
    let page: PageQuery = call.query()?;
    let after = page.after::<GrantId>()?;
    let tenant = call.tenant().await?;
    let grants = call.ledger().grants_page(tenant.id, after, page.limit.get() + 1).await?;
    let grants = grants.iter().map(GrantWire::to_wire).collect();
    Ok(ok(&Page::cut(grants, page.limit, |grant| grant.id.clone())))
}

/// Add a grant. The same key with all the same changes nothing and answers 200.
#[utoipa::path(tag = "grants", operation_id = "add_grant", request_body = NewGrantWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 201, description = "The new grant", body = GrantWire),
              (status = 200, description = "It was there before", body = GrantWire),
              ChangeFailures))]
#[post("/tenants/{tenant_id}/grants")]
async fn add(call: Call, body: web::Payload) -> Answer {
    call.log_change("grant.add");
    let new: NewGrantWire = call.body(body).await?;
    for (name, text) in [("idempotency_key", &new.idempotency_key), ("note", &new.note)] {
        if text.chars().any(char::is_control) {
            let message = format!("{name}: printable characters are needed");
            return Err(ApiError::invalid("invalid_value", name, message));
        }
    }
    let tenant = call.tenant().await?;
    let amount = Money::from_nanos(i128::from(new.amount_nanos), tenant.currency);
    let stored = NewGrant {
        kind: new.kind.to_kind(),
        priority: new.priority,
        expires_at: instant(new.expires_at.as_deref())?,
        models: new.models.as_ref(),
        ..NewGrant::paid(amount, &new.idempotency_key, &new.note)
    };
    let (grant, granted) = call.ledger().add_grant(tenant.id, &stored, call.now()).await?;
    let wire = GrantWire::to_wire(&grant);
    Ok(match granted {
        Granted::New => created(&wire),
        Granted::Already => ok(&wire),
    })
}

/// Show what a tenant was given, what it was charged, and what is left.
#[utoipa::path(tag = "grants", operation_id = "show_balance",
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "The balance", body = BalanceWire), ReadFailures))]
#[get("/tenants/{tenant_id}/balance")]
async fn balance(call: Call) -> Answer {
    let tenant = call.tenant().await?;
    let found = call.ledger().balance(tenant.id).await?;
    Ok(ok(&BalanceWire {
        currency: tenant.currency.to_string(),
        granted_nanos: nanos(found.granted),
        charged_nanos: nanos(found.charged),
        expired_nanos: nanos(found.expired),
        overage_nanos: nanos(found.overage),
        billed_nanos: nanos(found.billed),
        left_nanos: nanos(found.left()),
    }))
}
