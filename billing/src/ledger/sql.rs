//! Every statement of the ledger, written once where both databases agree.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the parts of the ledger, through `pool::Transaction`.
//!
//! Bulk statements take one JSON text instead of thousands of placeholders: SQLite is quadratic in
//! numbered placeholders, and one text serves both databases (docs/adr/0002-ledger-store.md).
//!
//! Long because all statements are in one place: whoever changes a table sees here what reads and writes it.

use super::pool::Statement;

/// SQLite: takes the write lock at once, so that no statement inside has to wait or be tried again.
pub(super) const BEGIN_WRITE_SQLITE: &str = "BEGIN IMMEDIATE";
/// SQLite: one moment's state, into another file.
pub(super) const BACKUP: &str = "VACUUM INTO $1";
/// PostgreSQL: every statement inside sees one state.
pub(super) const BEGIN_READ_POSTGRES: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// SQLite keeps who is at work in a row, as it has one writer at a time; PostgreSQL in a setting of the transaction.
pub(super) const SET_ACTOR: Statement = Statement::each(
    "UPDATE audit_actor SET kind = $1, name = $2, request_id = unhex($3)",
    "SELECT set_config('tallygate.actor',
        json_build_object('kind', $1::text, 'name', $2::text, 'request_id', $3::text)::text, true)",
);
/// SQLite only: nobody is at work any more when the transaction ends.
pub(super) const FORGET_ACTOR: Statement =
    Statement::both("UPDATE audit_actor SET kind = 'system', name = 'unknown', request_id = NULL");
macro_rules! audit_page {
    ($any_tenant:literal) => {
        concat!(
            "SELECT sequence, at_unix_us, actor_kind, actor, action, object_kind, object_id, tenant_id, request_id,
                    before, after
             FROM audit_log
             WHERE sequence < $1 AND ($2 = ",
            $any_tenant,
            " OR tenant_id = $2) AND ($3 = '' OR object_id = $3) AND ($4 = '' OR actor = $4)
             ORDER BY sequence DESC LIMIT $5"
        )
    };
}
pub(super) const AUDIT_PAGE: Statement = Statement::each(
    audit_page!("zeroblob(16)"),
    audit_page!("CAST('00000000-0000-0000-0000-000000000000' AS uuid)"),
);

pub(super) const REVISION: Statement =
    Statement::both("SELECT value FROM ledger_counters WHERE name = 'revision'");
pub(super) const RAISE_REVISION: Statement =
    Statement::both("UPDATE ledger_counters SET value = value + 1 WHERE name = 'revision'");

pub(super) const COUNT_OPERATORS: Statement = Statement::both("SELECT COUNT(*) FROM operators");
pub(super) const OPERATORS: Statement = Statement::both(
    "SELECT name, token_id, secret_hash, COALESCE(scope, role) AS role, created_unix_us, disabled_unix_us FROM operators ORDER BY name",
);
/// The scope of events is kept beside a role that reads, which is what programs of an earlier version see.
pub(super) const INSERT_OPERATOR: Statement = Statement::both(
    "INSERT INTO operators (name, token_id, secret_hash, role, scope, created_unix_us)
     VALUES ($1, $2, $3, CASE CAST($4 AS TEXT) WHEN 'events' THEN 'read_only' ELSE CAST($4 AS TEXT) END,
             CASE CAST($4 AS TEXT) WHEN 'events' THEN 'events' END, $5)",
);
pub(super) const OPERATORS_PAGE: Statement = Statement::both(
    "SELECT name, token_id, secret_hash, COALESCE(scope, role) AS role, created_unix_us, disabled_unix_us FROM operators
     WHERE name > $1 ORDER BY name LIMIT $2",
);
pub(super) const OPERATOR: Statement = Statement::both(
    "SELECT name, token_id, secret_hash, COALESCE(scope, role) AS role, created_unix_us, disabled_unix_us FROM operators WHERE name = $1",
);
pub(super) const DISABLE_OPERATOR: Statement =
    Statement::both("UPDATE operators SET disabled_unix_us = COALESCE(disabled_unix_us, $2) WHERE name = $1");

/// Nothing where the name is there, also in another currency: whoever asks compares. SQLite's guard would refuse that.
pub(super) const INSERT_PLAN_NAME: Statement = Statement::each(
    "INSERT INTO plans (name, currency) SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM plans WHERE name = $1)",
    "INSERT INTO plans (name, currency) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
);
pub(super) const PLAN_CURRENCY: Statement = Statement::both("SELECT currency FROM plans WHERE name = $1");
pub(super) const INSERT_PLAN_VERSION: Statement = Statement::both(
    "INSERT INTO plan_versions (plan_version, plan_name, version, body, published_unix_us)
     VALUES ($1, $2, $3, $4, $5)",
);
pub(super) const PLAN_VERSIONS: Statement =
    Statement::both("SELECT plan_version, body FROM plan_versions ORDER BY plan_name, version");
/// Those of one plan that were published by an instant.
pub(super) const PLAN_VERSIONS_OF_NAME: Statement = Statement::both(
    "SELECT plan_version, body FROM plan_versions WHERE plan_name = $1 AND published_unix_us <= $2
     ORDER BY version",
);
pub(super) const PLAN_VERSIONS_PAGE: Statement = Statement::both(
    "SELECT plan_version, body FROM plan_versions WHERE (plan_name, version) > ($1, $2)
     ORDER BY plan_name, version LIMIT $3",
);
pub(super) const PLAN_VERSION: Statement =
    Statement::both("SELECT body FROM plan_versions WHERE plan_version = $1");

macro_rules! tenants {
    ($rest:literal) => {
        Statement::both(concat!(
            "SELECT tenants.tenant_id AS tenant_id, name, plan_name, currency, zone, billing, allow_slo_downgrade,
                    allow_stricter_slo, created_unix_us, disabled_unix_us,
                    limits.requests_per_minute AS requests_per_minute,
                    limits.tokens_per_minute AS tokens_per_minute,
                    limits.requests_per_day AS requests_per_day, limits.concurrency AS concurrency,
                    limits.budget_nanos AS budget_nanos, limits.budget_period AS budget_period
             FROM tenants LEFT JOIN scope_limits AS limits
               ON limits.tenant_id = tenants.tenant_id AND limits.scope_kind = 'tenant' AND limits.scope_id = ''
              AND limits.model = '' ",
            $rest
        ))
    };
}
pub(super) const TENANTS: Statement = tenants!("ORDER BY name");
pub(super) const TENANTS_PAGE: Statement =
    tenants!("WHERE tenants.tenant_id > $1 ORDER BY tenants.tenant_id LIMIT $2");
pub(super) const TENANT_BY_ID: Statement = tenants!("WHERE tenants.tenant_id = $1");
pub(super) const TENANT_BY_NAME: Statement = tenants!("WHERE name = $1");
pub(super) const INSERT_TENANT: Statement = Statement::both(
    "INSERT INTO tenants (tenant_id, name, plan_name, currency, zone, created_unix_us, billing,
                          allow_slo_downgrade, allow_stricter_slo)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
);
pub(super) const SET_TENANT_TERMS: Statement = Statement::both(
    "UPDATE tenants SET billing = $2, allow_slo_downgrade = $3, allow_stricter_slo = $4 WHERE tenant_id = $1",
);
pub(super) const SET_TENANT_PLAN: Statement =
    Statement::both("UPDATE tenants SET plan_name = $2 WHERE tenant_id = $1");
