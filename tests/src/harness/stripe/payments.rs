//! Payment methods, payment intents, charges and refunds, as far as invoices and checkouts need them.
//! Never a card's number: cards are known by the names that Stripe gives those of its tests.
//! Called by the routes, by invoices and by checkout sessions.

use serde_json::{Value, json};

use super::{
    params::Params,
    refusal::Refusal,
    store::{Store, number, text},
};

const METHOD: &str = "payment_method";

/// Cards of Stripe's tests: name, brand, last digits, and why a charge fails.
const CARDS: [(&str, &str, &str, Option<&str>); 6] = [
    ("pm_card_visa", "visa", "4242", None),
    ("pm_card_mastercard", "mastercard", "4444", None),
    ("pm_card_amex", "amex", "8431", None),
    ("pm_card_chargeCustomerFail", "visa", "0341", Some("generic_decline")),
    ("pm_card_visa_chargeDeclined", "visa", "0002", Some("generic_decline")),
    ("pm_card_visa_chargeDeclinedInsufficientFunds", "visa", "9995", Some("insufficient_funds")),
];

/// The only card that can be attached although charges of it fail.
const FAILS_LATE: &str = "pm_card_chargeCustomerFail";

fn card(name: &str) -> Option<&'static (&'static str, &'static str, &'static str, Option<&'static str>)> {
    CARDS.iter().find(|(found, ..)| *found == name)
}

/// Refuses what cannot become a customer's payment method.
pub(super) fn check_attachable(store: &Store, name: &str) -> Result<(), Refusal> {
    match card(name) {
        Some((_, _, _, Some(reason))) if name != FAILS_LATE => Err(Refusal::declined(reason, &Value::Null)),
        Some(_) => Ok(()),
        None => store.named(METHOD, name, "payment_method").map(drop),
    }
}

/// Makes a card of Stripe's tests, or a method that is there, the customer's.
pub(super) fn attach_to(store: &mut Store, name: &str, customer: &str) -> Result<Value, Refusal> {
    check_attachable(store, name)?;
    let id = match card(name) {
        Some((_, brand, last4, _)) => {
            let method = json!({
                "id": store.id("pm"),
                "object": METHOD,
                "billing_details": {"address": null, "email": null, "name": null, "phone": null},
                "card": {"brand": brand, "exp_month": 12, "exp_year": 2040, "last4": last4, "country": "US"},
                "created": store.time_of(customer),
                "customer": null,
                "livemode": false,
                "metadata": {},
                "type": "card",
            });
            let id = text(&method, "id").to_owned();
            store.insert(METHOD, method);
            id
        }
        None => name.to_owned(),
    };
    store.change(METHOD, &id, |method| method["customer"] = json!(customer));
    store.tell("payment_method.attached", METHOD, &id);
    store.at(METHOD, &id, "payment_method")
}

pub(super) fn attach(store: &mut Store, id: &str, mut params: Params) -> Result<Value, Refusal> {
    let customer = params.needed("customer")?;
    params.finish()?;
    store.named("customer", &customer, "customer")?;
    attach_to(store, id, &customer)
}

/// A payment to be made.
#[derive(Debug)]
pub(super) struct Due<'a> {
    pub(super) customer: &'a str,
    pub(super) amount: i64,
    pub(super) currency: &'a str,
    /// A payment method that is there, or a card of Stripe's tests.
    pub(super) method: &'a str,
    pub(super) description: Value,
    pub(super) metadata: Value,
}

