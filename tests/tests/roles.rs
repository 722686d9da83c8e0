//! A gateway under a PostgreSQL role that cannot change tables, and migrations by many processes at once.
//! Never the ledger's own rules, which its tests have: only the real program, as an operator runs it.
//! Run by `cargo xtask test`.

#![expect(clippy::expect_used, reason = "a surprise in a test should stop it with a message")]

use std::thread;

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, SqlSafeStr as _, SqliteConnection,
    migrate::{Migration, MigrationType, Migrator},
};
use tests::harness::{Chat, HarnessError, Installation, Outcome, create_database};

const SIMULATED: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\ndecode_step_us = 0\n";
/// Processes that migrate one database at the same time.
const PROCESSES: usize = 6;

fn over(url: &str) -> Outcome<Installation> {
    Ok(Installation::new(SIMULATED)?.with("LEDGER__URL", url))
}

/// What a command that must not succeed complained of.
fn complaint(outcome: Outcome<String>) -> Outcome<String> {
    match outcome {
        Err(HarnessError::Program { stderr, .. }) => Ok(stderr),
        Err(other) => Err(other),
        Ok(text) => Err(HarnessError::NotEvents { text }),
    }
}

/// Many processes bring one ledger up to date at once, and once more each.
fn migrate_by_many(url: &str) {
    let processes: Vec<_> = (0..PROCESSES)
        .map(|_| {
            let url = url.to_owned();
            thread::spawn(move || -> Outcome<[String; 2]> {
                let installation = over(&url)?;
                Ok([installation.run(&["migrate"])?, installation.run(&["migrate"])?])
            })
        })
        .collect();
    for process in processes {
        let printed = process.join().expect("no panic").expect("migrated");
        assert!(
            printed.iter().all(|text| text.contains("the ledger's tables are at migration")),
            "{printed:?}"
        );
    }
}

/// The first versions of the tables.
macro_rules! old {
    ($folder:literal) => {
        [
            include_str!(concat!("../../migrations/", $folder, "/0001_ledger.sql")),
            include_str!(concat!("../../migrations/", $folder, "/0002_caps.sql")),
            include_str!(concat!("../../migrations/", $folder, "/0003_idempotency.sql")),
        ]
    };
}

fn old_tables(texts: [&'static str; 3]) -> Migrator {
    let names = ["ledger", "caps", "idempotency"];
    let steps = texts.into_iter().zip(names).zip(1..).map(|((text, name), number)| {
        Migration::new(number, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    Migrator::with_migrations(steps.collect())
}

#[tokio::test]
async fn many_processes_migrate_a_fresh_database() -> Outcome {
    let Some(url) = create_database().await? else { return Ok(()) };
    migrate_by_many(&url);
    Ok(())
}

#[tokio::test]
async fn many_processes_migrate_an_old_database() -> Outcome {
    let Some(url) = create_database().await? else { return Ok(()) };
    let mut connection = PgConnection::connect(&url).await?;
    old_tables(old!("postgres")).run_direct(None, &mut connection, false).await.expect("old tables");
    connection.close().await?;
    migrate_by_many(&url);
    Ok(())
}

#[tokio::test]
async fn many_processes_migrate_an_old_file() -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("old.sqlite");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    old_tables(old!("sqlite")).run_direct(None, &mut connection, false).await.expect("old tables");
    connection.close().await?;
    migrate_by_many(&format!("sqlite://{}", path.display()));
    Ok(())
}

#[tokio::test]
async fn a_gateway_serves_ships_and_bills_under_a_role_without_rights_to_change() -> Outcome {
    let Some(url) = create_database().await? else { return Ok(()) };
    let owner = over(&url)?;
    let role = format!("gateway_{}", url.rsplit('_').next().unwrap_or_default());
    let mut connection = PgConnection::connect(&url).await?;
    connection.execute(AssertSqlSafe(format!("CREATE ROLE {role} LOGIN"))).await?;
    let (_, place) = url.split_once('@').expect("a URL with a user");
    let mut gateway = over(&format!("postgres://{role}@{place}"))?;
    // An empty database: the role may not make tables, and says who may.
    let why = complaint(gateway.run(&["check"]).or_else(|_| gateway.run(&["tenant", "list"])))?;
    assert!(why.contains("run `tallygate migrate` as their owner"), "{why}");
    owner.run(&["migrate"])?;
    let why = complaint(gateway.run(&["tenant", "list"]))?;
    assert!(why.contains("tallygate database grant"), "{why}");
    let granted = owner.run(&["database", "grant", "--role", &role])?;
    assert!(
        granted.lines().any(|line| line.starts_with("usage_records ") && line.ends_with("SELECT, INSERT")),
        "{granted}"
    );

    let server = gateway.start().await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    for _ in 0..5 {
        let answer = server.chat(&key).send(&Chat::request("What is goodput?", 8)).await?;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    server.stop().await?;
    assert_eq!(gateway.records("demo")?.len(), 5, "all of them were shipped");
    let invoice = gateway.run(&["invoice", "demo"])?;
    assert!(invoice.contains("demo"), "{invoice}");
    let months = gateway.run(&["partitions", "list"])?;
    assert!(months.lines().filter(|line| line.ends_with("attached")).count() >= 5, "{months}");
    for statement in
        ["DELETE FROM usage_records", "UPDATE audit_log SET actor = 'x'", "CREATE TABLE mine (x INTEGER)"]
    {
        let mut connection = PgConnection::connect(&format!("postgres://{role}@{place}")).await?;
        let error = connection.execute(statement).await.expect_err(statement).to_string();
        assert!(error.contains("permission denied"), "{error}");
    }
    Ok(())
}
