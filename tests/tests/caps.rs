//! Caps under attack: budgets and balances that many clients empty at once, through one gateway and through three that
//! share Redis and PostgreSQL, while clients leave and gateways are killed.
//! Never trusts the program's own sums: charges are computed again here from the tokens of the records.
//! Run by `cargo xtask test`; prints its seed, which `TALLYGATE_TEST_SEED` sets.
//!
//! Long because the fleet, its clients and the sums they are judged by are one argument.

#![expect(clippy::expect_used, clippy::panic, reason = "a surprise in a test should stop it with a message")]
#![expect(clippy::print_stdout, reason = "a test speaks through its captured output")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use billing::ledger::{BillingMode, Budget, Ledger, LimitScope, Limits, NewGrant, TenantTerms};
use domain::{BudgetPeriod, Clock as _, Money, Nanos, SystemClock};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tests::harness::{Chat, HarnessError, Installation, Outcome, REDIS_URL, Server, create_database, needed};
use tokio::task::JoinSet;

/// Clients that ask at the same time.
const CLIENTS: usize = 200;
/// Requests that the caps pay for when nothing goes wrong.
const REQUESTS: u64 = 300;
/// Gateways killed during a storm.
const KILLS: usize = 4;
/// A storm that has not emptied the cap by then is over; what is left is spent afterwards.
const STORM_MAX: Duration = Duration::from_secs(15);
/// Holds of requests that a kill took away before the journal knew of them end by themselves: after the longest
/// life of a request, which the test sets to two seconds, and the minute that the gateway adds.
const QUIET_MAX: Duration = Duration::from_secs(75);
/// Output bound of a usual request. Unit: tokens.
const OUTPUT_TOKENS: u32 = 20;

/// Half a millisecond a token: long enough to be left and killed in the middle.
const CONFIG: &str = "[[model]]\nname = \"demo\"\nsource = \"sim\"\nqueue_jobs_max = 2000\n\
    [model.sim]\nseed = 5\ndecode_step_us = 500\n";
/// Prices of a few billionths a token, so that a cap can be met to the last one, and crooked ones, so that rounding up
/// happens at every request. No class of latency: a storm must not be refused for being slow.
const PLAN: &str = "name = \"caps\"\nversion = 1\ncurrency = \"USD\"\n[slo]\nclass = \"batch\"\n\
    [[price]]\nmodel = \"demo\"\ninput_per_mtok = \"0.0013\"\noutput_per_mtok = \"0.0027\"\n";
/// The same prices in billionths.
const INPUT_NANOS_PER_MTOK: u64 = 1_300_000;
const OUTPUT_NANOS_PER_MTOK: u64 = 2_700_000;

/// What a request is charged: the exact amount, rounded up to whole billionths.
fn charge(prompt: u64, output: u64) -> u64 {
    (prompt * INPUT_NANOS_PER_MTOK + output * OUTPUT_NANOS_PER_MTOK).div_ceil(1_000_000)
}

/// What bounds the spending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cap {
    Budget,
    Balance,
}

/// Gateways in front of one ledger, each with a journal of its own.
struct Fleet {
    gateways: Vec<(Installation, Option<Server>)>,
    /// Where each one listens now; a killed one's address stays until it is back.
    urls: Arc<Mutex<Vec<String>>>,
    ledger: Ledger,
}

impl Fleet {
    /// One gateway on SQLite with limits in its own memory.
    async fn alone() -> Outcome<Self> {
        let installation = Installation::new(CONFIG)?.with("SERVER__REQUEST_SECONDS_MAX", "2");
        let path = installation.folder().join("data/ledger.sqlite");
        Self::start(vec![installation], &format!("sqlite://{}", path.display())).await
    }

    /// Three gateways that share PostgreSQL and Redis. `None`: they are not there.
    async fn shared() -> Outcome<Option<Self>> {
        let (Some(ledger), Some(redis)) = (create_database().await?, needed(REDIS_URL)) else {
            return Ok(None);
        };
        let mut installations = Vec::new();
        for _ in 0..3 {
            let installation = Installation::new(CONFIG)?
                .with("SERVER__REQUEST_SECONDS_MAX", "2")
                .with("LEDGER__URL", &ledger)
                .with("LIMITS__STORE", "redis")
                .with("LIMITS__REDIS__URL", &redis);
            installations.push(installation);
        }
        Self::start(installations, &ledger).await.map(Some)
    }

