//! The lines of an invoice: added, changed and removed in bulk, and what they are together.
//! Never of an invoice that is final: only a draft is edited.
//! Called by the routes, by invoices and by invoice items.

use serde_json::{Value, json};

use super::{
    items, lists,
    params::Params,
    refusal::Refusal,
    store::{Store, number, text},
    totals,
};

pub(super) const KIND: &str = "line_item";

/// Most lines in one call. Source: Stripe's page on bulk line items, and of invoice items the API reference.
pub(super) const LINES_MAX: usize = 250;

/// Lines that come with an invoice; the others are on the pages of its list.
const SHOWN: usize = 10;

/// The lines of an invoice, the newest first, as Stripe has them.
pub(super) fn of(store: &Store, invoice: &str) -> Vec<Value> {
    store.all(KIND).iter().filter(|line| line["invoice"] == invoice).rev().cloned().collect()
}

/// The lines that come with the invoice.
pub(super) fn first(store: &Store, invoice: &str) -> Value {
    let mut lines = of(store, invoice);
    let count = lines.len();
    lines.truncate(SHOWN);
    let url = format!("/v1/invoices/{invoice}/lines");
    json!({"object": "list", "data": lines, "has_more": count > SHOWN, "total_count": count, "url": url})
}

/// A page of the lines.
pub(super) fn list(store: &Store, invoice: &str, mut params: Params) -> Result<Value, Refusal> {
    store.at("invoice", invoice, "invoice")?;
    let page = lists::page(of(store, invoice), &mut params, &format!("/v1/invoices/{invoice}/lines"))?;
    params.finish()?;
    Ok(page)
}

/// An invoice that can be edited.
pub(super) fn draft(store: &Store, invoice: &str) -> Result<Value, Refusal> {
    let invoice = store.at("invoice", invoice, "invoice")?;
    if invoice["status"] != "draft" {
        let message = "Invalid invoice: This invoice is no longer editable";
        return Err(Refusal::state(message).code("invoice_not_editable"));
    }
    Ok(invoice)
}

/// The lines of a bulk call, and the change of the invoice's metadata that may come with them.
fn bulk(params: &mut Params, invoice: &mut Value) -> Result<Vec<Params>, Refusal> {
    let lines = params.objects("lines")?.filter(|lines| !lines.is_empty());
    let lines = lines.ok_or_else(|| params.absent("lines"))?;
    if lines.len() > LINES_MAX {
        let message = format!("Array lines exceeded maximum {LINES_MAX} allowed elements.");
        return Err(Refusal::invalid("lines", message));
    }
    if let Some(change) = params.object("invoice_metadata")? {
        change.renamed("metadata").metadata(invoice)?;
    }
    Ok(lines)
}

pub(super) fn add(store: &mut Store, invoice_id: &str, mut params: Params) -> Result<Value, Refusal> {
    let mut invoice = draft(store, invoice_id)?;
    let lines = bulk(&mut params, &mut invoice)?;
    params.finish()?;
    // All are read before one is added: a call that is refused leaves nothing behind.
    let read = |params| Draft::read(store, &invoice, params);
    let drafts: Vec<Draft> = lines.into_iter().map(read).collect::<Result<_, _>>()?;
    for line in drafts {
        match line.item {
            Some(item) => items::assign(store, &item, invoice_id),
            None => items::from_line(store, &invoice, &line.fields),
        }
    }
    edited(store, invoice)
}

pub(super) fn update(store: &mut Store, invoice_id: &str, mut params: Params) -> Result<Value, Refusal> {
    let mut invoice = draft(store, invoice_id)?;
    let lines = bulk(&mut params, &mut invoice)?;
    params.finish()?;
    let mut changed = Vec::new();
    for mut params in lines {
        let id = params.needed("id")?;
        let name = params.name("id");
        changed.push(changed_line(store, &invoice, &id, &name, params)?);
    }
    for line in changed {
        keep(store, line);
    }
    edited(store, invoice)
}

