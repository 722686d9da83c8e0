//! What one tenant has used of its limits, and what its running requests hold.
//! Never reads a clock and never locks: time is an argument, the store holds the lock.
//! Called by the store in this process, in one lock for each act.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use domain::{RequestId, Timestamp};

use super::super::{
    EXPIRED_MEMORY,
    ask::{AmountKey, Ask, Holds, Node, NodeId, OpenHold, Used, costs},
    exceeded::{Exceeded, LimitViews},
    verdict::{self, Rest},
};
use crate::admit::bucket::Bucket;

/// Why nothing was taken.
#[derive(Debug)]
pub(super) enum Refused {
    Exceeded(Box<Exceeded>, LimitViews),
    Unseeded(Vec<AmountKey>),
    Repeated,
}

/// Time as an act sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) micros: u64,
    pub(super) time_of_day: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct TenantState {
    /// One for each node that asked; nodes are made by operators, so their number is theirs to bound.
    nodes: HashMap<NodeId, NodeState>,
    amounts: HashMap<AmountKey, Amount>,
    holds: HashMap<RequestId, Hold>,
    /// Holds that ran out, each for [`EXPIRED_MEMORY`]: a late settlement still counts its charge.
    expired: HashMap<RequestId, Hold>,
    /// Places among the running, by the nodes they count at.
    places: HashMap<RequestId, Arc<[Node]>>,
    due: BTreeSet<(u64, Due, RequestId)>,
}

#[derive(Debug, Default)]
struct NodeState {
    /// In the order of `LimitSet::quotas`.
    buckets: [Bucket; 3],
    running: u64,
}

/// Sums fit: each part is an `i64`.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    spent: i128,
    held: i128,
    /// When nothing can ask for it any more. Unit: microseconds since the epoch.
    ends_at: Option<i64>,
}

#[derive(Clone, Debug)]
struct Hold {
    nodes: Arc<[Node]>,
    tokens: u64,
    nanos: i64,
    taken_at_us: u64,
    /// When it expires; once it has, when it is forgotten.
    until_us: u64,
}

/// What happens to a request when its time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    ExpireHold,
    ExpirePlace,
    Forget,
}

impl TenantState {
    /// Takes all of it, or nothing.
    pub(super) fn take(&mut self, ask: &Ask, moment: Moment) -> Result<LimitViews, Refused> {
        let now_us = moment.micros;
        self.sweep(now_us);
        let id = ask.request_id;
        if self.holds.contains_key(&id) || self.expired.contains_key(&id) || self.places.contains_key(&id) {
            return Err(Refused::Repeated);
        }
        self.drain(&ask.nodes, now_us);
        if let Some(exceeded) = self.find_full(ask) {
            return Err(Refused::Exceeded(Box::new(exceeded), self.views(&ask.nodes)));
        }
        let amounts = ask.nodes.iter().flat_map(Node::amounts);
        let unseeded: Vec<_> =
            amounts.map(|(key, _)| key).filter(|key| !self.amounts.contains_key(key)).collect();
        if !unseeded.is_empty() {
            return Err(Refused::Unseeded(unseeded));
        }
        self.note_ends(&ask.nodes);
        if let Some(exceeded) = self.find_unaffordable(ask, moment.time_of_day) {
            return Err(Refused::Exceeded(Box::new(exceeded), self.views(&ask.nodes)));
        }
        self.keep(ask, now_us);
        Ok(self.views(&ask.nodes))
    }

    fn drain(&mut self, nodes: &[Node], now_us: u64) {
        for node in nodes {
            if !self.nodes.contains_key(&node.id) {
                self.nodes.insert(node.id.clone(), NodeState::default());
            }
            let Some(state) = self.nodes.get_mut(&node.id) else { continue };
            for (bucket, quota) in state.buckets.iter_mut().zip(node.limits.quotas()) {
                if let Some(quota) = quota {
                    bucket.drain(quota, now_us);
                }
            }
        }
    }

