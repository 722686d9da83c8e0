//! Tenants, keys, operators, plans, and the snapshot that gateways take of them.
//! Never usage.
//! Run on both databases.

use billing::{
    ledger::{
        FirstStart, Ledger, LedgerError, LimitScope, Limits, NewKey, NewOperator, NewTenant, OperatorRole,
        Published, SecretHash, TenantTerms,
    },
    plan::Plan,
};
use domain::{Currency, Fault, KeyId, TenantId, Timestamp};

use crate::records::{NOW, new_tenant, tenant};

fn plan(text: &str) -> Plan {
    Plan::from_text("test.toml", text).expect("a good plan")
}

fn demo_with(from: &str, to: &str) -> Plan {
    let source = Plan::demo().expect("the demo plan").source().to_owned();
    assert!(source.contains(from));
    plan(&source.replacen(from, to, 1))
}

fn new_operator(name: &str, number: u8) -> NewOperator<'_> {
    NewOperator {
        name,
        token_id: KeyId::new(format!("O{number}")).expect("an id"),
        secret_hash: SecretHash::from_bytes([number; 32]),
        role: OperatorRole::Admin,
    }
}

fn new_key(id: &str, secret: u8) -> NewKey<'static> {
    let id = KeyId::new(id).expect("a key id");
    NewKey {
        limits: Limits { concurrency: Some(2), ..Limits::default() },
        models_allowed: Some(vec!["demo".parse().expect("a model"), "org/b:1".parse().expect("a model")]),
        ..NewKey::unlimited(id, "laptop", SecretHash::from_bytes([secret; 32]))
    }
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(NOW.unix_micros() + seconds * 1_000_000)
}

