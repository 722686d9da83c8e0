//! Makes the ledger's months ahead of time, tells of records that lie in none, and detaches what retention lets go.
//! Never a month that is not invoiced, and never deletes anything: the ledger keeps what is detached.
//! Run beside the server, for as long as the process runs.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use billing::ledger::LedgerError;
use tokio_util::sync::CancellationToken;

use crate::{app::App, config::Retention};

/// How often it looks. A month is made three months before it begins.
const INTERVAL: Duration = Duration::from_secs(3_600);
/// Months made ahead of the running one.
pub(super) const MONTHS_AHEAD: u32 = 3;

/// Runs until the process stops.
pub(super) async fn run(app: Arc<App>, retention: Retention, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => tend(&app, retention).await,
        }
    }
}

/// Does what is due now. A ledger that is away is asked again the next time.
pub(super) async fn tend(app: &App, retention: Retention) {
    if let Err(error) = look_after(app, retention).await {
        tracing::warn!(%error, "the months of usage records were not looked after");
    }
}

async fn look_after(app: &App, retention: Retention) -> Result<(), LedgerError> {
    let now = app.clock.now();
    let made = app.ledger.make_months(now, MONTHS_AHEAD).await?;
    if made > 0 {
        tracing::info!(made, "months made for usage records");
    }
    let outside = app.ledger.records_outside_months().await?;
    app.records_outside_months.store(outside, Ordering::Relaxed);
    if outside > 0 {
        tracing::warn!(
            records = outside,
            "usage records lie in no month: `tallygate partitions make` moves them"
        );
    }
    if retention.months > 0 {
        let (detached, why) = app.ledger.detach_older(retention.months, now).await?;
        for month in detached {
            tracing::info!(month = %month.month, place = %month.place, "month of usage records detached");
        }
        if let Some(why) = why {
            tracing::warn!(%why, "retention waits");
        }
    }
    Ok(())
}
