//! Events: what happened that somebody may want to be told of, written in the transaction of its cause.
//! Never sent from here and never changed.
//! Written with balances; read by whoever tells tenants and operators.

use domain::{EventId, Nanos, TenantId, Timestamp};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::sql;
use crate::ledger::{EventKind, Ledger, LedgerError, Transaction, Value, tenants};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its id; later events have larger ones.
    pub id: EventId,
    /// What it is, such as `credit.low`.
    pub kind: String,
    /// When it happened.
    pub at: Timestamp,
    /// What is told of it.
    pub body: Json,
}

impl Ledger {
    /// The first events of a tenant after one; at most `rows_max`.
    ///
    /// Errors: a database that fails.
    pub async fn events_page(
        &self,
        tenant: TenantId,
        after: Option<EventId>,
        rows_max: usize,
    ) -> Result<Vec<Event>, LedgerError> {
        let after = after.map_or(Uuid::nil(), |after| after.as_uuid());
        let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let values = [Value::Id(tenant.as_uuid()), Value::Id(after), Value::Int(rows_max)];
        let mut transaction = self.pool.read().await?;
        let rows: Vec<(Uuid, String, i64, String)> = transaction.rows(sql::EVENTS_PAGE, &values).await?;
        let event = |(id, kind, at, body): (Uuid, String, i64, String)| {
            Ok(Event {
                id: EventId::from_uuid(id),
                kind,
                at: Timestamp::from_unix_micros(at),
                body: serde_json::from_str(&body).map_err(|error| LedgerError::corrupt("event", &error))?,
            })
        };
        rows.into_iter().map(event).collect()
    }
}

/// A balance fell below the threshold at which it should be recharged.
pub(super) async fn low(
    transaction: &mut Transaction,
    tenant: TenantId,
    (left, threshold): (i128, Nanos),
    now: Timestamp,
) -> Result<(), LedgerError> {
    let tenant = tenants::find_by_id(transaction, tenant).await?;
    let money = |nanos| domain::Money::from_nanos(nanos, tenant.currency).to_string();
    let body = json!({
        "tenant_id": tenant.id.to_string(),
        "tenant": tenant.name,
        "currency": tenant.currency.to_string(),
        "balance": money(left),
        "threshold": money(i128::from(threshold.get())),
    });
    insert(transaction, (tenant.id, EventKind::CreditLow), &body, now).await
}

/// Writes an event.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    (tenant, kind): (TenantId, EventKind),
    body: &Json,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let body = body.to_string();
    let values = [
        Value::Id(EventId::generate(now).as_uuid()),
        Value::Id(tenant.as_uuid()),
        Value::Text(kind.as_str()),
        Value::Int(now.unix_micros()),
        Value::Text(&body),
    ];
    transaction.execute(sql::INSERT_EVENT, &values).await.map(drop)
}
