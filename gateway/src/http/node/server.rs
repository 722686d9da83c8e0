//! The listener of an engine node.
//! Never holds a route of its own and never decides when to stop.
//! Started and stopped by `cli::node`.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use actix_web::{App as Routes, HttpServer, dev::ServerHandle, middleware::from_fn, web};
use tokio_rustls::rustls::ServerConfig;

use super::{gateway, routes};
use crate::{
    config::Server,
    http::{
        HEAD_WAIT_MAX, KEEP_ALIVE,
        connection::Turn,
        server::{self, CLOSE_SECONDS_MAX},
    },
    node::Node,
};

/// A node that serves.
pub struct Serving {
    /// Where.
    pub address: SocketAddr,
    handle: ServerHandle,
}

impl Serving {
    /// Closes the connections and stops.
    pub async fn stop(self) {
        self.handle.stop(true).await;
    }
}

/// Serves a node on a socket that listens, over TLS where it is given.
///
/// Errors: the socket cannot be used.
pub fn serve(
    node: Arc<Node>,
    listener: TcpListener,
    config: &Server,
    tls: Option<ServerConfig>,
) -> io::Result<Serving> {
    let address = listener.local_addr()?;
    let workers = server::workers(config);
    let connections_max = usize::try_from(config.connections_max).unwrap_or(usize::MAX);
    let listening = HttpServer::new(move || {
        let node = web::Data::from(Arc::clone(&node));
        Routes::new().app_data(node).wrap(from_fn(gateway::enter)).configure(routes::register)
    })
    .on_connect(|_, data| drop(data.insert(Turn::default())))
    .tcp_nodelay(true)
    // A gateway that closes its half has left: its generation must end.
    .h1_allow_half_closed(false)
    .disable_signals()
    .shutdown_timeout(CLOSE_SECONDS_MAX)
    .client_request_timeout(HEAD_WAIT_MAX)
    // Longer than gateways let a connection rest: the side that closes first should be theirs.
    .keep_alive(KEEP_ALIVE)
    .workers(workers)
    .max_connections(connections_max.div_ceil(workers));
    let listening = match tls {
        Some(tls) => listening.listen_rustls_0_23(listener, tls)?,
        None => listening.listen(listener)?,
    };
    let server = listening.run();
    let handle = server.handle();
    // Its end says nothing that its handle does not.
    actix_web::rt::spawn(server);
    Ok(Serving { address, handle })
}
