//! The statements of stored responses, the same for both databases.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by `responses`, through `pool::Transaction`.

use crate::ledger::pool::Statement;

pub(super) const INSERT_RESPONSE: Statement = Statement::both(
    "INSERT INTO stored_responses (tenant_id, response_id, body, conversation, created_unix_us, expires_unix_us)
     VALUES ($1, $2, $3, $4, $5, $6)",
);
pub(super) const FIND_RESPONSE: Statement = Statement::both(
    "SELECT response_id, body, conversation, created_unix_us, expires_unix_us
     FROM stored_responses WHERE tenant_id = $1 AND response_id = $2 AND expires_unix_us > $3",
);
pub(super) const DELETE_RESPONSE: Statement = Statement::both(
    "DELETE FROM stored_responses WHERE tenant_id = $1 AND response_id = $2 AND expires_unix_us > $3",
);
pub(super) const DELETE_EXPIRED: Statement = Statement::both(
    "DELETE FROM stored_responses WHERE (tenant_id, response_id) IN (
         SELECT tenant_id, response_id FROM stored_responses
         WHERE expires_unix_us <= $1 ORDER BY expires_unix_us LIMIT $2)",
);
