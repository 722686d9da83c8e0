//! Statements over what is linked to Stripe, what is to be done there, and what it told.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the folder's own modules, through `pool::Transaction`.

use crate::ledger::pool::Statement;

pub(super) const TENANT: Statement = Statement::both(
    "SELECT tenant_id, collection, customer_id, linked_unix_us, unlinked_unix_us FROM stripe_tenants
     WHERE tenant_id = $1",
);
pub(super) const INSERT_TENANT: Statement = Statement::both(
    "INSERT INTO stripe_tenants (tenant_id, collection, customer_id, linked_unix_us) VALUES ($1, $2, $3, $4)",
);
pub(super) const LINK_AGAIN: Statement = Statement::both(
    "UPDATE stripe_tenants SET collection = $2, customer_id = COALESCE(customer_id, $3), unlinked_unix_us = NULL
     WHERE tenant_id = $1",
);
pub(super) const UNLINK: Statement = Statement::both(
    "UPDATE stripe_tenants SET unlinked_unix_us = COALESCE(unlinked_unix_us, $2) WHERE tenant_id = $1",
);
pub(super) const SET_CUSTOMER: Statement = Statement::both(
    "UPDATE stripe_tenants SET customer_id = $2 WHERE tenant_id = $1 AND customer_id IS NULL",
);

/// $1: subject, $2: tenant, $3: kind, $4: detail, $5: when, $6: the tenant in hex.
pub(super) const INSERT_STEP: Statement = Statement::both(
    "INSERT INTO stripe_steps (subject, sequence, tenant_id, kind, detail, idempotency_key, due_unix_us, created_unix_us)
     SELECT $1, next, $2, $3, $4,
        'tg-' || CAST($6 AS TEXT) || '-' || CAST($1 AS TEXT) || '-' || CAST(next AS TEXT), $5, $5
     FROM (SELECT COALESCE(MAX(sequence), 0) + 1 AS next FROM stripe_steps WHERE subject = $1) AS numbered",
);
macro_rules! steps {
    ($rest:literal) => {
        concat!(
            "SELECT subject, sequence, tenant_id, kind, detail, idempotency_key, generation, state, attempts, due_unix_us,
                    lease_unix_us, outcome, created_unix_us, ended_unix_us
             FROM stripe_steps ",
            $rest
        )
    };
}
/// One after another for each subject; and first of all there must be the customer.
macro_rules! due {
    ($rest:literal) => {
        concat!(
            steps!(
                "WHERE state = 'pending' AND due_unix_us <= $1 AND lease_unix_us <= $1
                   AND NOT EXISTS (SELECT 1 FROM stripe_steps AS earlier
                                   WHERE earlier.subject = stripe_steps.subject AND earlier.state = 'pending'
                                     AND earlier.sequence < stripe_steps.sequence)
                   AND (kind IN ('customer', 'observe', 'session', 'refund')
                        OR NOT EXISTS (SELECT 1 FROM stripe_steps AS customers
                                       WHERE customers.tenant_id = stripe_steps.tenant_id
                                         AND customers.kind = 'customer' AND customers.state = 'pending'))
                 ORDER BY due_unix_us, subject LIMIT $2"
            ),
            $rest
        )
    };
}
pub(super) const DUE: Statement = Statement::each(due!(""), due!(" FOR UPDATE OF stripe_steps SKIP LOCKED"));
pub(super) const LEASE: Statement = Statement::both(
    "UPDATE stripe_steps SET lease_unix_us = $3, attempts = attempts + 1 WHERE subject = $1 AND sequence = $2",
);
pub(super) const RAISE_GENERATION: Statement = Statement::both(
    "UPDATE stripe_steps SET generation = $4
     WHERE subject = $1 AND sequence = $2 AND lease_unix_us = $3 AND state = 'pending'",
);
/// Who lost the lease meanwhile says nothing.
pub(super) const POSTPONE: Statement = Statement::both(
    "UPDATE stripe_steps SET due_unix_us = $4, lease_unix_us = 0, outcome = $5
     WHERE subject = $1 AND sequence = $2 AND lease_unix_us = $3 AND state = 'pending'",
);
pub(super) const END: Statement = Statement::both(
    "UPDATE stripe_steps SET state = $4, ended_unix_us = $5, lease_unix_us = 0, outcome = $6
     WHERE subject = $1 AND sequence = $2 AND lease_unix_us = $3 AND state = 'pending'",
);
pub(super) const RETRY: Statement = Statement::both(
    "UPDATE stripe_steps SET state = 'pending', ended_unix_us = NULL, lease_unix_us = 0, due_unix_us = $3,
                             retries = retries + 1, generation = generation + 1
     WHERE subject = $1 AND sequence = $2 AND state = 'parked'",
);
/// What waits for a card of this tenant looks again at once.
pub(super) const WAKE_COLLECTING: Statement = Statement::both(
    "UPDATE stripe_steps SET due_unix_us = $2
     WHERE tenant_id = $1 AND kind = 'collect' AND state = 'pending' AND due_unix_us > $2",
);
/// Steps of an invoice that are still to be done, what Stripe told of it included.
pub(super) const PENDING_OF_INVOICE: Statement = Statement::both(
    "SELECT COUNT(*) FROM stripe_steps
     WHERE state = 'pending' AND (subject = $1 OR (kind = 'observe' AND detail = $1))",
);
pub(super) const STEP: Statement = Statement::both(steps!("WHERE subject = $1 AND sequence = $2"));
/// In one state, or in all where $1 is empty; after a place.
pub(super) const STEPS_PAGE: Statement = Statement::both(steps!(
    "WHERE ($1 = '' OR state = $1) AND (subject > $2 OR (subject = $2 AND sequence > $3))
     ORDER BY subject, sequence LIMIT $4"
));

