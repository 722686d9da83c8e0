//! A minute of real traffic each second: the first 1,000 requests of a trace, scaled to the demo model.
//! Never asserts a speed: it asserts that nothing failed and all was metered, and prints what it saw.
//! Run by `cargo xtask test`, alone on the machine.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::harness::{Chat, Installation, Outcome, TraceRow, read_trace};
use tokio::task::JoinSet;

/// How much faster than it was recorded the trace is replayed.
const SPEED: u32 = 60;

/// Prompts and answers are this many times shorter: the trace's longest has 4,300 tokens, the model's context 1,024,
/// and two cores should be done within a minute.
const SHORTER: u64 = 16;

/// The demo model, with room for all requests: a replay this fast arrives sooner than two cores can answer.
const CONFIG: &str =
    "[slo]\nwhen_late = \"serve\"\n[[model]]\nname = \"demo\"\nsource = \"demo\"\nqueue_jobs_max = 1000\n";

/// The last answers wait for all others; then the shipper needs a moment.
const SHIPPED_MAX: Duration = Duration::from_secs(60);

/// One answered request.
struct Answered {
    request_id: String,
    prompt_tokens: u64,
    output_tokens: u64,
    first_text: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_trace_is_served_and_metered_whole() -> Outcome {
    let rows = read_trace("conv-1000.csv")?;
    assert_eq!(rows.len(), 1_000);
    let mut installation = Installation::new(CONFIG)?;
    let server = installation.start().await?;
    let key = server.banner().api_key.clone().unwrap_or_default();
    let chat = Arc::new(server.chat(&key));

    let started = Instant::now();
    let mut running = JoinSet::new();
    for (index, row) in rows.iter().copied().enumerate() {
        tokio::time::sleep_until((started + row.at / SPEED).into()).await;
        let chat = Arc::clone(&chat);
        running.spawn(async move { (index, one(&chat, index, row).await) });
    }
    let mut answered = BTreeMap::new();
    let mut failed = Vec::new();
    while let Some(joined) = running.join_next().await {
        match joined {
            Ok((index, Ok(answer))) => drop(answered.insert(index, answer)),
            Ok((index, Err(why))) => failed.push(format!("request {index}: {why}")),
            Err(panicked) => failed.push(panicked.to_string()),
        }
    }
    let took = started.elapsed();
    assert!(
        failed.is_empty(),
        "{} requests failed, first {:#?}",
        failed.len(),
        &failed[..failed.len().min(5)]
    );

    let records = shipped(&installation, rows.len()).await?;
    check(&rows, &answered, &records);
    report(&answered, &records, took);
    assert!(server.stop().await?.success());
    Ok(())
}

/// Sends one row of the trace as a stream and reads it to the end.
async fn one(chat: &Chat, index: usize, row: TraceRow) -> Result<Answered, String> {
    // The index first: no two prompts are the same.
    let words = vec!["token"; usize::try_from(row.prompt_tokens / SHORTER).unwrap_or(0)].join(" ");
    let mut request = Chat::request(&format!("{index} {words}"), output_tokens(row));
    request["ignore_eos"] = json!(true);
    request["stream_options"] = json!({"include_usage": true});
    let sent = Instant::now();
    let mut stream = chat.stream(&request).await.map_err(|error| error.to_string())?;
    let mut first_text = None;
    while stream.next().await.map_err(|error| format!("{}: {error}", stream.status))?.is_some() {
        if stream.received.parts > 0 {
            first_text.get_or_insert_with(|| sent.elapsed());
        }
    }
    let received = &stream.received;
    if stream.status != 200 || !received.is_done || received.error.is_some() {
        return Err(format!("{}: {received:?}", stream.status));
    }
    let usage = received.usage.clone().unwrap_or_default();
    let figure = |name: &str| usage[name].as_u64().ok_or_else(|| format!("no {name} in {usage}"));
    Ok(Answered {
        request_id: received.id.trim_start_matches("chatcmpl-").to_owned(),
        prompt_tokens: figure("prompt_tokens")?,
        output_tokens: figure("completion_tokens")?,
        first_text: first_text.unwrap_or_else(|| sent.elapsed()),
    })
}

fn output_tokens(row: TraceRow) -> u32 {
    u32::try_from((row.output_tokens / SHORTER).max(1)).unwrap_or(u32::MAX)
}

/// The ledger's records, once it has all of them.
async fn shipped(installation: &Installation, count: usize) -> Outcome<Vec<Value>> {
    let started = Instant::now();
    loop {
        let records = installation.records("demo")?;
        if records.len() >= count || started.elapsed() > SHIPPED_MAX {
            return Ok(records);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Each answer has one record that says what the client was told and what the trace asked for.
fn check(rows: &[TraceRow], answered: &BTreeMap<usize, Answered>, records: &[Value]) {
    assert_eq!((answered.len(), records.len()), (rows.len(), rows.len()));
    let by_request: BTreeMap<&str, &Value> = records
        .iter()
        .map(|line| (line["record"]["request_id"].as_str().unwrap_or(""), &line["record"]))
        .collect();
    for (index, answer) in answered {
        let record = by_request.get(answer.request_id.as_str()).copied().unwrap_or(&Value::Null);
        assert_eq!(record["reason"], "completed", "request {index}: {record}");
        assert_eq!(record["prompt_tokens"], answer.prompt_tokens, "request {index}: {record}");
        assert_eq!(record["output_tokens"], answer.output_tokens, "request {index}: {record}");
        assert_eq!(answer.output_tokens, u64::from(output_tokens(rows[*index])), "request {index}: {record}");
        assert!(answer.prompt_tokens >= rows[*index].prompt_tokens / SHORTER, "request {index}: {record}");
        assert!(record["ttft_us"].is_u64(), "request {index}: {record}");
        assert!(record["energy_mj"].is_u64(), "request {index}: {record}");
    }
}

/// What was seen, for people. Nextest shows it because its configuration says so for this test.
#[expect(clippy::print_stdout, reason = "the report is what this test is run for")]
fn report(answered: &BTreeMap<usize, Answered>, records: &[Value], took: Duration) {
    let sum = |name: &str| records.iter().filter_map(|line| line["record"][name].as_u64()).sum::<u64>();
    let sorted = |name: &str| {
        let mut figures: Vec<u64> = records.iter().filter_map(|line| line["record"][name].as_u64()).collect();
        figures.sort_unstable();
        figures
    };
    let met = records.iter().filter(|line| line["record"]["slo_met"] == true).count();
    let seconds = took.as_secs_f64();
    let (ttft, tpot) = (sorted("ttft_us"), sorted("tpot_us"));
    let mut seen: Vec<Duration> = answered.values().map(|answer| answer.first_text).collect();
    seen.sort_unstable();
    println!(
        "replayed {} requests of the trace at {SPEED}x in {seconds:.1} s, no errors, all metered",
        records.len()
    );
    println!("  tokens            {} prompt, {} output", sum("prompt_tokens"), sum("output_tokens"));
    println!("  output tokens/s   {:.0}", sum("output_tokens") as f64 / seconds);
    println!("  ttft_us           p50 {}, p99 {}", percentile(&ttft, 50), percentile(&ttft, 99));
    println!("  tpot_us           p50 {}, p99 {}", percentile(&tpot, 50), percentile(&tpot, 99));
    println!("  client's ttft     p50 {:?}, p99 {:?}", percentile(&seen, 50), percentile(&seen, 99));
    println!("  goodput           {met} of {} requests met their SLO", records.len());
    println!("  energy            {} mJ ({})", sum("energy_mj"), records[0]["record"]["energy_source"]);
}

/// The nearest rank of sorted figures.
fn percentile<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}
