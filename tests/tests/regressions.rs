//! The failures that gateways are known for, one test each: leaked places, limits taken by refusals, errors billed.
//! Never looks inside the program: HTTP, the command line and the records are all it has.
//! Run by `cargo xtask test`, one at a time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::harness::{Chat, Installation, Outcome, Server};

/// The shipper commits within a second; a busy machine takes longer.
const SHIPPED_MAX: Duration = Duration::from_secs(30);

/// A place that is given back at all is given back at once; a busy machine takes longer.
const FREED_MAX: Duration = Duration::from_secs(5);

/// A simulated engine with these settings, under the priced name.
fn simulated(settings: &str) -> String {
    format!("[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\nseed = 1\n{settings}\n")
}

/// A started server and a client of it under limits.
async fn start(installation: &mut Installation, limits: &[&str]) -> Outcome<(Server, Chat)> {
    let server = installation.start().await?;
    let key = installation.create_key("demo", limits)?;
    server.knows(&key).await?;
    let chat = server.chat(&key);
    Ok((server, chat))
}

/// The ledger's records of the demo tenant, once it has at least `count`.
async fn records(installation: &Installation, count: usize) -> Outcome<Vec<Value>> {
    let started = Instant::now();
    loop {
        let records = installation.records("demo")?;
        if records.len() >= count || started.elapsed() > SHIPPED_MAX {
            return Ok(records.into_iter().map(|mut line| line["record"].take()).collect());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What caps count for a record; it is not written when it is nothing.
fn charge_nanos(record: &Value) -> u64 {
    record["charge_nanos"].as_u64().unwrap_or(0)
}

/// Asks until it is answered otherwise than with 429.
async fn freed(chat: &Chat) -> Outcome<Value> {
    let asked = Instant::now();
    loop {
        let answer = chat.send(&Chat::request("hello", 1)).await?;
        if answer.status != 429 {
            return Ok(json!({"status": answer.status.as_u16(), "code": answer.code()}));
        }
        assert!(asked.elapsed() < FREED_MAX, "the place was not given back: {}", answer.body);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Endless for the time a request may live, but for answers of one token.
const SLOW: &str = "decode_step_us = 20000";

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_gives_the_place_back() -> Outcome {
    let mut installation = Installation::new(&simulated(SLOW))?.with("SERVER__REQUEST_SECONDS_MAX", "1");
    let (server, chat) = start(&mut installation, &["--concurrency", "1"]).await?;
    let mut endless = Chat::request("a story", 4_000);
    endless["ignore_eos"] = json!(true);
    for round in 0..2 {
        let whole = chat.send(&endless).await?;
        assert_eq!((whole.status.as_u16(), whole.code()), (504, "deadline_exceeded"), "round {round}");
        assert_eq!(freed(&chat).await?["status"], 200);
        let streamed = chat.stream(&endless).await?.finish().await?;
        assert!(streamed.error.is_some() && !streamed.is_done && streamed.parts > 0, "{streamed:?}");
        assert_eq!(freed(&chat).await?["status"], 200);
    }
    let records = records(&installation, 8).await?;
    let ended = |reason: &str| records.iter().filter(|record| record["reason"] == reason).count();
    assert_eq!((ended("deadline"), ended("completed"), records.len()), (4, 4, 8), "{records:#?}");
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_clients_give_their_places_back() -> Outcome {
    const PLACES: usize = 8;
    let mut installation = Installation::new(&simulated(SLOW))?;
    let (server, chat) = start(&mut installation, &["--concurrency", &PLACES.to_string()]).await?;
    let mut endless = Chat::request("a story", 4_000);
    endless["ignore_eos"] = json!(true);
    for _ in 0..3 {
        let mut streams = Vec::new();
        for _ in 0..PLACES {
            let mut stream = chat.stream(&endless).await?;
            assert!(stream.next().await?.is_some(), "{}", stream.status);
            streams.push(stream);
        }
        assert_eq!(chat.send(&Chat::request("hello", 1)).await?.status, 429);
        drop(streams);
        assert_eq!(freed(&chat).await?["status"], 200);
        // All of them, not only one: as many run beside each other again.
        let full = Instant::now();
        let mut again = Vec::new();
        while again.len() < PLACES {
            let mut stream = chat.stream(&endless).await?;
            if stream.status == 200 && stream.next().await?.is_some() {
                again.push(stream);
            }
            assert!(full.elapsed() < FREED_MAX, "{} of {PLACES} places were given back", again.len());
        }
    }
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_refuses_leaves_the_others_alone() -> Outcome {
    let mut installation = Installation::new(&simulated(SLOW))?;
    let limits = ["--requests-per-minute", "4", "--tokens-per-minute", "600", "--concurrency", "1"];
    let (server, chat) = start(&mut installation, &limits).await?;
    // Too many tokens: takes no request and no place.
    for _ in 0..10 {
        let refused = chat.send(&Chat::request("hello", 5_000)).await?;
        assert_eq!(refused.status, 429, "{}", refused.body);
    }
    let first = chat.send(&Chat::request("hello", 1)).await?;
    assert_eq!((first.status.as_u16(), first.header("x-ratelimit-remaining-requests")), (200, "3"));
    // No place: takes no request and no tokens.
    let mut stream = chat.stream(&Chat::request("a story", 300)).await?;
    assert_eq!((stream.status.as_u16(), stream.header("x-ratelimit-remaining-requests")), (200, "2"));
    assert!(stream.next().await?.is_some());
    for _ in 0..10 {
        assert_eq!(chat.send(&Chat::request("hello", 1)).await?.status, 429);
    }
    drop(stream);
    assert_eq!(freed(&chat).await?["status"], 200);
    let last = chat.send(&Chat::request("hello", 1)).await?;
    assert_eq!((last.status.as_u16(), last.header("x-ratelimit-remaining-requests")), (200, "0"));
    // No request left: takes no tokens and no place.
    let refused = chat.send(&Chat::request("hello", 1)).await?;
    assert_eq!(refused.status, 429, "{}", refused.body);
    let records = records(&installation, 4).await?;
    assert_eq!(records.len(), 4, "the refused left records: {records:#?}");
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_usage_is_metered_all_the_same() -> Outcome {
    let mut installation = Installation::new(&simulated("decode_step_us = 0"))?;
    let (server, chat) = start(&mut installation, &[]).await?;
    for include_usage in [None, Some(false), Some(true)] {
        let mut request = Chat::request("hello there", 9);
        request["ignore_eos"] = json!(true);
        if let Some(include) = include_usage {
            request["stream_options"] = json!({"include_usage": include});
        }
        let streamed = chat.stream(&request).await?.finish().await?;
        assert_eq!((streamed.is_done, streamed.usage.is_some()), (true, include_usage == Some(true)));
    }
    let records = records(&installation, 3).await?;
    for record in &records {
        assert_eq!(
            (&record["reason"], &record["output_tokens"]),
            (&json!("completed"), &json!(9)),
            "{record}"
        );
        assert!(charge_nanos(record) > 0, "{record}");
        assert_eq!(charge_nanos(record), charge_nanos(&records[0]), "{record}");
    }
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_no_usage() -> Outcome {
    let mut installation = Installation::new(&simulated("fail_after_tokens = 5"))?;
    let (server, chat) = start(&mut installation, &["--concurrency", "1"]).await?;
    for _ in 0..3 {
        let whole = chat.send(&Chat::request("a story", 100)).await?;
        assert_eq!((whole.status.as_u16(), whole.code()), (500, "engine_error"), "{}", whole.body);
        let streamed = chat.stream(&Chat::request("a story", 100)).await?.finish().await?;
        assert!(streamed.error.is_some() && !streamed.is_done, "{streamed:?}");
    }
    let records = records(&installation, 6).await?;
    let is_free = |record: &Value| record["reason"] == "engine_error" && charge_nanos(record) == 0;
    assert!(records.len() == 6 && records.iter().all(is_free), "{records:#?}");
    let printed = installation.run(&["invoice", "demo", "--format", "json"])?;
    let invoice: Value = serde_json::from_str(&printed).unwrap_or_default();
    let total = invoice["total"].as_str().unwrap_or_default().trim_matches(['0', '.']);
    assert_eq!(total, "", "{invoice:#}");
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_gives_the_place_back() -> Outcome {
    let mut installation = Installation::new(&simulated("panic_after_tokens = 3"))?;
    let (server, chat) = start(&mut installation, &["--concurrency", "1"]).await?;
    let whole = chat.send(&Chat::request("a story", 100)).await?;
    assert_eq!((whole.status.as_u16(), whole.code()), (500, "engine_error"), "{}", whole.body);
    // The engine is gone with its thread; what is asked next is told so, and not that a place is taken.
    for _ in 0..3 {
        let next = freed(&chat).await?;
        assert!(next["status"].as_u64() >= Some(500), "{next}");
    }
    let records = records(&installation, 1).await?;
    let charged: Vec<_> = records.iter().filter(|record| charge_nanos(record) > 0).collect();
    assert!(!records.is_empty() && charged.is_empty(), "{records:#?}");
    assert!(server.stop().await?.success());
    Ok(())
}
