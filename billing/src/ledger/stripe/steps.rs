//! The outbox: what is to be done at Stripe, under a lease, and how it went.
//! Never a call: whoever has the lease makes it and says what came of it.
//! Called by the gateway's worker; shown and set going again by operators.

use std::str::FromStr;

use domain::{TenantId, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::{Ledger, LedgerError, Transaction, Value, lock_numbers, read_back, sql};
use crate::ledger::{EventKind, insert_event};

/// Longest account of what came of a step. Unit: characters.
const OUTCOME_LENGTH_MAX: usize = 1_000;

/// What a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Make a tenant's customer, and say there what the tenant's details say.
    Customer,
    /// Make an invoice and finalize it.
    Invoice,
    /// Charge for it, or send it.
    Collect,
    /// Say that it was paid elsewhere.
    Settle,
    /// Make it void.
    Void,
    /// Write it off.
    Uncollectible,
    /// Make a credit note.
    CreditNote,
    /// Look how an invoice stands there.
    Observe,
    /// Look what came of a page on which a card is left or something is paid in advance.
    Session,
    /// Look how much of a payment was given back.
    Refund,
}

impl StepKind {
    const ALL: [Self; 10] = [
        Self::Customer,
        Self::Invoice,
        Self::Collect,
        Self::Settle,
        Self::Void,
        Self::Uncollectible,
        Self::CreditNote,
        Self::Observe,
        Self::Session,
        Self::Refund,
    ];

    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Invoice => "invoice",
            Self::Collect => "collect",
            Self::Settle => "settle",
            Self::Void => "void",
            Self::Uncollectible => "uncollectible",
            Self::CreditNote => "credit_note",
            Self::Observe => "observe",
            Self::Session => "session",
            Self::Refund => "refund",
        }
    }
}

impl FromStr for StepKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is nothing that is done at Stripe"))
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// It is still to be done.
    Pending,
    /// It was done.
    Done,
    /// Somebody has to look before it can go on.
    Parked,
}

impl StepState {
    /// The name in SQL and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Parked => "parked",
        }
    }
}

impl FromStr for StepState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found =
            [Self::Pending, Self::Done, Self::Parked].into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("a step is pending, done or parked, not {text:?}"))
    }
}

/// A step with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripeStep {
    /// What it is about: an invoice's number, a tenant's id, an event's id.
    pub subject: String,
    /// Its place among the steps of its subject.
    pub sequence: u64,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What it is for.
    pub kind: StepKind,
    /// A credit note's number; of what Stripe told, the object that it was about.
    pub detail: String,
    /// What the key of each call begins with.
    pub idempotency_key: String,
    /// How often keys were given up.
    pub generation: u32,
    /// Where it stands.
    pub state: StepState,
    /// How often it was begun, this time included.
    pub attempts: u32,
    /// When it is taken next.
    pub due_at: Timestamp,
    /// Until when nobody else takes it.
    pub lease_until: Timestamp,
    /// Why it failed last, or what came of it.
    pub outcome: String,
    /// When it was written down.
    pub created_at: Timestamp,
    /// When it came to its end.
    pub ended_at: Option<Timestamp>,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepEnd {
    /// It was done.
    Done {
        /// What came of it.
        outcome: String,
        /// What is to be done next of the same subject.
        then: Option<StepKind>,
    },
    /// It is tried again.
    Later {
        /// When.
        at: Timestamp,
        /// Why.
        outcome: String,
    },
    /// Somebody has to look.
    Parked {
        /// Why.
        outcome: String,
    },
}

#[derive(sqlx::FromRow)]
struct StepRow {
    subject: String,
    sequence: i64,
    tenant_id: Uuid,
    kind: String,
    detail: String,
    idempotency_key: String,
    generation: i64,
    state: String,
    attempts: i64,
    due_unix_us: i64,
    lease_unix_us: i64,
    outcome: String,
    created_unix_us: i64,
    ended_unix_us: Option<i64>,
}

