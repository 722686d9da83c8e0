//! Usage events as they are stored: each once for ever, in its tenant's chain, with what it counts for.
//! Never an event that is changed or deleted, also not by retention, and never a part of a batch.
//! Called by the operators' interface, exports, invoices and `verify`'s counterparts.

mod insert;
mod sql;
mod sums;

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry};

use domain::{PlanVersionId, ProjectId, RecordHash, TenantId, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Ledger, LedgerError, Project, Tenant, Transaction, Value, plans, projects, tenants,
    usage::{hash_from_column, to_json},
};
use crate::{
    plan::{MeterName, Plan},
    usage_event::{EventError, EventProblem, SKEW_US, StoredEvent, UsageEvent, counts_of},
};

pub(super) use sums::{
    Difference as EventDifference, difference as tally_difference, replace as replace_tallies,
};
pub use sums::{EventSum, MeterSum};
pub(crate) use sums::{check as check_event_tallies, count as count_events, sums as event_sums};

/// How often a batch is tried again when others stored an event of it meanwhile.
const TRIES_MAX: usize = 3;
/// Events read at once, of 64 KiB at most each.
const PAGE_ROWS: usize = 500;

/// A stored event and its hash.
pub type HashedEvent = (StoredEvent, RecordHash);

/// Whose event it is.
type Owner = (Tenant, Option<ProjectId>);

#[derive(sqlx::FromRow)]
struct EventRow {
    tenant_id: Uuid,
    sequence: i64,
    time_unix_us: i64,
    received_unix_us: i64,
    project_id: Option<Uuid>,
    price_version: String,
    counts: String,
    body: String,
    previous_hash: Vec<u8>,
    event_hash: Vec<u8>,
}

impl Ledger {
    /// Takes a batch of events, all of it or nothing, and gives each as it is stored, in the order of the batch.
    ///
    /// An event that was taken before, by its source and id, is given as it was stored then and counts nothing.
    /// Errors: the first event that is not good, by its place; one that was taken before with another body.
    pub async fn take_events(
        &self,
        events: &[UsageEvent],
        now: Timestamp,
    ) -> Result<Vec<HashedEvent>, LedgerError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_events(events, now).await {
                // Somebody else stored the same event meanwhile: it is found now.
                Err(error) if error.is_taken() && tries < TRIES_MAX => {}
                done => return done,
            }
        }
    }

    async fn try_events(
        &self,
        events: &[UsageEvent],
        now: Timestamp,
    ) -> Result<Vec<HashedEvent>, LedgerError> {
        let mut transaction = self.pool.write().await?;
        transaction.execute(sql::WAIT, &[]).await?;
        let mut known = find(&mut transaction, events).await?;
        let owners = owners(&mut transaction, events, &known).await?;
        let mut chains = chains(&mut transaction, &owners).await?;
        let (mut answer, mut fresh) = (Vec::with_capacity(events.len()), Vec::new());
        for (index, event) in events.iter().enumerate() {
            let fault = |error: EventError| LedgerError::Event(error.of_event(Some(index)));
            let name = (event.source.clone(), event.id.clone());
            if let Some(stored) = known.get(&name) {
                check_same(stored, event).map_err(fault)?;
                answer.push(stored.clone());
                continue;
            }
            let owner = owners.get(&event.subject).ok_or_else(|| {
                fault(EventError::at("subject", EventProblem::UnknownTenant(event.subject.clone())))
            })?;
            let counted = count(&mut transaction, event, owner, now).await?.map_err(fault)?;
            let chain = chains.entry(owner.0.id).or_insert((0, RecordHash::GENESIS));
            let stored = StoredEvent { sequence: chain.0 + 1, previous_hash: chain.1, ..counted };
            let hash = stored.hash().map_err(|error| LedgerError::corrupt("usage event", &error))?;
            *chain = (stored.sequence, hash);
            known.insert(name, (stored.clone(), hash));
            answer.push((stored.clone(), hash));
            fresh.push((stored, hash));
        }
        insert::all(&mut transaction, &fresh).await?;
        transaction.commit().await?;
        Ok(answer)
    }

    /// The next events of a tenant's chain after a place in it, in its order.
    pub(crate) async fn event_chain(
        &self,
        tenant: TenantId,
        after: u64,
        rows_max: usize,
    ) -> Result<Vec<HashedEvent>, LedgerError> {
        let values =
            [Value::Id(tenant.as_uuid()), Value::Int(insert::column(after)?), Value::rows_max(rows_max)];
        let mut transaction = self.pool.read().await?;
        let rows: Vec<EventRow> = transaction.rows(sql::CHAIN, &values).await?;
        rows.into_iter().map(from_row).collect()
    }

    /// The next events of a tenant that happened in a span, by their time and then their place in the chain.
    pub async fn usage_events_page(
        &self,
        tenant: TenantId,
        span: (Timestamp, Timestamp),
        after: Option<(Timestamp, u64)>,
        rows_max: usize,
    ) -> Result<Vec<HashedEvent>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        page(&mut transaction, tenant, span, (after, rows_max.min(PAGE_ROWS))).await
    }
}

