//! A PostgreSQL role under which a gateway works whole, and can neither change tables nor what never changes.
//! Never a rule of the triggers alone: what is asked here is refused before any of them is reached.
//! Run where a PostgreSQL server is.

use billing::{
    invoice,
    ledger::{AuditQuestion, Ledger, LedgerError},
};
use domain::Period;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::{
    databases::{Database, Place},
    records::{Chain, NOW, at, november, record, tenant},
};

/// A role of its own for a test; roles belong to the whole server.
async fn role(server: &str) -> String {
    let role = format!("gateway_{}", Uuid::new_v4().simple());
    let mut connection = PgConnection::connect(server).await.expect("the server answers");
    let create = AssertSqlSafe(format!("CREATE ROLE {role} LOGIN"));
    sqlx::raw_sql(create).execute(&mut connection).await.expect("roles may be created");
    role
}

/// The same database for another role.
fn url_of(url: &str, role: &str) -> String {
    let (_, place) = url.split_once('@').expect("a URL with a user");
    format!("postgres://{role}@{place}")
}

/// All usage, as one number.
const SUM: &str = "SELECT CAST(SUM(output_tokens) + COUNT(*) AS BIGINT) FROM usage_records";

/// What the role must be refused, each for want of a right.
const REFUSED: [&str; 29] = [
    "UPDATE usage_records SET output_tokens = 0",
    "DELETE FROM usage_records",
    "TRUNCATE usage_records",
    "DELETE FROM usage_records_2026_11",
    "INSERT INTO usage_records_2026_11 SELECT * FROM usage_records",
    "UPDATE usage_record_keys SET sequence = 9",
    "DELETE FROM usage_record_keys",
    "UPDATE invoices SET total_minor = 0",
    "DELETE FROM invoices",
    "DELETE FROM invoice_lines",
    "UPDATE invoice_lines SET displayed_minor = 0",
    "UPDATE audit_log SET actor = 'nobody'",
    "DELETE FROM audit_log",
    "DELETE FROM journal_marks",
    "DELETE FROM journal_cursors",
    "UPDATE plan_versions SET body = ''",
    "UPDATE grants SET note = 'x'",
    "UPDATE usage_events SET body = ''",
    "DELETE FROM usage_events",
    "UPDATE usage_event_counts SET counts = 0",
    "DELETE FROM usage_event_counts",
    "INSERT INTO detached_months SELECT * FROM detached_months",
    "UPDATE _sqlx_migrations SET success = false",
    "CREATE TABLE mine (x INTEGER)",
    "ALTER TABLE usage_records DISABLE TRIGGER ALL",
    "DROP TABLE usage_records",
    "DROP TRIGGER audit_log_keep ON audit_log",
    "CREATE OR REPLACE FUNCTION tallygate_keep() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
    "SELECT tallygate_drop_month('2026-11', 0)",
];

/// Runs a statement as a role and gives PostgreSQL's code of what it was refused for.
async fn refused(url: &str, statement: &'static str) -> String {
    let mut connection = PgConnection::connect(url).await.expect("the role may connect");
    let error = sqlx::raw_sql(statement).execute(&mut connection).await.expect_err(statement);
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.map(|code| code.into_owned()).unwrap_or_default()
}

