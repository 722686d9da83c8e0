//! The statements that walk over usage records and invoice lines for exports and comparisons.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the module above.

use crate::ledger::{pool::Statement, sql::record_columns};

/// By the unique index of journal and sequence.
pub(super) const JOURNAL_RECORDS: Statement = Statement::both(concat!(
    "SELECT ",
    record_columns!(),
    " FROM usage_records WHERE journal_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"
));
/// How many records of a journal after `$2` and up to `$3` were detached, and the hash of the last of them.
pub(super) const DETACHED_LINKS: Statement = Statement::each(
    "SELECT COUNT(*), MAX(CASE WHEN sequence = $3 THEN record_hash END) FROM detached_record_keys
     WHERE journal_id = $1 AND sequence > $2 AND sequence <= $3",
    "SELECT COUNT(*), (ARRAY_AGG(record_hash) FILTER (WHERE sequence = $3))[1] FROM usage_record_keys
     WHERE journal_id = $1 AND sequence > $2 AND sequence <= $3
       AND EXISTS (SELECT 1 FROM detached_months
                   WHERE start_unix_us <= finished_unix_us AND end_unix_us > finished_unix_us)",
);
pub(super) const DETACHED_WITHIN: Statement = Statement::both(
    "SELECT month, CASE WHEN dropped_unix_us IS NULL THEN place END FROM detached_months
         WHERE start_unix_us < $2 AND end_unix_us > $1 ORDER BY month, part LIMIT 1",
);
macro_rules! filtered {
    ($no_project:literal) => {
        concat!(
            "SELECT ",
            record_columns!(),
            " FROM usage_records
             WHERE tenant_id = $1 AND finished_unix_us >= $2 AND finished_unix_us < $3
               AND (finished_unix_us, request_id) > ($4, $5)
               AND ($7 = '' OR key_id = $7) AND ($8 = '' OR model = $8)
               AND ($9 = ",
            $no_project,
            " OR project_id IN (
                 WITH RECURSIVE subtree (project_id) AS (
                   SELECT project_id FROM projects WHERE project_id = $9 AND tenant_id = $1
                   UNION ALL
                   SELECT below.project_id FROM projects AS below JOIN subtree ON below.parent_id = subtree.project_id
                 )
                 SELECT project_id FROM subtree))
             ORDER BY finished_unix_us, request_id LIMIT $6"
        )
    };
}
/// Empty texts and the nil id stand for no filter.
pub(super) const FILTERED_RECORDS: Statement = Statement::each(
    filtered!("zeroblob(16)"),
    filtered!("CAST('00000000-0000-0000-0000-000000000000' AS uuid)"),
);
/// The columns that SQL sums, beside the invoice's own text.
pub(super) const INVOICE_LINES: Statement = Statement::both(
    "SELECT position, kind, item, quantity, exact, displayed_minor FROM invoice_lines WHERE number = $1
     ORDER BY position",
);
