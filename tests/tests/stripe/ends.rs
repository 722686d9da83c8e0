//! Ends of invoices, on this side and on the other, and credit notes: both sides come to say the same.
//! Never a step back, in whichever order Stripe tells.
//! Against the fake.

use billing::{
    invoice::{CreditLineRequest, CreditRequest},
    ledger::{Collection, InvoiceState, NewPayment, Tenant},
    rate::MinorUnits,
};
use serde_json::{Value, json};

use crate::world::{World, all};

/// A tenant with an invoice of 12.50 that was sent and is not paid.
async fn sent() -> (World, Tenant, String) {
    let mut world = World::new().await;
    let acme = world.tenant("acme", "USD", &["10", "2.5"]).await;
    world.link(&acme, Collection::Send).await;
    let number = world.issue(&acme).await;
    world.settle().await;
    assert_eq!(world.theirs(&number)["status"], "open");
    (world, acme, number)
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_that_are_reached_here_are_reached_at_stripe() {
    for (end, expected) in [("void", "void"), ("write-off", "uncollectible"), ("bank", "paid")] {
        let (mut world, acme, number) = sent().await;
        match end {
            "void" => drop(world.ledger.void_invoice(&number, "x", world.now).await.expect("void")),
            "write-off" => drop(world.ledger.write_off_invoice(&number, "x", world.now).await.expect("lost")),
            _ => {
                let payment = NewPayment { amount: MinorUnits::new(1_250), reference: "bank 1", note: "" };
                world.ledger.record_payment(&number, &payment, world.now).await.expect("paid");
            }
        }
        world.settle().await;
        assert_eq!(world.theirs(&number)["status"], expected, "{end}");
        assert_eq!(world.parked().await, Vec::<String>::new(), "{end}");
        assert_eq!(world.reconcile(&acme).await, (vec![], 1), "{end}");
        assert_eq!(world.fake.objects("charge").len(), 0, "no card was charged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_before_it_went_to_stripe_never_goes_there() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let number = world.issue(&acme).await;
    world.ledger.void_invoice(&number, "a mistake", world.now).await.expect("void");
    world.settle().await;
    assert_eq!(world.fake.objects("invoice").len(), 0);
    // And what is due nothing has nothing to do there.
    let free = world.tenant("free", "USD", &[]).await;
    world.link(&free, Collection::Charge).await;
    let number = world.issue(&free).await;
    world.settle().await;
    assert_eq!(
        (world.standing(&number).await.state, world.fake.objects("invoice").len()),
        (InvoiceState::Paid, 0)
    );
    assert_eq!(world.parked().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_that_are_reached_at_stripe_are_reached_here() {
    for (act, expected) in [("void", InvoiceState::Void), ("mark_uncollectible", InvoiceState::Uncollectible)]
    {
        let (mut world, acme, number) = sent().await;
        world.at_stripe(&format!("/invoices/{}/{act}", id(&world.theirs(&number))), &[]).await;
        let (differences, _) = world.reconcile(&acme).await;
        assert_eq!(differences.len(), 1, "as long as nobody told: {differences:?}");
        world.settle().await;
        assert_eq!(world.standing(&number).await.state, expected, "{act}");
        assert_eq!((world.reconcile(&acme).await, world.parked().await), ((vec![], 1), vec![]), "{act}");
    }
    let (mut world, _, number) = sent().await;
    let path = format!("/invoices/{}/pay", id(&world.theirs(&number)));
    world.at_stripe(&path, &[("paid_out_of_band", "true")]).await;
    world.settle().await;
    assert_eq!(world.standing(&number).await.state, InvoiceState::Paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_repeated_messages_change_nothing_whatever_their_order() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let number = world.issue(&acme).await;
    while world.work().await > 0 {}
    let mut events = world.untold();
    let kinds = all(&events, "type");
    assert!(kinds.as_array().is_some_and(|kinds| kinds.contains(&json!("invoice.paid"))), "{kinds}");
    events.reverse();
    let count = events.len();
    assert_eq!(world.hear(&events).await, count);
    assert_eq!(world.hear(&events).await, 0, "each counts once");
    world.settle().await;
    let paid = world.standing(&number).await;
    assert_eq!((paid.state, paid.paid.get()), (InvoiceState::Paid, 1_250));
    let payments = paid.events.iter().filter(|event| event.amount.is_some()).count();
    assert_eq!(payments, 1);
    // A message under another id, about what is long over.
    let mut late = events.into_iter().find(|event| event["type"] == "invoice.finalized").unwrap_or_default();
    late["id"] = json!("evt_late");
    assert_eq!(world.hear(&[late]).await, 1);
    world.settle().await;
    assert_eq!(world.standing(&number).await, paid);
    assert_eq!(world.parked().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_is_for_somebody_to_see() {
    let (mut world, acme, number) = sent().await;
    let theirs = world.theirs(&number);
    let card = world
        .at_stripe(
            "/payment_methods/pm_card_visa/attach",
            &[("customer", theirs["customer"].as_str().unwrap_or_default())],
        )
        .await;
    world.at_stripe(&format!("/invoices/{}/pay", id(&theirs)), &[("payment_method", &id(&card))]).await;
    // Made void here before anybody told that it was paid there.
    world.ledger.void_invoice(&number, "a mistake", world.now).await.expect("void");
    world.settle().await;
    let mut parked = world.parked().await;
    parked.sort();
    parked.dedup();
    assert_eq!(parked, ["it is paid at Stripe, and void here"]);
    assert_eq!(world.standing(&number).await.state, InvoiceState::Void);
    let (differences, _) = world.reconcile(&acme).await;
    assert_eq!(
        differences,
        [format!("export -> Stripe: invoice {number}: status is void before and paid after")]
    );
    // What is about nothing of ours is kept, and leads to nothing.
    let strange =
        json!({"id": "evt_x", "type": "invoice.paid", "created": 1, "data": {"object": {"id": "in_x"}}});
    assert_eq!(world.hear(&[strange]).await, 1);
    assert_eq!(world.work().await, 0);
}

fn credit(lines: &[(u32, &str)]) -> CreditRequest {
    let line = |(position, amount): &(u32, &str)| CreditLineRequest {
        position: *position,
        amount: Some((*amount).to_owned()),
    };
    CreditRequest { reason: "outage".to_owned(), lines: lines.iter().map(line).collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn credit_notes_lower_what_is_owed_and_give_back_what_was_paid() {
    let (mut world, acme, number) = sent().await;
    for (key, lines, left) in [("a", &[(1, "3.00")][..], 950), ("b", &[(1, "7.00"), (2, "2.50")], 0)] {
        let note =
            world.ledger.issue_credit_note(&number, (&credit(lines), key), world.now).await.expect("issued");
        world.settle().await;
        assert_eq!(world.theirs(&number)["amount_remaining"], left, "{key}");
        assert_eq!(world.fake.objects_with("credit_note", "tallygate_number", &note.number).len(), 1);
    }
    assert_eq!((world.standing(&number).await.state, world.parked().await), (InvoiceState::Paid, vec![]));
    assert_eq!(world.reconcile(&acme).await, (vec![], 1));
    // What Stripe has collected, Stripe gives back.
    let mut world = World::new().await;
    let acme = world.acme().await;
    let number = world.issue(&acme).await;
    world.settle().await;
    world.ledger.issue_credit_note(&number, (&credit(&[(1, "3.00")]), "a"), world.now).await.expect("issued");
    world.settle().await;
    let refunds = world.fake.objects("refund");
    assert_eq!(all(&refunds, "amount"), json!([300]));
    assert_eq!(world.parked().await, Vec::<String>::new());
    assert_eq!(world.reconcile(&acme).await, (vec![], 1));
}
