//! Every statement over Idempotency-Keys, for both databases.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the folder's own module, through `pool::Transaction`.

use crate::ledger::pool::Statement;

/// Inserts the row of a new key, or takes over one that has expired. Touches no row when the key is taken.
pub(super) const CLAIM: Statement = Statement::both(
    "INSERT INTO idempotency (tenant_id, name_hash, asked_hash, request_id, journal_id, boot_id, state,
                              running_until_unix_us, expires_unix_us)
     VALUES ($1, $2, $3, $4, $5, $6, 'running', $7, $8)
     ON CONFLICT (tenant_id, name_hash) DO UPDATE SET
        asked_hash = excluded.asked_hash, request_id = excluded.request_id,
        journal_id = excluded.journal_id, boot_id = excluded.boot_id, state = 'running',
        running_until_unix_us = excluded.running_until_unix_us, expires_unix_us = excluded.expires_unix_us,
        status = NULL, headers = NULL, body = NULL
     WHERE idempotency.expires_unix_us <= $9",
);

/// The record of a request. PostgreSQL: its key tells tenant and time, and with them the one partition to look into.
macro_rules! record_of_key {
    () => {
        "usage_record_keys AS known JOIN usage_records
           ON usage_records.tenant_id = known.tenant_id AND usage_records.finished_unix_us = known.finished_unix_us
          AND usage_records.request_id = known.request_id"
    };
}
/// The row of a key, with how its request ended where the ledger has its usage record.
pub(super) const FIND: Statement =
    Statement::each(
        "SELECT asked_hash, idempotency.request_id, state, running_until_unix_us, status, headers, body, reason
         FROM idempotency LEFT JOIN usage_records ON usage_records.request_id = idempotency.request_id
         WHERE idempotency.tenant_id = $1 AND name_hash = $2",
        concat!(
            "SELECT asked_hash, idempotency.request_id, state, running_until_unix_us, status, headers, body, reason
             FROM idempotency LEFT JOIN (",
            record_of_key!(),
            ") ON known.request_id = idempotency.request_id
             WHERE idempotency.tenant_id = $1 AND name_hash = $2"
        ),
    );

/// As [`CLAIM`] over the row that request `$9` holds.
pub(super) const TAKE_OVER: Statement = Statement::both(
    "UPDATE idempotency SET asked_hash = $3, request_id = $4, journal_id = $5, boot_id = $6,
                            running_until_unix_us = $7, expires_unix_us = $8
     WHERE tenant_id = $1 AND name_hash = $2 AND request_id = $9 AND state = 'running'",
);

pub(super) const STORE_ANSWER: Statement = Statement::both(
    "UPDATE idempotency SET state = 'stored', status = $4, headers = $5, body = $6
     WHERE tenant_id = $1 AND name_hash = $2 AND request_id = $3 AND state = 'running'",
);

pub(super) const END: Statement = Statement::both(
    "UPDATE idempotency SET state = $4
     WHERE tenant_id = $1 AND name_hash = $2 AND request_id = $3 AND state = 'running'",
);

pub(super) const FREE: Statement = Statement::both(
    "DELETE FROM idempotency
     WHERE tenant_id = $1 AND name_hash = $2 AND request_id = $3 AND state = 'running'",
);

/// Of a journal's earlier lives: requests without a record, and those of reasons that no plan can bill.
pub(super) const FREE_UNBILLED: Statement = Statement::each(
    "DELETE FROM idempotency
     WHERE state = 'running' AND journal_id = $1 AND boot_id <> $2
       AND NOT EXISTS (SELECT 1 FROM usage_records
                       WHERE usage_records.request_id = idempotency.request_id
                         AND reason NOT IN ('crashed', 'engine_error'))",
    concat!(
        "DELETE FROM idempotency
         WHERE state = 'running' AND journal_id = $1 AND boot_id <> $2
           AND NOT EXISTS (SELECT 1 FROM ",
        record_of_key!(),
        " WHERE known.request_id = idempotency.request_id AND reason NOT IN ('crashed', 'engine_error'))"
    ),
);

/// Of a journal's earlier lives: all that is still running after [`FREE_UNBILLED`].
pub(super) const LOSE_BILLED: Statement = Statement::both(
    "UPDATE idempotency SET state = 'lost' WHERE state = 'running' AND journal_id = $1 AND boot_id <> $2",
);

pub(super) const REMOVE_EXPIRED: Statement = Statement::both(
    "DELETE FROM idempotency WHERE (tenant_id, name_hash) IN (
        SELECT tenant_id, name_hash FROM idempotency WHERE expires_unix_us <= $1
        ORDER BY expires_unix_us LIMIT $2)",
);
