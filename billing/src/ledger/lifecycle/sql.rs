//! Statements over what became of issued invoices.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the folder's own module, through `pool::Transaction`.

use crate::ledger::pool::Statement;

pub(super) const EVENTS: Statement = Statement::both(
    "SELECT sequence, kind, amount_minor, reference, note, at_unix_us, actor_kind, actor FROM invoice_events
     WHERE number = $1 ORDER BY sequence",
);
macro_rules! insert_event {
    ($who:literal) => {
        concat!(
            "INSERT INTO invoice_events (number, sequence, tenant_id, kind, amount_minor, reference, note, at_unix_us,
                                         actor_kind, actor)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, ",
            $who
        )
    };
}
/// Who is at work is known to the database, as for the audit log.
pub(super) const INSERT_EVENT: Statement = Statement::each(
    insert_event!("kind, name FROM audit_actor"),
    insert_event!(
        "COALESCE(NULLIF(current_setting('tallygate.actor', true), '')::jsonb ->> 'kind', 'system'),
         COALESCE(NULLIF(current_setting('tallygate.actor', true), '')::jsonb ->> 'name', 'unknown')"
    ),
);
pub(super) const CREDITED: Statement = Statement::both(
    "SELECT CAST(COALESCE(SUM(total_minor), 0) AS BIGINT) FROM credit_notes WHERE invoice_number = $1",
);
