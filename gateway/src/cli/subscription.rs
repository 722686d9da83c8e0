//! `tallygate subscription`: begin, show, pause, resume and cancel what a tenant is subscribed to.
//! Never dates back and never computes an amount: `billing` keeps the periods and works out the fees.
//! Called by `Cli::run`; a running server takes changes over within two seconds.

use billing::{
    ledger::{Ledger, NewSubscription, SubscriptionChange, SubscriptionStanding, Tenant},
    plan::TrialUsage,
    subscription::{Cycle, State},
};
use clap::{Args, Subcommand};
use domain::{Clock as _, Period, SystemClock, Timestamp};
use jiff::{civil::Date, tz::TimeZone};

use super::{CliError, open, out};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show how a tenant's subscription stands, and the billing period that runs.
    Show(Whose),
    /// Begin one under the tenant's plan, at midnight of a day.
    Start {
        #[command(flatten)]
        whose: Whose,
        /// What it is billed by: calendar (months of the calendar) or anniversary (months from its first day).
        #[arg(long, value_name = "CYCLE", default_value = "calendar")]
        cycle: Cycle,
        /// The first day, in the tenant's zone; today without it.
        #[arg(long, value_name = "YYYY-MM-DD")]
        from: Option<Date>,
        /// Days of trial, 0 for none; as the plan says without it.
        #[arg(long, value_name = "DAYS")]
        trial_days: Option<u32>,
    },
    /// Put the tenant under another plan of the same currency, from now on; fees are divided as the plans say.
    Plan {
        #[command(flatten)]
        whose: Whose,
        /// The other plan's name.
        plan: String,
    },
    /// Let the trial end sooner or later.
    Trial {
        #[command(flatten)]
        whose: Whose,
        /// The first day after it.
        #[arg(long, value_name = "YYYY-MM-DD")]
        until: Date,
    },
    /// Refuse requests and charge no base fee from now on, until it is resumed.
    Pause(Whose),
    /// End a pause.
    Resume(Whose),
    /// End it.
    Cancel {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        when: When,
    },
    /// Withdraw a cancellation whose time has not come: the subscription goes on.
    Withdraw(Whose),
}

#[derive(Debug, Args)]
pub(super) struct Whose {
    /// The tenant's name or id.
    tenant: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct When {
    /// At once.
    #[arg(long)]
    now: bool,
    /// With the billing period that runs.
    #[arg(long)]
    at_period_end: bool,
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    let (whose, change) = match command {
        Command::Show(Whose { tenant }) => {
            let tenant = open::tenant(&ledger, &tenant).await?;
            return show(&tenant, &ledger.subscription(&tenant, SystemClock.now()).await?);
        }
        Command::Plan { whose: Whose { tenant }, plan } => return put_plan(&ledger, &tenant, &plan).await,
        Command::Start { whose, cycle, from, trial_days } => {
            (whose, SubscriptionChange::Start(NewSubscription { cycle, day: from, trial_days }))
        }
        Command::Trial { whose, until } => (whose, SubscriptionChange::TrialUntil(until)),
        Command::Pause(whose) => (whose, SubscriptionChange::Pause),
        Command::Resume(whose) => (whose, SubscriptionChange::Resume),
        Command::Cancel { whose, when: When { now: true, .. } } => (whose, SubscriptionChange::CancelNow),
        Command::Cancel { whose, .. } => (whose, SubscriptionChange::CancelAtPeriodEnd),
        Command::Withdraw(whose) => (whose, SubscriptionChange::WithdrawCancellation),
    };
    let tenant = open::tenant(&ledger, &whose.tenant).await?;
    show(&tenant, &ledger.change_subscription(tenant.id, &change, SystemClock.now()).await?)
}

async fn put_plan(ledger: &Ledger, tenant: &str, plan: &str) -> Result<(), CliError> {
    let tenant = open::tenant(ledger, tenant).await?;
    let tenant = ledger.change_plan(tenant.id, plan, SystemClock.now()).await?;
    show(&tenant, &ledger.subscription(&tenant, SystemClock.now()).await?)
}

fn show(tenant: &Tenant, standing: &SubscriptionStanding) -> Result<(), CliError> {
    let zone = TimeZone::get(&tenant.zone).map_err(|_| domain::PeriodError::BadZone(tenant.zone.clone()))?;
    let local = |at: Timestamp| shown(at, &zone);
    let state = match standing.state {
        State::None => "none: calendar months are billed, without base fee".to_owned(),
        State::Planned(at) => format!("planned, begins {}", local(at)),
        State::Trial(until) => format!("trial until {}", local(until)),
        State::Active => "active".to_owned(),
        State::Paused(since) => format!("paused since {}", local(since)),
        State::Ended(at) => format!("ended {}", local(at)),
    };
    let mut rows = vec![("plan", tenant.plan_name.clone()), ("state", state)];
    if let Some(term) = &standing.term {
        rows.push(("cycle", term.cycle.as_str().to_owned()));
        rows.push(("begun", local(term.start)));
        if let Some((end, usage)) = &term.trial {
            rows.push(("trial", format!("until {}, usage {}", local(end.at), words(*usage))));
        }
        rows.push(("end", term.end.map_or_else(|| "none".to_owned(), local)));
    }
    let period = Period::new(standing.period.start, standing.period.end, &tenant.zone)?;
    rows.push(("period", format!("{} to {}", local(period.start()), local(period.end()))));
    for (name, text) in rows {
        out::say(&format!("{name:<7} {text}"));
    }
    Ok(())
}

fn words(usage: TrialUsage) -> &'static str {
    match usage {
        TrialUsage::Free => "is free",
        TrialUsage::Charged => "is charged",
    }
}

/// Local time with its offset.
fn shown(at: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(at.unix_micros()) {
        Ok(instant) => instant.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        Err(_) => at.to_string(),
    }
}
