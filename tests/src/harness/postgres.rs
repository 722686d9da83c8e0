//! A PostgreSQL database for one test.
//! Never removed: the server that holds it is thrown away as a whole by the test command.
//! Called by tests that run on both databases.

use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use super::{Outcome, POSTGRES_URL, needed};

/// Creates an empty database and gives its address.
///
/// `None`, with a printed line, when no server is there and the test was started by hand.
///
/// Errors: the server refuses.
pub async fn create_database() -> Outcome<Option<String>> {
    let Some(server) = needed(POSTGRES_URL) else { return Ok(None) };
    let name = format!("test_{}", Uuid::new_v4().simple());
    let mut connection = PgConnection::connect(&server).await?;
    connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
    connection.close().await?;
    let base = server.rsplit_once('/').map_or(server.as_str(), |(base, _)| base);
    Ok(Some(format!("{base}/{name}")))
}
