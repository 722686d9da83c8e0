//! Everything that speaks with Stripe: invoices, payments, cards and payments in advance.
//! Never decides what is owed or which step may follow which: `billing::stripe` and the ledger do.
//! Its worker runs beside the server; pages for tenants are made for whoever asks.

mod client;
mod credit_note;
mod customer;
mod invoice;
mod pace;
mod pages;
mod reconcile;
mod signature;
mod told;
mod wire;
mod worker;

use billing::{
    ledger::{Ledger, LedgerError},
    stripe::StripeError,
};
use domain::Fault;
use reqwest::Url;

pub use client::{CallError, Client};
pub use pages::{NewPage, PageFor};
pub use signature::{BadSignature, verify};
pub use told::{Told, note};
pub(crate) use worker::run;

use crate::config;

/// Where Stripe's API is.
const API_URL: &str = "https://api.stripe.com/";

/// The connection to Stripe, as it was configured.
#[derive(Debug)]
pub struct Stripe {
    client: Client,
    ledger: Ledger,
    settings: config::Stripe,
    webhook_secrets: Secrets,
}

/// What signs what Stripe tells. Never shown.
struct Secrets(Vec<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

/// Why something could not be done at Stripe.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A call did not do what was asked.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The ledger did not.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What is owed here cannot be said there.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// Somebody has to look.
    #[error("{0}")]
    Park(String),
}

impl Trouble {
    /// What kind of failure it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Call(_) => Fault::Overloaded,
            Self::Ledger(error) => error.fault(),
            Self::Stripe(error) => error.fault(),
            Self::Park(_) => Fault::Conflict,
        }
    }
}

impl From<billing::stripe::AmountError> for Trouble {
    fn from(error: billing::stripe::AmountError) -> Self {
        Self::Stripe(error.into())
    }
}

impl Stripe {
    /// The connection that is configured. `None`: none is.
    ///
    /// Errors: a secret that cannot be read, no TLS on this machine.
    pub fn new(settings: &config::Stripe, ledger: &Ledger) -> Result<Option<Self>, String> {
        let Some(secret_key) = &settings.secret_key else { return Ok(None) };
        let named = |name: &'static str| move |why: String| format!("{name}: {why}");
        let secret_key = secret_key.read().map_err(named("stripe.secret_key"))?;
        let secrets: Result<Vec<_>, _> = settings.webhook_secrets.iter().map(config::Secret::read).collect();
        let secrets = secrets.map_err(named("stripe.webhook_secrets"))?;
        let url = settings.api_url.as_deref().unwrap_or(API_URL);
        let base = Url::parse(&format!("{}/", url.trim_end_matches('/')));
        let base = base.map_err(|error| format!("stripe.api_url: {error}"))?;
        let client = Client::new(base, secret_key, settings.calls_per_second);
        Ok(Some(Self {
            client: client.map_err(|error| format!("stripe: {error}"))?,
            ledger: ledger.clone(),
            settings: settings.clone(),
            webhook_secrets: Secrets(secrets),
        }))
    }

    /// What signs what Stripe tells: more than one while a secret is replaced.
    pub(crate) fn webhook_secrets(&self) -> &[String] {
        &self.webhook_secrets.0
    }
}
