//! Delivers events to webhook endpoints: signed, one after another for each endpoint, again after a failure.
//! Never follows a redirect, never keeps an answer's body, never calls what may not be called.
//! Run beside the server; on many gateways each delivery is leased to one.

mod address;
mod sign;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use billing::ledger::{AlertRound, Attempt, AttemptOutcome, DueDelivery, Ledger, LedgerError};
use domain::Timestamp;
use reqwest::{Client, Url, header::CONTENT_TYPE, redirect::Policy};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use address::{BadUrl, check_url};
pub use sign::{new_secret, read_secret, secret_text};

use crate::app::App;

/// How often it looks for what has become due; what waits behind a message that was delivered goes out at once.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often budgets are compared with what was spent: sums over their windows.
const BUDGET_INTERVAL: Duration = Duration::from_secs(15);
/// How often billing periods are compared with their targets: a preview of an invoice each.
const TARGET_INTERVAL: Duration = Duration::from_secs(600);
/// Longest try, from the first packet to the status line.
const TRY_MAX: Duration = Duration::from_secs(15);
/// Nobody else tries for this long: longer than a try, so that two at once come of a crash alone.
const LEASE: Duration = Duration::from_secs(60);
/// Deliveries under way at once, each to another endpoint: as many sockets, and claims of what is due are short.
const DELIVERIES_MAX: usize = 32;
/// The wait after the first failure; each further one is three times as long.
const RETRY_MIN: Duration = Duration::from_secs(5);
/// The longest wait between two tries.
const RETRY_MAX: Duration = Duration::from_secs(6 * 3_600);
/// An event that could not be delivered for so long is given up, and an endpoint that took nothing for so long disabled.
const GIVE_UP: Duration = Duration::from_secs(5 * 86_400);

/// Delivers what is due.
#[derive(Clone, Debug)]
pub struct Notifier {
    ledger: Ledger,
    is_private_allowed: bool,
    try_max: Duration,
}

impl Notifier {
    /// Delivers events of this ledger.
    pub fn new(ledger: Ledger, is_private_allowed: bool) -> Self {
        Self { ledger, is_private_allowed, try_max: TRY_MAX }
    }

