//! `/admin/v1/tenants/{tenant_id}/subscription/standing` and its changes: begin, trial, pause, resume, cancel.
//! Never dates back and never computes an amount: `billing` keeps the periods and works out the fees.
//! Registered by `admin::resources`.

use actix_web::{get, post, web};
use billing::{
    ledger::{LedgerError, NewSubscription, SubscriptionChange, SubscriptionStanding},
    plan::TrialUsage,
    subscription::{Cycle, PeriodKind, State},
};
use domain::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    Answer,
    call::{Call, ok},
    error::{ChangeFailures, ReadFailures},
};
use crate::http::ApiError;

pub(super) fn configure(routes: &mut ServiceConfig<'_>) {
    routes
        .service(show)
        .service(start)
        .service(trial)
        .service(pause)
        .service(resume)
        .service(cancel)
        .service(withdraw);
}

/// How a tenant's subscription stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SubscriptionStanding)]
struct StandingWire {
    /// Whether there is one, and how it is.
    state: StateWire,
    /// By what periods it is billed; null where there never was one.
    #[schema(required = true)]
    cycle: Option<CycleWire>,
    /// Its first instant. RFC 3339, UTC.
    #[schema(format = "date-time", required = true)]
    begun_at: Option<String>,
    /// The first instant after its trial; null without one. RFC 3339, UTC.
    #[schema(format = "date-time", required = true)]
    trial_until: Option<String>,
    /// What usage costs during the trial; null without one.
    #[schema(required = true)]
    trial_usage: Option<TrialUsageWire>,
    /// Since when it is paused; null while it is not. RFC 3339, UTC.
    #[schema(format = "date-time", required = true)]
    paused_since: Option<String>,
    /// Its end, also one that is to come; null while it was not cancelled. RFC 3339, UTC.
    #[schema(format = "date-time", required = true)]
    ends_at: Option<String>,
    /// The billing period that runs.
    period: PeriodWire,
}

/// How a subscription is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SubscriptionState)]
enum StateWire {
    /// There never was one: calendar months are billed, without base fee.
    None,
    /// It will begin.
    Planned,
    /// It runs, without base fee yet.
    Trial,
    /// It runs.
    Active,
    /// It is paused: requests are refused.
    Paused,
    /// It has ended: requests are refused.
    Ended,
}

/// By what periods a subscription is billed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SubscriptionCycle)]
enum CycleWire {
    /// Months of the calendar.
    Calendar,
    /// Months from its first day.
    Anniversary,
}

/// What usage costs during a trial.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TrialUsage)]
enum TrialUsageWire {
    /// Nothing.
    Free,
    /// What it always costs.
    Charged,
}

/// A billing period.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BillingPeriod)]
struct PeriodWire {
    /// before (a month without subscription), trial, regular, or after (a month after its end).
    kind: &'static str,
    /// Its first instant. RFC 3339, UTC.
    #[schema(format = "date-time")]
    start: String,
    /// The first instant after it. RFC 3339, UTC.
    #[schema(format = "date-time")]
    end: String,
}

impl StandingWire {
    fn to_wire(standing: SubscriptionStanding) -> Self {
        let SubscriptionStanding { state, term, period } = standing;
        let text = |at: Timestamp| at.to_string();
        let (state, paused_since) = match state {
            State::None => (StateWire::None, None),
            State::Planned(_) => (StateWire::Planned, None),
            State::Trial(_) => (StateWire::Trial, None),
            State::Active => (StateWire::Active, None),
            State::Paused(since) => (StateWire::Paused, Some(text(since))),
            State::Ended(_) => (StateWire::Ended, None),
        };
        let cycle = term.as_ref().map(|term| match term.cycle {
            Cycle::Calendar => CycleWire::Calendar,
            Cycle::Anniversary => CycleWire::Anniversary,
        });
        let own_trial = term.as_ref().and_then(|term| term.trial);
        let trial_usage = own_trial.map(|(_, usage)| match usage {
            TrialUsage::Free => TrialUsageWire::Free,
            TrialUsage::Charged => TrialUsageWire::Charged,
        });
        Self {
            state,
            cycle,
            begun_at: term.as_ref().map(|term| text(term.start)),
            trial_until: own_trial.map(|(end, _)| text(end.at)),
            trial_usage,
            paused_since,
            ends_at: term.as_ref().and_then(|term| term.end).map(text),
            period: PeriodWire { kind: kind(period.kind), start: text(period.start), end: text(period.end) },
        }
    }
}

const fn kind(kind: PeriodKind) -> &'static str {
    kind.as_str()
}

/// A subscription to begin, under the plan that the tenant has.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StartSubscription)]
struct StartWire {
    /// By what periods it is billed.
    cycle: CycleWire,
    /// The first day, in the tenant's zone, as YYYY-MM-DD. Today without it.
    #[serde(default)]
    #[schema(format = "date")]
    from: Option<String>,
    /// Days of trial; zero for none. As the plan says without it.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 366)]
    trial_days: Option<u32>,
}

/// Another end of a trial.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TrialEnd)]
struct TrialWire {
    /// The first day after it, in the tenant's zone, as YYYY-MM-DD.
    #[schema(format = "date")]
    until: String,
}

