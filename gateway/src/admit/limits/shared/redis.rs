//! Calls scripts of Redis: one connection for all, a bound on every wait, a breaker before every call.
//! Never waits longer than its constants say, and never shows the address, which may hold a password.
//! Called by the shared store alone.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::TenantId;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::{runtime::Handle, time::timeout};

use super::{
    super::now::Now,
    address::{Bounds, Connection, RedisAddress},
    breaker::Breaker,
};

/// How long an answer may take. A thousand times the usual; a limit that takes longer to check is no protection.
const ANSWER_MAX: Duration = Duration::from_millis(100);
/// How long a connection may take to come about, name lookup, TLS and password included.
const CONNECT_MAX: Duration = Duration::from_millis(250);
/// Commands that wait for the connection's writer; callers beyond wait their turn.
const PIPELINE_COMMANDS_MAX: usize = 1_024;
const BOUNDS: Bounds = Bounds { connect: CONNECT_MAX, answer: ANSWER_MAX, pipeline: PIPELINE_COMMANDS_MAX };

const TENANT: &str = include_str!("scripts/tenant.lua");
const CLOCK: &str = include_str!("scripts/clock.lua");

/// A Redis, near or away.
pub(super) struct Redis {
    address: RedisAddress,
    /// Connections live on this runtime, not on that of whoever calls first.
    runtime: Handle,
    live: Mutex<Option<Connection>>,
    connecting: tokio::sync::Mutex<()>,
    breaker: Breaker,
    pub(super) scripts: Scripts,
}

/// Every script there is.
pub(in super::super) struct Scripts {
    pub(super) take: Script,
    pub(super) finish: Script,
    pub(super) seed: Script,
    pub(super) held: Script,
    pub(super) open: Script,
    pub(super) sweep: Script,
}

/// A script, whole, and the name Redis keeps it under.
pub(super) struct Script {
    code: String,
    hash: String,
}

/// Redis gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Away {
    /// When it is asked again.
    pub(super) retry_after: Duration,
    /// Whether the call may have been run all the same.
    pub(super) was_sent: bool,
}

impl Scripts {
    pub(in super::super) fn new() -> Self {
        Self::with_clock(CLOCK)
    }

    /// Scripts that go by another clock; tests move one by hand.
    pub(in super::super) fn with_clock(clock: &str) -> Self {
        let script = |body: &str| Script::new(format!("{clock}\n{TENANT}\n{body}"));
        Self {
            take: script(include_str!("scripts/take.lua")),
            finish: script(include_str!("scripts/finish.lua")),
            seed: script(include_str!("scripts/seed.lua")),
            held: script(include_str!("scripts/held.lua")),
            open: script(include_str!("scripts/open.lua")),
            sweep: script(include_str!("scripts/sweep.lua")),
        }
    }
}

impl Script {
    fn new(code: String) -> Self {
        let hash = redis::Script::new(&code).get_hash().to_owned();
        Self { code, hash }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("is_away", &self.breaker.is_open()).finish_non_exhaustive()
    }
}

impl Redis {
    /// A Redis at an address; nothing is connected yet.
    pub(super) fn new(address: RedisAddress, runtime: Handle, scripts: Scripts, now: Now) -> Self {
        Self {
            address,
            runtime,
            live: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            breaker: Breaker::new(now),
            scripts,
        }
    }

    /// Whether calls are refused at once.
    pub(super) fn is_away(&self) -> bool {
        self.breaker.is_open()
    }

    /// Whether a script may run twice for one call.
    pub(super) fn sends_again(&self) -> bool {
        self.address.sends_again()
    }

    /// Runs a script on a tenant's keys, with the arguments that `write` adds.
    pub(super) async fn run(
        &self,
        script: &Script,
        tenant_id: TenantId,
        write: impl Fn(&mut Cmd),
    ) -> Result<Value, Away> {
        let command = |name: &str, code: &str| {
            let mut command = redis::cmd(name);
            command.arg(code);
            write_keys(&mut command, tenant_id);
            write(&mut command);
            command
        };
        let pass = self.breaker.pass().map_err(|retry_after| Away { retry_after, was_sent: false })?;
        let mut outcome = self.call(&command("EVALSHA", &script.hash)).await;
        if outcome.as_ref().is_err_and(is_unknown_script) {
            outcome = self.call(&command("EVAL", &script.code)).await;
        }
        self.tell(pass, outcome)
    }

    /// Runs a plain command.
    pub(super) async fn command(&self, command: &Cmd) -> Result<Value, Away> {
        let pass = self.breaker.pass().map_err(|retry_after| Away { retry_after, was_sent: false })?;
        let outcome = self.call(command).await;
        self.tell(pass, outcome)
    }

    fn tell(&self, pass: super::breaker::Pass<'_>, outcome: Result<Value, Failure>) -> Result<Value, Away> {
        match outcome {
            Ok(value) => {
                if pass.succeeded() {
                    tracing::info!("redis answers again");
                }
                Ok(value)
            }
            Err(failure) => {
                if pass.failed() {
                    // A connection that says nothing will not begin to.
                    self.live().take();
                    tracing::error!(error = %failure, "redis is away: limits go by the policy for that");
                } else {
                    tracing::debug!(error = %failure, "redis did not answer");
                }
                let retry_after = if self.breaker.is_open() { RETRY * 2 } else { RETRY };
                Err(Away { retry_after, was_sent: true })
            }
        }
    }

    async fn call(&self, command: &Cmd) -> Result<Value, Failure> {
        let mut connection = timeout(CONNECT_MAX, self.connection()).await.map_err(|_| Failure::Late)??;
        let answer = timeout(ANSWER_MAX, connection.send(command)).await;
        // An error of the server comes as a value, and is one only once it is asked for.
        answer.map_err(|_| Failure::Late)?.and_then(Value::extract_error).map_err(|error| {
            if error.is_unrecoverable_error() || error.is_connection_dropped() || error.is_io_error() {
                self.live().take();
            }
            Failure::Redis(error)
        })
    }

    async fn connection(&self) -> Result<Connection, Failure> {
        if let Some(live) = self.live().clone() {
            return Ok(live);
        }
        let _turn = self.connecting.lock().await;
        if let Some(live) = self.live().clone() {
            return Ok(live);
        }
        let address = self.address.clone();
        let connecting = self.runtime.spawn(async move {
            // Nobody waits for it any longer than this.
            timeout(CONNECT_MAX, address.connect(&BOUNDS)).await
        });
        let connection = connecting.await.map_err(|_| Failure::Late)?.map_err(|_| Failure::Late)?;
        let connection = connection.map_err(Failure::Redis)?;
        *self.live() = Some(connection.clone());
        Ok(connection)
    }

    fn live(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        // A connection is whole after a panic elsewhere.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a client may try again whose call got no answer; twice that once nobody waits any more.
const RETRY: Duration = Duration::from_millis(250);

/// All keys of a tenant have one hash tag, so that a cluster keeps them in one place.
pub(super) fn write_keys(command: &mut Cmd, tenant_id: TenantId) {
    const KINDS: [&str; 6] = ["rates", "amounts", "holds", "expired", "places", "due"];
    command.arg(KINDS.len());
    for kind in KINDS {
        command.arg(format!("tg:{{{tenant_id}}}:{kind}"));
    }
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer in time")]
    Late,
    #[error("{0}")]
    Redis(RedisError),
}

/// Redis forgets scripts when it is restarted or emptied; nothing was run then.
fn is_unknown_script(failure: &Failure) -> bool {
    matches!(failure, Failure::Redis(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}
