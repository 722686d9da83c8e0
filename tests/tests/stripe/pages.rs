//! Pages at Stripe: cards, payments in advance and the portal; customers on a test clock.
//! Never money twice, and never money that was not paid.
//! Against the fake.

use billing::ledger::{Collection, StepState, Tenant};
use billing::rate::MinorUnits;
use gateway::stripe::{PageFor, Trouble};
use serde_json::json;
use tests::harness::stripe::Visit;

use crate::world::World;

async fn granted(world: &World, tenant: &Tenant) -> i128 {
    world.ledger.balance(tenant.id).await.expect("read").granted.nanos() / 10_000_000
}

async fn page(world: &World, tenant: &Tenant, what: PageFor) -> Result<String, String> {
    let made = world.stripe.make_page(&world.ledger, (tenant, what), world.now).await;
    made.map(|page| page.id).map_err(|trouble| trouble.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn money_paid_in_advance_is_the_tenants_once() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let session = page(&world, &acme, PageFor::TopUp(MinorUnits::new(5_000))).await.expect("a page");
    world.settle().await;
    assert_eq!(granted(&world, &acme).await, 0, "nobody has paid");
    world.fake.visit(&session, &Visit::Completes("pm_card_visa".to_owned())).expect("paid");
    let events = world.untold();
    for _ in 0..3 {
        world.hear(&events).await;
        world.settle().await;
    }
    assert_eq!(granted(&world, &acme).await, 5_000);
    // Somebody gives a part back at Stripe, and then the rest; told in the wrong order, and twice.
    let charge = world.fake.objects("charge").remove(0);
    let charge = charge["id"].as_str().unwrap_or_default();
    world.at_stripe("/refunds", &[("charge", charge), ("amount", "1000")]).await;
    world.at_stripe("/refunds", &[("charge", charge), ("amount", "4000")]).await;
    let mut events = world.untold();
    events.reverse();
    world.hear(&events).await;
    world.hear(&events).await;
    world.settle().await;
    assert_eq!(granted(&world, &acme).await, 0);
    assert_eq!(world.parked().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_is_no_money() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let kept = page(&world, &acme, PageFor::TopUp(MinorUnits::new(700))).await.expect("a page");
    let broken = page(&world, &acme, PageFor::TopUp(MinorUnits::new(900))).await.expect("a page");
    for session in [&kept, &broken] {
        world.fake.visit(session, &Visit::Promises).expect("promised");
    }
    world.settle().await;
    assert_eq!(granted(&world, &acme).await, 0);
    world.fake.visit(&kept, &Visit::Settles).expect("it came");
    world.fake.visit(&broken, &Visit::Fails).expect("it did not");
    world.settle().await;
    assert_eq!(granted(&world, &acme).await, 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_was_left_is_the_one_that_is_charged() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let card = |world: &World| {
        let customer = world.customer_of(&acme);
        customer["invoice_settings"]["default_payment_method"].clone()
    };
    let first = card(&world);
    assert!(first.is_string());
    world.leave_card(&acme, "pm_card_mastercard").await;
    assert_ne!(card(&world), first, "the latest counts");
    let portal = page(&world, &acme, PageFor::Portal).await.expect("a page");
    assert!(!portal.is_empty());
    world.settle().await;
    assert_eq!(world.parked().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_refused_before_anything_is_made() {
    let mut world = World::with(|settings| settings.return_url = None).await;
    let acme = world.tenant("acme", "KWD", &["1"]).await;
    let refused = |text: Result<String, String>| text.expect_err("refused");
    let error = refused(page(&world, &acme, PageFor::Portal).await);
    assert_eq!(error, "tenant acme is not billed through Stripe; link it first");
    world.ledger.link_stripe(acme.id, (Collection::Charge, None), world.now).await.expect("linked");
    let error = refused(page(&world, &acme, PageFor::Portal).await);
    assert_eq!(error, "the customer of tenant acme is still being made; try again");
    world.settle().await;
    let error = refused(page(&world, &acme, PageFor::Card).await);
    assert!(error.starts_with("stripe.return_url is not set"), "{error}");
    page(&world, &acme, PageFor::Portal).await.expect("needs none");
    let mut world = World::new().await;
    let acme = world.tenant("acme", "KWD", &["1"]).await;
    world.link(&acme, Collection::Charge).await;
    for (amount, text) in
        [(0, "above zero"), (-5, "above zero"), (1_234, "1.234 KWD cannot be paid at Stripe")]
    {
        let error = refused(page(&world, &acme, PageFor::TopUp(MinorUnits::new(amount))).await);
        assert!(error.contains(text), "{amount}: {error}");
    }
    assert_eq!(world.fake.calls_to("POST /v1/checkout/sessions").len(), 0);
    let made = world.stripe.make_page(&world.ledger, (&acme, PageFor::Card), world.now).await;
    assert!(!matches!(made, Err(Trouble::Call(_))), "{made:?}");
    assert_eq!(world.steps(StepState::Pending).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_are_made_on_the_test_clock_that_is_configured() {
    let probe = World::new().await;
    let clock = probe.at_stripe("/test_helpers/test_clocks", &[("frozen_time", "1796083200")]).await;
    let clock = clock["id"].as_str().unwrap_or_default().to_owned();
    let mut world = probe.configured(|settings| settings.test_clock = Some(clock.clone()));
    let acme = world.tenant("acme", "USD", &["10"]).await;
    world.fake.fault("POST /v1/customers", 1, tests::harness::stripe::Fault::LoseReply);
    world.link(&acme, Collection::Charge).await;
    world.settle().await;
    assert_eq!(world.customer_of(&acme)["test_clock"], json!(clock));
}
