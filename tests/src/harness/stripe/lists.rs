//! Pages of lists, the newest object first; searches; and expansions of ids into objects.
//! Never changes an object.
//! Called by the routes that list, and for every answer that is to be expanded.

use serde_json::{Value, json};

use super::{
    params::Params,
    refusal::Refusal,
    store::{Store, text},
};

/// Objects on a page: what is usual and what is most. Source: Stripe's page on pagination.
const PAGE: (i64, i64) = (10, 100);

/// One page of objects, which come with the newest first.
///
/// Errors: a limit that is none; a cursor that is not in the list.
pub(super) fn page(mut objects: Vec<Value>, params: &mut Params, url: &str) -> Result<Value, Refusal> {
    let limit = limit(params)?;
    let (after, before) = (params.text("starting_after")?, params.text("ending_before")?);
    let place = |id: &str, param: &str| {
        let found = objects.iter().position(|object| object["id"] == id);
        found.ok_or_else(|| Refusal::unknown("object", id, param))
    };
    let has_more = match (after, before) {
        (Some(_), Some(_)) => {
            let message = "You can't provide both ending_before and starting_after";
            return Err(Refusal::invalid("ending_before", message));
        }
        (Some(after), None) => {
            let place = place(&after, "starting_after")?;
            objects.drain(..=place);
            objects.len() > limit
        }
        (None, Some(before)) => {
            let place = place(&before, "ending_before")?;
            objects.truncate(place);
            let has_more = objects.len() > limit;
            objects.drain(..objects.len().saturating_sub(limit));
            has_more
        }
        (None, None) => objects.len() > limit,
    };
    objects.truncate(limit);
    Ok(json!({"object": "list", "data": objects, "has_more": has_more, "url": url}))
}

fn limit(params: &mut Params) -> Result<usize, Refusal> {
    let (usual, most) = PAGE;
    let limit = params.integer("limit")?.unwrap_or(usual);
    let is_known = (1..=most).contains(&limit);
    let message = format!("Invalid limit: must be between 1 and {most}");
    usize::try_from(limit).ok().filter(|_| is_known).ok_or_else(|| Refusal::invalid("limit", message))
}

/// A list of the objects of a kind, by the fields named, which are texts, and by `created`.
pub(super) fn list(
    store: &Store,
    kind: &'static str,
    url: &str,
    fields: &[&str],
    params: Params,
) -> Result<Value, Refusal> {
    list_where(store, kind, url, fields, params, |_| true)
}

/// As [`list`], of the objects that are as asked besides.
pub(super) fn list_where(
    store: &Store,
    kind: &'static str,
    url: &str,
    fields: &[&str],
    mut params: Params,
    is_asked: impl Fn(&Value) -> bool,
) -> Result<Value, Refusal> {
    let mut wanted = Vec::new();
    for field in fields {
        if let Some(value) = params.text(field)? {
            wanted.push((*field, value));
        }
    }
    let span = span(&mut params)?;
    let is_wanted = |object: &&Value| {
        object["deleted"] != true
            && is_asked(object)
            && wanted.iter().all(|(field, value)| text(object, field) == value)
            && span.iter().all(|(is_in, bound)| is_in(&object["created"].as_i64().unwrap_or(0), bound))
    };
    let found = store.all(kind).iter().filter(is_wanted).rev();
    let found = found.map(|object| store.show(kind, object.clone())).collect();
    let page = page(found, &mut params, url)?;
    params.finish()?;
    Ok(page)
}

type Comparison = fn(&i64, &i64) -> bool;

/// The bounds on `created`.
fn span(params: &mut Params) -> Result<Vec<(Comparison, i64)>, Refusal> {
    let Some(mut created) = params.object("created")? else { return Ok(Vec::new()) };
    let mut span = Vec::new();
    let comparisons: [(&str, Comparison); 4] =
        [("gt", i64::gt), ("gte", i64::ge), ("lt", i64::lt), ("lte", i64::le)];
    for (name, is_in) in comparisons {
        if let Some(bound) = created.integer(name)? {
            span.push((is_in, bound));
        }
    }
    created.finish()?;
    Ok(span)
}