/// The next events of a period in the order of the export; none after the last.
pub(crate) async fn events_page(
    transaction: &mut Transaction,
    tenant: TenantId,
    span: (Timestamp, Timestamp),
    after: Option<(Timestamp, u64)>,
) -> Result<Vec<HashedEvent>, LedgerError> {
    page(transaction, tenant, span, (after, PAGE_ROWS)).await
}

async fn page(
    transaction: &mut Transaction,
    tenant: TenantId,
    (start, end): (Timestamp, Timestamp),
    (after, rows_max): (Option<(Timestamp, u64)>, usize),
) -> Result<Vec<HashedEvent>, LedgerError> {
    let (time, sequence) = after.map_or((i64::MIN, 0), |(time, sequence)| (time.unix_micros(), sequence));
    let values = [
        Value::Id(tenant.as_uuid()),
        Value::Int(start.unix_micros()),
        Value::Int(end.unix_micros()),
        Value::Int(time),
        Value::Int(i64::try_from(sequence).unwrap_or(i64::MAX)),
        Value::rows_max(rows_max),
    ];
    let rows: Vec<EventRow> = transaction.rows(sql::PAGE, &values).await?;
    rows.into_iter().map(from_row).collect()
}

/// Those of these events that are stored, by source and id.
async fn find(
    transaction: &mut Transaction,
    events: &[UsageEvent],
) -> Result<HashMap<(String, String), HashedEvent>, LedgerError> {
    #[derive(Serialize)]
    struct Name<'a> {
        source: &'a str,
        event_id: &'a str,
    }
    let names: Vec<_> =
        events.iter().map(|event| Name { source: &event.source, event_id: &event.id }).collect();
    let rows: Vec<EventRow> = transaction.rows(sql::FIND, &[Value::Text(&to_json(&names)?)]).await?;
    let stored = rows.into_iter().map(|row| {
        let stored = from_row(row)?;
        Ok(((stored.0.event.source.clone(), stored.0.event.id.clone()), stored))
    });
    stored.collect()
}

/// Whose the events are that are not stored yet, by their subjects; subjects that name nobody are left out.
async fn owners(
    transaction: &mut Transaction,
    events: &[UsageEvent],
    known: &HashMap<(String, String), HashedEvent>,
) -> Result<HashMap<String, Owner>, LedgerError> {
    let mut owners: HashMap<String, Owner> = HashMap::new();
    let mut trees: HashMap<TenantId, Vec<Project>> = HashMap::new();
    for (index, event) in events.iter().enumerate() {
        let is_stored = known.contains_key(&(event.source.clone(), event.id.clone()));
        if is_stored || owners.contains_key(&event.subject) {
            continue;
        }
        let (name, path) = match event.subject.split_once('/') {
            Some((name, path)) => (name, Some(path)),
            None => (event.subject.as_str(), None),
        };
        let Some(tenant) = tenants::find_by_name_or_id(transaction, name).await? else { continue };
        let project = match path {
            None => None,
            Some(path) => {
                let tree = match trees.entry(tenant.id) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => entry.insert(projects::of(transaction, Some(tenant.id)).await?),
                };
                let found = tree.iter().find(|project| project.path == path);
                let unknown = EventProblem::UnknownProject(path.to_owned());
                let fault = || EventError::at("subject", unknown).of_event(Some(index));
                Some(found.ok_or_else(fault).map_err(LedgerError::Event)?.id)
            }
        };
        owners.insert(event.subject.clone(), (tenant, project));
    }
    Ok(owners)
}

