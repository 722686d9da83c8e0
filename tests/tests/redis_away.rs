//! Two gateways whose Redis goes away and comes back: each goes on with its share of the limits meanwhile.
//! Never a Redis of its own: a gate before the one of all tests is closed and opened again.
//! Run by `cargo xtask test`.

use std::time::{Duration, Instant};

use tests::harness::{Chat, Gate, Installation, Outcome, REDIS_URL, Server, Streaming, needed};

/// Ten seconds for a long answer: streams that are kept stay.
const CONFIG: &str = "[server]\ndrain_seconds = 1\n[[model]]\nname = \"demo\"\nsource = \"sim\"\n\
    [model.sim]\nseed = 3\ndecode_step_us = 20000\n\
    [limits]\nstore = \"redis\"\non_redis_failure = \"local\"\ngateways_expected = 2\n";
/// The breaker asks again within seconds; a busy machine takes longer.
const NOTICED_MAX: Duration = Duration::from_secs(30);
/// Requests at the same time that the key may have in all.
const PLACES: usize = 4;

/// What the gateway says of its limits.
async fn limits_are(server: &Server, state: &str, key: &str) -> Outcome {
    let asked = Instant::now();
    loop {
        let text = reqwest::get(format!("{}/readyz", server.origin())).await?.text().await?;
        if text.contains(&format!("\"limits\":\"{state}\"")) {
            return Ok(());
        }
        assert!(asked.elapsed() < NOTICED_MAX, "limits are not {state:?}: {text}");
        // It is by requests that a gateway notices.
        server.chat(key).send(&Chat::request("hello", 1)).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Opens streams until one is refused for want of a place.
async fn fill(servers: &[&Server], key: &str) -> Outcome<Vec<Streaming>> {
    let mut open = Vec::new();
    for server in servers {
        loop {
            let stream = server.chat(key).stream(&Chat::request("hello", 500)).await?;
            if stream.status != 200 {
                assert_eq!(stream.status, 429);
                break;
            }
            open.push(stream);
            assert!(open.len() <= PLACES, "more than there are places");
        }
    }
    Ok(open)
}

/// Waits until everything that was open has been given back.
async fn is_free(server: &Server, key: &str) -> Outcome {
    let asked = Instant::now();
    while server.chat(key).send(&Chat::request("hello", 1)).await?.status != 200 {
        assert!(asked.elapsed() < NOTICED_MAX, "no place comes back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The places of the others come back as this one did.
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_go_on_with_their_shares_while_redis_is_away() -> Outcome {
    let Some(redis) = needed(REDIS_URL) else { return Ok(()) };
    let target = redis.trim_start_matches("redis://").split('/').next().unwrap_or_default();
    let gate = Gate::before(target).await?;
    let url = format!("redis://{}", gate.address());
    let mut first = Installation::new(CONFIG)?.with("LIMITS__REDIS__URL", &url);
    let ledger = format!("sqlite://{}", first.folder().join("shared.sqlite").display());
    first = first.with("LEDGER__URL", &ledger);
    let mut second = Installation::new(CONFIG)?.with("LIMITS__REDIS__URL", &url).with("LEDGER__URL", &ledger);
    let (one, two) = (first.start().await?, second.start().await?);
    let key = first.create_key("demo", &["--concurrency", &PLACES.to_string()])?;
    one.knows(&key).await?;
    two.knows(&key).await?;

    // All places are one gateway's while it is the only one that asks.
    let open = fill(&[&one, &two], &key).await?;
    assert_eq!(open.len(), PLACES);
    drop(open);
    is_free(&two, &key).await?;

    gate.close();
    for server in [&one, &two] {
        limits_are(server, "degraded: redis is away", &key).await?;
        assert_eq!(server.chat(&key).send(&Chat::request("hello", 1)).await?.status, 200, "it goes on");
        let open = fill(&[server], &key).await?;
        assert_eq!(open.len(), PLACES / 2, "its share and no more");
        drop(open);
        is_free(server, &key).await?;
    }

    gate.open();
    for server in [&one, &two] {
        limits_are(server, "ok", &key).await?;
    }
    is_free(&one, &key).await?;
    let open = fill(&[&one, &two], &key).await?;
    assert_eq!(open.len(), PLACES, "all places again, over both");
    drop(open);
    assert!(one.stop().await?.success() && two.stop().await?.success());
    Ok(())
}
