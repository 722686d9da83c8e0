//! Webhooks: endpoints that hear of events, their secrets, and what became of each delivery.
//! Never a connection: what is due is handed out under a lease, and how it went is noted.
//! Called by the gateway's notifier, the command line and the operators' interface.

mod alerts;
mod deliveries;
mod sql;

use std::{fmt, str::FromStr};

use domain::{EndpointId, TenantId, Timestamp};
use uuid::Uuid;

pub use alerts::AlertRound;
pub use deliveries::{Attempt, AttemptOutcome, Delivery, DeliveryAttempt, DueDelivery};

use super::{Ledger, LedgerError, Transaction, Value, error::read_back, tenants};

/// Endpoints in all: each event is matched with every one of them.
const ENDPOINTS_MAX: i64 = 1_000;
/// Longest URL. Unit: bytes.
const URL_BYTES_MAX: usize = 2_000;
/// Secrets that sign at the same time: the newest and some that are being replaced.
pub const SECRETS_MAX: u8 = 4;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// What is left of a tenant's credit fell below its threshold.
    CreditLow,
    /// A share of a budget is spent.
    BudgetThreshold,
    /// An invoice was issued.
    InvoiceIssued,
    /// A class met its targets for fewer requests of the month than the plan promises.
    SloBelow,
    /// What an invoice comes to could not be collected.
    PaymentFailed,
    /// Something at Stripe is not as it should be, and waits until somebody has looked.
    StripeParked,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::CreditLow,
        Self::BudgetThreshold,
        Self::InvoiceIssued,
        Self::SloBelow,
        Self::PaymentFailed,
        Self::StripeParked,
    ];

    /// The name in SQL and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreditLow => "credit.low",
            Self::BudgetThreshold => "budget.threshold",
            Self::InvoiceIssued => "invoice.issued",
            Self::SloBelow => "slo.below",
            Self::PaymentFailed => "payment.failed",
            Self::StripeParked => "stripe.parked",
        }
    }
}

impl FromStr for EventKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("an event is one of {names}, not {text:?}")
        })
    }
}

/// A secret that signs messages. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

impl WebhookSecret {
    /// Takes 24 to 64 bytes. `None`: it is shorter or longer.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (24..=64).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The bytes, to sign with or to show once.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// Who is told of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Whose it is. `None`: an operator's, which hears of every tenant.
    pub tenant_id: Option<TenantId>,
    /// Where messages are sent.
    pub url: String,
    /// What it wants to hear of; empty: everything.
    pub kinds: Vec<EventKind>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when nothing is sent.
    pub disabled_at: Option<Timestamp>,
    /// Since when every try failed.
    pub failing_since: Option<Timestamp>,
}

/// An endpoint to make.
#[derive(Clone, Copy, Debug)]
pub struct NewEndpoint<'a> {
    /// Whose it is. `None`: an operator's.
    pub tenant_id: Option<TenantId>,
    /// Where messages are sent; the caller has checked its form.
    pub url: &'a str,
    /// What it wants to hear of; empty: everything.
    pub kinds: &'a [EventKind],
    /// What signs its messages.
    pub secret: &'a WebhookSecret,
}

#[derive(sqlx::FromRow)]
struct EndpointRow {
    endpoint_id: Uuid,
    tenant_id: Option<Uuid>,
    url: String,
    kinds: String,
    created_unix_us: i64,
    disabled_unix_us: Option<i64>,
    failing_since_unix_us: Option<i64>,
}

impl Endpoint {
    fn from_row(row: EndpointRow) -> Result<Self, LedgerError> {
        let kinds = row.kinds.split(',').filter(|kind| !kind.is_empty());
        Ok(Self {
            id: EndpointId::from_uuid(row.endpoint_id),
            tenant_id: row.tenant_id.map(TenantId::from_uuid),
            url: row.url,
            kinds: kinds.map(|kind| read_back("event kind", kind)).collect::<Result<_, _>>()?,
            created_at: Timestamp::from_unix_micros(row.created_unix_us),
            disabled_at: row.disabled_unix_us.map(Timestamp::from_unix_micros),
            failing_since: row.failing_since_unix_us.map(Timestamp::from_unix_micros),
        })
    }
}