    /// The first limit over time or on places without room.
    fn find_full(&self, ask: &Ask) -> Option<Exceeded> {
        let pairs = ask.nodes.iter().filter_map(|node| Some((node, self.nodes.get(&node.id)?)));
        pairs
            .into_iter()
            .find_map(|(node, state)| verdict::find_full(node, &state.buckets, state.running, ask.tokens))
    }

    fn note_ends(&mut self, nodes: &[Node]) {
        for (key, limit) in nodes.iter().flat_map(Node::amounts) {
            if let Some(amount) = self.amounts.get_mut(&key) {
                amount.ends_at = limit.resets_at.map(Timestamp::unix_micros);
            }
        }
    }

    /// The first amount that does not have what the request may cost.
    fn find_unaffordable(&self, ask: &Ask, now: Timestamp) -> Option<Exceeded> {
        let cost = ask.hold_nanos.max(0);
        ask.nodes.iter().find_map(|node| {
            node.amounts().find_map(|(key, limit)| {
                let amount = self.amounts.get(&key)?;
                let remaining = i128::from(limit.limit_nanos.max(0)) - amount.spent - amount.held;
                (i128::from(cost) > remaining)
                    .then_some(Rest { remaining, held: amount.held })
                    .map(|rest| verdict::unaffordable(node, limit, rest, cost, now))
            })
        })
    }

    fn keep(&mut self, ask: &Ask, now_us: u64) {
        for node in &ask.nodes {
            if let Some(state) = self.nodes.get_mut(&node.id) {
                for ((bucket, quota), cost) in
                    state.buckets.iter_mut().zip(node.limits.quotas()).zip(costs(ask.tokens))
                {
                    // An unlimited node counts nothing but what runs: a bucket that never drains must not fill.
                    if let Some(quota) = quota {
                        bucket.take(quota, cost);
                    }
                }
                state.running += 1;
            }
            for (key, _) in node.amounts() {
                if let Some(amount) = self.amounts.get_mut(&key) {
                    amount.held += i128::from(ask.hold_nanos.max(0));
                }
            }
        }
        let nodes: Arc<[Node]> = ask.nodes.clone().into();
        let until_us = now_us.saturating_add(micros(ask.ttl));
        self.due.insert((until_us, Due::ExpireHold, ask.request_id));
        self.due.insert((until_us, Due::ExpirePlace, ask.request_id));
        self.places.insert(ask.request_id, Arc::clone(&nodes));
        let hold =
            Hold { nodes, tokens: ask.tokens, nanos: ask.hold_nanos.max(0), taken_at_us: now_us, until_us };
        self.holds.insert(ask.request_id, hold);
    }

    fn views(&self, nodes: &[Node]) -> LimitViews {
        let mut views = LimitViews::default();
        for node in nodes {
            if let Some(state) = self.nodes.get(&node.id) {
                verdict::show(&mut views, node, &state.buckets);
            }
        }
        views
    }

    /// Says what was spent of amounts that nobody has said it of yet.
    pub(super) fn seed(&mut self, spent: &[(AmountKey, i64)]) {
        for (key, nanos) in spent {
            let fresh = Amount { spent: i128::from((*nanos).max(0)), ..Amount::default() };
            self.amounts.entry(key.clone()).or_insert(fresh);
        }
    }

    /// Replaces a hold by what was used. In neither memory: it was settled before.
    pub(super) fn settle(&mut self, id: RequestId, used: Used, now_us: u64) {
        let charge = i128::from(used.charge_nanos.max(0));
        if let Some(hold) = self.holds.remove(&id) {
            self.due.remove(&(hold.until_us, Due::ExpireHold, id));
            self.each_amount(&hold, |amount| {
                amount.held -= i128::from(hold.nanos);
                amount.spent += charge;
            });
            self.give_back(&hold, [0, hold.tokens.saturating_sub(used.tokens), 0], now_us);
        } else if let Some(hold) = self.expired.remove(&id) {
            self.due.remove(&(hold.until_us, Due::Forget, id));
            self.each_amount(&hold, |amount| amount.spent += charge);
        }
    }

