//! Tells a node that nobody wants more of a request, so that it ends it and says what it has spent.
//! Never waits for what the node says: the exchange reads it at the end of the answer's own stream, for a while.
//! Called by the exchange when a client leaves or time is up.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request,
    header::{AUTHORIZATION, HOST},
};
use tokio::time::timeout;

use crate::{dispatch::remote::Remote, node::REQUESTS_PATH};

/// How long the end of an answer is waited for. A step takes milliseconds, and a connection is usually open; without
/// an end by then the connection is closed, which ends the generation as well.
pub(super) const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// Longest answer to it that is read. Unit: bytes.
const BYTES_MAX: usize = 4_096;

/// Asks a node to end a request; whether it does, its stream tells.
pub(super) fn say(remote: &Arc<Remote>, request_id: &str) {
    let url = remote.client.url();
    let request = Request::delete(format!("{}{REQUESTS_PATH}{request_id}", url.path))
        .header(HOST, &url.authority)
        .body(Full::new(Bytes::new()));
    let (Ok(mut request), Some(authorization)) = (request, remote.credential.authorization()) else { return };
    request.headers_mut().insert(AUTHORIZATION, authorization);
    let remote = Arc::clone(remote);
    tokio::spawn(async move {
        let sent = async {
            if let Ok(mut exchange) = remote.client.send(request, || {}).await {
                // Read so that the connection can be kept.
                exchange.whole(BYTES_MAX).await.ok();
            }
        };
        timeout(FAREWELL_MAX, sent).await.ok();
    });
}