/// The objects that a query such as `metadata['number']:'INV-1' AND customer:"cus_1"` finds.
///
/// As with Stripe, an object is found only some time after it was written.
///
/// Errors: a query that cannot be read, or that asks for a field that cannot be searched.
pub(super) fn search(
    store: &Store,
    kind: &'static str,
    url: &str,
    fields: &[&str],
    mut params: Params,
) -> Result<Value, Refusal> {
    let query = params.needed("query")?;
    let limit = limit(&mut params)?;
    let offset: usize = match params.text("page")? {
        Some(page) => page.parse().map_err(|_| Refusal::invalid("page", "Invalid page"))?,
        None => 0,
    };
    params.finish()?;
    let clauses: Vec<_> =
        query.split(" AND ").map(|clause| clause_of(clause, fields)).collect::<Result<_, _>>()?;
    let is_wanted = |object: &&Value| {
        let is_like = |(path, value): &(Vec<String>, String)| {
            let found = path.iter().fold(*object, |object, name| &object[name.as_str()]);
            found.as_str().is_some_and(|found| found == value)
        };
        object["deleted"] != true && store.is_searchable(text(object, "id")) && clauses.iter().all(is_like)
    };
    let found: Vec<_> = store.all(kind).iter().filter(is_wanted).rev().skip(offset).collect();
    let has_more = found.len() > limit;
    let next = has_more.then(|| (offset + limit).to_string());
    let data: Vec<_> = found.into_iter().take(limit).map(|object| store.show(kind, object.clone())).collect();
    Ok(json!({
        "object": "search_result", "data": data, "has_more": has_more, "next_page": next, "url": url,
    }))
}

/// One clause: where it looks, and for what.
fn clause_of(clause: &str, fields: &[&str]) -> Result<(Vec<String>, String), Refusal> {
    let refusal =
        || Refusal::invalid("query", format!("We were unable to parse your search query: {clause}"));
    let (field, value) = clause.trim().split_once(':').ok_or_else(refusal)?;
    let value = unquoted(value).ok_or_else(refusal)?;
    if let Some(key) = field.strip_prefix("metadata[").and_then(|key| key.strip_suffix(']')) {
        let key = unquoted(key).ok_or_else(refusal)?;
        return Ok((vec!["metadata".to_owned(), key], value));
    }
    if fields.contains(&field) {
        return Ok((vec![field.to_owned()], value));
    }
    Err(Refusal::invalid("query", format!("Field `{field}` is an unsupported search field")))
}

fn unquoted(text: &str) -> Option<String> {
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).map(str::to_owned)
}

/// Puts an object in place of its id, along a path such as `data.customer`.
///
/// Errors: there is nothing to expand at the path.
pub(super) fn expand(store: &Store, answer: &mut Value, path: &str) -> Result<(), Refusal> {
    let refusal = || Refusal::invalid("expand", format!("This property cannot be expanded ({path})."));
    if let Some(members) = answer.as_array_mut() {
        return members.iter_mut().try_for_each(|member| expand(store, member, path));
    }
    if answer.is_null() {
        return Ok(());
    }
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    if answer["object"] == "invoice" && name == "payments" && answer.get("payments").is_none() {
        answer["payments"] = payments_of(store, text(answer, "id"));
    }
    let field = answer.get_mut(name).ok_or_else(refusal)?;
    if let Some(id) = field.as_str() {
        *field = store.shown(id).ok_or_else(refusal)?;
    }
    match rest {
        Some(rest) => expand(store, field, rest),
        None => Ok(()),
    }
}

/// The payments of an invoice, which Stripe shows only when asked.
fn payments_of(store: &Store, invoice: &str) -> Value {
    let payments = store.all("invoice_payment").iter().filter(|payment| payment["invoice"] == invoice);
    let data: Vec<_> = payments.rev().cloned().collect();
    json!({"object": "list", "data": data, "has_more": false, "url": "/v1/invoice_payments"})
}
