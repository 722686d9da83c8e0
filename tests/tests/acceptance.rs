//! The promises of the interface, one test each, over the real program on an ephemeral port.
//! Never looks inside the program: HTTP, the command line and what it prints are all it has.
//! Run by `cargo xtask test`, one at a time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::harness::{Chat, HarnessError, Installation, Outcome, Server, create_database};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A simulated engine under the priced name: slow enough to be interrupted, fast enough to test with.
const SIMULATED: &str =
    "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\nseed = 1\ndecode_step_us = 10000\n";

/// The shipper commits within a second; a busy machine takes longer.
const SHIPPED_MAX: Duration = Duration::from_secs(30);

/// A running server takes a change of keys over within two seconds; a busy machine takes longer.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(10);

/// A started server and the key it printed.
async fn first_start(installation: &mut Installation) -> Outcome<(Server, String)> {
    let server = installation.start().await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    assert!(key.starts_with("tg-"), "no key was printed: {}", server.printed());
    Ok((server, key))
}

/// The ledger's records of the demo tenant, once it has at least `count`.
async fn records(installation: &Installation, count: usize) -> Outcome<Vec<Value>> {
    let started = Instant::now();
    loop {
        let records = installation.records("demo")?;
        if records.len() >= count || started.elapsed() > SHIPPED_MAX {
            return Ok(records);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_shown_once_and_go_on_working() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    let token = server.banner().operator_token.clone().unwrap_or_default();
    assert!(token.starts_with("tgop-"), "{}", server.printed());
    assert!(server.stop().await?.success());

    let server = installation.start().await?;
    assert_eq!((&server.banner().api_key, &server.banner().operator_token), (&None, &None));
    assert!(!server.printed().contains(&key), "the key was printed again");
    assert_eq!(server.chat(&key).get("/models").await?.status, 200);
    // What is stored is no secret.
    let secret = key.rsplit('-').next().unwrap_or_default();
    for entry in walk(installation.folder())? {
        let is_output = entry.extension().is_some_and(|ending| ending == "out");
        let bytes = std::fs::read(&entry).unwrap_or_default();
        let holds_secret = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(is_output || !holds_secret, "{} holds the secret", entry.display());
    }
    Ok(())
}

fn walk(folder: &std::path::Path) -> Outcome<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).map_err(tests::harness::HarnessError::io("list"))?;
    for entry in entries.flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(walk(&path)?),
            path => found.push(path),
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_its_record_and_its_invoice_agree() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    let chat = server.chat(&key);
    let plain = chat.send(&Chat::request("hello there", 5)).await?;
    assert_eq!(plain.status, 200, "{}", plain.body);
    let mut request = Chat::request("hello again", 7);
    request["stream_options"] = json!({"include_usage": true});
    let streamed = chat.stream(&request).await?.finish().await?;
    assert!(streamed.is_done, "{streamed:?}");

    let records = records(&installation, 2).await?;
    assert_eq!(records.len(), 2, "{records:#?}");
    let answers = [
        (plain.body["id"].clone(), plain.body["usage"].clone()),
        (json!(streamed.id), json!(streamed.usage)),
    ];
    for (id, usage) in &answers {
        let of_answer = |record: &&Value| {
            id.as_str()
                == record["record"]["request_id"].as_str().map(|id| format!("chatcmpl-{id}")).as_deref()
        };
        let record = &records.iter().find(of_answer).unwrap_or(&Value::Null)["record"];
        assert_eq!(record["prompt_tokens"], usage["prompt_tokens"], "{id}");
        assert_eq!(record["output_tokens"], usage["completion_tokens"], "{id}");
        assert_eq!(record["energy_mj"], usage["tallygate"]["energy_mj"], "{id}");
        assert_eq!(record["slo_met"], usage["tallygate"]["slo_met"], "{id}");
        assert_eq!(record["reason"], "completed", "{id}");
    }
    let sum = |field: &str| records.iter().filter_map(|record| record["record"][field].as_u64()).sum::<u64>();
    let printed = installation.run(&["invoice", "demo", "--format", "json"])?;
    let invoice: Value = serde_json::from_str(&printed).unwrap_or_default();
    let quantity = |item: &str| {
        let lines = invoice["lines"].as_array().cloned().unwrap_or_default();
        let line = lines
            .iter()
            .find(|line| line["description"].as_str().is_some_and(|text| text.contains(item)))
            .cloned();
        line.unwrap_or_default()["quantity"].as_u64()
    };
    assert_eq!(quantity("input tokens"), Some(sum("prompt_tokens")), "{printed}");
    assert_eq!(quantity("output tokens"), Some(sum("output_tokens")), "{printed}");
    assert_eq!(invoice["status"], "draft", "{printed}");
    installation.run(&["verify-journal"])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_requests_consume_nothing() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, _) = first_start(&mut installation).await?;
    let limits = ["--requests-per-minute", "6", "--tokens-per-minute", "6000", "--concurrency", "1"];
    let key = installation.create_key("demo", &limits)?;
    server.knows(&key).await?;
    let good = Chat::request("hello", 3);
    let with = |field: &str, value: Value| {
        let mut request = good.clone();
        request[field] = value;
        request
    };
    let rows = [
        (&key, with("model", json!("no-such-model")), 404, "model_not_found"),
        (&key, with("messages", json!([])), 400, "invalid_value"),
        (&key, with("temperature", json!(9)), 400, "invalid_value"),
        (&key, with("max_tokens", json!(0)), 400, "invalid_value"),
        (&key, with("n", json!(2)), 400, "unsupported_value"),
        (&key, with("max_tokens", json!("3")), 400, "invalid_value"),
        (
            &key,
            with("messages", json!([{"role": "user", "content": "x".repeat(9_000)}])),
            400,
            "context_length_exceeded",
        ),
        (&"tg-0-0".to_owned(), good.clone(), 401, ""),
        (&String::new(), good.clone(), 401, ""),
    ];
    for (key, request, status, code) in &rows {
        let answer = server.chat(key).send(request).await?;
        assert_eq!(answer.status, *status, "{request}: {}", answer.body);
        assert!(code.is_empty() || answer.code() == *code, "{request}: {}", answer.body);
        assert!(answer.body["error"]["message"].is_string(), "{request}: {}", answer.body);
        assert!(!answer.header("x-request-id").is_empty(), "{request}");
    }
    // One good request after them: its record is the only one, and no other will come.
    let answer = server.chat(&key).send(&good).await?;
    assert_eq!(answer.status, 200);
    let remaining = |name: &str| answer.header(name).to_owned();
    assert_eq!(remaining("x-ratelimit-remaining-requests"), "5", "the refused ones took no request");
    let reserved = answer.body["usage"]["prompt_tokens"].as_u64().unwrap_or(0) + 3;
    let left: u64 = remaining("x-ratelimit-remaining-tokens").parse().unwrap_or(0);
    assert_eq!(left, 6_000 - reserved, "the refused ones took no tokens");
    assert!(server.stop().await?.success());
    let records = records(&installation, 1).await?;
    assert_eq!(records.len(), 1, "{records:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaving_client_ends_its_generation() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    let mut stream = server.chat(&key).stream(&Chat::request("a long story", 4_000)).await?;
    while stream.received.parts < 3 {
        assert!(stream.next().await?.is_some(), "the stream ended early");
    }
    let seen = stream.received.parts;
    drop(stream);
    let records = records(&installation, 1).await?;
    let record = &records[0]["record"];
    assert_eq!(record["reason"], "client_gone", "{record}");
    let tokens = record["output_tokens"].as_u64().unwrap_or(0);
    // 10 ms a token: the generation ended long before its 40 s.
    assert!((seen..2_000).contains(&tokens), "{seen} parts were seen, {tokens} tokens billed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_streams_end() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (mut server, key) = first_start(&mut installation).await?;
    let mut stream = server.chat(&key).stream(&Chat::request("a story", 100)).await?;
    assert!(stream.next().await?.is_some());
    server.signal(libc::SIGTERM);
    let received = stream.finish().await?;
    assert!(received.is_done && received.finish_reason.is_some(), "{received:?}");
    assert!(server.ended().await?.success(), "{}", server.printed());
    let records = installation.records("demo")?;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["record"]["reason"], "completed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_given_back_when_a_request_ends() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, _) = first_start(&mut installation).await?;
    let key = installation.create_key("demo", &["--concurrency", "1"])?;
    let chat = server.chat(&key);
    server.knows(&key).await?;
    for _ in 0..3 {
        let mut first = chat.stream(&Chat::request("a story", 4_000)).await?;
        assert!(first.next().await?.is_some());
        let second = chat.send(&Chat::request("hello", 2)).await?;
        assert_eq!(second.status, 429, "{}", second.body);
        drop(first);
        let freed = Instant::now();
        while chat.send(&Chat::request("hello", 2)).await?.status != 200 {
            assert!(freed.elapsed() < Duration::from_secs(5), "the place was not given back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_an_invoice_works_on_sqlite() -> Outcome {
    the_way_to_an_invoice(Installation::new(SIMULATED)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_an_invoice_works_on_postgres() -> Outcome {
    let Some(url) = create_database().await? else { return Ok(()) };
    the_way_to_an_invoice(Installation::new(SIMULATED)?.with("LEDGER__URL", &url)).await
}

/// A tenant of its own plan, its key, its usage, its draft in three forms.
async fn the_way_to_an_invoice(mut installation: Installation) -> Outcome {
    let (server, _) = first_start(&mut installation).await?;
    installation.run(&["tenant", "create", "acme", "--plan", "demo", "--zone", "Europe/Berlin"])?;
    let key = installation.create_key("acme", &[])?;
    let chat = server.chat(&key);
    server.knows(&key).await?;
    let answer = chat.send(&Chat::request("hello", 50)).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(server.stop().await?.success());

    let records = installation.records("acme")?;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["record"]["output_tokens"], answer.body["usage"]["completion_tokens"]);
    assert_eq!(installation.records("demo")?.len(), 0, "another tenant's usage");
    for format in ["text", "html"] {
        assert!(installation.run(&["invoice", "acme", "--format", format])?.contains("acme"), "{format}");
    }
    let invoice = installation.run(&["invoice", "acme", "--format", "json"])?;
    assert!(serde_json::from_str::<Value>(&invoice).is_ok(), "{invoice}");
    tenants_can_verify(&installation, &invoice)?;
    installation.run(&["check"])?;
    installation.run(&["verify-journal"])?;
    Ok(())
}

/// The tenant's own computation, from what it can export: right as it is, wrong when a digit changes.
fn tenants_can_verify(installation: &Installation, invoice: &str) -> Outcome {
    let write = |name: &str, text: &str| -> Outcome<String> {
        let path = installation.folder().join(name);
        std::fs::write(&path, text).map_err(HarnessError::io(name))?;
        Ok(path.display().to_string())
    };
    let usage = installation.run(&["usage", "acme", "--records", "--format", "json"])?;
    let plan = write("verify-plan.toml", &installation.run(&["plan", "show", "demo@1"])?)?;
    let (usage, good) = (write("usage.jsonl", &usage)?, write("invoice.json", invoice)?);
    let verify = |invoice: &str| {
        installation.run(&["verify", "--invoice", invoice, "--usage", &usage, "--plan", &plan])
    };
    let told = verify(&good)?;
    assert!(told.contains("is what its usage and plans come to, byte for byte: 1 usage records"), "{told}");
    let bad = write("bad.json", &invoice.replacen("\"records\": 1", "\"records\": 2", 1))?;
    let told = verify(&bad).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(told.contains("records is 2, and comes to 1"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_without_a_key_tell_nothing_of_tenants() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    for path in ["/", "/healthz", "/readyz"] {
        let answer = reqwest::get(format!("{}{path}", server.origin())).await?;
        assert_eq!(answer.status(), 200, "{path}");
        let text = answer.text().await?;
        let key_id = key.split('-').nth(1).unwrap_or_default();
        assert!(!text.contains(key_id), "{path}");
    }
    let revoked = installation.create_key("demo", &[])?;
    server.knows(&revoked).await?;
    installation.run(&["key", "revoke", revoked.split('-').nth(1).unwrap_or_default()])?;
    let asked = Instant::now();
    while server.chat(&revoked).get("/models").await?.status == 200 {
        assert!(asked.elapsed() < TAKEN_OVER_MAX, "a revoked key still opens");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let wrong = format!("{key}x");
    for key in ["", "nonsense", wrong.as_str(), revoked.as_str()] {
        let chat = server.chat(key);
        for path in ["/models", "/models/demo", "/models/no"] {
            assert_eq!(chat.get(path).await?.status, 401, "{path} with {key:?}");
        }
        assert_eq!(chat.send(&Chat::request("hello", 3)).await?.status, 401, "chat with {key:?}");
    }
    Ok(())
}

/// A stream so long that it fills every buffer on its way to a client that does not read.
const ENDLESS: &str = "[server]\ndrain_seconds = 1\n\
    [[model]]\nname = \"demo\"\nsource = \"sim\"\n\
    [model.sim]\ndecode_step_us = 0\ncontext_tokens_max = 1000000\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_is_not_told_that_it_has_all() -> Outcome {
    let mut installation = Installation::new(ENDLESS)?;
    let (mut server, key) = first_start(&mut installation).await?;
    let mut request = Chat::request("go on", 60_000);
    (request["stream"], request["ignore_eos"]) = (json!(true), json!(true));
    let body = request.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let address = server.origin().trim_start_matches("http://").to_owned();
    let io = |what: &str| tests::harness::HarnessError::io(what.to_owned());
    let socket = tokio::net::TcpSocket::new_v4().map_err(io("socket"))?;
    socket.set_recv_buffer_size(4_096).map_err(io("socket"))?;
    let address = address.parse().map_err(|_| io("address")(std::io::ErrorKind::InvalidInput.into()))?;
    let mut client = socket.connect(address).await.map_err(io("connect"))?;
    client.write_all(format!("{head}{body}").as_bytes()).await.map_err(io("send"))?;
    // Long enough for the engine to be done and the buffers to be full; then the server must stop.
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.signal(libc::SIGTERM);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut received = Vec::new();
    // The server may cut the connection: what came before counts.
    client.read_to_end(&mut received).await.ok();
    assert!(server.ended().await?.success());
    let received = String::from_utf8_lossy(&received);
    let parts = received.matches("\"content\":\"").count();
    assert!(parts > 100 && parts < 60_000, "the test must fill the buffers: {parts} parts came");
    assert!(
        !received.contains("[DONE]") && !received.contains("\"finish_reason\":\"length\""),
        "{parts} parts"
    );
    let records = records(&installation, 1).await?;
    assert_eq!(records[0]["record"]["reason"], "engine_error", "{records:#?}");
    Ok(())
}
