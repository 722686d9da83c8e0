//! Servers that run models elsewhere, and each model there as a target of requests.
//! Never sends anything itself: exchanges do; it knows what may be sent, how much is under way and who works.
//! Built from the configuration; shared by routes, exchanges and the health probe.

use std::{
    path::PathBuf,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{ModelName, Tokens};
use engine::{Forecast, TokenCounter};
use tokio_util::sync::CancellationToken;

use super::{
    breaker::Breaker,
    client::Client,
    credential::Credential,
    pace::{FirstToken, Pace},
    renew::{Load, Origin},
    tls::{self, TlsError},
    upstream::Counter,
};
use crate::{
    config::{self, Capability, OutputBound, TokenEnergy},
    node::{API_PATH, KeyError, READY_PATH},
};

/// Why a backend cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Its secret is not to be had.
    #[error("backend {backend}: api_key: {why}")]
    Secret {
        /// The backend.
        backend: String,
        /// Why not; shows nothing of it.
        why: String,
    },
    /// The key that signs for it cannot be read.
    #[error("backend {backend}: signing_key: {source}")]
    SigningKey {
        /// The backend.
        backend: String,
        /// Why not.
        source: KeyError,
    },
    /// Its certificates cannot be checked.
    #[error("backend {backend}: ca_file: {source}")]
    Tls {
        /// The backend.
        backend: String,
        /// Why not.
        source: TlsError,
    },
    /// Its host is no name.
    #[error("backend {backend}: url: {source}")]
    Host {
        /// The backend.
        backend: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A tokenizer cannot be read.
    #[error("backend {backend}: {}: {source}", file.display())]
    Tokenizer {
        /// The backend.
        backend: String,
        /// The file.
        file: PathBuf,
        /// Why not.
        source: engine::TextError,
    },
}

/// One server.
#[derive(Debug)]
pub struct Remote {
    /// The name that records carry.
    pub name: Arc<str>,
    /// What is asked to learn whether it lives, and how often.
    pub probe: Option<(String, Duration)>,
    pub(super) client: Client,
    pub(super) credential: Credential,
    pub(super) waits: Waits,
    /// What it was built from, for a reload to see whether it still is.
    pub(super) origin: Origin,
    /// Cancelled when a reload leaves it out. What runs there runs on.
    pub(super) retired: CancellationToken,
    health: AtomicU8,
}

/// How long an answer may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    pub(super) first_token: Duration,
    pub(super) idle: Duration,
    pub(super) total: Duration,
}

/// What the last probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nobody has looked yet.
    Unknown,
    /// It answered.
    Up,
    /// It did not.
    Down,
}

/// One model of one server.
#[derive(Debug)]
pub struct RemoteTarget {
    /// The server.
    pub remote: Arc<Remote>,
    /// The name clients ask for.
    pub model: ModelName,
    /// Its share of the model's requests.
    pub weight: u32,
    /// Prompt and output together. Unit: tokens.
    pub context_tokens_max: u32,
    /// Output bound of requests that name none. Unit: tokens.
    pub output_tokens_default: u32,
    pub(super) name_there: String,
    pub(super) output_bound: OutputBound,
    pub(super) capabilities: Vec<Capability>,
    pub(super) counter: Counter,
    pub(super) energy: (TokenEnergy, TokenEnergy),
    pub(super) configured: config::BackendModel,
    /// Shared with the target that a reload puts in its place.
    pub(super) load: Arc<Load>,
}

/// A request under way to a target: its load, and what it proves of the target. Dropping it ends both.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) target: Arc<RemoteTarget>,
    tokens: u64,
    /// What the target had to deliver before it.
    tokens_before: u64,
    began: Instant,
    is_judged: bool,
}

impl Remote {
    /// Builds a server and its models.
    ///
    /// Errors: secrets, certificates or tokenizers that cannot be read.
    pub fn build(config: &config::Backend) -> Result<Vec<Arc<RemoteTarget>>, BackendError> {
        let backend = || config.name.clone();
        let credential = Credential::build(config)?;
        let tls = config.url.is_https.then(|| tls::connector(config.ca_file.as_deref())).transpose();
        let tls = tls.map_err(|source| BackendError::Tls { backend: backend(), source })?;
        let millis = |ms: u32| Duration::from_millis(u64::from(ms));
        let connections_max = usize::try_from(config.connections_max).unwrap_or(usize::MAX);
        let client = Client::new(config.url.clone(), tls, connections_max, millis(config.connect_ms_max))
            .map_err(|source| BackendError::Host { backend: backend(), source })?;
        let usual = match config.url.path.strip_suffix(API_PATH).filter(|_| credential.signer().is_some()) {
            // It says no while it drains, which its models do not.
            Some(before) => format!("{before}{READY_PATH}"),
            None => format!("{}/models", config.url.path),
        };
        let probe_path = config.health_path.clone().unwrap_or(usual);
        let remote = Arc::new(Self {
            name: config.name.as_str().into(),
            probe: (config.health_interval_ms > 0).then(|| (probe_path, millis(config.health_interval_ms))),
            client,
            origin: Origin::of(config),
            retired: CancellationToken::new(),
            credential,
            waits: Waits {
                first_token: millis(config.first_token_ms_max),
                idle: millis(config.idle_ms_max),
                total: millis(config.total_ms_max),
            },
            health: AtomicU8::new(0),
        });
        let target = |model| RemoteTarget::build(&remote, config.output_bound(model), model).map(Arc::new);
        config.models.iter().map(target).collect()
    }