/// Charges a card: a payment intent, with its charge, that succeeded.
///
/// Errors: 402 when the card was declined; what was tried is kept.
pub(super) fn charge(store: &mut Store, due: &Due<'_>) -> Result<Value, Refusal> {
    let last4 = store.find(METHOD, due.method).map(|method| text(&method["card"], "last4").to_owned());
    let is_meant = |name: &str, digits: &str| name == due.method || last4.as_deref() == Some(digits);
    let fails = CARDS.iter().find(|(name, _, digits, _)| is_meant(name, digits)).and_then(|card| card.3);
    let reason = store.decline.take().or_else(|| fails.map(str::to_owned));
    let (intent_id, charge_id) = (store.id("pi"), store.id("ch"));
    let created = store.time_of(due.customer);
    let customer = Some(due.customer).filter(|customer| !customer.is_empty());
    let has_failed = reason.is_some();
    let charge = json!({
        "id": charge_id,
        "object": "charge",
        "amount": due.amount,
        "amount_captured": if has_failed { 0 } else { due.amount },
        "amount_refunded": 0,
        "captured": !has_failed,
        "created": created,
        "currency": due.currency,
        "customer": customer,
        "description": due.description,
        "failure_code": reason.as_ref().map(|_| "card_declined"),
        "failure_message": reason.as_ref().map(|_| "Your card was declined."),
        "livemode": false,
        "metadata": due.metadata,
        "paid": !has_failed,
        "payment_intent": intent_id,
        "payment_method": due.method,
        "refunded": false,
        "status": if has_failed { "failed" } else { "succeeded" },
    });
    let error = reason.as_ref().map(|reason| {
        json!({"type": "card_error", "code": "card_declined", "decline_code": reason,
            "message": "Your card was declined."})
    });
    let intent = json!({
        "id": intent_id,
        "object": "payment_intent",
        "amount": due.amount,
        "amount_capturable": 0,
        "amount_received": if has_failed { 0 } else { due.amount },
        "created": created,
        "currency": due.currency,
        "customer": customer,
        "description": due.description,
        "last_payment_error": error,
        "latest_charge": charge_id,
        "livemode": false,
        "metadata": due.metadata,
        "payment_method": if has_failed { Value::Null } else { json!(due.method) },
        "payment_method_types": ["card"],
        "status": if has_failed { "requires_payment_method" } else { "succeeded" },
    });
    store.insert("charge", charge.clone());
    store.insert("payment_intent", intent.clone());
    if let Some(reason) = reason {
        store.emit("charge.failed", &charge, None);
        store.emit("payment_intent.payment_failed", &intent, None);
        return Err(Refusal::declined(&reason, &intent));
    }
    store.emit("charge.succeeded", &charge, None);
    store.emit("payment_intent.succeeded", &intent, None);
    Ok(intent)
}

/// Gives a charge back, whole or in part.
pub(super) fn refund(store: &mut Store, mut params: Params) -> Result<Value, Refusal> {
    let (charge, intent) = (params.text("charge")?, params.text("payment_intent")?);
    let amount = params.integer("amount")?;
    let mut more = json!({"reason": null});
    params.keep(&["reason"], &mut more)?;
    params.metadata(&mut more)?;
    params.finish()?;
    let charge = match (charge, intent) {
        (Some(charge), None) => charge,
        (None, Some(intent)) => {
            let intent = store.named("payment_intent", &intent, "payment_intent")?;
            text(&intent, "latest_charge").to_owned()
        }
        (Some(_), Some(_)) => {
            return Err(Refusal::unfit("You cannot pass both `payment_intent` and `charge`."));
        }
        (None, None) => {
            return Err(Refusal::unfit(
                "One of the following params should be provided for this request: \
                 payment_intent or charge.",
            ));
        }
    };
    store.named("charge", &charge, "charge")?;
    give_back(store, &charge, amount, &more)
}

/// Gives back an amount of a charge, or all that is left of it.
pub(super) fn give_back(
    store: &mut Store,
    charge: &str,
    amount: Option<i64>,
    more: &Value,
) -> Result<Value, Refusal> {
    let kept = store.at("charge", charge, "charge")?;
    let left = number(&kept, "amount_captured") - number(&kept, "amount_refunded");
    if left == 0 {
        let message = format!("Charge {charge} has already been refunded.");
        return Err(Refusal::state(message).code("charge_already_refunded"));
    }
    let amount = amount.unwrap_or(left);
    if amount <= 0 {
        return Err(Refusal::invalid("amount", "Invalid positive integer").code("parameter_invalid_integer"));
    }
    if amount > left {
        let message =
            format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})");
        return Err(Refusal::invalid("amount", message));
    }
    let refund = json!({
        "id": store.id("re"),
        "object": "refund",
        "amount": amount,
        "charge": charge,
        "created": store.time_of(text(&kept, "customer")),
        "currency": kept["currency"],
        "metadata": more["metadata"],
        "payment_intent": kept["payment_intent"],
        "reason": more["reason"],
        "status": "succeeded",
    });
    store.insert("refund", refund.clone());
    store.change("charge", charge, |charge| {
        charge["amount_refunded"] = json!(number(charge, "amount_refunded") + amount);
        charge["refunded"] = json!(amount == left);
    });
    store.tell("charge.refunded", "charge", charge);
    store.emit("refund.created", &refund, None);
    Ok(refund)
}
