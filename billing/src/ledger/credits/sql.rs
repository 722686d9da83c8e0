//! Every statement over the books of tenants.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the folder's own modules, through `pool::Transaction`.

use crate::ledger::pool::Statement;

/// The book of a tenant, made where there is none; its row is locked until the end of the transaction.
pub(super) const LOCK_BOOK: Statement = Statement::both(
    "INSERT INTO credit_books (tenant_id, transfers, postings, is_low, is_stale, opened_unix_us)
     VALUES ($1, 0, 0, $2, $2, $3)
     ON CONFLICT (tenant_id) DO UPDATE SET transfers = credit_books.transfers
     RETURNING transfers, postings, is_low",
);
pub(super) const WRITE_BOOK: Statement = Statement::both(
    "UPDATE credit_books SET transfers = $2, postings = $3, is_low = $4, is_stale = (is_stale OR $5)
     WHERE tenant_id = $1",
);
pub(super) const BOOK: Statement = Statement::both("SELECT transfers FROM credit_books WHERE tenant_id = $1");

/// Those of the tenants in `$1` (a JSON list of ids) that have a book or should, in one order for all who lock.
pub(super) const TENANTS_WITH_BOOKS: Statement = Statement::each(
    "SELECT tenant_id FROM (SELECT tenant_id FROM credit_books UNION SELECT tenant_id FROM grants) AS known
     WHERE tenant_id IN (SELECT unhex(value) FROM json_each($1)) ORDER BY tenant_id",
    "SELECT tenant_id FROM (SELECT tenant_id FROM credit_books UNION SELECT tenant_id FROM grants) AS known
     WHERE tenant_id IN (SELECT CAST(value AS uuid) FROM json_array_elements_text($1::json)) ORDER BY tenant_id",
);
/// Tenants with grants of an earlier version, that have no book yet.
pub(super) const UNOPENED: Statement = Statement::both(
    "SELECT DISTINCT tenant_id FROM grants
     WHERE NOT EXISTS (SELECT 1 FROM credit_books WHERE credit_books.tenant_id = grants.tenant_id)
     ORDER BY tenant_id LIMIT 1000",
);
/// Waits for whoever adds to what was spent, and lets nobody begin. SQLite has one writer at a time anyway.
pub(super) const HOLD_SPENDING: Statement =
    Statement::each("SELECT 1", "LOCK TABLE spend_quarters IN SHARE MODE");
pub(super) const SPENT_BY_MODEL: Statement = Statement::both(
    "SELECT model, CAST(SUM(charge_nanos) AS BIGINT) FROM spend_quarters WHERE tenant_id = $1
     GROUP BY model HAVING SUM(charge_nanos) > 0 ORDER BY model",
);
/// Grants of an earlier version.
pub(super) const UNBOOKED_GRANTS: Statement = Statement::both(
    "SELECT tenant_id, grant_id, amount_nanos, priority, expires_unix_us, created_unix_us, models,
            CAST(0 AS BIGINT) AS remaining_nanos, CAST(0 AS BIGINT) AS lapsed_nanos
     FROM grants WHERE tenant_id = $1 AND posting IS NULL ORDER BY created_unix_us, grant_id",
);

macro_rules! open_grants {
    ($hex:literal, $rest:literal) => {
        concat!(
            "SELECT grants.tenant_id AS tenant_id, grant_id, amount_nanos, priority, expires_unix_us, created_unix_us,
                    models, left_of.balance_nanos AS remaining_nanos,
                    COALESCE(lapsed.balance_nanos, 0) AS lapsed_nanos
             FROM grants
               JOIN credit_accounts AS left_of
                 ON left_of.tenant_id = grants.tenant_id AND left_of.account = 'grant:' || ",
            $hex,
            " LEFT JOIN credit_accounts AS lapsed
                 ON lapsed.tenant_id = grants.tenant_id AND lapsed.account = 'breakage:' || ",
            $hex,
            $rest
        )
    };
}
/// Grants of which something is left, or lapsed at `$2` or later.
pub(super) const OPEN_GRANTS: Statement = Statement::each(
    open_grants!(
        "lower(hex(grant_id))",
        " WHERE grants.tenant_id = $1
            AND (left_of.balance_nanos > 0 OR (lapsed.balance_nanos > 0 AND expires_unix_us > $2))"
    ),
    open_grants!(
        "replace(CAST(grant_id AS text), '-', '')",
        " WHERE grants.tenant_id = $1
            AND (left_of.balance_nanos > 0 OR (lapsed.balance_nanos > 0 AND expires_unix_us > $2))"
    ),
);
/// Those of all tenants that pay in advance.
pub(super) const OPEN_GRANTS_OF_ALL: Statement = Statement::each(
    open_grants!(
        "lower(hex(grant_id))",
        " WHERE left_of.balance_nanos > 0
            AND grants.tenant_id IN (SELECT tenant_id FROM tenants WHERE billing = 'prepaid')"
    ),
    open_grants!(
        "replace(CAST(grant_id AS text), '-', '')",
        " WHERE left_of.balance_nanos > 0
            AND grants.tenant_id IN (SELECT tenant_id FROM tenants WHERE billing = 'prepaid')"
    ),
);
/// Every grant's account, empty ones too.
pub(super) const ALL_GRANTS: Statement = Statement::each(
    open_grants!("lower(hex(grant_id))", " WHERE grants.tenant_id = $1"),
    open_grants!("replace(CAST(grant_id AS text), '-', '')", " WHERE grants.tenant_id = $1"),
);
/// Every grant as it was given, those that took back included.
pub(super) const EVERY_GRANT: Statement = Statement::both(
    "SELECT tenant_id, grant_id, amount_nanos, priority, expires_unix_us, created_unix_us, models,
            CAST(0 AS BIGINT) AS remaining_nanos, CAST(0 AS BIGINT) AS lapsed_nanos
     FROM grants WHERE tenant_id = $1",
);
pub(super) const ACCOUNTS: Statement = Statement::both(
    "SELECT account, balance_nanos FROM credit_accounts WHERE tenant_id = $1 ORDER BY account",
);
pub(super) const SHARED_ACCOUNTS_OF_ALL: Statement = Statement::both(
    "SELECT tenant_id, account, balance_nanos FROM credit_accounts
     WHERE (account = 'overage' OR account LIKE 'consumed:%')
       AND tenant_id IN (SELECT tenant_id FROM tenants WHERE billing = 'prepaid')",
);
pub(super) const OVERAGE: Statement =
    Statement::both("SELECT balance_nanos FROM credit_accounts WHERE tenant_id = $1 AND account = 'overage'");

