//! The statements about months of usage records: partitions of PostgreSQL, and what was detached from either database.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the module above.

use crate::ledger::{pool::Statement, sql::record_columns};

/// PostgreSQL alone, to [`FIRST_OUTSIDE`]: makes the partition of the month that `$1` falls in.
pub(super) const ADD_MONTH: Statement = Statement::both("SELECT tallygate_add_month($1)");
/// Records in no month's partition.
pub(super) const OUTSIDE: Statement = Statement::both("SELECT tallygate_records_outside()");
/// The first of them that a month can be made for: not what a clock put before 2000 or after 2100.
pub(super) const FIRST_OUTSIDE: Statement = Statement::both(
    "SELECT finished_unix_us FROM usage_records_outside
     WHERE finished_unix_us BETWEEN 946684800000000 AND 4102444799999999 ORDER BY finished_unix_us LIMIT 1",
);

/// Every month there is or was. Records of attached months are the database's own estimate in PostgreSQL, where it has
/// one: NULL before it has looked.
pub(super) const MONTHS: Statement = Statement::each(
    "SELECT strftime('%Y-%m', finished_unix_us / 1000000, 'unixepoch') AS month, 'usage_records' AS place,
            COUNT(*) AS records, FALSE AS is_about, NULL AS detached, NULL AS dropped
     FROM usage_records GROUP BY 1
     UNION ALL SELECT month, place, records, FALSE, detached_unix_us, dropped_unix_us FROM detached_months
     ORDER BY 1, 2",
    "SELECT replace(substr(CAST(relname AS text), 15), '_', '-') AS month, CAST(relname AS text) AS place,
            CASE WHEN reltuples > 0 THEN CAST(reltuples AS bigint) END AS records, reltuples > 0 AS is_about,
            CAST(NULL AS bigint) AS detached,
            CAST(NULL AS bigint) AS dropped
     FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
     WHERE inhparent = 'usage_records'::regclass AND relname <> 'usage_records_outside'
     UNION ALL SELECT month, place, records, FALSE, detached_unix_us, dropped_unix_us FROM detached_months
     ORDER BY 1, 2",
);
/// Records from `$1` to `$2`, counted up to `$3`.
pub(super) const COUNT_UP_TO: Statement = Statement::both(
    "SELECT COUNT(*) FROM (SELECT 1 FROM usage_records WHERE finished_unix_us >= $1 AND finished_unix_us < $2 LIMIT $3)
       AS counted",
);

/// Tenants of whose time from `$1` to `$2` not every instant is on an issued invoice.
pub(super) const OPEN_TENANTS: Statement = Statement::each(
    "WITH asked AS (
        SELECT tenant_id, MIN(from_us) AS from_us FROM (
            SELECT tenant_id, MIN(finished_unix_us) AS from_us FROM usage_records
            WHERE finished_unix_us >= $1 AND finished_unix_us < $2 GROUP BY tenant_id
            UNION ALL
            SELECT tenant_id, MAX(created_unix_us, $1) FROM tenants
            WHERE created_unix_us < $2 AND (disabled_unix_us IS NULL OR disabled_unix_us > $1)
        ) GROUP BY tenant_id
     ), points AS (
        SELECT tenant_id, from_us AS at_us FROM asked
        UNION ALL
        SELECT invoices.tenant_id, period_end_unix_us FROM invoices JOIN asked USING (tenant_id)
        WHERE period_end_unix_us > $1 AND period_end_unix_us < $2
          AND number NOT IN (SELECT number FROM threshold_invoices)
     )
     SELECT DISTINCT COALESCE(name, lower(hex(points.tenant_id))) FROM points LEFT JOIN tenants USING (tenant_id)
     WHERE NOT EXISTS (SELECT 1 FROM invoices WHERE invoices.tenant_id = points.tenant_id
                         AND period_start_unix_us <= at_us AND period_end_unix_us > at_us
                         AND number NOT IN (SELECT number FROM threshold_invoices))
     ORDER BY 1 LIMIT 20",
    "SELECT COALESCE(name, CAST(open.tenant_id AS text))
     FROM tallygate_open_tenants($1, $2) AS open (tenant_id) LEFT JOIN tenants USING (tenant_id)
     ORDER BY 1 LIMIT 20",
);

/// Whose records there are from `$1` to `$2`.
pub(super) const TENANTS_OF_MONTH: Statement = Statement::both(
    "SELECT DISTINCT tenant_id FROM usage_records WHERE finished_unix_us >= $1 AND finished_unix_us < $2
     ORDER BY tenant_id",
);

/// PostgreSQL: all of it, and the table that has the month now; NULL where there is no such month.
pub(super) const DETACH: Statement = Statement::both("SELECT tallygate_detach_month($1, $2)");
/// SQLite, from here to [`REMOVE_DETACHED`]: `$1` and `$2` the month, each step guarded by triggers.
pub(super) const COUNT_MONTH: Statement = Statement::both(
    "SELECT (SELECT COUNT(*) FROM usage_records WHERE finished_unix_us >= $1 AND finished_unix_us < $2),
            (SELECT COUNT(*) FROM detached_months WHERE start_unix_us = $1)",
);
pub(super) const NOTE_DETACHED: Statement = Statement::both(
    "INSERT INTO detached_months (month, part, start_unix_us, end_unix_us, place, records, detached_unix_us)
     VALUES ($1, $2, $3, $4, 'usage_records_detached', $5, $6)",
);
pub(super) const PUT_ASIDE: Statement = Statement::both(concat!(
    "INSERT INTO usage_records_detached (",
    record_columns!(),
    ") SELECT ",
    record_columns!(),
    " FROM usage_records WHERE finished_unix_us >= $1 AND finished_unix_us < $2"
));
pub(super) const PUT_KEYS_ASIDE: Statement = Statement::both(
    "INSERT INTO detached_record_keys (request_id, journal_id, sequence, record_hash)
     SELECT request_id, journal_id, sequence, record_hash FROM usage_records
     WHERE finished_unix_us >= $1 AND finished_unix_us < $2",
);
pub(super) const REMOVE_DETACHED: Statement =
    Statement::both("DELETE FROM usage_records WHERE finished_unix_us >= $1 AND finished_unix_us < $2");

/// SQLite: a month's detached records, and that they are dropped.
pub(super) const COUNT_DETACHED: Statement = Statement::both(
    "SELECT COUNT(*), CAST(COALESCE(SUM(records), 0) AS BIGINT) FROM detached_months
     WHERE month = $1 AND dropped_unix_us IS NULL",
);
pub(super) const NOTE_DROPPED: Statement = Statement::both(
    "UPDATE detached_months SET dropped_unix_us = $2 WHERE month = $1 AND dropped_unix_us IS NULL",
);
pub(super) const DROP_DETACHED: Statement = Statement::both(
    "DELETE FROM usage_records_detached WHERE finished_unix_us >= $1 AND finished_unix_us < $2",
);
/// PostgreSQL: all of it, and how many records were dropped; NULL where there is no such month.
pub(super) const DROP_MONTH: Statement = Statement::both("SELECT tallygate_drop_month($1, $2)");
