//! The listener of the tenants' port: its connections, their bounds and their times.
//! Never a route and never an answer of its own; it is put together by hand, because each connection is timed.
//! Started and stopped by `cli::serve`.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use actix_http::{HttpService, Protocol, error::DispatchError};
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::{
    App as Routes,
    dev::{AppConfig, Extensions, Server},
    middleware::from_fn,
    rt::net::TcpStream,
};

use super::{HEAD_WAIT_MAX, KEEP_ALIVE, Peers, configure, connection::TimedStream, name_request};
use crate::{app::App, config};

/// How long connections may stay open after draining. Unit: seconds.
pub(super) const CLOSE_SECONDS_MAX: u64 = 1;
/// How long a connection that is being closed is read for what was still on its way.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(1);

/// Threads that serve connections: as configured, or one for each core.
pub fn workers(config: &config::Server) -> usize {
    match config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => usize::try_from(workers).unwrap_or(1),
    }
}

/// How many connections there may be.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Threads that serve them.
    pub workers: usize,
    /// Most of them; further ones wait to be accepted.
    pub connections_max: usize,
    /// How many each peer has.
    pub peers: Arc<Peers>,
}

/// Serves every route of the table on a socket that listens.
///
/// Errors: the socket cannot be used.
pub fn serve(app: &Arc<App>, bounds: &Bounds, listener: TcpListener) -> io::Result<Server> {
    let (app, peers) = (Arc::clone(app), Arc::clone(&bounds.peers));
    let connections = move || {
        let (app, peers) = (Arc::clone(&app), Arc::clone(&peers));
        let routes =
            Routes::new().wrap(from_fn(name_request)).configure(move |routes| configure(&app, routes));
        let routes = routes.into_factory().map_err(|error: actix_web::Error| error.error_response());
        let http = HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEAD_WAIT_MAX)
            .client_disconnect_timeout(CLOSE_WAIT_MAX)
            // A client that closes its half has left: its generation must end.
            .h1_allow_half_closed(false)
            .on_connect_ext(move |connection: &TimedStream, data: &mut Extensions| {
                peers.greet(connection.socket(), data);
                data.insert(connection.turn());
            })
            .finish(map_config(routes, |()| AppConfig::default()));
        fn_service(|socket: TcpStream| async move {
            let peer = socket.peer_addr().ok();
            // A peer that has gone already needs no haste.
            socket.set_nodelay(true).ok();
            Ok::<_, DispatchError>((TimedStream::new(socket), Protocol::Http1, peer))
        })
        .and_then(http)
    };
    let server = Server::build()
        .workers(bounds.workers)
        .max_concurrent_connections(bounds.connections_max.div_ceil(bounds.workers))
        .disable_signals()
        // Draining is over by then; what is still open belongs to clients that do not read.
        .shutdown_timeout(CLOSE_SECONDS_MAX)
        .listen("tenants", listener, connections)?;
    Ok(server.run())
}
