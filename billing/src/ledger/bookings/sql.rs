//! Statements over what changed what a tenant owes: its invoices, those that became void, and its credit notes.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the folder's own module, through `pool::Transaction`.

use crate::ledger::pool::Statement;

/// Rows of a tenant's invoices, with where each stands in its list: an instant and a serial.
macro_rules! bookings {
    ($at:literal, $serial:literal, $note:literal, $from:literal) => {
        Statement::both(concat!(
            "SELECT invoices.number AS number, invoices.tenant_id AS tenant_id,
                    invoices.period_start_unix_us AS period_start_unix_us,
                    invoices.period_end_unix_us AS period_end_unix_us, invoices.zone AS zone,
                    invoices.currency AS currency, invoices.total_minor AS total_minor,
                    invoices.records AS records, invoices.issued_unix_us AS issued_unix_us, invoices.body AS body,
                    CAST(CASE WHEN EXISTS (SELECT 1 FROM threshold_invoices
                                           WHERE threshold_invoices.number = invoices.number)
                         THEN 1 ELSE 0 END AS BIGINT) AS of_part, ",
            $at,
            " AS at_unix_us, ",
            $serial,
            " AS serial, ",
            $note,
            " AS note FROM ",
            $from,
            " WHERE invoices.tenant_id = $1 AND ",
            $at,
            " >= $2 AND ",
            $at,
            " < $3 AND (",
            $at,
            ", ",
            $serial,
            ") > ($4, $5) ORDER BY ",
            $at,
            ", ",
            $serial,
            " LIMIT $6"
        ))
    };
}
/// By the beginning of their periods.
pub(super) const INVOICES: Statement =
    bookings!("invoices.period_start_unix_us", "invoices.serial", "CAST(NULL AS TEXT)", "invoices");
/// By the time at which they became void. Few of a tenant's invoices do, and each is found by its number.
pub(super) const VOIDED: Statement = bookings!(
    "happened.at_unix_us",
    "invoices.serial",
    "CAST(NULL AS TEXT)",
    "invoices JOIN invoice_events AS happened ON happened.number = invoices.number AND happened.kind = 'void'"
);
/// By the time at which they were issued.
pub(super) const CREDIT_NOTES: Statement = bookings!(
    "notes.issued_unix_us",
    "notes.serial",
    "notes.body",
    "invoices JOIN credit_notes AS notes ON notes.invoice_number = invoices.number"
);
