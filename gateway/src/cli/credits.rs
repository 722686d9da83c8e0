//! Books grants that expired, and has gateways look again where more may be spent than they know.
//! Never a request's way: what has expired counts as gone at once, and is booked here soon after.
//! Run beside the server, for as long as the process runs.

use std::{sync::Arc, time::Duration};

use billing::ledger::{Ledger, LedgerError};
use domain::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often it looks: until then an expired grant counts as wholly unused, so that less may be spent than there is.
const INTERVAL: Duration = Duration::from_secs(1);
/// Every so many looks it looks at all time: a process that was away may have left something.
const LOOKS_PER_WHOLE: u32 = 600;
/// Other looks go back this far. Unit: microseconds.
const LOOK_BACK_US: i64 = 86_400_000_000;

/// Looks at all time.
///
/// Errors: a database that fails.
pub(super) async fn tend_all(ledger: &Ledger, now: Timestamp) -> Result<(), LedgerError> {
    let since = Timestamp::from_unix_micros(i64::MIN);
    ledger.tend_credits(now, since).await.map(drop)
}

/// Runs until the process stops. A ledger that is away is asked again the next time.
pub(super) async fn run(app: Arc<App>, stopping: CancellationToken) {
    let mut looks = 0_u32;
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let now = app.clock.now();
        let outcome = match looks {
            0 => tend_all(&app.ledger, now).await,
            _ => {
                let since = Timestamp::from_unix_micros(now.unix_micros().saturating_sub(LOOK_BACK_US));
                app.ledger.tend_credits(now, since).await.map(drop)
            }
        };
        match outcome {
            Ok(()) => looks = (looks + 1) % LOOKS_PER_WHOLE,
            Err(error) => {
                tracing::warn!(%error, "expired grants not booked");
                looks = 0;
            }
        }
    }
}
