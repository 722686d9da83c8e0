//! Invoices as drafts: created, described anew, deleted.
//! Never what makes them final: that is in the steps.
//! Called by the routes.

use serde_json::{Value, json};

use super::{
    items,
    params::Params,
    refusal::Refusal,
    store::{Store, number, text},
    totals,
};

pub(super) const KIND: &str = "invoice";

/// Who collects: Stripe from a card, or the customer pays what was sent.
const METHODS: [&str; 2] = ["charge_automatically", "send_invoice"];

/// Unit: seconds.
pub(super) const DAY: i64 = 24 * 60 * 60;

/// How long a draft that advances by itself stays one. Unit: seconds.
pub(super) const DRAFT_SECONDS: i64 = 60 * 60;

/// Texts that are kept as they are.
const TEXTS: [&str; 5] = ["description", "footer", "number", "statement_descriptor", "on_behalf_of"];

/// Fields of a draft that are null at first.
const NULLS: [&str; 17] = [
    "automatically_finalizes_at",
    "custom_fields",
    "default_payment_method",
    "description",
    "due_date",
    "effective_at",
    "ending_balance",
    "footer",
    "hosted_invoice_url",
    "invoice_pdf",
    "last_finalization_error",
    "next_payment_attempt",
    "number",
    "parent",
    "receipt_number",
    "rendering",
    "statement_descriptor",
];

/// Fields of a draft that are nothing at first.
const ZEROS: [&str; 8] = [
    "amount_overpaid",
    "amount_paid",
    "amount_paid_off_stripe",
    "amount_shipping",
    "attempt_count",
    "post_payment_credit_notes_amount",
    "pre_payment_credit_notes_amount",
    "starting_balance",
];

/// Fields of a draft that are empty lists at first.
const EMPTY: [&str; 5] = [
    "customer_tax_ids",
    "default_tax_rates",
    "discounts",
    "total_discount_amounts",
    "total_pretax_credit_amounts",
];

pub(super) fn create(store: &mut Store, mut params: Params) -> Result<Value, Refusal> {
    let customer_id = params.needed("customer")?;
    let customer = store.named("customer", &customer_id, "customer")?;
    let swept = params.choice("pending_invoice_items_behavior", &["include", "exclude"])?;
    let is_swept = swept.as_deref() == Some("include");
    let currency = match params.text("currency")? {
        Some(currency) if currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            currency.to_ascii_lowercase()
        }
        Some(other) => {
            return Err(Refusal::invalid("currency", format!("Invalid currency: {other}.")));
        }
        None => customer["currency"].as_str().unwrap_or("usd").to_owned(),
    };
    let id = store.id("in");
    let mut invoice = plain(&id, &customer, &currency, store.time_of(&customer_id));
    describe(store, &mut params, &mut invoice)?;
    params.finish()?;
    store.insert(KIND, invoice);
    store.change("customer", &customer_id, |customer| customer["currency"] = json!(currency));
    if is_swept {
        for item in items::pending(store, &customer_id) {
            if store.find(items::KIND, &item).is_some_and(|item| item["currency"] == currency) {
                items::assign(store, &item, &id);
            }
        }
    }
    totals::renew(store, &id);
    store.tell("invoice.created", KIND, &id);
    store.at(KIND, &id, "invoice")
}

/// A draft of which nothing was said yet.
fn plain(id: &str, customer: &Value, currency: &str, created: i64) -> Value {
    let mut invoice = blank();
    let own = json!({
        "id": id,
        "created": created,
        "currency": currency,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"],
        "customer_tax_exempt": customer["tax_exempt"],
        "period_end": created,
        "period_start": created,
        "test_clock": customer["test_clock"],
        "webhooks_delivered_at": created,
    });
    for (name, value) in own.as_object().into_iter().flatten() {
        invoice[name.as_str()] = value.clone();
    }
    invoice
}

