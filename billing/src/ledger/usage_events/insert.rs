//! Adds usage events to their tables: the events, what they count for, and the hourly sums of it.
//! Never an event that is stored already: the caller has looked, in the same transaction.
//! Called by the module above.

use std::collections::BTreeMap;

use domain::RecordHash;
use serde::Serialize;
use uuid::Uuid;

use super::{HashedEvent, sql};
use crate::ledger::{
    LedgerError, Transaction, Value,
    usage::{hex_id, to_json},
};

/// An event as the bulk insert reads it. Named like the columns.
#[derive(Serialize)]
struct EventColumns<'a> {
    tenant_id: String,
    sequence: i64,
    source: &'a str,
    event_id: &'a str,
    event_type: &'a str,
    time_unix_us: i64,
    received_unix_us: i64,
    project_id: Option<String>,
    price_version: &'a str,
    counts: String,
    body: String,
    previous_hash: RecordHash,
    event_hash: RecordHash,
}

#[derive(Serialize)]
struct CountColumns<'a> {
    tenant_id: String,
    sequence: i64,
    meter: &'a str,
    time_unix_us: i64,
    price_version: &'a str,
    project_id: String,
    counts: u64,
}

/// What an hourly sum of events is kept by, in the order in which rows are touched.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct TallyKey<'a> {
    tenant_id: String,
    unix_hour: i64,
    meter: &'a str,
    price_version: &'a str,
    project_id: String,
}

#[derive(Serialize)]
struct Tally<'a> {
    #[serde(flatten)]
    key: TallyKey<'a>,
    events: u64,
    counts: u64,
}

/// Adds events that continue their chains, with what they count for and the hourly sums of it.
pub(super) async fn all(transaction: &mut Transaction, fresh: &[HashedEvent]) -> Result<(), LedgerError> {
    if fresh.is_empty() {
        return Ok(());
    }
    let events: Vec<_> = fresh.iter().map(columns).collect::<Result<_, _>>()?;
    transaction.execute(sql::INSERT_EVENTS, &[Value::Text(&to_json(&events)?)]).await?;
    let (mut counts, mut tallies) = (Vec::new(), BTreeMap::<TallyKey<'_>, (u64, u64)>::new());
    for (stored, _) in fresh {
        let project = hex_id(stored.project_id.map_or(Uuid::nil(), |project| project.as_uuid()));
        for (meter, count) in &stored.counts {
            let (meter, price_version) = (meter.as_str(), stored.price_version.as_str());
            let tenant_id = hex_id(stored.tenant_id.as_uuid());
            let key = TallyKey {
                tenant_id: tenant_id.clone(),
                unix_hour: stored.time.unix_hour(),
                meter,
                price_version,
                project_id: project.clone(),
            };
            let tally = tallies.entry(key).or_default();
            // One event says a million millionth part of what this holds at most, and a batch is a thousand.
            *tally = (tally.0.saturating_add(1), tally.1.saturating_add(*count));
            counts.push(CountColumns {
                tenant_id,
                sequence: column(stored.sequence)?,
                meter,
                time_unix_us: stored.time.unix_micros(),
                price_version,
                project_id: project.clone(),
                counts: *count,
            });
        }
    }
    if counts.is_empty() {
        return Ok(());
    }
    let tallies = tallies.into_iter().map(|(key, (events, counts))| Tally { key, events, counts });
    let tallies: Vec<_> = tallies.collect();
    transaction.execute(sql::INSERT_COUNTS, &[Value::Text(&to_json(&counts)?)]).await?;
    transaction.execute(sql::ADD_TALLIES, &[Value::Text(&to_json(&tallies)?)]).await?;
    Ok(())
}

/// A place in a chain as SQL stores it.
pub(super) fn column(sequence: u64) -> Result<i64, LedgerError> {
    i64::try_from(sequence).map_err(|error| LedgerError::corrupt("sequence", &error))
}

fn columns((stored, hash): &HashedEvent) -> Result<EventColumns<'_>, LedgerError> {
    let counts: BTreeMap<&str, u64> =
        stored.counts.iter().map(|(meter, count)| (meter.as_str(), *count)).collect();
    let counts = serde_json::to_string(&counts).map_err(|error| LedgerError::corrupt("counts", &error))?;
    Ok(EventColumns {
        tenant_id: hex_id(stored.tenant_id.as_uuid()),
        sequence: column(stored.sequence)?,
        source: &stored.event.source,
        event_id: &stored.event.id,
        event_type: &stored.event.event_type,
        time_unix_us: stored.time.unix_micros(),
        received_unix_us: stored.received_at.unix_micros(),
        project_id: stored.project_id.map(|project| hex_id(project.as_uuid())),
        price_version: stored.price_version.as_str(),
        counts,
        body: stored.event.to_json(),
        previous_hash: stored.previous_hash,
        event_hash: *hash,
    })
}
