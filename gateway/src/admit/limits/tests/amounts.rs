//! Budgets and balances: exact to the last nano, each hold ended once.
//! Never about limits over time: `rates` is.
//! Part of the suite that runs on every store.

use std::time::Duration;

use super::{
    super::{AmountKind, LimitSet, Limiter, Scope, TakeError},
    stand::{Stand, TTL, amount, amount_keys, balance, budget, key, project, request_id, tenant, used},
};

super::on_every_store!(
    an_unknown_window_asks_to_be_seeded,
    the_first_seed_wins,
    what_fits_exactly_fits,
    amounts_are_exact_to_the_last_nano,
    a_settled_hold_becomes_its_charge,
    a_void_hold_leaves_nothing,
    open_holds_are_told_by_request,
    each_hold_ends_once,
    an_expired_hold_still_counts_its_charge,
    an_expired_hold_is_forgotten_after_a_day,
    a_panic_gives_everything_back,
    a_changed_limit_counts_what_was_spent,
    windows_are_apart,
    a_budget_says_when_it_begins_anew,
    what_is_held_is_told_from_what_is_spent,
    many_overdue_holds_hold_nothing,
    shipping_settles_what_a_crash_left,
    numbers_below_zero_count_as_zero,
);

async fn an_unknown_window_asks_to_be_seeded(stand: Stand) {
    let nodes = [tenant(balance(100)), project(1, LimitSet::default()), key(budget(10))];
    let expected = amount_keys(&nodes);
    assert_eq!(stand.hold(&nodes, 1).await.err(), Some(TakeError::Unseeded(expected.clone())));
    stand.limits.seed(stand.tenant_id, &[(expected[0].clone(), 7)]).await.expect("the store is there");
    assert_eq!(stand.hold(&nodes, 1).await.err(), Some(TakeError::Unseeded(expected[1..].to_vec())));
    stand.limits.seed(stand.tenant_id, &[(expected[1].clone(), 0)]).await.expect("the store is there");
    let taken = stand.hold(&nodes, 1).await.expect("both are known");
    assert_eq!((stand.limits.running(), stand.held().await.nanos), (1, 1), "the attempts took nothing");
    drop(taken);
    assert_eq!(stand.left(&nodes[0]).await, 93);
}

async fn the_first_seed_wins(stand: Stand) {
    let node = tenant(budget(100));
    for spent in [40, 0, 99, 40] {
        stand.seed(std::slice::from_ref(&node), spent).await;
    }
    assert_eq!(stand.left(&node).await, 60);
    let taken = stand.hold(std::slice::from_ref(&node), 10).await.expect("room");
    stand.seed(std::slice::from_ref(&node), 0).await;
    taken.reservation.settle(used(1, 10)).await;
    stand.seed(std::slice::from_ref(&node), 0).await;
    assert_eq!(stand.left(&node).await, 50);
}

async fn what_fits_exactly_fits(stand: Stand) {
    // Limit, spent, hold; expected: what is left, `None` when it does not fit.
    let rows = [
        (10, 0, 10, Some(0)),
        (10, 0, 11, None),
        (10, 9, 1, Some(0)),
        (10, 9, 2, None),
        (10, 10, 0, Some(0)),
        (10, 10, 1, None),
        (10, 11, 0, None),
        (0, 0, 0, Some(0)),
        (0, 0, 1, None),
    ];
    for (number, (limit, spent, hold, expected)) in (0..).zip(rows) {
        let node = project(number, budget(limit));
        stand.seed(std::slice::from_ref(&node), spent).await;
        match (stand.hold(std::slice::from_ref(&node), hold).await, expected) {
            (Ok(_taken), Some(left)) => assert_eq!(stand.left(&node).await, left, "row {number}"),
            (Err(TakeError::Exceeded(exceeded, _)), None) => {
                assert_eq!(exceeded.limiter, Limiter::Budget, "row {number}");
            }
            (outcome, _) => panic!("row {number}: {outcome:?}"),
        }
    }
}

