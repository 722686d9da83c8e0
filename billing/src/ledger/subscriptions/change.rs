//! Beginning, pausing, resuming and cancelling subscriptions, moving the end of a trial, and taking another plan.
//! Never dated back: what happened until now was billed or refused by what was known then.
//! Called by the command line and the operators' interface.

use domain::{TenantId, Timestamp};
use jiff::{ToSpan as _, civil::Date};

use super::{events, periods, put_plan, raise_revision, sql};
use crate::{
    ledger::{Ledger, LedgerError, Tenant, Transaction, Value, plans, tenants},
    plan::{TRIAL_DAYS_MAX, TrialUsage},
    subscription::{
        BillingPeriod, Cycle, Event, EventKind, State, Term, Terms, Timeline, TrialEnd, just_after,
        local_day, midnight,
    },
};

/// How far ahead a subscription may be planned, and a trial may end. Unit: days.
const DAYS_AHEAD_MAX: u64 = 366;

/// What to do with a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionChange {
    /// Begin one.
    Start(NewSubscription),
    /// Let its trial end with the midnight before a day.
    TrialUntil(Date),
    /// No requests and no base fee until it is resumed.
    Pause,
    /// On again.
    Resume,
    /// End it now.
    CancelNow,
    /// End it with the period that runs.
    CancelAtPeriodEnd,
    /// Take back an end that has not come.
    WithdrawCancellation,
}

/// A subscription to begin, under the plan that the tenant has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewSubscription {
    /// By what periods it is billed.
    pub cycle: Cycle,
    /// The first day, in the tenant's zone. `None`: today.
    pub day: Option<Date>,
    /// Days of trial; zero for none. `None`: as the plan says.
    pub trial_days: Option<u32>,
}

/// A subscription as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionStanding {
    /// How it stands.
    pub state: State,
    /// The latest one: what it was begun as. `None`: there never was one.
    pub term: Option<Term>,
    /// The billing period that runs.
    pub period: BillingPeriod,
}

impl Ledger {
    /// How a tenant's subscription stands.
    ///
    /// Errors: a database that fails.
    pub async fn subscription(
        &self,
        tenant: &Tenant,
        now: Timestamp,
    ) -> Result<SubscriptionStanding, LedgerError> {
        let mut transaction = self.pool.read().await?;
        standing(&mut transaction, tenant, now).await
    }

    /// Changes a tenant's subscription from now on.
    ///
    /// Errors: a disabled tenant; a change that does not fit how things stand, saying how they stand; a day that has
    /// passed or is too far away.
    pub async fn change_subscription(
        &self,
        tenant: TenantId,
        change: &SubscriptionChange,
        now: Timestamp,
    ) -> Result<SubscriptionStanding, LedgerError> {
        let mut transaction = self.pool.write().await?;
        let tenant = periods::find_active(&mut transaction, tenant).await?;
        periods::store_begun(&mut transaction, &tenant, now).await?;
        let timeline = periods::timeline(&mut transaction, &tenant).await?;
        let (_, last) = events::of_tenant(&mut transaction, tenant.id).await?;
        let at = counts_from(&mut transaction, &tenant, (&timeline, last), now).await?;
        let event = match change {
            SubscriptionChange::Start(new) => start(&mut transaction, &tenant, (&timeline, new), now).await?,
            SubscriptionChange::TrialUntil(day) => trial_until(&timeline, *day, (at, now))?,
            SubscriptionChange::Pause => {
                running(&timeline, now, "paused")?;
                Event { at, kind: EventKind::Pause }
            }
            SubscriptionChange::Resume => {
                let state = timeline.terms().state_at(now);
                if !matches!(state, State::Paused(_)) {
                    return Err(refused("resumed", state));
                }
                Event { at, kind: EventKind::Resume }
            }
            SubscriptionChange::CancelNow => cancel(&timeline, now, |_| Ok(at))?,
            SubscriptionChange::CancelAtPeriodEnd => {
                let end = |from: Timestamp| Ok(timeline.at(from.max(now))?.end);
                cancel(&timeline, now, end)?
            }
            SubscriptionChange::WithdrawCancellation => withdraw(&timeline, now)?,
        };
        events::insert(&mut transaction, tenant.id, &event, now).await?;
        periods::store_begun(&mut transaction, &tenant, now).await?;
        let standing = standing(&mut transaction, &tenant, now).await?;
        transaction.commit().await?;
        Ok(standing)
    }

