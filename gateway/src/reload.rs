//! Reads the configuration again while requests run, and takes over what can change under them.
//! Never half of a change: a file with a fault, or a setting that needs a restart, changes nothing.
//! Asked by SIGHUP and by the admin API.

use std::sync::Arc;

use domain::Fault;
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::Mutex,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::App,
    authenticate::KeyRefresher,
    config::{Config, ConfigError, ISSUER, Source},
    dispatch::{self, BackendError, Remote},
    log::Log,
    serving::Serving,
};

/// What stands for the servers elsewhere when only their secrets or certificates changed.
const BACKEND: &str = "backend";

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration has a fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What it names for a server elsewhere cannot be read.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Something changed that a running gateway cannot take over.
    #[error("these settings change only at a restart, and nothing was taken over: {}", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
    /// The process stops.
    #[error("nothing was taken over: the process stops")]
    Stopping,
}

impl ReloadError {
    /// What kind of failure it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Config(_) | Self::Backend(_) => Fault::Invalid,
            Self::NeedsRestart(_) => Fault::Conflict,
            Self::Stopping => Fault::Overloaded,
        }
    }
}

/// Where servers elsewhere are probed: beside requests, on the runtime that outlives them.
#[derive(Clone, Debug)]
pub struct Probes {
    tasks: TaskTracker,
    runtime: Handle,
    stopping: CancellationToken,
}

impl Probes {
    /// Probes end when the process stops, and `tasks` can be waited for then.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(tasks: TaskTracker, stopping: CancellationToken) -> Self {
        Self { tasks, runtime: Handle::current(), stopping }
    }

    /// Begins to probe a server.
    pub fn start(&self, remote: Arc<Remote>) {
        self.tasks.spawn_on(dispatch::probe(remote, self.stopping.clone()), &self.runtime);
    }

    /// Looks once whether plans price what is served now; nobody waits for it.
    fn look_for_prices(&self, app: Arc<App>) {
        let look = async move {
            if let Err(error) = app.warn_unpriced().await {
                tracing::warn!(error = %error, "plans not read: models without a price are not told");
            }
        };
        self.tasks.spawn_on(look, &self.runtime);
    }
}

/// What a reload reaches.
pub struct ReloaderParts {
    /// Where the configuration is read from.
    pub source: Source,
    /// As the gateway was started.
    pub running: Config,
    /// The running gateway.
    pub app: Arc<App>,
    /// Reads issuers' keys.
    pub keys: KeyRefresher,
    /// Probes servers elsewhere.
    pub probes: Probes,
    /// Text for people.
    pub log: Log,
}

/// Reads the configuration of a running gateway again.
pub struct Reloader {
    source: Source,
    /// As it runs. Locked during a reload, so that two of them come one after the other.
    running: Mutex<Config>,
    app: Arc<App>,
    keys: KeyRefresher,
    probes: Probes,
    log: Log,
}

impl Reloader {
    /// For a running gateway, whose servers elsewhere are probed from now on.
    pub fn new(parts: ReloaderParts) -> Self {
        let ReloaderParts { source, running, app, keys, probes, log } = parts;
        for remote in app.serving().backends.remotes() {
            probes.start(remote);
        }
        Self { source, running: Mutex::new(running), app, keys, probes, log }
    }

    /// Reads file and variables again and gives the settings that were taken over.
    ///
    /// Requests under way keep what they began with: no stream ends.
    /// Errors: a configuration with a fault, told with its place; a setting that needs a restart.
    pub async fn reload(&self) -> Result<Vec<&'static str>, ReloadError> {
        let mut running = self.running.lock().await;
        let wanted = self.source.load()?;
        let changes = running.changes(&wanted);
        let fixed: Vec<_> =
            changes.iter().filter(|change| !change.is_live).map(|change| change.name).collect();
        if !fixed.is_empty() {
            return Err(ReloadError::NeedsRestart(fixed));
        }
        let mut changed: Vec<_> = changes.into_iter().map(|change| change.name).collect();
        // All that can fail or wait comes before the first change.
        let (before, backends) = (self.app.serving(), wanted.backends.clone());
        let renewed = tokio::task::spawn_blocking(move || before.backends.renewed(&backends)).await;
        let renewed = renewed.map_err(|_| ReloadError::Stopping)??;
        let is_same = renewed.added.is_empty() && renewed.removed.is_empty();
        if !is_same && !changed.contains(&BACKEND) {
            changed.push(BACKEND);
        }
        let issuers = match changed.contains(&ISSUER) {
            true => {
                let issuers = self.app.authenticator.issuers().changed(&wanted.issuers);
                // Before they count, so that the first token of a new issuer finds its keys.
                self.keys.read_all(&issuers).await;
                Some(issuers)
            }
            false => None,
        };
        if let Some(issuers) = issuers {
            self.keys.keep_fresh(&issuers);
            self.app.authenticator.replace_issuers(issuers);
        }
        renewed.added.into_iter().for_each(|remote| self.probes.start(remote));
        self.app.serving.store(Arc::new(Serving::new(&wanted, renewed.backends)));
        renewed.removed.iter().for_each(|remote| remote.retire());
        self.app.admitter.limits().set_away_policy(wanted.limits.away_policy());
        if wanted.log != running.log {
            self.log.refilter(&wanted.log.filter);
        }
        *running = wanted;
        if changed.contains(&BACKEND) {
            self.probes.look_for_prices(Arc::clone(&self.app));
        }
        Ok(changed)
    }

    /// Reloads at every SIGHUP until the process stops.
    pub async fn on_hangup(self: Arc<Self>, stopping: CancellationToken) {
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => {
                tracing::warn!(error = %error, "SIGHUP is not listened to: reload over the admin API");
                return;
            }
        };
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                Some(()) = hangup.recv() => {}
            }
            match self.reload().await {
                Ok(changed) => tracing::info!(settings = changed.join(", "), "configuration reloaded"),
                Err(error) => tracing::error!(error = %error, "configuration not reloaded"),
            }
        }
    }
}
