//! Statements over all that was invoiced to a tenant, for what is still to be invoiced.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the folder's own module, through `pool::Transaction`.

use crate::ledger::pool::Statement;

pub(super) const DOCUMENTS: Statement = Statement::both(
    "SELECT invoices.number AS number, period_start_unix_us, period_end_unix_us, zone, records, body,
            CAST(CASE WHEN threshold_invoices.number IS NULL THEN 0 ELSE 1 END AS BIGINT) AS of_part,
            CAST(CASE WHEN EXISTS (SELECT 1 FROM invoice_events
                                   WHERE invoice_events.number = invoices.number AND kind = 'void')
                 THEN 1 ELSE 0 END AS BIGINT) AS ended_void
     FROM invoices LEFT JOIN threshold_invoices ON threshold_invoices.number = invoices.number
     WHERE tenant_id = $1 ORDER BY serial",
);
pub(super) const PART: Statement = Statement::both("INSERT INTO threshold_invoices (number) VALUES ($1)");