async fn amounts_are_exact_to_the_last_nano(stand: Stand) {
    let edge = 1_i64 << 53;
    // Limit, spent: beyond 2^53 a double cannot tell neighbours apart.
    let rows = [
        (edge + 1, 0),
        (edge + 1, edge),
        (i64::MAX, 0),
        (i64::MAX, i64::MAX - 1),
        (i64::MAX, edge + 1),
        (i64::MAX - 1, i64::MAX - 2),
    ];
    for (number, (limit, spent)) in (0..).zip(rows) {
        let node = [project(number, budget(limit))];
        stand.seed(&node, spent).await;
        let left = limit - spent;
        if let Some(more) = left.checked_add(1) {
            let refused = stand.hold_refused(&node, more).await;
            assert_eq!((i64::try_from(refused.remaining), i64::try_from(refused.cost)), (Ok(left), Ok(more)));
        }
        let taken = stand.hold(&node, left).await.expect("exactly what is left");
        assert_eq!(stand.hold_refused(&node, 1).await.remaining, 0, "row {number}");
        assert_eq!(stand.held().await.nanos, i128::from(left));
        taken.reservation.settle(used(1, left - 1)).await;
        assert_eq!(stand.hold_refused(&node, 2).await.remaining, 1, "row {number}");
        drop(stand.hold(&node, 1).await.expect("the last one"));
    }
}

async fn a_settled_hold_becomes_its_charge(stand: Stand) {
    let nodes = [tenant(balance(100)), project(1, budget(60)), key(budget(50))];
    stand.seed(&nodes, 0).await;
    let taken = stand.hold(&nodes, 30).await.expect("room");
    let held = stand.held().await;
    assert_eq!((held.count, held.nanos), (1, 30), "a hold counts once, whatever it is held at");
    let refused = stand.hold_refused(&nodes, 30).await;
    assert_eq!((refused.scope, refused.remaining, refused.cost, refused.limit), (Scope::Key, 20, 30, 50));
    taken.reservation.settle(used(1, 12)).await;
    assert_eq!(stand.held().await.count, 0);
    let rows = [(&nodes[0], 88), (&nodes[1], 48), (&nodes[2], 38)];
    for (node, left) in rows {
        assert_eq!(stand.left(node).await, left);
    }
}

async fn open_holds_are_told_by_request(stand: Stand) {
    let nodes = [tenant(balance(1_000))];
    stand.seed(&nodes, 0).await;
    let mut kept = Vec::new();
    for nanos in [10, 20, 30] {
        kept.push(stand.hold(&nodes, nanos).await.expect("room"));
    }
    stand.advance(Duration::from_secs(5)).await;
    let all = stand.limits.open_holds(stand.tenant_id, None, 10).await.expect("the store is there");
    let mut expected: Vec<_> =
        kept.iter().zip([10, 20, 30]).map(|(taken, nanos)| (taken.reservation.request_id(), nanos)).collect();
    expected.sort_unstable();
    assert_eq!(all.iter().map(|hold| (hold.request_id, hold.nanos)).collect::<Vec<_>>(), expected);
    for hold in &all {
        assert_eq!(
            (hold.tokens, hold.age, hold.left),
            (10, Duration::from_secs(5), TTL - Duration::from_secs(5))
        );
    }
    let page = stand.limits.open_holds(stand.tenant_id, None, 2).await.expect("the store is there");
    assert_eq!(page, all[..2]);
    let rest = stand.limits.open_holds(stand.tenant_id, Some(page[1].request_id), 2).await;
    assert_eq!(rest.expect("the store is there"), all[2..]);
    for taken in kept {
        taken.reservation.settle(used(1, 1)).await;
    }
    assert_eq!(stand.limits.open_holds(stand.tenant_id, None, 10).await.expect("the store is there"), []);
}

async fn a_void_hold_leaves_nothing(stand: Stand) {
    let nodes = [tenant(balance(100)), key(budget(50))];
    stand.seed(&nodes, 10).await;
    for _ in 0..20 {
        drop(stand.hold(&nodes, 40).await.expect("everything came back"));
    }
    assert_eq!(stand.held().await.count, 0);
    assert_eq!((stand.left(&nodes[0]).await, stand.left(&nodes[1]).await), (90, 40));
}

async fn each_hold_ends_once(stand: Stand) {
    let node = [tenant(balance(100))];
    stand.seed(&node, 0).await;
    let taken = stand.hold(&node, 40).await.expect("room");
    let id = taken.reservation.request_id();
    taken.reservation.settle(used(1, 30)).await;
    for charge in [30, 30, 7, 0] {
        stand.ship(id, charge).await;
    }
    assert_eq!(stand.left(&node[0]).await, 70, "settled, then shipped again and again");
    let void = stand.hold(&node, 40).await.expect("room");
    let id = void.reservation.request_id();
    drop(void);
    assert_eq!(stand.held().await.count, 0);
    stand.ship(id, 40).await;
    stand.ship(request_id(), 40).await;
    assert_eq!(stand.left(&node[0]).await, 70, "a void request and an unknown one charge nothing");
    let shipped = stand.hold(&node, 40).await.expect("room");
    stand.ship(shipped.reservation.request_id(), 5).await;
    shipped.reservation.settle(used(1, 40)).await;
    assert_eq!(stand.left(&node[0]).await, 65, "shipped first");
    let shipped = stand.hold(&node, 40).await.expect("room");
    stand.ship(shipped.reservation.request_id(), 5).await;
    drop(shipped);
    assert_eq!(stand.left(&node[0]).await, 60, "shipped, then dropped");
}

