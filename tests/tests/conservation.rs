//! What clients received, what the ledger says and what the invoice charges, across two kills.
//! Never trusts the program's own sums: hashes, token sums and money are computed again here.
//! Run by `cargo xtask test`; prints its seed, which `TALLYGATE_TEST_SEED` sets.
//!
//! Long because the checks belong beside what they check: split apart, nobody could see that no case is left out.

#![expect(clippy::expect_used, clippy::panic, reason = "a surprise in a test should stop it with a message")]
#![expect(clippy::print_stdout, reason = "a test speaks through its captured output")]

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bigdecimal::{BigDecimal, num_bigint::BigInt};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tests::harness::{Chat, HarnessError, Installation, Outcome, Server, create_database};
use tokio::task::JoinSet;

/// Requests of the whole test, over three lives of the server.
const REQUESTS: usize = 200;
/// Clients that send at the same time.
const CLIENTS: usize = 8;
/// A client that left this long before a kill has a record that says so.
const CANCEL_SEEN_MAX: Duration = Duration::from_secs(2);

/// Steps of 3 ms against a target of 2 ms: most answers fall behind, so that late tokens are credited.
const CONFIG: &str =
    "[[model]]\nname = \"demo\"\nsource = \"sim\"\n[model.sim]\nseed = 3\ndecode_step_us = 3000\n";

/// Prices so high and crooked that rounding and every digit matter.
const PLAN: &str = "name = \"crooked\"\nversion = 1\ncurrency = \"USD\"\n\
    [slo]\nclass = \"interactive\"\nttft_ms = 20\ntpot_ms = 2\n\
    [slo_credit]\nlate_tokens_percent = \"33.3\"\n\
    [[price]]\nmodel = \"demo\"\ninput_per_mtok = \"1234.567891\"\noutput_per_mtok = \"98765.4321\"\n";
/// The same prices in billionths, and the credit in thousandths.
const INPUT_NANOS_PER_MTOK: i128 = 1_234_567_891_000;
const OUTPUT_NANOS_PER_MTOK: i128 = 98_765_432_100_000;
const CREDIT_PER_MILLE: i128 = 333;

/// What one client does. The prompt's length is the request's own, so that its record can be told from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Whole,
    Stream,
    /// Leaves after this many parts.
    LeaveStream(u64),
    /// Asks for a whole answer and leaves after this many milliseconds.
    LeaveWhole(u64),
    BadKey,
    UnknownModel,
    BadBody,
    /// With a key that admits one request per minute.
    Limited,
}

/// What the client knows afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// The whole answer, to its last byte.
    Acknowledged {
        request_id: String,
        prompt: u64,
        output: u64,
    },
    /// It left by itself.
    Left {
        at: Instant,
        received: u64,
    },
    /// The server died under it.
    Lost {
        received: u64,
    },
    Refused,
}

struct Keys {
    good: String,
    limited: String,
}

fn kinds(random: &mut ChaCha8Rng) -> Vec<Kind> {
    let kind = |random: &mut ChaCha8Rng| match random.random_range(0..100) {
        0..25 => Kind::Whole,
        25..55 => Kind::Stream,
        55..70 => Kind::LeaveStream(random.random_range(1..20)),
        70..78 => Kind::LeaveWhole(random.random_range(1..120)),
        78..84 => Kind::BadKey,
        84..89 => Kind::UnknownModel,
        89..94 => Kind::BadBody,
        _ => Kind::Limited,
    };
    (0..REQUESTS).map(|_| kind(random)).collect()
}

/// One token for each letter, so the prompt of request `index` has `index` tokens more than that of request 0.
fn body(index: usize) -> Value {
    let mut body = Chat::request(&"x".repeat(index + 1), 40);
    body["ignore_eos"] = Value::from(index.is_multiple_of(2));
    body["seed"] = Value::from(index);
    body
}

async fn act(base_url: &str, keys: &Keys, kind: Kind, index: usize) -> Outcome<Seen> {
    let key = match kind {
        Kind::BadKey => format!("{}x", keys.good),
        Kind::Limited => keys.limited.clone(),
        Kind::Whole
        | Kind::Stream
        | Kind::LeaveStream(_)
        | Kind::LeaveWhole(_)
        | Kind::UnknownModel
        | Kind::BadBody => keys.good.clone(),
    };
    let chat = Chat::new(base_url, &key);
    let mut request = body(index);
    if kind == Kind::UnknownModel {
        request["model"] = Value::from("nobody");
    }
    if kind == Kind::BadBody {
        request["messages"] = Value::from("not a list");
    }
    match kind {
        Kind::Stream => stream(&chat, request, u64::MAX).await,
        Kind::LeaveStream(parts) => stream(&chat, request, parts).await,
        Kind::LeaveWhole(millis) => {
            let wait = Duration::from_millis(millis);
            match tokio::time::timeout(wait, whole(&chat, &request)).await {
                Ok(seen) => seen,
                Err(_) => Ok(Seen::Left { at: Instant::now(), received: 0 }),
            }
        }
        Kind::Whole | Kind::BadKey | Kind::UnknownModel | Kind::BadBody | Kind::Limited => {
            whole(&chat, &request).await
        }
    }
}

