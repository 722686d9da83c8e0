//! How soon a server elsewhere would begin to answer, from how soon it began to answer before.
//! Never a clock and never a promise: measured spans come in, and nothing is said before anything was measured.
//! Fed by the exchanges of a target, asked by admission through `Route::forecast`.

use std::time::Duration;

use domain::{Micros, Tokens};
use engine::Forecast;

/// A new measurement counts for one part in this many, as in an engine of ours.
const MEMORY: f64 = 8.0;

/// A first token without load counts as at most this many times what was expected, and this much: one cold start
/// does not make a server slow, and one that has become slow is known to be after some more. Unit of the second:
/// microseconds.
const SLOWER_TIMES_MAX: f64 = 2.0;
const SLOWER_US_MIN: f64 = 1_000.0;

/// What the answers of one target were like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pace {
    unloaded: Line,
    /// Wait beyond what is expected without load, and the load under which it was met.
    wait_us: Mean,
    load_tokens: Mean,
    gap_us: Mean,
}

/// A first token, as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstToken {
    /// Sent → first text.
    pub(super) span: Duration,
    /// About how many tokens the prompt has.
    pub(super) prompt_tokens: u64,
    /// What the target had to deliver before, of what this gateway knows.
    pub(super) tokens_before: u64,
}

impl Pace {
    /// A first token came.
    pub(super) fn began(&mut self, first: FirstToken) {
        let (prompt, before) = (float(first.prompt_tokens), float(first.tokens_before));
        let span_us = first.span.as_secs_f64() * 1e6;
        let expected = self.unloaded.at(prompt);
        let is_sooner = expected.is_none_or(|expected| span_us <= expected);
        if first.tokens_before == 0 || is_sooner {
            let most = expected.map_or(span_us, |expected| expected * SLOWER_TIMES_MAX + SLOWER_US_MIN);
            self.unloaded.add(prompt, span_us.min(most));
        }
        if first.tokens_before > 0 {
            self.wait_us.add((span_us - expected.unwrap_or(span_us)).max(0.0));
            self.load_tokens.add(before);
        }
    }

    /// An answer ended: this many tokens came after its first one within this span.
    pub(super) fn ended(&mut self, tokens: u64, span: Duration) {
        if tokens > 0 {
            self.gap_us.add(span.as_secs_f64() * 1e6 / float(tokens));
        }
    }

    /// What a request with this prompt would meet beside so many outstanding tokens. `None`: nothing was measured.
    ///
    /// What was waited for each token of load then is waited for each of them now: a target that runs its requests
    /// together makes nobody wait, however many tokens it has promised.
    pub(super) fn forecast(&self, prompt: Tokens, outstanding_tokens: u64) -> Option<Forecast> {
        let unloaded_us = self.unloaded.at(float(prompt.get()))?;
        let queue_us = match (self.wait_us.get(), self.load_tokens.get()) {
            (Some(wait_us), Some(load)) => wait_us * float(outstanding_tokens) / load.max(1.0),
            (None, _) | (_, None) => 0.0,
        };
        Some(Forecast {
            queue: micros(queue_us),
            ttft: micros(queue_us + unloaded_us),
            ttft_unloaded: micros(unloaded_us),
            tpot: micros(self.gap_us.get().unwrap_or(0.0)),
        })
    }
}

/// A mean that forgets. Its first value is all it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mean(Option<f64>);

impl Mean {
    fn add(&mut self, value: f64) {
        self.0 = Some(self.0.map_or(value, |before| before + (value - before) / MEMORY));
    }

    fn get(self) -> Option<f64> {
        self.0
    }
}