/// Changes one line; the answer is the line, not the invoice.
pub(super) fn update_one(
    store: &mut Store,
    invoice_id: &str,
    line: &str,
    params: Params,
) -> Result<Value, Refusal> {
    let invoice = draft(store, invoice_id)?;
    let line = changed_line(store, &invoice, line, "line_item_id", params)?;
    keep(store, line.clone());
    edited(store, invoice)?;
    Ok(line)
}

fn changed_line(
    store: &Store,
    invoice: &Value,
    id: &str,
    name: &str,
    params: Params,
) -> Result<Value, Refusal> {
    let mut line = own(store, invoice, id, name)?;
    let Draft { fields, .. } = Draft::change(invoice, params, &line)?;
    for (name, value) in fields.as_object().into_iter().flatten() {
        line[name.as_str()] = value.clone();
    }
    Ok(line)
}

fn keep(store: &mut Store, line: Value) {
    let id = text(&line, "id").to_owned();
    store.change(KIND, &id, |kept| *kept = line);
}

/// A line of this invoice.
fn own(store: &Store, invoice: &Value, id: &str, name: &str) -> Result<Value, Refusal> {
    let line = store.find(KIND, id).filter(|line| line["invoice"] == invoice["id"]);
    line.cloned().ok_or_else(|| Refusal::unknown("invoice line item", id, name))
}

pub(super) fn remove(store: &mut Store, invoice_id: &str, mut params: Params) -> Result<Value, Refusal> {
    let mut invoice = draft(store, invoice_id)?;
    let lines = bulk(&mut params, &mut invoice)?;
    params.finish()?;
    let mut removed = Vec::new();
    for mut params in lines {
        let id = params.needed("id")?;
        let line = own(store, &invoice, &id, &params.name("id"))?;
        let behavior = params.choice("behavior", &["delete", "unassign"])?;
        let behavior = behavior.ok_or_else(|| params.absent("behavior"))?;
        params.finish()?;
        let item = text(&line["parent"]["invoice_item_details"], "invoice_item").to_owned();
        removed.push((id, item, behavior == "delete"));
    }
    for (id, item, is_deleted) in removed {
        store.remove(KIND, &id);
        if is_deleted {
            store.remove(items::KIND, &item);
        } else {
            store.change(items::KIND, &item, |item| item["invoice"] = Value::Null);
        }
    }
    edited(store, invoice)
}

/// Keeps a changed draft, with the totals of its lines.
fn edited(store: &mut Store, invoice: Value) -> Result<Value, Refusal> {
    let id = text(&invoice, "id").to_owned();
    store.change("invoice", &id, |kept| *kept = invoice);
    totals::renew(store, &id);
    store.tell("invoice.updated", "invoice", &id);
    store.at("invoice", &id, "invoice")
}

/// A line as it was asked for.
#[derive(Debug)]
struct Draft {
    /// A pending invoice item that becomes a line.
    item: Option<String>,
    fields: Value,
}

impl Draft {
    fn read(store: &Store, invoice: &Value, mut params: Params) -> Result<Self, Refusal> {
        if let Some(item) = params.text("invoice_item")? {
            let name = params.name("invoice_item");
            let found = store.named(items::KIND, &item, &name)?;
            params.finish()?;
            if !found["invoice"].is_null() {
                return Err(Refusal::invalid(name, "The invoice item is already assigned to an invoice."));
            }
            return Ok(Self { item: Some(item), fields: Value::Null });
        }
        let created = store.time_of(text(invoice, "customer"));
        let plain = json!({
            "amount": null, "description": null, "discountable": true, "metadata": {}, "quantity": 1,
            "period": {"start": created, "end": created}, "taxes": [],
        });
        let place = params.name("amount");
        let draft = Self::change(invoice, params, &plain)?;
        if draft.fields["amount"].is_null() {
            let message =
                "You must specify one of these parameters: amount, price_data, pricing, invoice_item.";
            return Err(Refusal::invalid(place, message));
        }
        Ok(draft)
    }

