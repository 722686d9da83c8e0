//! Changes of a tenant and of a key, each whole or not at all; people; what a tenant was subscribed to.
//! Never a secret.
//! Run on both databases.

use std::time::Duration;

use billing::{
    ledger::{
        AuditQuestion, Key, KeyChange, Ledger, LedgerError, Limits, NewKey, NewUser, Rotation, SecretHash,
        TenantChange, TenantTerms, UserRole,
    },
    plan::Plan,
};
use domain::{Fault, KeyId, KeyScope, KeyScopes, ModelName, SloClass, Timestamp, UserId};

use crate::records::{NOW, tenant};

fn id(text: &str) -> KeyId {
    KeyId::new(text).expect("a key id")
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(NOW.unix_micros() + seconds * 1_000_000)
}

/// The demo plan's terms under another name.
async fn publish(ledger: &Ledger, name: &str, currency: &str) {
    let source = Plan::demo().expect("the demo plan").source().to_owned();
    let source = source.replacen("\"demo\"", &format!("\"{name}\""), 1).replace("USD", currency);
    let plan = Plan::from_text("t", &source).expect("a plan");
    ledger.publish_plan(&plan, NOW).await.expect("published");
}

/// A key; hashes differ with their ids.
async fn key(ledger: &Ledger, tenant: &billing::ledger::Tenant, text: &str) -> Key {
    let mut bytes = [0; 32];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    let new = NewKey::unlimited(id(text), "laptop", SecretHash::from_bytes(bytes));
    ledger.create_key(tenant.id, &new, NOW).await.expect("a key")
}

/// How often this was noted of an object.
async fn noted(ledger: &Ledger, object_id: &str, action: &str) -> usize {
    let question = AuditQuestion { object_id: Some(object_id), ..AuditQuestion::default() };
    let entries = ledger.audit_page(&question, 1_000).await.expect("entries");
    entries.iter().filter(|entry| entry.action == action).count()
}

