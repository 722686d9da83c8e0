//! Limits in a Redis Cluster: tenants on different nodes, each whole on its own.
//! Never another cluster than the test's own.
//! Part of the limits' tests; the suite runs over a cluster as well.

use super::{
    super::{Ask, AwayPolicy, Limits, RedisAddress, TakeError},
    stand::{Stand, budget, cluster_url, exceeded, places, request_id, tenant, used},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_on_every_node_are_served_over_one_address() {
    let Some(url) = cluster_url() else { return };
    let nodes = [tenant(budget(10))];
    let mut slots = Vec::new();
    for _ in 0..16 {
        let Some(stand) = Stand::cluster().await else { return };
        stand.seed(&nodes, 0).await;
        let taken = stand.hold(&nodes, 7).await.expect("within the budget");
        assert_eq!(exceeded(stand.hold(&nodes, 4).await).remaining, 3);
        taken.reservation.settle(used(10, 5)).await;
        assert_eq!(stand.left(&nodes[0]).await, 5);
        slots.push(slot(&stand.tenant_id.to_string()));
    }
    assert!(slots.iter().any(|slot| *slot < 8_192) && slots.iter().any(|slot| *slot >= 8_192), "{slots:?}");
    // What a gateway that is gone still holds is swept from every node.
    Limits::shared(RedisAddress::new(&url, None).expect("an address"), AwayPolicy::Closed).sweep().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taking_that_the_client_sent_twice_is_undone() {
    let Some(stand) = Stand::cluster().await else { return };
    let nodes = [tenant(places(1))];
    let ask = Ask { request_id: request_id(), ..stand.ask(nodes.to_vec()) };
    let first = stand.limits.take(&ask).await.expect("room");
    // As when the connection broke before the answer came, and the client asked again over another one.
    let again = stand.limits.take(&ask).await.map(drop);
    assert!(matches!(again, Err(TakeError::Away { .. })), "{again:?}");
    let next = stand.take(&nodes).await;
    assert!(next.is_ok(), "its place is free: {:?}", next.err());
    drop(first);
}

/// Where a cluster keeps a key with this hash tag: CRC16 (XMODEM) modulo 16,384.
fn slot(tag: &str) -> u16 {
    let mut crc: u16 = 0;
    for byte in tag.bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc % 16_384
}