async fn whole(chat: &Chat, request: &Value) -> Outcome<Seen> {
    let answer = match chat.send(request).await {
        Ok(answer) => answer,
        Err(HarnessError::Http(_)) => return Ok(Seen::Lost { received: 0 }),
        Err(error) => return Err(error),
    };
    if answer.status == 200 {
        return Ok(acknowledged(answer.header("x-request-id"), &answer.body["usage"]));
    }
    assert!(matches!(answer.status.as_u16(), 400 | 401 | 404 | 429), "{} {}", answer.status, answer.body);
    Ok(Seen::Refused)
}

fn acknowledged(request_id: &str, usage: &Value) -> Seen {
    assert_eq!(usage["tallygate"]["request_id"], request_id);
    let count = |name: &str| usage[name].as_u64().unwrap_or_else(|| panic!("{name} in {usage}"));
    Seen::Acknowledged {
        request_id: request_id.to_owned(),
        prompt: count("prompt_tokens"),
        output: count("completion_tokens"),
    }
}

async fn stream(chat: &Chat, mut request: Value, parts_max: u64) -> Outcome<Seen> {
    request["stream_options"] = serde_json::json!({"include_usage": true});
    let mut streaming = match chat.stream(&request).await {
        Ok(streaming) => streaming,
        Err(HarnessError::Http(_)) => return Ok(Seen::Lost { received: 0 }),
        Err(error) => return Err(error),
    };
    assert_eq!(streaming.status, 200);
    let request_id = streaming.header("x-request-id").to_owned();
    loop {
        let event = streaming.next().await;
        let received = streaming.received.parts;
        match event {
            Ok(Some(_)) if received >= parts_max => return Ok(Seen::Left { at: Instant::now(), received }),
            Ok(Some(_)) => {}
            Ok(None) if streaming.received.is_done => {
                let usage = streaming.received.usage.clone().unwrap_or_default();
                // The simulation's tokens are one part each: what is counted is what came.
                assert_eq!(usage["completion_tokens"].as_u64(), Some(received), "{usage}");
                return Ok(acknowledged(&request_id, &usage));
            }
            Ok(None) | Err(HarnessError::Http(_)) => return Ok(Seen::Lost { received }),
            Err(error) => return Err(error),
        }
    }
}

/// One life of the server: it is sent requests up to `end`, and killed this long after the last one went out.
struct Life {
    server: Server,
    end: usize,
    kill_after: Option<Duration>,
}

/// What the clients of one life saw, and when it was killed.
type LifeSeen = (BTreeMap<usize, Seen>, Option<Instant>);

impl Life {
    async fn run(
        self,
        keys: &Arc<Keys>,
        kinds: &Arc<Vec<Kind>>,
        next: &Arc<AtomicUsize>,
    ) -> Outcome<LifeSeen> {
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (keys, kinds, next) = (Arc::clone(keys), Arc::clone(kinds), Arc::clone(next));
            let (base_url, end) = (self.server.banner().base_url.clone(), self.end);
            clients.spawn(async move {
                let mut seen = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    if index >= end {
                        return Outcome::Ok(seen);
                    }
                    seen.push((index, act(&base_url, &keys, kinds[index], index).await?));
                }
            });
        }
        let Self { server, end, kill_after } = self;
        let mut server = Some(server);
        let mut killed = None;
        if let Some(delay) = kill_after {
            while next.load(Ordering::SeqCst) < end {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(delay).await;
            killed = Some(Instant::now());
            server.take().expect("it lives").kill()?;
        }
        let mut seen = BTreeMap::new();
        while let Some(client) = clients.join_next().await {
            seen.extend(client.expect("no client panics")?);
        }
        next.store(end, Ordering::SeqCst);
        if let Some(server) = server {
            assert!(server.stop().await?.success(), "a drained server ends well");
        }
        Ok((seen, killed))
    }
}

/// Whether a client left before the engine began: nothing was computed, so the record counts nothing.
fn is_unbegun(record: &Value) -> bool {
    record["record"]["prompt_tokens"] == 0
}

/// Every record of the ledger that counts anything, by the number of the request that its prompt's length tells.
fn by_request(records: &[Value], prompt_of_first: u64) -> BTreeMap<usize, &Value> {
    let mut found = BTreeMap::new();
    for record in records.iter().filter(|record| !is_unbegun(record)) {
        let prompt = record["record"]["prompt_tokens"].as_u64().expect("a count");
        let index = usize::try_from(prompt - prompt_of_first).expect("a small number");
        assert!(index < REQUESTS, "a record of no request: {record}");
        assert!(found.insert(index, record).is_none(), "request {index} has two records: {record}");
    }
    found
}

