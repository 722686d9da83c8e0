//! What a request may cost and say at the most: holds that are not spent, the bounds of output and context at backends, the tier told.
//! Never a real model: a server of the harness says as much as each test tells it.
//! Run by `cargo xtask test`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::harness::{Behaviour, Chat, Front, Installation, Outcome, Upstream};

/// Ends of requests are settled at once; a busy machine takes longer.
const SETTLED_MAX: Duration = Duration::from_secs(20);

fn request(tokens_max: u32) -> Value {
    Chat::request("Say hello.", tokens_max)
}

/// A body without its usage, which the record is compared with.
fn message(body: &Value) -> &Value {
    &body["choices"][0]["message"]
}

#[tokio::test]
async fn what_running_requests_hold_is_not_refused_as_if_it_were_spent() -> Outcome {
    let front = Front::start("").await?;
    // The prompt may cost 0.00016; the rest pays for a thousand tokens of the first request.
    let key = front.installation.create_key("demo", &["--budget", "0.0008", "--period", "ever"])?;
    front.server.knows(&key).await?;
    let chat = front.server.chat(&key);
    let texts: Vec<_> = (0..600).map(|_| "word ").collect();
    front.upstream.behave(Behaviour { gap: Duration::from_millis(50), ..Behaviour::saying(&texts) });
    let mut running = chat.stream(&request(2_000)).await?;
    running.next().await?;
    let refused = chat.send(&request(10)).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "budget_held"), "{}", refused.body);
    let waits = ["retry-after", "retry-after-ms", "x-should-retry"].map(|name| refused.header(name));
    assert_eq!(waits, ["1", "1000", ""]);
    let text = refused.body["error"]["message"].as_str().unwrap_or_default();
    assert!(
        text.contains("running requests hold ") && text.ends_with("try again when they have ended"),
        "{text}"
    );
    drop(running);
    front.upstream.behave(Behaviour::default());
    let asked = Instant::now();
    while chat.send(&request(10)).await?.status != 200 {
        assert!(asked.elapsed() < SETTLED_MAX, "what was held does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Too little for any request is spent as far as a client can tell.
    let poor = front.installation.create_key("demo", &["--budget", "0.000001", "--period", "ever"])?;
    front.server.knows(&poor).await?;
    let refused = front.server.chat(&poor).send(&request(10)).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "budget_exceeded"), "{}", refused.body);
    let waits = ["retry-after", "retry-after-ms", "x-should-retry"].map(|name| refused.header(name));
    assert_eq!(waits, ["", "", "false"]);
    Ok(())
}

#[tokio::test]
async fn a_whole_answer_beyond_its_bound_is_cut_as_a_stream_is() -> Outcome {
    let front = Front::start("").await?;
    let texts: Vec<_> = (0..200).map(|_| "word ").collect();
    // It states two hundred tokens of five bytes.
    front.upstream.behave(Behaviour { obeys_bound: false, ..Behaviour::saying(&texts) });
    let wire = front.server.wire(&front.key);
    let chat = wire.post("/chat/completions", &request(8)).await?.body;
    assert_eq!(
        (&message(&chat)["content"], &chat["choices"][0]["finish_reason"]),
        (&json!("word ".repeat(8)), &json!("length"))
    );
    assert_eq!(
        (&chat["usage"]["prompt_tokens"], &chat["usage"]["completion_tokens"]),
        (&json!(11), &json!(8))
    );
    let asked = json!({"model": "demo", "prompt": "Say hello.", "max_tokens": 8});
    let plain = wire.post("/completions", &asked).await?.body;
    assert_eq!(
        (&plain["choices"][0]["text"], &plain["usage"]["total_tokens"]),
        (&json!("word ".repeat(8)), &json!(19))
    );
    let asked =
        json!({"model": "demo", "max_tokens": 8, "messages": [{"role": "user", "content": "Say hello."}]});
    let other = wire.post("/messages", &asked).await?.body;
    assert_eq!(
        (&other["content"][0]["text"], &other["stop_reason"]),
        (&json!("word ".repeat(8)), &json!("max_tokens"))
    );
    let asked = json!({"model": "demo", "max_output_tokens": 8, "input": "Say hello."});
    let other = wire.post("/responses", &asked).await?.body;
    assert_eq!(
        (&other["output"][0]["content"][0]["text"], &other["status"]),
        (&json!("word ".repeat(8)), &json!("incomplete"))
    );
    for record in front.records(4).await? {
        assert_eq!(
            (&record["output_tokens"], &record["usage_source"]),
            (&json!(8), &json!("estimated")),
            "{record}"
        );
        assert_eq!(record["reason"], "completed");
    }
    assert!(front.server.printed().contains("went on beyond the output bound and was cut"));
    // What a server states of a text that fits is its own matter, and the bytes are the server's.
    front.upstream.behave(Behaviour {
        usage: Some(json!({"prompt_tokens": 5, "completion_tokens": 900})),
        ..Behaviour::saying(&["hello"])
    });
    let chat = wire.post("/chat/completions", &request(8)).await?.body;
    assert_eq!(
        (&message(&chat)["content"], &chat["choices"][0]["finish_reason"]),
        (&json!("hello"), &json!("stop"))
    );
    assert_eq!(front.records(5).await?[4]["output_tokens"], 8);
    Ok(())
}