    /// Tries everything that is due until nothing is left, and says how many tries that were.
    ///
    /// Whenever a try ends the next messages go out, so an endpoint's events follow each other at once, and one that
    /// is slow to answer holds up nobody else's. Once it is stopping, what was begun ends and nothing else begins.
    /// Errors: a database that fails; then too what was begun ends.
    pub async fn deliver_due(
        &self,
        now: impl Fn() -> Timestamp,
        stopping: &CancellationToken,
    ) -> Result<usize, LedgerError> {
        // Each in a task of its own: while this one waits for the ledger, they go on and give it back.
        let (mut trying, mut tries, mut outcome) = (JoinSet::new(), 0, Ok(()));
        loop {
            let free = DELIVERIES_MAX.saturating_sub(trying.len());
            if free > 0 && outcome.is_ok() && !stopping.is_cancelled() {
                let (now, free) = (now(), u16::try_from(free).unwrap_or(u16::MAX));
                match self.ledger.claim_deliveries((now, after(now, LEASE)), free).await {
                    Ok(due) => {
                        tries += due.len();
                        for due in due {
                            let notifier = self.clone();
                            trying.spawn(async move { notifier.deliver(due, now).await });
                        }
                    }
                    Err(error) => outcome = Err(error),
                }
            }
            if trying.is_empty() {
                return outcome.map(|()| tries);
            }
            tokio::select! {
                Some(ended) = trying.join_next() => match ended {
                    Ok(noted) => outcome = outcome.and(noted),
                    // Its lease runs out, and it is tried again.
                    Err(error) => tracing::error!(%error, "a webhook's delivery broke off"),
                },
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    /// Tries one delivery and notes how that went.
    async fn deliver(&self, due: DueDelivery, now: Timestamp) -> Result<(), LedgerError> {
        let attempt = self.attempt(&due, now).await;
        self.ledger.note_attempt(&due, &attempt).await
    }

    /// Tries one delivery.
    async fn attempt(&self, due: &DueDelivery, now: Timestamp) -> Attempt {
        let began = Instant::now();
        let sent = tokio::time::timeout(self.try_max, self.send(due, now)).await;
        let (status, outcome) = sent.unwrap_or((None, AttemptOutcome::TimedOut));
        let duration_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        let next_at = after(now, retry_after(due.attempts, chance()));
        let is_worth_it = next_at <= after(due.at, GIVE_UP) && outcome != AttemptOutcome::Delivered;
        let micros = i64::try_from(GIVE_UP.as_micros()).unwrap_or(i64::MAX);
        let disable_since = Timestamp::from_unix_micros(now.unix_micros().saturating_sub(micros));
        if outcome != AttemptOutcome::Delivered {
            tracing::info!(endpoint.id = %due.endpoint_id, event.id = %due.event_id, attempt = due.attempts + 1,
                outcome = outcome.as_str(), status, duration_ms, "webhook not delivered");
        }
        Attempt {
            at: now,
            duration_ms,
            status,
            outcome,
            next_at: is_worth_it.then_some(next_at),
            disable_since,
        }
    }

    /// Sends one message to exactly the addresses that were looked at.
    async fn send(&self, due: &DueDelivery, now: Timestamp) -> (Option<u16>, AttemptOutcome) {
        let Ok(url) = check_url(&due.url, self.is_private_allowed) else {
            return (None, AttemptOutcome::ForbiddenAddress);
        };
        let addresses = match address::resolve(&url, self.is_private_allowed).await {
            Ok(addresses) => addresses,
            Err(Some(_)) => return (None, AttemptOutcome::ForbiddenAddress),
            Err(None) => return (None, AttemptOutcome::Unreachable),
        };
        match self.post(due, url, &addresses, now).await {
            Ok(status) if (200..300).contains(&status) => (Some(status), AttemptOutcome::Delivered),
            Ok(status) => (Some(status), AttemptOutcome::Refused),
            Err(error) if error.is_timeout() => (None, AttemptOutcome::TimedOut),
            Err(_) => (None, AttemptOutcome::Unreachable),
        }
    }

    async fn post(
        &self,
        due: &DueDelivery,
        url: Url,
        addresses: &[std::net::SocketAddr],
        now: Timestamp,
    ) -> Result<u16, reqwest::Error> {
        // One client for each message: what its name leads to is looked up anew, and nobody else's connection is used.
        let host = url.host_str().unwrap_or_default().to_owned();
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(self.try_max)
            .resolve_to_addrs(&host, addresses)
            .build()?;
        let id = due.event_id.to_string();
        let body = json!({ "type": due.kind, "timestamp": due.at.to_string(), "data": due.body }).to_string();
        let unix_seconds = now.unix_micros().div_euclid(1_000_000);
        let signatures = sign::signatures(&id, unix_seconds, &body, &due.secrets);
        let request = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", unix_seconds.to_string())
            .header("webhook-signature", signatures)
            .body(body);
        Ok(request.send().await?.status().as_u16())
    }
}

/// The wait after so many failures: three times as long each time, less up to half of it by chance, so that many
/// deliveries that failed together do not come back together. Unit of `chance`: thousandths.
fn retry_after(failures: u32, chance: u32) -> Duration {
    let whole = RETRY_MIN.saturating_mul(3_u32.saturating_pow(failures)).min(RETRY_MAX);
    whole - whole * chance.min(1_000) / 2_000
}

/// Thousandths at random; without random numbers the whole wait.
fn chance() -> u32 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u32::from_le_bytes(bytes) % 1_001,
        Err(_) => 0,
    }
}

fn after(at: Timestamp, span: Duration) -> Timestamp {
    let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(at.unix_micros().saturating_add(micros))
}

/// Delivers, and looks what else is to be told, until the process stops. A ledger that is away is asked again.
pub(crate) async fn run(app: Arc<App>, stopping: CancellationToken) {
    tokio::join!(deliver(&app, &stopping), look(&app, &stopping));
}

async fn deliver(app: &App, stopping: &CancellationToken) {
    let notifier = Notifier::new(app.ledger.clone(), app.is_private_webhook_allowed);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
        if let Err(error) = notifier.deliver_due(|| app.clock.now(), stopping).await {
            tracing::warn!(%error, "webhooks not delivered");
        }
    }
}

/// Looks at budgets and targets. Beside the deliveries, which a look at many tenants would hold up.
async fn look(app: &App, stopping: &CancellationToken) {
    let (mut budgets, mut targets): (Option<Instant>, Option<Instant>) = (None, None);
    let is_over = |last: Option<Instant>, span| last.is_none_or(|last| last.elapsed() >= span);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
        let now = app.clock.now();
        if is_over(budgets, BUDGET_INTERVAL) {
            budgets = Some(Instant::now());
            warn(app.ledger.tell_budgets(now).await, "budgets not looked at");
        }
        if is_over(targets, TARGET_INTERVAL) {
            targets = Some(Instant::now());
            warn(billing::invoice::tell_missed_targets(&app.ledger, now).await, "targets not looked at");
        }
    }
}

fn warn(outcome: Result<AlertRound, LedgerError>, what: &'static str) {
    match outcome {
        Ok(round) => {
            for (tenant, error) in round.failed {
                tracing::warn!(tenant.name = tenant, %error, "{what}");
            }
        }
        Err(error) => tracing::warn!(%error, "{what}"),
    }
}

#[cfg(test)]
mod tests;
