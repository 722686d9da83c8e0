//! The statements about seals and signed statements of issued invoices.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the module above.

use crate::ledger::pool::Statement;

/// PostgreSQL: nothing is shipped until this transaction ends, so that all of it sees the same records: records and
/// usage events come with their tallies. A role that may not change records may not lock them. SQLite has one writer at a time, and it is
/// this one.
pub(super) const HOLD_STILL: Statement = Statement::each(
    "SELECT 1",
    "LOCK TABLE tallies_hourly, event_tallies_hourly IN SHARE ROW EXCLUSIVE MODE",
);
pub(super) const SEALED_PAGE: Statement = Statement::both(
    "SELECT request_id, journal_id, sequence, record_hash, finished_unix_us, slo_met, prompt_tokens,
            cached_prompt_tokens, output_tokens, reasoning_tokens, tokens_in_slo, energy_mj, embeddings_tokens
     FROM usage_records
     WHERE tenant_id = $1 AND finished_unix_us >= $2 AND finished_unix_us < $3
       AND (finished_unix_us, request_id) > ($4, $5)
     ORDER BY finished_unix_us, request_id LIMIT $6",
);
pub(super) const INSERT_SEAL: Statement =
    Statement::both("INSERT INTO invoice_seals (number, body) VALUES ($1, $2)");
pub(super) const SEAL: Statement = Statement::both("SELECT body FROM invoice_seals WHERE number = $1");
macro_rules! statements {
    ($rest:literal) => {
        Statement::both(concat!(
            "SELECT number, key_id, public_key, tenant_id, made_unix_us, body FROM statements ",
            $rest
        ))
    };
}
pub(super) const STATEMENT: Statement =
    statements!("WHERE number = $1 ORDER BY made_unix_us DESC, key_id LIMIT 1");
pub(super) const STATEMENT_BY_KEY: Statement = statements!("WHERE number = $1 AND key_id = $2");
pub(super) const INSERT_STATEMENT: Statement = Statement::both(
    "INSERT INTO statements (number, key_id, public_key, tenant_id, made_unix_us, body)
     VALUES ($1, $2, $3, $4, $5, $6)",
);
/// Bounded by the number of keys there ever were.
pub(super) const STATEMENT_KEYS: Statement = Statement::both(
    "SELECT key_id, public_key, COUNT(*), MIN(made_unix_us), MAX(made_unix_us) FROM statements
     GROUP BY key_id, public_key ORDER BY MIN(made_unix_us), key_id",
);
