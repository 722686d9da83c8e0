//! Hostile payloads and clients: bombs, depth, smuggling, slow senders, floods, and what may be written down.
//! Never a request that a client library would send; those are elsewhere.
//! Run by `cargo xtask test`, one at a time.
//!
//! Long because each table of hostile shapes stands beside the test that sends it.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tests::harness::{
    Chat, EngineNode, HarnessError, Installation, NodeKeys, Outcome, Raw, RawAnswer, Server,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

const SIMULATED: &str = "[server]\ndrain_seconds = 1\nbody_bytes_max = 65536\n\
    [[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\nseed = 1\ndecode_step_us = 1000\n";

/// Says after the asker what it was asked.
const ECHO: &str = "[server]\ndrain_seconds = 1\n\
    [[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\nanswer = \"echo\"\ndecode_step_us = 1000\n";

async fn first_start(installation: &mut Installation) -> Outcome<(Server, String)> {
    let server = installation.start().await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    Ok((server, key))
}

/// The paths of the program's table that take a body from who has a key. The one for Stripe is not there without its
/// configuration; its own tests send it odd bodies.
fn paths_with_body(installation: &Installation) -> Outcome<Vec<String>> {
    let rows = installation.run_json_lines(&["routes", "--format", "json"])?;
    let posts = rows.iter().filter(|row| row["method"] == "POST" && row["access"] != "public");
    Ok(posts.filter_map(|row| row["path"].as_str().map(ToOwned::to_owned)).collect())
}

/// A request whose connection ends with it.
fn post(path: &str, key: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\
         Content-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn exchange(raw: &Raw, request: &[u8]) -> Outcome<RawAnswer> {
    let closed = HarnessError::io("no answer");
    let answer = raw.exchange(request).await?;
    answer.ok_or_else(|| closed(std::io::ErrorKind::ConnectionAborted.into()))
}

fn gzip(bytes: &[u8]) -> Outcome<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).map_err(HarnessError::io("gzip"))
}

/// 32 MiB of spaces, by the reference tool.
const BROTLI_BOMB: &str = "cbffff3ff82540e2b14020f7fe8fffff7ff04b00c4611180eefd1fffffffe0970088c30200ddfb3ffeffff\
                           c12f0110870500baf77f03";

fn brotli_bomb() -> Vec<u8> {
    let digits = |place: usize| u8::from_str_radix(&BROTLI_BOMB[place..place + 2], 16).unwrap_or_default();
    (0..BROTLI_BOMB.len()).step_by(2).map(digits).collect()
}

/// As many, as 256 blocks that each say one byte and how often, in a window of 128 KiB (RFC 8878).
fn zstd_bomb() -> Vec<u8> {
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let block = |last: u8| [0x02 | last, 0x00, 0x10, b' '];
    [&frame[..], &block(0).repeat(255), &block(1)].concat()
}

