//! A tenant's grants, and who paid for each request: a list of heaps of money and a list of what was taken from each.
//! Never an account: balances are counted from the two lists whenever somebody asks.
//! Filled by `known`, read when an invoice or a balance is checked.

use std::collections::BTreeMap;

use domain::UsageRecord;

use crate::act::{GrantAct, Instant};

/// A quarter of an hour.
const QUARTER_US: i64 = 15 * 60 * 1_000_000;

/// A grant above zero.
#[derive(Clone, Debug)]
struct Heap {
    kind: &'static str,
    priority: u8,
    expires: Option<Instant>,
    models: Option<Vec<String>>,
    given_at: Instant,
    given: i128,
    left: i128,
}

/// What was taken for a request, from a heap or from none.
#[derive(Clone, Debug)]
struct Taken {
    heap: Option<usize>,
    ended_at: Instant,
    nanos: i128,
    is_invoiced: bool,
}

/// All of one tenant's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    is_open: bool,
    heaps: Vec<Heap>,
    taken: Vec<Taken>,
    /// What was charged before there was a book.
    before: i128,
    taken_back: i128,
    /// What was taken back that no grant had.
    owed_back: i128,
}

/// What the accounts come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accounts {
    pub(crate) granted: i128,
    pub(crate) charged: i128,
    pub(crate) expired: i128,
    pub(crate) overage: i128,
    pub(crate) left: i128,
    pub(crate) billed: i128,
}

impl Book {
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// When grants end.
    pub(crate) fn expiries(&self) -> impl Iterator<Item = Instant> {
        self.heaps.iter().filter_map(|heap| heap.expires)
    }

    pub(crate) fn open(&mut self) {
        self.is_open = true;
    }

    /// A request was charged: those heaps pay that may, in their order.
    pub(crate) fn spend(&mut self, record: &UsageRecord) {
        let mut rest = i128::from(record.charge.get());
        if !self.is_open {
            self.before += rest;
            return;
        }
        let (began, ended_at) = (record.started_at.unix_micros(), record.finished_at.unix_micros());
        for heap in self.in_order() {
            let own = &mut self.heaps[heap];
            let is_for = own
                .models
                .as_ref()
                .is_none_or(|models| models.iter().any(|one| one == record.model.as_str()));
            if !is_for || own.expires.is_some_and(|end| end <= began) {
                continue;
            }
            let nanos = rest.min(own.left);
            own.left -= nanos;
            rest -= nanos;
            self.take(Some(heap), ended_at, nanos);
        }
        self.take(None, ended_at, rest);
    }

    fn take(&mut self, heap: Option<usize>, ended_at: Instant, nanos: i128) {
        if nanos > 0 {
            self.taken.push(Taken { heap, ended_at, nanos, is_invoiced: false });
        }
    }

    /// Lower priorities first, then what expires first, then the oldest.
    fn in_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.heaps.len()).collect();
        order.sort_by_key(|heap| {
            let heap = &self.heaps[*heap];
            (heap.priority, heap.expires.unwrap_or(Instant::MAX), heap.given_at)
        });
        order
    }

    pub(crate) fn grant(&mut self, grant: &GrantAct) {
        self.open();
        if grant.nanos > 0 {
            let usual = if grant.models.is_some() { 25 } else { 50 };
            self.heaps.push(Heap {
                kind: grant.kind,
                priority: grant.priority.unwrap_or(usual),
                expires: grant.expires,
                models: grant.models.clone(),
                given_at: grant.at,
                given: grant.nanos,
                left: grant.nanos,
            });
            return;
        }
        let mut rest = -grant.nanos;
        self.taken_back += rest;
        for heap in self.in_order() {
            let own = &mut self.heaps[heap];
            // What has expired is breakage, and not there to be taken back.
            if own.expires.is_none_or(|end| grant.at < end) {
                let nanos = rest.min(own.left);
                own.left -= nanos;
                own.given -= nanos;
                rest -= nanos;
            }
        }
        self.owed_back += rest;
    }

    /// What grants paid that an invoice lists, the oldest grant first; an invoice that is issued keeps it.
    ///
    /// Payments are kept by quarters of an hour: one belongs to the period in which its quarter begins.
    pub(crate) fn payments(
        &mut self,
        (start, end): (Instant, Instant),
        issued: &[(Instant, Instant)],
        is_issuing: bool,
    ) -> Vec<(&'static str, i128)> {
        let mut paid: BTreeMap<(Instant, usize), i128> = BTreeMap::new();
        for taken in self.taken.iter_mut().filter(|taken| !taken.is_invoiced) {
            let quarter = taken.ended_at.div_euclid(QUARTER_US) * QUARTER_US;
            let is_late = issued.iter().any(|(start, end)| (*start..*end).contains(&quarter));
            if (start..end).contains(&quarter) || (quarter < start && is_late) {
                if let Some(heap) = taken.heap {
                    *paid.entry((self.heaps[heap].given_at, heap)).or_default() += taken.nanos;
                }
                taken.is_invoiced = is_issuing && self.is_open;
            }
        }
        paid.into_iter().map(|((_, heap), nanos)| (self.heaps[heap].kind, nanos)).collect()
    }

    /// Counts everything, once all that expired by now is booked.
    pub(crate) fn accounts(&self, now: Instant) -> Accounts {
        let is_over = |heap: &&Heap| heap.expires.is_some_and(|end| end <= now);
        let all = |is_wanted: &dyn Fn(&Taken) -> bool| -> i128 {
            self.taken.iter().filter(|taken| is_wanted(taken)).map(|taken| taken.nanos).sum()
        };
        let overage = all(&|taken| taken.heap.is_none() && !taken.is_invoiced) + self.owed_back;
        let expired: i128 = self.heaps.iter().filter(is_over).map(|heap| heap.left).sum();
        let left: i128 = self.heaps.iter().filter(|heap| !is_over(heap)).map(|heap| heap.left).sum();
        let back: i128 = self.taken_back - self.owed_back;
        let given: i128 = self.heaps.iter().map(|heap| heap.given).sum::<i128>() + back;
        Accounts {
            granted: given - self.taken_back,
            charged: self.before + all(&|_| true),
            expired,
            overage,
            left: left - overage,
            billed: self.before + all(&|taken| taken.heap.is_none() && taken.is_invoiced),
        }
    }
}