impl Ledger {
    /// Makes an endpoint, which hears of what happens from now on.
    ///
    /// Errors: no such tenant, a URL that is too long, more than a thousand endpoints.
    pub async fn add_webhook(&self, new: &NewEndpoint<'_>, now: Timestamp) -> Result<Endpoint, LedgerError> {
        if new.url.is_empty() || new.url.len() > URL_BYTES_MAX {
            let (what, allowed) = ("an endpoint's URL", "1 to 2,000 bytes");
            return Err(LedgerError::BadText { what, allowed });
        }
        let mut transaction = self.pool.write().await?;
        if let Some(tenant) = new.tenant_id {
            tenants::find_by_id(&mut transaction, tenant).await?;
        }
        let (count,): (i64,) = transaction.row(sql::COUNT_ENDPOINTS, &[]).await?;
        if count >= ENDPOINTS_MAX {
            return Err(LedgerError::TooMany { what: "webhook endpoints", max: 1_000 });
        }
        let id = EndpointId::generate(now);
        let mut kinds = new.kinds.to_vec();
        kinds.sort_unstable();
        kinds.dedup();
        let names: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
        let names = names.join(",");
        let values = [
            Value::Id(id.as_uuid()),
            Value::MaybeId(new.tenant_id.map(|tenant| tenant.as_uuid())),
            Value::Text(new.url),
            Value::Text(&names),
            Value::Int(now.unix_micros()),
        ];
        transaction.execute(sql::INSERT_ENDPOINT, &values).await?;
        insert_secret(&mut transaction, id, new.secret, now).await?;
        let endpoint = find(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(endpoint)
    }

    /// The first endpoints after one, by id and so by age; at most `rows_max`.
    pub async fn webhooks_page(
        &self,
        after: Option<EndpointId>,
        rows_max: usize,
    ) -> Result<Vec<Endpoint>, LedgerError> {
        let after = after.map_or(Uuid::nil(), |after| after.as_uuid());
        let values = [Value::Id(after), Value::Int(i64::try_from(rows_max).unwrap_or(i64::MAX))];
        let mut transaction = self.pool.read().await?;
        let rows = transaction.rows(sql::ENDPOINTS_PAGE, &values).await?;
        rows.into_iter().map(Endpoint::from_row).collect()
    }

    /// One endpoint.
    ///
    /// Errors: there is none.
    pub async fn webhook(&self, id: EndpointId) -> Result<Endpoint, LedgerError> {
        let mut transaction = self.pool.read().await?;
        find(&mut transaction, id).await
    }

    /// Gives an endpoint another secret; those before sign beside it until an instant.
    ///
    /// Errors: no such endpoint.
    pub async fn rotate_webhook(
        &self,
        id: EndpointId,
        secret: &WebhookSecret,
        (now, until): (Timestamp, Timestamp),
    ) -> Result<Endpoint, LedgerError> {
        let mut transaction = self.pool.write().await?;
        // Its row lock puts rotations in one order.
        transaction.execute(sql::COUNT_SECRET, &[Value::Id(id.as_uuid())]).await?;
        let endpoint = find(&mut transaction, id).await?;
        let until = Value::Int(until.unix_micros().max(now.unix_micros()));
        transaction.execute(sql::END_SECRETS, &[Value::Id(id.as_uuid()), until]).await?;
        insert_secret(&mut transaction, id, secret, now).await?;
        transaction.commit().await?;
        Ok(endpoint)
    }

    /// Sends nothing to an endpoint from now on; what waits, waits. Doing it twice keeps the first time.
    ///
    /// Errors: no such endpoint.
    pub async fn disable_webhook(&self, id: EndpointId, now: Timestamp) -> Result<Endpoint, LedgerError> {
        let mut transaction = self.pool.write().await?;
        let values = [Value::Id(id.as_uuid()), Value::Int(now.unix_micros())];
        transaction.execute(sql::DISABLE, &values).await?;
        let endpoint = find(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(endpoint)
    }

    /// Sends to an endpoint again, first what waits.
    ///
    /// Errors: no such endpoint.
    pub async fn enable_webhook(&self, id: EndpointId) -> Result<Endpoint, LedgerError> {
        let mut transaction = self.pool.write().await?;
        transaction.execute(sql::ENABLE, &[Value::Id(id.as_uuid())]).await?;
        let endpoint = find(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(endpoint)
    }
}

async fn find(transaction: &mut Transaction, id: EndpointId) -> Result<Endpoint, LedgerError> {
    let row = transaction.find(sql::ENDPOINT, &[Value::Id(id.as_uuid())]).await?;
    let missing = || LedgerError::Missing { what: "webhook endpoint", name: id.to_string() };
    Endpoint::from_row(row.ok_or_else(missing)?)
}

async fn insert_secret(
    transaction: &mut Transaction,
    id: EndpointId,
    secret: &WebhookSecret,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let values = [Value::Id(id.as_uuid()), Value::Bytes(secret.reveal()), Value::Int(now.unix_micros())];
    transaction.execute(sql::INSERT_SECRET, &values).await.map(drop)
}
