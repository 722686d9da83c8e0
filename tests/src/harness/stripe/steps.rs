//! The steps of an invoice after its draft: finalized, paid, sent, void, uncollectible.
//! Never backwards: what a state does not allow is refused.
//! Called by the routes, by credit notes and by clocks that move.

use serde_json::{Value, json};

use super::{
    invoices::KIND,
    params::Params,
    payments::{self, Due},
    refusal::Refusal,
    store::{Store, number, text},
    totals,
};

/// What a state other than open is answered with.
const NOT_OPEN: &str = "You can only pass in open invoices. This invoice isn't open.";

pub(super) fn finalize(store: &mut Store, id: &str, mut params: Params) -> Result<Value, Refusal> {
    let invoice = store.at(KIND, id, "id")?;
    let advances = params.truth("auto_advance")?;
    params.finish()?;
    if invoice["status"] != "draft" {
        return Err(Refusal::state(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
        ));
    }
    if let Some(advances) = advances {
        store.change(KIND, id, |invoice| invoice["auto_advance"] = json!(advances));
    }
    conclude(store, id)?;
    store.at(KIND, id, "id")
}

/// Makes a draft final. What is due nothing is paid at once.
pub(super) fn conclude(store: &mut Store, id: &str) -> Result<(), Refusal> {
    let invoice = store.at(KIND, id, "id")?;
    let customer_id = text(&invoice, "customer").to_owned();
    let customer = store.at("customer", &customer_id, "customer")?;
    let (due, ending) = totals::settle(store, &invoice);
    if !totals::is_collectable(text(&invoice, "currency"), due) {
        let message = "Invalid amount: amounts in this currency must be evenly divisible by 10.";
        return Err(Refusal::state(message));
    }
    let now = store.time_of(&customer_id);
    let sequence = number(&customer, "next_invoice_sequence");
    let own = format!("{}-{sequence:04}", text(&customer, "invoice_prefix"));
    let is_numbered = !invoice["number"].is_null();
    store.change("customer", &customer_id, |customer| {
        customer["balance"] = json!(ending);
        customer["next_invoice_sequence"] = json!(sequence + i64::from(!is_numbered));
    });
    store.change(KIND, id, |invoice| {
        if !is_numbered {
            invoice["number"] = json!(own);
        }
        if invoice["effective_at"].is_null() {
            invoice["effective_at"] = json!(now);
        }
        invoice["status"] = json!("open");
        invoice["status_transitions"]["finalized_at"] = json!(now);
        invoice["automatically_finalizes_at"] = Value::Null;
        invoice["starting_balance"] = customer["balance"].clone();
        invoice["ending_balance"] = json!(ending);
        invoice["amount_due"] = json!(due);
        invoice["amount_remaining"] = json!(due);
        invoice["hosted_invoice_url"] = json!(format!("https://invoice.stripe.com/i/acct_fake/{id}"));
        invoice["invoice_pdf"] = json!(format!("https://pay.stripe.com/invoice/acct_fake/{id}/pdf"));
    });
    store.tell("invoice.finalized", KIND, id);
    if due == 0 {
        store.change(KIND, id, |invoice| invoice["attempted"] = json!(true));
        mark_paid(store, id);
    }
    Ok(())
}

/// Marks an invoice paid to whom nothing is owed any more.
pub(super) fn mark_paid(store: &mut Store, id: &str) {
    let customer = store.find(KIND, id).map(|invoice| text(invoice, "customer").to_owned());
    let now = store.time_of(&customer.unwrap_or_default());
    store.change(KIND, id, |invoice| {
        invoice["status"] = json!("paid");
        invoice["amount_remaining"] = json!(0);
        invoice["next_payment_attempt"] = Value::Null;
        invoice["status_transitions"]["paid_at"] = json!(now);
    });
    store.tell("invoice.updated", KIND, id);
    store.tell("invoice.paid", KIND, id);
    store.tell("invoice.payment_succeeded", KIND, id);
}

pub(super) fn pay(store: &mut Store, id: &str, mut params: Params) -> Result<Value, Refusal> {
    let invoice = store.at(KIND, id, "id")?;
    let is_outside = params.truth("paid_out_of_band")? == Some(true);
    let method = params.text("payment_method")?;
    params.truth("off_session")?;
    params.truth("forgive")?;
    params.finish()?;
    if invoice["status"] == "paid" {
        return Err(Refusal::state("Invoice is already paid"));
    }
    if invoice["status"] == "void" {
        return Err(Refusal::state(NOT_OPEN));
    }
    if let Some(method) = &method {
        store.named("payment_method", method, "payment_method")?;
    }
    if invoice["status"] == "draft" {
        conclude(store, id)?;
        if store.at(KIND, id, "id")?["status"] == "paid" {
            return store.at(KIND, id, "id");
        }
    }
    if is_outside {
        store.change(KIND, id, |invoice| {
            let due = invoice["amount_remaining"].clone();
            invoice["amount_paid"] = due.clone();
            invoice["amount_paid_off_stripe"] = due;
        });
        mark_paid(store, id);
        return store.at(KIND, id, "id");
    }
    collect(store, id, method)?;
    store.at(KIND, id, "id")
}

