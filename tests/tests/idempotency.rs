//! Idempotency-Keys over the real program: a repeat gets what the first request got, and nothing is billed twice.
//! Never looks inside the program: HTTP, the command line and what it prints are all it has.
//! Run by `cargo xtask test`, one at a time.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use reqwest::{RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tests::harness::{Chat, Installation, Outcome, Server, create_database};

/// Fast enough to test with, slow enough to be caught running.
const SIMULATED: &str = "[server]\ndrain_seconds = 1\nrequest_seconds_max = 60\n\
    [[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\nseed = 1\ndecode_step_us = 10000\n";

/// Fails after three tokens.
const FAILING: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\nfail_after_tokens = 3\n";

/// The shipper commits within a second; a busy machine takes longer.
const SHIPPED_MAX: Duration = Duration::from_secs(30);

/// An answer, read whole.
#[derive(Debug)]
struct Told {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Told {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A refusal that no try can change.
    fn check_spent(&self, code: &str) {
        assert_eq!((self.status.as_u16(), self.code().as_str()), (409, code), "{self:?}");
        assert_eq!(self.header("x-should-retry"), "false", "{self:?}");
        assert_eq!(self.header("retry-after"), "", "{self:?}");
    }
}

fn post(server: &Server, path: &str, api_key: &str, name: &str, body: &Value) -> RequestBuilder {
    let request = reqwest::Client::new().post(format!("{}{path}", server.banner().base_url));
    let request = request.bearer_auth(api_key).timeout(Duration::from_secs(60)).body(body.to_string());
    let request = request.header("content-type", "application/json");
    if name.is_empty() { request } else { request.header("idempotency-key", name) }
}

async fn told(request: RequestBuilder) -> Outcome<Told> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok(Told { status, headers, body: answer.bytes().await?.to_vec() })
}

async fn ask(server: &Server, api_key: &str, name: &str, body: &Value) -> Outcome<Told> {
    told(post(server, "/chat/completions", api_key, name, body)).await
}

async fn first_start(installation: &mut Installation) -> Outcome<(Server, String)> {
    let server = installation.start().await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    Ok((server, key))
}

