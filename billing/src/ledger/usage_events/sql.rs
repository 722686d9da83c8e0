//! The statements about usage events: their chain, what they count for, and the hourly sums of it.
//! Never a value: those are bound as `$1`, `$2` and so on.
//! Called by the module above.

use crate::ledger::pool::Statement;

/// The hour of an event. The remainder is taken twice because it is negative before 1970.
macro_rules! hour {
    () => {
        "(time_unix_us - (time_unix_us % 3600000000 + 3600000000) % 3600000000) / 3600000000"
    };
}
macro_rules! event_columns {
    () => {
        "tenant_id, sequence, time_unix_us, received_unix_us, project_id, price_version, counts, body,
         previous_hash, event_hash"
    };
}

/// PostgreSQL: waits for whoever issues an invoice, before any tenant is locked. SQLite has one writer.
pub(super) const WAIT: Statement =
    Statement::each("SELECT 1", "LOCK TABLE event_tallies_hourly IN ROW EXCLUSIVE MODE");
/// PostgreSQL: one at a time adds to a tenant's chain. SQLite has one writer.
pub(super) const LOCK_TENANT: Statement = Statement::each(
    "SELECT 1 FROM tenants WHERE tenant_id = $1",
    "SELECT 1 FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE",
);
pub(super) const LAST: Statement = Statement::both(
    "SELECT sequence, event_hash FROM usage_events WHERE tenant_id = $1 ORDER BY sequence DESC LIMIT 1",
);
/// The events of `$1`, a JSON list of sources and ids. Bounded by that list.
pub(super) const FIND: Statement = Statement::each(
    concat!(
        "SELECT ",
        event_columns!(),
        " FROM usage_events WHERE (source, event_id) IN
            (SELECT value ->> 'source', value ->> 'event_id' FROM json_each($1))"
    ),
    concat!(
        "SELECT ",
        event_columns!(),
        " FROM usage_events WHERE (source, event_id) IN
            (SELECT source, event_id FROM json_to_recordset($1::json) AS wanted (source text, event_id text))"
    ),
);
macro_rules! insert_events {
    ($source:literal) => {
        concat!(
            "INSERT INTO usage_events (tenant_id, sequence, source, event_id, event_type, time_unix_us,
                received_unix_us, project_id, price_version, counts, body, previous_hash, event_hash) ",
            $source
        )
    };
}
/// Adds the events of `$1`, a JSON list.
pub(super) const INSERT_EVENTS: Statement = Statement::each(
    insert_events!(
        "SELECT unhex(value ->> 'tenant_id'), value ->> 'sequence', value ->> 'source', value ->> 'event_id',
            value ->> 'event_type', value ->> 'time_unix_us', value ->> 'received_unix_us',
            unhex(value ->> 'project_id'), value ->> 'price_version', value ->> 'counts', value ->> 'body',
            unhex(value ->> 'previous_hash'), unhex(value ->> 'event_hash')
         FROM json_each($1)"
    ),
    insert_events!(
        "SELECT tenant_id, sequence, source, event_id, event_type, time_unix_us, received_unix_us, project_id,
            price_version, counts, body, decode(previous_hash, 'hex'), decode(event_hash, 'hex')
         FROM json_to_recordset($1::json) AS event (
            tenant_id uuid, sequence bigint, source text, event_id text, event_type text, time_unix_us bigint,
            received_unix_us bigint, project_id uuid, price_version text, counts text, body text,
            previous_hash text, event_hash text)"
    ),
);
macro_rules! insert_counts {
    ($source:literal) => {
        concat!(
            "INSERT INTO usage_event_counts (tenant_id, sequence, meter, time_unix_us, price_version, project_id,
                counts) ",
            $source
        )
    };
}
/// Adds what the events count for: `$1`, a JSON list.
pub(super) const INSERT_COUNTS: Statement = Statement::each(
    insert_counts!(
        "SELECT unhex(value ->> 'tenant_id'), value ->> 'sequence', value ->> 'meter', value ->> 'time_unix_us',
            value ->> 'price_version', unhex(value ->> 'project_id'), value ->> 'counts'
         FROM json_each($1)"
    ),
    insert_counts!(
        "SELECT tenant_id, sequence, meter, time_unix_us, price_version, project_id, counts
         FROM json_to_recordset($1::json) AS counted (
            tenant_id uuid, sequence bigint, meter text, time_unix_us bigint, price_version text, project_id uuid,
            counts bigint)"
    ),
);
macro_rules! add_tallies {
    ($source:literal) => {
        concat!(
            "INSERT INTO event_tallies_hourly (tenant_id, unix_hour, meter, price_version, project_id, events, counts) ",
            $source,
            " ON CONFLICT (tenant_id, unix_hour, meter, price_version, project_id) DO UPDATE SET
                events = event_tallies_hourly.events + excluded.events,
                counts = event_tallies_hourly.counts + excluded.counts"
        )
    };
}
/// Adds tallies: `$1`, a JSON list in order, so that two who add touch rows in one order.
pub(super) const ADD_TALLIES: Statement = Statement::each(
    add_tallies!(
        "SELECT unhex(value ->> 'tenant_id'), value ->> 'unix_hour', value ->> 'meter', value ->> 'price_version',
            unhex(value ->> 'project_id'), value ->> 'events', value ->> 'counts'
         FROM json_each($1) WHERE true"
    ),
    add_tallies!(
        "SELECT tenant_id, unix_hour, meter, price_version, project_id, events, counts
         FROM json_to_recordset($1::json) AS tally (
            tenant_id uuid, unix_hour bigint, meter text, price_version text, project_id uuid, events bigint,
            counts bigint)"
    ),
);