fn number<T: TryFrom<i64, Error: std::fmt::Display>>(number: i64) -> Result<T, LedgerError> {
    T::try_from(number).map_err(|error| LedgerError::corrupt("number", &error))
}

impl StripeStep {
    fn from_row(row: StepRow) -> Result<Self, LedgerError> {
        Ok(Self {
            subject: row.subject,
            sequence: number(row.sequence)?,
            tenant_id: TenantId::from_uuid(row.tenant_id),
            kind: read_back("kind of step", &row.kind)?,
            detail: row.detail,
            idempotency_key: row.idempotency_key,
            generation: number(row.generation)?,
            state: read_back("state of a step", &row.state)?,
            attempts: number(row.attempts)?,
            due_at: Timestamp::from_unix_micros(row.due_unix_us),
            lease_until: Timestamp::from_unix_micros(row.lease_unix_us),
            outcome: row.outcome,
            created_at: Timestamp::from_unix_micros(row.created_unix_us),
            ended_at: row.ended_unix_us.map(Timestamp::from_unix_micros),
        })
    }

    fn place(&self) -> [Value<'_>; 3] {
        let sequence = i64::try_from(self.sequence).unwrap_or(i64::MAX);
        [Value::Text(&self.subject), Value::Int(sequence), Value::Int(self.lease_until.unix_micros())]
    }
}