    /// Gives a hold back as if the request had never been.
    pub(super) fn void(&mut self, id: RequestId, now_us: u64) {
        if let Some(hold) = self.holds.remove(&id) {
            self.due.remove(&(hold.until_us, Due::ExpireHold, id));
            self.each_amount(&hold, |amount| amount.held -= i128::from(hold.nanos));
            self.give_back(&hold, costs(hold.tokens), now_us);
        } else if let Some(hold) = self.expired.remove(&id) {
            self.due.remove(&(hold.until_us, Due::Forget, id));
        }
    }

    /// Frees a place among the running.
    pub(super) fn free(&mut self, id: RequestId) {
        let Some(nodes) = self.places.remove(&id) else { return };
        for node in nodes.iter() {
            if let Some(state) = self.nodes.get_mut(&node.id) {
                state.running = state.running.saturating_sub(1);
            }
        }
    }

    /// Expires what has been held too long and forgets what expired long ago.
    pub(super) fn sweep(&mut self, now_us: u64) {
        while let Some((_, due, id)) = self.due.first().copied().filter(|(at_us, ..)| *at_us <= now_us) {
            self.due.pop_first();
            match due {
                Due::ExpirePlace => self.free(id),
                Due::Forget => drop(self.expired.remove(&id)),
                Due::ExpireHold => {
                    let Some(mut hold) = self.holds.remove(&id) else { continue };
                    self.each_amount(&hold, |amount| amount.held -= i128::from(hold.nanos));
                    hold.until_us = now_us.saturating_add(micros(EXPIRED_MEMORY));
                    self.due.insert((hold.until_us, Due::Forget, id));
                    self.expired.insert(id, hold);
                }
            }
        }
    }

    /// Forgets windows that ended so long ago that no hold of theirs is remembered.
    pub(super) fn forget_windows(&mut self, now: Timestamp) {
        let oldest =
            now.unix_micros().saturating_sub(i64::try_from(micros(EXPIRED_MEMORY)).unwrap_or(i64::MAX) * 2);
        self.amounts.retain(|_, amount| amount.held != 0 || amount.ends_at.is_none_or(|at| at > oldest));
    }

    pub(super) fn held(&self) -> Holds {
        Holds {
            count: u64::try_from(self.holds.len()).unwrap_or(u64::MAX),
            nanos: self.holds.values().map(|hold| i128::from(hold.nanos)).sum(),
        }
    }

    pub(super) fn open_holds(&self, after: Option<RequestId>, rows_max: usize, now_us: u64) -> Vec<OpenHold> {
        let mut ids: Vec<_> =
            self.holds.keys().copied().filter(|id| after.is_none_or(|after| *id > after)).collect();
        ids.sort_unstable();
        ids.truncate(rows_max);
        let open = |id: RequestId| {
            let hold = self.holds.get(&id)?;
            Some(OpenHold {
                request_id: id,
                tokens: hold.tokens,
                nanos: hold.nanos,
                age: Duration::from_micros(now_us.saturating_sub(hold.taken_at_us)),
                left: Duration::from_micros(hold.until_us.saturating_sub(now_us)),
            })
        };
        ids.into_iter().filter_map(open).collect()
    }

    fn each_amount(&mut self, hold: &Hold, mut act: impl FnMut(&mut Amount)) {
        for (key, _) in hold.nodes.iter().flat_map(Node::amounts) {
            if let Some(amount) = self.amounts.get_mut(&key) {
                act(amount);
            }
        }
    }

    /// Gives back to the limits over time what was not used, in the order of `LimitSet::quotas`.
    fn give_back(&mut self, hold: &Hold, unused: [u64; 3], now_us: u64) {
        let held_us = now_us.saturating_sub(hold.taken_at_us);
        for node in hold.nodes.iter() {
            let Some(state) = self.nodes.get_mut(&node.id) else { continue };
            let rows = state.buckets.iter_mut().zip(node.limits.quotas());
            for (((bucket, quota), taken), unused) in rows.zip(costs(hold.tokens)).zip(unused) {
                if let Some(quota) = quota {
                    bucket.give_back(quota, taken, unused, held_us);
                }
            }
        }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