    /// A reload has left it out: nobody probes it any more.
    pub fn retire(&self) {
        self.retired.cancel();
    }

    /// What the last probe found.
    pub fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            0 => Health::Unknown,
            1 => Health::Up,
            _ => Health::Down,
        }
    }

    /// Notes what a probe found; gives what was known before.
    pub(super) fn note_health(&self, is_up: bool) -> Health {
        let before = self.health();
        self.health.store(if is_up { 1 } else { 2 }, Ordering::Relaxed);
        before
    }
}

impl RemoteTarget {
    fn build(
        remote: &Arc<Remote>,
        output_bound: OutputBound,
        model: &config::BackendModel,
    ) -> Result<Self, BackendError> {
        let tokenizer = model.tokenizer.as_ref().map(|file| TokenCounter::open(file).map(Arc::new));
        let tokenizer = tokenizer.transpose().map_err(|source| BackendError::Tokenizer {
            backend: remote.name.to_string(),
            file: model.tokenizer.clone().unwrap_or_default(),
            source,
        })?;
        Ok(Self {
            remote: Arc::clone(remote),
            model: model.name.clone(),
            weight: model.weight,
            context_tokens_max: model.context_tokens_max,
            output_tokens_default: model.output_tokens_default.get(),
            name_there: model.name_there().to_owned(),
            output_bound,
            capabilities: model.capabilities.clone(),
            counter: Counter::new(tokenizer),
            energy: (model.mj_per_prompt_token, model.mj_per_output_token),
            configured: model.clone(),
            load: Arc::default(),
        })
    }

    /// Whether it is a node of ours: what it says of energy is believed.
    pub(super) fn is_node(&self) -> bool {
        self.remote.credential.signer().is_some()
    }

    /// Whether it can be asked this at all.
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// Whether a request may go there now.
    pub fn is_usable(&self, now: Instant) -> bool {
        self.remote.health() != Health::Down && self.breaker(|breaker| breaker.is_usable(now))
    }

    /// Tokens that it has promised and not yet delivered.
    pub fn outstanding_tokens(&self) -> u64 {
        self.load.outstanding_tokens.load(Ordering::Relaxed)
    }

    /// Its state in words, without address or secret.
    pub fn state(&self, now: Instant) -> String {
        let breaker = self.breaker(|breaker| *breaker);
        match (self.remote.health(), breaker.is_usable(now), breaker) {
            (Health::Down, ..) => "down".to_owned(),
            (Health::Unknown | Health::Up, false, _) => "failing, not asked for now".to_owned(),
            (Health::Unknown | Health::Up, true, Breaker::Failing(count)) => {
                format!("ok, failed {count} times")
            }
            (Health::Unknown | Health::Up, true, _) => {
                format!("ok, {} tokens outstanding", self.outstanding_tokens())
            }
        }
    }

    /// A request of this many tokens goes there.
    pub(super) fn begin(self: &Arc<Self>, tokens: u64, now: Instant) -> Attempt {
        let tokens_before = self.load.outstanding_tokens.fetch_add(tokens, Ordering::Relaxed);
        self.breaker(|breaker| breaker.begin(now));
        Attempt { target: Arc::clone(self), tokens, tokens_before, began: now, is_judged: false }
    }

    /// What a request with this prompt would meet there now. `None`: nothing was measured yet.
    pub(super) fn forecast(&self, prompt: Tokens) -> Option<Forecast> {
        self.pace(|pace| pace.forecast(prompt, self.outstanding_tokens()))
    }

    fn pace<T>(&self, with: impl FnOnce(&mut Pace) -> T) -> T {
        with(&mut self.load.pace.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn breaker<T>(&self, with: impl FnOnce(&mut Breaker) -> T) -> T {
        with(&mut self.load.breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Attempt {
    /// The first text of an answer to a prompt of about so many tokens came.
    pub(super) fn note_first(&self, prompt_tokens: u64, now: Instant) {
        let span = now.saturating_duration_since(self.began);
        let first = FirstToken { span, prompt_tokens, tokens_before: self.tokens_before };
        self.target.pace(|pace| pace.began(first));
    }

    /// So many tokens came after the first one, within this span.
    pub(super) fn note_end(&self, tokens: u64, span: Duration) {
        self.target.pace(|pace| pace.ended(tokens, span));
    }

    /// The target answered.
    pub(super) fn succeed(&mut self) {
        self.is_judged = true;
        self.target.breaker(Breaker::succeed);
    }

    /// The target failed in a way that is its own.
    pub(super) fn fail(&mut self, now: Instant) {
        self.is_judged = true;
        self.target.breaker(|breaker| breaker.fail(now));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.target.load.outstanding_tokens.fetch_sub(self.tokens, Ordering::Relaxed);
        if !self.is_judged {
            self.target.breaker(|breaker| breaker.forget(Instant::now()));
        }
    }
}