/// Adds the transfers of `$1` (a JSON list) in their order; the accounts follow by themselves.
pub(super) const INSERT_TRANSFERS: Statement = Statement::each(
    "INSERT INTO credit_transfers (tenant_id, sequence, posting, cause, at_unix_us, from_account, to_account,
        amount_nanos, grant_id, journal_id, unix_quarter, first_sequence, last_sequence, records, first_part_nanos,
        last_part_nanos)
     SELECT unhex(value ->> 'tenant_id'), value ->> 'sequence', value ->> 'posting', value ->> 'cause',
        value ->> 'at_unix_us', value ->> 'from_account', value ->> 'to_account', value ->> 'amount_nanos',
        unhex(value ->> 'grant_id'), unhex(value ->> 'journal_id'), value ->> 'unix_quarter',
        value ->> 'first_sequence', value ->> 'last_sequence', value ->> 'records', value ->> 'first_part_nanos',
        value ->> 'last_part_nanos'
     FROM json_each($1) ORDER BY value ->> 'sequence'",
    "INSERT INTO credit_transfers (tenant_id, sequence, posting, cause, at_unix_us, from_account, to_account,
        amount_nanos, grant_id, journal_id, unix_quarter, first_sequence, last_sequence, records, first_part_nanos,
        last_part_nanos)
     SELECT tenant_id, sequence, posting, cause, at_unix_us, from_account, to_account, amount_nanos, grant_id,
        journal_id, unix_quarter, first_sequence, last_sequence, records, first_part_nanos, last_part_nanos
     FROM json_to_recordset($1::json) AS transfer (
        tenant_id uuid, sequence bigint, posting bigint, cause text, at_unix_us bigint, from_account text,
        to_account text, amount_nanos bigint, grant_id uuid, journal_id uuid, unix_quarter bigint,
        first_sequence bigint, last_sequence bigint, records bigint, first_part_nanos bigint, last_part_nanos bigint)
     ORDER BY sequence",
);

