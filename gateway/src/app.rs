//! Everything a running gateway is made of, built once and handed to every route.
//! Never changes its parts; what changes (snapshot, serving, limits, journal) changes inside them.
//! Built by `cli::serve`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use billing::{
    ledger::{Ledger, LedgerError},
    ship::ShipStatus,
};
use domain::{Clock, Timestamp};
use tokio::sync::watch;

use crate::{
    admit::Admitter, authenticate::Authenticator, idempotency::Idempotency, serving::Serving,
    stream::Streams, stripe::Stripe,
};

/// The running gateway.
pub struct App {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// When the process started.
    pub started_at: Timestamp,
    /// Who is asking.
    pub authenticator: Authenticator,
    /// May it run.
    pub admitter: Admitter,
    /// What serves it, within which bounds; swapped as a whole by a reload.
    pub(crate) serving: ArcSwap<Serving>,
    /// Runs it to its record.
    pub streams: Streams,
    /// What came of requests that must not run twice.
    pub idempotency: Idempotency,
    /// Where responses are stored, and where nothing else is looked up for a request.
    pub ledger: Ledger,
    /// Whether the ledger answered when it was last asked.
    pub is_ledger_near: Arc<AtomicBool>,
    /// Usage records that lie in no month's partition, when they were last counted.
    pub records_outside_months: Arc<AtomicU64>,
    /// Whether messages about events may go to private addresses.
    pub is_private_webhook_allowed: bool,
    /// The account at Stripe, when there is one.
    pub stripe: Option<Arc<Stripe>>,
    /// How records reach the ledger.
    pub shipping: watch::Receiver<ShipStatus>,
}

/// Whether requests would be served now.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// The verdict.
    pub is_ready: bool,
    /// Each part and its state in words.
    pub parts: Vec<(String, String)>,
}

impl App {
    /// What serves requests as it is now configured. Whoever takes it keeps it, whatever is configured meanwhile.
    pub fn serving(&self) -> Arc<Serving> {
        self.serving.load_full()
    }

    /// Looks at every part. A ledger that is away degrades and does not stop serving: the journal bridges it.
    pub fn readiness(&self) -> Readiness {
        let journal = self.streams.journal.is_writable();
        let is_draining = self.admitter.is_draining();
        let mut parts = vec![
            ("journal".to_owned(), journal.as_ref().map_or_else(ToString::to_string, |()| "ok".to_owned())),
            ("ledger".to_owned(), self.ledger_state()),
            (
                "limits".to_owned(),
                if self.admitter.limits().is_away() { "degraded: redis is away" } else { "ok" }.to_owned(),
            ),
            ("requests".to_owned(), if is_draining { "draining" } else { "ok" }.to_owned()),
        ];
        let mut are_engines_ready = true;
        for route in self.serving().backends.all() {
            let (is_route_ready, state) = route.state();
            are_engines_ready &= is_route_ready;
            parts.push((format!("model {}", route.model), state));
        }
        Readiness { is_ready: journal.is_ok() && !is_draining && are_engines_ready, parts }
    }

    /// Says which models no plan prices: every request for them will be refused.
    ///
    /// Errors: the ledger's.
    pub async fn warn_unpriced(&self) -> Result<(), LedgerError> {
        let plans = self.ledger.plans().await?;
        for route in self.serving().backends.all() {
            if !plans.iter().any(|plan| plan.sells(&route.model) || plan.sells_embeddings(&route.model)) {
                tracing::warn!(model = %route.model, "no published plan prices this model: requests for it are refused");
            }
        }
        Ok(())
    }

    fn ledger_state(&self) -> String {
        let failures = self.shipping.borrow().failures;
        let outside = self.records_outside_months.load(Ordering::Relaxed);
        match (self.is_ledger_near.load(Ordering::Relaxed), failures) {
            (true, 0) if outside > 0 => {
                format!(
                    "degraded: {outside} usage records lie in no month; `tallygate partitions make` moves them"
                )
            }
            (true, 0) => "ok".to_owned(),
            (false, 0) => "degraded: away".to_owned(),
            (_, failures) => {
                format!("degraded: shipping failed {failures} times, records wait in the journal")
            }
        }
    }
}