pub(super) const SUBSCRIPTIONS_PAGE: Statement = Statement::both(
    "SELECT sequence, plan_name, since_unix_us FROM subscriptions WHERE tenant_id = $1 AND sequence < $2
     ORDER BY sequence DESC LIMIT $3",
);
/// By its place, not its time: the database's clock may have been set back between two.
pub(super) const SUBSCRIPTION_AT: Statement = Statement::both(
    "SELECT plan_name FROM subscriptions WHERE tenant_id = $1 AND since_unix_us <= $2
     ORDER BY sequence DESC LIMIT 1",
);
macro_rules! users {
    ($rest:literal) => {
        Statement::both(concat!(
            "SELECT user_id, tenant_id, email, subject, role, created_unix_us, disabled_unix_us FROM users ",
            $rest
        ))
    };
}
pub(super) const USERS_PAGE: Statement =
    users!("WHERE tenant_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3");
pub(super) const USER: Statement = users!("WHERE tenant_id = $1 AND user_id = $2");
pub(super) const INSERT_USER: Statement = Statement::both(
    "INSERT INTO users (user_id, tenant_id, email, subject, role, created_unix_us)
     VALUES ($1, $2, $3, $4, $5, $6)",
);
pub(super) const SET_USER_ROLE: Statement =
    Statement::both("UPDATE users SET role = $3 WHERE tenant_id = $1 AND user_id = $2");
pub(super) const DISABLE_USER: Statement = Statement::both(
    "UPDATE users SET disabled_unix_us = COALESCE(disabled_unix_us, $3) WHERE tenant_id = $1 AND user_id = $2",
);
pub(super) const ENABLE_USER: Statement =
    Statement::both("UPDATE users SET disabled_unix_us = NULL WHERE tenant_id = $1 AND user_id = $2");
pub(super) const DISABLE_TENANT: Statement = Statement::both(
    "UPDATE tenants SET disabled_unix_us = COALESCE(disabled_unix_us, $2) WHERE tenant_id = $1",
);
pub(super) const ENABLE_TENANT: Statement =
    Statement::both("UPDATE tenants SET disabled_unix_us = NULL WHERE tenant_id = $1");

macro_rules! keys {
    ($rest:literal) => {
        Statement::both(concat!(
            "SELECT key_id, tenant_id, name, secret_hash, models_allowed, created_unix_us, disabled_unix_us,
                    project_id, scopes, expires_unix_us, slo_class, replaces, revoked_unix_us
             FROM api_keys ",
            $rest
        ))
    };
}
pub(super) const KEYS: Statement = keys!("ORDER BY created_unix_us, key_id");
pub(super) const KEYS_OF_TENANT: Statement = keys!("WHERE tenant_id = $1 ORDER BY created_unix_us, key_id");
/// Some keys, each with the first of its line, and with the limits over all models that its line shares.
macro_rules! keys_with_limits {
    ($page:literal) => {
        Statement::both(concat!(
            "WITH RECURSIVE page AS (
               SELECT key_id, tenant_id, name, secret_hash, models_allowed, created_unix_us, disabled_unix_us,
                      project_id, scopes, expires_unix_us, slo_class, replaces, revoked_unix_us
               FROM api_keys ",
            $page,
            "),
             line (key_id, first_id, replaces) AS (
               SELECT key_id, key_id, replaces FROM page
               UNION ALL
               SELECT line.key_id, api_keys.key_id, api_keys.replaces
               FROM line JOIN api_keys ON api_keys.key_id = line.replaces
             )
             SELECT page.key_id AS key_id, page.tenant_id AS tenant_id, page.name AS name, secret_hash, models_allowed,
                    created_unix_us, disabled_unix_us, project_id, scopes, expires_unix_us, slo_class,
                    page.replaces AS replaces, revoked_unix_us, line.first_id AS first_id,
                    limits.requests_per_minute AS requests_per_minute,
                    limits.tokens_per_minute AS tokens_per_minute,
                    limits.requests_per_day AS requests_per_day, limits.concurrency AS concurrency,
                    limits.budget_nanos AS budget_nanos, limits.budget_period AS budget_period
             FROM page JOIN line ON line.key_id = page.key_id AND line.replaces IS NULL
               LEFT JOIN scope_limits AS limits
               ON limits.tenant_id = page.tenant_id AND limits.scope_kind = 'key'
              AND limits.scope_id = line.first_id AND limits.model = ''
             ORDER BY page.key_id"
        ))
    };
}
pub(super) const KEYS_PAGE: Statement =
    keys_with_limits!("WHERE tenant_id = $1 AND key_id > $2 ORDER BY key_id LIMIT $3");
