//! Statements over what was given back of issued invoices.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the folder's own module, through `pool::Transaction`.

use crate::ledger::pool::Statement;

pub(super) const OF_INVOICE: Statement = Statement::both(
    "SELECT sequence, kind, amount_minor, reference, credit_note, grant_id, note, at_unix_us, actor_kind, actor
     FROM invoice_refunds WHERE number = $1 ORDER BY sequence",
);
macro_rules! insert {
    ($who:literal) => {
        concat!(
            "INSERT INTO invoice_refunds (number, sequence, tenant_id, kind, amount_minor, reference, credit_note, grant_id,
                                          note, at_unix_us, actor_kind, actor)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, ",
            $who
        )
    };
}
/// Who is at work is known to the database, as for the audit log.
pub(super) const INSERT: Statement = Statement::each(
    insert!("kind, name FROM audit_actor"),
    insert!(
        "COALESCE(NULLIF(current_setting('tallygate.actor', true), '')::jsonb ->> 'kind', 'system'),
         COALESCE(NULLIF(current_setting('tallygate.actor', true), '')::jsonb ->> 'name', 'unknown')"
    ),
);
