//! The statements that compare spending with usage records, and make it anew.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the module above.

use crate::ledger::pool::Statement;

/// The quarter of an hour in which a request began. The remainder is taken twice because it is negative before 1970.
macro_rules! quarter {
    () => {
        "(started_unix_us - (started_unix_us % 900000000 + 900000000) % 900000000) / 900000000"
    };
}
/// The first quarter of which no record can be in a detached month: those that ended there began before its end.
macro_rules! whole {
    () => {
        "COALESCE((SELECT MAX(end_unix_us) / 900000000 FROM detached_months), -20000000000)"
    };
}

macro_rules! difference {
    ($project:literal) => {
        concat!(
            "SELECT unix_quarter, key_id, model, project_id,
                CAST(SUM(kept_nanos) AS BIGINT) AS kept_nanos, CAST(SUM(kept_requests) AS BIGINT) AS kept_requests,
                CAST(SUM(nanos) AS BIGINT) AS nanos, CAST(SUM(requests) AS BIGINT) AS requests
             FROM (
               SELECT unix_quarter, key_id, model, project_id, charge_nanos AS kept_nanos, requests AS kept_requests,
                      0 AS nanos, 0 AS requests
               FROM spend_quarters WHERE tenant_id = $1 AND unix_quarter >= $2 AND unix_quarter < $3
               UNION ALL
               SELECT ",
            quarter!(),
            ", key_id, model, ",
            $project,
            ", 0, 0, charge_nanos, 1 FROM usage_records
               WHERE tenant_id = $1 AND finished_unix_us >= $6 AND started_unix_us >= $4 AND started_unix_us < $5
             ) AS sides WHERE unix_quarter >= ",
            whole!(),
            " GROUP BY unix_quarter, key_id, model, project_id
             HAVING SUM(kept_nanos) <> SUM(nanos)
                OR (SUM(kept_requests) <> SUM(requests) AND SUM(kept_requests) + SUM(nanos) > 0)
             ORDER BY unix_quarter, key_id, model, project_id LIMIT 1"
        )
    };
}
/// The first that differs, of a tenant `$1`: quarters from `$2` to `$3`, in microseconds `$4` to `$5`, of records that
/// ended since `$6`. Requests that were charged nothing need no row: those from before charges were counted have none.
pub(super) const DIFFERENCE: Statement = Statement::each(
    difference!("COALESCE(project_id, zeroblob(16))"),
    difference!("COALESCE(project_id, '00000000-0000-0000-0000-000000000000')"),
);

/// PostgreSQL: whoever ships waits until spending is replaced. SQLite has one writer, and it is this one.
pub(super) const LOCK_SPENDING: Statement =
    Statement::each("SELECT 1", "LOCK TABLE spend_quarters IN SHARE ROW EXCLUSIVE MODE");
pub(super) const DELETE_SPENDING: Statement =
    Statement::both("DELETE FROM spend_quarters WHERE tenant_id = $1 AND unix_quarter >= $2");
macro_rules! insert_spending {
    ($project:literal) => {
        concat!(
            "INSERT INTO spend_quarters (tenant_id, unix_quarter, key_id, model, project_id, charge_nanos, requests)
             SELECT tenant_id, ",
            quarter!(),
            ", key_id, model, ",
            $project,
            ", SUM(charge_nanos), COUNT(*) FROM usage_records
             WHERE tenant_id = $1 AND started_unix_us >= $3
             GROUP BY 1, 2, 3, 4, 5"
        )
    };
}
/// All that began in quarter `$2` or later, in microseconds `$3`.
pub(super) const INSERT_SPENDING: Statement = Statement::each(
    insert_spending!("COALESCE(project_id, zeroblob(16))"),
    insert_spending!("COALESCE(project_id, '00000000-0000-0000-0000-000000000000')"),
);
