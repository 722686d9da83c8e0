//! Models that run elsewhere: what an upstream is sent, what its answer becomes, and who gets the next request.
//! Never a real model: a server of the harness says, fails and hangs as each test tells it.
//! Run by `cargo xtask test`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::harness::{At, Behaviour, Chat, Installation, Outcome, Server, Upstream};

/// The secret of the gateway at its upstream.
const SECRET: &str = "sk-upstream-7f3a";

/// How long a record may take to the ledger, or a probe to notice something.
const NOTICED_MAX: Duration = Duration::from_secs(10);

/// A gateway in front of one upstream.
struct Stand {
    installation: Installation,
    server: Server,
    upstream: Upstream,
    chat: Chat,
    key: String,
}

impl Stand {
    /// `lines` go into `[[backend]]`, `more` into its model.
    async fn new(lines: &str, more: &str) -> Outcome<Self> {
        let upstream = Upstream::start().await?;
        let config =
            format!("{}{more}\n", upstream.config("up", &format!("api_key = \"{SECRET}\"\n{lines}")));
        let mut installation = Installation::new(&config)?;
        let server = installation.start().await?;
        let key = server.banner().api_key.clone().unwrap_or_default();
        let chat = server.chat(&key);
        Ok(Self { installation, server, upstream, chat, key })
    }

    /// The only record of the tenant, once it is in the ledger.
    async fn record(&self) -> Outcome<Value> {
        let records = self.records(1).await?;
        assert_eq!(records.len(), 1, "{records:?}");
        Ok(records[0].clone())
    }

