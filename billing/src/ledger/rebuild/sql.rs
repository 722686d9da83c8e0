//! The statements that make hourly tallies anew from usage records.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the module above.

use crate::ledger::pool::Statement;

/// The hour of a record. The remainder is taken twice because it is negative before 1970.
macro_rules! hour {
    () => {
        "(finished_unix_us - (finished_unix_us % 3600000000 + 3600000000) % 3600000000) / 3600000000"
    };
}

pub(super) const POSITION: Statement =
    Statement::both("SELECT tenant_id, unix_hour FROM tally_rebuild WHERE only_row = 1");
pub(super) const SET_POSITION: Statement = Statement::both(
    "INSERT INTO tally_rebuild (only_row, tenant_id, unix_hour) VALUES (1, $1, $2)
     ON CONFLICT (only_row) DO UPDATE SET tenant_id = excluded.tenant_id, unix_hour = excluded.unix_hour",
);
pub(super) const FORGET_POSITION: Statement = Statement::both("DELETE FROM tally_rebuild");

/// The first tenant and hour that has tallies, records or usage events: `$1` and `$2` or later, `$3` the hour in microseconds.
pub(super) const NEXT_PLACE: Statement = Statement::both(concat!(
    "SELECT tenant_id, unix_hour FROM (
       SELECT tenant_id, unix_hour FROM (
         SELECT tenant_id, unix_hour FROM tallies_hourly WHERE (tenant_id, unix_hour) >= ($1, $2)
         ORDER BY tenant_id, unix_hour LIMIT 1) AS kept
       UNION ALL
       SELECT tenant_id, unix_hour FROM (
         SELECT tenant_id, ",
    hour!(),
    " AS unix_hour FROM usage_records WHERE (tenant_id, finished_unix_us) >= ($1, $3)
         ORDER BY tenant_id, finished_unix_us LIMIT 1) AS used
       UNION ALL
       SELECT tenant_id, unix_hour FROM (
         SELECT tenant_id, unix_hour FROM event_tallies_hourly WHERE (tenant_id, unix_hour) >= ($1, $2)
         ORDER BY tenant_id, unix_hour LIMIT 1) AS kept_of_events
       UNION ALL
       SELECT tenant_id, unix_hour FROM (
         SELECT tenant_id, (time_unix_us - (time_unix_us % 3600000000 + 3600000000) % 3600000000) / 3600000000
           AS unix_hour
         FROM usage_event_counts WHERE (tenant_id, time_unix_us) >= ($1, $3)
         ORDER BY tenant_id, time_unix_us LIMIT 1) AS told
     ) AS places ORDER BY tenant_id, unix_hour LIMIT 1"
));

/// PostgreSQL: whoever ships waits until the tallies are replaced. SQLite has one writer, and it is this one.
pub(super) const LOCK_TALLIES: Statement = Statement::each(
    "SELECT 1",
    "LOCK TABLE tallies_hourly, event_tallies_hourly IN SHARE ROW EXCLUSIVE MODE",
);
/// Tallies of a detached month are all that is left of it.
pub(super) const DELETE_TALLIES: Statement = Statement::both(
    "DELETE FROM tallies_hourly WHERE tenant_id = $1 AND unix_hour >= $2 AND unix_hour < $3
       AND NOT EXISTS (SELECT 1 FROM detached_months
                       WHERE start_unix_us <= unix_hour * 3600000000 AND end_unix_us > unix_hour * 3600000000)",
);
macro_rules! insert_tallies {
    ($project:literal) => {
        concat!(
            "INSERT INTO tallies_hourly (tenant_id, unix_hour, key_id, model, slo_class, reason, price_version,
                energy_source, project_id, requests, requests_slo_met, prompt_tokens, cached_prompt_tokens,
                output_tokens, reasoning_tokens, tokens_in_slo, late_tokens, energy_mj, embeddings_tokens)
             SELECT tenant_id, ",
            hour!(),
            ", key_id, model, slo_class, reason, price_version, energy_source, ",
            $project,
            ", COUNT(*), SUM(CASE WHEN slo_met THEN 1 ELSE 0 END), SUM(prompt_tokens),
                SUM(cached_prompt_tokens), SUM(output_tokens), SUM(reasoning_tokens), SUM(tokens_in_slo),
                SUM(output_tokens - tokens_in_slo), SUM(energy_mj), SUM(embeddings_tokens)
             FROM usage_records WHERE tenant_id = $1 AND finished_unix_us >= $2 AND finished_unix_us < $3
             GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9"
        )
    };
}
pub(super) const INSERT_TALLIES: Statement = Statement::each(
    insert_tallies!("COALESCE(project_id, zeroblob(16))"),
    insert_tallies!("COALESCE(project_id, '00000000-0000-0000-0000-000000000000')"),
);

/// One tally's counts; no row where there is no such tally.
pub(super) const TALLY: Statement = Statement::both(
    "SELECT requests, requests_slo_met, prompt_tokens, cached_prompt_tokens, output_tokens, reasoning_tokens,
            tokens_in_slo, late_tokens, energy_mj, embeddings_tokens
     FROM tallies_hourly
     WHERE tenant_id = $1 AND unix_hour = $2 AND key_id = $3 AND model = $4 AND slo_class = $5 AND reason = $6
       AND price_version = $7 AND energy_source = $8 AND project_id = $9",
);
