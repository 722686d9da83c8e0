//! `tallygate serve`: builds the gateway in order, runs it, and takes it down in the opposite order.
//! Never holds a rule of its own; the order is what matters here.
//! The only place where all parts meet.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, Instant},
};

use actix_web::dev::{Server, ServerHandle};
use arc_swap::ArcSwap;
use billing::{
    journal::{Journal, Recovery},
    ledger::{Complete, Ledger},
    ship::{ShipStatus, Shipper},
};
use domain::{Clock, SystemClock};
use engine::Engine;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{CliError, credits, expired, invoicing, listen, months, open, out, start, statement_key};
use crate::{
    admit::{Admitter, AdmitterParts, Limits, RedisAddress, Spending},
    app::App,
    authenticate::{Authenticator, Issuers, KeyRefresher, Refresher, Snapshot},
    config::{Config, LimitsStore, Model, Source},
    dispatch::{Backends, Remote, Route},
    http::{self, admin::Admin},
    idempotency::{self, Idempotency},
    log::Log,
    notify,
    reload::{Probes, Reloader, ReloaderParts},
    serving::Serving,
    settle::SettleShipped,
    stream::Streams,
    stripe::{self, Stripe},
};

/// How long the last records may take to reach the ledger when stopping. What is left is shipped at the next start.
const LAST_SHIPMENT_MAX: Duration = Duration::from_secs(10);
/// After the drain time, cancelled requests may take this long to write their records.
const CANCEL_MAX: Duration = Duration::from_secs(5);
/// How often draining looks at what still runs.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// How often expired holds are looked for. They last minutes; a place that a killed gateway left is free soon after.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Open files asked of the system; the hard limit bounds what is given.
const FILES_WANTED: u64 = 1_048_576;

/// What stops after the last request.
struct Background {
    ledger: Ledger,
    journal: Journal,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// Serves until a signal comes.
///
/// Everything that can fail comes before the first start: its secrets are shown once, so nothing may stop between
/// making and showing them.
pub(super) async fn run(config: Config, source: Source) -> Result<(), CliError> {
    let log = start_log(&config)?;
    raise_file_limit();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let listener = listen::listener(config.server.listen)?;
    let admin_listener = config.admin.enabled.then(|| listen::listener(config.admin.listen)).transpose()?;
    let stopping = CancellationToken::new();
    let statement_key = statement_key::configured(&config)?;
    let keys = KeyRefresher::new(stopping.clone())
        .map_err(|error| CliError::Usage(format!("reading issuers' keys: {error}")))?;
    let ledger = open::ledger(&config).await?;
    let (journal, recovery) = Journal::open(journal_config(&config), Arc::clone(&clock))?;
    tracing::info!(journal.id = %recovery.journal_id, records = recovery.records, crashed = recovery.crashed,
        truncated_bytes = recovery.truncated_bytes, "journal opened");
    let backends = start_engines(&config)?;
    refuse_lost_ledger(&ledger, &recovery).await?;
    // From here on there may be records again; the shipper says when all have come.
    ledger.note_complete(recovery.journal_id, Complete::Unknown).await?;
    let secrets = start::first_start(&ledger, clock.now()).await?;
    credits::tend_all(&ledger, clock.now()).await?;
    let shipper = Shipper::new(ledger.clone(), journal.clone());
    let app = Arc::new(build(&config, &clock, &ledger, backends, (journal.clone(), shipper.status())).await?);
    app.warn_unpriced().await?;
    let issuers = app.authenticator.issuers();
    keys.read_all(&issuers).await;
    keys.keep_fresh(&issuers);
    let tasks = TaskTracker::new();
    let probes = Probes::new(tasks.clone(), stopping.clone());
    let parts = ReloaderParts { source, running: config.clone(), app: Arc::clone(&app), keys, probes, log };
    let reloader = Arc::new(Reloader::new(parts));
    let admin = Admin {
        app: Arc::clone(&app),
        ledger: ledger.clone(),
        reloader: Arc::clone(&reloader),
        statement_key,
        provider: config.exports.provider.clone(),
    };
    let admin = Arc::new(admin);
    let shipper = shipper.observed_by(Arc::new(SettleShipped(Arc::clone(&app))));
    let background = start_background(&app, (ledger, journal), shipper, (tasks, stopping));
    let recovered = app.idempotency.clone().tend(app.shipping.clone(), recovery.records);
    background.tasks.spawn(recovered);
    if config.invoicing.automatic {
        let (invoicing, stopping) = (config.invoicing.clone(), background.stopping.clone());
        background.tasks.spawn(invoicing::run(Arc::clone(&app), invoicing, stopping));
    }
    months::tend(&app, config.retention).await;
    background.tasks.spawn(months::run(Arc::clone(&app), config.retention, background.stopping.clone()));
    background.tasks.spawn(reloader.on_hangup(background.stopping.clone()));
    let (server, address) = server(&config, &app, listener)?;
    let (admin_handle, admin_address) = start_admin(admin, &config.admin.hosts, admin_listener)?.unzip();
    let handle = server.handle();
    let serving = actix_web::rt::spawn(server);
    if let Some(route) = app.serving().backends.all().next() {
        start::banner(address, admin_address, &route.model, secrets.as_ref());
    }
    drop(secrets);
    wait_for_signal().await?;
    drain(&app).await;
    // Before the ledger goes: a change under way must not meet a closed one.
    if let Some(admin) = admin_handle {
        admin.stop(true).await;
    }
    stop(&app, handle, background).await;
    // The server has stopped: its own end says nothing new.
    serving.await.ok();
    Ok(())
}

/// A new ledger beside an old journal has lost its tenants, keys and invoices; serving on would bill nobody.
async fn refuse_lost_ledger(ledger: &Ledger, recovery: &Recovery) -> Result<(), CliError> {
    if recovery.records > 0 && ledger.operators().await?.is_empty() {
        let message = "the journal has records, but the ledger is new: restore the ledger, or move the journal's \
                       folder away to begin afresh";
        return Err(CliError::Usage(message.to_owned()));
    }
    Ok(())
}

pub(super) fn start_log(config: &Config) -> Result<Log, CliError> {
    let is_json = std::env::var("TALLYGATE_LOG_FORMAT").is_ok_and(|format| format == "json");
    Log::begin(&config.log.filter, is_json).map_err(|error| CliError::Usage(error.to_string()))
}

/// Each connection is an open file; the usual soft limit of 1,024 is fewer than one gateway serves.
pub(super) fn raise_file_limit() {
    match rlimit::increase_nofile_limit(FILES_WANTED) {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(error = %error, "the limit of open files stays as it is"),
    }
}

pub(super) fn journal_config(config: &Config) -> billing::journal::JournalConfig {
    const MIB: u64 = 1_048_576;
    billing::journal::JournalConfig {
        folder: config.journal_folder(),
        segment_bytes_max: u64::from(config.journal.segment_mib_max) * MIB,
        bytes_max: u64::from(config.journal.unshipped_mib_max) * MIB,
        retained_segments: usize::try_from(config.journal.retained_segments).unwrap_or(usize::MAX),
    }
}

/// Starts the engine of one model, saying what is loaded.
pub(super) fn start_engine(config: &Config, model: &Model) -> Result<Engine, CliError> {
    let began = Instant::now();
    let engine = Engine::start(config.engine(model))
        .map_err(|source| CliError::Engine { model: model.name.clone(), source })?;
    let info = engine.info();
    tracing::info!(model = %model.name, architecture = %info.architecture, parameters = info.parameters,
        context_tokens_max = info.context_tokens_max, energy_source = info.energy_source.as_str(),
        duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX), "model loaded");
    Ok(engine)
}