pub(super) const INSERT_OBJECT: Statement = Statement::both(
    "INSERT INTO stripe_objects (kind, number, tenant_id, stripe_id, made_unix_us) VALUES ($1, $2, $3, $4, $5)",
);
pub(super) const OBJECT: Statement =
    Statement::both("SELECT stripe_id FROM stripe_objects WHERE kind = $1 AND number = $2");
pub(super) const OWNER_OF_OBJECT: Statement =
    Statement::both("SELECT number, tenant_id FROM stripe_objects WHERE kind = $1 AND stripe_id = $2");
pub(super) const INVOICES_PAGE: Statement = Statement::both(
    "SELECT number, stripe_id FROM stripe_objects WHERE kind = 'invoice' AND tenant_id = $1 AND number > $2
     ORDER BY number LIMIT $3",
);

pub(super) const INSERT_SESSION: Statement = Statement::both(
    "INSERT INTO stripe_sessions (session_id, tenant_id, kind, amount_minor, created_unix_us)
     VALUES ($1, $2, $3, $4, $5)",
);
macro_rules! sessions {
    ($rest:literal) => {
        Statement::both(concat!(
            "SELECT session_id, tenant_id, kind, amount_minor, completed_unix_us, payment_id, refunded_minor
             FROM stripe_sessions ",
            $rest
        ))
    };
}
pub(super) const SESSION: Statement = sessions!("WHERE session_id = $1");
pub(super) const SESSION_BY_PAYMENT: Statement = sessions!("WHERE payment_id = $1");
pub(super) const COMPLETE_SESSION: Statement = Statement::both(
    "UPDATE stripe_sessions SET completed_unix_us = COALESCE(completed_unix_us, $2),
                                payment_id = COALESCE(payment_id, $3)
     WHERE session_id = $1",
);
pub(super) const NOTE_REFUNDED: Statement = Statement::both(
    "UPDATE stripe_sessions SET refunded_minor = $2 WHERE session_id = $1 AND refunded_minor < $2",
);

pub(super) const EVENT: Statement = Statement::both("SELECT kind FROM stripe_events WHERE event_id = $1");
pub(super) const INSERT_EVENT: Statement = Statement::both(
    "INSERT INTO stripe_events (event_id, kind, object_id, made_unix_us, received_unix_us)
     VALUES ($1, $2, $3, $4, $5)",
);
