//! Engine nodes behind gateways, over the real program: the same answers, figures and joules as an engine in the
//! gateway's own process; who is let in; and what becomes of a request when a node, a gateway or a client goes.
//! Never a tenant's key at a node. Run by `cargo xtask test`.
//!
//! Long because each way that a node, a gateway or a client can go is played once, on the same stand.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::harness::{Behaviour, Chat, EngineNode, Installation, NodeKeys, Outcome, Server, Upstream};

/// How long a record may take to the ledger, or a probe to notice something.
const NOTICED_MAX: Duration = Duration::from_secs(10);

/// The demo model, with energy that a test can tell from any other.
const DEMO: &str = "[energy]\nsource = \"modelled\"\nbusy_milliwatts = 40000\nidle_milliwatts = 1000\n\
    [[model]]\nname = \"demo\"\nsource = \"demo\"\nthreads = 1\n";

/// A model that needs its time.
const SLOW: &str = "[server]\ndrain_seconds = 20\n[energy]\nsource = \"modelled\"\nbusy_milliwatts = 40000\n\
    [[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\ndecode_step_us = 20000\n";

/// What a gateway would model if a node did not tell: no engine takes a kilojoule a token.
const ABSURD: &str = "mj_per_prompt_token = 1000000\nmj_per_output_token = 1000000\n";

/// A gateway in front of backends.
struct Gateway {
    installation: Installation,
    server: Server,
    chat: Chat,
    key: String,
}

impl Gateway {
    async fn start(config: &str) -> Outcome<Self> {
        let mut installation = Installation::new(config)?;
        let server = installation.start().await?;
        let key = server.banner().api_key.clone().unwrap_or_default();
        let chat = server.chat(&key);
        Ok(Self { installation, server, chat, key })
    }