/// Grants a role what a gateway needs, and looks at what it got.
async fn granted(database: &Database, role: &str) {
    let rights = database.ledger.grant_role(role).await.expect("granted");
    assert_eq!(database.ledger.grant_role(role).await.expect("again"), rights, "twice is once");
    let of = |table: &str| rights.iter().find(|row| row.table_name == table).map(|row| row.rights.as_str());
    for kept in [
        "usage_records",
        "usage_record_keys",
        "usage_events",
        "usage_event_counts",
        "invoices",
        "invoice_lines",
        "audit_log",
        "plan_versions",
    ] {
        assert_eq!(of(kept), Some("SELECT, INSERT"), "{kept}");
    }
    assert_eq!(of("journal_marks"), Some("SELECT, INSERT, UPDATE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateways_role_does_its_work_and_changes_nothing_that_never_changes() {
    let Some(place) = Place::postgres().await else { return };
    let database = Database::open(place).await;
    let role = role(database.url()).await;
    let url = url_of(database.url(), &role);
    // Before it was granted anything, it is told what is missing.
    let error = Ledger::connect(&url).await.expect_err("nothing was granted");
    assert!(matches!(error, LedgerError::NotGranted { .. }), "{error}");
    assert!(error.to_string().contains("tallygate database grant"), "{error}");
    granted(&database, &role).await;

    // Everything a gateway does: tenants, months, records twice, sums, an invoice, the audit log, detaching a month.
    let ledger = Ledger::connect(&url).await.expect("granted");
    let acme = tenant(&ledger, "acme", "UTC").await;
    assert!(ledger.make_months(at("2027-06-01T00:00:00Z"), 1).await.expect("made") > 0);
    ledger.make_months(at("2026-11-15T00:00:00Z"), 0).await.expect("made");
    let mut chain = Chain::new();
    let batch = chain.add_all((0..20).map(|number| record(&acme, number, NOW)));
    ledger.ship(chain.journal_id, &batch).await.expect("shipped");
    assert_eq!(ledger.ship(chain.journal_id, &batch).await.expect("again").duplicates, 20);
    ledger.note_complete(chain.journal_id, billing::ledger::Complete::ForGood).await.expect("noted");
    let draft = invoice::preview(&ledger, &acme, &november("UTC"), NOW).await.expect("a draft");
    let issued =
        invoice::issue(&ledger, &acme, &november("UTC"), at("2026-12-01T00:00:00Z")).await.expect("issued");
    assert_eq!((draft.records, issued.records), (20, 20));
    assert!(!ledger.audit_page(&AuditQuestion::default(), 9).await.expect("entries").is_empty());
    assert_eq!(ledger.records_outside_months().await.expect("a count"), 0);

    // What budgets count is a projection; the role makes it anew as it makes the tallies.
    database.raw("UPDATE spend_quarters SET charge_nanos = charge_nanos + 1").await.expect("changed");
    assert!(ledger.rebuild_spending(acme.id).await.expect("mended").is_some());
    assert_eq!(ledger.rebuild_spending(acme.id).await.expect("compared"), None);

    let before = database.number(SUM).await;
    for statement in REFUSED {
        assert_eq!(refused(&url, statement).await, "42501", "{statement}");
    }
    // Also under a path of its own, in which it has put tables of its own: what runs as the owner does not look there.
    let decoy = "CREATE TEMPORARY TABLE usage_records_outside (finished_unix_us BIGINT);
                 INSERT INTO usage_records_outside VALUES (0);
                 SELECT 1 / (CASE tallygate_records_outside() WHEN 0 THEN 0 ELSE 1 END)";
    assert_eq!(refused(&url, decoy).await, "22012", "it counted the owner's table, which is empty");
    assert_eq!(database.number(SUM).await, before);

    let december = Period::month("2026-12", "UTC").expect("a month");
    invoice::issue(&ledger, &acme, &december, at("2027-01-01T00:00:00Z")).await.expect("issued");
    let detached = ledger.detach_month("2026-11", at("2027-01-01T00:00:00Z")).await.expect("detached");
    let mut connection = PgConnection::connect(&url).await.expect("the role may connect");
    let kept = AssertSqlSafe(format!("DELETE FROM {}", detached.place));
    sqlx::raw_sql(kept).execute(&mut connection).await.expect_err("kept");
    let error =
        ledger.drop_month("2026-11", at("2027-01-01T00:00:00Z")).await.expect_err("its owner alone drops it");
    assert!(matches!(error, LedgerError::OwnerOnly { .. }), "{error}");
    // Usage events, also of a tenant and a month whose records are gone.
    crate::usage_events::take_one(&ledger, "globex").await;
    ledger.close().await;
    // A ledger that was opened since is opened again, with a month detached.
    Ledger::connect(&url).await.expect("granted still").close().await;
    database.remove().await;
}

#[tokio::test]
async fn an_owner_is_no_restricted_role() {
    let Some(place) = Place::postgres().await else { return };
    let database = Database::open(place).await;
    for (role, why) in [("postgres", "owns the tables"), ("nobody_of_this_name", "there is no role")] {
        let error = database.ledger.grant_role(role).await.expect_err(role).to_string();
        assert!(error.contains(why), "{error}");
    }
    database.remove().await;
}

#[tokio::test]
async fn a_role_without_rights_says_which_migration_is_missing() {
    let Some(place) = Place::postgres().await else { return };
    let database = Database::open(place).await;
    let role = role(database.url()).await;
    database.ledger.grant_role(&role).await.expect("granted");
    // As if this program were newer than the tables.
    database.raw("DELETE FROM _sqlx_migrations WHERE version = 15").await.expect("forgotten");
    let error = Ledger::connect(&url_of(database.url(), &role)).await.expect_err("old tables");
    assert!(matches!(error, LedgerError::Outdated { missing: 15, .. }), "{error}");
    assert!(error.to_string().contains("run `tallygate migrate` as their owner"), "{error}");
    database.remove().await;
}

#[tokio::test]
async fn a_file_has_no_roles() {
    let database = Database::open(Place::sqlite()).await;
    let error = database.ledger.grant_role("gateway").await.expect_err("a file");
    assert!(matches!(error, LedgerError::OtherDatabase(_)), "{error}");
}
