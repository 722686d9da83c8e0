//! What an invoice comes to: the sum of its lines, its taxes, what the customer's balance takes from it.
//! Never rounds: amounts of lines are whole already.
//! Called whenever the lines of a draft change, and when it becomes final.

use serde_json::{Value, json};

use super::{
    lines,
    store::{Store, number, text},
};

/// The least that is collected, for some currencies. Unit: smallest of the currency.
///
/// Source: Stripe's page on minimum charge amounts.
const CHARGE_MIN: [(&str, i64); 12] = [
    ("aud", 50),
    ("brl", 50),
    ("cad", 50),
    ("chf", 50),
    ("dkk", 250),
    ("eur", 50),
    ("gbp", 30),
    ("jpy", 50),
    ("nok", 300),
    ("nzd", 50),
    ("sek", 300),
    ("usd", 50),
];

/// Currencies of three digits, whose amounts Stripe takes only in tens. Source: Stripe's page on currencies.
const THREE_DIGITS: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];

/// Whether an amount can be collected in a currency as far as its digits go.
pub(super) fn is_collectable(currency: &str, amount: i64) -> bool {
    !THREE_DIGITS.contains(&currency) || amount % 10 == 0
}

/// Computes the totals of a draft from its lines.
pub(super) fn renew(store: &mut Store, invoice: &str) {
    let lines = lines::of(store, invoice);
    let subtotal: i64 = lines.iter().map(|line| number(line, "amount")).sum();
    let taxes = || lines.iter().filter_map(|line| line["taxes"].as_array()).flatten();
    let sum = |behavior: &str| -> i64 {
        taxes().filter(|tax| tax["tax_behavior"] == behavior).map(|tax| number(tax, "amount")).sum()
    };
    let (inclusive, exclusive) = (sum("inclusive"), sum("exclusive"));
    let total = subtotal + exclusive + store.skews.get(invoice).copied().unwrap_or(0);
    let total_taxes: Vec<Value> = taxes().cloned().collect();
    store.change("invoice", invoice, |invoice| {
        invoice["subtotal"] = json!(subtotal);
        invoice["subtotal_excluding_tax"] = json!(subtotal - inclusive);
        invoice["total"] = json!(total);
        invoice["total_excluding_tax"] = json!(total - inclusive - exclusive);
        invoice["total_taxes"] = json!(total_taxes);
        invoice["amount_due"] = json!(total.max(0));
        invoice["amount_remaining"] = json!(total.max(0));
    });
}

/// Settles a draft's total with the customer's balance: what is due, and what the balance is after it.
///
/// What is too little to be collected is carried over to the next invoice.
pub(super) fn settle(store: &Store, invoice: &Value) -> (i64, i64) {
    let customer = store.find("customer", text(invoice, "customer"));
    let balance = customer.map_or(0, |customer| number(customer, "balance"));
    let owed = number(invoice, "total") + balance;
    let least = CHARGE_MIN.iter().find(|(currency, _)| invoice["currency"] == *currency);
    let least = least.map_or(1, |(_, least)| *least);
    if owed < least { (0, owed) } else { (owed, 0) }
}
