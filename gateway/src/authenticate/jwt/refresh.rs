//! Keeps issuers' keys fresh, each in a task of its own, for as long as the gateway runs.
//! Never on a request's way: a token with an unknown key asks for a look and is refused until it has been taken.
//! Started by `cli::serve`, and again for what a reload changes.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Issuer, Issuers, fetch};

/// The shortest time between two looks, whoever asks: a flood of made-up key ids must not become one at the issuer.
const LOOK_PAUSE_MIN: Duration = Duration::from_secs(5);
/// After a failure: long enough not to press a service that is down, short enough that its return is noticed.
const RETRY: Duration = Duration::from_secs(15);

/// Reads the keys of issuers.
#[derive(Clone)]
pub struct KeyRefresher {
    client: reqwest::Client,
    stopping: CancellationToken,
    look_pause: Duration,
}

impl KeyRefresher {
    /// One for the whole process.
    ///
    /// Errors: TLS cannot be set up.
    pub fn new(stopping: CancellationToken) -> Result<Self, reqwest::Error> {
        Ok(Self { client: fetch::client()?, stopping, look_pause: LOOK_PAUSE_MIN })
    }

    /// The same with another shortest time between two looks.
    #[cfg(test)]
    pub(super) fn with_look_pause(self, look_pause: Duration) -> Self {
        Self { look_pause, ..self }
    }

    /// Reads every issuer's keys once, so that a gateway that is ready knows them. A dead issuer does not stop a start.
    pub async fn read_all(&self, issuers: &Issuers) {
        let looks = issuers.by_name.values().map(|issuer| self.look(issuer));
        futures_util::future::join_all(looks).await;
    }

    /// Starts a task for every issuer that has none yet; it ends with the process, or when its issuer is dropped.
    pub fn keep_fresh(&self, issuers: &Issuers) {
        for issuer in issuers.by_name.values() {
            if !issuer.is_kept_fresh.swap(true, std::sync::atomic::Ordering::SeqCst) {
                let issuer = Arc::downgrade(issuer);
                let refresher = self.clone();
                tokio::spawn(async move { refresher.run(&issuer).await });
            }
        }
    }

    async fn run(self, issuer: &std::sync::Weak<Issuer>) {
        let mut wait = match issuer.upgrade() {
            Some(issuer) => refresh_after(&issuer, issuer.keys.load().is_some()),
            None => return,
        };
        loop {
            let Some(kept) = issuer.upgrade() else { return };
            let began = Instant::now();
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = kept.is_key_missing.notified() => {
                    // What comes meanwhile is answered by the same look.
                    tokio::select! {
                        () = self.stopping.cancelled() => return,
                        () = tokio::time::sleep_until(began + self.look_pause) => {}
                    }
                }
            }
            // Only this task holds it: no configuration does any more.
            if Arc::strong_count(&kept) == 1 {
                return;
            }
            wait = refresh_after(&kept, self.look(&kept).await);
        }
    }

    /// Reads the keys and keeps them. What was known stays when the issuer is away.
    async fn look(&self, issuer: &Issuer) -> bool {
        match fetch::keys(&self.client, &issuer.config).await {
            Ok(keys) => {
                tracing::debug!(issuer = issuer.config.issuer, keys = keys.len(), "issuer's keys read");
                issuer.keys.store(Some(Arc::new(keys)));
                true
            }
            Err(error) => {
                tracing::warn!(issuer = issuer.config.issuer, error = %error, "issuer's keys not read: the last ones stay");
                false
            }
        }
    }
}

fn refresh_after(issuer: &Issuer, is_known: bool) -> Duration {
    let usual = Duration::from_secs(u64::from(issuer.config.refresh_seconds));
    if is_known { usual } else { usual.min(RETRY) }
}