/// Starts every engine of the configuration and builds what serves models elsewhere.
pub(super) fn start_engines(config: &Config) -> Result<Backends, CliError> {
    let mut backends = Backends::default();
    for model in &config.models {
        let engine = start_engine(config, model)?;
        backends.add(Route::local(model.name.clone(), engine, model.output_tokens_default.get()));
    }
    let mut targets = Vec::new();
    for backend in &config.backends {
        targets.extend(Remote::build(backend)?);
    }
    backends.add_remotes(&targets);
    Ok(backends)
}

async fn build(
    config: &Config,
    clock: &Arc<dyn Clock>,
    ledger: &Ledger,
    backends: Backends,
    (journal, shipping): (Journal, watch::Receiver<ShipStatus>),
) -> Result<App, CliError> {
    let (tracker, stopping) = (TaskTracker::new(), CancellationToken::new());
    let idempotency = Idempotency::new(idempotency::Parts {
        ledger: ledger.clone(),
        clock: Arc::clone(clock),
        journal_id: journal.id(),
        tracker: tracker.clone(),
        stopping: stopping.clone(),
    });
    Ok(App {
        clock: Arc::clone(clock),
        started_at: clock.now(),
        authenticator: Authenticator::new(Snapshot::read(ledger).await?)
            .with_issuers(Issuers::new(&config.issuers)),
        admitter: Admitter::new(AdmitterParts {
            limits: limits(config)?,
            spending: Spending::new(ledger.clone(), journal.clone(), shipping.clone()),
            journal: journal.clone(),
        }),
        serving: ArcSwap::from_pointee(Serving::new(config, backends)),
        streams: Streams { journal, clock: Arc::clone(clock), tracker, stopping },
        idempotency,
        ledger: ledger.clone(),
        is_ledger_near: Arc::new(AtomicBool::new(true)),
        records_outside_months: Arc::new(AtomicU64::new(0)),
        is_private_webhook_allowed: config.webhooks.allow_private_addresses,
        stripe: Stripe::new(&config.stripe, ledger).map_err(CliError::Usage)?.map(Arc::new),
        shipping,
    })
}

