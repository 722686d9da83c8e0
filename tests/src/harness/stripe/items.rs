//! Invoice items: what waits for a customer's next invoice, or stands behind a line of one.
//! Never a total: those are of invoices.
//! Called by the routes and by lines.

use serde_json::{Value, json};

use super::{
    lines,
    params::Params,
    refusal::Refusal,
    store::{Store, number, text},
    totals,
};

pub(super) const KIND: &str = "invoiceitem";

/// Digits behind the point of a unit price. Source: the API reference of `unit_amount_decimal`.
const UNIT_DIGITS: usize = 12;

/// A price of one unit. Unit: 10^-12 of the smallest of the currency.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnitPrice(i128);

impl UnitPrice {
    fn read(text: &str, name: &str) -> Result<Self, Refusal> {
        let refusal = || Refusal::invalid(name, format!("Invalid decimal: {text}"));
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = whole.strip_prefix('-').unwrap_or(whole);
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if digits.is_empty() || !is_digits(digits) || !is_digits(part) || part.len() > UNIT_DIGITS {
            return Err(refusal());
        }
        let padded = format!("{whole}{part:0<UNIT_DIGITS$}");
        padded.parse().map(Self).map_err(|_| refusal())
    }

    /// So many of it, rounded once, half away from zero. Unit: smallest of the currency.
    pub(super) fn times(self, quantity: i64) -> Result<i64, Refusal> {
        let unit = 10_i128.pow(12);
        let exact = self.0.checked_mul(i128::from(quantity));
        let rounded = exact.map(|exact| (exact + exact.signum() * (unit / 2)) / unit);
        let rounded = rounded.and_then(|rounded| i64::try_from(rounded).ok());
        rounded
            .ok_or_else(|| Refusal::invalid("quantity", "Invalid integer").code("parameter_invalid_integer"))
    }
}

/// The price in a request, which has to be in the invoice's currency.
pub(super) fn unit_price(mut params: Params, currency: &str) -> Result<UnitPrice, Refusal> {
    let own = params.needed("currency")?;
    if own != currency {
        let message = format!(
            "The price specified only supports `{own}`. This doesn't match the expected \
             currency: `{currency}`."
        );
        return Err(Refusal::invalid(params.name("currency"), message));
    }
    let (whole, decimal) = (params.text("unit_amount")?, params.text("unit_amount_decimal")?);
    params.text("tax_behavior")?;
    match (params.text("product")?, params.object("product_data")?) {
        (Some(product), None) => {
            return Err(Refusal::unknown("product", &product, &params.name("product")));
        }
        (None, Some(mut product)) => {
            product.needed("name")?;
            product.keep(&["description", "tax_code", "unit_label"], &mut json!({}))?;
            product.metadata(&mut json!({}))?;
            product.finish()?;
        }
        (None, None) => return Err(params.absent("product")),
        (Some(_), Some(_)) => {
            let message = "You may only specify one of these parameters: product, product_data.";
            return Err(Refusal::invalid(params.name("product"), message));
        }
    }
    let name = params.name(if whole.is_some() { "unit_amount" } else { "unit_amount_decimal" });
    params.finish()?;
    match (whole, decimal) {
        (Some(whole), None) if whole.contains('.') => Err(Refusal::invalid(name, "Invalid integer")),
        (Some(amount), None) | (None, Some(amount)) => UnitPrice::read(&amount, &name),
        (None, None) | (Some(_), Some(_)) => {
            Err(Refusal::invalid(name, "You must specify either `unit_amount` or `unit_amount_decimal`"))
        }
    }
}

/// The time that a line is about.
pub(super) fn period(params: &mut Params) -> Result<Option<Value>, Refusal> {
    let Some(mut period) = params.object("period")? else { return Ok(None) };
    let start = period.integer("start")?.ok_or_else(|| period.absent("start"))?;
    let end = period.integer("end")?.ok_or_else(|| period.absent("end"))?;
    let name = period.name("end");
    period.finish()?;
    if end < start {
        return Err(Refusal::invalid(name, "The period end must be after the period start"));
    }
    Ok(Some(json!({"start": start, "end": end})))
}

/// The item behind a line that was added to an invoice, and the line.
pub(super) fn from_line(store: &mut Store, invoice: &Value, fields: &Value) {
    let id = store.id("ii");
    let mut item = plain(&id, text(invoice, "customer"), text(invoice, "currency"));
    item["date"] = json!(store.time_of(text(invoice, "customer")));
    for (name, value) in fields.as_object().into_iter().flatten() {
        item[name.as_str()] = value.clone();
    }
    price(&mut item);
    store.insert(KIND, item);
    assign(store, &id, text(invoice, "id"));
}

fn plain(id: &str, customer: &str, currency: &str) -> Value {
    json!({
        "id": id, "object": KIND, "amount": 0, "currency": currency, "customer": customer, "date": null,
        "description": null, "discountable": true, "discounts": [], "invoice": null, "livemode": false,
        "metadata": {}, "period": null, "proration": false, "quantity": 1, "tax_rates": [], "taxes": [],
    })
}

