//! Checkout sessions: a page of Stripe where a customer pays once, or leaves a card.
//! Never a page here: a test says what the customer did on it.
//! Called by the routes, and by the test for the customer.

use serde_json::{Value, json};

use super::{
    items,
    params::Params,
    payments::{self, Due},
    refusal::Refusal,
    store::{Store, number, text},
};

pub(super) const KIND: &str = "checkout.session";

/// What sessions were told to say of the objects that they make; never shown.
const PASSED: &str = "checkout.passed";

/// How long a session is open: usually and at most, and at least. Unit: seconds.
const OPEN_SECONDS: (i64, i64) = (24 * 60 * 60, 30 * 60);

/// Most lines of a payment. Source: the API reference.
const LINES_MAX: usize = 100;

/// What a customer does on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Pays with a card of Stripe's tests, such as `pm_card_visa`, or leaves it.
    Completes(String),
    /// Pays in a way whose money comes later, if it comes.
    Promises,
    /// The money of a promise came.
    Settles,
    /// The money of a promise will not come.
    Fails,
}

pub(super) fn create(store: &mut Store, mut params: Params) -> Result<Value, Refusal> {
    let mode = params.choice("mode", &["payment", "setup", "subscription"])?;
    let mode = mode.ok_or_else(|| params.absent("mode"))?;
    if mode == "subscription" {
        return Err(Refusal::invalid("mode", "The fake has no subscriptions."));
    }
    let customer = params.text("customer")?;
    if let Some(customer) = &customer {
        store.named("customer", customer, "customer")?;
    }
    let now = store.time_of(customer.as_deref().unwrap_or(""));
    let currency = params.text("currency")?;
    let (amount, currency) = amounts(&mut params, &mode, currency)?;
    let id = store.id("cs_test");
    let mut session = json!({
        "id": id,
        "object": KIND,
        "amount_subtotal": amount,
        "amount_total": amount,
        "cancel_url": null,
        "client_reference_id": null,
        "created": now,
        "currency": currency,
        "customer": customer,
        "customer_email": null,
        "expires_at": expiry(&mut params, now)?,
        "invoice": null,
        "livemode": false,
        "locale": null,
        "metadata": {},
        "mode": mode,
        "payment_intent": null,
        "payment_method_types": params.texts("payment_method_types")?.unwrap_or_else(|| vec!["card".to_owned()]),
        "payment_status": if mode == "setup" { "no_payment_required" } else { "unpaid" },
        "setup_intent": null,
        "status": "open",
        "success_url": params.needed("success_url")?,
        "url": format!("https://checkout.stripe.com/c/pay/{id}"),
    });
    params.keep(
        &["cancel_url", "client_reference_id", "customer_email", "locale", "submit_type"],
        &mut session,
    )?;
    params.metadata(&mut session)?;
    // What these say goes into the objects that the customer's visit makes.
    let mut passed = json!({});
    for name in ["payment_intent_data", "setup_intent_data"] {
        if let Some(mut data) = params.object(name)? {
            passed[name] = json!({"metadata": {}, "description": null});
            data.keep(&["description", "setup_future_usage", "receipt_email"], &mut passed[name])?;
            data.metadata(&mut passed[name])?;
            data.finish()?;
        }
    }
    params.keep_whole(
        &["customer_update", "billing_address_collection", "saved_payment_method_options"],
        &mut passed,
    );
    params.finish()?;
    store.insert(PASSED, json!({"id": format!("passed_{id}"), "passed": passed}));
    store.insert(KIND, session.clone());
    Ok(session)
}

/// What a payment comes to, and in which currency.
fn amounts(
    params: &mut Params,
    mode: &str,
    currency: Option<String>,
) -> Result<(Value, Option<String>), Refusal> {
    let lines = params.objects("line_items")?;
    if mode == "setup" {
        if lines.is_some() {
            return Err(Refusal::invalid("line_items", "You can not pass `line_items` in `setup` mode."));
        }
        if currency.is_none() && !params.has("payment_method_types") {
            let message = "You must provide `currency` or `payment_method_types` in `setup` mode.";
            return Err(Refusal::unfit(message));
        }
        return Ok((Value::Null, currency));
    }
    let lines = lines.filter(|lines| !lines.is_empty() && lines.len() <= LINES_MAX);
    let lines = lines.ok_or_else(|| params.absent("line_items"))?;
    let (mut sum, mut found) = (0, currency);
    for mut line in lines {
        let quantity = line.integer("quantity")?.ok_or_else(|| line.absent("quantity"))?;
        let price = line.object("price_data")?.ok_or_else(|| line.absent("price_data"))?;
        let own = price.peek("currency").ok_or_else(|| price.absent("currency"))?;
        let currency = found.get_or_insert(own).clone();
        sum += items::unit_price(price, &currency)?.times(quantity)?;
        line.finish()?;
    }
    if sum <= 0 {
        return Err(Refusal::unfit("The Checkout Session's total amount due must be more than zero."));
    }
    Ok((json!(sum), found))
}