pub(super) const KEY: Statement = keys_with_limits!("WHERE key_id = $1");
pub(super) const INSERT_KEY: Statement = Statement::both(
    "INSERT INTO api_keys (key_id, tenant_id, name, secret_hash, models_allowed, created_unix_us, project_id,
                           scopes, expires_unix_us, slo_class, replaces)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
);
pub(super) const REVOKE_KEY: Statement = Statement::both(
    "UPDATE api_keys SET disabled_unix_us = COALESCE(disabled_unix_us, $2),
                         revoked_unix_us = COALESCE(revoked_unix_us, $2)
     WHERE key_id = $1",
);
pub(super) const DISABLE_KEY: Statement = Statement::both(
    "UPDATE api_keys SET disabled_unix_us = COALESCE(disabled_unix_us, $2) WHERE key_id = $1",
);
pub(super) const ENABLE_KEY: Statement =
    Statement::both("UPDATE api_keys SET disabled_unix_us = NULL WHERE key_id = $1");
pub(super) const CHANGE_KEY: Statement = Statement::both(
    "UPDATE api_keys SET name = $2, scopes = $3, models_allowed = $4, slo_class = $5, expires_unix_us = $6
     WHERE key_id = $1",
);
pub(super) const SUCCESSOR_OF_KEY: Statement =
    Statement::both("SELECT key_id FROM api_keys WHERE replaces = $1 LIMIT 1");
pub(super) const EXPIRE_KEY: Statement =
    Statement::both("UPDATE api_keys SET expires_unix_us = $2 WHERE key_id = $1");

macro_rules! limits {
    ($rest:literal) => {
        Statement::both(concat!(
            "SELECT tenant_id, scope_kind, scope_id, model, requests_per_minute, tokens_per_minute,
                    requests_per_day, concurrency, budget_nanos, budget_period
             FROM scope_limits ",
            $rest
        ))
    };
}
pub(super) const LIMITS: Statement = limits!("ORDER BY tenant_id, scope_kind, scope_id, model");
pub(super) const LIMITS_OF_TENANT: Statement =
    limits!("WHERE tenant_id = $1 ORDER BY tenant_id, scope_kind, scope_id, model");
pub(super) const LIMITS_PAGE: Statement = limits!(
    "WHERE tenant_id = $1 AND (scope_kind, scope_id, model) > ($2, $3, $4)
     ORDER BY scope_kind, scope_id, model LIMIT $5"
);
pub(super) const PUT_LIMITS: Statement = Statement::both(
    "INSERT INTO scope_limits (tenant_id, scope_kind, scope_id, model, requests_per_minute, tokens_per_minute,
                               requests_per_day, concurrency, budget_nanos, budget_period)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     ON CONFLICT (tenant_id, scope_kind, scope_id, model) DO UPDATE SET
        requests_per_minute = excluded.requests_per_minute, tokens_per_minute = excluded.tokens_per_minute,
        requests_per_day = excluded.requests_per_day, concurrency = excluded.concurrency,
        budget_nanos = excluded.budget_nanos, budget_period = excluded.budget_period",
);
pub(super) const DELETE_LIMITS: Statement = Statement::both(
    "DELETE FROM scope_limits WHERE tenant_id = $1 AND scope_kind = $2 AND scope_id = $3 AND model = $4",
);

macro_rules! projects {
    ($rest:literal) => {
        Statement::both(concat!(
            "SELECT project_id, tenant_id, parent_id, name, depth, created_unix_us, disabled_unix_us
             FROM projects ",
            $rest
        ))
    };
}
pub(super) const PROJECTS: Statement = projects!("ORDER BY depth, tenant_id, name");
pub(super) const PROJECTS_OF_TENANT: Statement = projects!("WHERE tenant_id = $1 ORDER BY depth, name");
pub(super) const INSERT_PROJECT: Statement = Statement::both(
    "INSERT INTO projects (project_id, tenant_id, parent_id, name, depth, created_unix_us)
     VALUES ($1, $2, $3, $4, $5, $6)",
);
pub(super) const DISABLE_PROJECT: Statement = Statement::both(
    "UPDATE projects SET disabled_unix_us = COALESCE(disabled_unix_us, $3)
     WHERE tenant_id = $1 AND project_id = $2",
);
pub(super) const ENABLE_PROJECT: Statement =
    Statement::both("UPDATE projects SET disabled_unix_us = NULL WHERE tenant_id = $1 AND project_id = $2");

