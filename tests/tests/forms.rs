//! The forms of OpenAI's dialect beside chats: completions, embeddings, silence in streams, streams of HTTP/1.0.
//! Never looks inside the program: HTTP, the command line and what it prints are all it has.
//! Run by `cargo xtask test`, one at a time.

use serde_json::{Value, json};
use tests::harness::{Chat, Installation, Outcome, Server, Wire};

/// Says after the asker what it was asked, 2 ms a token.
const ECHO: &str = "[server]\ndrain_seconds = 1\n[[model]]\nname = \"demo\"\nsource = \"sim\"\n\
    [model.sim]\nanswer = \"echo\"\ndecode_step_us = 2000\n";

/// As slow as a model that thinks for long: 300 ms a token, with a patience of 100 ms.
const SILENT: &str = "[server]\ndrain_seconds = 1\nstream_silence_ms_max = 100\n\
    [slo]\nwhen_late = \"serve\"\n[[model]]\nname = \"demo\"\nsource = \"sim\"\n\
    [model.sim]\nanswer = \"echo\"\ndecode_step_us = 300000\nprefill_tokens_per_second = 20\n";

async fn start(installation: &mut Installation) -> Outcome<(Server, Wire)> {
    let server = installation.start().await?;
    let wire = server.wire(&server.banner().api_key.clone().unwrap_or_default());
    Ok((server, wire))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_continued() -> Outcome {
    let mut installation = Installation::new(ECHO)?;
    let (_server, wire) = start(&mut installation).await?;
    let request = json!({"model": "demo", "prompt": "one two three", "max_tokens": 3});
    let whole = wire.post("/completions", &request).await?;
    assert_eq!(
        (whole.status.as_u16(), &whole.body["object"]),
        (200, &json!("text_completion")),
        "{}",
        whole.body
    );
    let choice = &whole.body["choices"][0];
    assert_eq!((&choice["index"], &choice["finish_reason"]), (&json!(0), &json!("length")), "{choice}");
    let text = choice["text"].as_str().unwrap_or_default().to_owned();
    assert!(!text.is_empty(), "{choice}");
    assert_eq!(whole.body["usage"]["completion_tokens"], 3, "{}", whole.body);
    assert_eq!(whole.header("x-tallygate-slo-class"), "interactive", "{:?}", whole.headers);

    let mut streamed = request.clone();
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({"include_usage": true});
    let stream = wire.text("/completions", &streamed).await?;
    let events = stream.events()?;
    let joined: String = events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(joined, text, "{}", stream.text);
    assert_eq!(events.last(), Some(&json!("[DONE]")), "{}", stream.text);
    assert_eq!(events[events.len() - 2]["usage"]["completion_tokens"], 3, "{}", stream.text);
    assert_eq!(events[events.len() - 3]["choices"][0]["finish_reason"], "length", "{}", stream.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_text_of_a_list_is_a_choice() -> Outcome {
    let mut installation = Installation::new(ECHO)?;
    let (_server, wire) = start(&mut installation).await?;
    let texts = ["one two", "three four", "five six"];
    let request = json!({"model": "demo", "prompt": texts, "max_tokens": 2});
    let whole = wire.post("/completions", &request).await?;
    let choices = whole.body["choices"].as_array().cloned().unwrap_or_default();
    let indices: Vec<&Value> = choices.iter().map(|choice| &choice["index"]).collect();
    assert_eq!(indices, [&json!(0), &json!(1), &json!(2)], "{}", whole.body);
    assert_eq!(whole.body["usage"]["completion_tokens"], 6, "{}", whole.body);

    let mut streamed = request.clone();
    streamed["stream"] = json!(true);
    let events = wire.text("/completions", &streamed).await?.events()?;
    for (index, choice) in choices.iter().enumerate() {
        let of_choice = events.iter().filter(|event| event["choices"][0]["index"] == index);
        let joined: String = of_choice.filter_map(|event| event["choices"][0]["text"].as_str()).collect();
        assert_eq!(joined, choice["text"].as_str().unwrap_or_default(), "choice {index}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_cannot_do_is_refused_by_name() -> Outcome {
    let mut installation = Installation::new(ECHO)?;
    let (_server, wire) = start(&mut installation).await?;
    let user = json!([{"role": "user", "content": "x"}]);
    let rows = [
        ("/embeddings", json!({"model": "demo", "input": "x"}), "unsupported_model", "model"),
        ("/completions", json!({"model": "demo", "prompt": [1, 2]}), "unsupported_value", "prompt"),
        ("/completions", json!({"model": "demo", "prompt": "x", "echo": true}), "unsupported_value", "echo"),
        ("/completions", json!({"model": "demo"}), "missing_required_parameter", "prompt"),
        ("/responses", json!({"model": "demo"}), "missing_required_parameter", "input"),
        ("/messages", json!({"model": "demo", "messages": user}), "missing_required_parameter", "max_tokens"),
        (
            "/chat/completions",
            json!({"model": "demo", "messages": user, "tools": [{"type": "function"}]}),
            "unsupported_value",
            "tools",
        ),
        (
            "/chat/completions",
            json!({"model": "demo", "messages": user, "service_tier": "best"}),
            "invalid_value",
            "service_tier",
        ),
    ];
    for (path, body, code, param) in rows {
        let answer = wire.post(path, &body).await?;
        let error = &answer.body["error"];
        assert_eq!(answer.status.as_u16(), 400, "{path} {body}: {error}");
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(param)), "{path} {body}");
        assert_eq!(error["origin"], "gateway", "{path} {body}");
    }
    let unknown = wire.post("/embeddings", &json!({"model": "nobody", "input": "x"})).await?;
    assert_eq!(unknown.status.as_u16(), 404, "{}", unknown.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_is_kept_alive() -> Outcome {
    let mut installation = Installation::new(SILENT)?;
    let (_server, wire) = start(&mut installation).await?;
    let messages = json!([{"role": "user", "content": "one two three four five six seven eight"}]);
    let request = json!({"model": "demo", "messages": messages, "max_tokens": 3, "stream": true});
    let chat = wire.text("/chat/completions", &request).await?;
    assert!(chat.text.starts_with(": keep-alive\n\n"), "before the first token: {}", chat.text);
    assert!(chat.text.contains("\n\n: keep-alive\n\ndata: "), "between tokens: {}", chat.text);
    assert!(chat.text.ends_with("data: [DONE]\n\n"), "{}", chat.text);
    assert_eq!(chat.events()?.last(), Some(&json!("[DONE]")));

    let message = wire.text("/messages", &request).await?;
    assert!(message.text.starts_with("event: message_start\n"), "{}", message.text);
    let first = message.text.find("event: ping\ndata: {\"type\":\"ping\"}\n\n");
    let begun = message.text.find("event: content_block_start\n");
    assert!(first.is_some() && first < begun, "a ping before the first token: {}", message.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_is_given_a_stream_that_ends_with_its_connection() -> Outcome {
    let mut installation = Installation::new(ECHO)?;
    let server = installation.start().await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    let mut request = Chat::request("hello", 2);
    request["stream"] = true.into();
    let body = request.to_string();
    for (path, wish, end) in [
        ("chat/completions", "", "data: [DONE]\n\n"),
        ("chat/completions", "Connection: keep-alive\r\n", "data: [DONE]\n\n"),
        ("messages", "", "data: {\"type\":\"message_stop\"}\n\n"),
    ] {
        let head = format!("POST /v1/{path} HTTP/1.0\r\nAuthorization: Bearer {key}\r\n{wish}");
        let sent = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        let answer = server.raw()?.exchange(sent.as_bytes()).await?.expect("an answer");
        let text = String::from_utf8_lossy(&answer.rest);
        assert_eq!((answer.status, answer.header("transfer-encoding")), (200, ""), "{}", answer.head);
        assert_ne!(answer.header("connection"), "keep-alive", "{}", answer.head);
        assert!(text.starts_with("data: {") || text.starts_with("event: message_start\n"), "{text}");
        assert!(text.ends_with(end), "no chunk around it: {text}");
    }
    Ok(())
}
