//! `tallygate serve`: builds the gateway in order, runs it, and takes it down in the opposite order.
//! Never holds a rule of its own; the order is what matters here.
//! The only place where all parts meet.

use std::{
    io::IsTerminal as _,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use actix_web::{
    App as Routes, HttpServer,
    dev::{Server, ServerHandle},
    middleware::from_fn,
};
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

use super::{CliError, expired, listen, open, out, start};
use crate::{
    admit::{Admitter, AdmitterParts, Limits, Spending},
    app::App,
    authenticate::{Authenticator, Issuers, KeyRefresher, Refresher, Snapshot},
    config::{Config, LimitsStore},
    dispatch::{self, Backends, Remote, Route},
    http::{self, admin::Admin},
    idempotency::{self, Idempotency},
    reload::Reloader,
    settle::SettleShipped,
    stream::Streams,
};

/// How long the last records may take to reach the ledger when stopping. What is left is shipped at the next start.
const LAST_SHIPMENT_MAX: Duration = Duration::from_secs(10);
/// After the drain time, cancelled requests may take this long to write their records.
const CANCEL_MAX: Duration = Duration::from_secs(5);
/// How long connections may stay open after draining. Unit: seconds.
const CLOSE_SECONDS_MAX: u64 = 1;
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
pub(super) async fn run(config: Config, path: Option<PathBuf>) -> Result<(), CliError> {
    start_logging()?;
    raise_file_limit();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let listener = listen::listener(config.server.listen)?;
    let admin_listener = config.admin.enabled.then(|| listen::listener(config.admin.listen)).transpose()?;
    let stopping = CancellationToken::new();
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
    let shipper = Shipper::new(ledger.clone(), journal.clone());
    let app = Arc::new(build(&config, &clock, &ledger, backends, (journal.clone(), shipper.status())).await?);
    warn_unpriced(&app, &ledger).await?;
    let issuers = app.authenticator.issuers();
    keys.read_all(&issuers).await;
    keys.keep_fresh(&issuers);
    let reloader = Arc::new(Reloader::new(path, config.clone(), Arc::clone(&app), keys));
    let admin =
        Arc::new(Admin { app: Arc::clone(&app), ledger: ledger.clone(), reloader: Arc::clone(&reloader) });
    let shipper = shipper.observed_by(Arc::new(SettleShipped(Arc::clone(&app))));
    let background = start_background(&app, (ledger, journal), shipper, stopping);
    let recovered = app.idempotency.clone().tend(app.shipping.clone(), recovery.records);
    background.tasks.spawn(recovered);
    background.tasks.spawn(reloader.on_hangup(background.stopping.clone()));
    let (server, address) = server(&config, &app, listener)?;
    let (admin_handle, admin_address) = start_admin(admin, admin_listener)?.unzip();
    let handle = server.handle();
    let serving = actix_web::rt::spawn(server);
    if let Some(route) = app.backends.all().next() {
        start::banner(address, admin_address, &route.model, secrets.as_ref());
    }
    drop(secrets);
    wait_for_signal().await?;
    drain(&app, &config).await;
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

/// Says which models no plan prices: every request for them will be refused.
async fn warn_unpriced(app: &App, ledger: &Ledger) -> Result<(), CliError> {
    let plans = ledger.plans().await?;
    for route in app.backends.all() {
        if !plans.iter().any(|plan| plan.sells(&route.model)) {
            tracing::warn!(model = %route.model, "no published plan prices this model: requests for it are refused");
        }
    }
    Ok(())
}

fn start_logging() -> Result<(), CliError> {
    use tracing_subscriber::EnvFilter;
    let fault = |error: String| CliError::Usage(format!("environment variable TALLYGATE_LOG: {error}"));
    let filter = match std::env::var("TALLYGATE_LOG") {
        Ok(text) => EnvFilter::try_new(text).map_err(|error| fault(error.to_string()))?,
        Err(std::env::VarError::NotPresent) => EnvFilter::new("warn,gateway=info"),
        Err(error @ std::env::VarError::NotUnicode(_)) => return Err(fault(error.to_string())),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let outcome = match std::env::var("TALLYGATE_LOG_FORMAT").as_deref() {
        Ok("json") => builder.json().try_init(),
        _ => builder.try_init(),
    };
    outcome.map_err(|error| CliError::Usage(format!("logging: {error}")))
}

/// Each connection is an open file; the usual soft limit of 1,024 is fewer than one gateway serves.
fn raise_file_limit() {
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

/// Starts every engine of the configuration, saying what is loaded.
pub(super) fn start_engines(config: &Config) -> Result<Backends, CliError> {
    let mut backends = Backends::default();
    for model in &config.models {
        let began = Instant::now();
        let engine = Engine::start(config.engine(model))
            .map_err(|source| CliError::Engine { model: model.name.clone(), source })?;
        let info = engine.info();
        tracing::info!(model = %model.name, architecture = %info.architecture, parameters = info.parameters,
            context_tokens_max = info.context_tokens_max, energy_source = info.energy_source.as_str(),
            duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX), "model loaded");
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
    let request_time_max = Duration::from_secs(u64::from(config.server.request_seconds_max));
    let (tracker, stopping) = (TaskTracker::new(), CancellationToken::new());
    let idempotency = Idempotency::new(idempotency::Parts {
        ledger: ledger.clone(),
        clock: Arc::clone(clock),
        journal_id: journal.id(),
        kept_for: Duration::from_secs(u64::from(config.server.idempotency_seconds)),
        request_time_max,
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
            when_late: config.slo.when_late,
            request_time_max,
        }),
        backends,
        streams: Streams { journal, clock: Arc::clone(clock), tracker, stopping, request_time_max },
        idempotency,
        ledger: ledger.clone(),
        response_retention: Duration::from_secs(u64::from(config.server.response_days) * 24 * 3_600),
        body_bytes_max: config.server.body_bytes_max,
        request_time_max,
        stream_silence_max: Duration::from_millis(u64::from(config.server.stream_silence_ms_max)),
        is_ledger_near: Arc::new(AtomicBool::new(true)),
        shipping,
    })
}

/// Where limits are counted; a Redis that is away is no reason not to start.
fn limits(config: &Config) -> Result<Limits, CliError> {
    match (config.limits.store, &config.limits.redis.url) {
        (LimitsStore::Redis, Some(url)) => Limits::shared(url.expose(), config.limits.away_policy())
            .map_err(|error| CliError::Usage(error.to_string())),
        // The configuration's rules keep an address and the store that needs it together.
        (LimitsStore::Redis | LimitsStore::Local, _) => Ok(Limits::local()),
    }
}

/// Starts what runs beside requests: the snapshot's refresher and the shipper.
fn start_background(
    app: &Arc<App>,
    (ledger, journal): (Ledger, Journal),
    shipper: Shipper<Journal>,
    stopping: CancellationToken,
) -> Background {
    let tasks = TaskTracker::new();
    let refresher = Refresher { ledger: ledger.clone(), app: Arc::clone(app), stopping: stopping.clone() };
    tasks.spawn(refresher.run());
    tasks.spawn(sweep(Arc::clone(app), stopping.clone()));
    tasks.spawn(shipper.run(stopping.clone()));
    for remote in app.backends.remotes() {
        tasks.spawn(dispatch::probe(remote, stopping.clone()));
    }
    tasks.spawn(expired::run(Arc::clone(app), stopping.clone()));
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
    let routes = Arc::clone(app);
    let workers = match config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => usize::try_from(workers).unwrap_or(1),
    };
    let connections_max = usize::try_from(config.server.connections_max).unwrap_or(usize::MAX);
    let peers = http::Peers::new(config.server.connections_per_peer_max);
    let server = HttpServer::new(move || {
        let app = Arc::clone(&routes);
        Routes::new().wrap(from_fn(http::name_request)).configure(move |routes| http::configure(&app, routes))
    })
    .tcp_nodelay(true)
    // A client that closes its half has left: its generation must end.
    .h1_allow_half_closed(false)
    .disable_signals()
    // Draining is over by then; what is still open belongs to clients that do not read.
    .shutdown_timeout(CLOSE_SECONDS_MAX)
    .client_request_timeout(http::HEAD_WAIT_MAX)
    .keep_alive(http::KEEP_ALIVE)
    .on_connect(move |connection, data| peers.greet(connection, data))
    .workers(workers)
    .max_connections(connections_max.div_ceil(workers));
    Ok((server.listen(listener).map_err(fault)?.run(), address))
}

/// The admin API on its own port, when there is one.
fn start_admin(
    admin: Arc<Admin>,
    listener: Option<TcpListener>,
) -> Result<Option<(ServerHandle, SocketAddr)>, CliError> {
    let Some(listener) = listener else { return Ok(None) };
    let fault = |source| CliError::Io { what: "admin API".to_owned(), source };
    let address = listener.local_addr().map_err(fault)?;
    let server = http::admin::serve(admin, listener).map_err(fault)?;
    let handle = server.handle();
    // Its end says nothing that its handle does not.
    actix_web::rt::spawn(server);
    Ok(Some((handle, address)))
}

async fn wait_for_signal() -> Result<(), CliError> {
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
async fn drain(app: &App, config: &Config) {
    app.admitter.drain();
    let running = app.admitter.running();
    out::complain(&format!("draining: {running} requests running; Ctrl-C again cancels them"));
    let time_is_up = tokio::time::sleep(Duration::from_secs(u64::from(config.server.drain_seconds)));
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
    for route in app.backends.all() {
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
