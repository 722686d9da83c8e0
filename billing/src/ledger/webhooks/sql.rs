//! Every statement over webhooks.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the folder's own modules, through `pool::Transaction`.

use crate::ledger::pool::Statement;

macro_rules! endpoints {
    ($rest:literal) => {
        Statement::both(concat!(
            "SELECT endpoint_id, tenant_id, url, kinds, created_unix_us, disabled_unix_us, failing_since_unix_us
             FROM webhook_endpoints ",
            $rest
        ))
    };
}
pub(super) const ENDPOINT: Statement = endpoints!("WHERE endpoint_id = $1");
pub(super) const ENDPOINTS_PAGE: Statement =
    endpoints!("WHERE endpoint_id > $1 ORDER BY endpoint_id LIMIT $2");
pub(super) const COUNT_ENDPOINTS: Statement = Statement::both("SELECT COUNT(*) FROM webhook_endpoints");
pub(super) const INSERT_ENDPOINT: Statement = Statement::both(
    "INSERT INTO webhook_endpoints (endpoint_id, tenant_id, url, kinds, secrets, created_unix_us)
     VALUES ($1, $2, $3, $4, 1, $5)",
);
pub(super) const INSERT_SECRET: Statement = Statement::both(
    "INSERT INTO webhook_secrets (endpoint_id, sequence, secret, created_unix_us)
     SELECT $1, COALESCE(MAX(sequence), 0) + 1, $2, $3 FROM webhook_secrets WHERE endpoint_id = $1",
);
pub(super) const COUNT_SECRET: Statement =
    Statement::both("UPDATE webhook_endpoints SET secrets = secrets + 1 WHERE endpoint_id = $1");
/// Secrets that sign now end at an instant at the latest.
pub(super) const END_SECRETS: Statement = Statement::both(
    "UPDATE webhook_secrets SET expires_unix_us = $2
     WHERE endpoint_id = $1 AND (expires_unix_us IS NULL OR expires_unix_us > $2)",
);
/// Those that sign, the newest first.
pub(super) const SECRETS: Statement = Statement::both(
    "SELECT secret FROM webhook_secrets
     WHERE endpoint_id = $1 AND (expires_unix_us IS NULL OR expires_unix_us > $2) ORDER BY sequence DESC LIMIT $3",
);
pub(super) const DISABLE: Statement = Statement::both(
    "UPDATE webhook_endpoints SET disabled_unix_us = COALESCE(disabled_unix_us, $2) WHERE endpoint_id = $1",
);
pub(super) const ENABLE: Statement = Statement::both(
    "UPDATE webhook_endpoints SET disabled_unix_us = NULL, failing_since_unix_us = NULL WHERE endpoint_id = $1",
);

macro_rules! due {
    () => {
        "SELECT webhook_deliveries.endpoint_id AS endpoint_id, webhook_deliveries.event_id AS event_id, url, kind,
                at_unix_us, body, attempts
         FROM webhook_deliveries
           JOIN webhook_endpoints ON webhook_endpoints.endpoint_id = webhook_deliveries.endpoint_id
           JOIN events ON events.event_id = webhook_deliveries.event_id
         WHERE state = 'pending' AND due_unix_us <= $1 AND lease_unix_us <= $1 AND disabled_unix_us IS NULL
           AND NOT EXISTS (
             SELECT 1 FROM webhook_deliveries AS earlier
             WHERE earlier.endpoint_id = webhook_deliveries.endpoint_id AND earlier.state = 'pending'
               AND earlier.event_id < webhook_deliveries.event_id)
         ORDER BY webhook_deliveries.event_id LIMIT $2"
    };
}
/// What is to be delivered now: of each endpoint the first that waits. Others who look meanwhile find others.
pub(super) const DUE: Statement =
    Statement::each(due!(), concat!(due!(), " FOR UPDATE OF webhook_deliveries SKIP LOCKED"));
