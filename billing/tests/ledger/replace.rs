//! In SQLite, INSERT OR REPLACE deletes rows without a delete trigger: it may do nothing that UPDATE and DELETE may not.
//! Never a list of the guarded tables: every table of the schema is tried, with a row of its own.
//! Run on a SQLite file, as a client opens it that checks neither foreign keys nor CHECKs.

use std::{collections::BTreeSet, str::FromStr as _};

use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::databases::{Database, Place};

/// Tables whose rows may be deleted, and so replaced: settings, people, projections, and what is kept for a while.
/// A table that is in no list of anybody's and not here must refuse DELETE, and then REPLACE too.
const OPEN: [&str; 18] = [
    "_sqlx_migrations",
    "alerts",
    "credit_books",
    "credit_terms",
    "event_tallies_hourly",
    "idempotency",
    "issuer_details",
    "journal_marks",
    "operators",
    "scope_limits",
    "spend_quarters",
    "stored_responses",
    "tallies_hourly",
    "tally_rebuild",
    "tenant_billing",
    "users",
    "webhook_deliveries",
    "webhook_secrets",
];

#[derive(sqlx::FromRow)]
struct Column {
    name: String,
    kind: String,
    is_required: bool,
    is_key: bool,
}

impl Column {
    /// The first or the second of two values that the column takes.
    fn value(&self, number: u8) -> String {
        match self.kind.to_ascii_uppercase().as_str() {
            kind if kind.starts_with("INT") || kind == "BOOLEAN" || kind == "BIGINT" => number.to_string(),
            "TEXT" => format!("'{}'", char::from(b'x' + number)),
            _ => format!("x'{}'", format!("{number:02}").repeat(16)),
        }
    }
}

/// A table, the columns of each of its unique keys, and its triggers.
struct Table {
    name: String,
    columns: Vec<Column>,
    keys: Vec<BTreeSet<String>>,
    triggers: Vec<(String, String)>,
}

async fn run(connection: &mut SqliteConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(drop)
}

async fn texts(connection: &mut SqliteConnection, query: String) -> Vec<String> {
    let rows: Vec<(String,)> =
        sqlx::query_as(AssertSqlSafe(query.clone())).fetch_all(connection).await.expect(&query);
    rows.into_iter().map(|(text,)| text).collect()
}

