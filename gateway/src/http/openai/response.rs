//! The answers of chat completions: the whole one, and the parts of a stream.
//! Never measures; every figure comes from the usage record.
//! Called by `chat` and `sse`.

use domain::{Micros, RequestId, UsageRecord};
use serde::Serialize;
use serde_json::{Value, json};

use crate::stream::Stop;

/// What all parts of one answer share.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    id: String,
    created: i64,
    model: String,
}

/// The figures of one request in OpenAI's form, with ours beside them.
#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: Value,
    completion_tokens_details: Value,
    tallygate: Value,
}

impl Envelope {
    /// The envelope of a request that was read at this time of day.
    pub(super) fn new(request_id: RequestId, started_at: domain::Timestamp, model: &str) -> Self {
        Self {
            id: format!("chatcmpl-{request_id}"),
            created: started_at.unix_micros().div_euclid(1_000_000),
            model: model.to_owned(),
        }
    }

    /// The whole answer.
    pub(super) fn whole(&self, text: &str, stop: Stop, record: &UsageRecord) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": null},
                "logprobs": null,
                "finish_reason": finish_reason(stop),
            }],
            "usage": usage(record),
        })
    }

    /// The first part of a stream: the role.
    pub(super) fn first(&self) -> Value {
        self.part(&json!({"role": "assistant", "content": ""}), &Value::Null)
    }

    /// A part with text.
    pub(super) fn text(&self, text: &str) -> Value {
        self.part(&json!({"content": text}), &Value::Null)
    }

    /// The part that says why the answer ended; carries our figures whether usage was asked for or not.
    pub(super) fn last(&self, stop: Stop, record: &UsageRecord) -> Value {
        let mut part = self.part(&json!({}), &json!(finish_reason(stop)));
        part["tallygate"] = measured(record);
        part
    }

    /// The part that `stream_options.include_usage` asks for: no choice, only usage.
    pub(super) fn usage(&self, record: &UsageRecord) -> Value {
        let mut part = self.part(&json!({}), &Value::Null);
        part["choices"] = json!([]);
        part["usage"] = json!(usage(record));
        part
    }

    fn part(&self, delta: &Value, finish_reason: &Value) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}],
        })
    }
}

fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::Done => "stop",
        Stop::Length => "length",
    }
}

fn usage(record: &UsageRecord) -> Usage {
    let (prompt, output) = (record.prompt_tokens.get(), record.output_tokens.get());
    Usage {
        prompt_tokens: prompt,
        completion_tokens: output,
        total_tokens: prompt.saturating_add(output),
        prompt_tokens_details: json!({"cached_tokens": record.cached_prompt_tokens}),
        completion_tokens_details: json!({"reasoning_tokens": record.reasoning_tokens}),
        tallygate: measured(record),
    }
}

/// What only Tallygate tells: energy, latency, the verdict on the promise.
fn measured(record: &UsageRecord) -> Value {
    json!({
        "request_id": record.request_id,
        "energy_mj": record.energy,
        "energy_source": record.energy_source,
        "ttft_ms": record.ttft.map(millis),
        "tpot_ms": record.tpot.map(millis),
        "queue_ms": millis(record.queue),
        "slo_class": record.slo.class,
        "slo_met": record.slo_met,
        "tokens_in_slo": record.tokens_in_slo,
    })
}

/// Milliseconds with three decimals, for people; records keep whole microseconds.
fn millis(span: Micros) -> f64 {
    span.to_duration().as_secs_f64() * 1_000.0
}
