//! What a store says of a node it has looked at: which limit has no room, and what clients are shown.
//! Never counts: the numbers come from whichever store holds them.
//! Called by every store, so that all say the same.

use std::time::Duration;

use domain::Timestamp;

use super::{
    ask::{AmountKind, AmountLimit, Node, RATED, costs},
    exceeded::{Exceeded, LimitViews, Limiter},
};
use crate::admit::bucket::Bucket;

/// How long a concurrency refusal asks the client to wait: about one short answer.
const CONCURRENCY_RETRY: Duration = Duration::from_secs(1);

/// The first limit over time or on places without room.
pub(super) fn find_full(node: &Node, buckets: &[Bucket; 3], running: u64, tokens: u64) -> Option<Exceeded> {
    let rated = buckets.iter().enumerate().find_map(|(index, bucket)| {
        let exceeded = rated(node, index, *bucket, tokens)?;
        (exceeded.retry_after != Some(Duration::ZERO)).then_some(exceeded)
    });
    let no_place =
        || node.limits.concurrency.filter(|limit| running >= *limit).map(|limit| placed(node, limit));
    rated.or_else(no_place)
}

/// What a refusal by a limit over time says; `None` when the node has no such limit.
pub(super) fn rated(node: &Node, index: usize, bucket: Bucket, tokens: u64) -> Option<Exceeded> {
    let (quota, limiter) = (node.limits.quotas().into_iter().nth(index)??, *RATED.get(index)?);
    let cost = *costs(tokens).get(index)?;
    let remaining = bucket.view(quota).remaining;
    let base = blank(node, limiter);
    Some(Exceeded {
        limit: quota.limit,
        remaining,
        unspent: remaining,
        cost,
        retry_after: bucket.wait(quota, cost),
        ..base
    })
}

/// What a refusal for want of a place says.
pub(super) fn placed(node: &Node, limit: u64) -> Exceeded {
    let retry_after = (limit > 0).then_some(CONCURRENCY_RETRY);
    Exceeded { limit, cost: 1, retry_after, ..blank(node, Limiter::Concurrency) }
}

/// How an amount stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// What is left for new requests; below zero when more is spent and held than there is.
    pub(super) remaining: i128,
    /// What running requests hold.
    pub(super) held: i128,
}

/// What a refusal by an amount says. What running requests hold is not spent: if that is what is missing, it may be
/// back in a moment.
pub(super) fn unaffordable(
    node: &Node,
    amount: &AmountLimit,
    rest: Rest,
    cost: i64,
    now: Timestamp,
) -> Exceeded {
    let size = amount.limit_nanos.max(0);
    let retry_after = match amount.kind {
        AmountKind::Balance => None,
        AmountKind::Budget => amount.resets_at.filter(|_| cost <= size).map(|at| {
            let micros = at.unix_micros().saturating_sub(now.unix_micros());
            Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        }),
    };
    let shown = |nanos: i128| u64::try_from(nanos).unwrap_or(0);
    let unspent = rest.remaining + rest.held.max(0);
    let exceeded = Exceeded {
        limit: shown(i128::from(size)),
        remaining: shown(rest.remaining),
        unspent: shown(unspent),
        cost: shown(i128::from(cost)),
        retry_after,
        resets_at: amount.resets_at,
        ..blank(node, amount.kind.limiter())
    };
    if i128::from(cost) <= unspent { exceeded.wait_for_holds() } else { exceeded }
}

/// Takes the limits of a node into what clients are shown.
pub(super) fn show(views: &mut LimitViews, node: &Node, buckets: &[Bucket; 3]) {
    for ((bucket, quota), limiter) in buckets.iter().zip(node.limits.quotas()).zip(RATED) {
        if let Some(quota) = quota {
            views.narrow(limiter, bucket.view(quota));
        }
    }
}

fn blank(node: &Node, limiter: Limiter) -> Exceeded {
    Exceeded {
        limiter,
        scope: node.scope.clone(),
        model: node.model.clone(),
        limit: 0,
        remaining: 0,
        unspent: 0,
        cost: 0,
        retry_after: None,
        resets_at: None,
        is_held: false,
    }
}