    async fn start(installations: Vec<Installation>, ledger_url: &str) -> Outcome<Self> {
        let mut gateways = Vec::new();
        let mut urls = Vec::new();
        for mut installation in installations {
            let server = installation.start().await?;
            urls.push(server.banner().base_url.clone());
            gateways.push((installation, Some(server)));
        }
        let ledger = Ledger::connect(ledger_url).await.expect("the ledger that the gateways made");
        let installation = &gateways[0].0;
        let plan = installation.folder().join("plan.toml");
        std::fs::write(&plan, PLAN).map_err(HarnessError::io("plan.toml"))?;
        installation.run(&["plan", "publish", &plan.display().to_string()])?;
        installation.run(&["tenant", "create", "capped", "--plan", "caps"])?;
        Ok(Self { gateways, urls: Arc::new(Mutex::new(urls)), ledger })
    }

    /// A key of the tenant, once every gateway knows it and the cap.
    async fn key(&self, cap: Option<(Cap, u64)>, limits: Limits) -> Outcome<String> {
        let tenant = self.ledger.find_tenant("capped").await.expect("the ledger").expect("the tenant");
        let mut limits = limits;
        match cap {
            Some((Cap::Budget, amount)) => {
                limits.budget = Some(Budget { amount: Nanos::new(amount), period: BudgetPeriod::Month });
            }
            Some((Cap::Balance, amount)) => {
                let terms = TenantTerms { billing: BillingMode::Prepaid, ..TenantTerms::default() };
                self.ledger.set_tenant_terms(tenant.id, terms).await.expect("terms");
                let amount = Money::from_nanos(amount.into(), tenant.currency);
                let grant = NewGrant::paid(amount, "first", "");
                self.ledger.add_grant(tenant.id, &grant, SystemClock.now()).await.expect("a grant");
            }
            None => {}
        }
        if limits != Limits::default() {
            self.ledger.set_limits(tenant.id, &LimitScope::Tenant, None, limits).await.expect("limits");
        }
        let key = self.gateways[0].0.create_key("capped", &[])?;
        for (_, server) in &self.gateways {
            server.as_ref().expect("it lives").knows(&key).await?;
        }
        Ok(key)
    }

    fn url(&self, number: usize) -> String {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner)[number].clone()
    }

    /// Kills gateways at random instants and starts each again.
    async fn kill_some(&mut self, random: &mut ChaCha8Rng) -> Outcome {
        for _ in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(random.random_range(200..900))).await;
            let number = random.random_range(0..self.gateways.len());
            let (installation, server) = &mut self.gateways[number];
            server.take().expect("it lives").kill()?;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
            let started = installation.start().await?;
            self.urls.lock().unwrap_or_else(PoisonError::into_inner)[number] =
                started.banner().base_url.clone();
            *server = Some(started);
        }
        Ok(())
    }

    /// Lets all gateways end, which ships every record, and gives the records.
    async fn records(&mut self) -> Outcome<Vec<Value>> {
        for (_, server) in &mut self.gateways {
            let server = server.take().expect("it lives");
            assert!(server.stop().await?.success(), "a drained gateway ends well");
        }
        let records = self.gateways[0].0.records("capped")?;
        Ok(records.into_iter().map(|mut line| line["record"].take()).collect())
    }
}

/// What a client saw of one request.
#[derive(Clone, Debug)]
enum Seen {
    Whole {
        request_id: String,
        prompt: u64,
        output: u64,
    },
    Refused {
        request_id: String,
        status: u16,
        code: String,
    },
    /// It left, or the gateway was killed under it.
    Open,
}

fn request(text: &str, tokens_max: u32) -> Value {
    let mut request = Chat::request(text, tokens_max);
    request["ignore_eos"] = json!(true);
    request
}