on_each_database! {
    async fn tenants_are_found_by_name_and_id(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "europe/berlin").await;
        assert_eq!((acme.zone.as_str(), acme.currency), ("Europe/Berlin", Currency::USD));
        assert_eq!(ledger.find_tenant("acme").await.expect("read"), Some(acme.clone()));
        assert_eq!(ledger.find_tenant(&acme.id.to_string()).await.expect("read"), Some(acme.clone()));
        assert_eq!(ledger.find_tenant("acm").await.expect("read"), None);
        let zeta = tenant(ledger, "zeta", "UTC").await;
        assert_eq!(ledger.tenants().await.expect("read"), [acme.clone(), zeta]);
        let limits = Limits { requests_per_minute: Some(60), tokens_per_minute: Some(1), ..Limits::default() };
        ledger.set_limits(acme.id, &LimitScope::Tenant, None, limits).await.expect("set");
        ledger.disable_tenant(acme.id, later(1)).await.expect("disabled");
        ledger.disable_tenant(acme.id, later(9)).await.expect("disabled");
        let found = ledger.find_tenant("acme").await.expect("read").expect("there");
        assert_eq!((found.limits, found.disabled_at), (limits, Some(later(1))));
        let refused = ledger.create_key(acme.id, &new_key("A1", 1), NOW).await;
        assert!(matches!(refused, Err(LedgerError::Disabled { .. })));
    }

    async fn a_disabled_tenant_is_enabled_again(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        for tenant in [&acme, &zeta] {
            ledger.disable_tenant(tenant.id, later(1)).await.expect("disabled");
        }
        let revision = ledger.revision().await.expect("read");
        ledger.enable_tenant(acme.id).await.expect("enabled");
        assert!(ledger.revision().await.expect("read") > revision, "servers must see it");
        assert_eq!(ledger.find_tenant("acme").await.expect("read"), Some(acme.clone()));
        let other = ledger.find_tenant("zeta").await.expect("read").expect("there");
        assert_eq!(other.disabled_at, Some(later(1)), "another tenant stays shut out");
        ledger.create_key(acme.id, &new_key("A1", 1), NOW).await.expect("a key again");
        ledger.enable_tenant(acme.id).await.expect("twice changes nothing");
        ledger.disable_tenant(acme.id, later(9)).await.expect("disabled");
        let found = ledger.find_tenant("acme").await.expect("read").expect("there");
        assert_eq!(found.disabled_at, Some(later(9)));
    }

    async fn bad_tenants_are_refused(database: &Database) {
        let ledger = &database.ledger;
        tenant(ledger, "acme", "UTC").await;
        let revision = ledger.revision().await.expect("read");
        let good = new_tenant("other", "demo", "UTC");
        let zero = Limits { concurrency: Some(0), ..Limits::default() };
        let huge = Limits { concurrency: Some(u64::MAX), ..Limits::default() };
        let long = "a".repeat(64);
        let rows = [
            (NewTenant { name: "acme", ..good.clone() }, Fault::Conflict),
            (NewTenant { name: "", ..good.clone() }, Fault::Invalid),
            (NewTenant { name: "Acme", ..good.clone() }, Fault::Invalid),
            (NewTenant { name: "a b", ..good.clone() }, Fault::Invalid),
            (NewTenant { name: "-a", ..good.clone() }, Fault::Invalid),
            (NewTenant { name: "é", ..good.clone() }, Fault::Invalid),
            (NewTenant { name: &long, ..good.clone() }, Fault::Invalid),
            (NewTenant { name: "01890000-0000-7000-8000-000000000000", ..good.clone() }, Fault::Invalid),
            (NewTenant { plan_name: "none", ..good.clone() }, Fault::Missing),
            (NewTenant { zone: "Mars/Base", ..good.clone() }, Fault::Invalid),
            (NewTenant { limits: zero, ..good.clone() }, Fault::Invalid),
            (NewTenant { limits: huge, ..good.clone() }, Fault::Invalid),
        ];
        for (new, fault) in rows {
            let error = ledger.create_tenant(&new, NOW).await.expect_err("refused");
            assert_eq!(error.fault(), fault, "{new:?}: {error}");
        }
        let nobody = TenantId::generate(NOW);
        let faults = [
            ledger.set_limits(nobody, &LimitScope::Tenant, None, Limits::default()).await,
            ledger.set_tenant_terms(nobody, TenantTerms::default()).await,
            ledger.set_tenant_plan(nobody, "demo").await,
            ledger.disable_tenant(nobody, NOW).await,
            ledger.enable_tenant(nobody).await,
        ];
        assert!(faults.iter().all(|error| matches!(error, Err(LedgerError::Missing { .. }))));
        assert_eq!(ledger.tenants().await.expect("read").len(), 1);
        assert_eq!(ledger.revision().await.expect("read"), revision, "a refusal changes nothing");
    }

    async fn keys_come_and_go(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let zeta = tenant(ledger, "zeta", "UTC").await;
        let key = ledger.create_key(acme.id, &new_key("K1", 1), NOW).await.expect("a key");
        assert_eq!(ledger.keys(Some(acme.id)).await.expect("read"), std::slice::from_ref(&key));
        assert_eq!(ledger.keys(Some(zeta.id)).await.expect("read"), []);
        assert_eq!(ledger.keys(None).await.expect("read"), std::slice::from_ref(&key));
        for again in [new_key("K1", 2), new_key("K2", 1)] {
            let error = ledger.create_key(zeta.id, &again, NOW).await.expect_err("taken");
            assert_eq!(error.fault(), Fault::Conflict);
        }
        let bad = [
            NewKey { name: "", ..new_key("K3", 3) },
            NewKey { name: "a\nb", ..new_key("K3", 3) },
            NewKey { models_allowed: Some(Vec::new()), ..new_key("K3", 3) },
        ];
        for new in bad {
            let error = ledger.create_key(acme.id, &new, NOW).await.expect_err("refused");
            assert_eq!(error.fault(), Fault::Invalid);
        }
        let nobody = ledger.create_key(TenantId::generate(NOW), &new_key("K3", 3), NOW).await;
        assert!(matches!(nobody, Err(LedgerError::Missing { .. })));
        ledger.revoke_key(&key.id, later(1)).await.expect("revoked");
        ledger.revoke_key(&key.id, later(2)).await.expect("revoked");
        assert_eq!(ledger.keys(None).await.expect("read")[0].disabled_at, Some(later(1)));
        let missing = ledger.revoke_key(&KeyId::new("K9").expect("an id"), NOW).await;
        assert!(matches!(missing, Err(LedgerError::Missing { .. })));
    }

    async fn the_snapshot_shows_it_all(database: &Database) {
        let ledger = &database.ledger;
        let before = ledger.revision().await.expect("read");
        let acme = tenant(ledger, "acme", "Asia/Kolkata").await;
        let key = ledger.create_key(acme.id, &new_key("K1", 7), NOW).await.expect("a key");
        let second = demo_with("version = 1", "version = 2\neffective_from = \"2026-12-01\"");
        assert_eq!(ledger.publish_plan(&second, NOW).await.expect("published"), Published::New);
        let snapshot = ledger.access_snapshot().await.expect("a snapshot");
        assert_eq!(snapshot.revision, ledger.revision().await.expect("read"));
        assert!(snapshot.revision > before);
        assert_eq!(snapshot.keys.len(), 1);
        assert_eq!(snapshot.keys[0].key, key);
        assert_eq!(snapshot.keys[0].secret_hash, SecretHash::from_bytes([7; 32]));
        assert_eq!(snapshot.plans.len(), 2);
        let schedule = &snapshot.tenants[0].schedule;
        // Midnight of the first of December in Kolkata is 18:30 in Greenwich the day before.
        let rows = [
            ("2026-11-30T18:29:59.999999Z", "demo@1"),
            ("2026-11-30T18:30:00Z", "demo@2"),
            ("2030-01-01T00:00:00Z", "demo@2"),
        ];
        for (instant, version) in rows {
            let plan = schedule.plan_at(crate::records::at(instant)).expect("a plan");
            assert_eq!(plan.id().as_str(), version, "{instant}");
        }
    }

    async fn the_first_start_happens_once(database: &Database) {
        let plan = Plan::demo().expect("the demo plan");
        let start = |number: u8| {
            let (ledger, plan) = (database.ledger.clone(), plan.clone());
            async move {
                let first = FirstStart {
                    operator: new_operator("operator", number),
                    plan: &plan,
                    tenant: new_tenant("demo", "demo", "UTC"),
                    key: new_key(&format!("K{number}"), number),
                };
                ledger.bootstrap(&first, NOW).await.expect("an answer").map(|(_, key)| key.id)
            }
        };
        let starts: Vec<_> = (1..=8).map(|number| tokio::spawn(start(number))).collect();
        let mut winners = Vec::new();
        for start in starts {
            winners.extend(start.await.expect("no panic"));
        }
        assert_eq!(winners.len(), 1, "exactly one may print secrets");
        let keys = database.ledger.keys(None).await.expect("read");
        assert_eq!(keys.iter().map(|key| key.id.clone()).collect::<Vec<_>>(), winners);
        assert_eq!(database.ledger.operators().await.expect("read").len(), 1);
        assert_eq!(start(9).await, None);
        let taken = database.ledger.create_operator(&new_operator("operator", 9), NOW).await;
        assert!(matches!(taken, Err(LedgerError::Taken { .. })));
        database.ledger.create_operator(&new_operator("second", 9), NOW).await.expect("created");
        database.ledger.disable_operator("operator", NOW).await.expect("there is another");
        let last = database.ledger.disable_operator("second", NOW).await;
        assert!(matches!(last, Err(LedgerError::LastOperator)), "{last:?}");
        let nobody = database.ledger.disable_operator("nobody", NOW).await;
        assert!(matches!(nobody, Err(LedgerError::Missing { .. })), "{nobody:?}");
    }

    async fn a_failed_first_start_leaves_nothing(database: &Database) {
        let plan = Plan::demo().expect("the demo plan");
        let first = FirstStart {
            operator: new_operator("operator", 1),
            plan: &plan,
            tenant: new_tenant("BAD NAME", "demo", "UTC"),
            key: new_key("K1", 1),
        };
        assert!(database.ledger.bootstrap(&first, NOW).await.is_err());
        assert_eq!(database.ledger.operators().await.expect("read"), []);
        assert_eq!(database.ledger.plans().await.expect("read").len(), 0);
    }

    async fn a_published_version_never_changes(database: &Database) {
        let ledger = &database.ledger;
        let plan = Plan::demo().expect("the demo plan");
        assert_eq!(ledger.publish_plan(&plan, NOW).await.expect("published"), Published::New);
        let revision = ledger.revision().await.expect("read");
        let reworded = demo_with("\"0.15\"", "\"0.150\"");
        assert_eq!(ledger.publish_plan(&reworded, NOW).await.expect("the same"), Published::Already);
        let dearer = demo_with("\"0.15\"", "\"0.16\"");
        let error = ledger.publish_plan(&dearer, NOW).await.expect_err("a conflict");
        assert!(matches!(&error, LedgerError::PlanChanged(id) if id.as_str() == "demo@1"), "{error}");
        let euros = plan_in_euros(2);
        let error = ledger.publish_plan(&euros, NOW).await.expect_err("a conflict");
        assert!(matches!(error, LedgerError::CurrencyChange { .. }), "{error}");
        assert_eq!(ledger.plans().await.expect("read").len(), 1);
        let stored = ledger.find_plan(plan.id()).await.expect("read").expect("there");
        assert!(stored.has_same_terms(&plan) && stored.source() == plan.source());
        assert!(ledger.revision().await.expect("read") >= revision);
    }

    async fn a_tenant_keeps_its_currency(database: &Database) {
        let ledger = &database.ledger;
        let acme = tenant(ledger, "acme", "UTC").await;
        let euros = plan(&plan_in_euros(1).source().replacen("name = \"demo\"", "name = \"euro\"", 1));
        ledger.publish_plan(&euros, NOW).await.expect("published");
        let error = ledger.set_tenant_plan(acme.id, "euro").await.expect_err("refused");
        assert!(matches!(error, LedgerError::CurrencyChange { .. }), "{error}");
        let other = plan(&plan_in_euros(1).source().replacen("name = \"demo\"", "name = \"gold\"", 1).replacen("EUR", "USD", 1));
        ledger.publish_plan(&other, NOW).await.expect("published");
        ledger.set_tenant_plan(acme.id, "gold").await.expect("set");
        assert_eq!(ledger.find_tenant("acme").await.expect("read").expect("there").plan_name, "gold");
        assert!(matches!(ledger.set_tenant_plan(acme.id, "none").await, Err(LedgerError::Missing { .. })));
    }

    async fn many_may_open_it_at_once(database: &Database) {
        // The tables are there already; a second database starts from nothing, six times at once.
        let place = match database.is_sqlite() {
            true => Place::sqlite(),
            false => Place::postgres().await.expect("the server was there before"),
        };
        let opens: Vec<_> = (0..6).map(|_| {
            let url = place.url.clone();
            tokio::spawn(async move { Ledger::connect(&url).await })
        }).collect();
        for open in opens {
            let ledger = open.await.expect("no panic").expect("it opens");
            assert_eq!(ledger.revision().await.expect("read"), 0);
            ledger.close().await;
        }
        Database::open(place).await.remove().await;
    }
}

