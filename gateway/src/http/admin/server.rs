//! The listener of the admin API: few workers, small bodies, short timeouts.
//! Never on the port that tenants use.
//! Started and stopped by `cli::serve`.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use actix_web::{App as Routes, HttpServer, dev::Server, middleware::from_fn};

use super::{Admin, configure, document::Document};
use crate::http::name_request;

/// Operators are few, and each answer waits for the ledger, not for a core.
const WORKERS: usize = 1;
/// A request's head must be there by then.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
/// Connections at once: more than operators and their programs open.
const CONNECTIONS_MAX: usize = 256;
/// How long a change under way may take when stopping. Unit: seconds.
const CLOSE_SECONDS_MAX: u64 = 2;

/// Serves the admin API on a socket that listens.
///
/// Errors: the socket cannot be used.
pub fn serve(admin: Arc<Admin>, listener: TcpListener) -> io::Result<Server> {
    let document = Arc::new(Document::build().map_err(io::Error::other)?);
    let server = HttpServer::new(move || {
        let (admin, document) = (Arc::clone(&admin), Arc::clone(&document));
        Routes::new()
            .wrap(from_fn(name_request))
            .configure(move |routes| configure(&admin, &document, routes))
    });
    let server = server
        .workers(WORKERS)
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(HEAD_WAIT_MAX)
        .tcp_nodelay(true)
        .disable_signals()
        .shutdown_timeout(CLOSE_SECONDS_MAX);
    Ok(server.listen(listener)?.run())
}
