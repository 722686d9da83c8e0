//! Credit notes: what an invoice is owed less, or what of a paid one is given back.
//! Never more than the invoice has left.
//! Called by the routes.

use serde_json::{Value, json};

use super::{
    invoices, lines,
    params::Params,
    payments,
    refusal::Refusal,
    steps,
    store::{Store, number, text},
};

const KIND: &str = "credit_note";

/// Why there can be one. Source: the API reference.
const REASONS: [&str; 4] = ["duplicate", "fraudulent", "order_change", "product_unsatisfactory"];

/// Where the amount of a paid invoice's credit note goes.
#[derive(Clone, Copy, Debug, Default)]
struct Ways {
    refund: Option<i64>,
    credit: Option<i64>,
    outside: Option<i64>,
}

impl Ways {
    fn sum(self) -> i64 {
        [self.refund, self.credit, self.outside].into_iter().flatten().sum()
    }
}

pub(super) fn create(store: &mut Store, mut params: Params) -> Result<Value, Refusal> {
    let invoice_id = params.needed("invoice")?;
    let invoice = store.named(invoices::KIND, &invoice_id, "invoice")?;
    let lines = params.objects("lines")?;
    let amount = params.integer("amount")?;
    let ways = Ways {
        refund: params.integer("refund_amount")?,
        credit: params.integer("credit_amount")?,
        outside: params.integer("out_of_band_amount")?,
    };
    let mut note = json!({"memo": null, "reason": null, "metadata": {}});
    params.keep(&["memo"], &mut note)?;
    note["reason"] = json!(params.choice("reason", &REASONS)?);
    note["effective_at"] = json!(params.integer("effective_at")?);
    params.choice("email_type", &["credit_note", "none"])?;
    params.metadata(&mut note)?;
    params.finish()?;
    let (amount, lines) = match (amount, lines) {
        (Some(amount), None) => (amount, Vec::new()),
        (None, Some(lines)) => read_lines(store, &invoice_id, lines)?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(Refusal::unfit("You must specify exactly one of these parameters: amount, lines."));
        }
    };
    if amount <= 0 {
        return Err(Refusal::invalid("amount", "Invalid positive integer").code("parameter_invalid_integer"));
    }
    check(&invoice, amount, ways)?;
    fill(store, &invoice, amount, lines, &mut note);
    let refund = settle(store, &invoice, amount, ways)?;
    note["refunds"] = json!(
        refund
            .iter()
            .map(|refund| json!({
                "amount_refunded": refund["amount"], "refund": refund["id"], "type": "refund",
            }))
            .collect::<Vec<_>>()
    );
    let id = text(&note, "id").to_owned();
    store.insert(KIND, note);
    store.tell("credit_note.created", KIND, &id);
    store.at(KIND, &id, "id")
}

/// What is credited of which lines, and what it comes to.
fn read_lines(store: &Store, invoice: &str, lines: Vec<Params>) -> Result<(i64, Vec<Value>), Refusal> {
    let mut read = Vec::new();
    for mut params in lines {
        let kind = params.choice("type", &["invoice_line_item", "custom_line_item"])?;
        let kind = kind.ok_or_else(|| params.absent("type"))?;
        let quantity = params.integer("quantity")?;
        let amount = params.integer("amount")?;
        let unit = params.integer("unit_amount")?;
        let mut line = json!({"description": null, "metadata": {}});
        params.keep(&["description"], &mut line)?;
        params.metadata(&mut line)?;
        let of = params.text("invoice_line_item")?;
        let amount = if kind == "invoice_line_item" {
            let of = of.as_ref().ok_or_else(|| params.absent("invoice_line_item"))?;
            let own = store.find(lines::KIND, of).filter(|line| line["invoice"] == invoice);
            let own = own.ok_or_else(|| {
                Refusal::unknown("invoice line item", of, &params.name("invoice_line_item"))
            })?;
            let whole = number(own, "amount");
            let amount = amount.unwrap_or(whole);
            if !(0..=whole.max(0)).contains(&amount) {
                let message = format!(
                    "The amount of the line ({amount}) is more than that of the invoice's line ({whole})."
                );
                return Err(Refusal::invalid(params.name("amount"), message));
            }
            amount
        } else {
            unit.ok_or_else(|| params.absent("unit_amount"))? * quantity.unwrap_or(1)
        };
        params.finish()?;
        line["amount"] = json!(amount);
        line["invoice_line_item"] = json!(of);
        line["quantity"] = json!(quantity);
        line["type"] = json!(kind);
        read.push(line);
    }
    let sum = read.iter().map(|line| number(line, "amount")).sum();
    Ok((sum, read))
}

/// Whether the invoice's state and what is left of it allow the credit note.
fn check(invoice: &Value, amount: i64, ways: Ways) -> Result<(), Refusal> {
    match text(invoice, "status") {
        "open" | "uncollectible" => {
            let left = number(invoice, "amount_remaining");
            if amount > left {
                return Err(Refusal::invalid(
                    "amount",
                    format!(
                        "The credit note amount ({amount}) is more than the amount remaining on the invoice ({left})."
                    ),
                ));
            }
            if ways.sum() != 0 {
                let message = "You can only specify refund_amount, credit_amount or out_of_band_amount for a paid invoice.";
                return Err(Refusal::unfit(message));
            }
            Ok(())
        }
        "paid" => {
            let left = number(invoice, "total")
                - number(invoice, "pre_payment_credit_notes_amount")
                - number(invoice, "post_payment_credit_notes_amount");
            if amount > left {
                return Err(Refusal::invalid(
                    "amount",
                    format!(
                        "The credit note amount ({amount}) is more than what was not credited of the invoice ({left})."
                    ),
                ));
            }
            let sum = ways.sum();
            if sum != amount {
                return Err(Refusal::unfit(format!(
                    "The sum of credit amount, refund amount and out of band amount ({sum}) must equal the credit \
                     note amount ({amount})."
                )));
            }
            Ok(())
        }
        _ => Err(Refusal::state("You can only create credit notes for open or paid invoices.")),
    }
}

