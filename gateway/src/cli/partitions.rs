//! `tallygate partitions`: months of usage records: which there are, making them, detaching and dropping old ones.
//! Never detaches what is not invoiced, and deletes only what is named.
//! Called by `Cli::run`.

use billing::ledger::{DetachedMonth, Ledger, MonthState};
use clap::Subcommand;
use domain::{Clock as _, SystemClock};

use super::{CliError, months::MONTHS_AHEAD, open, out};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show every month, where its records are and how many.
    List,
    /// Make the months to come, and move records that lie in none into months of their own.
    Make {
        /// Months after the running one.
        #[arg(long, default_value_t = MONTHS_AHEAD, value_name = "N",
              value_parser = clap::value_parser!(u32).range(0..=120))]
        ahead: u32,
    },
    /// Take months out of the usage records and keep them aside. All of them must be on issued invoices.
    Detach {
        /// The month, such as 2026-01, of UTC.
        #[arg(required_unless_present = "older_than")]
        month: Option<String>,
        /// Every month older than the running one and this many before it.
        #[arg(long, value_name = "MONTHS", conflicts_with = "month",
              value_parser = clap::value_parser!(u32).range(1..=1200))]
        older_than: Option<u32>,
        /// Delete their records for good at once.
        #[arg(long)]
        drop: bool,
    },
    /// Delete the records of a detached month for good. Its sums and invoices stay.
    Drop {
        /// The month, such as 2026-01.
        month: String,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    let now = SystemClock.now();
    match command {
        Command::List => list(&ledger).await,
        Command::Make { ahead } => {
            let made = ledger.make_months(now, ahead).await?;
            let moved = ledger.make_months_of_outside().await?;
            let outside = ledger.records_outside_months().await?;
            out::say(&format!(
                "months made: {made}, for records that lay in none: {moved}, records outside: {outside}"
            ));
            Ok(())
        }
        Command::Detach { month: Some(month), drop, .. } => {
            let detached = ledger.detach_month(&month, now).await?;
            told(&ledger, &[detached], drop).await
        }
        Command::Detach { older_than, drop, .. } => {
            // Without a month there is a number: clap has seen to it. Without either, nothing is old enough.
            let (detached, why) = ledger.detach_older(older_than.unwrap_or(1_200), now).await?;
            told(&ledger, &detached, drop).await?;
            match why {
                None => Ok(()),
                Some(why) => Err(why.into()),
            }
        }
        Command::Drop { month } => drop_month(&ledger, &month).await,
    }
}

async fn list(ledger: &Ledger) -> Result<(), CliError> {
    let row = |found: billing::ledger::Month| {
        let state = match found.state {
            MonthState::Attached => "attached".to_owned(),
            MonthState::Detached(at) => format!("detached {at}"),
            MonthState::Dropped(at) => format!("dropped {at}"),
        };
        let about = if found.is_about { "about " } else { "" };
        [found.month, found.place, format!("{about}{}", found.records), state]
    };
    let rows: Vec<_> = ledger.months().await?.into_iter().map(row).collect();
    out::table(["MONTH", "TABLE", "RECORDS", "STATE"], &rows);
    Ok(())
}

async fn told(ledger: &Ledger, detached: &[DetachedMonth], is_dropped: bool) -> Result<(), CliError> {
    for DetachedMonth { month, place } in detached {
        out::say(&format!("{month} is detached; its records are kept in {place}"));
        if is_dropped {
            drop_month(ledger, month).await?;
        }
    }
    Ok(())
}

async fn drop_month(ledger: &Ledger, month: &str) -> Result<(), CliError> {
    let records = ledger.drop_month(month, SystemClock.now()).await?;
    out::say(&format!("{month}: {records} records deleted"));
    Ok(())
}