async fn ask(base_url: &str, key: &str, request: &Value) -> Outcome<Seen> {
    let answer = match Chat::new(base_url, key).send(request).await {
        Ok(answer) => answer,
        Err(HarnessError::Http(_) | HarnessError::Json { .. }) => return Ok(Seen::Open),
        Err(error) => return Err(error),
    };
    let request_id = answer.header("x-request-id").to_owned();
    let status = answer.status.as_u16();
    if status != 200 {
        return Ok(Seen::Refused { request_id, status, code: answer.code().to_owned() });
    }
    let count = |name: &str| answer.body["usage"][name].as_u64().expect("a count");
    Ok(Seen::Whole { request_id, prompt: count("prompt_tokens"), output: count("completion_tokens") })
}

/// Asks again where Redis was too slow to decide, as 200 clients on a busy machine make it.
async fn ask_until_decided(base_url: &str, key: &str, request: &Value) -> Outcome<Seen> {
    let asked = Instant::now();
    loop {
        let seen = ask(base_url, key, request).await?;
        let is_undecided = matches!(&seen, Seen::Refused { status: 503, .. });
        if !is_undecided || asked.elapsed() > STORM_MAX {
            return Ok(seen);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether a refusal says that the money is spent, or held by requests that run. Being slow or away is another matter.
fn is_of_cap(seen: &Seen) -> bool {
    const CODES: [&str; 4] = ["budget_exceeded", "insufficient_balance", "budget_held", "balance_held"];
    matches!(seen, Seen::Refused { code, .. } if CODES.contains(&code.as_str()))
}

/// Sums of the records, by this file's own arithmetic.
fn spent(records: &[Value]) -> u64 {
    let mut spent = 0;
    for record in records {
        let count = |name: &str| record[name].as_u64().unwrap_or(0);
        let is_billed = record["reason"] == "completed" || record["reason"] == "client_gone";
        let expected = if is_billed { charge(count("prompt_tokens"), count("output_tokens")) } else { 0 };
        assert_eq!(count("charge_nanos"), expected, "{record}");
        spent += expected;
    }
    spent
}

/// Every whole answer has its record, no refusal has one, and no request has two.
fn check_records(seen: &[Seen], records: &[Value]) {
    let mut by_id = BTreeMap::new();
    for record in records {
        let id = record["request_id"].as_str().expect("an id");
        assert!(by_id.insert(id, record).is_none(), "two records of one request: {record}");
    }
    for seen in seen {
        match seen {
            Seen::Whole { request_id, prompt, output } => {
                let record =
                    by_id.get(request_id.as_str()).unwrap_or_else(|| panic!("no record of {seen:?}"));
                assert_eq!(record["reason"], "completed", "{record}");
                assert_eq!(
                    (&record["prompt_tokens"], &record["output_tokens"]),
                    (&json!(prompt), &json!(output))
                );
            }
            Seen::Refused { request_id, .. } => {
                assert!(!by_id.contains_key(request_id.as_str()), "a refused request has a record: {seen:?}");
            }
            Seen::Open => {}
        }
    }
}

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()));
    let seed = std::env::var("TALLYGATE_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(now);
    println!("seed {seed}: set TALLYGATE_TEST_SEED={seed} to repeat");
    seed
}

/// Prompt tokens of a text, as the gateway counts them.
async fn prompt_tokens(fleet: &Fleet, text: &str) -> Outcome<u64> {
    let installation = &fleet.gateways[0].0;
    installation.run(&["tenant", "create", "meter", "--plan", "caps"])?;
    let key = installation.create_key("meter", &[])?;
    let server = fleet.gateways[0].1.as_ref().expect("it lives");
    server.knows(&key).await?;
    match ask(&fleet.url(0), &key, &request(text, 1)).await? {
        Seen::Whole { prompt, .. } => Ok(prompt),
        other @ (Seen::Refused { .. } | Seen::Open) => panic!("{other:?}"),
    }
}

/// A cap for exactly so many requests lets exactly so many through, whoever asks where.
async fn exactly(mut fleet: Fleet, cap: Cap) -> Outcome {
    let one = charge(prompt_tokens(&fleet, "hello").await?, u64::from(OUTPUT_TOKENS));
    let amount = one * REQUESTS;
    let key = fleet.key(Some((cap, amount)), Limits::default()).await?;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (url, key) = (fleet.url(client % fleet.gateways.len()), key.clone());
        clients.spawn(async move {
            let mut seen = Vec::new();
            // Three times as much as the cap pays for.
            for _ in 0..REQUESTS.div_ceil(CLIENTS as u64) * 2 {
                seen.push(ask_until_decided(&url, &key, &request("hello", OUTPUT_TOKENS)).await?);
            }
            Outcome::Ok(seen)
        });
    }
    let mut seen = Vec::new();
    while let Some(client) = clients.join_next().await {
        seen.extend(client.expect("no client panics")?);
    }
    let records = fleet.records().await?;
    check_records(&seen, &records);
    let whole = seen.iter().filter(|seen| matches!(seen, Seen::Whole { .. })).count();
    let others: BTreeSet<_> = seen
        .iter()
        .filter(|seen| !is_of_cap(seen))
        .filter_map(|seen| match seen {
            Seen::Refused { status, code, .. } => Some(format!("{status} {code}")),
            Seen::Open => Some("lost".to_owned()),
            Seen::Whole { .. } => None,
        })
        .collect();
    assert!(others.is_empty(), "refused for another reason: {others:?}");
    assert_eq!((whole as u64, spent(&records)), (REQUESTS, amount), "{cap:?}");
    Ok(())
}

