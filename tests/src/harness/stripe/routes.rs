//! Which path of Stripe's API is answered by which part of the fake.
//! Never an answer itself.
//! Called with every request that was let in and is no repetition.

use serde_json::Value;

use super::{
    checkout, clocks, credit_notes, customers, invoices, items, lines, lists, params::Params, payments,
    refusal::Refusal, steps, store::Store,
};

type Answer = Result<Value, Refusal>;

/// Fields that a search may ask for.
const SEARCHED: [&str; 7] = ["currency", "customer", "email", "name", "number", "phone", "status"];

/// Does the work of a request.
pub(super) fn route(store: &mut Store, method: &str, path: &str, params: Params) -> Answer {
    let parts: Vec<&str> = path.strip_prefix("/v1/").unwrap_or("").split('/').collect();
    match method {
        "GET" => read(store, path, &parts, params),
        "POST" => post(store, path, &parts, params),
        "DELETE" => delete(store, path, &parts, params),
        _ => Err(Refusal::no_such_url(method, path)),
    }
}

fn read(store: &Store, path: &str, parts: &[&str], params: Params) -> Answer {
    let list = |kind, fields: &[&str], params| lists::list(store, kind, path, fields, params);
    match parts {
        ["customers"] => list("customer", &["email", "test_clock"], params),
        ["customers", "search"] => lists::search(store, "customer", path, &SEARCHED, params),
        ["invoices"] => {
            let mut params = params;
            let status = params.peek("status");
            if status.is_some() {
                params.choice("status", &["draft", "open", "void", "paid", "uncollectible"])?;
                params.put_back("status", status);
            }
            list("invoice", &["customer", "collection_method", "status"], params)
        }
        ["invoices", "search"] => lists::search(store, "invoice", path, &SEARCHED, params),
        ["invoices", id, "lines"] => lines::list(store, id, params),
        ["invoiceitems"] => pending_items(store, path, params),
        ["credit_notes"] => list("credit_note", &["customer", "invoice"], params),
        ["invoice_payments"] => list("invoice_payment", &["invoice", "status"], params),
        ["payment_intents"] => list("payment_intent", &["customer"], params),
        ["payment_methods"] => list("payment_method", &["customer", "type"], params),
        ["customers", id, "payment_methods"] => {
            let mut params = params;
            params.put_back("customer", Some((*id).to_owned()));
            list("payment_method", &["customer", "type"], params)
        }
        ["charges"] => list("charge", &["customer", "payment_intent"], params),
        ["refunds"] => list("refund", &["charge", "payment_intent"], params),
        ["checkout", "sessions"] => list(checkout::KIND, &["customer", "payment_intent", "status"], params),
        ["test_helpers", "test_clocks"] => list(clocks::KIND, &[], params),
        ["events"] => events(store, path, params),
        ["customers", id] => one(store, "customer", id, "id", params),
        ["invoices", id] => one(store, "invoice", id, "invoice", params),
        ["invoiceitems", id] => one(store, "invoiceitem", id, "id", params),
        ["credit_notes", id] => one(store, "credit_note", id, "id", params),
        ["invoice_payments", id] => one(store, "invoice_payment", id, "invoice_payment", params),
        ["payment_intents", id] => one(store, "payment_intent", id, "intent", params),
        ["payment_methods", id] => one(store, "payment_method", id, "payment_method", params),
        ["setup_intents", id] => one(store, "setup_intent", id, "intent", params),
        ["charges", id] => one(store, "charge", id, "charge", params),
        ["refunds", id] => one(store, "refund", id, "refund", params),
        ["checkout", "sessions", id] => one(store, checkout::KIND, id, "session", params),
        ["test_helpers", "test_clocks", id] => one(store, clocks::KIND, id, "test_clock", params),
        ["events", id] => one(store, "event", id, "id", params),
        _ => Err(Refusal::no_such_url("GET", path)),
    }
}

fn one(store: &Store, kind: &'static str, id: &str, param: &str, params: Params) -> Answer {
    params.finish()?;
    store.at(kind, id, param).map(|object| store.show(kind, object))
}

/// Events, of some kinds if it is asked for them.
fn events(store: &Store, path: &str, mut params: Params) -> Answer {
    let kinds = params.texts("types")?.unwrap_or_default();
    lists::list_where(store, "event", path, &["type"], params, |event| {
        kinds.is_empty() || kinds.iter().any(|kind| event["type"] == kind.as_str())
    })
}

/// Invoice items, those that no invoice has if it is asked for them.
fn pending_items(store: &Store, path: &str, mut params: Params) -> Answer {
    let Some(is_pending) = params.truth("pending")? else {
        return lists::list(store, items::KIND, path, &["customer", "invoice"], params);
    };
    let is_asked = |item: &Value| item["invoice"].is_null() == is_pending;
    lists::list_where(store, items::KIND, path, &["customer", "invoice"], params, is_asked)
}

fn post(store: &mut Store, path: &str, parts: &[&str], params: Params) -> Answer {
    let answer = match parts {
        ["customers"] => customers::create(store, params),
        ["customers", id] => customers::update(store, id, params),
        ["payment_methods", id, "attach"] => payments::attach(store, id, params),
        ["invoices"] => invoices::create(store, params),
        ["invoices", id] => invoices::update(store, id, params),
        ["invoices", id, "add_lines"] => lines::add(store, id, params),
        ["invoices", id, "update_lines"] => lines::update(store, id, params),
        ["invoices", id, "remove_lines"] => lines::remove(store, id, params),
        ["invoices", id, "lines", line] => lines::update_one(store, id, line, params),
        ["invoices", id, "finalize"] => steps::finalize(store, id, params),
        ["invoices", id, "pay"] => steps::pay(store, id, params),
        ["invoices", id, "send"] => steps::send(store, id, params),
        ["invoices", id, "void"] => steps::void(store, id, params),
        ["invoices", id, "mark_uncollectible"] => steps::mark_uncollectible(store, id, params),
        ["invoiceitems"] => items::create(store, params),
        ["credit_notes"] => credit_notes::create(store, params),
        ["credit_notes", id, "void"] => credit_notes::void(store, id, params),
        ["refunds"] => payments::refund(store, params),
        ["checkout", "sessions"] => checkout::create(store, params),
        ["checkout", "sessions", id, "expire"] => checkout::expire(store, id, params),
        ["billing_portal", "sessions"] => customers::portal(store, params),
        ["test_helpers", "test_clocks"] => clocks::create(store, params),
        ["test_helpers", "test_clocks", id, "advance"] => clocks::advance(store, id, params),
        _ => Err(Refusal::no_such_url("POST", path)),
    }?;
    Ok(if answer["object"] == "invoice" { store.show("invoice", answer) } else { answer })
}

fn delete(store: &mut Store, path: &str, parts: &[&str], params: Params) -> Answer {
    params.finish()?;
    match parts {
        ["customers", id] => customers::delete(store, id),
        ["invoices", id] => invoices::delete(store, id),
        ["invoiceitems", id] => items::delete(store, id),
        ["test_helpers", "test_clocks", id] => clocks::delete(store, id),
        _ => Err(Refusal::no_such_url("DELETE", path)),
    }
}
