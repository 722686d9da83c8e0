//! What a reload can change under running requests, as one whole: backends, bounds and times.
//! Never half of a change, and never a part that runs: a request takes the whole and keeps it to its end.
//! Held by `App`; made by `cli::serve` at the start and by `reload` later.

use std::time::Duration;

use crate::{admit::WhenLate, config::Config, dispatch::Backends};

/// What the configuration says about serving.
#[derive(Debug)]
pub struct Serving {
    /// What serves models.
    pub backends: Backends,
    /// Largest request body. Unit: bytes.
    pub body_bytes_max: u32,
    /// Longest life of one request.
    pub request_time_max: Duration,
    /// Longest silence of a stream before its headers or a keep-alive are sent.
    pub stream_silence_max: Duration,
    /// Longest wait for running streams when stopping.
    pub drain_time_max: Duration,
    /// How long responses are stored.
    pub response_retention: Duration,
    /// How long an Idempotency-Key is remembered.
    pub idempotency_retention: Duration,
    /// What becomes of a request whose class cannot be met now.
    pub when_late: WhenLate,
}

impl Serving {
    /// As configured, over backends that were built from the same configuration.
    pub fn new(config: &Config, backends: Backends) -> Self {
        let seconds = |count: u32| Duration::from_secs(u64::from(count));
        let server = &config.server;
        Self {
            backends,
            body_bytes_max: server.body_bytes_max,
            request_time_max: seconds(server.request_seconds_max),
            stream_silence_max: Duration::from_millis(u64::from(server.stream_silence_ms_max)),
            drain_time_max: seconds(server.drain_seconds),
            response_retention: Duration::from_secs(u64::from(server.response_days) * 24 * 3_600),
            idempotency_retention: seconds(server.idempotency_seconds),
            when_late: config.slo.when_late,
        }
    }
}
