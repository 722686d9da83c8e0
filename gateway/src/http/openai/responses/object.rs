//! The response object: what a request repeated, what came of it, and what it used.
//! Never measures; every figure comes from the usage record.
//! Called by the route and the events of responses.

use domain::{RequestId, Timestamp, UsageRecord};
use serde_json::{Map, Value, json};

use crate::{
    http::{ApiError, measured::Measured, run::Running, wish},
    stream::Stop,
};

/// What all forms of one response share.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) id: String,
    /// What ids of items are made of.
    pub(super) request: String,
    created_at: i64,
    model: String,
    echo: Map<String, Value>,
}

impl Envelope {
    /// The envelope of a running request.
    pub(super) fn of(running: &Running, echo: Map<String, Value>) -> Self {
        Self::new(running.request_id, running.started_at, &running.model, echo)
    }

    /// The envelope of a request that was read at this time of day.
    pub(super) fn new(id: RequestId, started_at: Timestamp, model: &str, echo: Map<String, Value>) -> Self {
        let created_at = started_at.unix_micros().div_euclid(1_000_000);
        Self { id: format!("resp_{id}"), request: id.to_string(), created_at, model: model.to_owned(), echo }
    }

    /// A response that runs: nothing said yet.
    pub(super) fn running(&self) -> Value {
        self.with("in_progress", Map::new())
    }

    /// A response that ended, with what was said.
    pub(super) fn ended(&self, stop: &Stop, output: Vec<Value>, record: &UsageRecord) -> Value {
        let reason = match stop {
            Stop::Length => Some("max_output_tokens"),
            Stop::ContentFilter => Some("content_filter"),
            Stop::Done | Stop::StopText(_) | Stop::ToolCalls => None,
        };
        let finished_at = record.finished_at.unix_micros().div_euclid(1_000_000);
        let mut fields = Map::new();
        fields.insert("output".to_owned(), output.into());
        fields.insert("usage".to_owned(), usage(record));
        fields.insert("service_tier".to_owned(), wish::tier(record.slo.class).into());
        match reason {
            Some(reason) => fields.insert("incomplete_details".to_owned(), json!({"reason": reason})),
            None => fields.insert("completed_at".to_owned(), finished_at.into()),
        };
        self.with(status(stop), fields)
    }

    /// A response that broke off.
    pub(super) fn failed(&self, error: &ApiError) -> Value {
        // The few words that clients of this form know.
        let code = match error.status().as_u16() {
            429 => "rate_limit_exceeded",
            400 => "invalid_prompt",
            _ => "server_error",
        };
        let shown = error.to_openai();
        let shown = json!({
            "code": code, "message": error.message(), "type": shown["error"]["type"], "param": error.param(),
            "origin": shown["error"]["origin"],
        });
        self.with("failed", Map::from_iter([("error".to_owned(), shown)]))
    }

    fn with(&self, status: &str, fields: Map<String, Value>) -> Value {
        let mut response = self.echo.clone();
        let own = json!({
            "id": self.id, "object": "response", "created_at": self.created_at, "model": self.model,
            "status": status, "completed_at": null, "error": null, "incomplete_details": null, "output": [],
            "usage": null,
        });
        if let Value::Object(own) = own {
            response.extend(own);
        }
        response.extend(fields);
        Value::Object(response)
    }
}

/// The kind of the event, and the word for the state, of a response that ended so.
pub(super) fn status(stop: &Stop) -> &'static str {
    match stop {
        Stop::Length | Stop::ContentFilter => "incomplete",
        Stop::Done | Stop::StopText(_) | Stop::ToolCalls => "completed",
    }
}

fn usage(record: &UsageRecord) -> Value {
    json!({
        "input_tokens": record.prompt_tokens,
        "input_tokens_details": {"cached_tokens": record.cached_prompt_tokens, "cache_write_tokens": 0},
        "output_tokens": record.output_tokens,
        "output_tokens_details": {"reasoning_tokens": record.reasoning_tokens},
        "total_tokens": record.prompt_tokens.get().saturating_add(record.output_tokens.get()),
        "tallygate": Measured::of(record),
    })
}