/// The straight line through points that are forgotten as a [`Mean`] forgets: a time for each prompt, and more for
/// each of its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Line {
    weight: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl Line {
    fn add(&mut self, x: f64, y: f64) {
        let kept = 1.0 - 1.0 / MEMORY;
        *self = Self {
            weight: self.weight * kept + 1.0,
            x: self.x * kept + x,
            y: self.y * kept + y,
            xx: self.xx * kept + x * x,
            xy: self.xy * kept + x * y,
        };
    }

    /// Longer prompts never take less, and none takes less than nothing.
    fn at(&self, x: f64) -> Option<f64> {
        if self.weight == 0.0 {
            return None;
        }
        let (mean_x, mean_y) = (self.x / self.weight, self.y / self.weight);
        let spread = self.xx / self.weight - mean_x * mean_x;
        // Prompts of one length say nothing of others.
        let slope = if spread < 1.0 { 0.0 } else { (self.xy / self.weight - mean_x * mean_y) / spread };
        Some((mean_y + slope.max(0.0) * (x - mean_x)).max(0.0))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a forecast needs no more digits than a float has")]
fn float(count: u64) -> f64 {
    count as f64
}

fn micros(span: f64) -> Micros {
    let span = Duration::try_from_secs_f64(span / 1e6).unwrap_or(Duration::MAX);
    Micros::new(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(ms: u64, prompt_tokens: u64, tokens_before: u64) -> FirstToken {
        FirstToken { span: Duration::from_millis(ms), prompt_tokens, tokens_before }
    }

    /// First tokens: milliseconds, prompt, tokens before.
    fn pace(rows: &[(u64, u64, u64)]) -> Pace {
        let mut pace = Pace::default();
        for (ms, prompt, before) in rows {
            pace.began(first(*ms, *prompt, *before));
        }
        pace
    }

    /// Prompt and outstanding tokens; expected: wait and first token without load, in milliseconds.
    fn check(pace: &Pace, asked: (u64, u64), expected: (u64, u64)) {
        let forecast = pace.forecast(Tokens::new(asked.0), asked.1).expect("measured");
        let ms = |micros: Micros| (micros.get() + 500) / 1_000;
        assert_eq!((ms(forecast.queue), ms(forecast.ttft_unloaded)), expected, "{asked:?}");
        assert!(forecast.ttft.get().abs_diff(forecast.queue.get() + forecast.ttft_unloaded.get()) <= 1);
    }

    #[test]
    fn nothing_measured_means_no_verdict() {
        assert_eq!(Pace::default().forecast(Tokens::new(1), 1_000), None);
        let mut ended = Pace::default();
        ended.ended(10, Duration::from_secs(1));
        assert_eq!(ended.forecast(Tokens::new(1), 1_000), None);
    }

    #[test]
    fn what_was_waited_for_each_token_of_load_is_waited_again() {
        let queueing = pace(&[(100, 10, 0), (1_100, 10, 1_000)]);
        check(&queueing, (10, 0), (0, 100));
        check(&queueing, (10, 1_000), (1_000, 100));
        check(&queueing, (10, 5_000), (5_000, 100));
        // Requests that run together wait for nothing.
        let batching = pace(&[(100, 10, 0), (100, 10, 1_000), (90, 10, 9_000)]);
        check(&batching, (10, 100_000), (0, 96));
    }

    #[test]
    fn long_prompts_are_no_queue() {
        let rows: Vec<_> = (1..=20).map(|prompt| (50 + prompt * 10, prompt * 1_000, 0)).collect();
        let mut pace = pace(&rows);
        check(&pace, (0, 0), (0, 50));
        check(&pace, (30_000, 0), (0, 350));
        pace.began(first(350, 30_000, 4_000));
        check(&pace, (1_000, 4_000), (0, 60));
    }

    #[test]
    fn a_cold_start_does_not_make_a_server_slow_and_a_new_normal_does() {
        let mut pace = pace(&[(100, 10, 0); 10]);
        pace.began(first(60_000, 10, 0));
        check(&pace, (10, 0), (0, 116));
        for _ in 0..100 {
            pace.began(first(400, 10, 0));
        }
        check(&pace, (10, 0), (0, 400));
    }

    #[test]
    fn the_gap_between_tokens_is_their_mean() {
        let mut pace = pace(&[(100, 10, 0)]);
        pace.ended(100, Duration::from_secs(2));
        pace.ended(0, Duration::from_secs(9));
        let forecast = pace.forecast(Tokens::new(1), 0).expect("measured");
        assert_eq!(forecast.tpot, Micros::from_millis(20));
    }
}