pub(super) const CHAIN: Statement = Statement::both(concat!(
    "SELECT ",
    event_columns!(),
    " FROM usage_events WHERE tenant_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"
));
/// By the index over time; `$4` and `$5` are the place of the last event before.
pub(super) const PAGE: Statement = Statement::both(concat!(
    "SELECT ",
    event_columns!(),
    " FROM usage_events
     WHERE tenant_id = $1 AND time_unix_us >= $2 AND time_unix_us < $3 AND (time_unix_us, sequence) > ($4, $5)
     ORDER BY time_unix_us, sequence LIMIT $6"
));
pub(super) const COUNT: Statement = Statement::both(
    "SELECT COUNT(*) FROM usage_events WHERE tenant_id = $1 AND time_unix_us >= $2 AND time_unix_us < $3",
);
/// Sums over a period: whole hours from the tallies, the parts of hours at the edges from the events. The values are
/// those of the sums of usage.
pub(super) const SUMS: Statement = Statement::both(
    "SELECT price_version, meter, project_id, CAST(SUM(events) AS BIGINT) AS events,
            CAST(SUM(counts) AS BIGINT) AS counts
     FROM (
       SELECT price_version, meter, project_id, events, counts FROM event_tallies_hourly
       WHERE tenant_id = $1 AND unix_hour >= $2 AND unix_hour < $3
       UNION ALL
       SELECT price_version, meter, project_id, 1, counts FROM usage_event_counts
       WHERE tenant_id = $1 AND time_unix_us >= $4 AND time_unix_us < $5
       UNION ALL
       SELECT price_version, meter, project_id, 1, counts FROM usage_event_counts
       WHERE tenant_id = $1 AND time_unix_us >= $6 AND time_unix_us < $7
     ) AS used GROUP BY price_version, meter, project_id ORDER BY price_version, meter, project_id",
);
/// The first tally of whole hours that is not the sum of its events, and both sides.
///
/// `$1` tenant; `$2`, `$3` first and last hour (excluded); `$4`, `$5` the same in microseconds.
pub(super) const DIFFERENCE: Statement = Statement::both(concat!(
    "SELECT unix_hour, meter, price_version, project_id, CAST(SUM(tallies) AS BIGINT) AS tallies,
            CAST(SUM(tally_events) AS BIGINT) AS tally_events, CAST(SUM(tally_counts) AS BIGINT) AS tally_counts,
            CAST(SUM(events) AS BIGINT) AS events, CAST(SUM(counts) AS BIGINT) AS counts
     FROM (
       SELECT unix_hour, meter, price_version, project_id, 1 AS tallies, events AS tally_events,
              counts AS tally_counts, 0 AS events, 0 AS counts
       FROM event_tallies_hourly WHERE tenant_id = $1 AND unix_hour >= $2 AND unix_hour < $3
       UNION ALL
       SELECT ",
    hour!(),
    ", meter, price_version, project_id, 0, 0, 0, 1, counts
       FROM usage_event_counts WHERE tenant_id = $1 AND time_unix_us >= $4 AND time_unix_us < $5
     ) AS sides
     GROUP BY unix_hour, meter, price_version, project_id
     HAVING SUM(tally_events) <> SUM(events) OR SUM(tally_counts) <> SUM(counts)
     ORDER BY unix_hour, meter, price_version, project_id LIMIT 1"
));
pub(super) const DELETE_TALLIES: Statement = Statement::both(
    "DELETE FROM event_tallies_hourly WHERE tenant_id = $1 AND unix_hour >= $2 AND unix_hour < $3",
);
pub(super) const MAKE_TALLIES: Statement = Statement::both(concat!(
    "INSERT INTO event_tallies_hourly (tenant_id, unix_hour, meter, price_version, project_id, events, counts)
     SELECT tenant_id, ",
    hour!(),
    ", meter, price_version, project_id, COUNT(*), SUM(counts)
     FROM usage_event_counts WHERE tenant_id = $1 AND time_unix_us >= $2 AND time_unix_us < $3
     GROUP BY 1, 2, 3, 4, 5"
));
