//! `GET /v1/responses/{id}/input_items`: what a stored response was an answer to, page by page.
//! Never another tenant's, and never the answer itself; everything said before it belongs to what it answers.
//! Called through `http::routes`.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::items::invalid;
use crate::{app::App, http::ApiError};

/// Items of one page: as many as OpenAI gives.
const LIMIT_MAX: usize = 100;
const LIMIT_USUAL: usize = 20;

/// What may be asked to be included; nothing of it is ever left out here.
const INCLUDED: [&str; 8] = [
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
];

/// Which items are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    is_ascending: bool,
    after: Option<String>,
    limit: usize,
}

/// One page of them.
pub(in crate::http) async fn list(
    request: HttpRequest,
    id: web::Path<String>,
    app: web::Data<App>,
) -> HttpResponse {
    match page(&request, &id, &app).await {
        Ok(page) => HttpResponse::Ok().json(page),
        Err(error) => error.to_response(),
    }
}

async fn page(request: &HttpRequest, id: &str, app: &App) -> Result<Value, ApiError> {
    let stored = super::stored(request, id, app).await?;
    let page = Page::read(request.query_string())?;
    page.of(items(id, &stored.body, &stored.conversation))
}

impl Page {
    /// Errors: the first name whose value is none. Names that mean nothing here are ignored, as OpenAI does.
    fn read(query: &str) -> Result<Self, ApiError> {
        let mut page = Self { is_ascending: false, after: None, limit: LIMIT_USUAL };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "order" => {
                    page.is_ascending = match &*value {
                        "asc" => true,
                        "desc" => false,
                        _ => return Err(invalid("order", "must be asc or desc")),
                    }
                }
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    let why = "must be a whole number from 1 to 100";
                    page.limit = limit.ok_or_else(|| invalid("limit", why))?;
                }
                "after" => page.after = Some(value.into_owned()),
                "include" | "include[]" if !INCLUDED.contains(&&*value) => {
                    return Err(invalid("include", &format!("{value:?} is nothing that can be included")));
                }
                _ => {}
            }
        }
        Ok(page)
    }

    /// Errors: no item has the id after which the page is to begin.
    fn of(&self, mut items: Vec<Value>) -> Result<Value, ApiError> {
        if !self.is_ascending {
            items.reverse();
        }
        if let Some(after) = &self.after {
            let place = items.iter().position(|item| item["id"] == after.as_str());
            let place = place.ok_or_else(|| invalid("after", "no item of this response has this id"))?;
            items.drain(..=place);
        }
        let has_more = items.len() > self.limit;
        items.truncate(self.limit);
        let id = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
        let (first_id, last_id) = (id(items.first()), id(items.last()));
        Ok(json!({
            "object": "list", "data": items, "first_id": first_id, "last_id": last_id, "has_more": has_more,
        }))
    }
}

/// What was said before the answer, in its order; every item with an id, and every message in parts.
fn items(response_id: &str, body: &str, conversation: &str) -> Vec<Value> {
    // Both were written by this program.
    let said: Vec<Value> = serde_json::from_str(conversation).unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let answered = body["output"].as_array().map_or(0, Vec::len);
    let before = said.len().saturating_sub(answered);
    let request = response_id.trim_start_matches("resp_");
    said.into_iter().take(before).enumerate().map(|(place, item)| whole(item, request, place)).collect()
}

fn whole(item: Value, request: &str, place: usize) -> Value {
    let Value::Object(mut item) = item else { return item };
    let kind = item.get("type").and_then(Value::as_str).unwrap_or("message").to_owned();
    if !item.get("id").is_some_and(Value::is_string) {
        let prefix = match kind.as_str() {
            "function_call" => "fc",
            "function_call_output" => "fco",
            "reasoning" => "rs",
            _ => "msg",
        };
        // The same whenever it is asked for, so that pages fit together.
        item.insert("id".to_owned(), format!("{prefix}_{request}_{place}").into());
    }
    if kind == "message" {
        in_parts(&mut item);
    }
    if kind != "reasoning" {
        item.entry("status").or_insert_with(|| "completed".into());
    }
    item.insert("type".to_owned(), kind.into());
    Value::Object(item)
}

