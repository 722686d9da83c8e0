//! Events of subscriptions as they are stored: read back as what they say, and added to.
//! Never changed and never dated back: an event counts from now on, or from a midnight that is to come.
//! Called by the folder's other modules and by the access snapshot.

use std::collections::HashMap;

use domain::{TenantId, Timestamp};
use jiff::civil::Date;
use uuid::Uuid;

use super::{super::pool::Transaction, sql};
use crate::{
    ledger::{LedgerError, Value, error::read_back},
    plan::TrialUsage,
    subscription::{Event, EventKind, Terms, TrialEnd},
};

/// The instant of an end that never comes: a cancellation that was withdrawn is stored as one for then, which programs of
/// an earlier version understand as well.
pub(super) const NEVER_US: i64 = i64::MAX;

#[derive(sqlx::FromRow)]
struct EventRow {
    tenant_id: Uuid,
    kind: String,
    at_unix_us: i64,
    cycle: Option<String>,
    day: Option<String>,
    trial_usage: Option<String>,
    until_unix_us: Option<i64>,
    until_day: Option<String>,
}

impl EventRow {
    fn into_event(self) -> Result<Event, LedgerError> {
        let lacks = |what: &'static str| move || LedgerError::corrupt("subscription event", &what);
        let until = match (self.until_unix_us, &self.until_day) {
            (Some(at), Some(day)) => Some(TrialEnd {
                at: Timestamp::from_unix_micros(at),
                day: read_back("day of a subscription", day)?,
            }),
            (Some(_) | None, Some(_) | None) => None,
        };
        let kind = match self.kind.as_str() {
            "start" => {
                let usage = self.trial_usage.as_deref().map(usage_of).transpose()?;
                EventKind::Start {
                    cycle: read_back("cycle", &self.cycle.ok_or_else(lacks("no cycle"))?)?,
                    day: read_back("day of a subscription", &self.day.ok_or_else(lacks("no day"))?)?,
                    trial: until.zip(usage),
                }
            }
            "trial" => EventKind::Trial(until.ok_or_else(lacks("no end of the trial"))?),
            "pause" => EventKind::Pause,
            "resume" => EventKind::Resume,
            "cancel" if self.at_unix_us == NEVER_US => EventKind::Withdraw,
            "cancel" => EventKind::Cancel,
            other => return Err(LedgerError::corrupt("subscription event", &other)),
        };
        Ok(Event { at: Timestamp::from_unix_micros(self.at_unix_us), kind })
    }
}

fn usage_of(text: &str) -> Result<TrialUsage, LedgerError> {
    let found = TrialUsage::ALL.into_iter().find(|(name, _)| *name == text);
    found.map(|(_, usage)| usage).ok_or_else(|| LedgerError::corrupt("usage of a trial", &text))
}

/// The subscriptions of every tenant that ever had one.
pub(in crate::ledger) async fn all(
    transaction: &mut Transaction,
) -> Result<HashMap<TenantId, Terms>, LedgerError> {
    let rows: Vec<EventRow> = transaction.rows(sql::EVENTS, &[]).await?;
    let mut events: HashMap<TenantId, Vec<Event>> = HashMap::new();
    for row in rows {
        let tenant = TenantId::from_uuid(row.tenant_id);
        events.entry(tenant).or_default().push(row.into_event()?);
    }
    Ok(events.into_iter().map(|(tenant, events)| (tenant, Terms::of(events))).collect())
}

/// The subscriptions of one tenant, and when the last thing happened that was not planned ahead.
pub(super) async fn of_tenant(
    transaction: &mut Transaction,
    tenant: TenantId,
) -> Result<(Terms, Option<Timestamp>), LedgerError> {
    let rows: Vec<EventRow> = transaction.rows(sql::EVENTS_OF_TENANT, &[Value::Id(tenant.as_uuid())]).await?;
    let events = rows.into_iter().map(EventRow::into_event).collect::<Result<Vec<_>, _>>()?;
    let is_at_once = |event: &&Event| match event.kind {
        EventKind::Trial(_) | EventKind::Pause | EventKind::Resume => true,
        EventKind::Start { .. } | EventKind::Cancel | EventKind::Withdraw => false,
    };
    let last = events.iter().filter(is_at_once).map(|event| event.at).max();
    Ok((Terms::of(events), last))
}

/// Notes an event.
pub(super) async fn insert(
    transaction: &mut Transaction,
    tenant: TenantId,
    event: &Event,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let (kind, cycle, day, trial): (_, _, Option<Date>, _) = match &event.kind {
        EventKind::Start { cycle, day, trial } => {
            ("start", Some(cycle.as_str()), Some(*day), trial.map(|(end, usage)| (end, Some(usage))))
        }
        EventKind::Trial(end) => ("trial", None, None, Some((*end, None))),
        EventKind::Pause => ("pause", None, None, None),
        EventKind::Resume => ("resume", None, None, None),
        EventKind::Cancel | EventKind::Withdraw => ("cancel", None, None, None),
    };
    let usage = trial.and_then(|(_, usage)| usage).map(TrialUsage::as_str);
    let (day, until_day) =
        (day.map(|day| day.to_string()), trial.map(|(end, _): (TrialEnd, _)| end.day.to_string()));
    let values = [
        Value::Id(tenant.as_uuid()),
        Value::Text(kind),
        Value::Int(event.at.unix_micros()),
        Value::MaybeText(cycle),
        Value::MaybeText(day.as_deref()),
        Value::MaybeText(usage),
        Value::MaybeInt(trial.map(|(end, _)| end.at.unix_micros())),
        Value::MaybeText(until_day.as_deref()),
        Value::Int(now.unix_micros()),
    ];
    transaction.execute(sql::INSERT_EVENT, &values).await.map(drop)
}
