//! Customers, and the sessions in which they manage their billing themselves.
//! Never money but the balance that invoices draw on.
//! Called by the routes.

use serde_json::{Value, json};

use super::{
    params::Params,
    payments,
    refusal::Refusal,
    store::{Store, number, text},
};

const KIND: &str = "customer";

/// Most customers of one test clock. Source: Stripe's page on test clocks.
const CLOCK_CUSTOMERS_MAX: usize = 3;

/// Texts that are kept as they are.
const TEXTS: [&str; 7] =
    ["business_name", "description", "email", "individual_name", "invoice_prefix", "name", "phone"];

pub(super) fn create(store: &mut Store, mut params: Params) -> Result<Value, Refusal> {
    let clock = params.text("test_clock")?;
    if let Some(clock) = &clock {
        store.named("test_helpers.test_clock", clock, "test_clock")?;
        if store.ids(KIND, |customer| text(customer, "test_clock") == clock).len() >= CLOCK_CUSTOMERS_MAX {
            let message = format!("A test clock can have at most {CLOCK_CUSTOMERS_MAX} customers.");
            return Err(Refusal::invalid("test_clock", message));
        }
    }
    let frozen = clock.as_ref().and_then(|clock| store.find("test_helpers.test_clock", clock));
    let created = frozen.map_or_else(|| store.now(), |clock| number(clock, "frozen_time"));
    let id = store.id("cus");
    let mut customer = json!({
        "id": id,
        "object": "customer",
        "address": null,
        "balance": params.integer("balance")?.unwrap_or(0),
        "created": created,
        "currency": null,
        "default_source": null,
        "delinquent": false,
        "description": null,
        "discount": null,
        "email": null,
        "invoice_prefix": format!("FAKE{}", id.trim_start_matches("cus_fake00")),
        "invoice_settings": {
            "custom_fields": null, "default_payment_method": null, "footer": null, "rendering_options": null,
        },
        "livemode": false,
        "metadata": {},
        "name": null,
        "next_invoice_sequence": params.integer("next_invoice_sequence")?.unwrap_or(1),
        "phone": null,
        "preferred_locales": [],
        "shipping": null,
        "tax_exempt": "none",
        "test_clock": clock,
    });
    let method = params.text("payment_method")?;
    describe(store, &mut params, &mut customer)?;
    params.finish()?;
    let default = customer["invoice_settings"]["default_payment_method"].clone();
    if let Some(method) = &method {
        payments::check_attachable(store, method)?;
    }
    store.insert(KIND, customer);
    if let Some(method) = method {
        let attached = payments::attach_to(store, &method, &id)?;
        if default == method.as_str() {
            let attached = attached["id"].clone();
            store.change(KIND, &id, |customer| {
                customer["invoice_settings"]["default_payment_method"] = attached;
            });
        }
    }
    store.tell("customer.created", KIND, &id);
    store.at(KIND, &id, "id")
}

/// What can be said of a customer at its creation and later.
fn describe(store: &Store, params: &mut Params, customer: &mut Value) -> Result<(), Refusal> {
    params.keep(&TEXTS, customer)?;
    params.keep_whole(&["address", "shipping", "preferred_locales", "tax", "tax_id_data"], customer);
    if let Some(exempt) = params.choice("tax_exempt", &["none", "exempt", "reverse"])? {
        customer["tax_exempt"] = json!(exempt);
    }
    if let Some(mut settings) = params.object("invoice_settings")? {
        let mut kept = customer["invoice_settings"].clone();
        settings.keep(&["default_payment_method", "footer"], &mut kept)?;
        settings.keep_whole(&["custom_fields", "rendering_options"], &mut kept);
        settings.finish()?;
        let method = text(&kept, "default_payment_method");
        let is_known = method.is_empty()
            || params_token(method)
            || store
                .find("payment_method", method)
                .is_some_and(|method| method["customer"] == customer["id"]);
        if !is_known {
            return Err(Refusal::unknown(
                "PaymentMethod",
                method,
                "invoice_settings[default_payment_method]",
            ));
        }
        customer["invoice_settings"] = kept;
    }
    params.metadata(customer)
}

/// A card of Stripe's tests that becomes a payment method when it is attached.
fn params_token(method: &str) -> bool {
    method.starts_with("pm_card_")
}

pub(super) fn update(store: &mut Store, id: &str, mut params: Params) -> Result<Value, Refusal> {
    let mut customer = living(store, id)?;
    if let Some(balance) = params.integer("balance")? {
        customer["balance"] = json!(balance);
    }
    describe(store, &mut params, &mut customer)?;
    params.finish()?;
    store.change(KIND, id, |kept| *kept = customer.clone());
    store.emit("customer.updated", &customer, Some(json!({})));
    Ok(customer)
}

/// A customer that was not deleted.
fn living(store: &Store, id: &str) -> Result<Value, Refusal> {
    let customer = store.at(KIND, id, "id")?;
    if customer["deleted"] == true {
        return Err(Refusal::missing("customer", id, "id"));
    }
    Ok(customer)
}

pub(super) fn delete(store: &mut Store, id: &str) -> Result<Value, Refusal> {
    let customer = living(store, id)?;
    let stub = json!({"id": id, "object": "customer", "deleted": true});
    store.change(KIND, id, |kept| *kept = stub.clone());
    store.emit("customer.deleted", &customer, None);
    Ok(stub)
}

/// A session of the billing portal.
pub(super) fn portal(store: &mut Store, mut params: Params) -> Result<Value, Refusal> {
    let customer = params.needed("customer")?;
    store.named(KIND, &customer, "customer")?;
    let id = store.id("bps");
    let mut session = json!({
        "id": id,
        "object": "billing_portal.session",
        "configuration": "bpc_fake0000000001",
        "created": store.time_of(&customer),
        "customer": customer,
        "flow": null,
        "livemode": false,
        "locale": null,
        "on_behalf_of": null,
        "return_url": null,
        "url": format!("https://billing.stripe.com/p/session/{id}"),
    });
    params.keep(&["configuration", "locale", "return_url"], &mut session)?;
    if let Some(flow) = params.object("flow_data")? {
        session["flow"] = flow.into_form();
    }
    params.finish()?;
    store.insert("billing_portal.session", session.clone());
    Ok(session)
}