fn expiry(params: &mut Params, now: i64) -> Result<i64, Refusal> {
    let (most, least) = OPEN_SECONDS;
    let expires = params.integer("expires_at")?.unwrap_or(now + most);
    if !(now + least..=now + most).contains(&expires) {
        let message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.";
        return Err(Refusal::invalid("expires_at", message));
    }
    Ok(expires)
}

pub(super) fn expire(store: &mut Store, id: &str, params: Params) -> Result<Value, Refusal> {
    params.finish()?;
    let session = store.at(KIND, id, "session")?;
    if session["status"] != "open" {
        let status = text(&session, "status");
        let message = format!(
            "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout \
             Session has a status of {status}."
        );
        return Err(Refusal::state(message));
    }
    store.change(KIND, id, |session| {
        session["status"] = json!("expired");
        session["url"] = Value::Null;
    });
    store.tell("checkout.session.expired", KIND, id);
    store.at(KIND, id, "session")
}

/// Expires the sessions whose time is over.
pub(super) fn pass_time(store: &mut Store) {
    let is_over = |session: &Value| {
        session["status"] == "open"
            && number(session, "expires_at") <= store.time_of(text(session, "customer"))
    };
    for id in store.ids(KIND, is_over) {
        // It is open, so that this cannot be refused.
        expire(store, &id, Params::new(serde_json::Map::new())).ok();
    }
}

/// Does what the customer does on the page.
///
/// Errors: the session does not wait for that; the card was declined, and the session stays open.
pub(super) fn visit(store: &mut Store, id: &str, visit: &Visit) -> Result<Value, Refusal> {
    let session = store.at(KIND, id, "session")?;
    let is_open = session["status"] == "open";
    let is_promised = session["status"] == "complete" && session["payment_status"] == "unpaid";
    let refusal = || Refusal::state("This Checkout Session does not wait for that.");
    match visit {
        Visit::Completes(card) if is_open && session["mode"] == "setup" => leave(store, &session, card)?,
        Visit::Completes(card) if is_open => complete(store, &session, card)?,
        Visit::Promises if is_open && session["mode"] == "payment" => {
            finish(store, id, &json!({"status": "complete"}));
            store.tell("checkout.session.completed", KIND, id);
        }
        Visit::Settles if is_promised => {
            let intent = charge(store, &session, "pm_card_visa")?;
            finish(store, id, &json!({"payment_intent": intent["id"], "payment_status": "paid"}));
            store.tell("checkout.session.async_payment_succeeded", KIND, id);
        }
        Visit::Fails if is_promised => store.tell("checkout.session.async_payment_failed", KIND, id),
        Visit::Completes(_) | Visit::Promises | Visit::Settles | Visit::Fails => return Err(refusal()),
    }
    store.at(KIND, id, "session")
}

fn finish(store: &mut Store, id: &str, changes: &Value) {
    store.change(KIND, id, |session| {
        session["url"] = Value::Null;
        for (name, value) in changes.as_object().into_iter().flatten() {
            session[name.as_str()] = value.clone();
        }
    });
}

/// What the session was told to say of the objects that it makes.
fn passed(store: &Store, session: &Value, name: &str) -> Value {
    let found = store.find(PASSED, &format!("passed_{}", text(session, "id")));
    found.map_or(Value::Null, |found| found["passed"][name].clone())
}

fn charge(store: &mut Store, session: &Value, card: &str) -> Result<Value, Refusal> {
    let passed = passed(store, session, "payment_intent_data");
    let due = Due {
        customer: text(session, "customer"),
        amount: number(session, "amount_total"),
        currency: text(session, "currency"),
        method: card,
        description: passed["description"].clone(),
        metadata: passed.get("metadata").cloned().unwrap_or_else(|| json!({})),
    };
    payments::charge(store, &due)
}

fn complete(store: &mut Store, session: &Value, card: &str) -> Result<(), Refusal> {
    let id = text(session, "id");
    let intent = charge(store, session, card)?;
    let changes = json!({"status": "complete", "payment_intent": intent["id"], "payment_status": "paid"});
    finish(store, id, &changes);
    store.tell("checkout.session.completed", KIND, id);
    Ok(())
}

/// Leaves a card with the customer. It does not become the default of its invoices by that.
fn leave(store: &mut Store, session: &Value, card: &str) -> Result<(), Refusal> {
    let customer = text(session, "customer");
    let method = payments::attach_to(store, card, customer)?;
    let passed = passed(store, session, "setup_intent_data");
    let intent = json!({
        "id": store.id("seti"),
        "object": "setup_intent",
        "created": store.time_of(customer),
        "customer": session["customer"],
        "description": passed["description"],
        "livemode": false,
        "metadata": passed.get("metadata").cloned().unwrap_or_else(|| json!({})),
        "payment_method": method["id"],
        "status": "succeeded",
        "usage": "off_session",
    });
    store.insert("setup_intent", intent.clone());
    store.emit("setup_intent.succeeded", &intent, None);
    let id = text(session, "id");
    finish(store, id, &json!({"status": "complete", "setup_intent": intent["id"]}));
    store.tell("checkout.session.completed", KIND, id);
    Ok(())
}
