//! The one place that knows two databases: native SQLite and PostgreSQL pools behind one small door.
//! Never a statement and never a rule of the ledger: those are in `sql` and its callers.
//! Called by every other part of the ledger, always through a transaction.
//!
//! Long because what the two databases do differently is in this one file, so that nothing else has to know.

use std::{
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{
    Connection as _, FromRow, PgPool, Postgres, Sqlite, SqlitePool,
    postgres::{PgConnection, PgPoolOptions, PgRow},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use uuid::Uuid;

use super::{Actor, LedgerError, migrations, roles, sql};

/// Connections to PostgreSQL. The request path uses none: shipping, snapshots and the command line share these.
const POSTGRES_CONNECTIONS_MAX: u32 = 8;
/// Connections that read SQLite. Writers have one of their own, as SQLite admits one writer at a time.
const SQLITE_READERS_MAX: u32 = 4;
/// How long a statement waits for another process's write lock on the SQLite file.
const SQLITE_BUSY: Duration = Duration::from_secs(30);
/// How long to wait before a SQLite file that was busy is opened again.
const SQLITE_BUSY_PAUSE: Duration = Duration::from_millis(20);
/// How long to wait for a connection before the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the first connection to PostgreSQL may take: a name look-up and a TLS handshake over a slow line.
const FIRST_CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// One statement's text, where the two databases need different words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement {
    sqlite: &'static str,
    postgres: &'static str,
}

impl Statement {
    /// The usual case: the same text for both.
    pub(crate) const fn both(text: &'static str) -> Self {
        Self { sqlite: text, postgres: text }
    }

    /// Where they differ.
    pub(crate) const fn each(sqlite: &'static str, postgres: &'static str) -> Self {
        Self { sqlite, postgres }
    }
}

/// What a statement's `$1`, `$2`, … stand for.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    /// A count, an instant or an amount in minor units.
    Int(i64),
    /// A count that may be absent.
    MaybeInt(Option<i64>),
    /// A text.
    Text(&'a str),
    /// A text that may be absent.
    MaybeText(Option<&'a str>),
    /// A hash.
    Bytes(&'a [u8]),
    /// An id.
    Id(Uuid),
    /// An id that may be absent.
    MaybeId(Option<Uuid>),
    /// Yes or no.
    Flag(bool),
}

impl Value<'_> {
    /// How many rows there may be at most.
    pub(crate) fn rows_max(rows_max: usize) -> Self {
        Self::Int(i64::try_from(rows_max).unwrap_or(i64::MAX))
    }
}

/// A row type that both databases can fill.
pub(crate) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// The open database, and who changes things through it.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    connections: Connections,
    actor: Option<Arc<Actor>>,
}

/// The open connections.
#[derive(Clone, Debug)]
enum Connections {
    /// A SQLite file: one writing connection, several reading ones.
    Sqlite { reads: SqlitePool, writes: SqlitePool },
    /// A PostgreSQL server.
    Postgres(PgPool),
}

/// A transaction. Dropped without [`Transaction::commit`], it changes nothing.
pub(crate) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    /// One whose changes are noted under somebody's name.
    SqliteActing(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// Binds values to a query of either database.
macro_rules! bound {
    ($query:expr, $values:expr) => {
        $values.iter().fold($query, |query, value| match *value {
            Value::Int(value) => query.bind(value),
            Value::MaybeInt(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::MaybeText(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
            Value::Id(value) => query.bind(value),
            Value::MaybeId(value) => query.bind(value),
            Value::Flag(value) => query.bind(value),
        })
    };
}

impl Pool {
    /// Opens the database a URL names, creating a SQLite file that does not exist yet.
    pub(crate) async fn connect(url: &str) -> Result<Self, LedgerError> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            return Self::connect_sqlite(Path::new(path)).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Self::connect_postgres(url).await;
        }
        Err(LedgerError::BadUrl)
    }

    async fn connect_sqlite(path: &Path) -> Result<Self, LedgerError> {
        if path.as_os_str().is_empty() {
            return Err(LedgerError::BadUrl);
        }
        create_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(SQLITE_BUSY)
            .foreign_keys(true);
        // A full disk makes SQLite roll back by itself; the ROLLBACK that follows then fails, and the driver
        // counts the connection as inside a transaction for good. Such a connection is closed and replaced.
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        };
        let open = |source| LedgerError::Unreachable { place: path.display().to_string(), source };
        let writes = open_patiently(|| pool(1).connect_with(options.clone())).await.map_err(open)?;
        let reads = options.clone().read_only(true);
        let reads =
            open_patiently(|| pool(SQLITE_READERS_MAX).connect_with(reads.clone())).await.map_err(open)?;
        Ok(Self { connections: Connections::Sqlite { reads, writes }, actor: None })
    }

    async fn connect_postgres(url: &str) -> Result<Self, LedgerError> {
        // The URL may hold a password: it is not repeated.
        let away = |source| LedgerError::Unreachable { place: "PostgreSQL".to_owned(), source };
        // A pool tries again until its time is up and then tells only that; one connection tells why.
        let first = tokio::time::timeout(FIRST_CONNECTION_TIMEOUT, PgConnection::connect(url)).await;
        let no_answer = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
        first.unwrap_or_else(|_| Err(no_answer())).map_err(away)?.close().await.map_err(away)?;
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect(url)
            .await
            .map_err(away)?;
        Ok(Self { connections: Connections::Postgres(pool), actor: None })
    }

    /// Brings the schema up to date. Two processes may do this at once: one waits for the other.
    pub(crate) async fn migrate(&self) -> Result<(), LedgerError> {
        match &self.connections {
            // SQLite has no migration lock of its own: the write lock is taken first, and each
            // migration becomes a savepoint inside. `run_direct` as `run` gives a future that is not `Send`.
            Connections::Sqlite { writes, .. } => {
                let mut transaction = writes.begin_with(sql::BEGIN_WRITE_SQLITE).await?;
                migrations::sqlite().run_direct(None, &mut *transaction, false).await?;
                transaction.commit().await?;
            }
            Connections::Postgres(pool) => roles::bring_up_to_date(pool).await?,
        }
        Ok(())
    }

    /// A transaction that reads one consistent state and can change nothing.
    pub(crate) async fn read(&self) -> Result<Transaction, LedgerError> {
        Ok(match &self.connections {
            Connections::Sqlite { reads, .. } => Transaction::Sqlite(reads.begin().await?),
            Connections::Postgres(pool) => {
                Transaction::Postgres(pool.begin_with(sql::BEGIN_READ_POSTGRES).await?)
            }
        })
    }

    /// The same database for somebody whose changes are noted under his name.
    pub(crate) fn acting(&self, actor: Actor) -> Self {
        Self { connections: self.connections.clone(), actor: Some(Arc::new(actor)) }
    }

    /// A transaction that may write. SQLite: holds the write lock from the start, so it never has to retry.
    pub(crate) async fn write(&self) -> Result<Transaction, LedgerError> {
        let mut transaction = match (&self.connections, &self.actor) {
            (Connections::Sqlite { writes, .. }, None) => {
                Transaction::Sqlite(writes.begin_with(sql::BEGIN_WRITE_SQLITE).await?)
            }
            (Connections::Sqlite { writes, .. }, Some(_)) => {
                Transaction::SqliteActing(writes.begin_with(sql::BEGIN_WRITE_SQLITE).await?)
            }
            (Connections::Postgres(pool), _) => Transaction::Postgres(pool.begin().await?),
        };
        if let Some(actor) = &self.actor {
            let request_id = actor.request_id.map(|id| id.as_uuid().simple().to_string());
            let values = [
                Value::Text(actor.kind.as_str()),
                Value::Text(&actor.name),
                Value::MaybeText(request_id.as_deref()),
            ];
            transaction.execute(sql::SET_ACTOR, &values).await?;
        }
        Ok(transaction)
    }

    /// Copies a SQLite ledger, as it is at one moment, into a file that is not there yet. Others go on meanwhile.
    pub(crate) async fn backup(&self, path: &Path) -> Result<(), LedgerError> {
        let Connections::Sqlite { reads, .. } = &self.connections else {
            return Err(LedgerError::OtherDatabase(
                "a PostgreSQL ledger is backed up with PostgreSQL's own tools; docs/operating.md says how",
            ));
        };
        let fault = |source| LedgerError::File { path: path.to_owned(), source };
        // For its owner alone, before there is anything in it: SQLite fills an empty file.
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fault)?;
        let shown = path.to_str().ok_or_else(|| fault(std::io::ErrorKind::InvalidFilename.into()))?;
        sqlx::query(sql::BACKUP).bind(shown).execute(reads).await?;
        std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(fault)
    }

    /// Waits for running transactions and closes the connections.
    pub(crate) async fn close(&self) {
        match &self.connections {
            Connections::Sqlite { reads, writes } => {
                reads.close().await;
                writes.close().await;
            }
            Connections::Postgres(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    /// Makes the changes last.
    pub(crate) async fn commit(mut self) -> Result<(), LedgerError> {
        if matches!(self, Self::SqliteActing(_)) {
            self.execute(sql::FORGET_ACTOR, &[]).await?;
        }
        match self {
            Self::Sqlite(transaction) | Self::SqliteActing(transaction) => transaction.commit().await?,
            Self::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }

    /// Runs a statement and says how many rows it touched.
    pub(crate) async fn execute(
        &mut self,
        statement: Statement,
        values: &[Value<'_>],
    ) -> Result<u64, LedgerError> {
        Ok(match self {
            Self::Sqlite(connection) | Self::SqliteActing(connection) => {
                let query = bound!(sqlx::query(statement.sqlite), values);
                query.execute(&mut **connection).await?.rows_affected()
            }
            Self::Postgres(connection) => {
                let query = bound!(sqlx::query(statement.postgres), values);
                query.execute(&mut **connection).await?.rows_affected()
            }
        })
    }

    /// Runs a statement and takes every row. Statements without a natural bound carry a LIMIT.
    pub(crate) async fn rows<T: Row>(
        &mut self,
        statement: Statement,
        values: &[Value<'_>],
    ) -> Result<Vec<T>, LedgerError> {
        Ok(match self {
            Self::Sqlite(connection) | Self::SqliteActing(connection) => {
                let query = bound!(sqlx::query_as(statement.sqlite), values);
                query.fetch_all(&mut **connection).await?
            }
            Self::Postgres(connection) => {
                let query = bound!(sqlx::query_as(statement.postgres), values);
                query.fetch_all(&mut **connection).await?
            }
        })
    }

    /// The first row, if there is one.
    pub(crate) async fn find<T: Row>(
        &mut self,
        statement: Statement,
        values: &[Value<'_>],
    ) -> Result<Option<T>, LedgerError> {
        Ok(self.rows(statement, values).await?.into_iter().next())
    }

    /// The row of a statement that always gives one.
    pub(crate) async fn row<T: Row>(
        &mut self,
        statement: Statement,
        values: &[Value<'_>],
    ) -> Result<T, LedgerError> {
        self.find(statement, values).await?.ok_or(LedgerError::Database(sqlx::Error::RowNotFound))
    }
}

/// Opens a SQLite file that others may be opening at the same time.
///
/// Turning a new file to WAL needs it for a moment alone, and SQLite refuses that at once instead of waiting for
/// its busy timeout; so it is tried again.
async fn open_patiently<F: Future<Output = Result<SqlitePool, sqlx::Error>>>(
    open: impl Fn() -> F,
) -> Result<SqlitePool, sqlx::Error> {
    let began = Instant::now();
    loop {
        match open().await {
            Err(error) if is_busy(&error) && began.elapsed() < SQLITE_BUSY => {
                tokio::time::sleep(SQLITE_BUSY_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

/// SQLITE_BUSY, or one of its extended codes.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 5)
}

/// Creates the file for its owner alone. SQLite gives its WAL the same permissions.
fn create_private(path: &Path) -> Result<(), LedgerError> {
    let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    match opened {
        Ok(_) => Ok(()),
        Err(source) => Err(LedgerError::File { path: PathBuf::from(path), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::{Ledger, Limits, NewTenant, TenantTerms},
        plan::Plan,
    };

    /// Fills the file up to its present size plus a few pages, as a full disk would.
    async fn fill(ledger: &Ledger) -> LedgerError {
        let mut transaction = ledger.write().await.expect("a transaction");
        let count: (i64,) = transaction.row(Statement::both("PRAGMA page_count"), &[]).await.expect("pages");
        let limit = format!("PRAGMA max_page_count = {}", count.0 + 4);
        let Transaction::Sqlite(connection) = &mut transaction else { panic!("a SQLite file") };
        sqlx::raw_sql(sqlx::AssertSqlSafe(limit)).execute(&mut **connection).await.expect("a limit");
        let text = "x".repeat(100_000);
        let small = Statement::both("INSERT INTO journal_cursors VALUES (zeroblob(16), 1, zeroblob(32), 1)");
        transaction.execute(small, &[]).await.expect("a small row fits");
        // Of one row into a table without triggers: SQLite then undoes the whole transaction, not the statement.
        let wide = Statement::both(
            "INSERT INTO tallies_hourly
             VALUES (zeroblob(16), 0, $1, 'm', 's', 'r', 'v', 'e', 1, 1, 0, 0, 0, 0, 0, 0, 0, zeroblob(16), 0)",
        );
        transaction.execute(wide, &[Value::Text(&text)]).await.expect_err("it is full")
    }

    #[tokio::test]
    async fn a_full_disk_stops_only_the_write_it_meets() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
        let ledger = Ledger::connect(&url).await.expect("a ledger");
        let now = domain::Timestamp::from_unix_micros(0);
        ledger.publish_plan(&Plan::demo().expect("the demo plan"), now).await.expect("published");
        for name in ["first", "second"] {
            let full = fill(&ledger).await;
            assert!(full.to_string().contains("full"), "{full}");
            let (limits, terms) = (Limits::default(), TenantTerms::default());
            let new = NewTenant { name, plan_name: "demo", zone: "UTC", limits, terms };
            ledger.create_tenant(&new, now).await.expect("there is room again");
        }
        assert_eq!(ledger.tenants().await.expect("read").len(), 2);
        let mut transaction = ledger.read().await.expect("a transaction");
        let count = "SELECT (SELECT COUNT(*) FROM journal_cursors) + (SELECT COUNT(*) FROM tallies_hourly)";
        let left: (i64,) = transaction.row(Statement::both(count), &[]).await.expect("a number");
        assert_eq!(left.0, 0, "the failed transactions left nothing");
    }
}
