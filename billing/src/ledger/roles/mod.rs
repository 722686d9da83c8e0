//! Which PostgreSQL role may do what: migrations are for the owner of the tables, a gateway needs less.
//! Never a right to change what never changes: what a guard in SQL refuses, the role has no right to.
//! Called when a ledger is opened, and by `tallygate database`.

mod sql;

use sqlx::PgPool;

use super::{Ledger, LedgerError, Transaction, Value, migrations};

/// What a role may do with a table.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct GrantedRights {
    /// Which table.
    pub table_name: String,
    /// Such as `SELECT, INSERT`.
    pub rights: String,
}

impl Ledger {
    /// The number of the last migration that this program knows, and that the open ledger has.
    pub fn version() -> i64 {
        migrations::latest()
    }

    /// Gives a PostgreSQL role what a gateway needs, and nothing that changes or deletes what never changes.
    ///
    /// Errors: a SQLite ledger, a role that is not there or owns the tables, a caller who does not own them.
    pub async fn grant_role(&self, role: &str) -> Result<Vec<GrantedRights>, LedgerError> {
        let mut transaction = self.pool.write().await?;
        match &transaction {
            Transaction::Postgres(_) => {}
            Transaction::Sqlite(_) | Transaction::SqliteActing(_) => {
                return Err(LedgerError::OtherDatabase(
                    "a SQLite ledger has no roles: whoever may write its file may do everything",
                ));
            }
        }
        let granted = transaction.rows(sql::GRANT, &[Value::Text(role)]).await?;
        transaction.commit().await?;
        Ok(granted)
    }
}

/// Runs the migrations that are missing, or says who has to.
///
/// Several processes may do this at once, also twice: whoever comes first holds a lock of the whole database, and the
/// others find nothing left to do. Where nothing is missing, no right to change tables is needed.
pub(super) async fn bring_up_to_date(pool: &PgPool) -> Result<(), LedgerError> {
    let migrator = migrations::postgres();
    let mut transaction = Transaction::Postgres(pool.begin().await?);
    let (has_migrations,): (bool,) = transaction.row(sql::HAS_MIGRATIONS, &[]).await?;
    let applied: Vec<(i64, Vec<u8>)> = match has_migrations {
        true => transaction.rows(sql::APPLIED, &[]).await.map_err(not_granted)?,
        false => Vec::new(),
    };
    let is_there = |migration: &sqlx::migrate::Migration| {
        let (version, checksum) = (migration.version, &migration.checksum);
        applied.iter().any(|(found, sum)| *found == version && sum[..] == checksum[..])
    };
    let missing = migrator.iter().find(|migration| !is_there(migration));
    let is_newer = applied.iter().any(|(version, _)| !migrator.version_exists(*version));
    if let Some(migration) = missing {
        let (role, may_migrate): (String, bool) = transaction.row(sql::MAY_MIGRATE, &[]).await?;
        if !may_migrate {
            return Err(LedgerError::Outdated { missing: migration.version, role });
        }
    }
    drop(transaction);
    // Also tables of a later version, for the message that says so.
    if missing.is_some() || is_newer {
        migrator.run(pool).await?;
    }
    let mut transaction = Transaction::Postgres(pool.begin().await?);
    let unreadable: Option<(String, String)> = transaction.find(sql::UNREADABLE, &[]).await?;
    match unreadable {
        None => Ok(()),
        Some((role, table)) => Err(LedgerError::NotGranted { role, table }),
    }
}

/// Whether PostgreSQL refused something for want of a right.
pub(super) fn is_refused(error: &LedgerError) -> bool {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    if let LedgerError::Database(sqlx::Error::Database(refused)) = error {
        refused.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE)
    } else {
        false
    }
}

/// A role that may not even read which migrations there are was never granted anything.
fn not_granted(error: LedgerError) -> LedgerError {
    match is_refused(&error) {
        true => LedgerError::NotGranted {
            role: "of this connection".to_owned(),
            table: "_sqlx_migrations".to_owned(),
        },
        false => error,
    }
}