async fn an_expired_hold_still_counts_its_charge(stand: Stand) {
    let node = [tenant(balance(100))];
    stand.seed(&node, 0).await;
    let late = stand.hold(&node, 60).await.expect("room");
    let void = stand.hold(&node, 40).await.expect("room");
    stand.advance(TTL - Duration::from_secs(1)).await;
    assert_eq!(stand.left(&node[0]).await, 0);
    stand.advance(Duration::from_secs(1)).await;
    assert_eq!(stand.left(&node[0]).await, 100, "both ran out");
    assert_eq!(stand.held().await.count, 0);
    stand.limits.sweep().await;
    let id = late.reservation.request_id();
    late.reservation.settle(used(1, 55)).await;
    stand.ship(id, 55).await;
    assert_eq!(stand.left(&node[0]).await, 45, "its charge counts, once");
    drop(void);
    assert_eq!(stand.left(&node[0]).await, 45);
}

async fn an_expired_hold_is_forgotten_after_a_day(stand: Stand) {
    let node = [tenant(balance(100))];
    stand.seed(&node, 0).await;
    let [early, late] =
        [stand.hold(&node, 1).await.expect("room"), stand.hold(&node, 1).await.expect("room")];
    stand.advance(TTL).await;
    stand.limits.sweep().await;
    stand.advance(Duration::from_secs(86_399)).await;
    stand.limits.sweep().await;
    early.reservation.settle(used(1, 1)).await;
    assert_eq!(stand.left(&node[0]).await, 99);
    stand.advance(Duration::from_secs(1)).await;
    stand.limits.sweep().await;
    late.reservation.settle(used(1, 1)).await;
    assert_eq!(stand.left(&node[0]).await, 99);
}

async fn a_panic_gives_everything_back(stand: Stand) {
    let node = [tenant(LimitSet { concurrency: Some(1), ..balance(100) })];
    stand.seed(&node, 0).await;
    for _ in 0..3 {
        let taken = stand.hold(&node, 100).await.expect("everything came back");
        let task = tokio::spawn(async move {
            let _taken = taken;
            panic!("the holder of a request failed");
        });
        assert!(task.await.is_err_and(|error| error.is_panic()));
        let held = stand.held().await;
        assert_eq!((held.count, held.nanos, stand.limits.running()), (0, 0, 0));
    }
}

async fn a_changed_limit_counts_what_was_spent(stand: Stand) {
    let node = |limit| [tenant(balance(limit))];
    stand.seed(&node(100), 20).await;
    let taken = stand.hold(&node(100), 50).await.expect("room");
    // Raised, lowered below what is spent and held, and to both ends of the range.
    for (limit, left) in [(200, 130), (60, 0), (i64::MAX, u64::MAX / 2 - 70), (0, 0), (100, 30)] {
        assert_eq!(stand.left(&node(limit)[0]).await, left, "{limit}");
    }
    taken.reservation.settle(used(1, 10)).await;
    assert_eq!(stand.left(&node(100)[0]).await, 70);
    assert_eq!(stand.left(&node(30)[0]).await, 0);
    drop(stand.hold(&node(30), 0).await.expect("exactly spent"));
    assert_eq!(stand.hold_refused(&node(29), 0).await.limiter, Limiter::Balance);
}

async fn windows_are_apart(stand: Stand) {
    let day = 86_400_000_000;
    let node = |start| [key(amount(AmountKind::Budget, start, 100, None))];
    let other = [key(amount(AmountKind::Balance, 0, 100, None))];
    for nodes in [node(0), node(day), other.clone()] {
        assert!(matches!(stand.hold(&nodes, 1).await, Err(TakeError::Unseeded(_))));
        stand.seed(&nodes, 0).await;
    }
    let old = stand.hold(&node(0), 100).await.expect("room");
    let new = stand.hold(&node(day), 10).await.expect("a new window has all of its budget");
    old.reservation.settle(used(1, 90)).await;
    new.reservation.settle(used(1, 1)).await;
    let lefts = [stand.left(&node(0)[0]).await, stand.left(&node(day)[0]).await, stand.left(&other[0]).await];
    assert_eq!(lefts, [10, 99, 100]);
}