macro_rules! transfers {
    ($rest:literal) => {
        Statement::both(concat!(
            "SELECT sequence, posting, cause, at_unix_us, from_account, to_account, amount_nanos, grant_id, journal_id,
                    unix_quarter, first_sequence, last_sequence, records, first_part_nanos, last_part_nanos
             FROM credit_transfers WHERE tenant_id = $1 ",
            $rest
        ))
    };
}
pub(super) const TRANSFERS_PAGE: Statement = transfers!("AND sequence > $2 ORDER BY sequence LIMIT $3");
/// Those that a record may be part of. `$2` journal, `$3` place in it, `$4` quarter, `$5` account of the model.
pub(super) const TRANSFERS_OF_RECORD: Statement = transfers!(
    "AND journal_id = $2 AND first_sequence <= $3 AND last_sequence >= $3 AND unix_quarter = $4 AND to_account = $5
     ORDER BY sequence"
);
/// Transfers of usage that are on no invoice and belong on that of some quarters of an hour (`$2` to `$3`, the last
/// excluded): those of its own, and late ones of what was invoiced before.
macro_rules! open_transfers {
    ($columns:literal, $from:literal, $rest:literal) => {
        concat!(
            $columns,
            " FROM credit_transfers ",
            $from,
            " WHERE credit_transfers.tenant_id = $1 AND unix_quarter < $3
                AND (unix_quarter >= $2 OR EXISTS (
                  SELECT 1 FROM invoices
                  WHERE invoices.tenant_id = $1 AND period_start_unix_us <= unix_quarter * 900000000
                    AND period_end_unix_us > unix_quarter * 900000000))
                AND NOT EXISTS (
                  SELECT 1 FROM credit_invoiced
                  WHERE credit_invoiced.tenant_id = $1 AND credit_invoiced.sequence = credit_transfers.sequence) ",
            $rest
        )
    };
}
/// What grants paid of them, the oldest grant first, each with its words.
pub(super) const PAID_BY_GRANTS: Statement = Statement::both(open_transfers!(
    "SELECT grants.grant_id, kind, note, CAST(SUM(credit_transfers.amount_nanos) AS BIGINT)",
    "JOIN grants ON grants.grant_id = credit_transfers.grant_id",
    "GROUP BY grants.grant_id, kind, note, grants.created_unix_us ORDER BY grants.created_unix_us, grants.grant_id"
));
pub(super) const OVERAGE_IN: Statement = Statement::both(open_transfers!(
    "SELECT CAST(COALESCE(SUM(amount_nanos), 0) AS BIGINT)",
    "",
    "AND from_account = 'overage'"
));
/// Notes that the invoice `$4` has them.
pub(super) const NOTE_INVOICED: Statement = Statement::both(open_transfers!(
    "INSERT INTO credit_invoiced (tenant_id, sequence, number) SELECT tenant_id, sequence, $4",
    "",
    ""
));

/// What was charged for a journal's records of a tenant between two places (both included).
pub(super) const CHARGES_OF_RECORDS: Statement = Statement::both(
    "SELECT sequence, model, charge_nanos, started_unix_us, finished_unix_us FROM usage_records
     WHERE journal_id = $2 AND sequence >= $3 AND sequence <= $4 AND tenant_id = $1 AND charge_nanos > 0
     ORDER BY sequence",
);
/// What was charged, ever, counted from the records themselves.
pub(super) const CHARGED_BY_MODEL: Statement = Statement::both(
    "SELECT model, CAST(SUM(charge_nanos) AS BIGINT) FROM usage_records WHERE tenant_id = $1
     GROUP BY model HAVING SUM(charge_nanos) > 0 ORDER BY model",
);

/// Whether any records were ever detached.
pub(super) const DETACHED_MONTHS: Statement = Statement::both("SELECT COUNT(*) FROM detached_months");

/// Tenants with grants whose time is over and of which something is left.
pub(super) const EXPIRED: Statement = Statement::each(
    "SELECT DISTINCT grants.tenant_id FROM grants JOIN credit_accounts
       ON credit_accounts.tenant_id = grants.tenant_id AND account = 'grant:' || lower(hex(grant_id))
     WHERE expires_unix_us <= $1 AND expires_unix_us >= $2 AND balance_nanos > 0 ORDER BY grants.tenant_id LIMIT 1000",
    "SELECT DISTINCT grants.tenant_id FROM grants JOIN credit_accounts
       ON credit_accounts.tenant_id = grants.tenant_id
      AND account = 'grant:' || replace(CAST(grant_id AS text), '-', '')
     WHERE expires_unix_us <= $1 AND expires_unix_us >= $2 AND balance_nanos > 0 ORDER BY grants.tenant_id LIMIT 1000",
);
pub(super) const STALE: Statement = Statement::both("SELECT COUNT(*) FROM credit_books WHERE is_stale");
pub(super) const REFRESH: Statement =
    Statement::both("UPDATE credit_books SET is_stale = (1 = 0) WHERE is_stale");

pub(super) const TERMS: Statement = Statement::both(
    "SELECT overage, overage_nanos, recharge_below_nanos FROM credit_terms WHERE tenant_id = $1",
);
pub(super) const TERMS_OF_ALL: Statement =
    Statement::both("SELECT tenant_id, overage, overage_nanos, recharge_below_nanos FROM credit_terms");
pub(super) const PUT_TERMS: Statement = Statement::both(
    "INSERT INTO credit_terms (tenant_id, overage, overage_nanos, recharge_below_nanos) VALUES ($1, $2, $3, $4)
     ON CONFLICT (tenant_id) DO UPDATE SET overage = excluded.overage, overage_nanos = excluded.overage_nanos,
        recharge_below_nanos = excluded.recharge_below_nanos",
);

pub(super) const INSERT_EVENT: Statement = Statement::both(
    "INSERT INTO events (event_id, tenant_id, kind, at_unix_us, body) VALUES ($1, $2, $3, $4, $5)",
);
pub(super) const EVENTS_PAGE: Statement = Statement::both(
    "SELECT event_id, kind, at_unix_us, body FROM events
     WHERE tenant_id = $1 AND event_id > $2 ORDER BY event_id LIMIT $3",
);