fn plan_in_euros(version: u32) -> Plan {
    let source = demo_with("\"USD\"", "\"EUR\"").source().to_owned();
    plan(&source.replacen("version = 1", &format!("version = {version}"), 1))
}

#[tokio::test]
async fn urls_that_name_no_database_are_refused() {
    for url in ["", "ledger.db", "mysql://localhost/x", "sqlite://", "sqlite:ledger.db", "postgres:/x"] {
        assert!(matches!(Ledger::connect(url).await, Err(LedgerError::BadUrl)), "{url}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let missing = format!("sqlite://{}/none/ledger.db", folder.path().display());
    let error = Ledger::connect(&missing).await.expect_err("no such folder");
    assert!(matches!(error, LedgerError::File { .. }), "{error}");
    let away = "postgres://somebody:hunter2@127.0.0.1:1/ledger";
    let began = std::time::Instant::now();
    let error = Ledger::connect(away).await.expect_err("nobody listens");
    assert!(error.to_string().contains("refused"), "the cause is told: {error}");
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "a refusal is not waited out");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("led ger%20?.db");
    let ledger = Ledger::connect(&format!("sqlite://{}", path.display())).await.expect("a ledger");
    tenant(&ledger, "acme", "UTC").await;
    for entry in std::fs::read_dir(folder.path()).expect("a listing") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("its data").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
    assert!(path.exists());
}
