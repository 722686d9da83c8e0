//! Reads the configuration again while requests run, and takes over what can change under them.
//! Never half of a change: a file with a fault, or a section that needs a restart, changes nothing.
//! Asked by SIGHUP and by the admin API.

use std::sync::Arc;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Mutex,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    authenticate::KeyRefresher,
    config::{Config, ConfigError, ISSUER, Source},
};

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration has a fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something changed that a running gateway cannot take over.
    #[error("these sections change only at a restart, and nothing was taken over: {}", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
}

/// Reads the configuration of a running gateway again.
pub struct Reloader {
    source: Source,
    /// As it runs. Locked during a reload, so that two of them come one after the other.
    running: Mutex<Config>,
    app: Arc<App>,
    keys: KeyRefresher,
}

impl Reloader {
    /// For a gateway that was started with this configuration, read from there.
    pub fn new(source: Source, running: Config, app: Arc<App>, keys: KeyRefresher) -> Self {
        Self { source, running: Mutex::new(running), app, keys }
    }

    /// Reads file and variables again and gives the sections that were taken over.
    ///
    /// Requests under way keep what they began with: no stream ends.
    /// Errors: a configuration with a fault, told with its place; a section that needs a restart.
    pub async fn reload(&self) -> Result<Vec<&'static str>, ReloadError> {
        let mut running = self.running.lock().await;
        let wanted = self.source.load()?;
        let changed = running.changed_sections(&wanted);
        let fixed: Vec<_> = changed.iter().copied().filter(|section| *section != ISSUER).collect();
        if !fixed.is_empty() {
            return Err(ReloadError::NeedsRestart(fixed));
        }
        if changed.contains(&ISSUER) {
            let issuers = self.app.authenticator.issuers().changed(&wanted.issuers);
            // Before they count, so that the first token of a new issuer finds its keys.
            self.keys.read_all(&issuers).await;
            self.keys.keep_fresh(&issuers);
            self.app.authenticator.replace_issuers(issuers);
        }
        *running = wanted;
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
                Ok(changed) => tracing::info!(sections = changed.join(", "), "configuration reloaded"),
                Err(error) => tracing::error!(error = %error, "configuration not reloaded"),
            }
        }
    }
}
