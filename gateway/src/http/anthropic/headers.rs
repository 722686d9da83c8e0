//! `anthropic-ratelimit-*`: the limits as Anthropic's clients read them.
//! Never decides anything; it writes what admission said.
//! Called by the routes of this dialect.

use actix_web::http::header::HeaderMap;
use domain::Timestamp;

use crate::{
    admit::{LimitView, LimitViews},
    http::headers::set,
};

/// Sets the headers for the limits that exist; a reset is a moment, not a span.
pub(super) fn set_limits(headers: &mut HeaderMap, views: &LimitViews, now: Timestamp) {
    const REQUESTS: [&str; 3] = [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ];
    const TOKENS: [&str; 3] = [
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ];
    for (names, view) in [(REQUESTS, views.requests), (TOKENS, views.tokens)] {
        if let Some(LimitView { limit, remaining, reset }) = view {
            let wait = i64::try_from(reset.as_micros()).unwrap_or(i64::MAX);
            let reset = Timestamp::from_unix_micros(now.unix_micros().saturating_add(wait));
            set(headers, names[0], &limit.to_string());
            set(headers, names[1], &remaining.to_string());
            set(headers, names[2], &reset.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_reset_is_a_moment() {
        let view = LimitView { limit: 60, remaining: 59, reset: Duration::from_millis(1_500) };
        let views = LimitViews { requests: Some(view), tokens: None };
        let mut headers = HeaderMap::new();
        set_limits(&mut headers, &views, Timestamp::from_unix_micros(0));
        let read = |name| headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(read("anthropic-ratelimit-requests-limit"), Some("60"));
        assert_eq!(read("anthropic-ratelimit-requests-remaining"), Some("59"));
        assert_eq!(read("anthropic-ratelimit-requests-reset"), Some("1970-01-01T00:00:01.5Z"));
        assert_eq!(read("anthropic-ratelimit-tokens-limit"), None);
    }
}
