//! The figures that only Tallygate gives, as every dialect carries them.
//! Never measures; every figure comes from the usage record.
//! Used by the answers of every dialect.

use actix_web::http::header::HeaderMap;
use domain::{EnergySource, Micros, Millijoules, RequestId, SloClass, Tokens, UsageRecord};
use serde::Serialize;

use super::headers;

/// What only Tallygate tells: energy, latency, the verdict on the promise.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Measured {
    request_id: RequestId,
    energy_mj: Millijoules,
    energy_source: EnergySource,
    ttft_ms: Option<f64>,
    tpot_ms: Option<f64>,
    queue_ms: f64,
    slo_class: SloClass,
    slo_met: bool,
    tokens_in_slo: Tokens,
}

impl Measured {
    /// The figures of a record.
    pub(in crate::http) fn of(record: &UsageRecord) -> Self {
        Self {
            request_id: record.request_id,
            energy_mj: record.energy,
            energy_source: record.energy_source,
            ttft_ms: record.ttft.map(millis),
            tpot_ms: record.tpot.map(millis),
            queue_ms: millis(record.queue),
            slo_class: record.slo.class,
            slo_met: record.slo_met,
            tokens_in_slo: record.tokens_in_slo,
        }
    }
}

/// `x-tallygate-*` on whole answers.
pub(in crate::http) fn set_headers(headers: &mut HeaderMap, record: &UsageRecord) {
    headers::set(headers, "x-tallygate-energy-mj", &record.energy.to_string());
    headers::set(headers, "x-tallygate-energy-source", record.energy_source.as_str());
    if let Some(ttft) = record.ttft.map(Micros::get) {
        headers::set(headers, "x-tallygate-ttft-us", &ttft.to_string());
    }
}

/// Milliseconds with three decimals, for people; records keep whole microseconds.
fn millis(span: Micros) -> f64 {
    // Spans of up to an hour fit in 32 bits, where the conversion is exact; longer ones are cut there.
    f64::from(u32::try_from(span.get()).unwrap_or(u32::MAX)) / 1_000.0
}
