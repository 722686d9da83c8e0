//! Takes what is to be done at Stripe from the ledger, does it, and notes what came of it.
//! Never does a step whose lease another gateway has, and never gives one up because Stripe is away.
//! Run beside the server, for as long as the process runs.

use std::{sync::Arc, time::Duration};

use billing::ledger::{LedgerError, StepEnd, StepKind, StripeStep};
use domain::Timestamp;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{CallError, Stripe, Trouble};
use crate::app::App;

/// How often it looks for what is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Nobody else takes a step for this long: longer than the work of one turn and one answer that does not come.
const LEASE: Duration = Duration::from_secs(300);
/// A step that has been worked at for so long goes on in another turn. Together with the longest answer it is well
/// below the lease.
pub(super) const TURN_MAX: Duration = Duration::from_secs(90);
/// Steps taken at once: calls are made one after another all the same.
const STEPS_MAX: u16 = 16;
/// The wait after the first failure; each further one is twice as long.
const RETRY_MIN: Duration = Duration::from_secs(2);
/// The longest wait between two tries.
const RETRY_MAX: Duration = Duration::from_secs(3_600);
/// How long to wait for a call that Stripe is still busy with.
const BUSY_WAIT: Duration = Duration::from_secs(3);

impl Stripe {
    /// Takes every step that is due, and says how many those were.
    ///
    /// Errors: a database that fails.
    pub async fn work(&self, now: Timestamp) -> Result<usize, LedgerError> {
        let steps = self.ledger.claim_stripe_steps((now, after(now, LEASE)), STEPS_MAX).await?;
        let ends = steps.iter().map(|step| async move {
            let end = match self.take(step, now).await {
                Ok(end) => end,
                Err(trouble) => {
                    if matches!(trouble, Trouble::Call(CallError::Stored(_))) {
                        let to = step.generation.saturating_add(1);
                        self.ledger.raise_stripe_generation(step, to).await?;
                    }
                    end_of(step, &trouble, now)
                }
            };
            log(step, &end);
            self.ledger.end_stripe_step(step, &end, now).await
        });
        for ended in join_all(ends).await {
            ended?;
        }
        Ok(steps.len())
    }

    async fn take(&self, step: &StripeStep, now: Timestamp) -> Result<StepEnd, Trouble> {
        match step.kind {
            StepKind::Customer => self.customer(step).await,
            StepKind::Invoice
            | StepKind::Collect
            | StepKind::Settle
            | StepKind::Void
            | StepKind::Uncollectible
            | StepKind::CreditNote => self.invoice(step, now).await,
            StepKind::Observe => self.observe(step, now).await,
            StepKind::Session => self.session(step, now).await,
            StepKind::Refund => self.refund(step, now).await,
        }
    }
}

/// What comes of a step that did not come to its end: what may pass is tried again, the rest is for somebody to see.
fn end_of(step: &StripeStep, trouble: &Trouble, now: Timestamp) -> StepEnd {
    let outcome = trouble.to_string();
    let wait = match trouble {
        Trouble::Call(CallError::Limited(wait)) => *wait,
        Trouble::Call(CallError::Busy) => BUSY_WAIT,
        Trouble::Call(
            CallError::Lost(_) | CallError::Failed(_) | CallError::Stored(_) | CallError::Unauthorized(_),
        )
        | Trouble::Ledger(LedgerError::Database(_) | LedgerError::Unreachable { .. }) => {
            retry_after(step.attempts)
        }
        Trouble::Call(
            CallError::Declined(_) | CallError::Missing | CallError::Refused(_) | CallError::Unreadable(_),
        )
        | Trouble::Ledger(_)
        | Trouble::Stripe(_)
        | Trouble::Park(_) => return StepEnd::Parked { outcome },
    };
    StepEnd::Later { at: after(now, wait), outcome }
}

/// The wait after so many tries.
fn retry_after(attempts: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
    RETRY_MIN.saturating_mul(doubled).min(RETRY_MAX)
}

pub(super) fn after(at: Timestamp, span: Duration) -> Timestamp {
    let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(at.unix_micros().saturating_add(micros))
}

fn log(step: &StripeStep, end: &StepEnd) {
    let (subject, kind, attempt) = (&step.subject, step.kind.as_str(), step.attempts);
    match end {
        StepEnd::Done { outcome, .. } => {
            tracing::info!(stripe.subject = subject, stripe.step = kind, attempt, outcome, "done at Stripe");
        }
        StepEnd::Later { outcome, .. } => {
            tracing::info!(
                stripe.subject = subject,
                stripe.step = kind,
                attempt,
                outcome,
                "not yet done at Stripe"
            );
        }
        StepEnd::Parked { outcome } => {
            tracing::error!(
                stripe.subject = subject,
                stripe.step = kind,
                attempt,
                outcome,
                "parked: somebody has to look, and then `tallygate stripe retry`"
            );
        }
    }
}

/// Works until the process stops. A ledger that is away is asked again.
pub(crate) async fn run(app: Arc<App>, stripe: Arc<Stripe>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
        if let Err(error) = stripe.work(app.clock.now()).await {
            tracing::warn!(%error, "nothing done at Stripe: the ledger does not answer");
        }
    }
}

#[cfg(test)]
mod tests {
    use billing::ledger::StepState;
    use domain::TenantId;

    use super::*;

    fn step(attempts: u32) -> StripeStep {
        StripeStep {
            subject: "TG-000001".to_owned(),
            sequence: 1,
            tenant_id: TenantId::from_uuid(uuid::Uuid::nil()),
            kind: StepKind::Invoice,
            detail: String::new(),
            idempotency_key: "tg-0-TG-000001-1".to_owned(),
            generation: 0,
            state: StepState::Pending,
            attempts,
            due_at: Timestamp::from_unix_micros(0),
            lease_until: Timestamp::from_unix_micros(0),
            outcome: String::new(),
            created_at: Timestamp::from_unix_micros(0),
            ended_at: None,
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_the_rest_is_parked() {
        // Seconds until the next try; nothing: somebody has to look.
        let text = || "x".to_owned();
        let rows = [
            (CallError::Lost("not in time"), Some(8)),
            (CallError::Failed(503), Some(8)),
            (CallError::Stored(500), Some(8)),
            (CallError::Unauthorized(401), Some(8)),
            (CallError::Limited(Duration::from_secs(77)), Some(77)),
            (CallError::Busy, Some(3)),
            (CallError::Missing, None),
            (CallError::Refused(text()), None),
            (CallError::Declined(text()), None),
            (CallError::Unreadable(text()), None),
        ];
        let now = Timestamp::from_unix_micros(5_000_000);
        for (error, expected) in rows {
            let found = match end_of(&step(3), &Trouble::Call(error.clone()), now) {
                StepEnd::Later { at, .. } => Some(at.unix_micros() / 1_000_000 - 5),
                StepEnd::Parked { .. } => None,
                StepEnd::Done { .. } => Some(-1),
            };
            assert_eq!(found, expected, "{error}");
        }
        let away = Trouble::Ledger(LedgerError::OtherDatabase("x"));
        assert!(matches!(end_of(&step(1), &away, now), StepEnd::Parked { .. }));
    }

    #[test]
    fn waits_double_up_to_an_hour() {
        let seconds: Vec<_> =
            [1, 2, 3, 11, 12, 13, u32::MAX].map(|tries| retry_after(tries).as_secs()).into();
        assert_eq!(seconds, [2, 4, 8, 2_048, 3_600, 3_600, 3_600]);
    }
}