    /// Puts a tenant under another plan of the same currency, for requests from now on and, within a subscription,
    /// for its fees from now on.
    ///
    /// Errors: as [`Self::change_tenant`].
    pub async fn change_plan(
        &self,
        tenant: TenantId,
        plan_name: &str,
        now: Timestamp,
    ) -> Result<Tenant, LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        let found = tenants::find_by_id(&mut transaction, tenant).await?;
        periods::store_begun(&mut transaction, &found, now).await?;
        let timeline = periods::timeline(&mut transaction, &found).await?;
        let known = (&timeline, Some(found.created_at));
        let at = counts_from(&mut transaction, &found, known, now).await?;
        transaction.execute(sql::SET_PLAN_CLOCK, &[Value::Int(at.unix_micros())]).await?;
        put_plan(&mut transaction, &found, plan_name).await?;
        transaction.execute(sql::CLEAR_PLAN_CLOCK, &[]).await?;
        let changed = tenants::find_by_id(&mut transaction, tenant).await?;
        transaction.commit().await?;
        Ok(changed)
    }
}

async fn standing(
    transaction: &mut Transaction,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<SubscriptionStanding, LedgerError> {
    let timeline = periods::timeline(transaction, tenant).await?;
    let (state, term) = (timeline.terms().state_at(now), timeline.terms().all().last().cloned());
    Ok(SubscriptionStanding { state, term, period: timeline.at(now)? })
}

/// When a change counts from: now, not before what happened last or was billed, and never with the first instant of a
/// period, whose fee may be on the invoice of the period before.
async fn counts_from(
    transaction: &mut Transaction,
    tenant: &Tenant,
    (timeline, last): (&Timeline, Option<Timestamp>),
    now: Timestamp,
) -> Result<Timestamp, LedgerError> {
    let id = [Value::Id(tenant.id.as_uuid())];
    let (billed,): (Option<i64>,) = transaction.row(sql::BILLED_UNTIL, &id).await?;
    let at = billed.map(Timestamp::from_unix_micros).into_iter().chain(last).fold(now, Timestamp::max);
    Ok(if timeline.at(at)?.start == at { just_after(at) } else { at })
}

async fn start(
    transaction: &mut Transaction,
    tenant: &Tenant,
    (timeline, new): (&Timeline, &NewSubscription),
    now: Timestamp,
) -> Result<Event, LedgerError> {
    let (zone, terms) = (timeline.zone(), timeline.terms());
    let open = terms.all().last().filter(|term| term.end.is_none_or(|end| now < end && term.start < end));
    if open.is_some_and(|term| term.end.is_none()) {
        return Err(refused("started", terms.state_at(now)));
    }
    let today = local_day(now, zone)?;
    let day = new.day.unwrap_or(today);
    let at = midnight(day, zone)?;
    let free_from = terms.all().last().and_then(|term| Some(term.end?.max(term.start)));
    let is_free = free_from.is_none_or(|free| free <= at);
    if day < today || days(today, day) > DAYS_AHEAD_MAX || !is_free {
        let earliest = free_from.map_or(Ok(today), |free| first_day(free, timeline))?.max(today);
        return Err(LedgerError::BadDay { what: "a subscription must begin", day, earliest });
    }
    let plan = plans::in_force(transaction, tenant, at.max(now)).await?;
    let of_plan = plan.as_ref().and_then(|plan| plan.trial());
    let trial_days = new.trial_days.or(of_plan.map(|trial| trial.days)).unwrap_or(0);
    if trial_days > TRIAL_DAYS_MAX {
        return Err(LedgerError::TrialTooLong { days_max: TRIAL_DAYS_MAX });
    }
    let usage = of_plan.map_or(TrialUsage::Charged, |trial| trial.usage);
    let trial = match trial_days {
        0 => None,
        days => Some((trial_end(later(day, days)?, timeline)?, usage)),
    };
    Ok(Event { at, kind: EventKind::Start { cycle: new.cycle, day, trial } })
}

fn trial_until(
    timeline: &Timeline,
    day: Date,
    (at, now): (Timestamp, Timestamp),
) -> Result<Event, LedgerError> {
    let terms = timeline.terms();
    let term = terms.all().last().filter(|term| term.end.is_none_or(|end| now < end));
    let trial = term.and_then(|term| Some((term, term.trial?.0)));
    let Some((term, _)) = trial.filter(|(_, end)| now < end.at) else {
        return Err(refused("put on another trial", terms.state_at(now)));
    };
    let today = local_day(now.max(term.start), timeline.zone())?;
    let end = trial_end(day, timeline)?;
    if end.at <= at.max(term.start) || days(today, day) > DAYS_AHEAD_MAX {
        let earliest = later(today, 1)?;
        return Err(LedgerError::BadDay { what: "the first day after a trial must come", day, earliest });
    }
    Ok(Event { at, kind: EventKind::Trial(end) })
}

/// The end of the latest subscription, unless it has ended; a planned end may come earlier, not later.
fn cancel(
    timeline: &Timeline,
    now: Timestamp,
    end: impl Fn(Timestamp) -> Result<Timestamp, LedgerError>,
) -> Result<Event, LedgerError> {
    let terms = timeline.terms();
    let state = || terms.state_at(now);
    let term = terms.all().last().filter(|term| term.end.is_none_or(|end| now < end));
    let term = term.ok_or_else(|| refused("cancelled", state()))?;
    let at = end(term.start)?.max(term.start);
    match term.end.is_some_and(|planned| planned <= at) {
        true => Err(refused("cancelled again", state())),
        false => Ok(Event { at, kind: EventKind::Cancel }),
    }
}

/// The latest subscription goes on, if it has a planned end that has not come.
fn withdraw(timeline: &Timeline, now: Timestamp) -> Result<Event, LedgerError> {
    let terms = timeline.terms();
    match terms.all().last().and_then(|term| term.end).is_some_and(|end| now < end) {
        true => Ok(Event { at: Timestamp::from_unix_micros(events::NEVER_US), kind: EventKind::Withdraw }),
        false => Err(refused("kept from a planned end", terms.state_at(now))),
    }
}

/// The subscription that runs unpaused.
fn running<'a>(timeline: &'a Timeline, now: Timestamp, to_be: &'static str) -> Result<&'a Term, LedgerError> {
    let terms: &Terms = timeline.terms();
    let term = terms.at(now).filter(|term| term.pause_at(now).is_none());
    term.ok_or_else(|| refused(to_be, terms.state_at(now)))
}

fn refused(to_be: &'static str, state: State) -> LedgerError {
    LedgerError::SubscriptionState { to_be, state }
}

fn trial_end(day: Date, timeline: &Timeline) -> Result<TrialEnd, LedgerError> {
    Ok(TrialEnd { at: midnight(day, timeline.zone())?, day })
}

/// The first day whose midnight is not before an instant.
fn first_day(at: Timestamp, timeline: &Timeline) -> Result<Date, LedgerError> {
    let day = local_day(at, timeline.zone())?;
    match midnight(day, timeline.zone())? < at {
        true => later(day, 1),
        false => Ok(day),
    }
}

fn later(day: Date, days: u32) -> Result<Date, LedgerError> {
    day.checked_add(i64::from(days).days()).map_err(|_| domain::PeriodError::OutOfRange.into())
}

fn days(from: Date, to: Date) -> u64 {
    u64::try_from(from.duration_until(to).as_hours() / 24).unwrap_or(0)
}