/// The one rule for each thing a client saw.
fn check_request(index: usize, seen: &Seen, killed: Option<Instant>, record: Option<&Value>) {
    let field = |name: &str| record.map(|record| record["record"][name].clone()).unwrap_or_default();
    let (reason, output) = (field("reason"), field("output_tokens").as_u64());
    let context = format!("request {index}: {seen:?}, killed {killed:?}, record {record:?}");
    match seen {
        Seen::Acknowledged { request_id, prompt, output: answered } => {
            assert_eq!(field("request_id"), *request_id, "{context}");
            assert_eq!(reason, "completed", "{context}");
            assert_eq!(
                (field("prompt_tokens").as_u64(), output),
                (Some(*prompt), Some(*answered)),
                "{context}"
            );
        }
        Seen::Left { at, received } => {
            let is_certain =
                killed.is_none_or(|killed| killed.saturating_duration_since(*at) > CANCEL_SEEN_MAX);
            if is_certain && *received > 0 {
                assert!(reason == "client_gone" || reason == "completed", "{context}");
            }
            if reason == "client_gone" || reason == "completed" {
                assert!(output >= Some(*received), "{context}");
            }
        }
        Seen::Lost { .. } => {
            assert!(killed.is_some(), "lost without a kill: {context}");
            assert!(
                record.is_none() || ["crashed", "completed", "client_gone"].iter().any(|r| reason == *r),
                "{context}"
            );
        }
        Seen::Refused => assert!(record.is_none(), "{context}"),
    }
}

/// Records that count nothing belong to clients that left at once and have no other record; each client has one.
fn check_unbegun(
    records: &[Value],
    seen: &BTreeMap<usize, (Seen, Option<Instant>)>,
    by_request: &BTreeMap<usize, &Value>,
) {
    let unbegun: Vec<_> = records.iter().filter(|record| is_unbegun(record)).collect();
    for record in &unbegun {
        let record = &record["record"];
        assert_eq!(
            (&record["reason"], &record["output_tokens"]),
            (&"client_gone".into(), &0.into()),
            "{record}"
        );
    }
    let left_at_once = |(index, (seen, _)): &(&usize, &(Seen, Option<Instant>))| {
        matches!(seen, Seen::Left { received: 0, .. }) && !by_request.contains_key(index)
    };
    let left = seen.iter().filter(left_at_once).count();
    assert!(unbegun.len() <= left, "{} records count nothing, {left} clients left at once", unbegun.len());
}

/// Walks the journal's files as an auditor would: SHA-256 over each close line's JSON, carried by the next.
fn check_chain(folder: &std::path::Path, records: usize) -> Outcome {
    let mut files: Vec<_> = std::fs::read_dir(folder.join("data/journal"))
        .map_err(HarnessError::io("list the journal"))?
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "journal"))
        .collect();
    files.sort();
    let (mut hash, mut sequence) = ("0".repeat(64), 0);
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(HarnessError::io("read the journal"))?;
        for line in text.lines() {
            let Some(json) = line.get(9..).and_then(|line| line.strip_prefix("close ")) else { continue };
            let value: Value = serde_json::from_str(json).expect("a close line is JSON");
            sequence += 1;
            assert_eq!(
                (&value["previous_hash"], &value["sequence"]),
                (&Value::from(hash), &Value::from(sequence))
            );
            hash = Sha256::digest(json.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        }
    }
    assert_eq!(sequence, records, "the ledger has exactly the journal's records");
    Ok(())
}

/// What the records cost, in 10⁻¹⁸ of a dollar: prices are 10⁻⁹ per 10⁶ tokens, the credit 10⁻³ of that.
fn charge(records: &[Value]) -> i128 {
    let billed =
        |record: &&Value| ["completed", "client_gone"].iter().any(|r| record["record"]["reason"] == *r);
    let count = |record: &Value, name: &str| i128::from(record["record"][name].as_u64().expect("a count"));
    let one = |record: &Value| {
        let late = count(record, "output_tokens") - count(record, "tokens_in_slo");
        let input = count(record, "prompt_tokens") * INPUT_NANOS_PER_MTOK * 1_000;
        let output = count(record, "output_tokens") * OUTPUT_NANOS_PER_MTOK * 1_000;
        input + output - late * OUTPUT_NANOS_PER_MTOK * CREDIT_PER_MILLE
    };
    records.iter().filter(billed).map(one).sum()
}