on_each_database! {
    async fn a_tenant_changes_whole_or_not_at_all(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        publish(ledger, "gold", "USD").await;
        publish(ledger, "euro", "EUR").await;
        let terms = TenantTerms { allow_stricter_slo: true, ..TenantTerms::default() };
        let limits = Limits { concurrency: Some(7), ..Limits::default() };
        let zero = Limits { concurrency: Some(0), ..Limits::default() };
        let whole = TenantChange { plan_name: Some("gold"), terms: Some(terms), limits: Some(limits) };
        let before = ledger.find_tenant("acme").await.expect("read").expect("there");
        let revision = ledger.revision().await.expect("read");
        let rows = [
            (TenantChange { plan_name: Some("none"), ..whole }, Fault::Missing),
            (TenantChange { plan_name: Some("euro"), ..whole }, Fault::Conflict),
            (TenantChange { limits: Some(zero), ..whole }, Fault::Invalid),
        ];
        for (change, fault) in rows {
            let error = ledger.change_tenant(acme.id, &change).await.expect_err("refused");
            assert_eq!(error.fault(), fault, "{change:?}: {error}");
            assert_eq!(ledger.find_tenant("acme").await.expect("read").expect("there"), before, "{change:?}");
        }
        assert_eq!(ledger.revision().await.expect("read"), revision);
        let changed = ledger.change_tenant(acme.id, &whole).await.expect("changed");
        assert_eq!((changed.plan_name.as_str(), changed.terms, changed.limits), ("gold", terms, limits));
        assert_eq!(ledger.find_tenant("acme").await.expect("read").expect("there"), changed);
        // What is left out stays.
        let same = ledger.change_tenant(acme.id, &TenantChange::default()).await.expect("changed");
        assert_eq!(same, changed);
    }

    async fn subscriptions_are_kept_whoever_changes_them(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        publish(ledger, "gold", "USD").await;
        ledger.set_tenant_plan(acme.id, "gold").await.expect("set");
        // The same again, and another change, are no other subscription.
        ledger.set_tenant_plan(acme.id, "gold").await.expect("set");
        ledger.disable_tenant(acme.id, NOW).await.expect("disabled");
        database.raw("UPDATE tenants SET plan_name = 'demo'").await.expect("allowed");
        let all = ledger.subscriptions_page(acme.id, None, 10).await.expect("read");
        let named: Vec<_> = all.iter().map(|one| (one.sequence, one.plan_name.as_str())).collect();
        assert_eq!(named, [(3, "demo"), (2, "gold"), (1, "demo")]);
        assert_eq!(all[2].since, acme.created_at);
        let page = ledger.subscriptions_page(acme.id, Some(3), 1).await.expect("read");
        assert_eq!(page, all[1..2]);
        let statements = [
            "UPDATE subscriptions SET plan_name = 'gold'",
            "DELETE FROM subscriptions",
            "INSERT INTO subscriptions SELECT tenant_id, 1, 'gold', 0 FROM tenants",
            "INSERT INTO subscriptions SELECT tenant_id, 9, 'gold', 0 FROM tenants",
        ];
        for statement in statements {
            assert!(database.raw(statement).await.is_err(), "{statement}");
        }
        assert_eq!(ledger.subscriptions_page(acme.id, None, 10).await.expect("read"), all);
    }

    async fn a_key_changes_whole_or_not_at_all(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let made = key(ledger, &acme, "A1").await;
        let demo: ModelName = "demo".parse().expect("a model");
        let whole = KeyChange {
            name: Some("server"),
            scopes: KeyScopes::new([KeyScope::Inference]),
            models_allowed: Some(Some(vec![demo.clone()])),
            slo_class: Some(Some(SloClass::Batch)),
            expires_at: Some(Some(later(60))),
        };
        let rows = [
            (KeyChange { name: Some(""), ..whole.clone() }, Fault::Invalid),
            (KeyChange { models_allowed: Some(Some(vec![])), ..whole.clone() }, Fault::Invalid),
            (KeyChange { expires_at: Some(Some(NOW)), ..whole.clone() }, Fault::Invalid),
        ];
        for (change, fault) in rows {
            let error = ledger.change_key(&id("A1"), &change, NOW).await.expect_err("refused");
            assert_eq!(error.fault(), fault, "{change:?}: {error}");
        }
        assert_eq!(ledger.find_key(&id("A1")).await.expect("read"), Some(made.clone()));
        let changed = ledger.change_key(&id("A1"), &whole, NOW).await.expect("changed");
        let expected = Key {
            name: "server".to_owned(),
            scopes: KeyScopes::new([KeyScope::Inference]).expect("one"),
            models_allowed: Some(vec![demo]),
            slo_class: Some(SloClass::Batch),
            expires_at: Some(later(60)),
            ..made.clone()
        };
        assert_eq!(changed, expected);
        assert_eq!(ledger.find_key(&id("A1")).await.expect("read"), Some(expected));
        // Left out stays, taken away is gone.
        let less = KeyChange {
            models_allowed: Some(None), slo_class: Some(None), expires_at: Some(None),
            ..KeyChange::default()
        };
        let changed = ledger.change_key(&id("A1"), &less, NOW).await.expect("changed");
        assert_eq!(changed, Key { name: "server".to_owned(), scopes: changed.scopes, ..made });
        assert_eq!(noted(ledger, "A1", "key.changed").await, 2);
    }

    async fn keys_that_ended_or_were_replaced_do_not_come_back(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        key(ledger, &acme, "GONE").await;
        key(ledger, &acme, "OLD").await;
        ledger.revoke_key(&id("GONE"), NOW).await.expect("revoked");
        let overlap = Duration::from_secs(100);
        let rotation = Rotation { id: id("NEW"), secret_hash: SecretHash::from_bytes([9; 32]), overlap, expires_at: None };
        ledger.rotate_key(&id("OLD"), &rotation, NOW).await.expect("rotated");
        let named = KeyChange { name: Some("x"), ..KeyChange::default() };
        let until = |at: Option<Timestamp>| KeyChange { expires_at: Some(at), ..KeyChange::default() };
        let error = ledger.change_key(&id("GONE"), &named, NOW).await.expect_err("revoked");
        assert!(matches!(error, LedgerError::Revoked(_)), "{error}");
        for longer in [until(Some(later(101))), until(None)] {
            let error = ledger.change_key(&id("OLD"), &longer, NOW).await.expect_err("replaced");
            assert!(matches!(error, LedgerError::Replaced(_)), "{error}");
        }
        ledger.change_key(&id("OLD"), &until(Some(later(50))), NOW).await.expect("earlier");
        let error = ledger.change_key(&id("OLD"), &named, later(50)).await.expect_err("expired");
        assert!(matches!(error, LedgerError::Expired { .. }), "{error}");
        ledger.change_key(&id("NEW"), &until(Some(later(500))), NOW).await.expect("the one in use");
        assert_eq!(ledger.change_key(&id("none"), &named, NOW).await.expect_err("none").fault(), Fault::Missing);
    }

    async fn people_have_one_place_in_each_tenant(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        let new = NewUser { email: "Anna@example.com", subject: Some("s-1"), role: UserRole::Owner };
        let anna = ledger.create_user(acme.id, &new, NOW).await.expect("created");
        assert_eq!((anna.email.as_str(), anna.role), ("anna@example.com", UserRole::Owner));
        ledger.create_user(zeta.id, &new, NOW).await.expect("another tenant's");
        let rows = [
            (NewUser { email: "anna@EXAMPLE.com", subject: None, ..new }, Fault::Conflict),
            (NewUser { email: "bert@example.com", ..new }, Fault::Conflict),
            (NewUser { email: "bert", subject: None, ..new }, Fault::Invalid),
            (NewUser { email: "bert@example.com", subject: Some(""), ..new }, Fault::Invalid),
        ];
        for (new, fault) in rows {
            let error = ledger.create_user(acme.id, &new, NOW).await.expect_err("refused");
            assert_eq!(error.fault(), fault, "{new:?}: {error}");
        }
        for (number, role) in [(1, UserRole::Developer), (2, UserRole::Billing), (3, UserRole::Viewer)] {
            let email = format!("p{number}@example.com");
            let new = NewUser { email: &email, subject: None, role };
            ledger.create_user(acme.id, &new, later(number)).await.expect("created");
        }
        let all = ledger.users_page(acme.id, None, 10).await.expect("read");
        assert_eq!(all.iter().map(|user| user.role.as_str()).collect::<Vec<_>>(), ["owner", "developer", "billing", "viewer"]);
        assert_eq!(ledger.users_page(acme.id, Some(all[1].id), 1).await.expect("read"), all[2..3]);
        ledger.set_user_role(acme.id, anna.id, UserRole::Viewer).await.expect("changed");
        ledger.disable_user(acme.id, anna.id, later(1)).await.expect("disabled");
        ledger.disable_user(acme.id, anna.id, later(2)).await.expect("disabled");
        let found = ledger.find_user(acme.id, anna.id).await.expect("read").expect("there");
        assert_eq!((found.role, found.disabled_at), (UserRole::Viewer, Some(later(1))));
        ledger.enable_user(acme.id, anna.id).await.expect("enabled");
        assert_eq!(noted(ledger, &anna.id.to_string(), "user.changed").await, 3);
        assert_eq!(noted(ledger, &anna.id.to_string(), "user.created").await, 1);
        // Nobody is another tenant's.
        assert_eq!(ledger.find_user(zeta.id, anna.id).await.expect("read"), None);
        assert_eq!(ledger.disable_user(zeta.id, anna.id, NOW).await.expect_err("not there").fault(), Fault::Missing);
        let nobody = UserId::generate(NOW);
        assert_eq!(ledger.enable_user(acme.id, nobody).await.expect_err("nobody").fault(), Fault::Missing);
        ledger.disable_tenant(acme.id, NOW).await.expect("disabled");
        let late = NewUser { email: "late@example.com", subject: None, role: UserRole::Owner };
        assert_eq!(ledger.create_user(acme.id, &late, NOW).await.expect_err("disabled").fault(), Fault::Conflict);
    }
}
