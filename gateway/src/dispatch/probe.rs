//! Asks each server elsewhere now and then whether it lives.
//! Never asks a model anything: a probe costs nobody tokens.
//! Spawned by `reload`, once for each server; ends when the process stops or a reload leaves the server out.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request,
    header::{AUTHORIZATION, HOST, USER_AGENT},
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::remote::{Health, Remote};

/// Longest wait for an answer to a probe. A server that needs longer to say that it lives is of no use.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Longest answer that is read. Unit: bytes. A longer one is good as well: its connection is closed.
const BYTES_MAX: usize = 1_024 * 1_024;

/// Probes a server until the process stops or the server is left out of the configuration. Returns at once where none is configured.
pub async fn probe(remote: Arc<Remote>, stopping: CancellationToken) {
    let Some((path, every)) = remote.probe.clone() else { return };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = remote.retired.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let is_up = tokio::select! {
            () = stopping.cancelled() => return,
            () = remote.retired.cancelled() => return,
            is_up = is_alive(&remote, &path) => is_up,
        };
        match (remote.note_health(is_up), is_up) {
            (Health::Up | Health::Unknown, false) => {
                tracing::warn!(backend = %remote.name, "backend is down");
            }
            (Health::Down, true) => {
                tracing::info!(backend = %remote.name, "backend is up again");
            }
            (Health::Up | Health::Unknown, true) | (Health::Down, false) => {}
        }
    }
}

/// Whatever answers below 500 lives: a path that is not there or closed says as much.
async fn is_alive(remote: &Remote, path: &str) -> bool {
    let request = Request::get(path)
        .header(HOST, &remote.client.url().authority)
        .header(USER_AGENT, concat!("tallygate/", env!("CARGO_PKG_VERSION")));
    let Ok(mut request) = request.body(Full::new(Bytes::new())) else { return false };
    if let Some(authorization) = remote.credential.authorization() {
        request.headers_mut().insert(AUTHORIZATION, authorization);
    }
    let answer = async {
        let mut exchange = remote.client.send(request, || {}).await.ok()?;
        let status = exchange.status();
        // The body is read so that the connection can be kept.
        exchange.whole(BYTES_MAX).await.ok();
        Some(status)
    };
    matches!(timeout(ANSWER_MAX, answer).await, Ok(Some(status)) if status < 500)
}
