//! What admission must check so that no credit is spent twice, whichever models it is for.
//! Never a decision: a rule says how much may be spent, ever, on all models but some.
//! Called when a snapshot of tenants is made; the gateway holds each request to the rules that its model is under.

use std::collections::{BTreeMap, BTreeSet};

use domain::{GrantId, ModelName, Nanos, Timestamp};

use super::OpenGrant;

/// Different sets of models that grants of one tenant may be for at one time. Each doubles the rules.
pub const SCOPES_MAX: usize = 3;

/// What may be spent in all by requests to all models but these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceRule {
    /// Models that are not under this rule.
    pub except: Vec<ModelName>,
    /// The oldest open grant for these models: a rule that comes anew counts anew.
    pub since: Option<GrantId>,
    /// Spent and left together. Unit: billionths of the tenant's currency.
    pub limit_nanos: i64,
    /// What of it lapses when, unless it is used before.
    pub lapses: Vec<Lapse>,
}

/// Credit that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapse {
    /// When.
    pub at: Timestamp,
    /// What was left of it when the rule was made. Unit: billionths of the tenant's currency.
    pub nanos: i64,
}

/// What rules are made of, all of one moment.
#[derive(Clone, Copy, Debug)]
pub struct RuleParts<'a> {
    /// The open grants.
    pub grants: &'a [OpenGrant],
    /// What was spent, ever, by model.
    pub consumed: &'a BTreeMap<ModelName, Nanos>,
    /// What may be spent beyond the grants; below zero when more than that was.
    pub room_nanos: i128,
}

impl BalanceRule {
    /// What may be spent in all at an instant: a grant whose time is over counts as unused until it is booked.
    pub fn limit_at(&self, now: Timestamp) -> i64 {
        let lapsed = self.lapses.iter().filter(|lapse| lapse.at <= now).map(|lapse| i128::from(lapse.nanos));
        clamp(i128::from(self.limit_nanos) - lapsed.sum::<i128>())
    }
}

/// The rules of a tenant: one for all models, and one without the models of each combination of scopes.
///
/// Grants for named models are for sets that are equal or have nothing in common, and are used before those for all.
/// Then what is asked for can be paid if and only if, for each choice of scopes, the other models together ask for
/// no more than what is for all models and for the scopes not chosen (Hall's condition).
pub fn balance_rules(parts: &RuleParts<'_>) -> Vec<BalanceRule> {
    let scopes: BTreeSet<&BTreeSet<ModelName>> = parts
        .grants
        .iter()
        .filter(|grant| !grant.remaining.is_zero())
        .filter_map(|grant| grant.models.as_ref())
        .collect();
    let scopes: Vec<_> = scopes.into_iter().take(SCOPES_MAX).collect();
    (0..1_usize << scopes.len()).map(|choice| rule(parts, &scopes, choice)).collect()
}

/// The rule without the models of the scopes whose bits are set.
fn rule(parts: &RuleParts<'_>, scopes: &[&BTreeSet<ModelName>], choice: usize) -> BalanceRule {
    let is_chosen = |index: usize| choice & (1 << index) != 0;
    let chosen: Vec<_> =
        scopes.iter().enumerate().filter(|(index, _)| is_chosen(*index)).map(|(_, scope)| *scope).collect();
    let except: BTreeSet<&ModelName> = chosen.iter().copied().flatten().collect();
    let counts = |grant: &&OpenGrant| grant.models.as_ref().is_none_or(|models| !chosen.contains(&models));
    let spent = parts.consumed.iter().filter(|(model, _)| !except.contains(model));
    let spent: i128 = spent.map(|(_, nanos)| i128::from(nanos.get())).sum();
    let open = || parts.grants.iter().filter(counts);
    let left: i128 = open().map(|grant| i128::from(grant.remaining.get())).sum();
    let lapse = |grant: &OpenGrant| {
        let nanos = clamp(i128::from(grant.remaining.get()));
        (nanos > 0).then_some(Lapse { at: grant.expires_at?, nanos })
    };
    let is_other = |grant: &&OpenGrant| !grant.remaining.is_zero() && !counts(grant);
    BalanceRule {
        since: parts.grants.iter().filter(is_other).map(|grant| grant.id).min(),
        except: except.into_iter().cloned().collect(),
        limit_nanos: clamp(spent + left + parts.room_nanos),
        lapses: open().filter_map(lapse).collect(),
    }
}

/// As stores of limits count it; more than that cannot be granted or spent.
fn clamp(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}
