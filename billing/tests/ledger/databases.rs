//! Fresh databases for tests: a SQLite file in a temporary folder, a database of its own on a PostgreSQL server.
//! Never shared between tests, and never silently left out: a skipped PostgreSQL is printed, or refused.
//! Used by every test of this program.
//!
//! `TALLYGATE_TEST_POSTGRES_URL` names a server on which databases may be created;
//! with `TALLYGATE_TEST_REQUIRE=1` its absence is a failure.

use billing::ledger::Ledger;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

pub(crate) struct Database {
    pub(crate) ledger: Ledger,
    place: Place,
}

/// Where a database is, opened or not.
pub(crate) struct Place {
    pub(crate) url: String,
    /// Held so that the file lives as long as the test.
    _folder: Option<TempDir>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
        Self { url, _folder: Some(folder) }
    }

    /// A new database on the test server. `None`: there is no server, and that is allowed.
    pub(crate) async fn postgres() -> Option<Self> {
        let Ok(server) = std::env::var("TALLYGATE_TEST_POSTGRES_URL") else {
            let is_required = std::env::var("TALLYGATE_TEST_REQUIRE").is_ok_and(|value| value == "1");
            assert!(!is_required, "TALLYGATE_TEST_REQUIRE=1 needs TALLYGATE_TEST_POSTGRES_URL");
            eprintln!("skipped on PostgreSQL: TALLYGATE_TEST_POSTGRES_URL names no server");
            return None;
        };
        let name = format!("tallygate_{}", uuid::Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(&server).await.expect("the test server answers");
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create).execute(&mut connection).await.expect("databases may be created");
        let (base, _) = server.rsplit_once('/').expect("a URL with a database");
        Some(Self { url: format!("{base}/{name}"), _folder: None })
    }

    /// A copy of a database, as a backup gives it back. PostgreSQL copies only what nobody has open.
    pub(crate) async fn copy(&self) -> Self {
        if self.url.starts_with("sqlite:") {
            let copy = Self::sqlite();
            let path = copy.url.trim_start_matches("sqlite://");
            let ledger = Ledger::connect(&self.url).await.expect("the ledger opens");
            ledger.backup(std::path::Path::new(path)).await.expect("copied");
            ledger.close().await;
            return copy;
        }
        let (base, original) = self.url.rsplit_once('/').expect("a URL with a database");
        let name = format!("tallygate_{}", uuid::Uuid::new_v4().simple());
        let server = std::env::var("TALLYGATE_TEST_POSTGRES_URL").expect("it was there before");
        let mut connection = PgConnection::connect(&server).await.expect("the test server answers");
        let create = AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {original}"));
        sqlx::raw_sql(create).execute(&mut connection).await.expect("nobody has it open");
        Self { url: format!("{base}/{name}"), _folder: None }
    }
}

impl Database {
    pub(crate) async fn open(place: Place) -> Self {
        let ledger = Ledger::connect(&place.url).await.expect("a fresh ledger");
        Self { ledger, place }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.place.url.starts_with("sqlite:")
    }

    pub(crate) fn url(&self) -> &str {
        &self.place.url
    }

    /// Runs statements as somebody with a plain database client would.
    pub(crate) async fn raw(&self, statements: &str) -> Result<(), sqlx::Error> {
        let statements = AssertSqlSafe(statements.to_owned());
        if let Some(path) = self.url().strip_prefix("sqlite://") {
            let mut connection = SqliteConnection::connect(&format!("sqlite://{path}")).await?;
            sqlx::raw_sql(statements).execute(&mut connection).await?;
            connection.close().await
        } else {
            let mut connection = PgConnection::connect(self.url()).await?;
            sqlx::raw_sql(statements).execute(&mut connection).await?;
            connection.close().await
        }
    }

    /// One number from a query.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        let query = AssertSqlSafe(query.to_owned());
        let row: (i64,) = if self.is_sqlite() {
            let mut connection = SqliteConnection::connect(self.url()).await.expect("the file opens");
            sqlx::query_as(query).fetch_one(&mut connection).await.expect("a number")
        } else {
            let mut connection = PgConnection::connect(self.url()).await.expect("the server answers");
            sqlx::query_as(query).fetch_one(&mut connection).await.expect("a number")
        };
        row.0
    }

    /// Removes a PostgreSQL database; a file goes with its folder.
    pub(crate) async fn remove(self) {
        self.ledger.close().await;
        if self.is_sqlite() {
            return;
        }
        let server = std::env::var("TALLYGATE_TEST_POSTGRES_URL").expect("it was there before");
        let name = self.url().rsplit('/').next().expect("a database").to_owned();
        let mut connection = PgConnection::connect(&server).await.expect("the test server answers");
        let drop = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        sqlx::raw_sql(drop).execute(&mut connection).await.expect("databases may be dropped");
    }
}

/// Each function becomes two tests: one on SQLite, one on PostgreSQL.
macro_rules! on_each_database {
    ($(async fn $name:ident($database:ident: &Database) $body:block)*) => {$(
        mod $name {
            use super::*;
            use crate::databases::{Database, Place};

            async fn run($database: &Database) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let database = Database::open(Place::sqlite()).await;
                run(&database).await;
                database.remove().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let Some(place) = Place::postgres().await else { return };
                let database = Database::open(place).await;
                run(&database).await;
                database.remove().await;
            }
        }
    )*};
}