macro_rules! grants {
    ($rest:literal) => {
        Statement::both(concat!(
            "SELECT grant_id, amount_nanos, idempotency_key, note, kind, priority, expires_unix_us, models,
                    created_unix_us
             FROM grants WHERE tenant_id = $1 ",
            $rest
        ))
    };
}
pub(super) const GRANTS_OF_TENANT: Statement = grants!("ORDER BY created_unix_us, grant_id");
pub(super) const GRANTS_PAGE: Statement = grants!("AND grant_id > $2 ORDER BY grant_id LIMIT $3");
pub(super) const GRANT_BY_KEY: Statement = grants!("AND idempotency_key = $2");
pub(super) const INSERT_GRANT: Statement = Statement::both(
    "INSERT INTO grants (grant_id, tenant_id, amount_nanos, idempotency_key, note, kind, priority, expires_unix_us,
                         models, created_unix_us, posting)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
);
pub(super) const GRANTED: Statement =
    Statement::both("SELECT CAST(COALESCE(SUM(amount_nanos), 0) AS BIGINT) FROM grants WHERE tenant_id = $1");

pub(super) const CURSOR: Statement =
    Statement::both("SELECT sequence, record_hash FROM journal_cursors WHERE journal_id = $1");
/// Creates the cursor where there is none, and locks its row until the end of the transaction.
pub(super) const LOCK_CURSOR: Statement = Statement::both(
    "INSERT INTO journal_cursors (journal_id, sequence, record_hash) VALUES ($1, 0, $2)
     ON CONFLICT (journal_id) DO UPDATE SET sequence = journal_cursors.sequence
     RETURNING sequence, record_hash",
);
pub(super) const ADVANCE_CURSOR: Statement = Statement::both(
    "UPDATE journal_cursors SET sequence = $2, record_hash = $3, paid_sequence = $2 WHERE journal_id = $1",
);

pub(super) const MARK_JOURNAL: Statement = Statement::both(
    "INSERT INTO journal_marks (journal_id, complete_unix_us) VALUES ($1, $2)
     ON CONFLICT (journal_id) DO UPDATE SET complete_unix_us = excluded.complete_unix_us",
);
macro_rules! journals {
    ($rest:literal) => {
        Statement::both(concat!(
            "SELECT known.journal_id, COALESCE(journal_cursors.sequence, 0), journal_marks.complete_unix_us
             FROM (SELECT journal_id FROM journal_cursors UNION SELECT journal_id FROM journal_marks) AS known
               LEFT JOIN journal_cursors ON journal_cursors.journal_id = known.journal_id
               LEFT JOIN journal_marks ON journal_marks.journal_id = known.journal_id ",
            $rest
        ))
    };
}
pub(super) const JOURNALS_PAGE: Statement =
    journals!("WHERE known.journal_id > $1 ORDER BY known.journal_id LIMIT $2");
/// Bounded by the number of gateways there ever were.
pub(super) const JOURNALS_BEHIND: Statement = journals!(
    "WHERE journal_marks.complete_unix_us IS NULL OR journal_marks.complete_unix_us < $1
     ORDER BY known.journal_id"
);

/// The columns of a usage record, in the order of the table.
macro_rules! record_columns {
    () => {
        "request_id, journal_id, sequence, previous_hash, record_hash, tenant_id, key_id, model, backend,
         slo_class, ttft_target_us, ttft_target_us_per_1k_prompt, tpot_target_us, reason, prompt_tokens,
         cached_prompt_tokens, output_tokens, reasoning_tokens, ttft_us, tpot_us, slo_met, tokens_in_slo,
         energy_mj, energy_source, client_stall_us, queue_us, started_unix_us, finished_unix_us,
         price_version, project_id, usage_source, charge_nanos, embeddings_tokens"
    };
}
pub(super) use record_columns;

/// The entries of `$1` (a JSON list) for SQLite, each parsed once: read in place, each column would parse its entry anew.
macro_rules! incoming {
    () => {
        "WITH incoming AS MATERIALIZED (SELECT jsonb(value) AS value FROM json_each($1))"
    };
}

