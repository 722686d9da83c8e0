//! Requests and tokens over time, and places among the running.
//! Never about money: `amounts` is.
//! Part of the suite that runs on every store.

use std::time::Duration;

use domain::ModelName;

use super::{
    super::{LimitSet, Limiter, Node, PER_DAY_MAX, PER_MINUTE_MAX, Scope, TakeError},
    stand::{
        Stand, TTL, budget, daily, exceeded, key, places, project, request_id, requests, tenant, tokens, used,
    },
};

super::on_every_store!(
    a_refusal_takes_nothing_from_any_node,
    settlement_gives_back_what_was_not_used,
    what_has_drained_is_not_given_back_again,
    each_limit_refuses_in_its_own_words,
    a_day_drains_as_a_minute_does,
    a_place_is_held_until_its_permit_is_dropped,
    a_place_outlives_its_request_by_nothing,
    the_tightest_limit_is_shown,
    a_model_has_limits_of_its_own,
    a_changed_limit_holds_from_the_next_request,
    huge_limits_and_costs_are_bounded,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_takes_once_here() {
    one_request_takes_once(Stand::local()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_takes_once_in_redis() {
    let Some(stand) = Stand::redis().await else { return };
    one_request_takes_once(stand).await;
}

async fn a_refusal_takes_nothing_from_any_node(stand: Stand) {
    let wide = LimitSet {
        requests_per_minute: Some(10),
        tokens_per_minute: Some(1_000),
        requests_per_day: Some(100),
        concurrency: Some(5),
        ..budget(1_000)
    };
    let full = |limits| vec![tenant(wide.clone()), project(1, wide.clone()), key(limits)];
    stand.seed(&full(budget(5)), 0).await;
    for limits in [requests(0), tokens(9), daily(0), places(0), budget(5)] {
        let nodes = full(limits);
        for _ in 0..50 {
            assert_eq!(exceeded(stand.hold(&nodes, 6).await).scope, Scope::Key);
        }
    }
    let taken = stand.hold(&full(LimitSet::default()), 1_000).await.expect("nothing was taken");
    assert_eq!(taken.views.requests.map(|view| view.remaining), Some(9));
    assert_eq!(taken.views.tokens.map(|view| view.remaining), Some(990));
    assert_eq!(stand.limits.running(), 1);
}

async fn settlement_gives_back_what_was_not_used(stand: Stand) {
    let nodes = [tenant(tokens(30))];
    let remaining = |taken: &super::super::Taken| taken.views.tokens.map(|view| view.remaining);
    let first = stand.take(&nodes).await.expect("room");
    first.reservation.settle(used(4, 0)).await;
    let second = stand.take(&nodes).await.expect("room");
    assert_eq!(remaining(&second), Some(16));
    drop(second);
    let third = stand.take(&nodes).await.expect("room");
    assert_eq!(remaining(&third), Some(16), "a void request used nothing");
    third.reservation.settle(used(1_000, 0)).await;
    let fourth = stand.take(&nodes).await.expect("room");
    assert_eq!(remaining(&fourth), Some(6), "more than reserved takes what was reserved");
}

async fn what_has_drained_is_not_given_back_again(stand: Stand) {
    let nodes = [tenant(tokens(60))];
    let remaining = |taken: &super::super::Taken| taken.views.tokens.map(|view| view.remaining);
    let slow = stand.take(&nodes).await.expect("room");
    stand.advance(Duration::from_secs(10)).await;
    let second = stand.take(&nodes).await.expect("ten seconds drained the ten tokens of the slow one");
    slow.reservation.settle(used(1, 0)).await;
    let third = stand.take(&nodes).await.expect("room");
    assert_eq!(remaining(&third), Some(40), "two of ten are held, nothing came back");
    second.reservation.settle(used(1, 0)).await;
    let fourth = stand.take(&nodes).await.expect("room");
    assert_eq!(remaining(&fourth), Some(39), "nine of the second came back");
}

async fn each_limit_refuses_in_its_own_words(stand: Stand) {
    let minute = Duration::from_secs(60);
    let hours = Duration::from_secs(12 * 3_600);
    let rows = [
        (requests(1), Limiter::RequestsPerMinute, 1, 0, 1, Some(minute)),
        (tokens(15), Limiter::TokensPerMinute, 15, 5, 10, Some(Duration::from_secs(20))),
        (tokens(9), Limiter::TokensPerMinute, 9, 9, 10, None),
        (daily(2), Limiter::RequestsPerDay, 2, 0, 1, Some(hours)),
        (places(1), Limiter::Concurrency, 1, 0, 1, Some(Duration::from_secs(1))),
        (places(0), Limiter::Concurrency, 0, 0, 1, None),
    ];
    for (number, (limits, limiter, limit, remaining, cost, retry_after)) in (0..).zip(rows) {
        let nodes = [project(number, limits)];
        let mut running = Vec::new();
        while let Ok(taken) = stand.take(&nodes).await {
            running.push(taken);
        }
        let refused = stand.refused(&nodes).await;
        assert_eq!((refused.limiter, refused.limit), (limiter, limit));
        assert_eq!((refused.remaining, refused.cost, refused.retry_after), (remaining, cost, retry_after));
        assert_eq!(refused.scope, Scope::Project { name: format!("project {number}") });
    }
}

async fn a_day_drains_as_a_minute_does(stand: Stand) {
    let nodes = [key(daily(24))];
    for _ in 0..24 {
        let taken = stand.take(&nodes).await.expect("room");
        taken.reservation.settle(used(1, 0)).await;
    }
    assert_eq!(stand.refused(&nodes).await.retry_after, Some(Duration::from_secs(3_600)));
    stand.advance(Duration::from_secs(3_600)).await;
    drop(stand.take(&nodes).await.expect("an hour later one fits, and a void request gives it back"));
    let taken = stand.take(&nodes).await.expect("it was given back");
    taken.reservation.settle(used(1, 0)).await;
    assert_eq!(stand.refused(&nodes).await.limiter, Limiter::RequestsPerDay);
}

async fn a_place_is_held_until_its_permit_is_dropped(stand: Stand) {
    let nodes = [tenant(places(2))];
    let one = stand.take(&nodes).await.expect("first");
    let two = stand.take(&nodes).await.expect("second");
    one.reservation.settle(used(1, 0)).await;
    assert_eq!(stand.refused(&nodes).await.limiter, Limiter::Concurrency);
    // The very next request finds the place: nothing has to be waited for.
    for _ in 0..100 {
        let permit = stand.take(&[]).await.expect("no limits").permit;
        drop(permit);
    }
    drop(one.permit);
    let third = stand.take(&nodes).await.expect("one left");
    assert_eq!(stand.limits.running(), 2);
    drop((two, third));
    assert_eq!(stand.limits.running(), 0);
}

async fn a_place_outlives_its_request_by_nothing(stand: Stand) {
    let nodes = [tenant(places(1))];
    let lost = stand.take(&nodes).await.expect("a place");
    stand.advance(TTL - Duration::from_secs(1)).await;
    assert_eq!(stand.refused(&nodes).await.limiter, Limiter::Concurrency);
    stand.advance(Duration::from_secs(1)).await;
    let next = stand.take(&nodes).await.expect("the place ran out");
    drop(lost);
    assert_eq!(stand.refused(&nodes).await.limiter, Limiter::Concurrency, "a lost place frees no other");
    drop(next);
    drop(stand.take(&nodes).await.expect("the place is free"));
}

async fn the_tightest_limit_is_shown(stand: Stand) {
    let wide =
        LimitSet { requests_per_minute: Some(5), tokens_per_minute: Some(1_000), ..LimitSet::default() };
    let tight =
        LimitSet { requests_per_minute: Some(50), tokens_per_minute: Some(40), ..LimitSet::default() };
    let nodes = [tenant(wide), key(tight)];
    let views = stand.take(&nodes).await.expect("room").views;
    let rows = views.requests.map(|view| (view.limit, view.remaining, view.reset));
    assert_eq!(rows, Some((5, 4, Duration::from_secs(12))));
    let rows = views.tokens.map(|view| (view.limit, view.remaining, view.reset));
    assert_eq!(rows, Some((40, 30, Duration::from_secs(15))));
    let views = stand.take(&[]).await.expect("no limits").views;
    assert_eq!((views.requests, views.tokens), (None, None));
}

async fn a_model_has_limits_of_its_own(stand: Stand) {
    let node = |name: &str| {
        let model = ModelName::new(name).expect("a model name");
        let place = key(LimitSet::default());
        Node { id: place.id.for_model(&model), model: Some(model), limits: requests(1), ..place }
    };
    let taken = [stand.take(&[node("a")]).await, stand.take(&[node("b")]).await];
    assert!(taken.iter().all(Result::is_ok));
    let refused = stand.refused(&[node("a")]).await;
    assert_eq!(refused.model.as_ref().map(ModelName::as_str), Some("a"));
    assert!(refused.to_string().contains("for this API key for model a"), "{refused}");
}

async fn a_changed_limit_holds_from_the_next_request(stand: Stand) {
    let nodes = |limit| [tenant(LimitSet { concurrency: Some(limit), ..requests(limit) })];
    let two = [stand.take(&nodes(2)).await.expect("one"), stand.take(&nodes(2)).await.expect("two")];
    assert_eq!(stand.refused(&nodes(2)).await.remaining, 0);
    let third = stand.take(&nodes(4)).await.expect("raised");
    assert_eq!(third.views.requests.map(|view| view.remaining), Some(1));
    assert_eq!(stand.refused(&nodes(1)).await.limiter, Limiter::RequestsPerMinute);
    drop((two, third));
    drop(stand.take(&nodes(1)).await.expect("all came back"));
}

async fn huge_limits_and_costs_are_bounded(stand: Stand) {
    for limit in [PER_MINUTE_MAX, PER_MINUTE_MAX + 1, u64::MAX] {
        let nodes = [tenant(tokens(limit))];
        let ask = |tokens| super::super::Ask { tokens, ..stand.ask(nodes.to_vec()) };
        let all = stand.limits.take(&ask(PER_MINUTE_MAX)).await.expect("the whole limit");
        assert_eq!(all.views.tokens.map(|view| (view.limit, view.remaining)), Some((PER_MINUTE_MAX, 0)));
        let refused = exceeded(stand.limits.take(&ask(1)).await);
        assert_eq!((refused.remaining, refused.limit), (0, PER_MINUTE_MAX));
        for tokens in [PER_MINUTE_MAX + 1, u64::MAX] {
            let refused = exceeded(stand.limits.take(&ask(tokens)).await);
            assert_eq!((refused.cost, refused.retry_after), (tokens, None));
        }
    }
    let daily = stand.take(&[key(daily(u64::MAX))]).await.expect("room");
    drop(daily);
    assert_eq!(PER_DAY_MAX.checked_mul(864_000).map(|level| level < 1 << 53), Some(true));
    assert_eq!(PER_MINUTE_MAX.checked_mul(60_000).map(|level| level < 1 << 53), Some(true));
    let free = stand.limits.take(&super::super::Ask { tokens: u64::MAX, ..stand.ask(Vec::new()) }).await;
    free.expect("no limit counts them").reservation.settle(used(u64::MAX, i64::MAX)).await;
}

async fn one_request_takes_once(stand: Stand) {
    let nodes = [tenant(places(2))];
    let ask = super::super::Ask { request_id: request_id(), ..stand.ask(nodes.to_vec()) };
    let taken = stand.limits.take(&ask).await.expect("room");
    assert_eq!(stand.limits.take(&ask).await.err(), Some(TakeError::Repeated));
    taken.reservation.settle(used(1, 0)).await;
    assert_eq!(stand.limits.take(&ask).await.err(), Some(TakeError::Repeated), "its place is taken");
    assert_eq!(stand.limits.running(), 1);
}