/// A message that came as a text, as the one part that it means.
fn in_parts(message: &mut Map<String, Value>) {
    let is_answer = message.get("role").is_some_and(|role| role == "assistant");
    let Some(Value::String(text)) = message.get("content") else { return };
    let part = match is_answer {
        true => json!({"type": "output_text", "text": text, "annotations": []}),
        false => json!({"type": "input_text", "text": text}),
    };
    message.insert("content".to_owned(), Value::Array(vec![part]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_and_refused_by_name() {
        let usual = Page { is_ascending: false, after: None, limit: 20 };
        let rows = [
            ("", Ok(usual.clone())),
            ("order=asc&limit=100", Ok(Page { is_ascending: true, limit: 100, ..usual.clone() })),
            (
                "after=msg_x%20y&limit=1",
                Ok(Page { after: Some("msg_x y".to_owned()), limit: 1, ..usual.clone() }),
            ),
            (
                "include[]=reasoning.encrypted_content&include=message.input_image.image_url",
                Ok(usual.clone()),
            ),
            ("other=x", Ok(usual)),
            ("order=up", Err("order")),
            ("limit=0", Err("limit")),
            ("limit=101", Err("limit")),
            ("limit=-1", Err("limit")),
            ("limit=", Err("limit")),
            ("include=everything", Err("include")),
        ];
        for (query, expected) in rows {
            let found = Page::read(query).map_err(|error| error.param().unwrap_or_default().to_owned());
            assert_eq!(found, expected.map_err(str::to_owned), "{query}");
        }
    }

    #[test]
    fn items_have_ids_and_parts_and_the_answer_is_none_of_them() {
        let said = json!([
            {"role": "user", "content": "one"},
            {"type": "message", "id": "msg_own", "role": "assistant", "content": "two", "status": "incomplete"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "three"},
            {"type": "message", "id": "msg_answer", "role": "assistant", "content": []},
        ]);
        let body = json!({"output": [{"id": "msg_answer"}]});
        let items = items("resp_r", &body.to_string(), &said.to_string());
        let ids: Vec<_> = items.iter().map(|item| item["id"].as_str().unwrap_or_default()).collect();
        assert_eq!(ids, ["msg_r_0", "msg_own", "fc_r_2", "fco_r_3"]);
        assert_eq!(items[0]["content"], json!([{"type": "input_text", "text": "one"}]));
        assert_eq!((&items[0]["type"], &items[0]["status"]), (&json!("message"), &json!("completed")));
        assert_eq!(items[1]["content"][0]["type"], "output_text");
        assert_eq!(items[1]["status"], "incomplete");
        assert_eq!(items[3]["output"], "three");
    }

    #[test]
    fn pages_fit_together_in_both_orders() {
        let all = || (0..5).map(|place| json!({"id": format!("i{place}")})).collect::<Vec<_>>();
        let check = |page: &Page, expected: &[&str], has_more: bool| {
            let found = page.of(all()).expect("a page");
            let ids: Vec<_> =
                found["data"].as_array().into_iter().flatten().map(|item| &item["id"]).collect();
            assert_eq!(ids, expected, "{page:?}");
            assert_eq!(found["has_more"], has_more, "{page:?}");
            let ends = (found["first_id"].as_str(), found["last_id"].as_str());
            assert_eq!(ends, (expected.first().copied(), expected.last().copied()), "{page:?}");
        };
        let page = |is_ascending, after: Option<&str>, limit| Page {
            is_ascending,
            after: after.map(str::to_owned),
            limit,
        };
        check(&page(true, None, 2), &["i0", "i1"], true);
        check(&page(true, Some("i1"), 2), &["i2", "i3"], true);
        check(&page(true, Some("i3"), 2), &["i4"], false);
        check(&page(true, Some("i4"), 2), &[], false);
        check(&page(false, None, 3), &["i4", "i3", "i2"], true);
        check(&page(false, Some("i2"), 3), &["i1", "i0"], false);
        assert!(page(true, Some("none"), 2).of(all()).is_err());
    }
}
