//! The load generator: connections that each send a request, read its whole answer, and send the next.
//! Never waits between requests and never retries; a failed request ends its connection and is counted.
//! Called by `lanes` and `scenarios`.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};

use crate::http::Wire;

/// An answer of any scenario takes less; without a bound one lost answer would stop the benchmark.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Where requests go, and the bytes of one.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    request: Arc<Vec<u8>>,
}

impl Target {
    /// A chat completion with a key; without one, the mock backend's.
    pub(crate) fn new(address: SocketAddr, key: Option<&str>, body: &str) -> Self {
        let key = key.map_or_else(String::new, |key| format!("authorization: Bearer {key}\r\n"));
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\n{key}content-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { address, request: Arc::new(request.into_bytes()) }
    }

    /// One connection to it.
    pub(crate) async fn connect(&self) -> io::Result<Client> {
        let wire = Wire::new(TcpStream::connect(self.address).await?)?;
        Ok(Client { wire, target: self.clone(), is_closed: false })
    }

    /// Loads it from many connections for a while.
    ///
    /// Errors: not one connection can be made.
    pub(crate) async fn load(&self, connections: usize, time: Duration) -> io::Result<Load> {
        // All connections are there before the clock starts.
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            clients.push(self.connect().await?);
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let mut running = JoinSet::new();
        let started = Instant::now();
        for client in clients {
            running.spawn(repeat(client, Arc::clone(&is_over)));
        }
        tokio::time::sleep(time).await;
        is_over.store(true, Ordering::Relaxed);
        let mut load = Load::default();
        while let Some(joined) = running.join_next().await {
            let part = joined.map_err(io::Error::other)?;
            load.answers.extend(part.answers);
            load.failures.extend(part.failures);
        }
        load.took = started.elapsed();
        Ok(load)
    }
}

async fn repeat(mut client: Client, is_over: Arc<AtomicBool>) -> Load {
    let mut load = Load::default();
    while !is_over.load(Ordering::Relaxed) {
        match client.ask(|_| {}).await {
            Ok(answer) => load.answers.push(answer),
            Err(error) => {
                load.failures.push(error.to_string());
                break;
            }
        }
    }
    load
}

/// One connection.
pub(crate) struct Client {
    wire: Wire,
    target: Target,
    /// The server said that it would close: the next request takes a new connection.
    is_closed: bool,
}

impl Client {
    /// Sends the request and reads its answer, showing each part of the body. A new connection is part of the time.
    ///
    /// Errors: the connection breaks; the answer takes too long. Any status is an answer.
    pub(crate) async fn ask(&mut self, part: impl FnMut(&[u8])) -> io::Result<Answer> {
        tokio::time::timeout(ANSWER_MAX, self.ask_unbounded(part)).await?
    }

    async fn ask_unbounded(&mut self, mut part: impl FnMut(&[u8])) -> io::Result<Answer> {
        let sent = Instant::now();
        if self.is_closed {
            *self = self.target.connect().await?;
        }
        self.wire.stream().write_all(&self.target.request).await?;
        let closed = || io::Error::new(io::ErrorKind::UnexpectedEof, "closed instead of an answer");
        let head = self.wire.head().await?.ok_or_else(closed)?;
        let mut first = None;
        let body = self.wire.body(&head, |bytes| {
            first.get_or_insert_with(|| sent.elapsed());
            part(bytes);
        });
        body.await?;
        self.is_closed = head.is_last;
        let total = sent.elapsed();
        Ok(Answer { status: head.status(), first: first.unwrap_or(total), total })
    }
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Until the first byte of the body.
    pub(crate) first: Duration,
    /// Until its last byte.
    pub(crate) total: Duration,
}

/// What a load brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    pub(crate) answers: Vec<Answer>,
    pub(crate) failures: Vec<String>,
    pub(crate) took: Duration,
}

impl Load {
    /// Adds a later round of the same load.
    pub(crate) fn add(&mut self, other: Self) {
        self.answers.extend(other.answers);
        self.failures.extend(other.failures);
        self.took += other.took;
    }

    /// Answers with another status, and broken connections.
    pub(crate) fn unexpected(&self, status: u16) -> usize {
        self.failures.len() + self.answers.iter().filter(|answer| answer.status != status).count()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.answers.len() as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Microseconds until the first byte, sorted.
    pub(crate) fn first_us(&self) -> Sorted {
        Sorted::new(self.answers.iter().map(|answer| micros(answer.first)))
    }

    /// Microseconds until the last byte, sorted.
    pub(crate) fn total_us(&self) -> Sorted {
        Sorted::new(self.answers.iter().map(|answer| micros(answer.total)))
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Figures in order.
#[derive(Clone, Debug)]
pub(crate) struct Sorted(Vec<u64>);

impl Sorted {
    pub(crate) fn new(figures: impl Iterator<Item = u64>) -> Self {
        let mut figures: Vec<u64> = figures.collect();
        figures.sort_unstable();
        Self(figures)
    }

    /// The nearest rank; 0 without figures.
    pub(crate) fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(0)
    }

    pub(crate) fn max(&self) -> u64 {
        self.0.last().copied().unwrap_or(0)
    }
}