    /// The tenant's records, once there are so many.
    async fn records(&self, count: usize) -> Outcome<Vec<Value>> {
        let asked = Instant::now();
        loop {
            let records: Vec<_> =
                self.installation.records("demo")?.iter().map(|line| line["record"].clone()).collect();
            if records.len() >= count || asked.elapsed() > NOTICED_MAX {
                return Ok(records);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn request(tokens_max: u32) -> Value {
    Chat::request("Say hello.", tokens_max)
}

#[tokio::test]
async fn a_whole_answer_is_forwarded_and_billed_as_stated() -> Outcome {
    let stand = Stand::new("", "mj_per_prompt_token = \"0.5\"\nmj_per_output_token = 3\n").await?;
    stand.upstream.behave(Behaviour {
        usage: Some(json!({
            "prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 8},
            "completion_tokens_details": {"reasoning_tokens": 1},
        })),
        ..Behaviour::default()
    });
    let body = r#"{ "max_tokens" : 20,  "messages":[{"role":"user","content":"h\u0069 🦊"}], "seed":7,"model":"demo" , "x":1.50}"#;
    let answer = stand.chat.send_text(body.to_owned()).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["id"], "up-1", "the upstream's own body");
    assert_eq!(answer.body["choices"][0]["message"]["content"], "Hello there");
    assert_eq!(answer.body["usage"]["prompt_tokens_details"]["cached_tokens"], 8);
    let seen = stand.upstream.last()?;
    assert_eq!(
        String::from_utf8_lossy(&seen.body),
        body,
        "not a byte was changed: the model has the same name there"
    );
    assert_eq!(seen.header("authorization"), format!("Bearer {SECRET}"));
    assert!(!seen.text().contains(&stand.key), "the tenant's key stays here: {}", seen.text());
    let record = stand.record().await?;
    assert_eq!(
        (&record["prompt_tokens"], &record["cached_prompt_tokens"], &record["output_tokens"]),
        (&json!(12), &json!(8), &json!(2)),
        "{record}"
    );
    assert_eq!((&record["reasoning_tokens"], &record["energy_mj"]), (&json!(1), &json!(12)), "{record}");
    assert_eq!((&record["backend"], &record["reason"]), (&json!("up"), &json!("completed")), "{record}");
    assert_eq!(record["usage_source"], "upstream", "{record}");
    assert!(!stand.server.printed().contains(SECRET));
    Ok(())
}

#[tokio::test]
async fn a_stream_is_forwarded_event_by_event() -> Outcome {
    let stand = Stand::new("", "upstream_name = \"org/demo\"\n").await?;
    stand
        .upstream
        .behave(Behaviour { gap: Duration::from_millis(50), ..Behaviour::saying(&["a", "b", "c"]) });
    let received = stand.chat.stream(&request(20)).await?.finish().await?;
    assert_eq!((received.text.as_str(), received.parts, received.is_done), ("abc", 3, true), "{received:?}");
    assert_eq!(received.finish_reason.as_deref(), Some("stop"));
    assert_eq!(received.usage, None, "nobody asked for it");
    let sent = stand.upstream.last()?.json();
    assert_eq!((&sent["model"], &sent["max_tokens"]), (&json!("org/demo"), &json!(20)));
    assert_eq!(sent["stream_options"], json!({"include_usage": true}), "asked for all the same");

    let mut with_usage = request(20);
    with_usage["stream_options"] = json!({"include_usage": true});
    let mut stream = stand.chat.stream(&with_usage).await?;
    let mut models = Vec::new();
    while let Some(event) = stream.next().await? {
        models.push(event["model"].as_str().unwrap_or("").to_owned());
    }
    assert!(models.iter().all(|model| model == "demo"), "the name there stays there: {models:?}");
    assert_eq!(stream.received.usage.as_ref().map(|usage| &usage["completion_tokens"]), Some(&json!(3)));
    for record in stand.records(2).await? {
        assert_eq!((&record["prompt_tokens"], &record["output_tokens"]), (&json!(11), &json!(3)), "{record}");
        assert!(record["ttft_us"].as_u64().is_some_and(|ttft| ttft > 0), "{record}");
        assert!(
            record["tpot_us"].as_u64().is_some_and(|tpot| tpot > 30_000),
            "paced by the upstream: {record}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn missing_and_impossible_usage_is_estimated() -> Outcome {
    let stand = Stand::new("", "").await?;
    let long = "12345678";
    let rows = [
        (None, 4),
        (Some(json!({"prompt_tokens": 5, "completion_tokens": 900})), 20),
        (Some(json!({"prompt_tokens": 5, "completion_tokens": -1})), 4),
        (Some(json!({"prompt_tokens": -5, "completion_tokens": 2})), 2),
        (Some(json!("many")), 4),
        (None, 4),
    ];
    for (index, (usage, output)) in rows.iter().enumerate() {
        stand.upstream.behave(Behaviour { usage: usage.clone(), ..Behaviour::saying(&[long, long]) });
        let received = match index % 2 {
            0 => stand.chat.stream(&request(20)).await?.finish().await?.text,
            _ => {
                let answer = stand.chat.send(&request(20)).await?;
                let is_ours = usage.as_ref().is_none_or(|usage| !usage.is_object());
                let told = &answer.body["usage"];
                assert!(told.is_object() && (!is_ours || told["total_tokens"].is_u64()), "{usage:?}: {told}");
                answer.body["choices"][0]["message"]["content"].as_str().unwrap_or("").to_owned()
            }
        };
        assert_eq!(received, long.repeat(2));
        let records = stand.records(index + 1).await?;
        let record =
            records.iter().max_by_key(|record| record["started_unix_us"].as_i64()).expect("a record");
        assert_eq!(record["output_tokens"], json!(output), "{usage:?}: {record}");
        assert_eq!(record["usage_source"], "estimated", "{usage:?}: {record}");
        assert!(record["prompt_tokens"].as_u64().is_some_and(|prompt| prompt > 0), "{usage:?}: {record}");
    }
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_ignores_the_bound_is_cut() -> Outcome {
    let stand = Stand::new("", "").await?;
    let texts: Vec<_> = (0..200).map(|_| "word ").collect();
    let behaviour =
        Behaviour { obeys_bound: false, gap: Duration::from_millis(5), ..Behaviour::saying(&texts) };
    stand.upstream.behave(behaviour);
    let mut with_usage = request(5);
    with_usage["stream_options"] = json!({"include_usage": true});
    let received = stand.chat.stream(&with_usage).await?.finish().await?;
    assert_eq!((received.parts, received.is_done), (5, true), "{received:?}");
    assert_eq!(received.finish_reason.as_deref(), Some("length"));
    assert!(received.usage.is_some(), "asked for, so it comes");
    let record = stand.record().await?;
    assert!(record["output_tokens"].as_u64().is_some_and(|tokens| tokens <= 5), "{record}");
    wait_until("the upstream is left", || stand.upstream.last().is_ok_and(|seen| seen.was_left)).await;
    Ok(())
}

#[tokio::test]
async fn a_leaving_client_ends_the_upstream_at_once() -> Outcome {
    let stand = Stand::new("", "").await?;
    let texts: Vec<_> = (0..400).map(|_| "word ").collect();
    stand.upstream.behave(Behaviour { gap: Duration::from_millis(20), ..Behaviour::saying(&texts) });
    let mut stream = stand.chat.stream(&request(400)).await?;
    for _ in 0..4 {
        stream.next().await?;
    }
    drop(stream);
    wait_until("the upstream is left", || stand.upstream.last().is_ok_and(|seen| seen.was_left)).await;
    let record = stand.record().await?;
    assert_eq!(record["reason"], "client_gone");
    let output = record["output_tokens"].as_u64().unwrap_or(0);
    assert!((4..60).contains(&output), "what was produced is billed: {record}");
    // One that hangs before its head is left as well.
    stand.upstream.behave(Behaviour { hangs: At::BeforeHead, ..Behaviour::default() });
    let short = request(4);
    let hanging = tokio::time::timeout(Duration::from_millis(300), stand.chat.send(&short));
    assert!(hanging.await.is_err(), "it hangs");
    wait_until("the hanging upstream is left", || stand.upstream.last().is_ok_and(|seen| seen.was_left))
        .await;
    Ok(())
}

async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let asked = Instant::now();
    while !is_so() {
        assert!(asked.elapsed() < NOTICED_MAX, "{what}: not within {NOTICED_MAX:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn failures_before_the_first_byte_have_a_status_of_their_own() -> Outcome {
    let stand =
        Stand::new("first_token_ms_max = 400\nidle_ms_max = 400\nhealth_interval_ms = 0\n", "").await?;
    let error = |text: &str| json!({"error": {"message": text, "param": "temperature"}});
    let secret = error(&format!("bad key {SECRET}"));
    let rows = [
        (Behaviour::failing(400, error("too hot")), 400, "backend_refused"),
        (Behaviour::failing(422, error("too hot")), 400, "backend_refused"),
        (Behaviour::failing(413, error("too large")), 413, "backend_refused"),
        (Behaviour::failing(429, error("busy")), 503, "backend_overloaded"),
        (Behaviour::failing(400, secret.clone()), 400, "backend_refused"),
        (Behaviour::failing(401, secret), 502, "backend_auth"),
        (Behaviour::failing(400, json!("reset the count of failures")), 400, "backend_refused"),
        (Behaviour::failing(404, error("no such model")), 502, "backend_misconfigured"),
        (Behaviour::failing(500, error("stack trace")), 502, "backend_unavailable"),
        (Behaviour::failing(400, json!(null)), 400, "backend_refused"),
        (Behaviour { breaks: At::BeforeHead, ..Behaviour::default() }, 502, "backend_unavailable"),
        (Behaviour { fails: At::After(0), ..Behaviour::default() }, 502, "backend_unavailable"),
        (Behaviour::failing(400, json!([])), 400, "backend_refused"),
        (Behaviour { hangs: At::BeforeHead, ..Behaviour::default() }, 504, "backend_timeout"),
        (Behaviour { hangs: At::After(0), ..Behaviour::default() }, 504, "backend_timeout"),
        (Behaviour::failing(400, json!("")), 400, "backend_refused"),
        (Behaviour { breaks: At::After(0), ..Behaviour::default() }, 502, "backend_unavailable"),
        (
            Behaviour { verbatim: Some(vec!["data: {not json}\n\n".to_owned()]), ..Behaviour::default() },
            502,
            "backend_unavailable",
        ),
    ];
    for (behaviour, status, code) in rows {
        stand.upstream.behave(behaviour.clone());
        let mut asked = request(20);
        asked["stream"] = json!(true);
        let answer = stand.chat.send(&asked).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{behaviour:?}: {}", answer.body);
        assert_eq!(answer.body["error"]["origin"], "backend", "{}", answer.body);
        let shown = answer.body.to_string();
        assert!(!shown.contains(SECRET) && !shown.contains("stack trace"), "{shown}");
    }
    for record in stand.records(18).await? {
        assert_eq!(
            (&record["reason"], &record["output_tokens"]),
            (&json!("engine_error"), &json!(0)),
            "{record}"
        );
    }
    assert!(!stand.server.printed().contains(SECRET));
    Ok(())
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_so_and_not_billed() -> Outcome {
    let stand = Stand::new("idle_ms_max = 400\nhealth_interval_ms = 0\n", "").await?;
    let texts = ["a", "b", "c", "d"];
    for behaviour in [
        Behaviour { breaks: At::After(2), ..Behaviour::saying(&texts) },
        Behaviour { fails: At::After(2), ..Behaviour::saying(&texts) },
        Behaviour { hangs: At::After(2), ..Behaviour::saying(&texts) },
    ] {
        stand.upstream.behave(behaviour.clone());
        let received = stand.chat.stream(&request(20)).await?.finish().await?;
        assert_eq!((received.text.as_str(), received.is_done), ("ab", false), "{behaviour:?}: {received:?}");
        let error = received.error.unwrap_or_default();
        assert_eq!(error["origin"], "backend", "{error}");
        assert!(!error.to_string().contains("10.0.0.7"), "{error}");
    }
    for record in stand.records(3).await? {
        assert_eq!(record["reason"], "engine_error", "{record}");
    }
    Ok(())
}

#[tokio::test]
async fn another_target_is_tried_before_the_first_byte() -> Outcome {
    /// So many that one target is preferred by none of them once in a million installations.
    const PROMPTS: usize = 20;
    let (broken, good) = (Upstream::start().await?, Upstream::start().await?);
    let quiet = "health_interval_ms = 0\nfirst_token_ms_max = 300";
    let config = format!("{}{}", broken.config("broken", quiet), good.config("good", quiet));
    let mut installation = Installation::new(&config)?;
    let server = installation.start().await?;
    let chat = server.chat(&server.banner().api_key.clone().unwrap_or_default());
    good.behave(Behaviour::saying(&["good"]));
    for behaviour in [
        Behaviour::failing(500, Value::Null),
        Behaviour::failing(429, Value::Null),
        Behaviour::failing(401, Value::Null),
        Behaviour { breaks: At::BeforeHead, ..Behaviour::default() },
        Behaviour { hangs: At::BeforeHead, ..Behaviour::default() },
        Behaviour { breaks: At::After(0), ..Behaviour::default() },
    ] {
        broken.behave(behaviour);
        for prompt in 0..PROMPTS {
            // Which target a prompt prefers is drawn anew in each installation.
            let received =
                chat.stream(&Chat::request(&format!("prompt {prompt}"), 20)).await?.finish().await?;
            assert_eq!((received.text.as_str(), received.is_done), ("good", true), "{received:?}");
        }
    }
    assert!(!broken.seen().is_empty(), "it was asked now and then");
    assert!(broken.seen().len() < 3 * PROMPTS, "and left alone while it failed: {}", broken.seen().len());
    // What the request itself is to blame for is nobody else's business.
    broken.behave(Behaviour::failing(400, json!({"error": {"message": "no"}})));
    good.behave(Behaviour::failing(400, json!({"error": {"message": "no"}})));
    let (before, answer) = (broken.seen().len() + good.seen().len(), chat.send(&request(20)).await?);
    assert_eq!((answer.status.as_u16(), broken.seen().len() + good.seen().len() - before), (400, 1));
    Ok(())
}

#[tokio::test]
async fn a_model_without_a_usable_target_makes_the_gateway_unready() -> Outcome {
    let stand = Stand::new("health_interval_ms = 100\n", "").await?;
    let ready = format!("{}/readyz", stand.server.origin());
    let ask = async || -> Outcome<(u16, String)> {
        let answer = reqwest::get(&ready).await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    };
    wait_until("a probe", || stand.upstream.probes() > 1).await;
    let (status, text) = ask().await?;
    assert!(status == 200 && text.contains("up: ok"), "{status} {text}");
    assert!(!text.contains("127.0.0.1") && !text.contains(SECRET), "no address, no secret: {text}");
    stand.upstream.be_ill(true);
    let asked = Instant::now();
    while ask().await?.0 == 200 {
        assert!(asked.elapsed() < NOTICED_MAX, "still ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = stand.chat.send(&request(20)).await?;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "no_backend"), "{}", answer.body);
    assert!(!answer.header("retry-after").is_empty());
    stand.upstream.be_ill(false);
    let asked = Instant::now();
    while ask().await?.0 != 200 {
        assert!(asked.elapsed() < NOTICED_MAX, "not ready again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(stand.chat.send(&request(20)).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_local_engine_and_an_upstream_share_a_model() -> Outcome {
    let upstream = Upstream::start().await?;
    let config = format!(
        "[[model]]\nname = \"demo\"\nsource = \"sim\"\nqueue_jobs_max = 1\nsequences_max = 1\n\
         [model.sim]\ndecode_step_us = 20000\n{}",
        upstream.config("up", "")
    );
    let mut installation = Installation::new(&config)?;
    let server = installation.start().await?;
    let chat = server.chat(&server.banner().api_key.clone().unwrap_or_default());
    assert_eq!(chat.send(&request(3)).await?.status, 200);
    assert!(upstream.seen().is_empty(), "an idle engine of ours comes first");
    let mut running = Vec::new();
    for _ in 0..4 {
        running.push(chat.stream(&request(100)).await?);
    }
    assert!(!upstream.seen().is_empty(), "a busy one gives away what it has no room for");
    Ok(())
}
