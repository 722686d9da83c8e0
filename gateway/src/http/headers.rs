//! Response headers that clients act on: limits, and when to try again.
//! Never decides anything; it writes what admission said.
//! Used by every dialect's routes and by the error bodies.

use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::admit::{LimitView, LimitViews};

/// A longer `retry-after` makes the OpenAI SDKs give up instead of waiting.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// Sets a header whose name is a constant; a value that is no header text is left out.
pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// `x-ratelimit-*` for the limits that exist.
pub(super) fn set_limits(headers: &mut HeaderMap, views: &LimitViews) {
    const REQUESTS: [&str; 3] =
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
    const TOKENS: [&str; 3] =
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
    for (names, view) in [(REQUESTS, views.requests), (TOKENS, views.tokens)] {
        if let Some(LimitView { limit, remaining, reset }) = view {
            set(headers, names[0], &limit.to_string());
            set(headers, names[1], &remaining.to_string());
            set(headers, names[2], &reset_text(reset));
        }
    }
}

/// `retry-after` in whole seconds, rounded up, and `retry-after-ms`.
pub(super) fn set_retry_after(headers: &mut HeaderMap, wait: Duration) {
    let millis = wait.as_millis().max(1).min(RETRY_AFTER_MAX.as_millis());
    set(headers, "retry-after", &millis.div_ceil(1_000).to_string());
    set(headers, "retry-after-ms", &millis.to_string());
}

/// A span the way OpenAI writes it: `850ms`, `6.5s`, `1m3s`.
fn reset_text(reset: Duration) -> String {
    let millis = reset.as_millis();
    match (millis / 60_000, millis % 60_000) {
        (0, millis) if millis < 1_000 => format!("{millis}ms"),
        (0, millis) => format!("{}s", seconds_text(millis)),
        (minutes, millis) => format!("{minutes}m{}s", seconds_text(millis)),
    }
}

fn seconds_text(millis: u128) -> String {
    match (millis / 1_000, millis % 1_000) {
        (seconds, 0) => seconds.to_string(),
        (seconds, rest) => format!("{seconds}.{rest:03}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_clients_read_them() {
        let rows = [
            (0, "0ms"),
            (850, "850ms"),
            (1_000, "1s"),
            (6_500, "6.5s"),
            (63_000, "1m3s"),
            (60_020, "1m0.02s"),
        ];
        for (millis, text) in rows {
            assert_eq!(reset_text(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn retry_after_is_rounded_up_and_bounded() {
        let rows = [(0, "1", "1"), (1, "1", "1"), (1_001, "2", "1001"), (900_000, "120", "120000")];
        for (millis, seconds, text) in rows {
            let mut headers = HeaderMap::new();
            set_retry_after(&mut headers, Duration::from_millis(millis));
            let read = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            assert_eq!((read("retry-after"), read("retry-after-ms")), (Some(seconds), Some(text)));
        }
    }
}
