//! Limits and budgets of every scope, for all models and for single ones.
//! Never enforced here.
//! Run on both databases.

use billing::ledger::{Budget, Ledger, LedgerError, LimitScope, Limits, NewKey, ScopeLimits, SecretHash};
use domain::{BudgetPeriod, KeyId, ModelName, Nanos};

use crate::{
    projects::create,
    records::{NOW, tenant},
};

fn budget(amount: u64, period: BudgetPeriod) -> Limits {
    Limits { budget: Some(Budget { amount: Nanos::new(amount), period }), ..Limits::default() }
}

/// Everything at once.
fn full() -> Limits {
    Limits {
        requests_per_minute: Some(1),
        tokens_per_minute: Some(2),
        requests_per_day: Some(3),
        concurrency: Some(4),
        ..budget(5, BudgetPeriod::Week)
    }
}

async fn key(ledger: &Ledger, tenant: &billing::ledger::Tenant, id: &str, limits: Limits) -> KeyId {
    let id = KeyId::new(id).expect("a key id");
    let hash = SecretHash::from_bytes([id.as_str().as_bytes()[0]; 32]);
    let new = NewKey { limits, ..NewKey::unlimited(id.clone(), "k", hash) };
    ledger.create_key(tenant.id, &new, NOW).await.expect("a key");
    id
}

on_each_database! {
    async fn each_scope_has_limits_for_all_models_and_for_one(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let top = create(ledger, &acme, None, "top").await.expect("created");
        let id = key(ledger, &acme, "A1", full()).await;
        let demo: ModelName = "demo".parse().expect("a model");
        let rows = [
            (LimitScope::Tenant, None, full()),
            (LimitScope::Tenant, Some(&demo), budget(7, BudgetPeriod::Day)),
            (LimitScope::Project(top.id), None, budget(8, BudgetPeriod::Ever)),
            (LimitScope::Project(top.id), Some(&demo), Limits { concurrency: Some(9), ..Limits::default() }),
            (LimitScope::Key(id.clone()), Some(&demo), budget(u64::try_from(i64::MAX).expect("positive"), BudgetPeriod::Month)),
        ];
        let revision = ledger.revision().await.expect("read");
        for (scope, model, limits) in &rows {
            ledger.set_limits(acme.id, scope, *model, *limits).await.expect("set");
        }
        assert!(ledger.revision().await.expect("read") > revision);
        let found = ledger.limits(acme.id).await.expect("read");
        assert_eq!(found.len(), 6);
        for (scope, model, limits) in rows {
            let expected = ScopeLimits { tenant_id: acme.id, scope, model: model.cloned(), limits };
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
        // They are shown with what they limit.
        assert_eq!(ledger.find_tenant("acme").await.expect("read").expect("there").limits, full());
        assert_eq!(ledger.find_key(&id).await.expect("read").expect("there").limits, full());
        let project = ledger.find_project(acme.id, "top").await.expect("read").expect("there");
        assert_eq!(project.limits, budget(8, BudgetPeriod::Ever));
        // No limit at all leaves no row.
        ledger.set_limits(acme.id, &LimitScope::Tenant, None, Limits::default()).await.expect("set");
        ledger.set_limits(acme.id, &LimitScope::Tenant, None, Limits::default()).await.expect("set again");
        assert_eq!(ledger.limits(acme.id).await.expect("read").len(), 5);
        assert_eq!(ledger.access_snapshot().await.expect("a snapshot").limits, ledger.limits(acme.id).await.expect("read"));
    }

    async fn a_change_keeps_what_it_does_not_name(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        ledger.set_limits(acme.id, &LimitScope::Tenant, None, full()).await.expect("set");
        // Many at once: none is lost.
        let changes: Vec<_> = (0..20_u64).map(|number| {
            let (ledger, tenant) = (ledger.clone(), acme.id);
            tokio::spawn(async move {
                let add = |limits: Limits| Limits { concurrency: limits.concurrency.map(|limit| limit + number), ..limits };
                ledger.change_limits(tenant, &LimitScope::Tenant, None, add).await.expect("changed")
            })
        }).collect();
        for change in changes {
            change.await.expect("no panic");
        }
        let found = ledger.find_tenant("acme").await.expect("read").expect("there").limits;
        assert_eq!(found, Limits { concurrency: Some(4 + (0..20).sum::<u64>()), ..full() });
    }

    async fn impossible_limits_are_refused(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        let id = key(ledger, &zeta, "Z1", Limits::default()).await;
        let rows = [
            Limits { requests_per_minute: Some(0), ..Limits::default() },
            Limits { tokens_per_minute: Some(u64::MAX), ..Limits::default() },
            Limits { requests_per_day: Some(0), ..Limits::default() },
            Limits { concurrency: Some(1 << 63), ..Limits::default() },
            budget(0, BudgetPeriod::Month),
            budget(u64::MAX, BudgetPeriod::Ever),
        ];
        for limits in rows {
            let outcome = ledger.set_limits(acme.id, &LimitScope::Tenant, None, limits).await;
            assert!(matches!(outcome, Err(LedgerError::BadLimit)), "{limits:?}: {outcome:?}");
        }
        for scope in [LimitScope::Key(id), LimitScope::Key(KeyId::new("none").expect("an id"))] {
            let outcome = ledger.set_limits(acme.id, &scope, None, full()).await;
            assert!(matches!(outcome, Err(LedgerError::Missing { what: "key", .. })), "{outcome:?}");
        }
        assert_eq!(ledger.limits(acme.id).await.expect("read"), []);
    }
}