/// What every draft has in common.
fn blank() -> Value {
    let mut invoice = json!({
        "object": KIND,
        "account_country": "US",
        "account_name": "Fake",
        "attempted": false,
        "auto_advance": false,
        "automatic_tax": {
            "disabled_reason": null, "enabled": false, "liability": null, "provider": null, "status": null,
        },
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "issuer": {"type": "self"},
        "livemode": false,
        "metadata": {},
        "payment_settings": {
            "default_mandate": null, "payment_method_options": null, "payment_method_types": null,
        },
        "status": "draft",
        "status_transitions": {
            "finalized_at": null, "marked_uncollectible_at": null, "paid_at": null, "voided_at": null,
        },
    });
    NULLS.iter().for_each(|name| invoice[*name] = Value::Null);
    ZEROS.iter().for_each(|name| invoice[*name] = json!(0));
    EMPTY.iter().for_each(|name| invoice[*name] = json!([]));
    invoice
}

/// What can be said of a draft at its creation and later.
fn describe(store: &Store, params: &mut Params, invoice: &mut Value) -> Result<(), Refusal> {
    if let Some(advances) = params.truth("auto_advance")? {
        invoice["auto_advance"] = json!(advances);
    }
    if let Some(method) = params.choice("collection_method", &METHODS)? {
        invoice["collection_method"] = json!(method);
    }
    let days = params.integer("days_until_due")?;
    let date = params.integer("due_date")?;
    let is_sent = invoice["collection_method"] == "send_invoice";
    match (days, date) {
        (Some(_), _) | (_, Some(_)) if !is_sent => {
            return Err(Refusal::unfit(
                "You can only specify 'due_date' or 'days_until_due' if invoice collection method is \
                 'send_invoice'.",
            ));
        }
        (Some(days), _) => invoice["due_date"] = json!(number(invoice, "created") + days * DAY),
        (None, Some(date)) => invoice["due_date"] = json!(date),
        (None, None) if is_sent && invoice["due_date"].is_null() => {
            return Err(Refusal::unfit(
                "If invoice collection method is 'send_invoice', you must specify 'due_date' or \
                 'days_until_due'.",
            ));
        }
        (None, None) => {}
    }
    if let Some(method) = params.text("default_payment_method")? {
        store.named("payment_method", &method, "default_payment_method")?;
        invoice["default_payment_method"] = json!(method);
    }
    if let Some(effective) = params.integer("effective_at")? {
        invoice["effective_at"] = json!(effective);
    }
    if let Some(mut tax) = params.object("automatic_tax")? {
        if tax.truth("enabled")? == Some(true) {
            return Err(Refusal::invalid("automatic_tax[enabled]", "The fake computes no taxes by itself."));
        }
        tax.finish()?;
    }
    params.keep(&TEXTS, invoice)?;
    params.keep_whole(&["custom_fields", "payment_settings", "rendering"], invoice);
    params.metadata(invoice)?;
    let created = number(invoice, "created");
    let advances = invoice["auto_advance"] == true;
    invoice["automatically_finalizes_at"] =
        if advances { json!(created + DRAFT_SECONDS) } else { Value::Null };
    invoice["next_payment_attempt"] =
        if advances && !is_sent { json!(created + DRAFT_SECONDS) } else { Value::Null };
    Ok(())
}

pub(super) fn update(store: &mut Store, id: &str, mut params: Params) -> Result<Value, Refusal> {
    let mut invoice = store.at(KIND, id, "id")?;
    if invoice["status"] == "draft" {
        describe(store, &mut params, &mut invoice)?;
    } else {
        params.metadata(&mut invoice)?;
        if let Some(advances) = params.truth("auto_advance")? {
            invoice["auto_advance"] = json!(advances);
        }
        if let Some(name) = params.any() {
            return Err(Refusal::invalid(name, "Finalized invoices can't be updated in this way"));
        }
    }
    params.finish()?;
    store.change(KIND, id, |kept| *kept = invoice);
    store.tell("invoice.updated", KIND, id);
    store.at(KIND, id, "id")
}

/// Deletes a draft. What was swept into it stays there and is lost with it, as with Stripe.
pub(super) fn delete(store: &mut Store, id: &str) -> Result<Value, Refusal> {
    let invoice = store.at(KIND, id, "invoice")?;
    if invoice["status"] != "draft" {
        return Err(Refusal::state("You can only delete draft invoices."));
    }
    store.remove(KIND, id);
    store.emit("invoice.deleted", &invoice, None);
    Ok(json!({"id": text(&invoice, "id"), "object": KIND, "deleted": true}))
}
