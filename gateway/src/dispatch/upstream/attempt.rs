//! One attempt at one target: the request sent, the head of its answer judged, the bytes of a whole answer received.
//! Never tries again and never chooses: the exchange does.
//! Called by the exchange for each attempt.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::time::timeout_at;

use super::{
    refusal::{self, ERROR_BYTES_MAX, Refusal, RefusalKind},
    remote_request::RemoteRequest,
    request::request,
};
use crate::dispatch::{
    client::{ClientError, Exchange},
    remote::{Attempt, RemoteTarget},
};

/// Longest whole answer: a thousand embeddings of 4,096 numbers as text. Unit: bytes.
const WHOLE_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// How long the body of an error may take.
const ERROR_BODY_MAX: Duration = Duration::from_secs(2);

/// What became of an attempt.
pub(super) struct Opened {
    pub(super) attempt: Attempt,
    pub(super) outcome: Result<Head, Refusal>,
}

/// How an answer begins.
pub(super) enum Head {
    /// A stream whose events are to be read.
    Stream(Exchange),
    /// All of it.
    Whole(Bytes),
}

/// Sends the request to one target and waits for the head of its answer, or all of it.
pub(super) async fn open(attempt: Attempt, request: RemoteRequest, is_sent: Arc<AtomicBool>) -> Opened {
    let outcome = ask(&attempt.target, &request, &is_sent).await;
    Opened { attempt, outcome }
}

async fn ask(target: &RemoteTarget, ask: &RemoteRequest, is_sent: &AtomicBool) -> Result<Head, Refusal> {
    let waits = target.remote.waits;
    let is_stream = ask.is_stream_from(target);
    let http = request(ask, target, Instant::now()).map_err(|error| {
        tracing::warn!(error = %error, "a request could not be written for a backend");
        Refusal::new(RefusalKind::Invalid)
    })?;
    // A whole answer comes at once: its first token is its last.
    let wait = if is_stream { waits.first_token } else { waits.total };
    let due = (Instant::now() + wait).into();
    let lost = |error: ClientError| {
        tracing::warn!(backend = %target.remote.name, error = %error, "no answer of a backend");
        Refusal::new(match error {
            ClientError::ConnectTimeout(_) => RefusalKind::Timeout,
            ClientError::Connect(_) | ClientError::Exchange(_) | ClientError::TooLong(_) => {
                RefusalKind::Unavailable
            }
        })
    };
    let late = |_| Refusal::new(RefusalKind::Timeout);
    let sent = target.remote.client.send(http, || is_sent.store(true, Ordering::Relaxed));
    let mut exchange = timeout_at(due, sent).await.map_err(late)?.map_err(lost)?;
    if exchange.status() != 200 {
        return Err(error_of(target, exchange).await);
    }
    let is_events = exchange.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
    match (is_stream, is_events) {
        (true, true) => Ok(Head::Stream(exchange)),
        (false, false) => {
            let body = timeout_at(due, exchange.whole(WHOLE_BYTES_MAX)).await.map_err(late)?;
            Ok(Head::Whole(body.map_err(lost)?))
        }
        _ => Err(Refusal::nonsense()),
    }
}

/// What an answer with an error status means.
async fn error_of(target: &RemoteTarget, mut exchange: Exchange) -> Refusal {
    let until = (Instant::now() + ERROR_BODY_MAX).into();
    let body = timeout_at(until, exchange.whole(ERROR_BYTES_MAX)).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    let url = target.remote.client.url();
    let mut hidden = vec![target.remote.credential.hidden(), &url.authority, &url.host];
    if target.name_there != target.model.as_str() {
        hidden.push(&target.name_there);
    }
    refusal::of_status(exchange.status(), exchange.header("retry-after"), &body, &hidden)
}
