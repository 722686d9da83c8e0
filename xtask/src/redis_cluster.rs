//! A Redis Cluster of our own for one test run: two nodes, each with half of the slots.
//! Never the machine's own, and never left running: dropping it stops its nodes.
//! Started by `cargo xtask test`.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    failure::Failure,
    redis::{Mode, Redis, ask},
};

/// Nodes find each other within a few seconds.
const MEET_LIMIT: Duration = Duration::from_secs(60);
/// The slots of each node.
const SLOTS: [&str; 2] = ["0 8191", "8192 16383"];

/// A running cluster.
#[derive(Debug)]
pub(crate) struct RedisCluster {
    nodes: [Redis; 2],
}

impl RedisCluster {
    /// Starts the nodes and waits until each knows all of it.
    ///
    /// Errors: Redis is not installed; the nodes do not find each other.
    pub(crate) fn start() -> Result<Self, Failure> {
        let nodes = [Redis::start_named("redis-a", Mode::Node)?, Redis::start_named("redis-b", Mode::Node)?];
        for ((node, slots), epoch) in nodes.iter().zip(SLOTS).zip(1..) {
            tell(node, &format!("CLUSTER SET-CONFIG-EPOCH {epoch}"))?;
            tell(node, &format!("CLUSTER ADDSLOTSRANGE {slots}"))?;
        }
        let [first, second] = &nodes;
        let bus_port = second.bus_port.unwrap_or_default();
        tell(first, &format!("CLUSTER MEET 127.0.0.1 {} {bus_port}", second.port))?;
        let started = Instant::now();
        while !nodes.iter().all(is_whole) {
            if started.elapsed() > MEET_LIMIT {
                return Err(Failure::TimedOut {
                    line: "redis-server (cluster)".to_owned(),
                    limit: MEET_LIMIT,
                });
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { nodes })
    }

    /// Where tests connect.
    pub(crate) fn url(&self) -> String {
        let [first, second] = &self.nodes;
        format!("redis-cluster://127.0.0.1:{},127.0.0.1:{}", first.port, second.port)
    }
}

fn tell(node: &Redis, command: &str) -> Result<(), Failure> {
    match ask(node.port, command).map_err(Failure::io("ask", "a node of the Redis cluster"))?.as_str() {
        "+OK" => Ok(()),
        answer => Err(Failure::Command { line: command.to_owned(), ending: answer.to_owned() }),
    }
}

fn is_whole(node: &Redis) -> bool {
    ask(node.port, "CLUSTER INFO")
        .is_ok_and(|info| info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2"))
}