    /// The tenant's records in the order of their beginning, once there are so many.
    async fn records(&self, count: usize) -> Outcome<Vec<Value>> {
        let asked = Instant::now();
        loop {
            let mut records: Vec<_> =
                self.installation.records("demo")?.iter().map(|line| line["record"].clone()).collect();
            if records.len() >= count || asked.elapsed() > NOTICED_MAX {
                assert_eq!(records.len(), count, "{records:?}");
                records.sort_by_key(|record| record["started_unix_us"].as_i64());
                return Ok(records);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn request(text: &str, tokens_max: u32) -> Value {
    let mut request = Chat::request(text, tokens_max);
    request["seed"] = json!(7);
    request
}

/// A request whose answer has exactly so many tokens.
fn long(tokens: u32) -> Value {
    let mut request = request("Tell me a story.", tokens);
    request["ignore_eos"] = json!(true);
    request
}

/// Waits until a node says this of itself.
async fn wait_for(node: &EngineNode, text: &str) -> Outcome {
    let asked = Instant::now();
    loop {
        let (_, said) = node.ready().await?;
        if said.contains(text) {
            return Ok(());
        }
        assert!(asked.elapsed() < NOTICED_MAX, "{text:?} does not come: {said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The names of all fields, at every depth, so that two answers can be told to have the same form.
fn form(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), form(value))).collect(),
        Value::Array(items) => items.iter().map(form).collect(),
        Value::Null => json!(null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => json!("…"),
    }
}

/// What a request used, as a record has it.
fn used(record: &Value) -> [&Value; 5] {
    ["model", "reason", "prompt_tokens", "cached_prompt_tokens", "output_tokens"].map(|field| &record[field])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_answers_and_is_metered_as_an_engine_of_the_gateway() -> Outcome {
    let keys = NodeKeys::create()?;
    let (one, two) =
        (EngineNode::start("one", &[&keys], DEMO).await?, EngineNode::start("two", &[&keys], DEMO).await?);
    let backends = format!("{}{ABSURD}{}{ABSURD}", one.backend(&keys, ""), two.backend(&keys, ""));
    let (far, near) = (Gateway::start(&backends).await?, Gateway::start(DEMO).await?);
    let mut told = Vec::new();
    for prompt in ["Tell me a story about a hedgehog.", "What is goodput?", "What is a token?"] {
        let (there, here) =
            (far.chat.send(&request(prompt, 24)).await?, near.chat.send(&request(prompt, 24)).await?);
        assert_eq!(there.status, 200, "{}\n{}", there.body, far.server.printed());
        assert_eq!(there.body["choices"], here.body["choices"], "the same seed, the same text");
        assert_eq!(form(&there.body), form(&here.body), "the same form: {}", there.body);
        assert!(there.body["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")), "{}", there.body);
        told.push(there.body["usage"]["tallygate"]["energy_mj"].clone());

        let mut streamed = request(prompt, 24);
        streamed["stream_options"] = json!({"include_usage": true});
        let there = far.chat.stream(&streamed).await?.finish().await?;
        let here = near.chat.stream(&streamed).await?.finish().await?;
        assert_eq!((&there.text, there.parts, there.is_done), (&here.text, here.parts, true));
        assert_eq!(there.finish_reason, here.finish_reason);
        let (there, here) = (there.usage.unwrap_or_default(), here.usage.unwrap_or_default());
        assert_eq!(form(&there), form(&here));
        assert_eq!(there["completion_tokens"], here["completion_tokens"]);
        told.push(there["tallygate"]["energy_mj"].clone());
    }
    let (there, here) = (far.records(6).await?, near.records(6).await?);
    for ((there, here), told) in there.iter().zip(&here).zip(&told) {
        assert_eq!(used(there), used(here), "{there}");
        assert!(there["backend"] == "one" || there["backend"] == "two", "{there}");
        let (energy, output) = (&there["energy_mj"], there["output_tokens"].as_u64().unwrap_or(0));
        assert_eq!(energy, told, "the client was told what the record says");
        // A token takes a millisecond or more of 40 W, and less than a minute of them.
        let energy = energy.as_u64().unwrap_or(0);
        assert!((output..output * 2_400_000).contains(&energy) && energy < 1_000_000, "{there}");
        assert_eq!(there["energy_source"], "modelled", "{there}");
        assert!(there.get("usage_source").is_none_or(|source| source == "engine"), "{there}");
        assert!(there["ttft_us"].as_u64().is_some_and(|ttft| ttft > 0), "{there}");
        assert!(there["queue_us"].as_u64().is_some_and(|queue| queue > 0), "{there}");
    }
    for server in [&one.server, &two.server, &far.server] {
        assert!(!server.printed().contains("hedgehog"), "no word of a prompt is written down");
    }
    assert!(!one.installation.folder().join("data").exists(), "a node keeps nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dialect_is_served_through_a_node() -> Outcome {
    let keys = NodeKeys::create()?;
    let node = EngineNode::start("one", &[&keys], DEMO).await?;
    let (far, near) = (Gateway::start(&node.backend(&keys, "")).await?, Gateway::start(DEMO).await?);
    let completion =
        json!({"model": "demo", "prompt": ["The fox", "A token is"], "max_tokens": 12, "seed": 3});
    let message = json!({
        "model": "demo", "max_tokens": 24, "stop_sequences": ["e"], "temperature": 0.0,
        "messages": [{"role": "user", "content": "Tell me a story about a fox."}],
    });
    let response =
        json!({"model": "demo", "input": "What is goodput?", "max_output_tokens": 16, "temperature": 0.0});
    let mut asked = 0;
    for is_stream in [false, true] {
        let with = |body: &Value| {
            let mut body = body.clone();
            body["stream"] = json!(is_stream);
            if is_stream && body["prompt"].is_array() {
                // Which of two choices says its next token first is chance.
                body["prompt"] = json!("The fox");
            }
            body
        };
        for (path, body) in
            [("/completions", &completion), ("/messages", &message), ("/responses", &response)]
        {
            let there = far.server.wire(&far.key).text(path, &with(body)).await?;
            let here = near.server.wire(&near.key).text(path, &with(body)).await?;
            assert_eq!((there.status.as_u16(), here.status.as_u16()), (200, 200), "{path}: {}", there.text);
            let forms = |text: &tests::harness::TextAnswer| -> Outcome<Vec<Value>> {
                match is_stream {
                    true => text.events(),
                    false => Ok(vec![text.clone().json()?.body]),
                }
            };
            let (there, here) = (forms(&there)?, forms(&here)?);
            assert_eq!(texts(&there), texts(&here), "{path}");
            assert_eq!(there.iter().map(form).collect::<Vec<_>>(), here.iter().map(form).collect::<Vec<_>>());
            asked += 1;
        }
    }
    for (there, here) in far.records(asked).await?.iter().zip(&near.records(asked).await?) {
        assert_eq!(used(there), used(here), "{there}");
        assert!(there["energy_mj"].as_u64().is_some_and(|energy| energy > 0), "{there}");
    }
    Ok(())
}

/// Everything that the model said and why it stopped, in the order of its coming.
fn texts(values: &[Value]) -> Vec<String> {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let is_said =
                        ["text", "content", "delta", "stop_reason", "stop_sequence", "finish_reason"]
                            .contains(&name.as_str());
                    match value.as_str().filter(|_| is_said) {
                        Some(text) => found.push(format!("{name}: {text}")),
                        None => walk(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    values.iter().for_each(|value| walk(value, &mut found));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_answers_for_one_that_is_gone() -> Outcome {
    let keys = NodeKeys::create()?;
    let (one, two) =
        (EngineNode::start("one", &[&keys], DEMO).await?, EngineNode::start("two", &[&keys], DEMO).await?);
    let quiet = "health_interval_ms = 0";
    let config = format!("{}{}", one.backend(&keys, quiet), two.backend(&keys, quiet));
    let gateway = Gateway::start(&config).await?;
    let prompts: Vec<_> = (0..8).map(|number| format!("Tell me story {number}.")).collect();
    for prompt in &prompts {
        assert_eq!(gateway.chat.send(&request(prompt, 4)).await?.status, 200);
    }
    one.server.kill()?;
    for prompt in &prompts {
        let received = gateway.chat.stream(&request(prompt, 4)).await?.finish().await?;
        assert_eq!((received.is_done, &received.error), (true, &None), "{received:?}");
    }
    let records = gateway.records(16).await?;
    let served =
        |records: &[Value], node: &str| records.iter().filter(|record| record["backend"] == node).count();
    let (before, after) = records.split_at(8);
    assert!(served(before, "one") > 0 && served(before, "two") > 0, "both were asked: {before:?}");
    assert_eq!(served(after, "two"), 8, "{after:?}");
    assert!(after.iter().all(|record| record["reason"] == "completed"), "{after:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_in_an_answer_ends_it_and_nothing_is_billed() -> Outcome {
    let keys = NodeKeys::create()?;
    let (one, two) =
        (EngineNode::start("one", &[&keys], SLOW).await?, EngineNode::start("two", &[&keys], SLOW).await?);
    let gateway = Gateway::start(&one.backend(&keys, "health_interval_ms = 0")).await?;
    let mut stream = gateway.chat.stream(&long(200)).await?;
    for _ in 0..5 {
        stream.next().await?;
    }
    one.server.kill()?;
    let received = stream.finish().await?;
    assert!(received.parts >= 4 && !received.is_done, "{received:?}");
    assert_eq!(received.error.unwrap_or_default()["code"], "backend_unavailable");
    let records = gateway.records(1).await?;
    assert_eq!(records[0]["reason"], "engine_error", "{records:?}");
    assert!(records[0].get("charge_nanos").is_none_or(|charge| charge == 0), "{records:?}");
    drop(two);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaving_client_ends_its_generation_on_the_node_which_tells_the_energy() -> Outcome {
    let keys = NodeKeys::create()?;
    let node = EngineNode::start("one", &[&keys], SLOW).await?;
    let gateway = Gateway::start(&format!("{}{ABSURD}", node.backend(&keys, ""))).await?;
    let mut stream = gateway.chat.stream(&long(200)).await?;
    for _ in 0..5 {
        stream.next().await?;
    }
    wait_for(&node, "1 running").await?;
    drop(stream);
    wait_for(&node, "0 running").await?;
    // A client that waits for a whole answer leaves as well.
    let whole = long(200);
    let waiting = tokio::time::timeout(Duration::from_millis(400), gateway.chat.send(&whole));
    assert!(waiting.await.is_err(), "it takes four seconds");
    wait_for(&node, "0 running").await?;
    for record in gateway.records(2).await? {
        assert_eq!(record["reason"], "client_gone", "{record}");
        let (output, energy) = (record["output_tokens"].as_u64(), record["energy_mj"].as_u64());
        assert!(output.is_some_and(|output| (1..150).contains(&output)), "{record}");
        assert!(energy.is_some_and(|energy| (1..1_000_000).contains(&energy)), "the node's figure: {record}");
        assert!(record.get("usage_source").is_none_or(|source| source == "engine"), "{record}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_dies_ends_its_generations() -> Outcome {
    let keys = NodeKeys::create()?;
    let node = EngineNode::start("one", &[&keys], SLOW).await?;
    let gateway = Gateway::start(&node.backend(&keys, "")).await?;
    let mut stream = gateway.chat.stream(&long(200)).await?;
    stream.next().await?;
    wait_for(&node, "1 running").await?;
    gateway.server.kill()?;
    wait_for(&node, "0 running").await
}

#[tokio::test(flavor = "multi_thread")]
async fn time_that_is_over_ends_the_generation_and_still_tells_the_energy() -> Outcome {
    let keys = NodeKeys::create()?;
    let node = EngineNode::start("one", &[&keys], SLOW).await?;
    let config = format!("[server]\nrequest_seconds_max = 1\n{}{ABSURD}", node.backend(&keys, ""));
    let gateway = Gateway::start(&config).await?;
    let received = gateway.chat.stream(&long(200)).await?.finish().await?;
    assert_eq!(received.error.unwrap_or_default()["code"], "deadline_exceeded");
    wait_for(&node, "0 running").await?;
    let records = gateway.records(1).await?;
    assert_eq!(records[0]["reason"], "deadline", "{records:?}");
    let energy = records[0]["energy_mj"].as_u64();
    assert!(energy.is_some_and(|energy| (1..1_000_000).contains(&energy)), "{records:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_drains_and_its_gateway_goes_elsewhere() -> Outcome {
    let keys = NodeKeys::create()?;
    let mut one = EngineNode::start("one", &[&keys], SLOW).await?;
    let gateway = Gateway::start(&one.backend(&keys, "health_interval_ms = 0")).await?;
    let mut stream = gateway.chat.stream(&long(100)).await?;
    stream.next().await?;
    one.server.signal(libc::SIGTERM);
    wait_for(&one, "draining").await?;
    assert_eq!(one.ready().await?.0, 503);
    let refused = gateway.chat.send(&request("Another.", 4)).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (503, "backend_overloaded"), "{}", refused.body);
    let received = stream.finish().await?;
    assert_eq!((received.is_done, received.parts), (true, 100), "what ran has ended well: {received:?}");
    assert!(one.server.ended().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_drain_time_is_over_cuts_what_runs() -> Outcome {
    let keys = NodeKeys::create()?;
    let hasty = SLOW.replace("drain_seconds = 20", "drain_seconds = 0");
    let mut node = EngineNode::start("one", &[&keys], &hasty).await?;
    let gateway = Gateway::start(&node.backend(&keys, "health_interval_ms = 0")).await?;
    let mut stream = gateway.chat.stream(&long(200)).await?;
    stream.next().await?;
    node.server.signal(libc::SIGTERM);
    let received = stream.finish().await?;
    assert!(!received.is_done && received.error.is_some(), "never told to be whole: {received:?}");
    assert!(node.server.ended().await?.success());
    assert_eq!(gateway.records(1).await?[0]["reason"], "engine_error");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_told_no_tenant_and_only_nodes_are_believed() -> Outcome {
    let keys = NodeKeys::create()?;
    let (node, other) = (Upstream::start().await?, Upstream::start().await?);
    let url = node.url().replace("/v1", "/engine/v1");
    let gateway = Gateway::start(&keys.backend("fake", &url, "")).await?;
    let usage = json!({
        "prompt_tokens": 3, "completion_tokens": 2, "energy_mj": 777, "energy_source": "rapl", "queue_us": 55,
    });
    for upstream in [&node, &other] {
        upstream.behave(Behaviour { usage: Some(usage.clone()), ..Behaviour::default() });
    }
    gateway.installation.run(&["tenant", "create", "acme"])?;
    let key = gateway.installation.create_key("acme", &[])?;
    gateway.server.knows(&key).await?;
    for chat in [&gateway.chat, &gateway.chat, &gateway.server.chat(&key)] {
        assert_eq!(chat.send(&Chat::request("Hello.", 9)).await?.status, 200);
    }
    let records = gateway.records(2).await?;
    assert_eq!((&records[0]["energy_mj"], &records[0]["energy_source"]), (&json!(777), &json!("rapl")));
    assert_eq!((&records[0]["queue_us"], &records[0]["prompt_tokens"]), (&json!(55), &json!(3)));
    let tenant = records[0]["tenant_id"].as_str().unwrap_or_default().to_owned();
    let digits = tenant.replace('-', "");
    let seen = node.seen();
    for seen in &seen {
        let text = seen.text().to_lowercase();
        assert!(!text.contains(&tenant) && !text.contains(&digits[16..]), "{text}");
        assert!(!text.contains(&gateway.key.to_lowercase()) && !text.contains("tg-"), "{text}");
        assert!(seen.header("authorization").starts_with("Bearer eyJ"), "{text}");
        assert!(seen.header("x-tallygate-deadline-ms").parse::<u64>().is_ok_and(|ms| ms > 500_000), "{text}");
        assert_eq!(seen.json()["stream"], json!(true), "a whole answer is made from a stream");
    }
    for header in ["x-tallygate-cache-scope", "x-tallygate-fairness-key"] {
        assert_eq!(seen[0].header(header), seen[1].header(header), "the same tenant");
        assert_ne!(seen[0].header(header), seen[2].header(header), "another tenant");
        assert_eq!(seen[0].header(header).len(), 16);
    }
    assert_ne!(seen[0].header("x-tallygate-cache-scope"), seen[0].header("x-tallygate-fairness-key"));

    let gateway = Gateway::start(&other.config("other", "")).await?;
    assert_eq!(gateway.chat.send(&Chat::request("Hello.", 9)).await?.status, 200);
    let record = &gateway.records(1).await?[0];
    assert_eq!((&record["energy_mj"], &record["energy_source"]), (&json!(0), &json!("modelled")), "{record}");
    assert_eq!(record["queue_us"], 0, "{record}");
    assert_eq!(other.last()?.header("x-tallygate-cache-scope"), "", "none of anybody else's business");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_engines_cannot_do_is_refused_before_it_is_admitted_or_goes_to_another_server() -> Outcome {
    let keys = NodeKeys::create()?;
    let (node, other) = (Upstream::start().await?, Upstream::start().await?);
    let backend = keys.backend("fake", &node.url().replace("/v1", "/engine/v1"), "");
    let tools = json!({
        "model": "demo", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello."}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    });

    let alone = Gateway::start(&backend).await?;
    let answer = alone.chat.send(&tools).await?;
    let error = &answer.body["error"];
    assert_eq!(
        (answer.status.as_u16(), &error["param"], &error["origin"]),
        (400, &json!("tools"), &json!("gateway"))
    );
    assert_eq!(error["code"], "unsupported_value", "{error}");
    assert_eq!(alone.chat.send(&Chat::request("Hello.", 9)).await?.status, 200);
    let records = alone.records(1).await?;
    assert_eq!((records.len(), node.seen().len()), (1, 1), "the refused one was neither sent nor recorded");

    // Beside another server the node gets what it can do, and the other the rest.
    let both = Gateway::start(&format!("{backend}\n{}", other.config("other", ""))).await?;
    for _ in 0..3 {
        assert_eq!(both.chat.send(&tools).await?.status, 200);
    }
    assert_eq!((node.seen().len(), other.seen().len()), (1, 3));
    Ok(())
}
