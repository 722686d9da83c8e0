//! Connections counted by the address they come from, so that one peer cannot take them all.
//! Never waits and never closes what runs: a connection beyond the bound is told so and ends.
//! Called by the server for each connection; `gate` asks before every request.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, Shutdown},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix_web::{dev::Extensions, rt::net::TcpStream};
use socket2::SockRef;

/// The network part of an IPv6 address: what one customer gets. Unit: bits.
const NETWORK_BITS: u32 = 64;

/// How many connections each peer has, over all threads of the server.
#[derive(Debug)]
pub struct Peers {
    /// Most connections of one peer; 0: no bound.
    connections_max: u32,
    open: Mutex<HashMap<IpAddr, u32>>,
}

/// One open connection. Kept with it by the server and dropped when it closes.
#[derive(Debug)]
pub(super) struct Connection {
    peers: Arc<Peers>,
    peer: IpAddr,
    is_beyond: bool,
}

impl Peers {
    /// Nobody is connected yet.
    pub fn new(connections_max: u32) -> Arc<Self> {
        Arc::new(Self { connections_max, open: Mutex::default() })
    }

    /// Takes note of a new connection.
    pub(super) fn greet(self: &Arc<Self>, stream: &TcpStream, data: &mut Extensions) {
        if self.connections_max == 0 {
            return;
        }
        // A peer that has gone already has no address any more, and asks nothing.
        let Ok(address) = stream.peer_addr() else { return };
        let connection = self.count(address.ip());
        if self.open_of(connection.peer) > self.connections_max.saturating_mul(2) {
            // Too many to answer each one. If this fails, it is closed already.
            SockRef::from(stream).shutdown(Shutdown::Both).ok();
        }
        data.insert(connection);
    }

    fn count(self: &Arc<Self>, address: IpAddr) -> Connection {
        let peer = peer(address);
        let mut open = self.lock();
        let count = open.entry(peer).or_insert(0);
        *count = count.saturating_add(1);
        Connection { peers: Arc::clone(self), peer, is_beyond: *count > self.connections_max }
    }

    fn open_of(&self, peer: IpAddr) -> u32 {
        self.lock().get(&peer).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Whether its peer had as many as it may have.
    pub(super) fn is_beyond(&self) -> bool {
        self.is_beyond
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.peers.lock();
        match open.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            // The last one: nothing is kept of a peer that has left.
            Some(_) | None => drop(open.remove(&self.peer)),
        }
    }
}

/// Who counts as one peer: an IPv4 address, or a network of IPv6.
fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> NETWORK_BITS << NETWORK_BITS))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_peer_has_its_own_bound_and_gives_places_back() {
        let peers = Peers::new(2);
        let first = peers.count(address("10.0.0.1"));
        let second = peers.count(address("::ffff:10.0.0.1"));
        let third = peers.count(address("10.0.0.1"));
        let other = peers.count(address("10.0.0.2"));
        let beyond = [&first, &second, &third, &other].map(|connection| connection.is_beyond());
        assert_eq!(beyond, [false, false, true, false]);
        drop((first, third));
        assert!(!peers.count(address("10.0.0.1")).is_beyond());
        drop((second, other));
        assert!(peers.lock().is_empty(), "nothing is kept of peers that have left");
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let rows = [
            ("2001:db8::1", "2001:db8::"),
            ("2001:db8::ffff:1:2:3", "2001:db8::"),
            ("2001:db8:0:1::1", "2001:db8:0:1::"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "::"),
        ];
        for (from, counted) in rows {
            assert_eq!(peer(address(from)), address(counted), "{from}");
        }
    }
}
