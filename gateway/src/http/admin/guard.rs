//! What every request to the admin API keeps and every answer has: a host that is this one, and no copy in a cache.
//! Never looks at a token, a route or a body.
//! Put around all routes of the admin API by its server.

use std::net::{IpAddr, SocketAddr};

use actix_web::{
    Error, ResponseError as _,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{header::HOST, uri::Authority},
    middleware::Next,
    web,
};
use domain::Fault;

use crate::http::{ApiError, headers};

/// Under which hosts the admin API may be asked.
///
/// A page in an operator's browser can have its own name lead to a loopback address and then ask this port as if it
/// were its own. The `Host` header tells it: it still has the page's name.
#[derive(Debug)]
pub(super) struct Hosts {
    /// Whether the header decides at all.
    are_checked: bool,
    names: Vec<String>,
}

impl Hosts {
    /// On a loopback address, and wherever hosts are named, the header must have one of them or a loopback one.
    pub(super) fn new(listen: SocketAddr, names: &[String]) -> Self {
        let are_checked = listen.ip().to_canonical().is_loopback() || !names.is_empty();
        Self { are_checked, names: names.iter().map(|name| plain(name)).collect() }
    }

    /// Whether a `Host` header of this text may ask. The gate has seen that it is one host in form.
    fn allows(&self, header: &str) -> bool {
        if !self.are_checked {
            return true;
        }
        let Ok(authority) = header.parse::<Authority>() else { return false };
        let host = plain(authority.host());
        is_loopback(&host) || self.names.contains(&host)
    }
}

/// A host in small letters, without brackets and without the dot that may end a name.
fn plain(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        // No name below it can be given away: it always means this machine.
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Refuses a host that is another one, and keeps answers out of caches.
pub(super) async fn guard<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let hosts = request.app_data::<web::Data<Hosts>>();
    // Only HTTP/1.0 comes without the header, and no browser speaks it.
    let mut named = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default());
    let is_allowed = hosts.is_some_and(|hosts| named.take().is_none_or(|host| hosts.allows(host)));
    let mut response = match is_allowed {
        true => next.call(request).await?.map_into_left_body(),
        false => request.into_response(foreign().error_response()).map_into_right_body(),
    };
    headers::set(response.headers_mut(), "cache-control", "no-store");
    Ok(response)
}

fn foreign() -> ApiError {
    let message =
        "the admin API is not asked under this host: use a loopback address, or name the host in admin.hosts";
    ApiError::new(Fault::Forbidden, "host_not_allowed", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str, names: &[&str]) -> Hosts {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        Hosts::new(listen.parse().expect("an address"), &names)
    }

    #[test]
    fn only_this_machine_and_named_hosts_may_ask() {
        let loopback = [
            "127.0.0.1",
            "127.0.0.1:8081",
            "127.9.9.9",
            "[::1]:8081",
            "[::ffff:127.0.0.1]",
            "localhost",
            "LocalHost:8081",
            "localhost.",
            "admin.localhost",
        ];
        let foreign = [
            "evil.example",
            "evil.example:8081",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "10.0.0.1",
            "[2001:db8::1]",
            "0.0.0.0",
            "[::]",
        ];
        let named = ["admin.example", "ADMIN.example:443", "admin.example.", "10.0.0.7:9"];
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            let (bare, listed) = (hosts(listen, &[]), hosts(listen, &["Admin.Example", "10.0.0.7"]));
            for host in loopback {
                assert!(bare.allows(host) && listed.allows(host), "{host}");
            }
            for host in foreign {
                assert!(!bare.allows(host) && !listed.allows(host), "{host}");
            }
            for host in named {
                assert!(!bare.allows(host) && listed.allows(host), "{host}");
            }
        }
        // Where it listens on purpose for others, the name is whatever they call it, unless it is said.
        let (open, closed) = (hosts("10.0.0.7:0", &[]), hosts("10.0.0.7:0", &["admin.example"]));
        assert!(
            open.allows("evil.example") && !closed.allows("evil.example") && closed.allows("admin.example")
        );
    }
}
