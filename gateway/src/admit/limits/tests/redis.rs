//! What only a store outside this process can suffer: several gateways, lost data, silence, a refused connection.
//! Never a Redis that other tests need is harmed: what is lost is one tenant's, who is silent is a socket of the test.
//! Part of the limits' tests, not of the suite.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use tokio::net::TcpListener;

use super::{
    super::{AmountLimit, Ask, AwayPolicy, LimitSet, Limiter, Limits, RedisAddress, TakeError, Taken},
    stand::{Stand, balance, budget, exceeded, key, places, redis_url, requests, tenant, tokens, used},
};

/// Three gateways over one Redis.
async fn three() -> Option<(Stand, [Limits; 3])> {
    let (url, stand) = (redis_url()?, Stand::redis().await?);
    let limits = [stand.another(&url), stand.another(&url), stand.another(&url)];
    Some((stand, limits))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_not_multiplied_by_gateways() {
    let Some((stand, gateways)) = three().await else { return };
    let nodes = [tenant(LimitSet { tokens_per_minute: Some(300), ..requests(1_000) }), key(tokens(250))];
    let tasks = gateways.map(|limits| {
        let asks: Vec<Ask> = (0..40).map(|_| stand.ask(nodes.to_vec())).collect();
        tokio::spawn(async move {
            let mut admitted = 0;
            for ask in asks {
                if let Ok(taken) = limits.take(&ask).await {
                    taken.reservation.settle(used(10, 0)).await;
                    admitted += 1;
                }
            }
            admitted
        })
    });
    let mut admitted = 0;
    for task in tasks {
        admitted += task.await.expect("no panic");
    }
    assert_eq!(admitted, 25, "250 tokens a minute are 25 requests, on however many gateways");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_spend_one_budget() {
    let Some((stand, gateways)) = three().await else { return };
    let nodes = [tenant(balance(1_000)), key(LimitSet { concurrency: Some(500), ..budget(37 * 5 + 4) })];
    stand.seed(&nodes, 0).await;
    let tasks = (0..200).map(|number: usize| {
        let (limits, ask) =
            (gateways[number % 3].clone(), Ask { hold_nanos: 5, ..stand.ask(nodes.to_vec()) });
        tokio::spawn(async move { limits.take(&ask).await })
    });
    let mut taken: Vec<Taken> = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        taken.extend(task.await.expect("no panic"));
    }
    assert_eq!(taken.len(), 37);
    for (number, taken) in taken.into_iter().enumerate() {
        if number % 2 == 0 {
            taken.reservation.settle(used(1, 5)).await;
        }
    }
    for limits in &gateways {
        assert!(limits.flush().await);
    }
    assert_eq!((stand.held().await.count, stand.left(&nodes[0]).await), (0, 1_000 - 19 * 5));
}

#[tokio::test]
async fn a_place_freed_at_one_gateway_is_free_at_another() {
    let Some((stand, gateways)) = three().await else { return };
    let nodes = vec![tenant(places(1))];
    let first = gateways[0].take(&stand.ask(nodes.clone())).await.expect("a place");
    assert_eq!(exceeded(gateways[1].take(&stand.ask(nodes.clone())).await).limiter, Limiter::Concurrency);
    drop(first);
    // Told within milliseconds by itself; here without waiting.
    assert!(gateways[0].flush().await);
    drop(gateways[1].take(&stand.ask(nodes)).await.expect("the place is free"));
}

#[tokio::test]
async fn what_redis_lost_is_charged_all_the_same() {
    let Some(stand) = Stand::redis().await else { return };
    let node = [tenant(balance(1_000))];
    stand.seed(&node, 0).await;
    let running = stand.hold(&node, 100).await.expect("room");
    let settled = stand.hold(&node, 100).await.expect("room");
    let settled_id = settled.reservation.request_id();
    settled.reservation.settle(used(1, 50)).await;
    let between = stand.hold(&node, 100).await.expect("room");
    let void = stand.hold(&node, 100).await.expect("room");

    stand.lose_all().await;
    assert!(matches!(stand.hold(&node, 1).await, Err(TakeError::Unseeded(_))));
    let (running_id, between_id) = (running.reservation.request_id(), between.reservation.request_id());
    // Its charge comes before anybody has seeded: it waits for the seed.
    between.reservation.settle(used(1, 7)).await;
    // The ledger knows none of them yet.
    stand.seed(&node, 0).await;
    assert_eq!(stand.left(&node[0]).await, 993);
    running.reservation.settle(used(1, 80)).await;
    drop(void);
    assert_eq!(stand.left(&node[0]).await, 913);
    for _ in 0..2 {
        stand.ship(settled_id, 50).await;
        stand.ship(running_id, 80).await;
        stand.ship(between_id, 7).await;
    }
    assert_eq!(stand.left(&node[0]).await, 863, "each counts once: 50, 80 and 7");
    assert_eq!(stand.held().await.count, 0);
}

#[tokio::test]
async fn places_and_rates_begin_anew_when_redis_lost_them() {
    let Some(stand) = Stand::redis().await else { return };
    let nodes = [tenant(LimitSet { concurrency: Some(1), ..requests(1) })];
    let lost = stand.take(&nodes).await.expect("room");
    stand.lose_all().await;
    let next = stand.take(&nodes).await.expect("nothing is known of the first");
    drop(lost);
    assert_eq!(
        stand.refused(&nodes).await.limiter,
        Limiter::RequestsPerMinute,
        "a lost one gives nothing back"
    );
    drop(next);
    drop(stand.take(&nodes).await.expect("all came back"));
}

#[tokio::test]
async fn a_forgotten_script_is_loaded_again() {
    let Some(stand) = Stand::redis().await else { return };
    let nodes = [tenant(requests(2))];
    let _first = stand.take(&nodes).await.expect("room");
    stand.command(redis::cmd("SCRIPT").arg("FLUSH")).await;
    let _second = stand.take(&nodes).await.expect("room");
    assert_eq!(stand.refused(&nodes).await.remaining, 0);
}

#[tokio::test]
async fn a_take_whose_client_left_is_undone() {
    let Some(stand) = Stand::redis().await else { return };
    let nodes = [tenant(LimitSet { concurrency: Some(1), ..balance(100) })];
    stand.seed(&nodes, 0).await;
    for micros in 0..40 {
        let left = tokio::time::timeout(Duration::from_micros(micros * 25), stand.hold(&nodes, 100)).await;
        drop(left);
    }
    assert!(stand.limits.flush().await);
    assert_eq!((stand.held().await.count, stand.limits.running()), (0, 0));
    drop(stand.hold(&nodes, 100).await.expect("everything came back"));
}

/// Limits over an address that nobody answers at.
fn away(url: &str, policy: AwayPolicy) -> Limits {
    Limits::shared(RedisAddress::new(url, None).expect("an address"), policy)
}

/// Asks until nobody waits for Redis any more; says how long the last answer took.
async fn until_open(limits: &Limits, stand: &Stand) -> Duration {
    for _ in 0..20 {
        let asked = Instant::now();
        let refused = limits.take(&stand.ask(vec![tenant(requests(5))])).await;
        assert!(matches!(refused, Err(TakeError::Away { .. })), "{refused:?}");
        if limits.is_away() {
            let asked = Instant::now();
            let refused = limits.take(&stand.ask(vec![tenant(requests(5))])).await;
            assert!(matches!(refused, Err(TakeError::Away { retry_after }) if retry_after > Duration::ZERO));
            return asked.elapsed();
        }
        assert!(asked.elapsed() < Duration::from_secs(5), "every wait is bounded");
    }
    panic!("the breaker did not open");
}

#[tokio::test]
async fn a_redis_that_says_nothing_is_not_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("redis://{}", silent.local_addr().expect("an address"));
    let accepting = tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            streams.push(stream);
        }
    });
    let stand = Stand::local();
    let limits = away(&url, AwayPolicy::Closed);
    assert!(until_open(&limits, &stand).await < Duration::from_millis(50), "refused at once");
    assert_eq!(limits.running(), 0);
    accepting.abort();
}

