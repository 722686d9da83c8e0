//! How long a new job would wait and how fast it would run, from what was measured of the jobs before it.
//! Never a promise and never a clock: measured spans come in, whole microseconds go out.
//! Fed by the engine's thread, asked by admission through `Engine::forecast`.

use std::time::Duration;

use domain::{Micros, Tokens};

/// A new measurement counts for one part in this many: a change of load is followed within some ten of them, and
/// one odd step does not move the forecast much.
const MEMORY: u64 = 8;

/// What a job would meet if it came now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Wait for a place in the batch.
    pub queue: Micros,
    /// Submission → first token, the wait included.
    pub ttft: Micros,
    /// The same without a wait: what is left of it when the load is gone.
    pub ttft_unloaded: Micros,
    /// One step of the present batch: the gap between tokens.
    pub tpot: Micros,
}

/// Running means of what the engine's thread measured. Zero: nothing yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    step_us: u64,
    job_us: u64,
}

/// What fills the engine at the moment of the question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) running: usize,
    pub(crate) queued: usize,
    pub(crate) sequences_max: usize,
    pub(crate) step_tokens_max: usize,
}

impl Pace {
    /// A step took this long.
    pub(crate) fn stepped(&mut self, span: Duration) {
        self.step_us = mean(self.step_us, span);
    }

    /// A job ran this long, from its first step to its end.
    pub(crate) fn ended(&mut self, span: Duration) {
        self.job_us = mean(self.job_us, span);
    }

    /// What a job with this prompt would meet. `None` before anything was measured.
    ///
    /// A full engine frees one of its places every `job time / places`; a new job waits for as many of these as
    /// there are jobs before it, itself included. Its prompt then takes one step for each chunk.
    pub(crate) fn forecast(self, load: Load, prompt: Tokens) -> Option<Forecast> {
        if self.step_us == 0 {
            return None;
        }
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (places, chunk) = (count(load.sequences_max.max(1)), count(load.step_tokens_max.max(1)));
        let before = count(load.queued).saturating_add(count(load.running)).saturating_add(1);
        let behind = before.saturating_sub(places);
        // Without an ended job, the steps of one chunk are the least that a place is taken for.
        let job_us = self.job_us.max(self.step_us);
        let queue = behind.saturating_mul(job_us) / places;
        let prefill = prompt.get().div_ceil(chunk).max(1).saturating_mul(self.step_us);
        Some(Forecast {
            queue: Micros::new(queue),
            ttft: Micros::new(queue.saturating_add(prefill)),
            ttft_unloaded: Micros::new(prefill),
            tpot: Micros::new(self.step_us),
        })
    }
}

fn mean(before: u64, span: Duration) -> u64 {
    // A span of zero would read as nothing measured.
    let span = u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1);
    match before {
        0 => span,
        before => before.saturating_mul(MEMORY - 1).saturating_add(span) / MEMORY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(step_ms: u64, job_ms: u64) -> Pace {
        let mut pace = Pace::default();
        pace.stepped(Duration::from_millis(step_ms));
        pace.ended(Duration::from_millis(job_ms));
        pace
    }

    /// Running, queued, prompt tokens; expected: wait ms, first token ms. Four places, 100 tokens a step, steps of
    /// 10 ms, jobs of 400 ms.
    fn check(load: (usize, usize), prompt: u64, expected: (u64, u64)) {
        let load = Load { running: load.0, queued: load.1, sequences_max: 4, step_tokens_max: 100 };
        let forecast = pace(10, 400).forecast(load, Tokens::new(prompt)).expect("measured");
        let millis = |micros: Micros| micros.get() / 1_000;
        assert_eq!((millis(forecast.queue), millis(forecast.ttft)), expected, "{load:?} {prompt}");
        assert_eq!(forecast.ttft.get() - forecast.queue.get(), forecast.ttft_unloaded.get());
    }

    #[test]
    fn jobs_before_it_make_a_job_wait() {
        check((0, 0), 1, (0, 10));
        check((3, 0), 100, (0, 10));
        check((3, 0), 101, (0, 20));
        check((4, 0), 1, (100, 110));
        check((4, 7), 1, (800, 810));
    }

    #[test]
    fn nothing_measured_means_no_forecast() {
        let load = Load { running: 0, queued: 0, sequences_max: 1, step_tokens_max: 1 };
        assert_eq!(Pace::default().forecast(load, Tokens::new(1)), None);
    }

    #[test]
    fn the_mean_follows_slowly() {
        let mut pace = pace(10, 10);
        pace.stepped(Duration::from_millis(90));
        let load = Load { running: 0, queued: 0, sequences_max: 1, step_tokens_max: 1 };
        assert_eq!(
            pace.forecast(load, Tokens::new(1)).map(|forecast| forecast.tpot),
            Some(Micros::new(20_000))
        );
    }
}
