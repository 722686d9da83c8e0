//! What is to be delivered, under a lease, and how each try went.
//! Never a body that came back and never a secret in what is kept.
//! Called by the gateway's notifier; read by the command line and the operators' interface.

use domain::{EndpointId, EventId, Timestamp};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{SECRETS_MAX, WebhookSecret, find, sql};
use crate::ledger::{Ledger, LedgerError, Value};

/// Tries that are shown of one delivery.
const ATTEMPTS_MAX: i64 = 20;

/// A delivery that somebody has the lease of.
#[derive(Clone, Debug)]
pub struct DueDelivery {
    /// Where to.
    pub endpoint_id: EndpointId,
    /// What; a message's id, the same at every try.
    pub event_id: EventId,
    /// Where messages are sent.
    pub url: String,
    /// What happened.
    pub kind: String,
    /// When.
    pub at: Timestamp,
    /// What is told of it.
    pub body: Json,
    /// Tries before this one.
    pub attempts: u32,
    /// What signs, the newest first.
    pub secrets: Vec<WebhookSecret>,
    /// Until when nobody else tries.
    pub lease_until: Timestamp,
}

/// How a try went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took. Unit: milliseconds.
    pub duration_ms: u32,
    /// The status that was answered.
    pub status: Option<u16>,
    /// What came of it.
    pub outcome: AttemptOutcome,
    /// When it is tried again. `None`: never.
    pub next_at: Option<Timestamp>,
    /// An endpoint at which nothing was delivered since then is disabled.
    pub disable_since: Timestamp,
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It was accepted: any status from 200 to 299.
    Delivered,
    /// It was answered with another status; a redirect is not followed.
    Refused,
    /// Nothing was answered in time.
    TimedOut,
    /// There was no connection.
    Unreachable,
    /// The name leads to an address that may not be called.
    ForbiddenAddress,
}

impl AttemptOutcome {
    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::ForbiddenAddress => "forbidden_address",
        }
    }
}

/// A delivery as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What.
    pub event_id: EventId,
    /// What happened.
    pub kind: String,
    /// `pending`, `delivered` or `failed`.
    pub state: String,
    /// Tries so far.
    pub attempts: u32,
    /// When it is tried next, of one that waits.
    pub due_at: Timestamp,
    /// The latest tries, newest first.
    pub log: Vec<DeliveryAttempt>,
}

/// A try as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryAttempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took. Unit: milliseconds.
    pub duration_ms: u32,
    /// The status that was answered.
    pub status: Option<u16>,
    /// What came of it.
    pub outcome: String,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    endpoint_id: Uuid,
    event_id: Uuid,
    url: String,
    kind: String,
    at_unix_us: i64,
    body: String,
    attempts: i64,
}

fn number<T: TryFrom<i64, Error: std::fmt::Display>>(number: i64) -> Result<T, LedgerError> {
    T::try_from(number).map_err(|error| LedgerError::corrupt("number", &error))
}

