//! The socket that requests come in on, bound before anything else is begun.
//! Never accepts: the server does, once everything behind it stands.
//! Called by `cli::serve`.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::CliError;

/// Connections that may wait to be accepted. The kernel's own bound is often lower.
const BACKLOG: i32 = 2_048;

/// Binds and listens.
///
/// Errors: the address is in use, or not this machine's; with the address named.
pub(super) fn listener(address: SocketAddr) -> Result<TcpListener, CliError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for connections of the last run to time out.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    bound().map_err(|source| CliError::Io { what: format!("listen on {address}"), source })
}
