//! Many tasks at one store: no limit is ever passed, nothing is lost.
//! Never relies on timing: whatever the order, the sums must be right.
//! Part of the suite that runs on every store.

use std::sync::Arc;

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{
    super::{LimitSet, TakeError},
    stand::{Stand, balance, budget, key, project, requests, tenant, used},
};

super::on_every_store!(
    many_tasks_never_pass_a_limit,
    a_budget_for_n_admits_n,
    the_settled_and_the_shipped_race_to_one_charge,
    seeds_race_to_one,
    whatever_happens_the_sums_are_right,
);

async fn many_tasks_never_pass_a_limit(stand: Stand) {
    let stand = Arc::new(stand);
    let tasks = (0..8).map(|_| {
        let stand = Arc::clone(&stand);
        tokio::spawn(async move {
            let nodes = [tenant(requests(100)), key(requests(60))];
            let mut admitted = 0;
            for _ in 0..50 {
                if let Ok(taken) = stand.take(&nodes).await {
                    taken.reservation.settle(used(10, 0)).await;
                    admitted += 1;
                }
            }
            admitted
        })
    });
    let mut admitted = 0;
    for task in tasks.collect::<Vec<_>>() {
        admitted += task.await.expect("no panic");
    }
    assert_eq!(admitted, 60);
}

async fn a_budget_for_n_admits_n(stand: Stand) {
    const TAKES: usize = 200;
    const FIT: usize = 37;
    let stand = Arc::new(stand);
    let nodes = [tenant(balance(1_000_000)), project(1, budget(37 * 11 + 10)), key(LimitSet::default())];
    stand.seed(&nodes, 0).await;
    let tasks = (0..TAKES).map(|_| {
        let (stand, nodes) = (Arc::clone(&stand), nodes.clone());
        tokio::spawn(async move { stand.hold(&nodes, 11).await })
    });
    let mut taken = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        taken.extend(task.await.expect("no panic"));
    }
    assert_eq!(taken.len(), FIT);
    let held = stand.held().await;
    assert_eq!((held.count, held.nanos), (37, 37 * 11));
    for taken in taken {
        taken.reservation.settle(used(1, 11)).await;
    }
    assert_eq!((stand.held().await.count, stand.left(&nodes[1]).await), (0, 10));
    assert_eq!(stand.left(&nodes[0]).await, 1_000_000 - 37 * 11);
}

async fn the_settled_and_the_shipped_race_to_one_charge(stand: Stand) {
    let stand = Arc::new(stand);
    let node = [tenant(balance(10_000))];
    stand.seed(&node, 0).await;
    for _ in 0..50 {
        let taken = stand.hold(&node, 100).await.expect("room");
        let id = taken.reservation.request_id();
        let ships = (0..4).map(|_| {
            let stand = Arc::clone(&stand);
            tokio::spawn(async move { stand.ship(id, 70).await })
        });
        let ships: Vec<_> = ships.collect();
        taken.reservation.settle(used(1, 70)).await;
        for ship in ships {
            ship.await.expect("no panic");
        }
    }
    assert_eq!((stand.left(&node[0]).await, stand.held().await.count), (10_000 - 50 * 70, 0));
}

async fn seeds_race_to_one(stand: Stand) {
    let stand = Arc::new(stand);
    let node = [tenant(balance(1_000))];
    let seeds = (0..20).map(|spent| {
        let (stand, node) = (Arc::clone(&stand), node.clone());
        tokio::spawn(async move {
            while let Err(TakeError::Unseeded(_)) = stand.hold(&node, 1).await {
                stand.seed(&node, spent).await;
            }
        })
    });
    for seed in seeds.collect::<Vec<_>>() {
        seed.await.expect("no panic");
    }
    // A hold that was dropped may still be on its way back.
    while stand.held().await.count > 0 {
        tokio::task::yield_now().await;
    }
    let left = stand.left(&node[0]).await;
    assert!((981..=1_000).contains(&left), "{left}");
}

async fn whatever_happens_the_sums_are_right(stand: Stand) {
    const LIMIT: i64 = 5_000;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let stand = Arc::new(stand);
    let nodes = [tenant(balance(LIMIT)), key(LimitSet { concurrency: Some(6), ..LimitSet::default() })];
    stand.seed(&nodes, 0).await;
    let tasks = (0..8).map(|number| {
        let (stand, nodes) = (Arc::clone(&stand), nodes.clone());
        tokio::spawn(async move {
            let mut random = SmallRng::seed_from_u64(seed.wrapping_add(number));
            let mut spent = 0;
            for _ in 0..60 {
                let hold = random.random_range(0..200);
                let Ok(taken) = stand.hold(&nodes, hold).await else { continue };
                assert!(stand.limits.running() <= 6 + 8, "places");
                match random.random_range(0..4) {
                    0 => drop(taken),
                    1 => {
                        let id = taken.reservation.request_id();
                        stand.ship(id, hold / 2).await;
                        spent += hold / 2;
                    }
                    _ => {
                        let charge = random.random_range(0..=hold);
                        taken.reservation.settle(used(1, charge)).await;
                        spent += charge;
                    }
                }
            }
            spent
        })
    });
    let mut spent = 0;
    for task in tasks.collect::<Vec<_>>() {
        spent += task.await.expect("no panic");
    }
    assert!(spent <= LIMIT, "{spent}");
    assert_eq!(i64::try_from(stand.left(&nodes[0]).await), Ok(LIMIT - spent));
    assert_eq!((stand.held().await.count, stand.limits.running()), (0, 0));
}