async fn a_budget_says_when_it_begins_anew(stand: Stand) {
    let hour = Duration::from_secs(3_600);
    let resets_at = domain::Timestamp::from_unix_micros(stand.now().unix_micros() + 3_600_000_000);
    let rows = [
        (AmountKind::Budget, 60, Some(hour)),
        (AmountKind::Budget, 101, None),
        (AmountKind::Balance, 60, None),
    ];
    for (number, (kind, hold, expected)) in (0..).zip(rows) {
        let node = [project(number, amount(kind, 0, 100, Some(resets_at)))];
        stand.seed(&node, 50).await;
        let refused = stand.hold_refused(&node, hold).await;
        assert_eq!((refused.retry_after, refused.resets_at), (expected, Some(resets_at)));
    }
}

async fn what_is_held_is_told_from_what_is_spent(stand: Stand) {
    let second = Some(Duration::from_secs(1));
    let nodes = [tenant(balance(100)), key(budget(1_000))];
    stand.seed(&nodes, 30).await;
    let [long, short] =
        [stand.hold(&nodes, 40).await.expect("room"), stand.hold(&nodes, 20).await.expect("room")];
    // Hold; expected: whether what is missing is held. 10 are left, 60 held, 30 spent.
    for (hold, is_held) in [(11, true), (70, true), (71, false), (100, false), (i64::MAX, false)] {
        let refused = stand.hold_refused(&nodes, hold).await;
        assert_eq!((refused.limiter, refused.remaining, refused.unspent), (Limiter::Balance, 10, 70));
        assert_eq!((refused.is_held, refused.retry_after), (is_held, second.filter(|_| is_held)), "{hold}");
    }
    short.reservation.settle(used(1, 20)).await;
    let refused = stand.hold_refused(&nodes, 60).await;
    assert_eq!((refused.remaining, refused.unspent, refused.is_held), (10, 50, false), "it was spent");
    assert!(stand.hold_refused(&nodes, 50).await.is_held);
    // A limit below what is spent leaves nothing to wait for, whatever is held.
    assert_eq!(stand.hold_refused(&[tenant(balance(40))], 1).await.unspent, 0);
    drop(long);
    assert_eq!(stand.held().await.count, 0);
    let refused = stand.hold_refused(&nodes, 51).await;
    assert_eq!((refused.remaining, refused.unspent, refused.is_held), (50, 50, false));
    // A hold that ran out holds nothing, and its charge is spent.
    let late = stand.hold(&nodes, 50).await.expect("room");
    assert!(stand.hold_refused(&nodes, 50).await.is_held);
    stand.advance(TTL).await;
    late.reservation.settle(used(1, 50)).await;
    let refused = stand.hold_refused(&nodes, 1).await;
    assert_eq!((refused.remaining, refused.unspent, refused.is_held), (0, 0, false));
}

async fn many_overdue_holds_hold_nothing(stand: Stand) {
    // More than one call of a script sweeps.
    const MANY: usize = 1_020;
    let nodes = [tenant(balance(1_000_000))];
    stand.seed(&nodes, 0).await;
    let mut kept = Vec::with_capacity(MANY);
    for _ in 0..MANY {
        kept.push(stand.hold(&nodes, 10).await.expect("room"));
    }
    stand.advance(TTL).await;
    let open = stand.limits.open_holds(stand.tenant_id, None, 10).await.expect("the store is there");
    assert_eq!((open, stand.held().await.count), (Vec::new(), 0));
    stand.limits.sweep().await;
    assert_eq!(stand.left(&nodes[0]).await, 1_000_000);
    drop(kept);
}

async fn shipping_settles_what_a_crash_left(stand: Stand) {
    let node = [tenant(balance(100))];
    stand.seed(&node, 0).await;
    let [killed, crashed] =
        [stand.hold(&node, 50).await.expect("room"), stand.hold(&node, 50).await.expect("room")];
    let ids = [killed.reservation.request_id(), crashed.reservation.request_id()];
    // A killed process runs no destructor.
    std::mem::forget((killed, crashed));
    stand.ship(ids[0], 30).await;
    stand.ship(ids[1], 0).await;
    assert_eq!((stand.held().await.count, stand.left(&node[0]).await), (0, 70));
}

async fn numbers_below_zero_count_as_zero(stand: Stand) {
    let node = |limit| [tenant(balance(limit))];
    stand.seed(&node(100), -50).await;
    assert_eq!(stand.left(&node(100)[0]).await, 100);
    for limit in [-1, i64::MIN] {
        assert_eq!(stand.hold_refused(&node(limit), 1).await.limit, 0);
    }
    let taken = stand.hold(&node(100), i64::MIN).await.expect("room");
    assert_eq!(stand.held().await.nanos, 0);
    taken.reservation.settle(used(1, i64::MIN)).await;
    assert_eq!(stand.left(&node(100)[0]).await, 100);
}
