//! The statement that looks at series of numbers.
//! Never a value: there are none.
//! Called by the module above.

use crate::ledger::pool::Statement;

/// What one series says: its name, its documents, the column of the next serial, the prefix of numbers, and a serial as
/// six digits or more.
macro_rules! series {
    ($name:literal, $table:literal, $next:literal, $prefix:literal, $digits:literal) => {
        concat!(
            "SELECT '",
            $name,
            " of ' || issuer AS series, ",
            $next,
            " AS next, CAST(COALESCE((SELECT MAX(serial) FROM ",
            $table,
            " AS documents WHERE documents.issuer = invoice_issuers.issuer), 0) AS BIGINT) AS last,
               (SELECT MIN(serial) FROM ",
            $table,
            " AS documents WHERE documents.issuer = invoice_issuers.issuer AND serial > 1
                  AND NOT EXISTS (SELECT 1 FROM ",
            $table,
            " AS earlier WHERE earlier.issuer = documents.issuer AND earlier.serial = documents.serial - 1)) AS after_gap,
               (SELECT MIN(number) FROM ",
            $table,
            " AS documents WHERE documents.issuer = invoice_issuers.issuer AND number <> documents.issuer || '",
            $prefix,
            "' || ",
            $digits,
            ") AS misnamed FROM invoice_issuers"
        )
    };
}
macro_rules! both_series {
    ($digits:literal) => {
        concat!(
            series!("invoices", "invoices", "next_serial", "-", $digits),
            " UNION ALL ",
            series!("credit notes", "credit_notes", "next_credit_serial", "-CN-", $digits),
            " ORDER BY 1"
        )
    };
}
/// Each series of each issuer.
pub(super) const SERIES: Statement = Statement::each(
    both_series!("printf('%06d', serial)"),
    both_series!("lpad(CAST(serial AS text), GREATEST(6, length(CAST(serial AS text))), '0')"),
);
