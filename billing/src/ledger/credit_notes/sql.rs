//! Statements over credit notes.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the folder's own module, through `pool::Transaction`.

use crate::ledger::pool::Statement;

macro_rules! credit_notes {
    ($rest:literal) => {
        Statement::both(concat!("SELECT idempotency_key, body FROM credit_notes ", $rest))
    };
}
pub(super) const OF_INVOICE: Statement = credit_notes!("WHERE invoice_number = $1 ORDER BY serial");
pub(super) const BY_NUMBER: Statement = credit_notes!("WHERE number = $1");
pub(super) const LOCK_SERIAL: Statement = Statement::both(
    "UPDATE invoice_issuers SET next_credit_serial = next_credit_serial WHERE issuer = $1
     RETURNING next_credit_serial",
);
pub(super) const TAKE_SERIAL: Statement = Statement::both(
    "UPDATE invoice_issuers SET next_credit_serial = next_credit_serial + 1 WHERE issuer = $1",
);
pub(super) const INSERT: Statement = Statement::both(
    "INSERT INTO credit_notes (number, issuer, serial, invoice_number, tenant_id, currency, subtotal_minor, total_minor,
                               reason, idempotency_key, issued_unix_us, body)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
);
