//! Limits as clients meet them: refusals that take nothing, settlements that give back, many threads at once.
//! Never sleeps: instants are made by hand.
//! Run by `cargo test -p gateway`.

use super::*;

struct Table {
    limits: Limits,
    origin: Instant,
    ask: Ask,
}

fn limits(requests: Option<u64>, tokens: Option<u64>, concurrency: Option<u64>) -> LimitSet {
    LimitSet { requests_per_minute: requests, tokens_per_minute: tokens, concurrency }
}

fn table(tenant: LimitSet, key: LimitSet) -> Table {
    let origin = Instant::now();
    let tenant_id = TenantId::generate(domain::Timestamp::from_unix_micros(1));
    let request_id = RequestId::generate(domain::Timestamp::from_unix_micros(1));
    let key_id = KeyId::new("k").expect("a key id");
    let ask = Ask { request_id, tenant_id, key_id, tenant, key, tokens: 10 };
    Table { limits: Limits::new(origin), origin, ask }
}

impl Table {
    fn admit(&self, after_ms: u64) -> Result<(Reservation, Permit, LimitViews), Exceeded> {
        let admitted = self.limits.admit(&self.ask, self.origin + Duration::from_millis(after_ms));
        admitted.map_err(|(exceeded, _)| exceeded)
    }
}

#[test]
fn a_refusal_takes_nothing_from_any_scope() {
    let table = table(limits(Some(10), Some(1_000), None), limits(Some(1), None, None));
    let (reservation, permit, views) = table.admit(0).expect("room");
    assert_eq!(views.requests.map(|view| view.remaining), Some(0));
    assert_eq!(views.tokens.map(|view| view.remaining), Some(990));
    reservation.settle(10);
    drop(permit);
    for _ in 0..50 {
        let refused = table.admit(0).expect_err("the key's limit is used up");
        assert_eq!((refused.scope, refused.limiter), (Scope::Key, Limiter::RequestsPerMinute));
        assert_eq!(refused.retry_after, Some(Duration::from_secs(60)));
    }
    let (_, _, views) = table.admit(60_000).expect("a minute later");
    assert_eq!(views.tokens.map(|view| view.remaining), Some(990), "refusals took no tokens");
}

#[test]
fn settlement_gives_back_what_was_not_used() {
    let table = table(limits(None, Some(30), None), LimitSet::default());
    let (first, _permit, _) = table.admit(0).expect("room");
    first.settle_at(4, table.origin);
    let (second, _permit, views) = table.admit(0).expect("room");
    assert_eq!(views.tokens.map(|view| view.remaining), Some(16));
    drop(second);
    let (_reservation, _permit, views) = table.admit(0).expect("a void request used nothing");
    // The moments until the drop have drained a fraction of a token, which is not given back again.
    assert!(views.tokens.is_some_and(|view| (15..=16).contains(&view.remaining)), "{views:?}");
}

#[test]
fn what_has_drained_is_not_given_back_again() {
    let table = table(limits(None, Some(60), None), LimitSet::default());
    let (slow, _permit, _) = table.admit(0).expect("room");
    // Ten seconds drain the ten tokens that the slow request reserved.
    let (second, _permit, _) = table.admit(10_000).expect("room");
    slow.settle_at(1, table.origin + Duration::from_secs(10));
    let (_third, _permit, views) = table.admit(10_000).expect("room");
    assert_eq!(views.tokens.map(|view| view.remaining), Some(40), "two of ten are held, nothing came back");
    second.settle_at(1, table.origin + Duration::from_secs(10));
    let (_fourth, _permit, views) = table.admit(10_000).expect("room");
    assert_eq!(views.tokens.map(|view| view.remaining), Some(39), "nine of the second came back");
}

#[test]
fn more_tokens_than_the_limit_never_fit() {
    let table = table(limits(None, Some(9), None), LimitSet::default());
    let refused = table.admit(0).expect_err("too large");
    assert_eq!((refused.retry_after, refused.cost, refused.limit), (None, 10, 9));
}

#[test]
fn concurrency_is_held_until_the_permit_is_dropped() {
    let table = table(limits(None, None, Some(2)), LimitSet::default());
    let (one, permit_one, _) = table.admit(0).expect("first");
    let (two, permit_two, _) = table.admit(0).expect("second");
    one.settle(1);
    assert_eq!(table.admit(0).expect_err("full").limiter, Limiter::Concurrency);
    drop(permit_one);
    let _third = table.admit(0).expect("one left");
    drop((two, permit_two));
    assert_eq!(table.limits.running(), 1);
}

#[test]
fn many_threads_never_pass_the_limit() {
    let table = Arc::new(table(limits(Some(100), None, None), limits(Some(60), None, None)));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let table = Arc::clone(&table);
            std::thread::spawn(move || {
                let admitted = (0..50).filter_map(|_| table.admit(0).ok());
                admitted.map(|(reservation, ..)| reservation.settle(10)).count()
            })
        })
        .collect();
    let admitted: usize = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
    assert_eq!(admitted, 60);
}