/// The fields of a credit note.
fn fill(store: &mut Store, invoice: &Value, amount: i64, lines: Vec<Value>, note: &mut Value) {
    let is_paid = invoice["status"] == "paid";
    let count = store.ids(KIND, |note| note["invoice"] == invoice["id"]).len() + 1;
    let now = store.time_of(text(invoice, "customer"));
    let mut own = Vec::new();
    for mut line in lines {
        line["id"] = json!(store.id("cnli"));
        line["object"] = json!("credit_note_line_item");
        line["livemode"] = json!(false);
        own.push(line);
    }
    let id = store.id("cn");
    let fields = json!({
        "id": id,
        "object": KIND,
        "amount": amount,
        "amount_shipping": 0,
        "created": now,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "customer_balance_transaction": null,
        "discount_amount": 0,
        "discount_amounts": [],
        "invoice": invoice["id"],
        "lines": {
            "object": "list", "data": own, "has_more": false, "url": format!("/v1/credit_notes/{id}/lines"),
        },
        "livemode": false,
        "number": format!("{}-CN-{count:02}", text(invoice, "number")),
        "out_of_band_amount": null,
        "pdf": format!("https://pay.stripe.com/credit_notes/acct_fake/{id}/pdf"),
        "post_payment_amount": if is_paid { amount } else { 0 },
        "pre_payment_amount": if is_paid { 0 } else { amount },
        "refunds": [],
        "status": "issued",
        "subtotal": amount,
        "subtotal_excluding_tax": amount,
        "total": amount,
        "total_excluding_tax": amount,
        "total_taxes": [],
        "type": if is_paid { "post_payment" } else { "pre_payment" },
        "voided_at": null,
    });
    for (name, value) in fields.as_object().into_iter().flatten() {
        note[name.as_str()] = value.clone();
    }
    if note["effective_at"].is_null() {
        note["effective_at"] = json!(now);
    }
}

/// Takes the amount off what is owed, or gives it back; the refund, if one was made.
fn settle(store: &mut Store, invoice: &Value, amount: i64, ways: Ways) -> Result<Option<Value>, Refusal> {
    let id = text(invoice, "id");
    if invoice["status"] != "paid" {
        store.change(invoices::KIND, id, |invoice| {
            for name in ["amount_due", "amount_remaining"] {
                invoice[name] = json!(number(invoice, name) - amount);
            }
            let credited = number(invoice, "pre_payment_credit_notes_amount") + amount;
            invoice["pre_payment_credit_notes_amount"] = json!(credited);
        });
        if number(invoice, "amount_remaining") == amount {
            steps::mark_paid(store, id);
        } else {
            store.tell("invoice.updated", invoices::KIND, id);
        }
        return Ok(None);
    }
    let refund = match ways.refund.filter(|refund| *refund > 0) {
        Some(amount) => Some(refund_of(store, id, amount)?),
        None => None,
    };
    if let Some(credit) = ways.credit {
        store.change("customer", text(invoice, "customer"), |customer| {
            customer["balance"] = json!(number(customer, "balance") - credit);
        });
    }
    store.change(invoices::KIND, id, |invoice| {
        let credited = number(invoice, "post_payment_credit_notes_amount") + amount;
        invoice["post_payment_credit_notes_amount"] = json!(credited);
    });
    store.tell("invoice.updated", invoices::KIND, id);
    Ok(refund)
}

fn refund_of(store: &mut Store, invoice: &str, amount: i64) -> Result<Value, Refusal> {
    let payment = store.all("invoice_payment").iter().find(|payment| payment["invoice"] == invoice);
    let intent = payment.map(|payment| text(&payment["payment"], "payment_intent").to_owned());
    let Some(intent) = intent else {
        return Err(Refusal::invalid(
            "refund_amount",
            "The invoice was not paid by a charge that can be refunded.",
        ));
    };
    let intent = store.at("payment_intent", &intent, "payment_intent")?;
    payments::give_back(store, text(&intent, "latest_charge"), Some(amount), &json!({}))
}

/// Voids the credit note of an invoice that is still open, which is owed again.
pub(super) fn void(store: &mut Store, id: &str, params: Params) -> Result<Value, Refusal> {
    let note = store.at(KIND, id, "id")?;
    params.finish()?;
    let invoice = text(&note, "invoice").to_owned();
    let is_open = store.find(invoices::KIND, &invoice).is_some_and(|invoice| invoice["status"] == "open");
    if note["status"] == "void" || !is_open {
        return Err(Refusal::state("You can only void a credit note that was issued for an open invoice."));
    }
    let amount = number(&note, "amount");
    let now = store.time_of(text(&note, "customer"));
    store.change(invoices::KIND, &invoice, |invoice| {
        for name in ["amount_due", "amount_remaining"] {
            invoice[name] = json!(number(invoice, name) + amount);
        }
        let credited = number(invoice, "pre_payment_credit_notes_amount") - amount;
        invoice["pre_payment_credit_notes_amount"] = json!(credited);
    });
    store.change(KIND, id, |note| {
        note["status"] = json!("void");
        note["voided_at"] = json!(now);
    });
    store.tell("invoice.updated", invoices::KIND, &invoice);
    store.tell("credit_note.voided", KIND, id);
    store.at(KIND, id, "id")
}