/// Where limits are counted; a Redis that is away is no reason not to start.
fn limits(config: &Config) -> Result<Limits, CliError> {
    match (config.limits.store, &config.limits.redis.url) {
        (LimitsStore::Redis, Some(url)) => {
            let address = RedisAddress::new(url.expose(), config.limits.redis.ca_file.as_deref())
                .map_err(|error| CliError::Usage(error.to_string()))?;
            Ok(Limits::shared(address, config.limits.away_policy()))
        }
        // The configuration's rules keep an address and the store that needs it together.
        (LimitsStore::Redis | LimitsStore::Local, _) => Ok(Limits::local()),
    }
}

/// Starts what runs beside requests: the snapshot's refresher and the shipper.
fn start_background(
    app: &Arc<App>,
    (ledger, journal): (Ledger, Journal),
    shipper: Shipper<Journal>,
    (tasks, stopping): (TaskTracker, CancellationToken),
) -> Background {
    let refresher = Refresher { ledger: ledger.clone(), app: Arc::clone(app), stopping: stopping.clone() };
    tasks.spawn(refresher.run());
    tasks.spawn(sweep(Arc::clone(app), stopping.clone()));
    tasks.spawn(shipper.run(stopping.clone()));
    tasks.spawn(expired::run(Arc::clone(app), stopping.clone()));
    tasks.spawn(credits::run(Arc::clone(app), stopping.clone()));
    tasks.spawn(notify::run(Arc::clone(app), stopping.clone()));
    if let Some(stripe) = &app.stripe {
        tasks.spawn(stripe::run(Arc::clone(app), Arc::clone(stripe), stopping.clone()));
    }
    Background { ledger, journal, stopping, tasks }
}

/// Ends what was held for longer than its time, for as long as the process runs.
async fn sweep(app: Arc<App>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(SWEEP_INTERVAL) => app.admitter.limits().sweep().await,
        }
    }
}

fn server(config: &Config, app: &Arc<App>, listener: TcpListener) -> Result<(Server, SocketAddr), CliError> {
    let listen = config.server.listen;
    let fault = |source| CliError::Io { what: format!("listen on {listen}"), source };
    let address = listener.local_addr().map_err(fault)?;
    let workers = http::workers(&config.server);
    let connections_max = usize::try_from(config.server.connections_max).unwrap_or(usize::MAX);
    let peers = http::Peers::new(config.server.connections_per_peer_max);
    let bounds = http::Bounds { workers, connections_max, peers };
    Ok((http::serve(app, &bounds, listener).map_err(fault)?, address))
}

/// The admin API on its own port, when there is one.
fn start_admin(
    admin: Arc<Admin>,
    hosts: &[String],
    listener: Option<TcpListener>,
) -> Result<Option<(ServerHandle, SocketAddr)>, CliError> {
    let Some(listener) = listener else { return Ok(None) };
    let fault = |source| CliError::Io { what: "admin API".to_owned(), source };
    let address = listener.local_addr().map_err(fault)?;
    let server = http::admin::serve(admin, hosts, listener).map_err(fault)?;
    let handle = server.handle();
    // Its end says nothing that its handle does not.
    actix_web::rt::spawn(server);
    Ok(Some((handle, address)))
}

pub(super) async fn wait_for_signal() -> Result<(), CliError> {
    let fault = |source| CliError::Io { what: "signal handler".to_owned(), source };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fault)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(fault)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Refuses what is new, lets streams end, and cancels what is left after the drain time or a second signal.
async fn drain(app: &App) {
    app.admitter.drain();
    let running = app.admitter.running();
    out::complain(&format!("draining: {running} requests running; Ctrl-C again cancels them"));
    let time_is_up = tokio::time::sleep(app.serving().drain_time_max);
    tokio::select! {
        () = all_ended(app) => {}
        () = time_is_up => tracing::warn!("drain time is over: cancelling what still runs"),
        // Without a second handler the drain time bounds the wait.
        Ok(()) = wait_for_signal() => tracing::warn!("second signal: cancelling what still runs"),
    }
    app.streams.stopping.cancel();
    app.streams.tracker.close();
    if tokio::time::timeout(CANCEL_MAX, app.streams.tracker.wait()).await.is_err() {
        tracing::error!("some requests did not end; the journal recovers them at the next start");
    }
}

/// Nothing runs and nobody is reading an answer.
async fn all_ended(app: &App) {
    while app.admitter.running() > 0 || !app.streams.tracker.is_empty() {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

async fn stop(app: &App, handle: ServerHandle, background: Background) {
    handle.stop(true).await;
    for route in app.serving().backends.all() {
        route.shutdown();
    }
    let Background { ledger, journal, stopping, tasks } = background;
    if let Err(error) = journal.shutdown().await {
        tracing::error!(error = %error, "journal not closed cleanly");
    }
    stopping.cancel();
    tasks.close();
    if !app.admitter.limits().flush().await {
        tracing::warn!("redis is away: what requests held there expires by itself");
    }
    if tokio::time::timeout(LAST_SHIPMENT_MAX, tasks.wait()).await.is_err() {
        tracing::warn!("records left in the journal are shipped at the next start");
    }
    ledger.close().await;
    out::complain("stopped");
}