impl Ledger {
    /// Takes steps that are due, of each subject the first that waits, for whoever asks alone until the lease ends.
    ///
    /// Errors: a database that fails.
    pub async fn claim_stripe_steps(
        &self,
        (now, lease_until): (Timestamp, Timestamp),
        rows_max: u16,
    ) -> Result<Vec<StripeStep>, LedgerError> {
        let mut transaction = self.pool.write().await?;
        let values = [Value::Int(now.unix_micros()), Value::Int(i64::from(rows_max))];
        let rows: Vec<StepRow> = transaction.rows(sql::DUE, &values).await?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            let step = StripeStep::from_row(row)?;
            let attempts = step.attempts.saturating_add(1);
            let step = StripeStep { lease_until, attempts, ..step };
            transaction.execute(sql::LEASE, &step.place()).await?;
            claimed.push(step);
        }
        transaction.commit().await?;
        Ok(claimed)
    }

    /// Gives up the keys of a step: its further calls have others. Says whether the lease was still held.
    ///
    /// Errors: a database that fails.
    pub async fn raise_stripe_generation(&self, step: &StripeStep, to: u32) -> Result<bool, LedgerError> {
        let mut transaction = self.pool.write().await?;
        let [subject, sequence, lease] = step.place();
        let values = [subject, sequence, lease, Value::Int(i64::from(to))];
        let changed = transaction.execute(sql::RAISE_GENERATION, &values).await?;
        transaction.commit().await?;
        Ok(changed > 0)
    }

    /// Notes what came of a step. Who lost the lease meanwhile changes nothing.
    ///
    /// A step that is parked writes an event, once for each time.
    /// Errors: a database that fails.
    pub async fn end_stripe_step(
        &self,
        step: &StripeStep,
        end: &StepEnd,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        // Steps of an invoice are also added where it is paid or made void.
        lock_numbers(&mut transaction).await?;
        let [subject, sequence, lease] = step.place();
        let (StepEnd::Done { outcome, .. } | StepEnd::Later { outcome, .. } | StepEnd::Parked { outcome }) =
            end;
        let outcome: String = outcome.chars().take(OUTCOME_LENGTH_MAX).collect();
        let ended = |state| {
            [
                subject,
                sequence,
                lease,
                Value::Text(state),
                Value::Int(now.unix_micros()),
                Value::Text(&outcome),
            ]
        };
        match end {
            StepEnd::Done { then, .. } => {
                let changed = transaction.execute(sql::END, &ended("done")).await?;
                if let Some(then) = then.filter(|_| changed > 0) {
                    insert(&mut transaction, (&step.subject, step.tenant_id), (then, ""), now).await?;
                }
            }
            StepEnd::Later { at, .. } => {
                let values = [subject, sequence, lease, Value::Int(at.unix_micros()), Value::Text(&outcome)];
                transaction.execute(sql::POSTPONE, &values).await?;
            }
            StepEnd::Parked { .. } => {
                if transaction.execute(sql::END, &ended("parked")).await? > 0 {
                    let body = json!({
                        "tenant_id": step.tenant_id.to_string(),
                        "subject": step.subject,
                        "sequence": step.sequence,
                        "kind": step.kind.as_str(),
                        "reason": outcome,
                    });
                    insert_event(&mut transaction, (step.tenant_id, EventKind::StripeParked), &body, now)
                        .await?;
                }
            }
        }
        transaction.commit().await
    }

    /// Tells, once under a name, that money could not be collected.
    ///
    /// Errors: a database that fails.
    pub async fn tell_payment_failed(
        &self,
        (tenant, number): (TenantId, &str),
        (once, reason): (&str, &str),
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let reason: String = reason.chars().take(OUTCOME_LENGTH_MAX).collect();
        let body = json!({ "tenant_id": tenant.to_string(), "number": number, "reason": reason });
        self.tell_once((tenant, EventKind::PaymentFailed), once, &body, now).await.map(drop)
    }

    /// Lets a parked step go on.
    ///
    /// Errors: there is none, or it is not parked.
    pub async fn retry_stripe_step(
        &self,
        (subject, sequence): (&str, u64),
        now: Timestamp,
    ) -> Result<StripeStep, LedgerError> {
        let place = Value::Int(i64::try_from(sequence).unwrap_or(i64::MAX));
        let mut transaction = self.pool.write().await?;
        let values = [Value::Text(subject), place, Value::Int(now.unix_micros())];
        let changed = transaction.execute(sql::RETRY, &values).await?;
        let row = transaction.find(sql::STEP, &[Value::Text(subject), place]).await?;
        let missing = || LedgerError::Missing { what: "step", name: format!("{subject}:{sequence}") };
        let step = StripeStep::from_row(row.ok_or_else(missing)?)?;
        if changed == 0 {
            let state = step.state.as_str();
            let what = format!("step {subject}:{sequence} is {state}; only a parked one is set going again");
            return Err(LedgerError::StripeConflict { what });
        }
        transaction.commit().await?;
        Ok(step)
    }

    /// The first steps after a place, by subject and place; of one state, or of all.
    pub async fn stripe_steps_page(
        &self,
        state: Option<StepState>,
        after: Option<(&str, u64)>,
        rows_max: usize,
    ) -> Result<Vec<StripeStep>, LedgerError> {
        let (subject, sequence) = after.unwrap_or(("", 0));
        let values = [
            Value::Text(state.map_or("", StepState::as_str)),
            Value::Text(subject),
            Value::Int(i64::try_from(sequence).unwrap_or(i64::MAX)),
            Value::rows_max(rows_max),
        ];
        let mut transaction = self.pool.read().await?;
        let rows = transaction.rows(sql::STEPS_PAGE, &values).await?;
        rows.into_iter().map(StripeStep::from_row).collect()
    }
}

/// Writes a step down.
pub(super) async fn insert(
    transaction: &mut Transaction,
    (subject, tenant): (&str, TenantId),
    (kind, detail): (StepKind, &str),
    now: Timestamp,
) -> Result<(), LedgerError> {
    let hex = tenant.as_uuid().simple().to_string();
    let values = [
        Value::Text(subject),
        Value::Id(tenant.as_uuid()),
        Value::Text(kind.as_str()),
        Value::Text(detail),
        Value::Int(now.unix_micros()),
        Value::Text(&hex),
    ];
    transaction.execute(sql::INSERT_STEP, &values).await.map(drop)
}
