//! Issues invoices beside the server, when they are due.
//! Never a rule of its own: `billing::invoice` knows what is due, and issues it once however many ask.
//! Run by `serve` for as long as the process runs.

use std::{sync::Arc, time::Duration};

use billing::invoice::{self, DueReport};
use tokio_util::sync::CancellationToken;

use crate::{app::App, config::Invoicing};

/// Microseconds in an hour.
const HOUR_US: i64 = 3_600_000_000;

/// Runs until the process stops. A ledger that is away is asked again the next time.
pub(super) async fn run(app: Arc<App>, config: Invoicing, stopping: CancellationToken) {
    let grace_us = i64::from(config.grace_hours) * HOUR_US;
    let interval = Duration::from_secs(u64::from(config.interval_seconds));
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        match invoice::issue_thresholds(&app.ledger, app.clock.now()).await {
            Ok(report) => log(report),
            Err(error) => tracing::warn!(%error, "no invoices issued: the ledger does not answer"),
        }
        match invoice::issue_due(&app.ledger, app.clock.now(), grace_us).await {
            Ok(report) => log(report),
            Err(error) => tracing::warn!(%error, "no invoices issued: the ledger does not answer"),
        }
    }
}

fn log(report: DueReport) {
    for number in report.issued {
        tracing::info!(invoice.number = number, "invoice issued");
    }
    for (tenant, reason) in report.waiting {
        tracing::info!(tenant.name = tenant, reason, "invoice waits for usage");
    }
    for (tenant, error) in report.failed {
        tracing::error!(tenant.name = tenant, %error, "invoice not issued");
    }
}