#[tokio::test]
async fn a_redis_that_refuses_is_noticed_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let stand = Stand::local();
    let limits = away(&format!("redis://{address}"), AwayPolicy::Closed);
    until_open(&limits, &stand).await;
    let Some(url) = redis_url() else { return };
    let target = url.trim_start_matches("redis://").split('/').next().unwrap_or_default().to_owned();
    let back = TcpListener::bind(address).await.expect("the same port");
    tokio::spawn(async move {
        while let Ok((mut near, _)) = back.accept().await {
            let target = target.clone();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(target).await.expect("the test's Redis");
                // Whoever hangs up first ends it.
                tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
            });
        }
    });
    let asked = Instant::now();
    loop {
        match limits.take(&stand.ask(vec![tenant(requests(5))])).await {
            Ok(_taken) => break,
            Err(TakeError::Away { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(other) => panic!("{other}"),
        }
        assert!(asked.elapsed() < Duration::from_secs(20), "it is not noticed");
    }
    assert!(!limits.is_away());
}

#[tokio::test]
async fn the_policy_for_an_absence_changes_while_it_lasts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let limits = away(&format!("redis://{address}"), AwayPolicy::Closed);
    let stand = Stand::local();
    let ask = || stand.ask(vec![tenant(places(6))]);
    assert!(matches!(limits.take(&ask()).await, Err(TakeError::Away { .. })));
    let among = |count| AwayPolicy::Local { gateways: NonZeroU32::new(count).expect("some") };
    limits.set_away_policy(among(3));
    let one = limits.take(&ask()).await.expect("a share");
    let two = limits.take(&ask()).await.expect("a share");
    assert_eq!(exceeded(limits.take(&ask()).await).limit, 2, "a third of six places");
    limits.set_away_policy(among(2));
    let three = limits.take(&ask()).await.expect("the places taken before count among half of six");
    assert_eq!(exceeded(limits.take(&ask()).await).limit, 3);
    limits.set_away_policy(AwayPolicy::Closed);
    assert!(matches!(limits.take(&ask()).await, Err(TakeError::Away { .. })));
    drop((one, two, three));
}