/// The usage records of a tenant, once it has at least `count`.
async fn records(installation: &Installation, tenant: &str, count: usize) -> Outcome<Vec<Value>> {
    let started = Instant::now();
    loop {
        let records = installation.records(tenant)?;
        if records.len() >= count || started.elapsed() > SHIPPED_MAX {
            return Ok(records.into_iter().map(|record| record["record"].clone()).collect());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn streamed(text: &str, tokens_max: u32) -> Value {
    let mut request = Chat::request(text, tokens_max);
    (request["stream"], request["ignore_eos"]) = (json!(true), json!(true));
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_same_bytes_on_sqlite() -> Outcome {
    a_repeat_gets_the_same_bytes(Installation::new(SIMULATED)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_same_bytes_on_postgres() -> Outcome {
    let Some(url) = create_database().await? else { return Ok(()) };
    a_repeat_gets_the_same_bytes(Installation::new(SIMULATED)?.with("LEDGER__URL", &url)).await
}

async fn a_repeat_gets_the_same_bytes(mut installation: Installation) -> Outcome {
    let (server, key) = first_start(&mut installation).await?;
    let message =
        json!({"model": "demo", "max_tokens": 4, "messages": [{"role": "user", "content": "hello"}]});
    let message_stream = {
        let mut message = message.clone();
        message["stream"] = json!(true);
        message
    };
    let rows = [
        ("/chat/completions", Chat::request("hello", 4)),
        ("/chat/completions", streamed("hello", 6)),
        ("/messages", message),
        ("/messages", message_stream),
    ];
    for (number, (path, body)) in rows.iter().enumerate() {
        let name = format!("key {number}");
        let first = told(post(&server, path, &key, &name, body)).await?;
        assert_eq!((first.status.as_u16(), first.header("idempotent-replayed")), (200, "false"), "{first:?}");
        for _ in 0..3 {
            let again = told(post(&server, path, &key, &name, body)).await?;
            assert_eq!(
                (again.status.as_u16(), again.header("idempotent-replayed")),
                (200, "true"),
                "{again:?}"
            );
            assert_eq!(again.body, first.body, "{path}");
            for kept in
                ["content-type", "cache-control", "x-tallygate-energy-mj", "x-tallygate-energy-source"]
            {
                assert_eq!(again.header(kept), first.header(kept), "{kept}");
            }
            assert_eq!(again.header("idempotent-request-id"), first.header("x-request-id"));
            assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
        }
        // The same key with anything else is a conflict: another body, another route, another spelling.
        let mut other = body.clone();
        other["max_tokens"] = json!(5);
        told(post(&server, path, &key, &name, &other)).await?.check_spent("idempotency_conflict");
        let elsewhere = if *path == "/messages" { "/chat/completions" } else { "/messages" };
        told(post(&server, elsewhere, &key, &name, body)).await?.check_spent("idempotency_conflict");
        let spaced = post(&server, path, &key, &name, body).body(format!("{body} "));
        told(spaced).await?.check_spent("idempotency_conflict");
    }
    // A restart forgets nothing.
    assert!(server.stop().await?.success());
    let server = installation.start().await?;
    let (path, body) = &rows[1];
    let again = told(post(&server, path, &key, "key 1", body)).await?;
    assert_eq!(again.header("idempotent-replayed"), "true", "{again:?}");
    assert_eq!(records(&installation, "demo", rows.len()).await?.len(), rows.len(), "each was billed once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_of_one_tenant_and_one_api_key() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    installation.run(&["tenant", "create", "acme"])?;
    let (other_tenant, other_key) =
        (installation.create_key("acme", &[])?, installation.create_key("demo", &[])?);
    server.knows(&other_tenant).await?;
    server.knows(&other_key).await?;
    let body = Chat::request("hello", 3);
    let first = ask(&server, &key, "shared", &body).await?;
    let acme = ask(&server, &other_tenant, "shared", &body).await?;
    assert_eq!((acme.status.as_u16(), acme.header("idempotent-replayed")), (200, "false"), "{acme:?}");
    assert_ne!(acme.body, first.body);
    ask(&server, &other_key, "shared", &body).await?.check_spent("idempotency_conflict");
    assert_eq!(
        ask(&server, "tg-no-key", "shared", &body).await?.status,
        401,
        "a repeat needs a good key too"
    );
    assert_eq!(ask(&server, &key, "shared", &body).await?.body, first.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_keys_are_refused_and_consume_nothing() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    let body = Chat::request("hello", 3);
    let long = "x".repeat(256);
    for name in ["", " ", "\u{fc}", "a\tb", long.as_str()] {
        let request = post(&server, "/chat/completions", &key, "", &body);
        let answer = told(request.header("idempotency-key", name.as_bytes())).await?;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (400, "invalid_idempotency_key"),
            "{name:?}"
        );
    }
    let twice = post(&server, "/chat/completions", &key, "a", &body).header("idempotency-key", "b");
    assert_eq!(told(twice).await?.code(), "invalid_idempotency_key");
    let longest = "x".repeat(255);
    assert_eq!(ask(&server, &key, &longest, &body).await?.status, 200);
    // Routes that run nothing do not look at it.
    let list = reqwest::Client::new().get(format!("{}/models", server.banner().base_url));
    assert_eq!(told(list.bearer_auth(&key).header("idempotency-key", "")).await?.status, 200);
    assert_eq!(records(&installation, "demo", 1).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_frees_its_key() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, _) = first_start(&mut installation).await?;
    let key = installation.create_key("demo", &["--concurrency", "1"])?;
    server.knows(&key).await?;
    let good = Chat::request("hello", 3);
    let mut bad = good.clone();
    bad["temperature"] = json!(9);
    assert_eq!(ask(&server, &key, "one", &bad).await?.status, 400);
    // One runs, so the next is over the limit: refused, and its key is free again.
    let running = post(&server, "/chat/completions", &key, "two", &streamed("a story", 4_000)).send().await?;
    assert_eq!(running.status(), 200);
    let refused = ask(&server, &key, "one", &good).await?;
    assert_eq!((refused.status.as_u16(), refused.header("x-should-retry")), (429, ""), "{refused:?}");
    let in_progress = ask(&server, &key, "two", &streamed("a story", 4_000)).await?;
    assert_eq!((in_progress.status.as_u16(), in_progress.code().as_str()), (409, "idempotency_in_progress"));
    assert_eq!((in_progress.header("retry-after"), in_progress.header("x-should-retry")), ("1", ""));
    ask(&server, &key, "two", &good).await?.check_spent("idempotency_conflict");
    drop(running);
    // The client of the running one has left: it was billed once, and cannot run again.
    let left = Instant::now();
    loop {
        let again = ask(&server, &key, "two", &streamed("a story", 4_000)).await?;
        if again.code() != "idempotency_in_progress" {
            again.check_spent("idempotency_client_gone");
            break;
        }
        assert!(left.elapsed() < SHIPPED_MAX, "{again:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let freed = Instant::now();
    let mut answer = ask(&server, &key, "one", &good).await?;
    while answer.status == 429 && freed.elapsed() < SHIPPED_MAX {
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = ask(&server, &key, "one", &good).await?;
    }
    assert_eq!((answer.status.as_u16(), answer.header("idempotent-replayed")), (200, "false"), "{answer:?}");
    assert_eq!(ask(&server, &key, "one", &good).await?.body, answer.body);
    let records = records(&installation, "demo", 2).await?;
    let mut reasons: Vec<_> = records.iter().filter_map(|record| record["reason"].as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["client_gone", "completed"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_engine_is_told_again_and_not_tried_again() -> Outcome {
    let mut installation = Installation::new(FAILING)?;
    let (server, key) = first_start(&mut installation).await?;
    let mut whole = Chat::request("hello", 50);
    whole["ignore_eos"] = json!(true);
    for (name, body) in [("whole", whole), ("stream", streamed("hello", 50))] {
        let first = ask(&server, &key, name, &body).await?;
        let again = ask(&server, &key, name, &body).await?;
        assert!(String::from_utf8_lossy(&first.body).contains("engine_error"), "{first:?}");
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.header("idempotent-replayed"), "true");
    }
    assert_eq!(records(&installation, "demo", 2).await?.len(), 2);
    Ok(())
}

/// Many repeats at once, over two gateways that share a database: one runs, all others get its answer or are told
/// to wait.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_repeats_runs_over_two_gateways() -> Outcome {
    let Some(url) = create_database().await? else { return Ok(()) };
    let mut one = Installation::new(SIMULATED)?.with("LEDGER__URL", &url);
    let mut two = Installation::new(SIMULATED)?.with("LEDGER__URL", &url);
    let (first, key) = first_start(&mut one).await?;
    let second = two.start().await?;
    for round in 0..4 {
        let (name, body) = (format!("round {round}"), streamed("hello", 30));
        let mut waiting: Vec<_> =
            (0..24).map(|number| if number % 2 == 0 { &first } else { &second }).collect();
        let mut bodies = Vec::new();
        let began = Instant::now();
        while !waiting.is_empty() {
            assert!(began.elapsed() < SHIPPED_MAX, "{} still wait", waiting.len());
            let asked = waiting.iter().map(|server| ask(server, &key, &name, &body));
            let answers = futures_util::future::join_all(asked).await;
            let mut still = Vec::new();
            for (server, answer) in waiting.into_iter().zip(answers) {
                let answer = answer?;
                match answer.status.as_u16() {
                    200 => bodies.push(answer.body),
                    _ => {
                        assert_eq!(answer.code(), "idempotency_in_progress", "{answer:?}");
                        still.push(server);
                    }
                }
            }
            waiting = still;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "one answer for all");
    }
    assert_eq!(records(&one, "demo", 4).await?.len(), 4, "each key was billed once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_lets_a_repeat_run_once_its_record_says_crashed() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    let (body, done) = (streamed("a story", 4_000), Chat::request("hello", 3));
    let finished = ask(&server, &key, "finished", &done).await?;
    let running = post(&server, "/chat/completions", &key, "running", &body).send().await?;
    let mut parts = running.bytes_stream();
    assert!(parts.next().await.is_some_and(|part| part.is_ok()));
    server.kill()?;

    let server = installation.start().await?;
    assert_eq!(ask(&server, &key, "finished", &done).await?.body, finished.body);
    // Until the crashed record is in the ledger a repeat waits; then it runs, as nothing was billed.
    let short = streamed("a story", 4_000);
    let began = Instant::now();
    let again = loop {
        let again = post(&server, "/chat/completions", &key, "running", &short).send().await?;
        if again.status() == 200 || began.elapsed() > SHIPPED_MAX {
            break again;
        }
        assert_eq!(again.status(), 409);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(again.status(), 200);
    drop(again);
    let records = records(&installation, "demo", 3).await?;
    let mut reasons: Vec<_> = records.iter().filter_map(|record| record["reason"].as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["client_gone", "completed", "crashed"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_only_requests_with_a_key_are_refused() -> Outcome {
    let Some(url) = create_database().await? else { return Ok(()) };
    let mut installation = Installation::new(SIMULATED)?.with("LEDGER__URL", &url);
    let (server, key) = first_start(&mut installation).await?;
    let body = Chat::request("hello", 3);
    let first = ask(&server, &key, "before", &body).await?;
    assert_eq!(first.status, 200);
    records(&installation, "demo", 1).await?;
    // The table is as good as away.
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await?;
    let rename = "ALTER TABLE idempotency RENAME TO away";
    sqlx::Executor::execute(&mut connection, rename).await?;
    for name in ["before", "new"] {
        let refused = ask(&server, &key, name, &body).await?;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "idempotency_unavailable"));
        assert_eq!(refused.header("retry-after"), "1");
    }
    assert_eq!(
        ask(&server, &key, "", &body).await?.status,
        200,
        "without a key nothing is asked of the ledger"
    );
    sqlx::Executor::execute(&mut connection, "ALTER TABLE away RENAME TO idempotency").await?;
    assert_eq!(ask(&server, &key, "before", &body).await?.body, first.body);
    assert_eq!(ask(&server, &key, "new", &body).await?.status, 200);
    assert_eq!(records(&installation, "demo", 3).await?.len(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_beyond_the_bound_is_not_run_again() -> Outcome {
    let config = "[[model]]\nname = \"demo\"\nsource = \"sim\"\n\
        [model.sim]\ndecode_step_us = 0\ncontext_tokens_max = 1000000\n";
    let mut installation = Installation::new(config)?;
    let (server, key) = first_start(&mut installation).await?;
    let body = streamed("go on", 40_000);
    let first = ask(&server, &key, "large", &body).await?;
    assert_eq!(first.status, 200);
    assert!(first.body.len() > 4 * 1_024 * 1_024, "the test must pass the bound: {} bytes", first.body.len());
    ask(&server, &key, "large", &body).await?.check_spent("idempotency_outcome_too_large");
    assert_eq!(records(&installation, "demo", 1).await?.len(), 1);
    Ok(())
}
