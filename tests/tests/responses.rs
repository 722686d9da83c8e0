//! The Responses API: events in their order, conversations that go on, and whose they are.
//! Never looks inside the program: HTTP, the command line and what it prints are all it has.
//! Run by `cargo xtask test`, one at a time.

use reqwest::Method;
use serde_json::{Value, json};
use tests::harness::{Installation, Outcome, Server, Wire};

/// Says after the asker what it was asked, 2 ms a token.
const ECHO: &str = "[server]\ndrain_seconds = 1\n[[model]]\nname = \"demo\"\nsource = \"sim\"\n\
    [model.sim]\nanswer = \"echo\"\ndecode_step_us = 2000\n";

/// Fails at its third token.
const FAILING: &str = "[server]\ndrain_seconds = 1\n[[model]]\nname = \"demo\"\nsource = \"sim\"\n\
    [model.sim]\nanswer = \"echo\"\ndecode_step_us = 2000\nfail_after_tokens = 2\n";

async fn start(installation: &mut Installation) -> Outcome<(Server, Wire)> {
    let server = installation.start().await?;
    let wire = server.wire(&server.banner().api_key.clone().unwrap_or_default());
    Ok((server, wire))
}

fn id(response: &Value) -> String {
    response["id"].as_str().unwrap_or_default().to_owned()
}

