//! Latency classes at admission: what a request may wish for, what a queue refuses, what is billed then.
//! Never asserts how long anything took: engines and upstreams are slow enough that no queue can vanish meanwhile.
//! Run by `cargo xtask test`, one at a time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::harness::{Answer, Behaviour, Chat, Installation, Outcome, Server, Upstream};

/// One place, 20 ms a token: a request for 100 tokens keeps it for two seconds.
const SLOW: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\nsequences_max = 1\n\
                    [model.sim]\nseed = 1\ndecode_step_us = 20000\n";

/// Requests of two seconds each before the one that is refused: four times its target of half a second and more.
const AHEAD: usize = 4;

async fn started(installation: &mut Installation) -> Outcome<(Server, String)> {
    let server = installation.start().await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    Ok((server, key))
}

/// Sends a chat with further headers and gives the answer.
async fn send(server: &Server, key: &str, request: &Value, headers: &[(&str, &str)]) -> Outcome<Answer> {
    let client = reqwest::Client::new();
    let url = format!("{}/chat/completions", server.banner().base_url);
    let mut call = client.post(url).bearer_auth(key).json(request);
    for (name, value) in headers {
        call = call.header(*name, *value);
    }
    let answer = call.send().await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok(Answer { status, headers, body: answer.json().await? })
}