/// Clients of a storm: whole answers, streams, early leavers, all sizes.
async fn rage(
    urls: Arc<Mutex<Vec<String>>>,
    key: String,
    seed: u64,
    is_over: Arc<AtomicBool>,
) -> Outcome<Vec<Seen>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut seen = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let url = {
            let urls = urls.lock().unwrap_or_else(PoisonError::into_inner);
            urls[random.random_range(0..urls.len())].clone()
        };
        let body =
            request(&"x".repeat(random.random_range(1..30)), random.random_range(1..2 * OUTPUT_TOKENS));
        let asked = ask(&url, &key, &body);
        let outcome = match random.random_range(0..10) {
            0..3 => {
                let wait = Duration::from_millis(random.random_range(0..30));
                tokio::time::timeout(wait, asked).await.unwrap_or(Ok(Seen::Open))?
            }
            _ => asked.await?,
        };
        if !matches!(outcome, Seen::Whole { .. }) {
            tokio::time::sleep(Duration::from_millis(random.random_range(5..40))).await;
        }
        seen.push(outcome);
    }
    Ok(seen)
}

/// Whatever clients and kills do, no more than the cap is spent; and when all is quiet nothing is held any more: what
/// is left can be spent to the last token.
async fn storm(mut fleet: Fleet, cap: Cap) -> Outcome {
    let seed = seed();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let prompt = prompt_tokens(&fleet, "hello").await?;
    let amount = charge(prompt, u64::from(OUTPUT_TOKENS)) * REQUESTS * 10;
    let key = fleet.key(Some((cap, amount)), Limits::default()).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (urls, is_over) = (Arc::clone(&fleet.urls), Arc::clone(&is_over));
        clients.spawn(rage(urls, key.clone(), random.random(), is_over));
    }
    let started = Instant::now();
    fleet.kill_some(&mut random).await?;
    // Until one more request finds nothing left, or long enough.
    while started.elapsed() < STORM_MAX {
        let probe = ask(&fleet.url(0), &key, &request("hello", 1)).await?;
        if is_of_cap(&probe) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let mut seen = Vec::new();
    while let Some(client) = clients.join_next().await {
        seen.extend(client.expect("no client panics")?);
    }
    let least = charge(prompt, 1);
    let after = spend_the_rest(&fleet, &key, (amount, least)).await?;
    println!("{} requests in the storm, {} after it", seen.len(), after.len());
    seen.extend(after);

    let records = fleet.records().await?;
    check_records(&seen, &records);
    let spent = spent(&records);
    let reasons = records.iter().map(|record| record["reason"].as_str().unwrap_or("")).fold(
        BTreeMap::<_, usize>::new(),
        |mut reasons, reason| {
            *reasons.entry(reason).or_default() += 1;
            reasons
        },
    );
    println!("{cap:?}: {spent} of {amount} spent by {} records: {reasons:?}", records.len());
    assert!(spent <= amount, "{spent} of {amount} were spent");
    assert!(spent + least > amount, "{} of {amount} are held by nobody and spent by nobody", amount - spent);
    Ok(())
}

