//! Takes what a request needs from the limits: seeds amounts that were never counted, and asks for fewer output
//! tokens where money is short.
//! Never takes more than once: each try before the last took nothing.
//! Called by `Admitter::admit`.

use std::time::Duration;

use billing::{
    plan::Plan,
    rate::{RateError, affordable_output_tokens, hold_embeddings_nanos, hold_nanos},
};
use domain::{ModelName, Nanos, Tokens};

use super::{
    Admitter, Ask, Demand, Exceeded, HOLD_MARGIN, LimitViews, Limiter, Place, Refusal, TakeError, Taken, Used,
};

/// Tries of one request. Each answer of a store names one amount that is short or all that are not seeded, and there
/// are at most twenty places with two amounts; others take money at the same time.
const TRIES_MAX: usize = 48;

/// How long a client waits when what was spent is not known yet.
const UNKNOWN_RETRY: Duration = Duration::from_secs(1);

/// What a request took, and what it may produce for it.
pub(super) struct Granted {
    pub(super) taken: Taken,
    /// Most tokens of each choice.
    pub(super) output_tokens_max: u32,
    /// The most it can be charged.
    pub(super) hold: Nanos,
}

impl Admitter {
    /// Takes from every place, or from none.
    ///
    /// The output bound becomes what the tightest budget or balance affords, if that is at least one token for each
    /// choice. Errors: the limit that has no room, what was spent is not known, the store is away.
    pub(super) async fn take(
        &self,
        plan: &Plan,
        model: &ModelName,
        demand: &Demand,
        places: Vec<Place>,
        mut output_tokens_max: u32,
    ) -> Result<Granted, Refusal> {
        let (nodes, scopes): (Vec<_>, Vec<_>) =
            places.into_iter().map(|Place { node, scope, except }| (node, (scope, except))).unzip();
        let (request_id, tenant_id) = (demand.request_id, demand.tenant_id);
        // Only what it asks for changes from try to try.
        let ttl = demand.time_max + HOLD_MARGIN;
        let mut ask = Ask { request_id, tenant_id, nodes, tokens: 0, hold_nanos: 0, ttl };
        let mut last = None;
        for _ in 0..TRIES_MAX {
            let hold = hold(plan, model, demand, output_tokens_max)?;
            ask.tokens = demand.tokens(output_tokens_max);
            ask.hold_nanos = hold.to_i64().map_err(|_| Refusal::Unpriceable)?;
            match self.limits.take(&ask).await {
                Ok(taken) => return Ok(Granted { taken, output_tokens_max, hold }),
                Err(TakeError::Unseeded(amounts)) => {
                    let spent = self.spending.of(tenant_id, amounts, &ask.nodes, &scopes).await;
                    let spent = spent.map_err(|error| {
                        tracing::warn!(tenant.id = %tenant_id, error = %error, "spending not known");
                        Refusal::LimitsAway { retry_after: UNKNOWN_RETRY }
                    })?;
                    self.limits.seed(tenant_id, &spent).await?;
                }
                Err(TakeError::Exceeded(exceeded, views)) => {
                    let affordable = |left| affordable(plan, model, demand, exceeded.limiter, left);
                    // Once running requests have ended, it may pay for fewer tokens if not for all of them.
                    let is_held =
                        exceeded.unspent > exceeded.remaining && affordable(exceeded.unspent).is_some();
                    let fewer = affordable(exceeded.remaining);
                    let exceeded = if is_held { Box::new(exceeded.wait_for_holds()) } else { exceeded };
                    match fewer {
                        Some(fewer) if fewer < output_tokens_max => output_tokens_max = fewer,
                        Some(_) | None => return Err(Refusal::Limit(exceeded, views)),
                    }
                    last = Some((exceeded, views));
                }
                Err(error @ (TakeError::Repeated | TakeError::Away { .. })) => return Err(error.into()),
            }
        }
        // Others took what was left each time.
        Err(last.map_or(Refusal::LimitsAway { retry_after: UNKNOWN_RETRY }, refusal))
    }
}

fn refusal((exceeded, views): (Box<Exceeded>, LimitViews)) -> Refusal {
    Refusal::Limit(exceeded, views)
}

/// The most that a request can be charged when each choice may have this many tokens.
fn hold(plan: &Plan, model: &ModelName, demand: &Demand, output_tokens_max: u32) -> Result<Nanos, Refusal> {
    if demand.is_for_embeddings {
        return hold_embeddings_nanos(plan, model, demand.prompt_tokens_max)
            .map_err(|error| unbounded(&error));
    }
    let output = u64::from(output_tokens_max).checked_mul(u64::from(demand.choices));
    let output = Tokens::new(output.ok_or(Refusal::Unpriceable)?);
    hold_nanos(plan, model, demand.prompt_tokens_max, output).map_err(|error| unbounded(&error))
}

fn unbounded(error: &RateError) -> Refusal {
    tracing::warn!(error = %error, "a request's charge has no bound");
    Refusal::Unpriceable
}

/// Output tokens of each choice that what is left pays for; `None`: not even one.
fn affordable(
    plan: &Plan,
    model: &ModelName,
    demand: &Demand,
    limiter: Limiter,
    left_nanos: u64,
) -> Option<u32> {
    if !limiter.is_amount() {
        return None;
    }
    let left = Nanos::new(left_nanos);
    if demand.is_for_embeddings {
        // All or nothing: there is no output to have less of.
        let hold = hold_embeddings_nanos(plan, model, demand.prompt_tokens_max).ok()?;
        return (hold <= left).then_some(u32::MAX);
    }
    let output = affordable_output_tokens(plan, model, demand.prompt_tokens_max, left).ok()??;
    let each = output.get().checked_div(u64::from(demand.choices))?;
    Some(u32::try_from(each).unwrap_or(u32::MAX)).filter(|each| *each >= 1)
}

/// What a closed record counts for the limits.
pub fn used(record: &domain::UsageRecord) -> Used {
    let tokens = record.prompt_tokens.get().saturating_add(record.output_tokens.get());
    // A charge beyond what a store counts fills every limit; its hold was refused before it could come to that.
    Used { tokens, charge_nanos: record.charge.to_i64().unwrap_or(i64::MAX) }
}