pub(super) const LEASE: Statement = Statement::both(
    "UPDATE webhook_deliveries SET lease_unix_us = $3 WHERE endpoint_id = $1 AND event_id = $2",
);
pub(super) const INSERT_ATTEMPT: Statement = Statement::both(
    "INSERT INTO webhook_attempts (endpoint_id, event_id, attempt, at_unix_us, duration_ms, status, outcome)
     SELECT $1, $2, COALESCE(MAX(attempt), 0) + 1, $3, $4, $5, $6 FROM webhook_attempts
     WHERE endpoint_id = $1 AND event_id = $2",
);
/// Delivered is delivered, whoever was late; anything else is noted only by who holds the lease `$5`.
pub(super) const NOTE: Statement = Statement::both(
    "UPDATE webhook_deliveries SET state = $3, attempts = attempts + 1, due_unix_us = $4, lease_unix_us = 0
     WHERE endpoint_id = $1 AND event_id = $2 AND ($3 = 'delivered' OR (state = 'pending' AND lease_unix_us = $5))",
);
pub(super) const NOTE_GOOD: Statement = Statement::both(
    "UPDATE webhook_endpoints SET failing_since_unix_us = NULL
     WHERE endpoint_id = $1 AND failing_since_unix_us IS NOT NULL",
);
pub(super) const NOTE_BAD: Statement = Statement::both(
    "UPDATE webhook_endpoints SET failing_since_unix_us = $2
     WHERE endpoint_id = $1 AND failing_since_unix_us IS NULL",
);
/// Endpoints at which nothing was delivered since `$3` are disabled.
pub(super) const DISABLE_FAILING: Statement = Statement::both(
    "UPDATE webhook_endpoints SET disabled_unix_us = $2
     WHERE endpoint_id = $1 AND disabled_unix_us IS NULL AND failing_since_unix_us <= $3",
);
pub(super) const RESEND: Statement = Statement::both(
    "UPDATE webhook_deliveries SET state = 'pending', due_unix_us = $3, lease_unix_us = 0
     WHERE endpoint_id = $1 AND event_id = $2",
);
pub(super) const COUNT_RESEND: Statement =
    Statement::both("UPDATE webhook_endpoints SET resends = resends + 1 WHERE endpoint_id = $1");
pub(super) const DELIVERIES_PAGE: Statement = Statement::both(
    "SELECT webhook_deliveries.event_id AS event_id, kind, state, attempts, due_unix_us
     FROM webhook_deliveries JOIN events ON events.event_id = webhook_deliveries.event_id
     WHERE endpoint_id = $1 AND webhook_deliveries.event_id < $2
     ORDER BY webhook_deliveries.event_id DESC LIMIT $3",
);
pub(super) const ATTEMPTS: Statement = Statement::both(
    "SELECT attempt, at_unix_us, duration_ms, status, outcome FROM webhook_attempts
     WHERE endpoint_id = $1 AND event_id = $2 ORDER BY attempt DESC LIMIT $3",
);

/// Notes that something is told now; touches no row when it was told before.
pub(super) const INSERT_ALERT: Statement = Statement::both(
    "INSERT INTO alerts (tenant_id, alert, at_unix_us) VALUES ($1, $2, $3) ON CONFLICT (tenant_id, alert) DO NOTHING",
);
/// Tenants of which some open endpoint wants to hear a kind of event.
pub(super) const LISTENED_TENANTS: Statement = Statement::both(
    "SELECT tenant_id FROM tenants
     WHERE EXISTS (
       SELECT 1 FROM webhook_endpoints
       WHERE webhook_endpoints.disabled_unix_us IS NULL
         AND (webhook_endpoints.tenant_id IS NULL OR webhook_endpoints.tenant_id = tenants.tenant_id)
         AND (kinds = '' OR ',' || kinds || ',' LIKE '%,' || $1 || ',%'))
     ORDER BY tenant_id",
);
