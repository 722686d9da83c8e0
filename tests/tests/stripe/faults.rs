//! Whatever fails at whichever call: in the end there is one customer, one invoice and one payment, and both sides say
//! the same.
//! Never a fault that is drawn by chance: each kind at each call.
//! Against the fake.

use std::{collections::BTreeMap, ops::Range};

use billing::ledger::{InvoiceState, StepState};
use tests::harness::stripe::Fault;

use crate::world::{DAY, HOUR, World};

/// A call as the fake's faults name it, and which of those it is, from 1.
type Place = (String, usize);

/// The calls of a stretch, ids replaced by a star.
fn places(world: &World, stretch: Range<usize>) -> Vec<Place> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let calls = world.fake.calls();
    let named = calls.get(stretch).unwrap_or_default().iter().map(|call| {
        let part = |part: &str| match part.contains('_') && part.chars().any(|letter| letter.is_ascii_digit())
        {
            true => "*".to_owned(),
            false => part.to_owned(),
        };
        let path: Vec<_> = call.path.split('/').map(part).collect();
        let pattern = format!("{} {}", call.method, path.join("/"));
        let count = counts.entry(pattern.clone()).or_default();
        *count += 1;
        (pattern, *count)
    });
    named.collect()
}

/// One tenant and one invoice, with a fault somewhere on the way.
async fn run(fault: Option<(&Place, &Fault)>) -> (World, Range<usize>) {
    let mut world = World::new().await;
    if let Some(((pattern, nth), fault)) = fault.filter(|((pattern, _), _)| pattern.contains("customers")) {
        world.fake.fault(pattern, *nth, fault.clone());
    }
    let acme = world.acme().await;
    let before = world.fake.calls().len();
    if let Some(((pattern, nth), fault)) = fault.filter(|((pattern, _), _)| !pattern.contains("customers")) {
        world.fake.fault(pattern, *nth, fault.clone());
    }
    let number = world.issue(&acme).await;
    world.settle().await;
    if fault.is_some() {
        world.pass(HOUR);
        world.settle().await;
    }
    // What is compared afterwards is no part of the way.
    let way = before..world.fake.calls().len();
    let what = format!("{fault:?}: {:?}", world.steps(StepState::Pending).await);
    let theirs = world.theirs(&number);
    world.customer_of(&acme);
    assert_eq!((theirs["status"].as_str(), theirs["total"].as_i64()), (Some("paid"), Some(1_250)), "{what}");
    assert_eq!(world.fake.lines(theirs["id"].as_str().unwrap_or_default()).len(), 2, "{what}");
    assert_eq!(world.fake.objects("payment_intent").len(), 1, "{what}");
    assert_eq!(world.parked().await, Vec::<String>::new(), "{what}");
    let standing = world.standing(&number).await;
    assert_eq!((standing.state, standing.paid.get()), (InvoiceState::Paid, 1_250), "{what}");
    assert_eq!(world.reconcile(&acme).await, (vec![], 1), "{what}");
    (world, way)
}

/// Each fault at each call of an invoice's way, and at those that make its customer.
async fn at_each_call(faults: &[Fault]) {
    let (world, way) = run(None).await;
    let of_invoice = places(&world, way.clone()).into_iter();
    let of_customer =
        places(&world, 0..way.start).into_iter().filter(|(pattern, _)| pattern == "POST /v1/customers");
    let all: Vec<_> = of_invoice.chain(of_customer).collect();
    assert!(all.iter().any(|(pattern, _)| pattern == "POST /v1/invoices/*/pay"), "{all:?}");
    assert!(all.len() > 10, "{all:?}");
    for place in &all {
        for fault in faults {
            run(Some((place, fault))).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_requests_and_replies_change_nothing() {
    at_each_call(&[Fault::LoseRequest, Fault::LoseReply]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_are_stored_change_nothing() {
    at_each_call(&[Fault::BreakBefore, Fault::BreakAfter]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_calls_and_locks_change_nothing() {
    at_each_call(&[Fault::RateLimited { retry_after: Some(0) }, Fault::LockTimeout]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_for_longer_than_keys_are_kept_makes_no_second_invoice() {
    for pattern in ["POST /v1/customers", "POST /v1/invoices", "POST /v1/invoices/*/pay"] {
        let mut world = World::new().await;
        world.fake.fault(pattern, 1, Fault::LoseReply);
        let acme = world.tenant("acme", "USD", &["10"]).await;
        world.ledger.link_stripe(acme.id, Default::default(), world.now).await.expect("linked");
        // The reply is lost, and nobody comes back before the keys are forgotten.
        world.work().await;
        world.pass(2 * DAY);
        world.settle().await;
        world.leave_card(&acme, "pm_card_visa").await;
        let number = world.issue(&acme).await;
        for _ in 0..4 {
            world.work().await;
        }
        world.pass(2 * DAY);
        world.settle().await;
        world.customer_of(&acme);
        assert_eq!(world.theirs(&number)["status"], "paid", "{pattern}");
        assert_eq!(world.fake.objects("payment_intent").len(), 1, "{pattern}");
        assert_eq!(world.standing(&number).await.state, InvoiceState::Paid, "{pattern}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_is_charged_again_days_later_and_at_last_parked() {
    let mut world = World::new().await;
    let acme = world.tenant("acme", "USD", &["10"]).await;
    world.link(&acme, Default::default()).await;
    let number = world.issue(&acme).await;
    // Without a card at all, then with one that is declined.
    world.settle().await;
    world.leave_card(&acme, "pm_card_chargeCustomerFail").await;
    let tries = |world: &World| world.fake.calls_to("POST /v1/invoices/*/pay").len();
    assert_eq!(tries(&world), 2, "a card that was left is tried at once");
    for (days, expected) in [(1, 2), (3, 3), (4, 3), (6, 4)] {
        world.pass(days * DAY);
        world.settle().await;
        assert_eq!(tries(&world), expected, "after {days} more days");
    }
    assert_eq!(world.parked().await.len(), 1);
    let events = world.ledger.events_page(acme.id, None, 99).await.expect("events");
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "payment.failed").count(), 4, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "stripe.parked").count(), 1, "{kinds:?}");
    assert_eq!(world.standing(&number).await.state, InvoiceState::Issued);
    // Another card, and somebody who lets it go on.
    world.leave_card(&acme, "pm_card_visa").await;
    let parked = world.steps(StepState::Parked).await.remove(0);
    world.ledger.retry_stripe_step((&parked.subject, parked.sequence), world.now).await.expect("going");
    world.settle().await;
    assert_eq!(world.standing(&number).await.state, InvoiceState::Paid);
    assert_eq!(world.theirs(&number)["status"], "paid");
}
