//! The listener of the admin API: few workers, small bodies, short timeouts.
//! Never on the port that tenants use.
//! Started and stopped by `cli::serve`.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use actix_web::{App as Routes, HttpServer, dev::Server, middleware::from_fn, web};

use super::{
    Admin, configure,
    document::Document,
    guard::{Hosts, guard},
};
use crate::http::{connection::Turn, name_request};

/// Operators are few, and each answer waits for the ledger, not for a core.
const WORKERS: usize = 1;
/// A request's head must be there by then.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
/// Connections at once: more than operators and their programs open.
const CONNECTIONS_MAX: usize = 256;
/// How long a change under way may take when stopping. Unit: seconds.
const CLOSE_SECONDS_MAX: u64 = 2;

/// Serves the admin API on a socket that listens, under these hosts and its loopback ones.
///
/// Errors: the socket cannot be used.
pub fn serve(admin: Arc<Admin>, hosts: &[String], listener: TcpListener) -> io::Result<Server> {
    let document = Arc::new(Document::build().map_err(io::Error::other)?);
    let hosts = web::Data::new(Hosts::new(listener.local_addr()?, hosts));
    let server = HttpServer::new(move || {
        let (admin, document) = (Arc::clone(&admin), Arc::clone(&document));
        Routes::new()
            .app_data(hosts.clone())
            .wrap(from_fn(guard))
            .wrap(from_fn(name_request))
            .configure(move |routes| configure(&admin, &document, routes))
    });
    let server = server
        .on_connect(|_, data| drop(data.insert(Turn::default())))
        .workers(WORKERS)
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(HEAD_WAIT_MAX)
        .tcp_nodelay(true)
        .disable_signals()
        .shutdown_timeout(CLOSE_SECONDS_MAX);
    Ok(server.listen(listener)?.run())
}
