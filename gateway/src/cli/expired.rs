//! Deletes stored responses that have expired.
//! Never many at once: other writers of the ledger come in between.
//! Run beside the server, for as long as the process runs.

use std::{sync::Arc, time::Duration};

use billing::ledger::EXPIRED_RESPONSES_MAX;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often it looks. What has expired is not found in the meantime either.
const INTERVAL: Duration = Duration::from_secs(60);
/// Steps in a row: half a minute's worth of expiries at 300 responses a second.
const STEPS_MAX: u32 = 50;

/// Runs until the process stops. A ledger that is away is asked again the next time.
pub(super) async fn run(app: Arc<App>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        for _ in 0..STEPS_MAX {
            match app.ledger.delete_expired_responses(app.clock.now()).await {
                Ok(deleted) if deleted < u64::from(EXPIRED_RESPONSES_MAX) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "expired responses not deleted");
                    break;
                }
            }
        }
    }
}