/// Inserts the records of `$1` (a JSON list) whose requests are new, and names those requests.
pub(super) const INSERT_RECORDS: Statement = Statement::each(
    concat!(
        "INSERT INTO usage_records (",
        record_columns!(),
        ") ",
        incoming!(),
        " SELECT
            unhex(value ->> 'request_id'), unhex(value ->> 'journal_id'), value ->> 'sequence',
            unhex(value ->> 'previous_hash'), unhex(value ->> 'record_hash'), unhex(value ->> 'tenant_id'),
            value ->> 'key_id', value ->> 'model', value ->> 'backend', value ->> 'slo_class',
            value ->> 'ttft_target_us', value ->> 'ttft_target_us_per_1k_prompt', value ->> 'tpot_target_us',
            value ->> 'reason', value ->> 'prompt_tokens', value ->> 'cached_prompt_tokens',
            value ->> 'output_tokens', value ->> 'reasoning_tokens', value ->> 'ttft_us', value ->> 'tpot_us',
            value ->> 'slo_met', value ->> 'tokens_in_slo', value ->> 'energy_mj', value ->> 'energy_source',
            value ->> 'client_stall_us', value ->> 'queue_us', value ->> 'started_unix_us',
            value ->> 'finished_unix_us', value ->> 'price_version', unhex(value ->> 'project_id'),
            value ->> 'usage_source', value ->> 'charge_nanos', value ->> 'embeddings_tokens'
         FROM incoming WHERE true
         ON CONFLICT (request_id) DO NOTHING RETURNING request_id"
    ),
    concat!(
        "WITH incoming AS MATERIALIZED (
           SELECT * FROM json_to_recordset($1::json) AS record (
            request_id uuid, journal_id uuid, sequence bigint, previous_hash text, record_hash text,
            tenant_id uuid, key_id text, model text, backend text, slo_class text, ttft_target_us bigint,
            ttft_target_us_per_1k_prompt bigint, tpot_target_us bigint, reason text, prompt_tokens bigint,
            cached_prompt_tokens bigint, output_tokens bigint, reasoning_tokens bigint, ttft_us bigint,
            tpot_us bigint, slo_met boolean, tokens_in_slo bigint, energy_mj bigint, energy_source text,
            client_stall_us bigint, queue_us bigint, started_unix_us bigint, finished_unix_us bigint,
            price_version text, project_id uuid, usage_source text, charge_nanos bigint,
            embeddings_tokens bigint)
         ), taken AS (
           INSERT INTO usage_record_keys (request_id, journal_id, sequence, record_hash, tenant_id, finished_unix_us)
           SELECT request_id, journal_id, sequence, decode(record_hash, 'hex'), tenant_id, finished_unix_us
           FROM incoming ON CONFLICT (request_id) DO NOTHING RETURNING request_id
         )
         INSERT INTO usage_records (",
        record_columns!(),
        ") SELECT
            request_id, journal_id, sequence, decode(previous_hash, 'hex'), decode(record_hash, 'hex'),
            tenant_id, key_id, model, backend, slo_class, ttft_target_us, ttft_target_us_per_1k_prompt,
            tpot_target_us, reason, prompt_tokens, cached_prompt_tokens, output_tokens, reasoning_tokens,
            ttft_us, tpot_us, slo_met, tokens_in_slo, energy_mj, energy_source, client_stall_us, queue_us,
            started_unix_us, finished_unix_us, price_version, project_id, usage_source, charge_nanos,
            embeddings_tokens
         FROM incoming JOIN taken USING (request_id) RETURNING request_id"
    ),
);

/// The stored hashes of the requests in `$1` (a JSON list of ids), also of those whose month was detached.
pub(super) const STORED_HASHES: Statement = Statement::each(
    "SELECT request_id, record_hash FROM usage_records
     WHERE request_id IN (SELECT unhex(value) FROM json_each($1))
     UNION ALL SELECT request_id, record_hash FROM detached_record_keys
     WHERE request_id IN (SELECT unhex(value) FROM json_each($1))",
    "SELECT request_id, record_hash FROM usage_record_keys
     WHERE request_id IN (SELECT CAST(value AS uuid) FROM json_array_elements_text($1::json))",
);

macro_rules! add_tallies {
    ($source:literal) => {
        concat!(
            "INSERT INTO tallies_hourly (tenant_id, unix_hour, key_id, model, slo_class, reason,
                price_version, energy_source, project_id, requests, requests_slo_met, prompt_tokens,
                cached_prompt_tokens, output_tokens, reasoning_tokens, tokens_in_slo, late_tokens, energy_mj,
                embeddings_tokens) ",
            $source,
            " ON CONFLICT (tenant_id, unix_hour, key_id, model, slo_class, reason, price_version, energy_source,
                           project_id)
              DO UPDATE SET
                requests = tallies_hourly.requests + excluded.requests,
                requests_slo_met = tallies_hourly.requests_slo_met + excluded.requests_slo_met,
                prompt_tokens = tallies_hourly.prompt_tokens + excluded.prompt_tokens,
                cached_prompt_tokens = tallies_hourly.cached_prompt_tokens + excluded.cached_prompt_tokens,
                output_tokens = tallies_hourly.output_tokens + excluded.output_tokens,
                reasoning_tokens = tallies_hourly.reasoning_tokens + excluded.reasoning_tokens,
                tokens_in_slo = tallies_hourly.tokens_in_slo + excluded.tokens_in_slo,
                late_tokens = tallies_hourly.late_tokens + excluded.late_tokens,
                energy_mj = tallies_hourly.energy_mj + excluded.energy_mj,
                embeddings_tokens = tallies_hourly.embeddings_tokens + excluded.embeddings_tokens"
        )
    };
}

/// Adds the tallies of `$1` (a JSON list, sorted by key so that two shippers lock rows in one order).
pub(super) const ADD_TALLIES: Statement = Statement::each(
    add_tallies!(
        "SELECT unhex(value ->> 'tenant_id'), value ->> 'unix_hour', value ->> 'key_id', value ->> 'model',
            value ->> 'slo_class', value ->> 'reason', value ->> 'price_version', value ->> 'energy_source',
            unhex(value ->> 'project_id'), value ->> 'requests', value ->> 'requests_slo_met', value ->> 'prompt_tokens',
            value ->> 'cached_prompt_tokens', value ->> 'output_tokens', value ->> 'reasoning_tokens',
            value ->> 'tokens_in_slo', value ->> 'late_tokens', value ->> 'energy_mj',
            value ->> 'embeddings_tokens'
         FROM json_each($1) WHERE true"
    ),
    add_tallies!(
        "SELECT tenant_id, unix_hour, key_id, model, slo_class, reason, price_version, energy_source,
            project_id, requests, requests_slo_met, prompt_tokens, cached_prompt_tokens, output_tokens,
            reasoning_tokens, tokens_in_slo, late_tokens, energy_mj, embeddings_tokens
         FROM json_to_recordset($1::json) AS tally (
            tenant_id uuid, unix_hour bigint, key_id text, model text, slo_class text, reason text,
            price_version text, energy_source text, project_id uuid, requests bigint, requests_slo_met bigint,
            prompt_tokens bigint, cached_prompt_tokens bigint, output_tokens bigint,
            reasoning_tokens bigint, tokens_in_slo bigint, late_tokens bigint, energy_mj bigint,
            embeddings_tokens bigint)"
    ),
);