fn code(answer: &RawAnswer) -> String {
    let body: Value = serde_json::from_slice(&answer.rest).unwrap_or_default();
    body["error"]["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_are_bounded_as_they_decode() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    let raw = server.raw()?;
    let good = Chat::request("hello", 3).to_string();
    let bomb = gzip(&vec![b' '; 32 * 1_024 * 1_024])?;
    assert!(bomb.len() < 65_536, "the bomb itself is within the bound");
    let plain_large = vec![b' '; 70_000];
    let rows: [(&str, Vec<u8>, u16, &str); 18] = [
        ("Content-Encoding: gzip\r\n", gzip(good.as_bytes())?, 200, ""),
        ("Content-Encoding: GZIP\r\n", gzip(good.as_bytes())?, 200, ""),
        ("Content-Encoding: identity\r\n", good.clone().into_bytes(), 200, ""),
        ("Content-Encoding: gzip\r\n", bomb.clone(), 413, "request_too_large"),
        ("Content-Encoding: gzip\r\n", gzip(&plain_large)?, 413, "request_too_large"),
        ("", plain_large.clone(), 413, "request_too_large"),
        ("Content-Encoding: gzip\r\n", good.clone().into_bytes(), 400, "invalid_encoding"),
        ("Content-Encoding: gzip\r\n", gzip(good.as_bytes())?[..20].to_vec(), 400, "invalid_encoding"),
        ("Content-Encoding: br\r\n", good.clone().into_bytes(), 400, "invalid_encoding"),
        ("Content-Encoding: zstd\r\n", good.clone().into_bytes(), 400, "invalid_encoding"),
        ("Content-Encoding: compress\r\n", good.clone().into_bytes(), 415, "unsupported_encoding"),
        ("Content-Encoding: br\r\n", brotli_bomb(), 413, "request_too_large"),
        ("Content-Encoding: zstd\r\n", zstd_bomb(), 413, "request_too_large"),
        ("Content-Encoding: gzip, gzip\r\n", gzip(&bomb)?, 415, "unsupported_encoding"),
        ("Content-Encoding: br, zstd\r\n", zstd_bomb(), 415, "unsupported_encoding"),
        ("Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n", gzip(&bomb)?, 415, "unsupported_encoding"),
        // The inner coding of two is no JSON, whoever leaves it out of the header.
        ("Content-Encoding: gzip\r\n", gzip(&brotli_bomb())?, 400, "invalid_json"),
        ("", gzip(good.as_bytes())?, 400, "invalid_json"),
    ];
    for path in paths_with_body(&installation)? {
        for (headers, body, status, expected) in &rows {
            let began = Instant::now();
            let answer = exchange(&raw, &post(&path, &key, headers, body)).await?;
            assert!(began.elapsed() < Duration::from_secs(5), "{path} {headers:?}: {:?}", began.elapsed());
            // What a good body does is each route's own matter; that it is read is not.
            if *status == 200 {
                assert!(
                    !matches!(answer.status, 413 | 415) && answer.status < 500,
                    "{path}: {}",
                    answer.head
                );
                assert_ne!(code(&answer), "invalid_encoding", "{path}");
                continue;
            }
            assert_eq!((answer.status, code(&answer).as_str()), (*status, *expected), "{path} {headers:?}");
            let accepted = answer.header("accept-encoding");
            assert_eq!(*status == 415, accepted == "gzip, deflate, zstd, br", "{path}: {}", answer.head);
        }
    }
    let answer = exchange(&raw, &post("/v1/chat/completions", &key, rows[0].0, &rows[0].1)).await?;
    assert_eq!(answer.status, 200, "{}", answer.head);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_bodies_are_refused_on_every_route() -> Outcome {
    let mut installation = Installation::new(&SIMULATED.replace("65536", "4194304"))?;
    let (server, key) = first_start(&mut installation).await?;
    let raw = server.raw()?;
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("100,000 brackets", "[".repeat(100_000).into_bytes()),
        ("100,000 braces", "{\"a\":".repeat(100_000).into_bytes()),
        ("deep in a known field", format!("{{\"messages\":{}", "[".repeat(100_000)).into_bytes()),
        (
            "65 deep",
            format!("{{\"model\":\"demo\",\"x\":{}{}}}", "[".repeat(65), "]".repeat(65)).into_bytes(),
        ),
        ("a million values", format!("[{}1]", "1,".repeat(1_000_000)).into_bytes()),
        ("a million messages", format!("{{\"messages\":[{}1]}}", "{},".repeat(1_000_000)).into_bytes()),
        ("a huge number", format!("{{\"model\":{}}}", "9".repeat(100_000)).into_bytes()),
        ("no text", vec![0xff; 1_000]),
        ("zeros", vec![0; 1_000]),
        ("half a letter", b"{\"model\":\"\xc3\"}".to_vec()),
        ("a lone surrogate", b"{\"model\":\"\\ud800\"}".to_vec()),
        ("a text without an end", b"{\"model\":\"demo".to_vec()),
        ("nothing", Vec::new()),
        ("null", b"null".to_vec()),
        ("a list", b"[]".to_vec()),
        ("two bodies", b"{}{}".to_vec()),
    ];
    for path in paths_with_body(&installation)? {
        for (what, body) in &rows {
            let began = Instant::now();
            let answer = exchange(&raw, &post(&path, &key, "", body)).await?;
            assert_eq!(answer.status, 400, "{path} with {what}: {}", answer.head);
            assert!(!code(&answer).is_empty(), "{path} with {what}");
            assert!(began.elapsed() < Duration::from_secs(5), "{path} with {what}: {:?}", began.elapsed());
        }
    }
    assert_eq!(server.chat(&key).send(&Chat::request("hello", 2)).await?.status, 200, "it still serves");
    Ok(())
}

/// Shapes that another server on the way may read as one request and we as two, or the other way round.
fn smuggled(key: &str) -> Vec<(&'static str, String)> {
    let inner = format!("GET /v1/models HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\n\r\n");
    let length = inner.len();
    let head = "POST /v1/models/none HTTP/1.1\r\nHost: test\r\n";
    let with = |headers: &str| format!("{head}{headers}\r\n{inner}");
    vec![
        ("two lengths", with(&format!("Content-Length: 0\r\nContent-Length: {length}\r\n"))),
        ("twice the same length", with("Content-Length: 0\r\nContent-Length: 0\r\n")),
        ("a list of lengths", with(&format!("Content-Length: 0, {length}\r\n"))),
        ("a signed length", with("Content-Length: +0\r\n")),
        ("a negative length", with("Content-Length: -1\r\n")),
        ("a length in hex", with("Content-Length: 0x0\r\n")),
        ("a huge length", with("Content-Length: 99999999999999999999999\r\n")),
        (
            "length and chunks",
            format!("{head}Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        ),
        (
            "chunks and length",
            format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{inner}"),
        ),
        ("two encodings", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")),
        ("an unknown encoding", with("Transfer-Encoding: xchunked\r\n")),
        ("a list of encodings", with("Transfer-Encoding: gzip, chunked\r\n")),
        ("a space before the colon", with("Content-Length : 0\r\n")),
        ("a tab in the value", with("Transfer-Encoding:\tchunked\r\nContent-Length: 0\r\n")),
        ("a folded header", with("Transfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n")),
        ("a name with a space", with("Content Length: 0\r\n")),
        ("a bare return", with("X-A: b\rContent-Length: 0\r\n")),
        ("a zero in a header", with("X-A: b\0c\r\n")),
        (
            "an old version with chunks",
            format!("POST /v1/models/none HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        ),
        ("a bad size of a chunk", format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{inner}")),
        ("a huge chunk", format!("{head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{inner}")),
        ("no version", format!("GET /v1/models\r\n\r\n{inner}")),
        ("an unknown version", format!("GET /v1/models HTTP/3.7\r\nHost: test\r\n\r\n{inner}")),
        ("another protocol", format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{inner}")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn smuggled_requests_are_never_answered() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    let raw = server.raw()?;
    for (what, bytes) in smuggled(&key) {
        let Some(answer) = raw.exchange(bytes.as_bytes()).await? else { continue };
        // Where the head alone is in form, the route may have refused it before its chunks were read.
        assert!((400..500).contains(&answer.status), "{what}: {}", answer.head);
        let rest = String::from_utf8_lossy(&answer.rest).into_owned();
        assert!(!rest.contains("HTTP/1.1 200") && !rest.contains("max_model_len"), "{what}: {rest}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    let raw = server.raw()?;
    let get = |headers: &str| {
        format!(
            "GET /v1/models HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n{headers}\r\n"
        )
    };
    let rows = [
        (get(&"X-A: b\r\n".repeat(50)), &[200][..]),
        (get(&"X-A: b\r\n".repeat(62)), &[431]),
        (get(&"X-A: b\r\n".repeat(1_000)), &[400, 431]),
        (get(&format!("X-A: {}\r\n", "b".repeat(8_000))), &[200]),
        (get(&format!("X-A: {}\r\n", "b".repeat(17_000))), &[431]),
        (get(&format!("X-A: {}\r\n", "b".repeat(300_000))), &[400, 413, 431]),
        (get(&format!("{}: b\r\n", "a".repeat(70_000))), &[400, 431]),
        (get("").replace("/v1/models", &format!("/v1/models?{}", "x".repeat(7_000))), &[200]),
        (get("").replace("/v1/models", &format!("/v1/models?{}", "x".repeat(9_000))), &[414]),
    ];
    for (bytes, allowed) in rows {
        let answer = raw.exchange(bytes.as_bytes()).await?;
        let status = answer.as_ref().map(|answer| answer.status);
        let is_allowed = status.map_or(!allowed.contains(&200), |status| allowed.contains(&status));
        assert!(is_allowed, "{} bytes: {status:?}, not {allowed:?}", bytes.len());
    }
    Ok(())
}

/// Sends what it is given and waits until the server closes; gives how long that took and what it said.
async fn closes(raw: Raw, bytes: String, trickle: bool) -> Outcome<(Duration, Option<RawAnswer>)> {
    let began = Instant::now();
    let mut connection = raw.connect().await?;
    connection.write_all(bytes.as_bytes()).await.map_err(HarnessError::io("send"))?;
    if trickle {
        let (mut reading, mut writing) = connection.into_split();
        let sending = tokio::spawn(async move {
            while writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        let mut received = Vec::new();
        tokio::time::timeout(
            Duration::from_secs(60),
            tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut received),
        )
        .await
        .ok();
        sending.abort();
        return Ok((began.elapsed(), None));
    }
    let answer = raw.read_to_close(&mut connection).await?;
    Ok((began.elapsed(), answer))
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_given_up() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    let raw = server.raw()?;
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\n");
    let rows = [
        ("nothing is sent", String::new(), false, 20, None),
        ("half a head", "GET /v1/models HT".to_owned(), false, 20, None),
        ("a head that never ends", format!("{head}X-A: b\r\n"), false, 20, None),
        ("a head that comes letter by letter", format!("{head}X-A: "), true, 20, None),
        ("half a body", format!("{head}Content-Length: 100\r\n\r\n{{"), false, 45, Some(408)),
        (
            "a body that comes letter by letter",
            format!("{head}Content-Length: 9999\r\n\r\n{{"),
            true,
            45,
            None,
        ),
        (
            "chunks that do not end",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n"),
            false,
            45,
            Some(408),
        ),
        (
            "chunks that do not end, for a key that does not open",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n").replace(&key, "tg-none"),
            false,
            20,
            Some(401),
        ),
    ];
    let tasks = rows.map(|(what, bytes, trickle, seconds, status)| {
        let task = tokio::spawn(async move { closes(raw, bytes, trickle).await });
        async move { (what, task.await, seconds, status) }
    });
    for (what, outcome, seconds, status) in futures_util::future::join_all(tasks).await {
        let (took, answer) = outcome.map_err(|_| HarnessError::NotEvents { text: what.to_owned() })??;
        assert!(took < Duration::from_secs(seconds), "{what}: {took:?}");
        let Some(status) = status else { continue };
        let (found, connection) =
            answer.as_ref().map_or((0, ""), |answer| (answer.status, answer.header("connection")));
        assert_eq!((found, connection), (status, "close"), "{what}: {answer:?}");
    }
    assert_eq!(server.chat(&key).send(&Chat::request("hello", 2)).await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_a_later_request_is_timed_as_the_first() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, _) = first_start(&mut installation).await?;
    let raw = server.raw()?;
    for trickle in [false, true] {
        let mut connection = raw.connect().await?;
        assert_eq!(ask_on(&mut connection).await?, 200);
        // A pause is no head: it may last as long as a connection may rest.
        tokio::time::sleep(Duration::from_secs(12)).await;
        assert_eq!(ask_on(&mut connection).await?, 200, "it has rested for longer than a head may take");
        let (mut reading, mut writing) = connection.into_split();
        let sending = tokio::spawn(async move {
            let mut bytes: &[u8] = b"GET /healthz HTTP/1.1\r\nX-A: ";
            while writing.write_all(bytes).await.is_ok() {
                let pause = if trickle { Duration::from_millis(500) } else { Duration::from_secs(600) };
                tokio::time::sleep(pause).await;
                bytes = b"x";
            }
        });
        let began = Instant::now();
        let mut received = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut received);
        // A peer that goes on sending may meet a reset instead of the last bytes.
        let read = tokio::time::timeout(Duration::from_secs(60), read).await;
        sending.abort();
        assert!(read.is_ok() && began.elapsed() < Duration::from_secs(20), "{trickle}: {received:?}");
        let text = String::from_utf8_lossy(&received);
        assert!(trickle || text.starts_with("HTTP/1.1 408 "), "{text}");
    }
    Ok(())
}

/// Asks on a connection that stays open, and gives the status.
async fn ask_on(connection: &mut TcpStream) -> Outcome<u16> {
    let request = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n";
    connection.write_all(request).await.map_err(HarnessError::io("send"))?;
    let mut received = vec![0; 4_096];
    let read =
        tokio::io::AsyncReadExt::read(connection, &mut received).await.map_err(HarnessError::io("read"))?;
    let text = String::from_utf8_lossy(&received[..read]).into_owned();
    Ok(text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_peer_has_a_bounded_number_of_connections() -> Outcome {
    let config = SIMULATED.replace("[server]\n", "[server]\nconnections_per_peer_max = 6\n");
    let mut installation = Installation::new(&config)?;
    let (server, _) = first_start(&mut installation).await?;
    let raw = server.raw()?;
    let began = Instant::now();
    // The connections of the start are closed a moment after their clients have gone.
    let mut open = Vec::new();
    while open.len() < 6 {
        assert!(began.elapsed() < Duration::from_secs(20), "{} connections are served", open.len());
        let mut connection = raw.connect().await?;
        match ask_on(&mut connection).await? {
            200 => open.push(connection),
            status => {
                assert_eq!(status, 429);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    let mut further = raw.connect().await?;
    assert_eq!(ask_on(&mut further).await?, 429, "a seventh is told so");
    for connection in &mut open {
        assert_eq!(ask_on(connection).await?, 200, "those that are open go on");
    }
    drop(further);
    open.pop();
    let freed = Instant::now();
    while ask_on(&mut raw.connect().await?).await? != 200 {
        assert!(freed.elapsed() < Duration::from_secs(10), "a place that was given back stays taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, _) = first_start(&mut installation).await?;
    let one = "GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let answer = exchange(&server.raw()?, format!("{}{last}", one.repeat(499)).as_bytes()).await?;
    assert_eq!((answer.status, answer.answers()), (200, 500));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_served_behind_the_last_request_of_a_connection() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    let hidden = format!("GET /v1/models HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\n\r\n");
    let ask = |head: &str, body: &str| {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\n{head}\r\n{body}"
        )
    };
    let body = Chat::request("hello", 2).to_string();
    let length = format!("Content-Length: {}\r\n", body.len());
    let rows = [
        ("a request that is the last", ask(&format!("{length}Connection: close\r\n"), &body), 200),
        ("an older version", ask(&length, &body).replace("HTTP/1.1", "HTTP/1.0"), 200),
        ("two hosts", ask(&format!("{length}Host: other\r\n"), &body), 400),
    ];
    let admin = Raw::new(server.banner().admin_url.trim_end_matches("/admin/v1"))?;
    for (what, last, status) in rows {
        let answer = exchange(&server.raw()?, format!("{last}{hidden}").as_bytes()).await?;
        assert_eq!(answer.status, status, "{what}: {}", answer.head);
        let rest = String::from_utf8_lossy(&answer.rest).into_owned();
        assert!(!rest.contains("HTTP/1.1 200") && !rest.contains("max_model_len"), "{what}: {rest}");
    }
    let last = "GET /admin/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = exchange(&admin, last.repeat(2).as_bytes()).await?;
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert!(!String::from_utf8_lossy(&answer.rest).contains("HTTP/1.1 200"), "the admin API as well");
    let node = EngineNode::start("one", &[&NodeKeys::create()?], SIMULATED).await?;
    let last = "GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
    let answer = exchange(&node.server.raw()?, last.repeat(2).as_bytes()).await?;
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert!(!String::from_utf8_lossy(&answer.rest).contains("HTTP/1.1 200"), "and a node");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_the_clients_fault_and_no_error_of_ours() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    let raw = server.raw()?;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    for chunks in
        ["zz\r\n{}\r\n", "ffffffffffffffffff\r\n{}\r\n", "-1\r\n{}\r\n", "2\r\n{}zz0\r\n\r\n", "\r\n{}\r\n"]
    {
        let answer = exchange(&raw, format!("{head}{chunks}").as_bytes()).await?;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (400, "request_incomplete"),
            "{chunks:?}: {}",
            answer.head
        );
    }
    for (_, bytes) in smuggled(&key) {
        raw.exchange(bytes.as_bytes()).await?;
    }
    let printed = server.printed();
    assert!(!printed.contains("ERROR"), "{printed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_says_where_requests_go() -> Outcome {
    let mut installation = Installation::new(SIMULATED)?;
    let (server, key) = first_start(&mut installation).await?;
    let trap = TcpListener::bind("127.0.0.1:0").map_err(HarnessError::io("a trap"))?;
    trap.set_nonblocking(true).map_err(HarnessError::io("a trap"))?;
    let url = format!("http://{}", trap.local_addr().map_err(HarnessError::io("a trap"))?);
    let fields = [
        "base_url",
        "api_base",
        "api_key",
        "api_type",
        "api_version",
        "url",
        "endpoint",
        "upstream",
        "backend",
        "host",
        "proxy",
        "custom_llm_provider",
        "extra_body",
        "extra_headers",
        "webhook",
        "callback_url",
        "fallbacks",
    ];
    for field in fields {
        let mut request = Chat::request("hello", 2);
        request[field] = json!(url);
        let answer = server.chat(&key).send(&request).await?;
        assert_eq!(answer.status, 200, "{field}: {}", answer.body);
    }
    let headers =
        ["X-Upstream-URL", "X-Base-URL", "X-Forwarded-Host", "X-Target-URL", "Forwarded", "Via", "Proxy"];
    for header in headers {
        let body = Chat::request("hello", 2).to_string();
        let header = format!("{header}: {url}\r\n");
        let answer =
            exchange(&server.raw()?, &post("/v1/chat/completions", &key, &header, body.as_bytes())).await?;
        assert_eq!(answer.status, 200, "{header}: {}", answer.head);
    }
    let visited = trap.accept().map(drop);
    let is_empty = visited.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(is_empty, "something went where a client said");
    Ok(())
}

fn walk(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(HarnessError::io("list"))?.flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(walk(&path)?),
            path => found.push(path),
        }
    }
    Ok(found)
}

/// Everything the program writes, at the most talkative level: no secret and no word of a request is in it.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_prompts_are_never_written_down() -> Outcome {
    let mut installation = Installation::new(ECHO)?.logging("trace");
    let (server, key) = first_start(&mut installation).await?;
    let operator = server.banner().operator_token.clone().unwrap_or_default();
    let extra = installation.create_key("demo", &["--concurrency", "1"])?;
    server.knows(&extra).await?;
    let (chat, raw) = (server.chat(&key), server.raw()?);
    let marker = |number: u32| format!("zebra{number}marker");
    assert_eq!(chat.send(&Chat::request(&marker(1), 5)).await?.status, 200);
    assert!(chat.stream(&Chat::request(&marker(2), 5)).await?.finish().await?.is_done);
    let mut leaving = server.chat(&extra).stream(&Chat::request(&marker(3).repeat(200), 500)).await?;
    leaving.next().await?;
    assert_eq!(server.chat(&extra).send(&Chat::request(&marker(4), 5)).await?.status, 429);
    drop(leaving);
    let wrong_key = format!("{}wrongsecret", &key[..key.len() - 11]);
    let bodies = [
        format!("{{\"model\": \"{}\"", marker(5)),
        format!("{{\"model\": \"demo\", \"messages\": \"{}\"}}", marker(6)),
        format!(
            "{{\"model\": \"{}\", \"messages\": [{{\"role\": \"user\", \"content\": \"a\"}}]}}",
            marker(7)
        ),
        format!("{{\"model\": \"demo\", \"messages\": [{{\"role\": \"{}\"}}]}}", marker(8)),
        format!("{{\"{}\": \"demo\"}}", marker(9)),
        format!("[\"{}\"]", marker(10)),
        marker(11),
    ];
    for path in paths_with_body(&installation)? {
        for key in [&key, &wrong_key, &operator] {
            for body in &bodies {
                let headers = format!("X-Api-Secret: {}\r\nCookie: a={}\r\n", marker(12), marker(12));
                let answer = exchange(&raw, &post(&path, key, &headers, body.as_bytes())).await?;
                assert!((400..500).contains(&answer.status), "{path}: {}", answer.head);
            }
        }
    }
    let target = format!("/v1/models/{}?key={}", marker(13), marker(14));
    exchange(&raw, &post(&target, &key, "", b"")).await?;
    raw.exchange(format!("{}\r\n\r\n", marker(15)).as_bytes()).await?;
    assert!(server.stop().await?.success());

    let secret = |text: &str| text.rsplit('-').next().unwrap_or_default().to_owned();
    let mut forbidden = vec![secret(&key), secret(&extra), secret(&operator), "wrongsecret".to_owned()];
    forbidden.extend((1..=15).map(marker));
    let (mut looked_at, mut leaks) = (0, Vec::new());
    for file in walk(installation.folder())? {
        // The banner shows the first secrets, once.
        let is_banner = file.extension().is_some_and(|ending| ending == "out");
        let bytes = fs::read(&file).map_err(HarnessError::io(file.display().to_string()))?;
        looked_at += bytes.len();
        for word in forbidden.iter().filter(|word| !is_banner || word.starts_with("zebra")) {
            if let Some(place) = bytes.windows(word.len()).position(|window| window == word.as_bytes()) {
                let around = &bytes[place.saturating_sub(300)..(place + 100).min(bytes.len())];
                leaks.push(format!("{} holds {word}: {}", file.display(), String::from_utf8_lossy(around)));
            }
        }
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    assert!(looked_at > 10_000, "the log must have been written: {looked_at} bytes");
    Ok(())
}
