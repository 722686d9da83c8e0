//! The migrations of both databases, embedded in the program.
//! Never changed once released: a change of the tables is a further migration.
//! Run by `pool` when a ledger is opened.

use sqlx::migrate::{Migration, MigrationType, Migrator};

/// What brings a SQLite ledger up to date.
pub(super) fn sqlite() -> Migrator {
    migrator(SQLITE_MIGRATIONS)
}

/// What brings a PostgreSQL ledger up to date.
pub(super) fn postgres() -> Migrator {
    migrator(POSTGRES_MIGRATIONS)
}

/// A migration as embedded: number, name, text.
type Embedded = (i64, &'static str, &'static str);

/// In the order in which they were made; a number is never used twice.
const SQLITE_MIGRATIONS: &[Embedded] = &[
    (1, "ledger", include_str!("../../../migrations/sqlite/0001_ledger.sql")),
    (2, "caps", include_str!("../../../migrations/sqlite/0002_caps.sql")),
    (3, "idempotency", include_str!("../../../migrations/sqlite/0003_idempotency.sql")),
    (4, "stored_responses", include_str!("../../../migrations/sqlite/0004_stored_responses.sql")),
    (5, "identity", include_str!("../../../migrations/sqlite/0005_identity.sql")),
    (6, "audit", include_str!("../../../migrations/sqlite/0006_audit.sql")),
    (7, "people", include_str!("../../../migrations/sqlite/0007_people.sql")),
    (8, "charges", include_str!("../../../migrations/sqlite/0008_charges.sql")),
    (9, "guards", include_str!("../../../migrations/sqlite/0009_guards.sql")),
    (10, "subscriptions", include_str!("../../../migrations/sqlite/0010_subscriptions.sql")),
    (11, "credits", include_str!("../../../migrations/sqlite/0011_credits.sql")),
    (12, "webhooks", include_str!("../../../migrations/sqlite/0012_webhooks.sql")),
    (13, "statements", include_str!("../../../migrations/sqlite/0013_statements.sql")),
    (14, "invoicing", include_str!("../../../migrations/sqlite/0014_invoicing.sql")),
    (15, "months", include_str!("../../../migrations/sqlite/0015_months.sql")),
    (16, "stripe", include_str!("../../../migrations/sqlite/0016_stripe.sql")),
    (17, "usage_events", include_str!("../../../migrations/sqlite/0017_usage_events.sql")),
    (18, "embeddings", include_str!("../../../migrations/sqlite/0018_embeddings.sql")),
    (19, "refunds", include_str!("../../../migrations/sqlite/0019_refunds.sql")),
    (20, "more_guards", include_str!("../../../migrations/sqlite/0020_more_guards.sql")),
];
/// The same steps in the other dialect.
const POSTGRES_MIGRATIONS: &[Embedded] = &[
    (1, "ledger", include_str!("../../../migrations/postgres/0001_ledger.sql")),
    (2, "caps", include_str!("../../../migrations/postgres/0002_caps.sql")),
    (3, "idempotency", include_str!("../../../migrations/postgres/0003_idempotency.sql")),
    (4, "stored_responses", include_str!("../../../migrations/postgres/0004_stored_responses.sql")),
    (5, "identity", include_str!("../../../migrations/postgres/0005_identity.sql")),
    (6, "audit", include_str!("../../../migrations/postgres/0006_audit.sql")),
    (7, "people", include_str!("../../../migrations/postgres/0007_people.sql")),
    (8, "charges", include_str!("../../../migrations/postgres/0008_charges.sql")),
    (9, "guards", include_str!("../../../migrations/postgres/0009_guards.sql")),
    (10, "subscriptions", include_str!("../../../migrations/postgres/0010_subscriptions.sql")),
    (11, "credits", include_str!("../../../migrations/postgres/0011_credits.sql")),
    (12, "webhooks", include_str!("../../../migrations/postgres/0012_webhooks.sql")),
    (13, "statements", include_str!("../../../migrations/postgres/0013_statements.sql")),
    (14, "invoicing", include_str!("../../../migrations/postgres/0014_invoicing.sql")),
    (15, "months", include_str!("../../../migrations/postgres/0015_months.sql")),
    (16, "stripe", include_str!("../../../migrations/postgres/0016_stripe.sql")),
    (17, "usage_events", include_str!("../../../migrations/postgres/0017_usage_events.sql")),
    (18, "embeddings", include_str!("../../../migrations/postgres/0018_embeddings.sql")),
    (19, "refunds", include_str!("../../../migrations/postgres/0019_refunds.sql")),
    (20, "more_guards", include_str!("../../../migrations/postgres/0020_more_guards.sql")),
];

/// The number of the last migration: the version of the tables that this program works with.
pub(super) fn latest() -> i64 {
    POSTGRES_MIGRATIONS.iter().map(|&(version, ..)| version).max().unwrap_or(0)
}

fn migrator(embedded: &'static [Embedded]) -> Migrator {
    use sqlx::SqlSafeStr as _;
    let migration = |&(version, name, text): &Embedded| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(embedded.iter().map(migration).collect())
}