#[tokio::test]
async fn a_share_of_each_limit_holds_while_redis_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let gateways = NonZeroU32::new(3).expect("three");
    let limits = away(&format!("redis://{address}"), AwayPolicy::Local { gateways });
    let stand = Stand::local();
    let whole = LimitSet { tokens_per_minute: Some(100), ..requests(10) };
    let mut taken = Vec::new();
    while let Ok(one) = limits.take(&stand.ask(vec![tenant(whole.clone())])).await {
        taken.push(one);
    }
    assert_eq!(taken.len(), 3, "a third of ten requests, and of a hundred tokens");
    let one = limits.take(&stand.ask(vec![key(places(1))])).await.expect("at least one");
    assert_eq!(exceeded(limits.take(&stand.ask(vec![key(places(1))])).await).limiter, Limiter::Concurrency);
    drop(one);
    let never = stand.ask(vec![key(places(0))]);
    assert_eq!(exceeded(limits.take(&never).await).limit, 0, "nothing stays nothing");
    let unknown = Ask { hold_nanos: 1, ..stand.ask(vec![key(budget(1_000))]) };
    assert_eq!(exceeded(limits.take(&unknown).await).limiter, Limiter::Budget, "nothing is known of it");
}

#[tokio::test]
async fn what_was_spent_while_redis_was_away_is_told_when_it_is_back() {
    let Some(url) = redis_url() else { return };
    let gate = Gate::before(&url).await;
    let stand = Stand::local();
    let limits = away(&gate.url, AwayPolicy::Local { gateways: NonZeroU32::new(2).expect("two") });
    let resets_at = None;
    let amount = AmountLimit {
        kind: super::super::AmountKind::Balance,
        window_start: domain::Timestamp::from_unix_micros(0),
        limit_nanos: 1_000,
        resets_at,
    };
    let node = tenant(LimitSet { amounts: vec![amount], ..LimitSet::default() });
    let ask = |hold_nanos| Ask { hold_nanos, ..stand.ask(vec![node.clone()]) };
    limits.seed(stand.tenant_id, &[(amount.cache_key(&node.id), 0)]).await.expect("Redis is there");
    let early = limits.take(&ask(200)).await.expect("room");

    gate.close();
    while !limits.is_away() {
        drop(limits.take(&ask(1)).await);
    }
    // 800 were left when Redis was last seen; half of it is this gateway's.
    assert_eq!(exceeded(limits.take(&ask(401)).await).remaining, 400);
    let share = limits.take(&ask(400)).await.expect("the whole share");
    assert_eq!(exceeded(limits.take(&ask(1)).await).remaining, 0);
    share.reservation.settle(used(1, 300)).await;
    early.reservation.settle(used(1, 150)).await;

    gate.open();
    let asked = Instant::now();
    while limits.is_away() || !limits.flush().await {
        drop(limits.take(&ask(1)).await);
        assert!(asked.elapsed() < Duration::from_secs(20), "it is not noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(exceeded(limits.take(&ask(i64::MAX)).await).remaining, 550, "300 and 150 are spent");
    assert_eq!(limits.held(stand.tenant_id).await.expect("Redis is there").count, 0);
}

/// A way to Redis that can be closed.
struct Gate {
    url: String,
    is_open: tokio::sync::watch::Sender<bool>,
}

impl Gate {
    async fn before(url: &str) -> Self {
        let target = url.trim_start_matches("redis://").split('/').next().unwrap_or_default().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("redis://{}", listener.local_addr().expect("an address"));
        let (is_open, watch) = tokio::sync::watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, mut watch) = (target.clone(), watch.clone());
                tokio::spawn(async move {
                    if !*watch.borrow() {
                        return;
                    }
                    let mut far = tokio::net::TcpStream::connect(target).await.expect("the test's Redis");
                    tokio::select! {
                        // Whoever hangs up first ends it.
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = watch.wait_for(|is_open| !is_open) => {}
                    }
                });
            }
        });
        Self { url, is_open }
    }

    fn close(&self) {
        self.is_open.send_replace(false);
    }

    fn open(&self) {
        self.is_open.send_replace(true);
    }
}
