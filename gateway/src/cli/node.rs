//! `tallygate serve --role engine`: loads the models, serves gateways, and drains when told to stop.
//! Never opens a ledger or a journal and never knows a tenant: gateways do.
//! Called by `Cli::run`; `cli::check` tries its parts.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use domain::{Clock, SystemClock};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::rustls::ServerConfig;

use super::{CliError, listen, out, serve};
use crate::{
    config::{Config, NODE, Source},
    http,
    node::{API_PATH, KeyRing, Node, NodeModel, PublicKey, Requests},
};

/// After the drain time, cancelled requests may take this long to end.
const CANCEL_MAX: Duration = Duration::from_secs(5);
/// How often draining looks at what still runs.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// Serves gateways until a signal comes.
pub(super) async fn run(config: Config, source: Source) -> Result<(), CliError> {
    // It lives as long as the process.
    let _log = serve::start_log(&config)?;
    serve::raise_file_limit();
    let listen = config.node.listen;
    let listener = listen::listener(listen)?;
    let (keys, tls) = (keys(&config)?, tls(&config)?);
    let name = config.node.name.clone().unwrap_or_default();
    let models = config.models.iter().map(|model| {
        serve::start_engine(&config, model).map(|engine| NodeModel {
            name: model.name.clone(),
            engine,
            output_tokens_default: model.output_tokens_default.get(),
        })
    });
    let node = Arc::new(Node {
        keys: ArcSwap::from_pointee(KeyRing::new(&name, &keys)),
        name,
        clock: Arc::new(SystemClock),
        started_at: SystemClock.now(),
        models: models.collect::<Result<_, CliError>>()?,
        requests: Arc::new(Requests::default()),
        body_bytes_max: config.server.body_bytes_max,
        request_time_max: Duration::from_secs(u64::from(config.server.request_seconds_max)),
    });
    let scheme = if tls.is_some() { "https" } else { "http" };
    let serving = http::node::serve(Arc::clone(&node), listener, &config.server, tls)
        .map_err(|source| CliError::Io { what: format!("listen on {listen}"), source })?;
    banner(&node, &format!("{scheme}://{}", serving.address), &keys);
    tokio::select! {
        stopped = serve::wait_for_signal() => stopped?,
        () = read_keys_again(&node, &config, &source) => {}
    }
    drain(&node, &config).await;
    serving.stop().await;
    node.models.iter().for_each(|model| model.engine.shutdown());
    out::complain("stopped");
    Ok(())
}

/// The public keys of the node's gateways.
pub(super) fn keys(config: &Config) -> Result<Vec<PublicKey>, CliError> {
    let read = |file: &std::path::PathBuf| {
        PublicKey::read(file).map_err(|error| CliError::Usage(format!("node.gateway_keys: {error}")))
    };
    config.node.gateway_keys.iter().map(read).collect()
}

/// The node's side of TLS, where it speaks it.
pub(super) fn tls(config: &Config) -> Result<Option<ServerConfig>, CliError> {
    let read = config.node.tls.as_ref().map(http::node::tls_config).transpose();
    read.map_err(|error| CliError::Usage(format!("node.tls: {error}")))
}

/// Tells a person what runs, where, and for whom.
fn banner(node: &Node, origin: &str, keys: &[PublicKey]) {
    let models: Vec<_> = node.models.iter().map(|model| model.name.as_str()).collect();
    let keys: Vec<_> = keys.iter().map(PublicKey::id).collect();
    out::say("");
    out::say(&format!(
        "Tallygate {} is serving as the engine node {}.",
        env!("CARGO_PKG_VERSION"),
        node.name
    ));
    out::say("");
    out::say(&format!("  base URL        {origin}{API_PATH}"));
    out::say(&format!("  models          {}", models.join(", ")));
    out::say(&format!("  gateway keys    {}", keys.join(", ")));
    out::say("");
    out::say("It serves gateways that have one of these keys, and no tenants. In a gateway's configuration:");
    out::say("");
    out::say(&format!("  [[backend]]\n  name = \"{}\"\n  kind = \"node\"", node.name));
    out::say(&format!("  url = \"{origin}{API_PATH}\"\n  signing_key = {{ file = \"…\" }}"));
    for model in &node.models {
        let context = model.engine.info().context_tokens_max;
        out::say(&format!(
            "\n  [[backend.model]]\n  name = \"{}\"\n  context_tokens_max = {context}",
            model.name
        ));
    }
    out::say("");
    out::say("Ctrl-C lets running streams end, then stops.");
    out::say("");
}

/// Reads the gateways' keys again at every SIGHUP, for as long as it is waited for.
async fn read_keys_again(node: &Node, running: &Config, source: &Source) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::warn!(error = %error, "SIGHUP is not listened to: keys change at a restart");
            return std::future::pending().await;
        }
    };
    while hangup.recv().await.is_some() {
        match changed_keys(running, source) {
            Ok(keys) => {
                let ids: Vec<_> = keys.iter().map(PublicKey::id).collect();
                node.keys.store(Arc::new(KeyRing::new(&node.name, &keys)));
                tracing::info!(keys = ids.join(", "), "the gateways' keys were read again");
            }
            Err(error) => tracing::error!(error = %error, "the gateways' keys stay as they were"),
        }
    }
    std::future::pending::<()>().await;
}

/// The keys of the configuration as it is now.
///
/// Errors: the configuration or a key has a fault; something else changed, which needs a restart.
fn changed_keys(running: &Config, source: &Source) -> Result<Vec<PublicKey>, CliError> {
    let wanted = source.load()?;
    let mut fixed = wanted.clone();
    fixed.node.gateway_keys.clone_from(&running.node.gateway_keys);
    match running.changes(&fixed).as_slice() {
        [] => keys(&wanted),
        changed => {
            let sections = changed.iter().map(|change| {
                if change.name == NODE { "node, beside its gateway_keys" } else { change.name }
            });
            let sections: Vec<_> = sections.collect();
            let message = format!("these sections change only at a restart: {}", sections.join(", "));
            Err(CliError::Usage(message))
        }
    }
}

/// Refuses what is new, lets requests end, and cancels what is left after the drain time or a second signal.
async fn drain(node: &Node, config: &Config) {
    node.requests.drain();
    let running = node.requests.count();
    out::complain(&format!("draining: {running} requests running; Ctrl-C again cancels them"));
    let time_is_up = tokio::time::sleep(Duration::from_secs(u64::from(config.server.drain_seconds)));
    tokio::select! {
        () = all_ended(node) => return,
        () = time_is_up => tracing::warn!("drain time is over: cancelling what still runs"),
        // Without a second handler the drain time bounds the wait.
        Ok(()) = serve::wait_for_signal() => tracing::warn!("second signal: cancelling what still runs"),
    }
    node.requests.stop();
    if tokio::time::timeout(CANCEL_MAX, all_ended(node)).await.is_err() {
        tracing::error!("some requests did not end");
    }
}

/// Nothing runs and nobody is reading an answer.
async fn all_ended(node: &Node) {
    while node.requests.count() > 0 {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}
