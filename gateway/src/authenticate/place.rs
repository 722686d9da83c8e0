//! The places that a key's requests count at: its tenant, the projects it is in, the key itself.
//! Never a decision: `admit` enforces what is said here.
//! Made with every snapshot, shared by all keys below a place.

use std::collections::BTreeMap;

use billing::{
    credit::BalanceRule,
    ledger::{BillingMode, Budget, LimitScope, Limits},
};
use domain::{BudgetWindow, ModelName, Timestamp};
use jiff::tz::TimeZone;

use super::{Credential, Tenant};
use crate::admit::{AmountKind, AmountLimit, LimitSet, Node, NodeId, Place, Scope};

/// The window of what was paid in advance: all time.
const EVER: BudgetWindow = BudgetWindow { start: Timestamp::from_unix_micros(0), end: None };

/// A place and all its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitPlace {
    /// Its name in the stores of limits.
    id: NodeId,
    /// Which place. Of a key: the first of its line, whose limits and budget all that took its place share.
    pub scope: LimitScope,
    /// What people call it: the tenant's name, the project's path, the key's name.
    pub name: String,
    /// Limits over all models together.
    pub limits: Limits,
    /// Further limits, each over one model.
    pub limits_by_model: BTreeMap<ModelName, Limits>,
}

impl LimitPlace {
    /// A place without limits.
    pub(super) fn new(scope: LimitScope, name: &str) -> Self {
        let id = match &scope {
            LimitScope::Tenant => NodeId::tenant(),
            LimitScope::Project(project) => NodeId::project(project.as_uuid()),
            LimitScope::Key(key) => NodeId::key(key),
        };
        let (limits, limits_by_model) = (Limits::default(), BTreeMap::new());
        Self { id, scope, name: name.to_owned(), limits, limits_by_model }
    }

    /// Where a request for this model counts here: with all models, and with its own where that has limits.
    pub(super) fn nodes(
        &self,
        tenant: &Tenant,
        model: &ModelName,
        now: Timestamp,
    ) -> impl Iterator<Item = Place> {
        let zone = &tenant.zone;
        let mut all = limit_set(&self.limits, now, zone);
        let mut partial = Vec::new();
        if self.scope == LimitScope::Tenant && tenant.terms.billing == BillingMode::Prepaid {
            let rules = tenant.balance.iter().filter(|rule| !rule.except.contains(model));
            for rule in rules {
                match rule.except.as_slice() {
                    [] => all.amounts.push(balance(rule, now)),
                    except => partial.push(self.balance_place(rule, except, now)),
                }
            }
        }
        let own = self.limits_by_model.get(model).map(|limits| {
            self.place(self.id.for_model(model), Some(model.clone()), limit_set(limits, now, zone))
        });
        // What is paid in advance for other models leaves less for this one.
        [self.place(self.id.clone(), None, all)].into_iter().chain(own).chain(partial)
    }

    /// Where requests count that cannot use what was granted for these models.
    fn balance_place(&self, rule: &BalanceRule, except: &[ModelName], now: Timestamp) -> Place {
        let limits = LimitSet { amounts: vec![balance(rule, now)], ..LimitSet::default() };
        let place = self.place(self.id.without_models(except, rule.since), None, limits);
        Place { except: except.to_vec(), ..place }
    }

    fn place(&self, id: NodeId, model: Option<ModelName>, limits: LimitSet) -> Place {
        let scope = match &self.scope {
            LimitScope::Tenant => Scope::Tenant,
            LimitScope::Project(_) => Scope::Project { name: self.name.clone() },
            LimitScope::Key(id) => match Credential::of(id) {
                Credential::Key => Scope::Key,
                Credential::Token => Scope::Token,
            },
        };
        Place { node: Node { id, scope, model, limits }, scope: self.scope.clone(), except: Vec::new() }
    }
}

/// The limits as they apply now: a budget is that of the window we are in.
fn limit_set(limits: &Limits, now: Timestamp, zone: &TimeZone) -> LimitSet {
    LimitSet {
        requests_per_minute: limits.requests_per_minute,
        tokens_per_minute: limits.tokens_per_minute,
        requests_per_day: limits.requests_per_day,
        concurrency: limits.concurrency,
        amounts: limits.budget.iter().map(|budget| amount(budget, now, zone)).collect(),
    }
}

fn amount(budget: &Budget, now: Timestamp, zone: &TimeZone) -> AmountLimit {
    // A clock outside of all calendars has no day or month: then everything counts.
    let window = budget.period.window(now, zone).unwrap_or(EVER);
    AmountLimit {
        kind: AmountKind::Budget,
        window_start: window.start,
        // The ledger stores budgets as 64 bits with a sign, so a larger one is not there to be met.
        limit_nanos: budget.amount.to_i64().unwrap_or(i64::MAX),
        resets_at: window.end,
    }
}

/// What a prepaid tenant may spend in all.
fn balance(rule: &BalanceRule, now: Timestamp) -> AmountLimit {
    AmountLimit {
        kind: AmountKind::Balance,
        window_start: EVER.start,
        limit_nanos: rule.limit_at(now),
        resets_at: None,
    }
}
