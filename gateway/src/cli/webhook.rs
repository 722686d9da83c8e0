//! `tallygate webhook`: who is told of events, with which secret, and how each delivery went.
//! Never shows a secret again: it is printed once, when it is made.
//! Called by `Cli::run`; a running server takes changes over at once.

use billing::ledger::{Endpoint, EventKind, Ledger, NewEndpoint, WebhookSecret};
use clap::Subcommand;
use domain::{Clock as _, EndpointId, EventId, SystemClock, Timestamp};

use super::{CliError, open, out};
use crate::{
    config::Config,
    notify::{check_url, new_secret, secret_text},
};

/// How long the secret before signs beside a new one, unless it is said otherwise. Unit: hours.
const OVERLAP_HOURS: u32 = 24;
const HOUR_US: i64 = 3_600_000_000;
/// Endpoints listed: as many as there can be.
const ENDPOINTS_MAX: usize = 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell a URL of events from now on; prints the secret that signs them, once.
    Add {
        /// Where messages are sent.
        url: String,
        /// Only events of this tenant; without it, an operator's endpoint that hears of all.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Only these: credit.low, budget.threshold, invoice.issued, slo.below, payment.failed, stripe.parked; may be given several times.
        #[arg(long, value_name = "EVENT")]
        event: Vec<EventKind>,
    },
    /// List all endpoints.
    List,
    /// Make a new secret, printed once; the one before signs beside it for a while.
    RotateSecret {
        /// The endpoint's id.
        endpoint: EndpointId,
        /// For how many hours the one before signs too.
        #[arg(long, default_value_t = OVERLAP_HOURS, value_name = "HOURS")]
        overlap_hours: u32,
    },
    /// Send nothing to an endpoint from now on.
    Disable {
        /// The endpoint's id.
        endpoint: EndpointId,
    },
    /// Send to an endpoint again, first what waits.
    Enable {
        /// The endpoint's id.
        endpoint: EndpointId,
    },
    /// List the latest deliveries to an endpoint with every try.
    Deliveries {
        /// The endpoint's id.
        endpoint: EndpointId,
        /// How many.
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Deliver an event once more, with the same id.
    Resend {
        /// The endpoint's id.
        endpoint: EndpointId,
        /// The event's id.
        event: EventId,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> Result<(), CliError> {
    let ledger = open::existing_ledger(config).await?;
    let now = SystemClock.now();
    match command {
        Command::Add { url, tenant, event } => {
            check_url(&url, config.webhooks.allow_private_addresses)
                .map_err(|error| CliError::Usage(error.to_string()))?;
            let tenant = match tenant {
                Some(name) => Some(open::tenant(&ledger, &name).await?),
                None => None,
            };
            let secret = fresh()?;
            let tenant_id = tenant.map(|tenant| tenant.id);
            let new = NewEndpoint { tenant_id, url: &url, kinds: &event, secret: &secret };
            let endpoint = ledger.add_webhook(&new, now).await?;
            out::say(&format!("endpoint {} hears of {}", endpoint.id, kinds(&endpoint)));
            show(&secret);
        }
        Command::List => list(&ledger).await?,
        Command::RotateSecret { endpoint, overlap_hours } => {
            let secret = fresh()?;
            let overlap = i64::from(overlap_hours).saturating_mul(HOUR_US);
            let until = Timestamp::from_unix_micros(now.unix_micros().saturating_add(overlap));
            ledger.rotate_webhook(endpoint, &secret, (now, until)).await?;
            out::say(&format!("the secret before signs too until {until}"));
            show(&secret);
        }
        Command::Disable { endpoint } => {
            ledger.disable_webhook(endpoint, now).await?;
            out::say(&format!("disabled endpoint {endpoint}"));
        }
        Command::Enable { endpoint } => {
            ledger.enable_webhook(endpoint).await?;
            out::say(&format!("enabled endpoint {endpoint}"));
        }
        Command::Deliveries { endpoint, limit } => deliveries(&ledger, endpoint, limit).await?,
        Command::Resend { endpoint, event } => {
            ledger.resend_delivery(endpoint, event, now).await?;
            out::say(&format!("event {event} is delivered once more"));
        }
    }
    Ok(())
}

fn fresh() -> Result<WebhookSecret, CliError> {
    new_secret().ok_or_else(|| CliError::Usage("no random numbers for a secret".to_owned()))
}

fn show(secret: &WebhookSecret) {
    out::say("");
    out::say(&format!("  secret  {}", secret_text(secret)));
    out::say("");
    out::say("It is shown this once; receivers check the signature of every message with it.");
}

fn kinds(endpoint: &Endpoint) -> String {
    match endpoint.kinds.as_slice() {
        [] => "everything".to_owned(),
        kinds => kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", "),
    }
}

async fn list(ledger: &Ledger) -> Result<(), CliError> {
    let rows: Vec<_> = ledger
        .webhooks_page(None, ENDPOINTS_MAX)
        .await?
        .iter()
        .map(|endpoint| {
            let at = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
            [
                endpoint.id.to_string(),
                endpoint.tenant_id.map_or_else(|| "all".to_owned(), |tenant| tenant.to_string()),
                endpoint.url.clone(),
                kinds(endpoint),
                at(endpoint.failing_since),
                at(endpoint.disabled_at),
            ]
        })
        .collect();
    out::table(["ENDPOINT", "TENANT", "URL", "EVENTS", "FAILING SINCE", "DISABLED"], &rows);
    Ok(())
}

async fn deliveries(ledger: &Ledger, endpoint: EndpointId, limit: u16) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for delivery in ledger.deliveries_page(endpoint, None, usize::from(limit)).await? {
        let row = |tried: [String; 4]| {
            let [at, took, status, outcome] = tried;
            let (id, kind) = (delivery.event_id.to_string(), delivery.kind.clone());
            [id, kind, delivery.state.clone(), at, took, status, outcome]
        };
        if delivery.log.is_empty() {
            rows.push(row(["-", "-", "-", "-"].map(str::to_owned)));
        }
        for tried in &delivery.log {
            let status = tried.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
            rows.push(row([
                tried.at.to_string(),
                format!("{} ms", tried.duration_ms),
                status,
                tried.outcome.clone(),
            ]));
        }
    }
    out::table(["EVENT", "TYPE", "STATE", "TRIED", "TOOK", "STATUS", "OUTCOME"], &rows);
    Ok(())
}