/// The end of each tenant's chain, locked until the transaction ends, always in one order.
async fn chains(
    transaction: &mut Transaction,
    owners: &HashMap<String, Owner>,
) -> Result<BTreeMap<TenantId, (u64, RecordHash)>, LedgerError> {
    let tenants: BTreeSet<TenantId> = owners.values().map(|(tenant, _)| tenant.id).collect();
    let mut chains = BTreeMap::new();
    for tenant in tenants {
        let id = [Value::Id(tenant.as_uuid())];
        transaction.execute(sql::LOCK_TENANT, &id).await?;
        if let Some((sequence, hash)) = transaction.find::<(i64, Vec<u8>)>(sql::LAST, &id).await? {
            let sequence =
                u64::try_from(sequence).map_err(|error| LedgerError::corrupt("sequence", &error))?;
            chains.insert(tenant, (sequence, hash_from_column(&hash)?));
        }
    }
    Ok(chains)
}

/// An id is used once: the same again must be the same whole.
fn check_same((stored, _): &HashedEvent, event: &UsageEvent) -> Result<(), EventError> {
    match stored.event.first_difference(event) {
        None => Ok(()),
        Some((field, stored, given)) => {
            let (id, origin) = (event.id.clone(), event.source.clone());
            Err(EventError::at(field, EventProblem::Conflict { id, origin, stored, given }))
        }
    }
}

/// Counts an event by the plan of its time. Its place in the chain is not known yet.
async fn count(
    transaction: &mut Transaction,
    event: &UsageEvent,
    (tenant, project_id): &Owner,
    now: Timestamp,
) -> Result<Result<StoredEvent, EventError>, LedgerError> {
    let time = event.time.unwrap_or(now);
    if time.unix_micros() > now.unix_micros().saturating_add(SKEW_US) {
        return Ok(Err(EventError::at("time", EventProblem::InFuture { time, now })));
    }
    if time < tenant.created_at {
        let (tenant, created_at) = (tenant.name.clone(), tenant.created_at);
        return Ok(Err(EventError::at("time", EventProblem::BeforeTenant { time, tenant, created_at })));
    }
    let Some(plan) = plans::in_force(transaction, tenant, time).await? else {
        return Ok(Err(EventError::at("time", EventProblem::NoPlan(time))));
    };
    let plan: &Plan = &plan;
    Ok(counts_of(event, plan).map(|counts| StoredEvent {
        tenant_id: tenant.id,
        sequence: 0,
        previous_hash: RecordHash::GENESIS,
        received_at: now,
        time,
        project_id: *project_id,
        price_version: plan.id().clone(),
        counts,
        event: event.clone(),
    }))
}

fn from_row(row: EventRow) -> Result<HashedEvent, LedgerError> {
    let counts: BTreeMap<String, u64> =
        serde_json::from_str(&row.counts).map_err(|error| LedgerError::corrupt("counts", &error))?;
    let counts = counts.into_iter().map(|(meter, count)| {
        let meter: Result<MeterName, _> = meter.parse();
        Ok((meter.map_err(|error| LedgerError::corrupt("meter", &error))?, count))
    });
    let event = UsageEvent::from_json(&row.body);
    let stored = StoredEvent {
        tenant_id: TenantId::from_uuid(row.tenant_id),
        sequence: u64::try_from(row.sequence).map_err(|error| LedgerError::corrupt("sequence", &error))?,
        previous_hash: hash_from_column(&row.previous_hash)?,
        received_at: Timestamp::from_unix_micros(row.received_unix_us),
        time: Timestamp::from_unix_micros(row.time_unix_us),
        project_id: row.project_id.map(ProjectId::from_uuid),
        price_version: PlanVersionId::new(row.price_version)?,
        counts: counts.collect::<Result<_, LedgerError>>()?,
        event: event.map_err(|error| LedgerError::corrupt("usage event", &error))?,
    };
    Ok((stored, hash_from_column(&row.event_hash)?))
}
