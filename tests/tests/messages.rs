//! The promises of the Anthropic dialect, over the real program on an ephemeral port.
//! Never looks inside the program: HTTP, the command line and what it prints are all it has.
//! Run by `cargo xtask test`, one at a time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::harness::{Answer, Event, Installation, Messages, Outcome, Server};

/// A simulated engine under the priced name: slow enough to be interrupted, fast enough to test with.
const SIMULATED: &str = "[server]\ndrain_seconds = 1\nbody_bytes_max = 65536\n\
    [[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\nseed = 1\ndecode_step_us = 10000\n";

/// Says after the asker what it was asked, 10 ms a token.
const ECHO: &str = "[server]\ndrain_seconds = 1\n[[model]]\nname = \"demo\"\nsource = \"sim\"\n\
    [model.sim]\nanswer = \"echo\"\ndecode_step_us = 10000\n";

/// Words whose echo takes many seconds.
const LONG_WORDS: usize = 1_000;

/// The shipper commits within a second; a busy machine takes longer.
const SHIPPED_MAX: Duration = Duration::from_secs(30);

fn request(text: &str, tokens_max: u32) -> Value {
    json!({"model": "demo", "max_tokens": tokens_max, "messages": [{"role": "user", "content": text}]})
}

async fn first_start(installation: &mut Installation) -> Outcome<(Server, Messages)> {
    let server = installation.start().await?;
    let messages = server.messages(&server.banner().api_key.clone().unwrap_or_default());
    Ok((server, messages))
}

/// A new key with limits, once the server knows it.
async fn new_key(installation: &Installation, server: &Server, limits: &[&str]) -> Outcome<String> {
    let key = installation.create_key("demo", limits)?;
    server.knows(&key).await?;
    Ok(key)
}