impl Ledger {
    /// Takes deliveries that are due, of each endpoint the first that waits, for whoever asks alone until the lease ends.
    ///
    /// Errors: a database that fails.
    pub async fn claim_deliveries(
        &self,
        (now, lease_until): (Timestamp, Timestamp),
        rows_max: u16,
    ) -> Result<Vec<DueDelivery>, LedgerError> {
        let mut transaction = self.pool.write().await?;
        let values = [Value::Int(now.unix_micros()), Value::Int(i64::from(rows_max))];
        let rows: Vec<DueRow> = transaction.rows(sql::DUE, &values).await?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            let endpoint = Value::Id(row.endpoint_id);
            let lease = [endpoint, Value::Id(row.event_id), Value::Int(lease_until.unix_micros())];
            transaction.execute(sql::LEASE, &lease).await?;
            let asked = [endpoint, Value::Int(now.unix_micros()), Value::Int(i64::from(SECRETS_MAX))];
            let secrets: Vec<(Vec<u8>,)> = transaction.rows(sql::SECRETS, &asked).await?;
            let secret = |(bytes,): (Vec<u8>,)| {
                WebhookSecret::new(bytes).ok_or_else(|| LedgerError::corrupt("webhook secret", &"its length"))
            };
            claimed.push(DueDelivery {
                endpoint_id: EndpointId::from_uuid(row.endpoint_id),
                event_id: EventId::from_uuid(row.event_id),
                url: row.url,
                kind: row.kind,
                at: Timestamp::from_unix_micros(row.at_unix_us),
                body: serde_json::from_str(&row.body)
                    .map_err(|error| LedgerError::corrupt("event", &error))?,
                attempts: number(row.attempts)?,
                secrets: secrets.into_iter().map(secret).collect::<Result<_, _>>()?,
                lease_until,
            });
        }
        transaction.commit().await?;
        Ok(claimed)
    }

    /// Notes how a try went. Who lost the lease meanwhile can only say that it was delivered.
    ///
    /// Errors: a database that fails.
    pub async fn note_attempt(&self, due: &DueDelivery, attempt: &Attempt) -> Result<(), LedgerError> {
        let (endpoint, event) = (Value::Id(due.endpoint_id.as_uuid()), Value::Id(due.event_id.as_uuid()));
        let mut transaction = self.pool.write().await?;
        let tried = [
            endpoint,
            event,
            Value::Int(attempt.at.unix_micros()),
            Value::Int(i64::from(attempt.duration_ms)),
            Value::MaybeInt(attempt.status.map(i64::from)),
            Value::Text(attempt.outcome.as_str()),
        ];
        let is_good = attempt.outcome == AttemptOutcome::Delivered;
        let state = match (is_good, attempt.next_at) {
            (true, _) => "delivered",
            (false, Some(_)) => "pending",
            (false, None) => "failed",
        };
        let next_at = attempt.next_at.unwrap_or(attempt.at);
        let noted = [
            endpoint,
            event,
            Value::Text(state),
            Value::Int(next_at.unix_micros()),
            Value::Int(due.lease_until.unix_micros()),
        ];
        // Its row lock numbers the tries.
        transaction.execute(sql::NOTE, &noted).await?;
        transaction.execute(sql::INSERT_ATTEMPT, &tried).await?;
        if is_good {
            transaction.execute(sql::NOTE_GOOD, &[endpoint]).await?;
        } else {
            let now = Value::Int(attempt.at.unix_micros());
            transaction.execute(sql::NOTE_BAD, &[endpoint, now]).await?;
            let since = Value::Int(attempt.disable_since.unix_micros());
            transaction.execute(sql::DISABLE_FAILING, &[endpoint, now, since]).await?;
        }
        transaction.commit().await
    }

    /// The latest deliveries to an endpoint before an event, newest first, each with its latest tries.
    ///
    /// Errors: no such endpoint.
    pub async fn deliveries_page(
        &self,
        endpoint: EndpointId,
        before: Option<EventId>,
        rows_max: usize,
    ) -> Result<Vec<Delivery>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        find(&mut transaction, endpoint).await?;
        let id = Value::Id(endpoint.as_uuid());
        let before = before.map_or(Uuid::max(), |before| before.as_uuid());
        let values = [id, Value::Id(before), Value::Int(i64::try_from(rows_max).unwrap_or(i64::MAX))];
        let rows: Vec<(Uuid, String, String, i64, i64)> =
            transaction.rows(sql::DELIVERIES_PAGE, &values).await?;
        let mut deliveries = Vec::with_capacity(rows.len());
        for (event, kind, state, attempts, due) in rows {
            let values = [id, Value::Id(event), Value::Int(ATTEMPTS_MAX)];
            let log: Vec<(i64, i64, i64, Option<i64>, String)> =
                transaction.rows(sql::ATTEMPTS, &values).await?;
            let tried = |(attempt, at, duration, status, outcome): (i64, i64, i64, Option<i64>, String)| {
                Ok(DeliveryAttempt {
                    attempt: number(attempt)?,
                    at: Timestamp::from_unix_micros(at),
                    duration_ms: number(duration)?,
                    status: status.map(number).transpose()?,
                    outcome,
                })
            };
            deliveries.push(Delivery {
                event_id: EventId::from_uuid(event),
                kind,
                state,
                attempts: number(attempts)?,
                due_at: Timestamp::from_unix_micros(due),
                log: log.into_iter().map(tried).collect::<Result<_, LedgerError>>()?,
            });
        }
        Ok(deliveries)
    }

    /// Delivers an event to an endpoint once more, with the same id.
    ///
    /// Errors: it was never to be delivered there.
    pub async fn resend_delivery(
        &self,
        endpoint: EndpointId,
        event: EventId,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        let values =
            [Value::Id(endpoint.as_uuid()), Value::Id(event.as_uuid()), Value::Int(now.unix_micros())];
        if transaction.execute(sql::RESEND, &values).await? == 0 {
            return Err(LedgerError::Missing { what: "delivery of event", name: event.to_string() });
        }
        transaction.execute(sql::COUNT_RESEND, &[Value::Id(endpoint.as_uuid())]).await?;
        transaction.commit().await
    }
}
