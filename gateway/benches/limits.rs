//! Measures one admission, taken, settled and freed, in process and in Redis, side by side in one run.
//! Never asserts a figure: a benchmark that fails on a busy machine teaches people to ignore it.
//! Run with `cargo bench -p gateway --bench limits`; it starts a `redis-server` of its own and stops it.

#![expect(clippy::print_stdout, reason = "a benchmark's table is its result")]

use std::{
    error::Error,
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{Clock as _, KeyId, RequestId, SystemClock, TenantId, Timestamp};
use gateway::admit::{
    AmountKind, AmountLimit, Ask, AwayPolicy, LimitSet, Limits, Node, NodeId, RedisAddress, Scope, Used,
};

/// How long each row of the table is measured.
const MEASURE: Duration = Duration::from_secs(3);
/// Tasks that take and settle at the same time.
const TASKS: [usize; 4] = [1, 16, 64, 256];
/// Tenants among which the tasks are spread.
const TENANTS: usize = 16;
/// A Redis answers within this after its start.
const START_MAX: Duration = Duration::from_secs(10);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    // `cargo test --benches` runs this program too; only `cargo bench` means it.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not measured: run it with `cargo bench -p gateway --bench limits`");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let server = Server::start()?;
    let address = RedisAddress::new(&server.url, None)?;
    let redis = runtime.block_on(async { Limits::shared(address, AwayPolicy::Closed) });
    println!("one admission: take at tenant and key (two rates, two amounts, places), settle, free");
    println!("{:<24}{:>14}{:>12}{:>12}", "store", "admissions/s", "take p50 µs", "take p99 µs");
    for tasks in TASKS {
        for (store, limits) in [("in process", Limits::local()), ("Redis", redis.clone())] {
            let (rate, p50, p99) = runtime.block_on(measure(&limits, tasks))?;
            println!("{:<24}{rate:>14}{p50:>12}{p99:>12}", format!("{store}, {tasks} tasks"));
        }
    }
    Ok(())
}

/// Admissions per second, and the median and the 99th percentile of a take.
async fn measure(limits: &Limits, tasks: usize) -> Outcome<(u128, u128, u128)> {
    let tenants: Vec<TenantId> = (0..TENANTS).map(|_| TenantId::generate(SystemClock.now())).collect();
    let nodes: Arc<[Node]> = nodes()?.into();
    for tenant_id in &tenants {
        let amounts = nodes
            .iter()
            .flat_map(|node| node.limits.amounts.iter().map(|amount| (amount.cache_key(&node.id), 0)));
        limits.seed(*tenant_id, &amounts.collect::<Vec<_>>()).await?;
    }
    let began = Instant::now();
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let (limits, nodes) = (limits.clone(), Arc::clone(&nodes));
            let tenant_id = tenants[task % TENANTS];
            tokio::spawn(async move {
                let mut spans = Vec::new();
                while began.elapsed() < MEASURE {
                    let ask = Ask {
                        request_id: RequestId::generate(SystemClock.now()),
                        tenant_id,
                        nodes: nodes.to_vec(),
                        tokens: 100,
                        hold_nanos: 1_000,
                        ttl: Duration::from_secs(600),
                    };
                    let start = Instant::now();
                    let taken = limits.take(&ask).await?;
                    spans.push(start.elapsed());
                    taken.reservation.settle(Used { tokens: 60, charge_nanos: 600 }).await;
                }
                Outcome::Ok(spans)
            })
        })
        .collect();
    let mut spans = Vec::new();
    for task in running {
        spans.extend(task.await??);
    }
    let took = began.elapsed();
    spans.sort_unstable();
    let at = |percent: usize| {
        let index = (spans.len() * percent / 100).min(spans.len().saturating_sub(1));
        spans.get(index).map_or(0, Duration::as_micros)
    };
    Ok((spans.len() as u128 * 1_000_000 / took.as_micros().max(1), at(50), at(99)))
}

fn nodes() -> Outcome<Vec<Node>> {
    let limits = |kind| LimitSet {
        requests_per_minute: Some(1_000_000_000),
        tokens_per_minute: Some(100_000_000_000),
        requests_per_day: None,
        concurrency: Some(100_000),
        amounts: vec![AmountLimit {
            kind,
            window_start: Timestamp::from_unix_micros(0),
            limit_nanos: i64::MAX,
            resets_at: None,
        }],
    };
    let node = |id, scope, kind| Node { id, scope, model: None, limits: limits(kind) };
    Ok(vec![
        node(NodeId::tenant(), Scope::Tenant, AmountKind::Balance),
        node(NodeId::key(&KeyId::new("k3y9zq7bmd5w")?), Scope::Key, AmountKind::Budget),
    ])
}

/// A Redis of the benchmark's own.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Outcome<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        let child = command.current_dir(std::env::temp_dir()).stdout(Stdio::null()).spawn()?;
        let server = Self { child, url: format!("redis://127.0.0.1:{port}/") };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if started.elapsed() > START_MAX {
                return Err("redis-server does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; the table is printed all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