/// Asks for much at every gateway until not even one token can be paid for.
///
/// Holds of killed requests end when their records arrive, or by themselves: what is refused now may be paid later.
async fn spend_the_rest(fleet: &Fleet, key: &str, (amount, least): (u64, u64)) -> Outcome<Vec<Seen>> {
    let quiet = Instant::now();
    let mut seen = Vec::new();
    loop {
        for number in 0..fleet.gateways.len() {
            while seen.last().is_none_or(|last| !is_of_cap(last)) && quiet.elapsed() < QUIET_MAX {
                seen.push(ask(&fleet.url(number), key, &request("hello", 1_000)).await?);
            }
            seen.push(ask(&fleet.url(number), key, &request("hello", 1_000)).await?);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let records = fleet.gateways[0].0.records("capped")?;
        let records: Vec<_> = records.into_iter().map(|mut line| line["record"].take()).collect();
        if spent(&records) + least > amount || quiet.elapsed() > QUIET_MAX {
            return Ok(seen);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_pays_for_exactly_so_many_requests_in_one_process() -> Outcome {
    exactly(Fleet::alone().await?, Cap::Budget).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_pays_for_exactly_so_many_requests_in_one_process() -> Outcome {
    exactly(Fleet::alone().await?, Cap::Balance).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_pays_for_exactly_so_many_requests_in_three_gateways() -> Outcome {
    let Some(fleet) = Fleet::shared().await? else { return Ok(()) };
    exactly(fleet, Cap::Budget).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_pays_for_exactly_so_many_requests_in_three_gateways() -> Outcome {
    let Some(fleet) = Fleet::shared().await? else { return Ok(()) };
    exactly(fleet, Cap::Balance).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_storm_passes_a_budget_of_three_gateways() -> Outcome {
    let Some(fleet) = Fleet::shared().await? else { return Ok(()) };
    storm(fleet, Cap::Budget).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_storm_passes_a_balance_of_three_gateways() -> Outcome {
    let Some(fleet) = Fleet::shared().await? else { return Ok(()) };
    storm(fleet, Cap::Balance).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_storm_passes_a_balance_in_one_process() -> Outcome {
    storm(Fleet::alone().await?, Cap::Balance).await
}

/// Limits of a minute are one bucket for all gateways: not one for each.
#[tokio::test(flavor = "multi_thread")]
async fn limits_do_not_grow_with_the_number_of_gateways() -> Outcome {
    const REQUESTS_PER_MINUTE: u64 = 30;
    const TOKENS_PER_MINUTE: u64 = 3_000;
    let rows = [
        Limits { requests_per_minute: Some(REQUESTS_PER_MINUTE), ..Limits::default() },
        Limits { requests_per_day: Some(REQUESTS_PER_MINUTE), ..Limits::default() },
        Limits { tokens_per_minute: Some(TOKENS_PER_MINUTE), ..Limits::default() },
    ];
    for limits in rows {
        let Some(mut fleet) = Fleet::shared().await? else { return Ok(()) };
        let each = prompt_tokens(&fleet, "hello").await? + u64::from(OUTPUT_TOKENS);
        let key = fleet.key(None, limits).await?;
        let started = Instant::now();
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (url, key) = (fleet.url(client % fleet.gateways.len()), key.clone());
            clients.spawn(async move { ask(&url, &key, &request("hello", OUTPUT_TOKENS)).await });
        }
        let mut seen = Vec::new();
        while let Some(client) = clients.join_next().await {
            seen.push(client.expect("no client panics")?);
        }
        let seconds = started.elapsed().as_secs() + 1;
        let records = fleet.records().await?;
        check_records(&seen, &records);
        let admitted = records.len() as u64;
        // A full bucket, and what flowed in meanwhile.
        let (at_once, later) = match (limits.requests_per_minute, limits.requests_per_day) {
            (Some(_), _) => (REQUESTS_PER_MINUTE, (REQUESTS_PER_MINUTE * seconds).div_ceil(60)),
            (_, Some(_)) => (REQUESTS_PER_MINUTE, 0),
            _ => (TOKENS_PER_MINUTE / each, (TOKENS_PER_MINUTE * seconds).div_ceil(60 * each)),
        };
        println!("{limits:?}: {admitted} admitted of {CLIENTS} in {seconds} s");
        assert!(
            (at_once..=at_once + later).contains(&admitted),
            "{admitted} admitted, {at_once} + {later} may be"
        );
    }
    Ok(())
}