/// Sums of a tenant's usage: whole hours from the tallies, the parts of hours at the edges from the records.
///
/// `$1` tenant; `$2`, `$3` first and last hour (excluded); `$4`–`$5` and `$6`–`$7` the edges, half-open.
/// `$columns` are the tallies' own, `$of_records` the same of records, where an absent project is no nil id.
macro_rules! usage_sums {
    ($columns:literal, $of_records:expr) => {
        concat!(
            "SELECT ",
            $columns,
            ", CAST(SUM(requests) AS BIGINT) AS requests,
               CAST(SUM(requests_slo_met) AS BIGINT) AS requests_slo_met,
               CAST(SUM(prompt_tokens) AS BIGINT) AS prompt_tokens,
               CAST(SUM(cached_prompt_tokens) AS BIGINT) AS cached_prompt_tokens,
               CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
               CAST(SUM(reasoning_tokens) AS BIGINT) AS reasoning_tokens,
               CAST(SUM(tokens_in_slo) AS BIGINT) AS tokens_in_slo,
               CAST(SUM(late_tokens) AS BIGINT) AS late_tokens,
               CAST(SUM(energy_mj) AS BIGINT) AS energy_mj,
               CAST(SUM(embeddings_tokens) AS BIGINT) AS embeddings_tokens
             FROM (
               SELECT ",
            $columns,
            ", requests, requests_slo_met, prompt_tokens, cached_prompt_tokens, output_tokens,
                 reasoning_tokens, tokens_in_slo, late_tokens, energy_mj, embeddings_tokens
               FROM tallies_hourly WHERE tenant_id = $1 AND unix_hour >= $2 AND unix_hour < $3
               UNION ALL SELECT ",
            $of_records,
            ", 1, CASE WHEN slo_met THEN 1 ELSE 0 END, prompt_tokens, cached_prompt_tokens, output_tokens,
                 reasoning_tokens, tokens_in_slo, output_tokens - tokens_in_slo, energy_mj, embeddings_tokens
               FROM usage_records WHERE tenant_id = $1 AND finished_unix_us >= $4 AND finished_unix_us < $5
               UNION ALL SELECT ",
            $of_records,
            ", 1, CASE WHEN slo_met THEN 1 ELSE 0 END, prompt_tokens, cached_prompt_tokens, output_tokens,
                 reasoning_tokens, tokens_in_slo, output_tokens - tokens_in_slo, energy_mj, embeddings_tokens
               FROM usage_records WHERE tenant_id = $1 AND finished_unix_us >= $6 AND finished_unix_us < $7
             ) AS used GROUP BY ",
            $columns,
            " ORDER BY ",
            $columns
        )
    };
}
macro_rules! usage_sums_by_project {
    ($of_records:literal) => {
        usage_sums!(
            "project_id, price_version, model, slo_class, reason, energy_source",
            concat!($of_records, ", price_version, model, slo_class, reason, energy_source")
        )
    };
}
pub(super) const USAGE_SUMS: Statement = Statement::both(usage_sums!(
    "price_version, model, slo_class, reason, energy_source",
    "price_version, model, slo_class, reason, energy_source"
));
pub(super) const USAGE_BY_KEY: Statement = Statement::each(
    usage_sums!("key_id, project_id", "key_id, COALESCE(project_id, zeroblob(16))"),
    usage_sums!("key_id, project_id", "key_id, COALESCE(project_id, '00000000-0000-0000-0000-000000000000')"),
);
pub(super) const USAGE_SUMS_BY_PROJECT: Statement = Statement::each(
    usage_sums_by_project!("COALESCE(project_id, zeroblob(16))"),
    usage_sums_by_project!("COALESCE(project_id, '00000000-0000-0000-0000-000000000000')"),
);

/// As [`USAGE_SUMS_BY_PROJECT`], all from the records, requests that met their targets apart from those that did not.
macro_rules! usage_split {
    ($project:literal) => {
        concat!(
            "SELECT ",
            $project,
            " AS project_id, price_version, model, slo_class, reason, energy_source,
               CAST(COUNT(*) AS BIGINT) AS requests,
               CAST(SUM(CASE WHEN slo_met THEN 1 ELSE 0 END) AS BIGINT) AS requests_slo_met,
               CAST(SUM(prompt_tokens) AS BIGINT) AS prompt_tokens,
               CAST(SUM(cached_prompt_tokens) AS BIGINT) AS cached_prompt_tokens,
               CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
               CAST(SUM(reasoning_tokens) AS BIGINT) AS reasoning_tokens,
               CAST(SUM(tokens_in_slo) AS BIGINT) AS tokens_in_slo,
               CAST(SUM(output_tokens - tokens_in_slo) AS BIGINT) AS late_tokens,
               CAST(SUM(energy_mj) AS BIGINT) AS energy_mj,
               CAST(SUM(embeddings_tokens) AS BIGINT) AS embeddings_tokens
             FROM usage_records WHERE tenant_id = $1 AND finished_unix_us >= $2 AND finished_unix_us < $3
             GROUP BY 1, 2, 3, 4, 5, 6, slo_met ORDER BY 1, 2, 3, 4, 5, 6, slo_met"
        )
    };
}
pub(super) const USAGE_SPLIT: Statement = Statement::each(
    usage_split!("COALESCE(project_id, zeroblob(16))"),
    usage_split!("COALESCE(project_id, '00000000-0000-0000-0000-000000000000')"),
);