/// The one-off price that Stripe makes for an amount.
fn price(item: &mut Value) {
    let serial = text(item, "id").trim_start_matches("ii_").to_owned();
    let quantity = number(item, "quantity").max(1);
    item["pricing"] = json!({
        "type": "price_details",
        "price_details": {"price": format!("price_{serial}"), "product": format!("prod_{serial}")},
        "unit_amount_decimal": (number(item, "amount") / quantity).to_string(),
    });
}

/// Makes an item a line of an invoice.
pub(super) fn assign(store: &mut Store, id: &str, invoice: &str) {
    store.change(KIND, id, |item| item["invoice"] = json!(invoice));
    if let Some(item) = store.find(KIND, id).cloned() {
        lines::from_item(store, &item, invoice);
    }
}

/// The items of a customer that no invoice has, the oldest first.
pub(super) fn pending(store: &Store, customer: &str) -> Vec<String> {
    store.ids(KIND, |item| item["customer"] == customer && item["invoice"].is_null())
}

pub(super) fn create(store: &mut Store, mut params: Params) -> Result<Value, Refusal> {
    let invoice = params.text("invoice")?;
    let invoice = invoice.map(|invoice| lines::draft(store, &invoice)).transpose()?;
    let customer = match (&invoice, params.text("customer")?) {
        (_, Some(customer)) => customer,
        (Some(invoice), None) => text(invoice, "customer").to_owned(),
        (None, None) => return Err(params.absent("customer")),
    };
    store.named("customer", &customer, "customer")?;
    let currency = match (params.text("currency")?, &invoice) {
        (Some(currency), _) => currency,
        (None, Some(invoice)) => text(invoice, "currency").to_owned(),
        (None, None) => "usd".to_owned(),
    };
    let fits = |invoice: &Value| invoice["customer"] == customer && invoice["currency"] == currency;
    if !invoice.as_ref().is_none_or(fits) {
        return Err(Refusal::invalid("invoice", "The invoice has another customer or currency."));
    }
    let mut item = plain(&store.id("ii"), &customer, &currency);
    let now = store.time_of(&customer);
    item["date"] = json!(now);
    item["period"] = period(&mut params)?.unwrap_or_else(|| json!({"start": now, "end": now}));
    let (amount, quantity) = (params.integer("amount")?, params.integer("quantity")?);
    item["amount"] = match (amount, params.object("price_data")?) {
        (Some(_), _) if quantity.is_some() => {
            let message = "You may only specify one of these parameters: amount, quantity.";
            return Err(Refusal::invalid("amount", message));
        }
        (Some(amount), None) => json!(amount),
        (None, Some(price)) => {
            item["quantity"] = json!(quantity.unwrap_or(1));
            json!(unit_price(price, &currency)?.times(quantity.unwrap_or(1))?)
        }
        (None, None) => return Err(params.absent("amount")),
        (Some(_), Some(_)) => {
            let message = "You may only specify one of these parameters: amount, price_data.";
            return Err(Refusal::invalid("amount", message));
        }
    };
    params.keep(&["description"], &mut item)?;
    params.metadata(&mut item)?;
    params.finish()?;
    let held = match &invoice {
        Some(invoice) => lines::of(store, text(invoice, "id")).len(),
        None => pending(store, &customer).len(),
    };
    if held >= lines::LINES_MAX {
        let message = format!("You can only have {} invoice items per invoice.", lines::LINES_MAX);
        return Err(Refusal::state(message));
    }
    price(&mut item);
    let id = text(&item, "id").to_owned();
    store.insert(KIND, item);
    if let Some(invoice) = invoice {
        assign(store, &id, text(&invoice, "id"));
        totals::renew(store, text(&invoice, "id"));
    }
    store.tell("invoiceitem.created", KIND, &id);
    store.at(KIND, &id, "id")
}

pub(super) fn delete(store: &mut Store, id: &str) -> Result<Value, Refusal> {
    let item = store.at(KIND, id, "invoiceitem")?;
    if let Some(invoice) = item["invoice"].as_str() {
        lines::draft(store, invoice)?;
        let of_item = |line: &Value| line["parent"]["invoice_item_details"]["invoice_item"] == id;
        for line in store.ids(lines::KIND, of_item) {
            store.remove(lines::KIND, &line);
        }
        totals::renew(store, invoice);
    }
    store.remove(KIND, id);
    store.emit("invoiceitem.deleted", &item, None);
    Ok(json!({"id": id, "object": KIND, "deleted": true}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_times_quantities_are_rounded_once() {
        for (price, quantity, expected) in [
            ("5", 3, 15),
            ("0.5", 1, 1),
            ("0.5", 3, 2),
            ("-0.5", 1, -1),
            ("0.4", 1, 0),
            ("0.000000000001", 1_000_000_000_000, 1),
            ("12.25", 2, 25),
        ] {
            assert_eq!(UnitPrice::read(price, "p").unwrap().times(quantity).unwrap(), expected, "{price}");
        }
        for price in ["", "-", "1.2.3", "a", "1e3", "0.0000000000001", ".5"] {
            assert!(UnitPrice::read(price, "p").is_err(), "{price}");
        }
    }
}
