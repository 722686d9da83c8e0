//! Every statement over what happened to subscriptions and the periods they are billed by.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the folder's other modules, through `pool::Transaction`.

use crate::ledger::pool::Statement;

macro_rules! events {
    ($rest:literal) => {
        Statement::both(concat!(
            "SELECT tenant_id, kind, at_unix_us, cycle, day, trial_usage, until_unix_us, until_day
             FROM subscription_events ",
            $rest
        ))
    };
}
pub(super) const EVENTS: Statement = events!("ORDER BY tenant_id, sequence");
pub(super) const EVENTS_OF_TENANT: Statement = events!("WHERE tenant_id = $1 ORDER BY sequence");
pub(super) const INSERT_EVENT: Statement = Statement::both(
    "INSERT INTO subscription_events (tenant_id, sequence, kind, at_unix_us, cycle, day, trial_usage,
                                      until_unix_us, until_day, noted_unix_us)
     SELECT $1, (SELECT COALESCE(MAX(sequence), 0) + 1 FROM subscription_events WHERE tenant_id = $1),
            $2, $3, $4, $5, $6, $7, $8, $9",
);

pub(super) const PERIODS_OF_TENANT: Statement = Statement::both(
    "SELECT kind, full_start_unix_us, start_unix_us, end_unix_us FROM subscription_periods
     WHERE tenant_id = $1 ORDER BY sequence",
);
pub(super) const INSERT_PERIOD: Statement = Statement::both(
    "INSERT INTO subscription_periods (tenant_id, sequence, kind, full_start_unix_us, start_unix_us, end_unix_us, zone)
     SELECT $1, (SELECT COALESCE(MAX(sequence), 0) + 1 FROM subscription_periods WHERE tenant_id = $1),
            $2, $3, $4, $5, $6",
);

/// Every instant within a span at which another plan began to count.
pub(super) const PLAN_CHANGES: Statement = Statement::both(
    "SELECT since_unix_us FROM subscriptions WHERE tenant_id = $1 AND since_unix_us > $2 AND since_unix_us < $3
     ORDER BY since_unix_us",
);

/// The end of the last period that was issued; NULL without any.
pub(super) const BILLED_UNTIL: Statement =
    Statement::both("SELECT MAX(period_end_unix_us) FROM invoices WHERE tenant_id = $1");

/// Says when the plan that is set next counts from.
pub(super) const SET_PLAN_CLOCK: Statement = Statement::each(
    "UPDATE plan_clock SET since_unix_us = $1",
    "SELECT set_config('tallygate.plan_since', CAST(CAST($1 AS BIGINT) AS TEXT), true)",
);
/// The database's clock counts again.
pub(super) const CLEAR_PLAN_CLOCK: Statement = Statement::each(
    "UPDATE plan_clock SET since_unix_us = NULL",
    "SELECT set_config('tallygate.plan_since', '', true)",
);
