//! What keys may do and until when: projects, scopes, classes, expiry, rotation, switching off, revoking.
//! Never a secret.
//! Run on both databases.

use std::time::Duration;

use billing::ledger::{
    Budget, Key, Ledger, LedgerError, LimitScope, Limits, NewKey, Rotation, SecretHash, SpentQuestion,
    TenantTerms,
};
use domain::{BudgetPeriod, Fault, KeyId, KeyScope, KeyScopes, Nanos, SloClass, Timestamp, UsageRecord};

use crate::{
    projects::create,
    records::{Chain, NOW, record, tenant},
};

fn id(text: &str) -> KeyId {
    KeyId::new(text).expect("a key id")
}

/// Hashes differ with their ids.
fn hash(text: &str) -> SecretHash {
    let mut bytes = [0; 32];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    SecretHash::from_bytes(bytes)
}

fn new_key(text: &str) -> NewKey<'static> {
    NewKey::unlimited(id(text), "laptop", hash(text))
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(NOW.unix_micros() + seconds * 1_000_000)
}

fn rotation(text: &str, overlap_seconds: u64) -> Rotation {
    let overlap = Duration::from_secs(overlap_seconds);
    Rotation { id: id(text), secret_hash: hash(text), overlap, expires_at: None }
}

async fn find(ledger: &Ledger, text: &str) -> Key {
    ledger.find_key(&id(text)).await.expect("read").expect("there")
}