/// By how much tallies of whole hours differ from the usage records they sum: the first hour that does.
///
/// `$1` tenant; `$2`, `$3` first and last hour (excluded); `$4`, `$5` the same in microseconds. One statement,
/// so both sides are of one moment. Months that were detached have no records left to compare.
/// The remainder is taken twice because it is negative before 1970.
macro_rules! tally_difference {
    ($project_of_records:literal) => {
        concat!(
            "SELECT unix_hour, key_id, model, slo_class, reason, price_version, energy_source, project_id,
            CAST(SUM(requests) AS BIGINT) AS requests,
            CAST(SUM(requests_slo_met) AS BIGINT) AS requests_slo_met,
            CAST(SUM(prompt_tokens) AS BIGINT) AS prompt_tokens,
            CAST(SUM(cached_prompt_tokens) AS BIGINT) AS cached_prompt_tokens,
            CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
            CAST(SUM(reasoning_tokens) AS BIGINT) AS reasoning_tokens,
            CAST(SUM(tokens_in_slo) AS BIGINT) AS tokens_in_slo,
            CAST(SUM(late_tokens) AS BIGINT) AS late_tokens,
            CAST(SUM(energy_mj) AS BIGINT) AS energy_mj,
               CAST(SUM(embeddings_tokens) AS BIGINT) AS embeddings_tokens
     FROM (
       SELECT unix_hour, key_id, model, slo_class, reason, price_version, energy_source, project_id, requests,
              requests_slo_met, prompt_tokens, cached_prompt_tokens, output_tokens, reasoning_tokens,
              tokens_in_slo, late_tokens, energy_mj, embeddings_tokens
       FROM tallies_hourly WHERE tenant_id = $1 AND unix_hour >= $2 AND unix_hour < $3
         AND NOT EXISTS (SELECT 1 FROM detached_months
                         WHERE start_unix_us <= unix_hour * 3600000000 AND end_unix_us > unix_hour * 3600000000)
       UNION ALL
       SELECT (finished_unix_us - (finished_unix_us % 3600000000 + 3600000000) % 3600000000) / 3600000000,
              key_id, model, slo_class, reason, price_version, energy_source, ",
            $project_of_records,
            ", -COUNT(*),
              -SUM(CASE WHEN slo_met THEN 1 ELSE 0 END), -SUM(prompt_tokens), -SUM(cached_prompt_tokens),
              -SUM(output_tokens), -SUM(reasoning_tokens), -SUM(tokens_in_slo),
              -SUM(output_tokens - tokens_in_slo), -SUM(energy_mj), -SUM(embeddings_tokens)
       FROM usage_records WHERE tenant_id = $1 AND finished_unix_us >= $4 AND finished_unix_us < $5
         AND NOT EXISTS (SELECT 1 FROM detached_months
                         WHERE start_unix_us <= finished_unix_us AND end_unix_us > finished_unix_us)
       GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
     ) AS both_sides
     GROUP BY unix_hour, key_id, model, slo_class, reason, price_version, energy_source, project_id
     HAVING SUM(requests) <> 0 OR SUM(requests_slo_met) <> 0 OR SUM(prompt_tokens) <> 0
         OR SUM(cached_prompt_tokens) <> 0 OR SUM(output_tokens) <> 0 OR SUM(reasoning_tokens) <> 0
         OR SUM(tokens_in_slo) <> 0 OR SUM(late_tokens) <> 0 OR SUM(energy_mj) <> 0
         OR SUM(embeddings_tokens) <> 0
     ORDER BY unix_hour, key_id, model, slo_class, reason, price_version, energy_source, project_id LIMIT 1"
        )
    };
}
pub(super) const TALLY_DIFFERENCE: Statement = Statement::each(
    tally_difference!("COALESCE(project_id, zeroblob(16))"),
    tally_difference!("COALESCE(project_id, '00000000-0000-0000-0000-000000000000')"),
);

macro_rules! add_spending {
    ($source:literal) => {
        concat!(
            "INSERT INTO spend_quarters (tenant_id, unix_quarter, project_id, key_id, model, charge_nanos, requests) ",
            $source,
            " ON CONFLICT (tenant_id, unix_quarter, project_id, key_id, model) DO UPDATE SET
                charge_nanos = spend_quarters.charge_nanos + excluded.charge_nanos,
                requests = spend_quarters.requests + excluded.requests"
        )
    };
}