    /// The fields of a line, changed as asked.
    fn change(invoice: &Value, mut params: Params, line: &Value) -> Result<Self, Refusal> {
        let names = ["amount", "description", "discountable", "metadata", "period", "quantity", "taxes"];
        let mut fields = json!({});
        for name in names {
            fields[name] = line[name].clone();
        }
        let amount = params.integer("amount")?;
        let quantity = params.integer("quantity")?;
        if amount.is_some() && quantity.is_some() {
            let message = "You may only specify one of these parameters: amount, quantity.";
            return Err(Refusal::invalid(params.name("amount"), message));
        }
        if let Some(amount) = amount {
            fields["amount"] = json!(amount);
        }
        if let Some(price) = params.object("price_data")? {
            let unit = items::unit_price(price, text(invoice, "currency"))?;
            let quantity = quantity.unwrap_or(1);
            fields["quantity"] = json!(quantity);
            fields["amount"] = json!(unit.times(quantity)?);
        }
        params.keep(&["description"], &mut fields)?;
        if let Some(is_discountable) = params.truth("discountable")? {
            fields["discountable"] = json!(is_discountable);
        }
        if let Some(period) = items::period(&mut params)? {
            fields["period"] = period;
        }
        params.metadata(&mut fields)?;
        if let Some(taxes) = params.objects("tax_amounts")? {
            let taxes: Result<Vec<_>, _> = taxes.into_iter().map(tax).collect();
            fields["taxes"] = json!(taxes?);
        }
        if let Some(mut pricing) = params.object("pricing")? {
            let price = pricing.needed("price")?;
            return Err(Refusal::unknown("price", &price, &pricing.name("price")));
        }
        params.finish()?;
        fields["subtotal"] = fields["amount"].clone();
        Ok(Self { item: None, fields })
    }
}

/// A tax of a line whose amount is told, as a line shows it.
fn tax(mut params: Params) -> Result<Value, Refusal> {
    let needed = |params: &mut Params, name| params.integer(name)?.ok_or_else(|| params.absent(name));
    let (amount, taxable) = (needed(&mut params, "amount")?, needed(&mut params, "taxable_amount")?);
    let reason = params.text("taxability_reason")?;
    let mut rate = params.object("tax_rate_data")?.ok_or_else(|| params.absent("tax_rate_data"))?;
    rate.needed("display_name")?;
    rate.needed("percentage")?;
    let is_inclusive = rate.truth("inclusive")?.ok_or_else(|| rate.absent("inclusive"))?;
    let mut more = json!({});
    rate.keep(
        &["country", "description", "jurisdiction", "jurisdiction_level", "state", "tax_type"],
        &mut more,
    )?;
    rate.finish()?;
    params.finish()?;
    Ok(json!({
        "amount": amount,
        "tax_behavior": if is_inclusive { "inclusive" } else { "exclusive" },
        "tax_rate_details": {"tax_rate": "txr_fake0000000001"},
        "taxability_reason": reason.unwrap_or_else(|| "not_available".to_owned()),
        "taxable_amount": taxable,
        "type": "tax_rate_details",
    }))
}

/// A line of an invoice item.
pub(super) fn from_item(store: &mut Store, item: &Value, invoice: &str) {
    let line = json!({
        "id": store.id("il"),
        "object": KIND,
        "amount": item["amount"],
        "currency": item["currency"],
        "description": item["description"],
        "discount_amounts": [],
        "discountable": item["discountable"],
        "discounts": [],
        "invoice": invoice,
        "livemode": false,
        "metadata": item["metadata"],
        "parent": {
            "invoice_item_details": {
                "invoice_item": item["id"], "proration": false, "proration_details": {"credited_items": null},
                "subscription": null,
            },
            "subscription_item_details": null,
            "type": "invoice_item_details",
        },
        "period": item["period"],
        "pretax_credit_amounts": [],
        "pricing": item["pricing"],
        "quantity": item["quantity"],
        "quantity_decimal": number(item, "quantity").to_string(),
        "subtotal": item["amount"],
        "taxes": item["taxes"],
    });
    store.insert(KIND, line);
}