on_each_database! {
    async fn keys_say_what_they_may_do(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let top = create(ledger, &acme, None, "top").await.expect("created");
        let plain = ledger.create_key(acme.id, &new_key("P1"), NOW).await.expect("a key");
        assert_eq!((plain.scopes, plain.project_id, plain.expires_at), (KeyScopes::ALL, None, None));
        assert_eq!(find(ledger, "P1").await, plain);
        let new = NewKey {
            project_id: Some(top.id),
            scopes: KeyScopes::new([KeyScope::UsageRead]).expect("one"),
            slo_class: Some(SloClass::Batch),
            expires_at: Some(later(60)),
            ..new_key("F1")
        };
        let full = ledger.create_key(acme.id, &new, NOW).await.expect("a key");
        assert_eq!(find(ledger, "F1").await, full);
        assert_eq!((full.project_id, full.slo_class), (Some(top.id), Some(SloClass::Batch)));
        assert_eq!((full.scopes.to_string().as_str(), full.expires_at), ("usage:read", Some(later(60))));
        assert_eq!(ledger.find_key(&id("none")).await.expect("read"), None);
        let snapshot = ledger.access_snapshot().await.expect("a snapshot");
        let keys: Vec<_> = snapshot.keys.into_iter().map(|access| access.key).collect();
        assert_eq!((keys, snapshot.projects), (vec![full, plain], vec![top]));
    }

    async fn impossible_keys_are_refused(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        let strange = create(ledger, &zeta, None, "strange").await.expect("created");
        let top = create(ledger, &acme, None, "top").await.expect("created");
        let shut = create(ledger, &acme, Some(&top), "shut").await.expect("created");
        ledger.disable_project(acme.id, top.id, NOW).await.expect("disabled");
        let revision = ledger.revision().await.expect("read");
        let rows = [
            (NewKey { expires_at: Some(NOW), ..new_key("A1") }, Fault::Invalid),
            (NewKey { expires_at: Some(later(-1)), ..new_key("A1") }, Fault::Invalid),
            (NewKey { project_id: Some(strange.id), ..new_key("A1") }, Fault::Missing),
            (NewKey { project_id: Some(shut.id), ..new_key("A1") }, Fault::Conflict),
            (NewKey { limits: Limits { concurrency: Some(0), ..Limits::default() }, ..new_key("A1") }, Fault::Invalid),
        ];
        for (new, fault) in rows {
            let error = ledger.create_key(acme.id, &new, NOW).await.expect_err("refused");
            assert_eq!(error.fault(), fault, "{new:?}: {error}");
        }
        assert_eq!(ledger.keys(Some(acme.id)).await.expect("read"), []);
        assert_eq!(ledger.revision().await.expect("read"), revision, "a refusal changes nothing");
    }

    async fn a_stricter_class_needs_the_tenants_terms(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let source = billing::plan::Plan::demo().expect("the demo plan").source().to_owned();
        let source = source.replacen("version = 1", "version = 2", 1).replacen("\"interactive\"", "\"standard\"", 1);
        let standard = billing::plan::Plan::from_text("t", &source).expect("a plan");
        ledger.publish_plan(&standard, NOW).await.expect("published");
        let class = |text: &str, class| NewKey { slo_class: Some(class), ..new_key(text) };
        ledger.create_key(acme.id, &class("S1", SloClass::Standard), NOW).await.expect("the plan's own");
        ledger.create_key(acme.id, &class("S2", SloClass::Batch), NOW).await.expect("a looser one");
        let strict = class("S3", SloClass::Interactive);
        let error = ledger.create_key(acme.id, &strict, NOW).await.expect_err("a stricter one");
        let expected = (SloClass::Interactive, SloClass::Standard);
        assert!(matches!(error, LedgerError::StricterClass { class, plan_class } if (class, plan_class) == expected));
        let terms = TenantTerms { allow_stricter_slo: true, ..TenantTerms::default() };
        ledger.set_tenant_terms(acme.id, terms).await.expect("set");
        ledger.create_key(acme.id, &strict, NOW).await.expect("allowed now");
    }

    async fn a_new_key_takes_an_old_ones_place(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let top = create(ledger, &acme, None, "top").await.expect("created");
        let budget = Budget { amount: Nanos::new(9), period: BudgetPeriod::Month };
        let limits = Limits { budget: Some(budget), concurrency: Some(3), ..Limits::default() };
        let models_allowed = Some(vec!["demo".parse().expect("a model")]);
        let new = NewKey { project_id: Some(top.id), limits, models_allowed, ..new_key("A1") };
        ledger.create_key(acme.id, &new, NOW).await.expect("a key");
        let (old, second) = ledger.rotate_key(&id("A1"), &rotation("A2", 100), later(1)).await.expect("rotated");
        assert_eq!((find(ledger, "A1").await, find(ledger, "A2").await), (old.clone(), second.clone()));
        assert_eq!((old.expires_at, second.expires_at), (Some(later(101)), None));
        let expected = Key { id: id("A2"), replaces: Some(id("A1")), created_at: later(1), expires_at: None, ..old.clone() };
        assert_eq!(second, expected, "everything else stays");
        assert_eq!(second.limits_key, id("A1"));
        // Again, from the new one, at once; and once more from the first: its end comes no later.
        let (second, third) = ledger.rotate_key(&id("A2"), &rotation("A3", 0), later(2)).await.expect("rotated");
        assert_eq!((second.expires_at, third.limits_key.clone()), (Some(later(2)), id("A1")));
        let (old, _) = ledger.rotate_key(&id("A1"), &rotation("B2", 1_000), later(2)).await.expect("rotated");
        assert_eq!(old.expires_at, Some(later(101)));
        // One change of limits is a change for the whole line.
        let scope = LimitScope::Key(id("A3"));
        ledger.set_limits(acme.id, &scope, None, Limits { requests_per_day: Some(5), ..limits }).await.expect("set");
        for text in ["A1", "A2", "A3", "B2"] {
            assert_eq!(find(ledger, text).await.limits.requests_per_day, Some(5), "{text}");
        }
        assert_eq!(ledger.limits(acme.id).await.expect("read").len(), 1);
        // So is spending.
        let mut chain = Chain::new();
        let charged = |text: &str, nanos| UsageRecord { key_id: id(text), charge: Nanos::new(nanos), ..record(&acme, 1, NOW) };
        let batch = chain.add_all([charged("A1", 1), charged("A3", 10), charged("B2", 100), charged("other", 1_000)]);
        ledger.ship(chain.journal_id, &batch).await.expect("shipped");
        let question = SpentQuestion { scope: LimitScope::Key(id("A1")), model: None, since: Timestamp::from_unix_micros(0) };
        assert_eq!(ledger.spent_since(acme.id, &[question]).await.expect("an answer"), [Nanos::new(111)]);
    }

    async fn what_cannot_be_rotated_is_refused(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        for text in ["OFF", "GONE", "GOOD"] {
            ledger.create_key(acme.id, &new_key(text), NOW).await.expect("a key");
        }
        let ending = NewKey { expires_at: Some(later(10)), ..new_key("ENDING") };
        ledger.create_key(acme.id, &ending, NOW).await.expect("a key");
        ledger.disable_key(&id("OFF"), NOW).await.expect("off");
        ledger.revoke_key(&id("GONE"), NOW).await.expect("revoked");
        let rows = [
            ("none", rotation("N1", 1), Fault::Missing),
            ("OFF", rotation("N1", 1), Fault::Conflict),
            ("GONE", rotation("N1", 1), Fault::Conflict),
            ("ENDING", rotation("N1", 1), Fault::Conflict),
            ("GOOD", rotation("OFF", 1), Fault::Conflict),
            ("GOOD", Rotation { expires_at: Some(later(20)), ..rotation("N1", 1) }, Fault::Invalid),
        ];
        for (text, rotation, fault) in rows {
            let error = ledger.rotate_key(&id(text), &rotation, later(20)).await.expect_err(text);
            assert_eq!(error.fault(), fault, "{text}: {error}");
        }
        assert_eq!(find(ledger, "GOOD").await.expires_at, None, "a refusal changes nothing");
        // In time, the new key ends when the old one would have, or when it is told to.
        let (old, new) = ledger.rotate_key(&id("ENDING"), &rotation("E2", 1_000), NOW).await.expect("rotated");
        assert_eq!((old.expires_at, new.expires_at), (Some(later(10)), Some(later(10))));
        let told = Rotation { expires_at: Some(later(99)), ..rotation("E3", u64::MAX) };
        let (_, new) = ledger.rotate_key(&id("GOOD"), &told, NOW).await.expect("rotated");
        assert_eq!(new.expires_at, Some(later(99)));
    }

    async fn a_key_is_switched_off_and_on_but_revoked_for_good(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        ledger.create_key(acme.id, &new_key("A1"), NOW).await.expect("a key");
        ledger.disable_key(&id("A1"), later(1)).await.expect("off");
        ledger.disable_key(&id("A1"), later(2)).await.expect("off");
        let off = find(ledger, "A1").await;
        assert_eq!((off.disabled_at, off.revoked_at), (Some(later(1)), None));
        ledger.enable_key(&id("A1")).await.expect("on");
        ledger.enable_key(&id("A1")).await.expect("on");
        assert_eq!(find(ledger, "A1").await.disabled_at, None);
        ledger.disable_key(&id("A1"), later(3)).await.expect("off");
        ledger.revoke_key(&id("A1"), later(4)).await.expect("revoked");
        let gone = find(ledger, "A1").await;
        assert_eq!((gone.disabled_at, gone.revoked_at), (Some(later(3)), Some(later(4))));
        let error = ledger.enable_key(&id("A1")).await.expect_err("for good");
        assert!(matches!(&error, LedgerError::Revoked(key) if key.as_str() == "A1"), "{error}");
        for outcome in [ledger.disable_key(&id("none"), NOW).await, ledger.enable_key(&id("none")).await] {
            assert!(matches!(outcome, Err(LedgerError::Missing { .. })));
        }
    }
}