fn check_invoice(installation: &Installation, records: &[Value]) -> Outcome {
    let printed = installation.run(&["invoice", "payer", "--format", "json"])?;
    let invoice: Value = serde_json::from_str(&printed).expect("an invoice is JSON");
    let exact = charge(records);
    let expected = BigDecimal::new(BigInt::from(exact), 18);
    let read =
        |name: &str| invoice[name].as_str().expect("an amount").parse::<BigDecimal>().expect("a decimal");
    assert_eq!(read("subtotal_exact"), expected, "{printed}");
    // Half away from zero, once, at the cent; the sum is positive here.
    let cents = (exact + 5_000_000_000_000_000) / 10_000_000_000_000_000;
    assert!(exact > 0 && cents > 100, "the test must charge something: {exact}");
    assert_eq!(read("total"), BigDecimal::new(BigInt::from(cents), 2), "{printed}");
    let displayed = invoice["lines"].as_array().expect("lines").iter();
    let displayed: BigDecimal = displayed
        .map(|line| line["displayed"].as_str().expect("an amount").parse::<BigDecimal>().expect("a decimal"))
        .sum();
    assert_eq!(displayed, read("total"), "displayed lines add up to the total");
    Ok(())
}

/// A tenant of its own, under the crooked plan, with a free and a limited key.
async fn set_up(installation: &mut Installation) -> Outcome<(Server, Arc<Keys>)> {
    let server = installation.start().await?;
    let plan = installation.folder().join("plan.toml");
    std::fs::write(&plan, PLAN).map_err(HarnessError::io("plan.toml"))?;
    installation.run(&["plan", "publish", &plan.display().to_string()])?;
    installation.run(&["tenant", "create", "payer", "--plan", "crooked"])?;
    let good = installation.create_key("payer", &[])?;
    let limited = installation.create_key("payer", &["--requests-per-minute", "1"])?;
    server.knows(&limited).await?;
    Ok((server, Arc::new(Keys { good, limited })))
}

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()));
    let seed = std::env::var("TALLYGATE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(now);
    println!("seed {seed}: set TALLYGATE_TEST_SEED={seed} to repeat");
    seed
}

async fn two_kills(mut installation: Installation) -> Outcome {
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let kinds = Arc::new(kinds(&mut random));
    let next = Arc::new(AtomicUsize::new(0));
    let (server, keys) = set_up(&mut installation).await?;
    let mut server = Some(server);
    let mut seen: BTreeMap<usize, (Seen, Option<Instant>)> = BTreeMap::new();
    let ends = [random.random_range(50..90), random.random_range(110..160), REQUESTS];
    for (life, end) in ends.into_iter().enumerate() {
        let server = match server.take() {
            Some(server) => server,
            None => installation.start().await?,
        };
        let kill_after = (life < 2).then(|| Duration::from_micros(random.random_range(0..90_000)));
        let (found, killed) = Life { server, end, kill_after }.run(&keys, &kinds, &next).await?;
        seen.extend(found.into_iter().map(|(index, seen)| (index, (seen, killed))));
    }
    assert_eq!(seen.len(), REQUESTS);
    check(&installation, &seen)
}

fn check(installation: &Installation, seen: &BTreeMap<usize, (Seen, Option<Instant>)>) -> Outcome {
    let records = installation.records("payer")?;
    let first = seen.iter().find_map(|(index, (seen, _))| match seen {
        Seen::Acknowledged { prompt, .. } => Some(prompt - u64::try_from(*index).expect("a small number")),
        Seen::Left { .. } | Seen::Lost { .. } | Seen::Refused => None,
    });
    let by_request = by_request(&records, first.expect("some request was answered"));
    for (index, (seen, killed)) in seen {
        check_request(*index, seen, *killed, by_request.get(index).copied());
    }
    check_unbegun(&records, seen, &by_request);
    let ids: HashSet<_> = records.iter().map(|record| record["record"]["request_id"].to_string()).collect();
    assert_eq!(ids.len(), records.len(), "no request id twice");
    check_chain(installation.folder(), records.len())?;
    let verified = installation.run(&["verify-journal"])?;
    assert!(verified.contains("0 not yet shipped"), "{verified}");
    check_invoice(installation, &records)?;
    let count = |wanted: fn(&Seen) -> bool| seen.values().filter(|(seen, _)| wanted(seen)).count();
    println!(
        "{} acknowledged, {} left, {} lost, {} refused; {} records",
        count(|seen| matches!(seen, Seen::Acknowledged { .. })),
        count(|seen| matches!(seen, Seen::Left { .. })),
        count(|seen| matches!(seen, Seen::Lost { .. })),
        count(|seen| matches!(seen, Seen::Refused)),
        records.len()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_counted_twice_sqlite() -> Outcome {
    two_kills(Installation::new(CONFIG)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_counted_twice_postgres() -> Outcome {
    let Some(url) = create_database().await? else { return Ok(()) };
    two_kills(Installation::new(CONFIG)?.with("LEDGER__URL", &url)).await
}