/// Adds what the requests of `$1` were charged (a JSON list, sorted by key as that of the tallies).
pub(super) const ADD_SPENDING: Statement = Statement::each(
    add_spending!(
        "SELECT unhex(value ->> 'tenant_id'), value ->> 'unix_quarter', unhex(value ->> 'project_id'),
            value ->> 'key_id', value ->> 'model', value ->> 'charge_nanos', value ->> 'requests'
         FROM json_each($1) WHERE true"
    ),
    add_spending!(
        "SELECT tenant_id, unix_quarter, project_id, key_id, model, charge_nanos, requests
         FROM json_to_recordset($1::json) AS spent (
            tenant_id uuid, unix_quarter bigint, project_id uuid, key_id text, model text, charge_nanos bigint,
            requests bigint)"
    ),
);
/// What was charged since a quarter: of a tenant, a key with all that took its place, a project with all below it.
/// An empty model means all.
pub(super) const SPENT_BY_TENANT: Statement = Statement::both(
    "SELECT CAST(COALESCE(SUM(charge_nanos), 0) AS BIGINT) FROM spend_quarters
     WHERE tenant_id = $1 AND unix_quarter >= $2 AND ($3 = '' OR model = $3)",
);
pub(super) const SPENT_BY_KEY: Statement = Statement::both(
    "WITH RECURSIVE line (key_id) AS (
       SELECT key_id FROM api_keys WHERE key_id = $4 AND tenant_id = $1
       UNION ALL
       SELECT api_keys.key_id FROM api_keys JOIN line ON api_keys.replaces = line.key_id
     )
     SELECT CAST(COALESCE(SUM(charge_nanos), 0) AS BIGINT) FROM spend_quarters
     WHERE tenant_id = $1 AND unix_quarter >= $2 AND ($3 = '' OR model = $3)
       AND (key_id = $4 OR key_id IN (SELECT key_id FROM line))",
);
/// A project of the tenant `$1` and all below it.
macro_rules! subtree {
    ($project:literal) => {
        concat!(
            "(WITH RECURSIVE subtree (project_id) AS (
                SELECT project_id FROM projects WHERE project_id = ",
            $project,
            " AND tenant_id = $1
                UNION ALL
                SELECT below.project_id FROM projects AS below JOIN subtree ON below.parent_id = subtree.project_id
              )
              SELECT project_id FROM subtree)"
        )
    };
}

pub(super) const SPENT_BY_PROJECT: Statement = Statement::both(concat!(
    "SELECT CAST(COALESCE(SUM(charge_nanos), 0) AS BIGINT) FROM spend_quarters
         WHERE tenant_id = $1 AND unix_quarter >= $2 AND ($3 = '' OR model = $3) AND project_id IN ",
    subtree!("$4")
));

macro_rules! records_text {
    ($($rest:expr),+) => {
        concat!("SELECT ", record_columns!(), " FROM usage_records ", $($rest),+)
    };
}
macro_rules! records {
    ($($rest:expr),+) => {
        Statement::both(records_text!($($rest),+))
    };
}
pub(super) const RECORDS_PAGE: Statement = records!(
    "WHERE tenant_id = $1 AND finished_unix_us >= $2 AND finished_unix_us < $3
       AND (finished_unix_us, request_id) > ($4, $5)
     ORDER BY finished_unix_us, request_id LIMIT $6"
);
/// The same of the project `$7` and all below it.
pub(super) const RECORDS_PAGE_WITHIN: Statement = records!(
    "WHERE tenant_id = $1 AND finished_unix_us >= $2 AND finished_unix_us < $3
       AND (finished_unix_us, request_id) > ($4, $5)
       AND project_id IN ",
    subtree!("$7"),
    " ORDER BY finished_unix_us, request_id LIMIT $6"
);
pub(super) const LATEST_RECORDS: Statement =
    records!("WHERE tenant_id = $1 ORDER BY finished_unix_us DESC, request_id DESC LIMIT $2");
/// PostgreSQL: the key tells tenant and time, and with them the one partition to look into.
pub(super) const RECORD: Statement = Statement::each(
    records_text!("WHERE request_id = $1"),
    records_text!(
        "WHERE request_id = $1
           AND tenant_id = (SELECT tenant_id FROM usage_record_keys WHERE request_id = $1)
           AND finished_unix_us = (SELECT finished_unix_us FROM usage_record_keys WHERE request_id = $1)"
    ),
);

pub(super) const LOCK_ISSUER: Statement = Statement::both(
    "UPDATE invoice_issuers SET next_serial = next_serial WHERE issuer = $1 RETURNING next_serial",
);
pub(super) const TAKE_SERIAL: Statement =
    Statement::both("UPDATE invoice_issuers SET next_serial = next_serial + 1 WHERE issuer = $1");
macro_rules! invoices {
    ($rest:literal) => {
        Statement::both(concat!(
            "SELECT number, tenant_id, period_start_unix_us, period_end_unix_us, zone, currency, total_minor,
                    records, issued_unix_us, body
             FROM invoices ",
            $rest
        ))
    };
}
pub(super) const INVOICES_OVERLAPPING: Statement = invoices!(
    "WHERE tenant_id = $1 AND period_start_unix_us < $3 AND period_end_unix_us > $2
       AND number NOT IN (SELECT number FROM threshold_invoices)
     ORDER BY period_start_unix_us LIMIT 2"
);
pub(super) const INVOICES_PAGE: Statement = invoices!(
    "WHERE tenant_id = $1 AND period_start_unix_us > $2 AND number NOT IN (SELECT number FROM threshold_invoices)
     ORDER BY period_start_unix_us LIMIT $3"
);
/// Those of parts of running periods; no two of a tenant end at one instant.
pub(super) const INVOICE_PARTS_PAGE: Statement = invoices!(
    "WHERE tenant_id = $1 AND period_end_unix_us > $2 AND number IN (SELECT number FROM threshold_invoices)
     ORDER BY period_end_unix_us LIMIT $3"
);
pub(super) const INVOICE_BY_NUMBER: Statement = invoices!("WHERE number = $1");
pub(super) const INSERT_INVOICE: Statement = Statement::both(
    "INSERT INTO invoices (number, issuer, serial, tenant_id, period_start_unix_us, period_end_unix_us, zone,
                           currency, subtotal_exact, subtotal_minor, total_minor, records, lines, issued_unix_us,
                           body)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
);
pub(super) const INSERT_INVOICE_LINE: Statement = Statement::both(
    "INSERT INTO invoice_lines (number, position, kind, item, model, price_version, quantity, unit, unit_price,
                                exact, displayed_minor)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
);