/// The latest record of the demo tenant, once there are this many.
async fn record(installation: &Installation, request_id: &str) -> Outcome<Value> {
    let asked = Instant::now();
    while asked.elapsed() < Duration::from_secs(30) {
        let records = installation.records("demo")?;
        if let Some(found) = records.iter().find(|record| record["record"]["request_id"] == request_id) {
            return Ok(found["record"].clone());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn looser_targets_are_granted_recorded_and_told() -> Outcome {
    let mut installation = Installation::new("[[model]]\nname = \"demo\"\nsource = \"sim\"\n")?;
    let (server, key) = started(&mut installation).await?;
    let request = Chat::request("hello", 3);
    let headers = [("x-slo-ttft-ms", "5000"), ("x-slo-tpot-ms", "400")];
    let answer = send(&server, &key, &request, &headers).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("x-tallygate-slo-class"), "interactive");
    let record = record(&installation, answer.header("x-request-id")).await?;
    assert_eq!(
        (&record["slo"]["ttft_target_us"], &record["slo"]["tpot_target_us"]),
        (&json!(5_000_000), &json!(400_000)),
        "{record}"
    );
    // The header, its value, and what the refusal must say.
    let rows = [
        ("x-slo-ttft-ms", "499", "slo_too_strict"),
        ("x-slo-tpot-ms", "29", "slo_too_strict"),
        ("x-slo-ttft-ms", "0", "invalid_value"),
        ("x-slo-ttft-ms", "soon", "invalid_value"),
        ("x-slo-tpot-ms", "-1", "invalid_value"),
        ("x-slo-tpot-ms", "1.5", "invalid_value"),
        ("x-slo-tpot-ms", "99999999999999999999", "invalid_value"),
    ];
    for (name, value, code) in rows {
        let answer = send(&server, &key, &request, &[(name, value)]).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, code), "{name} {value}: {}", answer.body);
        assert_eq!(answer.body["error"]["param"], name, "{}", answer.body);
    }
    assert!(server.stop().await?.success());
    assert_eq!(installation.records("demo")?.len(), 1, "what was refused left no usage");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_refuses_early_and_says_when_to_come_back() -> Outcome {
    let mut installation = Installation::new(SLOW)?;
    let (server, key) = started(&mut installation).await?;
    let long = || {
        let mut request = Chat::request("a long story", 100);
        request["ignore_eos"] = json!(true);
        request
    };
    // The first one is measured whole; then some keep the place and wait for it.
    assert_eq!(send(&server, &key, &long(), &[]).await?.status, 200);
    let mut streams = Vec::new();
    for _ in 0..AHEAD {
        let chat = server.chat(&key);
        let request = long();
        // A patient class: only so can the queue grow.
        let patient = tokio::spawn(async move {
            let client = reqwest::Client::new();
            let url = chat.url("/chat/completions");
            let sent = client.post(url).bearer_auth(chat.key()).header("x-slo-ttft-ms", "60000");
            sent.json(&request).send().await.map(|answer| answer.status().as_u16())
        });
        streams.push(patient);
    }
    // Until all of them have been admitted.
    let asked = Instant::now();
    while !queued(&server, AHEAD).await? {
        assert!(asked.elapsed() < Duration::from_secs(10), "no queue: {}", server.printed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = send(&server, &key, &Chat::request("hello", 3), &[]).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (503, "slo_unattainable"), "{}", refused.body);
    let millis: u64 = refused.header("retry-after-ms").parse().unwrap_or(0);
    assert!((100..=120_000).contains(&millis), "{:?}", refused.headers);
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    for stream in streams {
        let status = stream.await.expect("no panic").map_err(tests::harness::HarnessError::from)?;
        assert_eq!(status, 200);
    }
    // The queue is gone, so the same request is served.
    let served = send(&server, &key, &Chat::request("hello", 3), &[]).await?;
    assert_eq!(served.status, 200, "{}", served.body);
    assert!(server.stop().await?.success());
    assert_eq!(installation.records("demo")?.len(), AHEAD + 2, "what was refused left no usage");
    Ok(())
}

/// Streams that an upstream has under way when it has become slow, each longer than the rest of the test.
const SLOW_STREAMS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_gets_slow_refuses_early() -> Outcome {
    let upstream = Upstream::start().await?;
    let mut installation = Installation::new(&upstream.config("up", ""))?;
    let (server, key) = started(&mut installation).await?;
    // Nothing is measured yet, so nothing is refused; then it is quick, again and again.
    for _ in 0..10 {
        let received = server.chat(&key).stream(&Chat::request("hello", 3)).await?.finish().await?;
        assert!(received.is_done, "{received:?}");
    }
    // Now its first tokens take three times the target, and its answers do not end.
    let (first_wait, gap) = (Duration::from_millis(1_500), Duration::from_millis(500));
    upstream.behave(Behaviour { first_wait, gap, ..Behaviour::saying(&["a"; 200]) });
    let url = server.chat(&key).url("/chat/completions");
    let mut streams = Vec::new();
    for _ in 0..SLOW_STREAMS {
        let mut request = Chat::request("a long story", 200);
        request["stream"] = json!(true);
        // A patient class, so that they are served one beside the other.
        let call = reqwest::Client::new().post(&url).bearer_auth(&key).header("x-slo-ttft-ms", "60000");
        let mut answer = call.json(&request).send().await?;
        assert_eq!(answer.status().as_u16(), 200);
        assert!(answer.chunk().await?.is_some(), "its first token is here");
        streams.push(answer);
    }
    let refused = send(&server, &key, &Chat::request("hello", 3), &[]).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (503, "slo_unattainable"), "{}", refused.body);
    let millis: u64 = refused.header("retry-after-ms").parse().unwrap_or(0);
    assert!((100..=120_000).contains(&millis), "{:?}", refused.headers);
    assert_eq!(upstream.seen().len(), 10 + SLOW_STREAMS, "what was refused was not sent");
    // Who waits is served, and so is everybody once the load is gone.
    let patient = send(&server, &key, &Chat::request("hello", 3), &[("x-slo-ttft-ms", "60000")]).await?;
    assert_eq!(patient.status, 200, "{}", patient.body);
    drop(streams);
    upstream.behave(Behaviour::default());
    let asked = Instant::now();
    while send(&server, &key, &Chat::request("hello", 3), &[]).await?.status != 200 {
        assert!(asked.elapsed() < Duration::from_secs(30), "{}", server.printed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Whether this many requests run or wait in the engine.
async fn queued(server: &Server, count: usize) -> Outcome<bool> {
    let ready: Value = reqwest::get(format!("{}/readyz", server.origin())).await?.json().await?;
    let state = ready["parts"]["model demo"].as_str().unwrap_or("").to_owned();
    let number = |word: &str| {
        let words: Vec<_> = state.split_whitespace().collect();
        let at = words.iter().position(|found| found.trim_end_matches(',') == word);
        at.and_then(|at| words.get(at.checked_sub(1)?)?.parse::<usize>().ok()).unwrap_or(0)
    };
    Ok(number("running") + number("queued") >= count)
}
