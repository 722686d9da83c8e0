//! A ledger of the first version becomes one of today's: limits move, revoked keys stay revoked, sums stay.
//! Never a fresh database.
//! Run for both databases.

use billing::ledger::{AuditQuestion, Limits, UserRole};
use domain::KeyId;
use sqlx::{
    Connection as _, PgConnection, SqlSafeStr as _, SqliteConnection,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::{
    databases::{Database, Place},
    records::november,
};

fn first(text: &'static str) -> Migrator {
    let text = text.into_sql_str();
    Migrator::with_migrations(vec![Migration::new(1, "ledger".into(), MigrationType::Simple, text, false)])
}

/// Two tenants, two keys, a record and its tally, as the first version stored them. `$id(n)` and `$hash(n)` differ.
fn rows(id: impl Fn(u8) -> String, hash: impl Fn(u8) -> String, yes: &str) -> String {
    let (acme, zeta, request, journal) = (id(1), id(2), id(3), id(4));
    let (one, two) = (hash(1), hash(2));
    format!(
        "INSERT INTO plans VALUES ('demo', 'USD');
         INSERT INTO tenants VALUES ({acme}, 'acme', 'demo', 'USD', 'UTC', 60, NULL, 5, 0, NULL);
         INSERT INTO tenants VALUES ({zeta}, 'zeta', 'demo', 'USD', 'UTC', NULL, NULL, NULL, 0, NULL);
         INSERT INTO api_keys VALUES ('A1', {acme}, 'k', {one}, NULL, 70, NULL, NULL, 0, NULL);
         INSERT INTO api_keys VALUES ('A2', {acme}, 'k', {two}, NULL, NULL, NULL, 'demo', 0, 7);
         INSERT INTO usage_records VALUES ({request}, {journal}, 1, {one}, {two}, {acme}, 'A1', 'demo', 'local',
             'batch', NULL, 0, NULL, 'completed', 3, 0, 2, 0, NULL, NULL, {yes}, 2, 7, 'modelled', 0, 0,
             1794268800000000, 1794268800000000, 'demo@1');
         INSERT INTO tallies_hourly VALUES ({acme}, 498408, 'A1', 'demo', 'batch', 'completed', 'demo@1', 'modelled',
             1, 1, 3, 0, 2, 0, 2, 0, 7);"
    )
}

/// What must be true of that ledger, opened by today's version.
async fn check(database: &Database) {
    let ledger = &database.ledger;
    let acme = ledger.find_tenant("acme").await.expect("read").expect("there");
    let limits = Limits { requests_per_minute: Some(60), concurrency: Some(5), ..Limits::default() };
    assert_eq!(acme.limits, limits);
    let zeta = ledger.find_tenant("zeta").await.expect("read").expect("there");
    assert_eq!((zeta.limits, ledger.limits(zeta.id).await.expect("read").len()), (Limits::default(), 0));
    let key = |text: &str| KeyId::new(text).expect("an id");
    let open = ledger.find_key(&key("A1")).await.expect("read").expect("there");
    assert_eq!(open.limits, Limits { tokens_per_minute: Some(70), ..Limits::default() });
    assert_eq!((open.scopes, open.revoked_at), (domain::KeyScopes::ALL, None));
    let gone = ledger.find_key(&key("A2")).await.expect("read").expect("there");
    assert_eq!(gone.revoked_at.map(|at| at.unix_micros()), Some(7));
    assert!(ledger.enable_key(&gone.id).await.is_err(), "revoked keys stay revoked");
    let sums = ledger.usage_sums(acme.id, &november("UTC")).await.expect("sums");
    assert_eq!((sums.len(), sums[0].totals.requests), (1, 1));
    let record = &ledger.latest_records(acme.id, 1).await.expect("read")[0].journaled.record;
    assert_eq!((record.project_id, record.charge), (None, domain::Nanos::ZERO));
    // The tally is of the record still, project and all.
    let end = crate::records::at("2026-12-01T00:00:00Z");
    let source = billing::plan::Plan::demo().expect("the demo plan");
    ledger.publish_plan(&source, end).await.expect("published");
    billing::invoice::issue(ledger, &acme, &november("UTC"), end).await.expect("issued");
}

#[tokio::test]
async fn a_first_ledger_on_sqlite_opens() {
    let place = Place::sqlite();
    let new = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(place.url.trim_start_matches("sqlite://"))
        .create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&new).await.expect("a file");
    let migrator = first(include_str!("../../../migrations/sqlite/0001_ledger.sql"));
    migrator.run_direct(None, &mut connection, false).await.expect("the first version");
    let (id, hash) = (|n: u8| format!("x'{n:032x}'"), |n: u8| format!("x'{n:064x}'"));
    let statements = sqlx::AssertSqlSafe(rows(id, hash, "1"));
    sqlx::raw_sql(statements).execute(&mut connection).await.expect("rows");
    connection.close().await.expect("closed");
    let database = Database::open(place).await;
    check(&database).await;
    database.remove().await;
}

