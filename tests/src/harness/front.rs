//! A gateway in front of a server that the test tells what to do, with one tenant and its key.
//! Never an engine: every model runs there.
//! Made by tests of what becomes of requests and answers between a client's dialect and a backend's.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Installation, Outcome, Server, Upstream};

/// The shipper commits within a second; a busy machine takes longer.
const SHIPPED_MAX: Duration = Duration::from_secs(30);

/// A gateway and what it stands in front of.
#[derive(Debug)]
pub struct Front {
    /// The gateway's.
    pub installation: Installation,
    /// The gateway.
    pub server: Server,
    /// What runs its model `demo`.
    pub upstream: Upstream,
    /// A key of the tenant `demo`.
    pub key: String,
}

impl Front {
    /// Both started; `lines` go into the backend.
    ///
    /// Errors: one of them does not start.
    pub async fn start(lines: &str) -> Outcome<Self> {
        let upstream = Upstream::start().await?;
        let mut installation = Installation::new(&upstream.config("up", lines))?;
        let server = installation.start().await?;
        let key = server.banner().api_key.clone().unwrap_or_default();
        Ok(Self { installation, server, upstream, key })
    }

    /// All usage records, oldest first, once there are at least so many.
    ///
    /// Errors: the ledger cannot be asked.
    pub async fn records(&self, count: usize) -> Outcome<Vec<Value>> {
        let asked = Instant::now();
        loop {
            let lines = self.installation.records("demo")?;
            if lines.len() >= count || asked.elapsed() > SHIPPED_MAX {
                let mut records: Vec<_> = lines.into_iter().map(|mut line| line["record"].take()).collect();
                records.sort_by_key(|record| record["started_unix_us"].as_i64());
                return Ok(records);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Usage as a backend may state it: some of the prompt was cached, some of the output was thought.
pub fn stated_usage() -> Value {
    json!({
        "prompt_tokens": 40, "completion_tokens": 12, "total_tokens": 52,
        "prompt_tokens_details": {"cached_tokens": 16}, "completion_tokens_details": {"reasoning_tokens": 5},
    })
}

/// The record of a completed request for which a [`Front`]'s backend stated [`stated_usage`].
///
/// # Panics
/// When it says anything else.
pub fn check_stated_record(record: &Value) {
    let counts = ["prompt_tokens", "cached_prompt_tokens", "output_tokens", "reasoning_tokens"];
    let found = counts.map(|name| record[name].as_u64().unwrap_or_default());
    assert_eq!((found, &record["reason"]), ([40, 16, 12, 5], &json!("completed")), "{record}");
    assert_eq!((&record["usage_source"], &record["backend"]), (&json!("upstream"), &json!("up")), "{record}");
}