/// When a subscription ends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CancelSubscription)]
struct CancelWire {
    /// At once, or with the billing period that runs.
    at: CancelAtWire,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CancelAt)]
enum CancelAtWire {
    /// At once.
    Now,
    /// With the billing period that runs.
    PeriodEnd,
}

/// Show how a tenant's subscription stands, and the billing period that runs.
#[utoipa::path(tag = "subscriptions", operation_id = "show_subscription_standing",
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "How it stands", body = StandingWire), ReadFailures))]
#[get("/tenants/{tenant_id}/subscription/standing")]
async fn show(call: Call) -> Answer {
    let tenant = call.tenant().await?;
    let standing = call.ledger().subscription(&tenant, call.now()).await?;
    Ok(ok(&StandingWire::to_wire(standing)))
}

/// Begin a subscription under the plan that the tenant has, at midnight of a day.
#[utoipa::path(tag = "subscriptions", operation_id = "start_subscription", request_body = StartWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "How it stands now", body = StandingWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/subscription/start")]
async fn start(call: Call, body: web::Payload) -> Answer {
    call.log_change("subscription.start");
    let StartWire { cycle, from, trial_days } = call.body(body).await?;
    let cycle = match cycle {
        CycleWire::Calendar => Cycle::Calendar,
        CycleWire::Anniversary => Cycle::Anniversary,
    };
    let day = from.map(|text| day("from", &text)).transpose()?;
    let new = NewSubscription { cycle, day, trial_days };
    changed(&call, SubscriptionChange::Start(new), "from").await
}

/// Let the trial of a subscription end sooner or later.
#[utoipa::path(tag = "subscriptions", operation_id = "change_trial", request_body = TrialWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "How it stands now", body = StandingWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/subscription/trial")]
async fn trial(call: Call, body: web::Payload) -> Answer {
    call.log_change("subscription.trial");
    let TrialWire { until } = call.body(body).await?;
    changed(&call, SubscriptionChange::TrialUntil(day("until", &until)?), "until").await
}

/// Refuse requests and charge no base fee from now on, until the subscription is resumed.
#[utoipa::path(tag = "subscriptions", operation_id = "pause_subscription",
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "How it stands now", body = StandingWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/subscription/pause")]
async fn pause(call: Call) -> Answer {
    call.log_change("subscription.pause");
    changed(&call, SubscriptionChange::Pause, "").await
}

/// End the pause of a subscription.
#[utoipa::path(tag = "subscriptions", operation_id = "resume_subscription",
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "How it stands now", body = StandingWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/subscription/resume")]
async fn resume(call: Call) -> Answer {
    call.log_change("subscription.resume");
    changed(&call, SubscriptionChange::Resume, "").await
}

/// End a subscription, at once or with the billing period that runs.
#[utoipa::path(tag = "subscriptions", operation_id = "cancel_subscription", request_body = CancelWire,
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "How it stands now", body = StandingWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/subscription/cancel")]
async fn cancel(call: Call, body: web::Payload) -> Answer {
    call.log_change("subscription.cancel");
    let CancelWire { at } = call.body(body).await?;
    let change = match at {
        CancelAtWire::Now => SubscriptionChange::CancelNow,
        CancelAtWire::PeriodEnd => SubscriptionChange::CancelAtPeriodEnd,
    };
    changed(&call, change, "").await
}

/// Withdraw a cancellation whose time has not come: the subscription goes on.
#[utoipa::path(tag = "subscriptions", operation_id = "withdraw_cancellation",
    params(("tenant_id" = String, Path, format = "uuid")),
    responses((status = 200, description = "How it stands now", body = StandingWire), ChangeFailures))]
#[post("/tenants/{tenant_id}/subscription/withdraw-cancellation")]
async fn withdraw(call: Call) -> Answer {
    call.log_change("subscription.withdraw_cancellation");
    changed(&call, SubscriptionChange::WithdrawCancellation, "").await
}

/// Changes a subscription. `param` is the field that names a day.
async fn changed(call: &Call, change: SubscriptionChange, param: &'static str) -> Answer {
    let tenant = call.tenant().await?;
    let standing = call.ledger().change_subscription(tenant.id, &change, call.now()).await;
    let standing = standing.map_err(|error| {
        let params = [
            (matches!(error, LedgerError::BadDay { .. }), param),
            (matches!(error, LedgerError::TrialTooLong { .. }), "trial_days"),
        ];
        match params.into_iter().find(|(is_it, _)| *is_it) {
            Some((_, param)) => ApiError::invalid("invalid_value", param, error.to_string()),
            None => error.into(),
        }
    })?;
    Ok(ok(&StandingWire::to_wire(standing)))
}

fn day(name: &'static str, text: &str) -> Result<Date, ApiError> {
    let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let parsed = is_plain.then(|| text.parse().ok()).flatten();
    parsed.ok_or_else(|| {
        let text: String = text.chars().take(80).collect();
        let message = format!("{name}: {text:?} is no day such as 2026-11-24");
        ApiError::invalid("invalid_value", name, message)
    })
}