#[tokio::test]
async fn a_first_ledger_on_postgres_opens() {
    let Some(place) = Place::postgres().await else { return };
    let mut connection = PgConnection::connect(&place.url).await.expect("a database");
    let migrator = first(include_str!("../../../migrations/postgres/0001_ledger.sql"));
    migrator.run_direct(None, &mut connection, false).await.expect("the first version");
    let (id, hash) = (|n: u8| format!("'{n:032x}'::uuid"), |n: u8| format!("'\\x{n:064x}'::bytea"));
    let statements = sqlx::AssertSqlSafe(rows(id, hash, "true"));
    sqlx::raw_sql(statements).execute(&mut connection).await.expect("rows");
    connection.close().await.expect("closed");
    let database = Database::open(place).await;
    check(&database).await;
    database.remove().await;
}

/// Every step up to the sixth, of one database.
macro_rules! six {
    ($folder:literal) => {
        [
            include_str!(concat!("../../../migrations/", $folder, "/0001_ledger.sql")),
            include_str!(concat!("../../../migrations/", $folder, "/0002_caps.sql")),
            include_str!(concat!("../../../migrations/", $folder, "/0003_idempotency.sql")),
            include_str!(concat!("../../../migrations/", $folder, "/0004_stored_responses.sql")),
            include_str!(concat!("../../../migrations/", $folder, "/0005_identity.sql")),
            include_str!(concat!("../../../migrations/", $folder, "/0006_audit.sql")),
        ]
    };
}

fn up_to(texts: [&'static str; 6]) -> Migrator {
    let steps = texts.into_iter().zip(1..).map(|(text, number)| {
        Migration::new(number, "step".into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    Migrator::with_migrations(steps.collect())
}

/// A tenant that changed its plan, one that did not, and people in the roles of then.
fn rows_of_people(id: impl Fn(u8) -> String) -> String {
    let (acme, zeta, anna, bert) = (id(1), id(2), id(3), id(4));
    format!(
        "INSERT INTO plans VALUES ('demo', 'USD');
         INSERT INTO plans VALUES ('gold', 'USD');
         INSERT INTO tenants (tenant_id, name, plan_name, currency, zone, created_unix_us)
             VALUES ({acme}, 'acme', 'demo', 'USD', 'UTC', 5);
         INSERT INTO tenants (tenant_id, name, plan_name, currency, zone, created_unix_us)
             VALUES ({zeta}, 'zeta', 'demo', 'USD', 'UTC', 6);
         UPDATE tenants SET plan_name = 'gold' WHERE name = 'acme';
         UPDATE tenants SET zone = 'Europe/Berlin' WHERE name = 'zeta';
         INSERT INTO users VALUES ({anna}, {acme}, 'anna@example.com', NULL, 'owner', 7, NULL);
         INSERT INTO users VALUES ({bert}, {acme}, 'bert@example.com', 's', 'member', 8, 9);"
    )
}

/// What must be true of that ledger, opened by today's version.
async fn check_people(database: &Database) {
    let ledger = &database.ledger;
    let acme = ledger.find_tenant("acme").await.expect("read").expect("there");
    let zeta = ledger.find_tenant("zeta").await.expect("read").expect("there");
    let changed =
        ledger.audit_page(&AuditQuestion { tenant: Some(acme.id), ..AuditQuestion::default() }, 1_000).await;
    let changed = changed.expect("entries").into_iter().find(|entry| entry.action == "tenant.changed");
    let rows = [(&acme, "gold", changed.expect("noted").at), (&zeta, "demo", zeta.created_at)];
    for (tenant, plan_name, since) in rows {
        let found = ledger.subscriptions_page(tenant.id, None, 9).await.expect("read");
        let found: Vec<_> =
            found.iter().map(|one| (one.sequence, one.plan_name.as_str(), one.since)).collect();
        assert_eq!(found, [(1, plan_name, since)], "{}", tenant.name);
    }
    let users = ledger.users_page(acme.id, None, 9).await.expect("read");
    let found: Vec<_> =
        users.iter().map(|user| (user.email.as_str(), user.role, user.disabled_at.is_some())).collect();
    assert_eq!(
        found,
        [("anna@example.com", UserRole::Owner, false), ("bert@example.com", UserRole::Developer, true)]
    );
}

#[tokio::test]
async fn people_and_plans_of_before_stay_on_sqlite() {
    let place = Place::sqlite();
    let new = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(place.url.trim_start_matches("sqlite://"))
        .create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&new).await.expect("a file");
    up_to(six!("sqlite")).run_direct(None, &mut connection, false).await.expect("the sixth version");
    let statements = sqlx::AssertSqlSafe(rows_of_people(|n| format!("x'{n:032x}'")));
    sqlx::raw_sql(statements).execute(&mut connection).await.expect("rows");
    connection.close().await.expect("closed");
    let database = Database::open(place).await;
    check_people(&database).await;
    database.remove().await;
}

#[tokio::test]
async fn people_and_plans_of_before_stay_on_postgres() {
    let Some(place) = Place::postgres().await else { return };
    let mut connection = PgConnection::connect(&place.url).await.expect("a database");
    up_to(six!("postgres")).run_direct(None, &mut connection, false).await.expect("the sixth version");
    let statements = sqlx::AssertSqlSafe(rows_of_people(|n| format!("'{n:032x}'::uuid")));
    sqlx::raw_sql(statements).execute(&mut connection).await.expect("rows");
    connection.close().await.expect("closed");
    let database = Database::open(place).await;
    check_people(&database).await;
    database.remove().await;
}