/// Charges what is due.
///
/// Errors: there is no card; it was declined, which the invoice remembers.
pub(super) fn collect(store: &mut Store, id: &str, method: Option<String>) -> Result<(), Refusal> {
    let invoice = store.at(KIND, id, "id")?;
    let customer = store.at("customer", text(&invoice, "customer"), "customer")?;
    let own = invoice["default_payment_method"].as_str();
    let default = customer["invoice_settings"]["default_payment_method"].as_str();
    let Some(method) = method.or_else(|| own.or(default).map(str::to_owned)) else {
        return Err(Refusal::state(
            "This customer has no attached payment source or default payment method. Please consider adding a \
             default payment method.",
        )
        .code("resource_missing"));
    };
    let amount = number(&invoice, "amount_remaining");
    let due = Due {
        customer: text(&customer, "id"),
        amount,
        currency: text(&invoice, "currency"),
        method: &method,
        description: json!(format!("Payment for Invoice {}", text(&invoice, "number"))),
        metadata: json!({}),
    };
    let charged = payments::charge(store, &due);
    store.change(KIND, id, |invoice| {
        invoice["attempted"] = json!(true);
        invoice["attempt_count"] = json!(number(invoice, "attempt_count") + 1);
    });
    let intent = match charged {
        Ok(intent) => intent,
        Err(refusal) => {
            store.tell("invoice.payment_failed", KIND, id);
            return Err(refusal);
        }
    };
    let now = store.time_of(text(&customer, "id"));
    let payment = json!({
        "id": store.id("inpay"),
        "object": "invoice_payment",
        "amount_paid": amount,
        "amount_requested": amount,
        "created": now,
        "currency": invoice["currency"],
        "invoice": id,
        "is_default": true,
        "livemode": false,
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "paid",
        "status_transitions": {"canceled_at": null, "paid_at": now},
    });
    store.insert("invoice_payment", payment.clone());
    store.emit("invoice_payment.paid", &payment, None);
    store.change(KIND, id, |invoice| {
        invoice["amount_paid"] = json!(number(invoice, "amount_paid") + amount);
    });
    mark_paid(store, id);
    Ok(())
}

pub(super) fn send(store: &mut Store, id: &str, params: Params) -> Result<Value, Refusal> {
    let invoice = store.at(KIND, id, "invoice")?;
    params.finish()?;
    let is_sent = invoice["collection_method"] == "send_invoice";
    match text(&invoice, "status") {
        "draft" => conclude(store, id)?,
        "open" if is_sent => {}
        _ => {
            return Err(Refusal::state(
                "This invoice cannot be sent right now. Please contact us via \
                 https://support.stripe.com/contact with details, so we can help.",
            ));
        }
    }
    store.tell("invoice.sent", KIND, id);
    store.at(KIND, id, "invoice")
}

pub(super) fn void(store: &mut Store, id: &str, params: Params) -> Result<Value, Refusal> {
    let invoice = store.at(KIND, id, "id")?;
    params.finish()?;
    if invoice["status"] == "paid" {
        return Err(Refusal::state("Invoices with `paid` payments cannot be voided."));
    }
    // One that nobody expects the money of may still become void.
    if !["open", "uncollectible"].contains(&text(&invoice, "status")) {
        return Err(Refusal::state(NOT_OPEN));
    }
    let customer = text(&invoice, "customer");
    let taken = number(&invoice, "starting_balance") - number(&invoice, "ending_balance");
    store.change("customer", customer, |customer| {
        customer["balance"] = json!(number(customer, "balance") + taken);
    });
    end(store, id, "void", "voided_at", "invoice.voided")
}

pub(super) fn mark_uncollectible(store: &mut Store, id: &str, params: Params) -> Result<Value, Refusal> {
    let invoice = store.at(KIND, id, "id")?;
    params.finish()?;
    match text(&invoice, "status") {
        "open" => {}
        "uncollectible" => {
            return Err(Refusal::state("This invoice has already been marked uncollectible."));
        }
        _ => return Err(Refusal::state(NOT_OPEN)),
    }
    store.change(KIND, id, |invoice| {
        invoice["status_details"] = json!({"uncollectible": {"reason": "user_forgiven"}});
    });
    end(store, id, "uncollectible", "marked_uncollectible_at", "invoice.marked_uncollectible")
}

fn end(store: &mut Store, id: &str, status: &str, since: &str, event: &str) -> Result<Value, Refusal> {
    let invoice = store.at(KIND, id, "id")?;
    let now = store.time_of(text(&invoice, "customer"));
    store.change(KIND, id, |invoice| {
        invoice["status"] = json!(status);
        invoice["status_transitions"][since] = json!(now);
        invoice["next_payment_attempt"] = Value::Null;
    });
    store.tell("invoice.updated", KIND, id);
    store.tell(event, KIND, id);
    store.at(KIND, id, "id")
}

/// Does what time alone does: finalizes drafts that advance by themselves, and collects them.
pub(super) fn pass_time(store: &mut Store) {
    let is_due = |store: &Store, invoice: &Value| {
        let due = invoice["automatically_finalizes_at"].as_i64();
        due.is_some_and(|due| due <= store.time_of(text(invoice, "customer")))
    };
    let drafts = store.ids(KIND, |invoice| invoice["status"] == "draft" && is_due(store, invoice));
    for id in drafts {
        let is_open = conclude(store, &id).is_ok()
            && store.find(KIND, &id).is_some_and(|found| found["status"] == "open");
        let is_charged =
            store.find(KIND, &id).is_some_and(|found| found["collection_method"] == "charge_automatically");
        if is_open && is_charged {
            // A charge that fails is told by its event; nobody asked who could be answered.
            collect(store, &id, None).ok();
        }
    }
}
