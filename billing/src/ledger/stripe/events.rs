//! What Stripe told, each once, with what is to be looked at because of it.
//! Never what it said of an object: that is asked for when it is looked at, so an old event says nothing wrong.
//! Called by the gateway's webhook for Stripe, in the transaction that keeps the event.

use domain::{TenantId, Timestamp};

use super::{Ledger, LedgerError, StepKind, Value, sql, steps};

/// Longest text kept of an event. Unit: characters.
const TEXT_LENGTH_MAX: usize = 255;

/// What Stripe told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StripeEvent<'a> {
    /// Its id.
    pub id: &'a str,
    /// What happened, such as `invoice.paid`.
    pub kind: &'a str,
    /// To which object.
    pub object_id: &'a str,
    /// When, by Stripe's clock.
    pub made_at: Timestamp,
}

/// What keeping an event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is new.
    New,
    /// It was told before; nothing changed.
    Before,
}

impl Ledger {
    /// Keeps an event, and with it the step to look at what it is about; each event once.
    ///
    /// Errors: a database that fails.
    pub async fn note_stripe_event(
        &self,
        event: &StripeEvent<'_>,
        look: Option<(TenantId, StepKind, &str)>,
        now: Timestamp,
    ) -> Result<Told, LedgerError> {
        let mut transaction = self.pool.write().await?;
        let known: Option<(String,)> = transaction.find(sql::EVENT, &[Value::Text(event.id)]).await?;
        if known.is_some() {
            return Ok(Told::Before);
        }
        let kind: String = event.kind.chars().take(TEXT_LENGTH_MAX).collect();
        let object_id: String = event.object_id.chars().take(TEXT_LENGTH_MAX).collect();
        let values = [
            Value::Text(event.id),
            Value::Text(&kind),
            Value::Text(&object_id),
            Value::Int(event.made_at.unix_micros()),
            Value::Int(now.unix_micros()),
        ];
        match transaction.execute(sql::INSERT_EVENT, &values).await {
            // Another gateway was told at the same time.
            Err(error) if error.is_taken() => return Ok(Told::Before),
            inserted => inserted?,
        };
        if let Some((tenant, kind, detail)) = look {
            // Refunds of one charge are looked at one after another: each takes back what is more than before.
            let subject = if kind == StepKind::Refund { detail } else { event.id };
            steps::insert(&mut transaction, (subject, tenant), (kind, detail), now).await?;
        }
        transaction.commit().await?;
        Ok(Told::New)
    }
}