#[tokio::test]
async fn the_bound_is_sent_under_the_name_that_its_server_knows() -> Outcome {
    let upstream = Upstream::start().await?;
    let newer = upstream.config("newer", "").replace("\"demo\"", "\"newer\"")
        + "output_bound = \"max_completion_tokens\"\n";
    let mut installation = Installation::new(&format!("{}{newer}", upstream.config("up", "")))?;
    let plan = installation.folder().join("plan.toml");
    let server = installation.start().await?;
    let price = |model: &str| {
        format!("[[price]]\nmodel = \"{model}\"\ninput_per_mtok = \"1\"\noutput_per_mtok = \"1\"\n")
    };
    let text = format!(
        "name = \"both\"\nversion = 1\ncurrency = \"USD\"\n[slo]\nclass = \"batch\"\n{}{}",
        price("demo"),
        price("newer")
    );
    std::fs::write(&plan, text).map_err(tests::harness::HarnessError::io("plan.toml"))?;
    installation.run(&["plan", "publish", &plan.display().to_string()])?;
    installation.run(&["tenant", "create", "acme", "--plan", "both"])?;
    let key = installation.create_key("acme", &[])?;
    server.knows(&key).await?;
    for (model, there, other) in
        [("demo", "max_tokens", "max_completion_tokens"), ("newer", "max_completion_tokens", "max_tokens")]
    {
        for asked in
            [&["max_tokens"][..], &["max_completion_tokens"], &["max_tokens", "max_completion_tokens"], &[]]
        {
            let mut body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
            for name in asked {
                body[*name] = json!(7);
            }
            let answer = server.chat(&key).send(&body).await?;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let sent = upstream.last()?.json();
            let bound = if asked.is_empty() { 512 } else { 7 };
            assert_eq!((&sent[there], sent.get(other)), (&json!(bound), None), "{model} {asked:?}: {sent}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn contents_in_parts_reach_every_dialect_and_are_counted() -> Outcome {
    let front = Front::start("").await?;
    let wire = front.server.wire(&front.key);
    let thinking = json!({"type": "thinking", "thinking": [{"type": "text", "text": "Thinking of it."}]});
    let says = |text: &str| json!({"type": "text", "text": text});
    let delta = |content: Value| json!({"role": "assistant", "content": content});
    for is_stream in [false, true] {
        // A whole message has one content; a stream brings it in pieces.
        let deltas = match is_stream {
            false => vec![delta(json!([thinking, says("Bonjour "), says("to you.")]))],
            true => vec![delta(json!([thinking])), delta(json!([says("Bonjour ")])), delta(json!("to you."))],
        };
        front.upstream.behave(Behaviour { deltas, usage: None, ..Behaviour::saying(&[]) });
        let asked = json!({"model": "demo", "max_tokens": 50, "stream": is_stream, "thinking": {"type": "adaptive"},
            "messages": [{"role": "user", "content": "Say hello."}]});
        let told = wire.text("/messages", &asked).await?.text;
        let (texts, thoughts) = match is_stream {
            true => (joined(&told, "text_delta", "text"), joined(&told, "thinking_delta", "thinking")),
            false => {
                let body: Value = serde_json::from_str(&told).unwrap_or_default();
                let part = |place: usize, name: &str| {
                    body["content"][place][name].as_str().unwrap_or_default().to_owned()
                };
                (part(1, "text"), part(0, "thinking"))
            }
        };
        assert_eq!((texts.as_str(), thoughts.as_str()), ("Bonjour to you.", "Thinking of it."), "{told}");
        let asked =
            json!({"model": "demo", "max_output_tokens": 50, "stream": is_stream, "input": "Say hello."});
        let told = wire.text("/responses", &asked).await?.text;
        assert!(told.contains("Bonjour to you.") && told.contains("Thinking of it."), "{told}");
    }
    for record in front.records(4).await? {
        // Thirty bytes, four of them a token, of reasoning and text apart.
        let counts = (record["output_tokens"].as_u64(), record["reasoning_tokens"].as_u64());
        assert_eq!(counts, (Some(8), Some(4)), "{record}");
    }
    Ok(())
}

/// The deltas of this kind of a stream of messages, joined.
fn joined(stream: &str, kind: &str, field: &str) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let deltas = events.map(|event| event["delta"].clone()).filter(|delta| delta["type"] == kind);
    deltas.filter_map(|delta| delta[field].as_str().map(ToOwned::to_owned)).collect()
}

#[tokio::test]
async fn our_tiers_stay_here_and_the_class_served_is_told() -> Outcome {
    let front = Front::start("").await?;
    let wire = front.server.wire(&front.key);
    // What is asked for, what goes on, what is told, and the class.
    let rows = [
        ("batch", None, "flex", "batch"),
        ("standard", None, "default", "standard"),
        ("interactive", None, "priority", "interactive"),
        ("flex", Some("flex"), "flex", "batch"),
        ("auto", Some("auto"), "priority", "interactive"),
    ];
    for (asked, sent, told, class) in rows {
        for is_stream in [false, true] {
            let mut body = request(20);
            body["service_tier"] = json!(asked);
            body["stream"] = json!(is_stream);
            let answer = wire.text("/chat/completions", &body).await?;
            let header = answer.headers.get("x-tallygate-slo-class").and_then(|value| value.to_str().ok());
            assert_eq!(header, Some(class), "{asked}");
            assert_eq!(
                front.upstream.last()?.json().get("service_tier"),
                sent.map(Value::from).as_ref(),
                "{asked}"
            );
            let tiers: Vec<_> = match is_stream {
                true => {
                    answer.events()?.iter().filter_map(|event| event.get("service_tier").cloned()).collect()
                }
                false => answer.json()?.body.get("service_tier").cloned().into_iter().collect(),
            };
            assert_eq!(tiers, [told], "{asked}, stream {is_stream}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn each_text_of_a_list_has_a_context_of_its_own() -> Outcome {
    let upstream = Upstream::start().await?;
    let able = "capabilities = [\"chat\", \"completions\", \"embeddings\"]\n";
    let mut installation = Installation::new(&format!("{}{able}", upstream.config("up", "")))?;
    let server = installation.start().await?;
    let wire = server.wire(&server.banner().api_key.clone().unwrap_or_default());
    // Together several contexts of 8,192 tokens, and each text far below one.
    let texts = vec!["word ".repeat(400); 40];
    upstream.behave(Behaviour {
        usage: Some(json!({"prompt_tokens": 16_000, "completion_tokens": 2, "total_tokens": 16_002})),
        ..Behaviour::saying(&["a", "b"])
    });
    let vectors = wire.post("/embeddings", &json!({"model": "demo", "input": texts})).await?;
    assert_eq!(vectors.status.as_u16(), 200, "{}", vectors.body);
    assert_eq!(vectors.body["data"].as_array().map(Vec::len), Some(40));
    let texts = &texts[..35];
    let request = json!({"model": "demo", "prompt": texts, "max_tokens": 2});
    let answer = wire.post("/completions", &request).await?;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    let asked = Instant::now();
    loop {
        let records = installation.records("demo")?;
        let counted: Vec<_> = records.iter().map(|line| &line["record"]["prompt_tokens"]).collect();
        if counted.len() == 2 {
            assert_eq!(counted, [16_000, 16_000], "all that its server read is metered");
            break;
        }
        assert!(asked.elapsed() < SETTLED_MAX, "{counted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // One that is too long is refused under the name that it has there.
    let long = "word ".repeat(20_000);
    let rows = [
        ("/embeddings", json!({"model": "demo", "input": ["short", long]}), "input"),
        ("/completions", json!({"model": "demo", "prompt": ["short", long]}), "prompt"),
        ("/responses", json!({"model": "demo", "input": long}), "input"),
        (
            "/chat/completions",
            json!({"model": "demo", "messages": [{"role": "user", "content": long}]}),
            "messages",
        ),
    ];
    for (path, body, param) in rows {
        let refused = wire.post(path, &body).await?;
        let error = &refused.body["error"];
        assert_eq!(refused.status.as_u16(), 400, "{path}: {error}");
        assert_eq!((&error["code"], &error["param"]), (&json!("context_length_exceeded"), &json!(param)));
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("the prompt has 250"), "about as many as it has: {message}");
    }
    Ok(())
}