/// The ledger's records of the demo tenant, once it has at least `count`.
async fn records(installation: &Installation, count: usize) -> Outcome<Vec<Value>> {
    let started = Instant::now();
    loop {
        let records = installation.records("demo")?;
        if records.len() >= count || started.elapsed() > SHIPPED_MAX {
            return Ok(records.into_iter().map(|record| record["record"].clone()).collect());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A refusal in this dialect's form.
fn check_refusal(answer: &Answer, status: u16, kind: &str) {
    let body = &answer.body;
    assert_eq!((answer.status.as_u16(), &body["error"]["type"]), (status, &json!(kind)), "{body}");
    assert_eq!(body["type"], "error", "{body}");
    assert!(body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    let id = answer.header("request-id");
    assert!(!id.is_empty() && id == answer.header("x-request-id"), "{:?}", answer.headers);
    assert_eq!(body["request_id"], id, "{body}");
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_and_its_record_agree() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (_server, messages) = first_start(&mut installation).await?;
    let whole = messages.send("/messages", &request("hello there", 5)).await?;
    assert_eq!(whole.status, 200, "{}", whole.body);
    let events = messages.stream(&request("hello again", 7)).await?.finish().await?;
    let names = names(&events);
    assert_eq!(names[..2], ["message_start", "content_block_start"], "{names:?}");
    assert_eq!(
        names[names.len() - 3..],
        ["content_block_stop", "message_delta", "message_stop"],
        "{names:?}"
    );
    for event in &events {
        assert_eq!(event.data["type"], event.name, "{event:?}");
    }
    let start = &events[0].data["message"];
    let end = &events[events.len() - 2].data;
    assert_eq!(start["usage"]["input_tokens"], end["usage"]["input_tokens"]);
    assert_eq!((&start["usage"]["output_tokens"], &start["stop_reason"]), (&json!(0), &Value::Null));
    let deltas = events.iter().filter(|event| event.name == "content_block_delta");
    let text: String = deltas.filter_map(|event| event.data["delta"]["text"].as_str()).collect();
    assert!(!text.is_empty(), "{events:?}");
    assert!(whole.body["content"][0]["text"].as_str().is_some_and(|text| !text.is_empty()), "{}", whole.body);

    let records = records(&installation, 2).await?;
    assert_eq!(records.len(), 2, "{records:#?}");
    let answers = [
        (&whole.body["id"], &whole.body["usage"], &whole.body["stop_reason"]),
        (&start["id"], &end["usage"], &end["delta"]["stop_reason"]),
    ];
    for (id, usage, stop_reason) in answers {
        let request_id = id.as_str().and_then(|id| id.strip_prefix("msg_")).unwrap_or_default();
        let found = records.iter().find(|record| record["request_id"] == request_id);
        let record = found.unwrap_or(&Value::Null);
        assert_eq!(record["prompt_tokens"], usage["input_tokens"], "{id}");
        assert_eq!(record["output_tokens"], usage["output_tokens"], "{id}");
        assert_eq!(record["energy_mj"], usage["tallygate"]["energy_mj"], "{id}");
        assert_eq!(usage["cache_read_input_tokens"], 0, "{id}");
        assert_eq!(usage["cache_creation_input_tokens"], 0, "{id}");
        assert_eq!((&record["reason"], stop_reason), (&json!("completed"), &json!("max_tokens")), "{id}");
    }
    assert_eq!(
        whole.header("x-tallygate-energy-mj"),
        whole.body["usage"]["tallygate"]["energy_mj"].to_string()
    );
    installation.run(&["verify-journal"])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_dialects_count_the_same_prompt() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, messages) = first_start(&mut installation).await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    let mut ours = request("hello", 2);
    ours["system"] = json!([{"type": "text", "text": "be brief"}]);
    let theirs = json!({"model": "demo", "max_tokens": 2, "messages": [
        {"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]});
    let message = messages.send("/messages", &ours).await?;
    let chat = server.chat(&key).send(&theirs).await?;
    assert_eq!(
        message.body["usage"]["input_tokens"], chat.body["usage"]["prompt_tokens"],
        "{}",
        message.body
    );
    let mut counted = ours.clone();
    counted.as_object_mut().map(|fields| fields.remove("max_tokens"));
    let count = messages.send("/messages/count_tokens", &counted).await?;
    assert_eq!(count.body, json!({"input_tokens": message.body["usage"]["input_tokens"]}));
    Ok(())
}

/// Every way to send a good key wrongly, on both routes.
async fn check_credentials(messages: &Messages, key: &str) -> Outcome {
    let bearer = format!("Bearer {key}");
    let unauthenticated = [
        vec![],
        vec![("x-api-key", "")],
        vec![("x-api-key", "tg-0-0")],
        vec![("x-api-key", &bearer)],
        vec![("authorization", key)],
    ];
    let ambiguous = [
        vec![("x-api-key", key), ("authorization", &bearer)],
        vec![("x-api-key", key), ("x-api-key", key)],
        vec![("authorization", &bearer), ("authorization", &bearer)],
    ];
    let good = request("hello", 3);
    let countable = json!({"model": "demo", "messages": good["messages"]});
    for (path, body) in [("/messages", &good), ("/messages/count_tokens", &countable)] {
        for headers in &unauthenticated {
            let answer = messages.with_headers(headers).send(path, body).await?;
            check_refusal(&answer, 401, "authentication_error");
        }
        for headers in &ambiguous {
            let answer = messages.with_headers(headers).send(path, body).await?;
            check_refusal(&answer, 400, "invalid_request_error");
            assert_eq!(answer.code(), "two_api_keys", "{}", answer.body);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_messages_consume_nothing() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, _) = first_start(&mut installation).await?;
    let key = new_key(&installation, &server, &["--requests-per-minute", "3", "--tokens-per-minute", "6000"])
        .await?;
    let messages = server.messages(&key);
    let good = request("hello", 3);
    let with = |field: &str, value: Value| {
        let mut request = good.clone();
        request[field] = value;
        request
    };
    let big = with("system", json!("x".repeat(70_000)));
    let rows = [
        ("/messages", with("model", json!("no-such-model")), 404, "not_found_error"),
        ("/messages", with("messages", json!([])), 400, "invalid_request_error"),
        ("/messages", with("temperature", json!(1.5)), 400, "invalid_request_error"),
        ("/messages", with("max_tokens", json!(0)), 400, "invalid_request_error"),
        ("/messages", with("max_tokens", Value::Null), 400, "invalid_request_error"),
        ("/messages", with("tools", json!([{"name": "t"}])), 400, "invalid_request_error"),
        ("/messages", with("unheard_of", json!(1)), 400, "invalid_request_error"),
        ("/messages", with("system", json!("x".repeat(9_000))), 400, "invalid_request_error"),
        ("/messages", big, 413, "request_too_large"),
        ("/messages/count_tokens", good.clone(), 400, "invalid_request_error"),
        (
            "/messages/count_tokens",
            json!({"model": "no", "messages": good["messages"]}),
            404,
            "not_found_error",
        ),
        ("/messages/batches", good.clone(), 404, "not_found_error"),
        ("/messages/", good.clone(), 404, "not_found_error"),
    ];
    for (path, request, status, kind) in &rows {
        check_refusal(&messages.send(path, request).await?, *status, kind);
    }
    check_credentials(&messages, &key).await?;
    let bearer = format!("Bearer {key}");
    let countable = json!({"model": "demo", "messages": good["messages"]});
    let count = messages.send("/messages/count_tokens", &countable).await?;
    assert_eq!(count.status, 200, "{}", count.body);

    // Good requests after them: they are the only ones that took something, and the only ones with a record.
    let bearing = messages.with_headers(&[("authorization", &bearer), ("anthropic-version", "2023-06-01")]);
    let answer = bearing.send("/messages", &good).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("anthropic-ratelimit-requests-limit"), "3");
    assert_eq!(
        answer.header("anthropic-ratelimit-requests-remaining"),
        "2",
        "the refused ones took no request"
    );
    let reserved = answer.body["usage"]["input_tokens"].as_u64().unwrap_or(0) + 3;
    let left: u64 = answer.header("anthropic-ratelimit-tokens-remaining").parse().unwrap_or(0);
    assert_eq!(left, 6_000 - reserved, "the refused ones took no tokens");
    assert!(answer.header("anthropic-ratelimit-tokens-reset").ends_with('Z'), "{:?}", answer.headers);
    for _ in 0..2 {
        assert_eq!(messages.send("/messages", &good).await?.status, 200);
    }
    let limited = messages.send("/messages", &good).await?;
    check_refusal(&limited, 429, "rate_limit_error");
    assert_eq!(limited.header("anthropic-ratelimit-requests-remaining"), "0");
    assert!(limited.header("retry-after").parse::<u64>().is_ok_and(|wait| (1..=60).contains(&wait)));
    assert!(server.stop().await?.success());
    assert_eq!(records(&installation, 3).await?.len(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_another_model_is_forbidden() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, _) = first_start(&mut installation).await?;
    let messages = server.messages(&new_key(&installation, &server, &["--model", "another"]).await?);
    let good = request("hello", 3);
    let countable = json!({"model": "demo", "messages": good["messages"]});
    check_refusal(&messages.send("/messages", &good).await?, 403, "permission_error");
    check_refusal(&messages.send("/messages/count_tokens", &countable).await?, 403, "permission_error");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_refused_in_the_dialect() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, _) = first_start(&mut installation).await?;
    for (path, status) in [("/messages", 405), ("/messages/count_tokens", 405), ("/messages/x/y", 404)] {
        check_refusal(
            &server.chat("").get(path).await?,
            status,
            if status == 404 { "not_found_error" } else { "invalid_request_error" },
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaving_reader_of_a_message_ends_its_generation() -> Outcome {
    let mut installation = Installation::new(ECHO)?;
    let (_server, messages) = first_start(&mut installation).await?;
    let mut events = messages.stream(&request(&"word ".repeat(LONG_WORDS), 3_000)).await?;
    let mut seen = 0;
    while seen < 3 {
        let event = events.next().await?;
        assert!(event.is_some(), "the stream ended early");
        seen += u64::from(event.is_some_and(|event| event.name == "content_block_delta"));
    }
    drop(events);
    let records = records(&installation, 1).await?;
    assert_eq!(records[0]["reason"], "client_gone", "{records:#?}");
    let tokens = records[0]["output_tokens"].as_u64().unwrap_or(0);
    // The generation ended long before its thousand words.
    assert!((seen..500).contains(&tokens), "{seen} parts were seen, {tokens} tokens billed");
    Ok(())
}

/// Reads a stream that began well and broke off: its last event is an error of this kind, and it has no end.
fn check_broken(events: &[Event], kind: &str) {
    let last = events.last().cloned().unwrap_or(Event { name: String::new(), data: Value::Null });
    assert_eq!(last.name, "error", "{last:?}");
    assert_eq!((&last.data["type"], &last.data["error"]["type"]), (&json!("error"), &json!(kind)));
    assert!(last.data["error"]["message"].is_string(), "{last:?}");
    let is_end = |name: &&str| matches!(*name, "content_block_stop" | "message_delta" | "message_stop");
    assert!(!names(events).iter().any(is_end), "{events:?}");
    assert_eq!(names(events).iter().filter(|name| **name == "error").count(), 1, "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_breaks_off_says_so_and_ends() -> Outcome {
    let mut installation = Installation::new(ECHO)?;
    let (mut server, messages) = first_start(&mut installation).await?;
    let mut events = messages.stream(&request(&"word ".repeat(LONG_WORDS), 3_000)).await?;
    while events.next().await?.is_some_and(|event| event.name != "content_block_delta") {}
    // Draining lasts one second, the answer many.
    server.signal(libc::SIGTERM);
    check_broken(&events.finish().await?, "overloaded_error");
    assert!(server.ended().await?.success(), "{}", server.printed());
    let records = records(&installation, 1).await?;
    assert_eq!((records.len(), &records[0]["reason"]), (1, &json!("engine_error")), "{records:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_engine_fails_messages() -> Outcome {
    let mut installation = Installation::new(&format!("{ECHO}fail_after_tokens = 5\n"))?;
    let (_server, messages) = first_start(&mut installation).await?;
    let long = request(&"word ".repeat(LONG_WORDS), 100);
    let events = messages.stream(&long).await?.finish().await?;
    assert!(names(&events).contains(&"content_block_delta"), "{events:?}");
    check_broken(&events, "api_error");
    check_refusal(&messages.send("/messages", &long).await?, 500, "api_error");
    let records = records(&installation, 2).await?;
    assert!(records.iter().all(|record| record["reason"] == "engine_error"), "{records:#?}");
    Ok(())
}