fn text(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_response_is_as_one_that_never_was() -> Outcome {
    let mut installation = Installation::new(ECHO)?;
    let (_server, wire) = start(&mut installation).await?;
    let said = json!({"model": "demo", "input": "one two three"});
    let [old, kept] =
        [wire.post("/responses", &said).await?.body, wire.post("/responses", &said).await?.body];
    // Its time is over, and nobody has swept it yet.
    let ledger = format!("sqlite://{}", installation.folder().join("data/ledger.sqlite").display());
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&ledger).await?;
    let expire =
        "UPDATE stored_responses SET created_unix_us = 1, expires_unix_us = 2 WHERE response_id = $1";
    let expired = sqlx::query(expire).bind(id(&old)).execute(&mut connection).await?;
    assert_eq!(expired.rows_affected(), 1);
    let path = format!("/responses/{}", id(&old));
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::GET, format!("{path}/input_items")),
    ] {
        let gone = wire.bare(method.clone(), &path).await?;
        assert_eq!((gone.status.as_u16(), gone.code()), (404, "response_not_found"), "{method} {path}");
    }
    let next =
        |previous: &Value| json!({"model": "demo", "input": "four", "previous_response_id": id(previous)});
    let refused = wire.post("/responses", &next(&old)).await?;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (400, "previous_response_not_found"),
        "{}",
        refused.body
    );
    assert_eq!(wire.post("/responses", &next(&kept)).await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_kept_and_gone_on_with() -> Outcome {
    let mut installation = Installation::new(ECHO)?;
    let (server, wire) = start(&mut installation).await?;
    let first = wire.post("/responses", &json!({"model": "demo", "input": "one two three"})).await?;
    assert_eq!((first.status.as_u16(), &first.body["status"]), (200, &json!("completed")), "{}", first.body);
    assert!(text(&first.body).contains("one two three"), "{}", first.body);
    assert_eq!(first.body["usage"]["tallygate"]["request_id"], first.header("x-request-id"));
    assert!(id(&first.body).ends_with(first.header("x-request-id")), "{}", first.body);

    let path = format!("/responses/{}", id(&first.body));
    let found = wire.bare(Method::GET, &path).await?;
    assert_eq!(found.body, first.body);

    let next = json!({"model": "demo", "input": "four", "previous_response_id": id(&first.body)});
    let second = wire.post("/responses", &next).await?;
    let tokens = |body: &Value| body["usage"]["input_tokens"].as_u64().unwrap_or_default();
    assert!(tokens(&second.body) > tokens(&first.body), "the prompt has what was said: {}", second.body);
    assert_eq!(second.body["previous_response_id"], first.body["id"]);

    // What the second one answered: all that was said before it.
    let items = format!("/responses/{}/input_items", id(&second.body));
    let page = wire.bare(Method::GET, &format!("{items}?order=asc&limit=2")).await?;
    assert_eq!((page.status.as_u16(), &page.body["has_more"]), (200, &json!(true)), "{}", page.body);
    assert_eq!(page.body["data"][0]["content"][0]["text"], "one two three");
    assert_eq!(page.body["data"][1], first.body["output"][0]);
    let after = page.body["last_id"].as_str().unwrap_or_default();
    let rest = wire.bare(Method::GET, &format!("{items}?order=asc&after={after}")).await?;
    assert_eq!(
        (rest.body["data"].as_array().map(Vec::len), &rest.body["has_more"]),
        (Some(1), &json!(false))
    );
    assert_eq!(rest.body["data"][0]["content"][0]["text"], "four");
    let latest = wire.bare(Method::GET, &items).await?;
    assert_eq!(latest.body["data"][0], rest.body["data"][0], "the latest comes first");
    let refused = wire.bare(Method::GET, &format!("{items}?limit=1000")).await?;
    assert_eq!((refused.status.as_u16(), refused.body["error"]["param"].as_str()), (400, Some("limit")));

    installation.run(&["tenant", "create", "other", "--plan", "demo"])?;
    let key = installation.create_key("other", &[])?;
    server.knows(&key).await?;
    let stranger = server.wire(&key);
    for method in [Method::GET, Method::DELETE] {
        let answer = stranger.bare(method, &path).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (404, "response_not_found"), "{}", answer.body);
    }
    let answer = stranger.bare(Method::GET, &items).await?;
    assert_eq!((answer.status.as_u16(), answer.code()), (404, "response_not_found"), "{}", answer.body);
    let refused = stranger.post("/responses", &next).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "previous_response_not_found"));

    let deleted = wire.bare(Method::DELETE, &path).await?;
    assert_eq!((deleted.status.as_u16(), &deleted.body["deleted"]), (200, &json!(true)), "{}", deleted.body);
    assert_eq!(wire.bare(Method::GET, &path).await?.status.as_u16(), 404);
    let again = wire.post("/responses", &next).await?;
    assert_eq!(again.code(), "previous_response_not_found", "{}", again.body);
    // The conversation so far is in the second response as well, whatever became of the first.
    let third =
        json!({"model": "demo", "input": "five", "previous_response_id": id(&second.body), "store": false});
    let third = wire.post("/responses", &third).await?;
    assert!(tokens(&third.body) > tokens(&second.body), "{}", third.body);
    assert_eq!(
        wire.bare(Method::GET, &format!("/responses/{}", id(&third.body))).await?.status.as_u16(),
        404
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_numbered_and_in_order() -> Outcome {
    let mut installation = Installation::new(ECHO)?;
    let (_server, wire) = start(&mut installation).await?;
    let request = json!({"model": "demo", "input": "one two three", "stream": true, "max_output_tokens": 2});
    let stream = wire.text("/responses", &request).await?;
    let events = stream.events()?;
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{}", stream.text);
    }
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    let begin = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
    ];
    let end = [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ];
    assert_eq!(kinds[..begin.len()], begin, "{kinds:?}");
    assert_eq!(kinds[kinds.len() - end.len()..], end, "{kinds:?}");
    let last = &events[events.len() - 1]["response"];
    assert_eq!(last["incomplete_details"], json!({"reason": "max_output_tokens"}), "{last}");
    assert_eq!(last["usage"]["output_tokens"], 2, "{last}");
    let found = wire.bare(Method::GET, &format!("/responses/{}", id(last))).await?;
    assert_eq!(&found.body, last, "stored before the last event left");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_breaks_off_says_so() -> Outcome {
    let mut installation = Installation::new(FAILING)?;
    let (_server, wire) = start(&mut installation).await?;
    let request = json!({"model": "demo", "input": "one two three four five", "stream": true});
    let stream = wire.text("/responses", &request).await?;
    let events = stream.events()?;
    let last = events.last().cloned().unwrap_or_default();
    assert_eq!(last["type"], "response.failed", "{}", stream.text);
    assert_eq!(last["response"]["error"]["code"], "server_error", "{last}");
    let found = wire.bare(Method::GET, &format!("/responses/{}", id(&last["response"]))).await?;
    assert_eq!(found.status.as_u16(), 404, "what broke off is not stored");
    Ok(())
}