impl Table {
    async fn read(connection: &mut SqliteConnection, name: String) -> Self {
        let query = format!(
            "SELECT name, type AS kind, \"notnull\" <> 0 AS is_required, pk <> 0 AS is_key FROM pragma_table_info('{name}')"
        );
        let columns: Vec<Column> =
            sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut *connection).await.expect("columns");
        let query = format!("SELECT name FROM pragma_index_list('{name}') WHERE \"unique\" = 1");
        let mut keys = Vec::new();
        for index in texts(connection, query).await {
            let query = format!("SELECT name FROM pragma_index_info('{index}') WHERE name IS NOT NULL");
            keys.push(texts(connection, query).await.into_iter().collect());
        }
        // A number that is the row's own has no index.
        let own: BTreeSet<_> =
            columns.iter().filter(|column| column.is_key).map(|column| column.name.clone()).collect();
        if !own.is_empty() && !keys.contains(&own) {
            keys.push(own);
        }
        let query =
            format!("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = '{name}'");
        let triggers = sqlx::query_as(AssertSqlSafe(query)).fetch_all(connection).await.expect("triggers");
        Self { name, columns, keys, triggers }
    }

    /// Puts a row in that no trigger has seen; columns that need no value are left empty, or not.
    async fn fill(&self, connection: &mut SqliteConnection, is_full: bool) {
        for (trigger, _) in &self.triggers {
            run(connection, format!("DROP TRIGGER {trigger}")).await.expect("dropped");
        }
        let value = |column: &Column| match is_full || column.is_required || column.is_key {
            true => column.value(1),
            false => "NULL".to_owned(),
        };
        let values: Vec<_> = self.columns.iter().map(value).collect();
        let insert = format!("INSERT INTO {} VALUES ({})", self.name, values.join(", "));
        run(connection, insert.clone()).await.expect(&insert);
        for (_, sql) in &self.triggers {
            run(connection, sql.clone()).await.expect(sql);
        }
    }

    async fn rows(&self, connection: &mut SqliteConnection) -> Vec<String> {
        let columns: Vec<_> = self.columns.iter().map(|column| format!("quote({})", column.name)).collect();
        texts(connection, format!("SELECT {} FROM {}", columns.join(" || ',' || "), self.name)).await
    }

    /// Sets of columns to change: each that is in no key, and for each key all that are in the others alone.
    fn changes(&self) -> Vec<Vec<&Column>> {
        let is_key = |column: &&Column| self.keys.iter().any(|key| key.contains(&column.name));
        let single = self.columns.iter().filter(|column| !is_key(column)).map(|column| vec![column]);
        let others = self.keys.iter().map(|key| {
            let outside = |column: &&Column| is_key(column) && !key.contains(&column.name);
            self.columns.iter().filter(outside).collect()
        });
        single.chain(others).filter(|changed: &Vec<_>| !changed.is_empty()).collect()
    }

    fn update(&self, changed: &[&Column]) -> String {
        let set: Vec<_> =
            changed.iter().map(|column| format!("{} = {}", column.name, column.value(2))).collect();
        format!("UPDATE {} SET {}", self.name, set.join(", "))
    }

    fn replace(&self, changed: &[&Column]) -> String {
        let is_changed = |column: &Column| changed.iter().any(|other| other.name == column.name);
        let value = |column: &Column| if is_changed(column) { column.value(2) } else { column.name.clone() };
        let names: Vec<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let values: Vec<_> = self.columns.iter().map(value).collect();
        let (names, values) = (names.join(", "), values.join(", "));
        format!("INSERT OR REPLACE INTO {0} ({names}) SELECT {values} FROM {0}", self.name)
    }

    /// Whether a statement passes; and whether every row is still there after it. It is taken back.
    async fn try_out(&self, connection: &mut SqliteConnection, statement: String) -> (bool, bool) {
        let before = self.rows(connection).await;
        run(connection, "SAVEPOINT trial".to_owned()).await.expect("a savepoint");
        let passes = run(connection, statement).await.is_ok();
        let after = self.rows(connection).await;
        run(connection, "ROLLBACK TO trial; RELEASE trial".to_owned()).await.expect("taken back");
        (passes, before.iter().all(|row| after.contains(row)))
    }
}

#[tokio::test]
async fn replace_does_nothing_that_update_and_delete_may_not() {
    let database = Database::open(Place::sqlite()).await;
    let options = SqliteConnectOptions::from_str(database.url()).expect("a URL");
    let options = options.foreign_keys(false).pragma("ignore_check_constraints", "ON");
    let mut connection = options.connect().await.expect("the file opens");
    let query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1";
    let (mut open, mut tried) = (BTreeSet::new(), 0);
    for name in texts(&mut connection, query.to_owned()).await {
        let table = Table::read(&mut connection, name).await;
        let is_filled = !table.rows(&mut connection).await.is_empty();
        for is_full in if is_filled { vec![true] } else { vec![false, true] } {
            run(&mut connection, "BEGIN".to_owned()).await.expect("begun");
            if !is_filled {
                table.fill(&mut connection, is_full).await;
            }
            let (may_delete, _) = table.try_out(&mut connection, format!("DELETE FROM {}", table.name)).await;
            if may_delete {
                open.insert(table.name.clone());
            }
            for changed in table.changes().into_iter().filter(|_| !may_delete) {
                let (may_update, _) = table.try_out(&mut connection, table.update(&changed)).await;
                let replace = table.replace(&changed);
                let (_, is_kept) = table.try_out(&mut connection, replace.clone()).await;
                assert!(may_update || is_kept, "passes, and UPDATE is refused: {replace}");
                tried += 1;
            }
            run(&mut connection, "ROLLBACK".to_owned()).await.expect("taken back");
        }
    }
    let expected = BTreeSet::from(OPEN.map(str::to_owned));
    assert_eq!(open, expected, "rows of these may be deleted: guard them, or say here that they are open");
    assert!(tried > 300, "{tried}");
}
