//! Measures one request as it streams: first token, gaps, tokens in time, stalls; closes it into a usage record.
//! Never reads a clock, a price or a database; instants are arguments.
//! Called by `stream`, which owns one meter for each admission.

use std::time::Instant;

use billing::journal::{CheckpointEntry, OpenEntry};
use domain::{EndReason, EnergySource, Micros, Millijoules, Nanos, Timestamp, Tokens, UsageRecord};

use crate::dispatch::Tally;

/// What is known of a request when it is admitted.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What the journal has of it from its admission on.
    pub open: OpenEntry,
    /// When the last byte of the request had been read, on the monotonic clock.
    pub started: Instant,
    /// It is for embeddings, not for text.
    pub is_for_embeddings: bool,
}

/// The running measurement of one request.
#[derive(Debug)]
pub struct Meter {
    subject: Subject,
    first: Option<Micros>,
    last: Micros,
    tokens: u64,
    tokens_in_slo: u64,
    stall: Micros,
    stalled_until: Option<Instant>,
}

impl Meter {
    /// Starts with nothing delivered.
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            first: None,
            last: Micros::ZERO,
            tokens: 0,
            tokens_in_slo: 0,
            stall: Micros::ZERO,
            stalled_until: None,
        }
    }

    /// Which backend it is that serves, where that was not known at admission.
    pub fn served_by(&mut self, backend: &str) {
        if self.subject.open.backend != backend {
            backend.clone_into(&mut self.subject.open.backend);
        }
    }

    /// What is measured.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// So many more tokens are handed to the connection at `now`, which the target had produced at `produced`.
    ///
    /// A token that waited behind a client that did not read counts from when it was produced: the target never
    /// waits for a client, so that is when the client would have had it.
    pub fn tokens_came(&mut self, tokens: u64, produced: Instant, now: Instant) {
        for _ in 0..tokens {
            self.token(produced, now);
        }
    }

    fn token(&mut self, produced: Instant, now: Instant) {
        let waited_for_client = self.stalled_until.is_some_and(|until| produced < until);
        let at = self.elapsed(if waited_for_client { produced } else { now });
        if self.first.is_none() {
            self.first = Some(at);
        }
        self.last = at;
        let open = &self.subject.open;
        let due = open.slo.due(open.prompt_tokens, self.tokens);
        if due.is_none_or(|due| at <= due) {
            self.tokens_in_slo += 1;
        }
        self.tokens += 1;
    }

    /// The client did not read between these instants.
    pub fn stalled(&mut self, from: Instant, until: Instant) {
        let span = Micros::from_duration(until.saturating_duration_since(from));
        self.stall = Micros::new(self.stall.get().saturating_add(span.get()));
        self.stalled_until = Some(until);
    }

    /// Tokens handed over so far.
    pub fn tokens(&self) -> Tokens {
        Tokens::new(self.tokens)
    }

    fn elapsed(&self, at: Instant) -> Micros {
        Micros::from_duration(at.saturating_duration_since(self.subject.started))
    }

    /// The measurement so far, for the journal.
    pub fn checkpoint(&self, at: Timestamp, energy_source: EnergySource) -> CheckpointEntry {
        CheckpointEntry {
            request_id: self.subject.open.request_id,
            at,
            output_tokens: self.tokens(),
            tokens_in_slo: Tokens::new(self.tokens_in_slo),
            cached_prompt_tokens: Tokens::ZERO,
            ttft: self.first,
            energy: Millijoules::ZERO,
            energy_source,
            client_stall: self.stall,
            queue: Micros::ZERO,
        }
    }

    /// Closes the measurement at `now`.
    ///
    /// The counts are the target's; the times are those of the connection. What it is charged is not known here.
    pub fn finish(self, tally: &Tally, reason: EndReason, now: Instant, at: Timestamp) -> UsageRecord {
        let slo_met = self.is_slo_met(now, reason);
        let computed = tally.prompt_tokens.checked_sub(tally.cached_prompt_tokens).unwrap_or(Tokens::ZERO);
        let embeddings_tokens = if self.subject.is_for_embeddings { computed } else { Tokens::ZERO };
        let open = self.subject.open;
        let gaps = tally.output_tokens.get().saturating_sub(1).min(self.tokens.saturating_sub(1));
        let span = self.last.get().saturating_sub(self.first.unwrap_or(Micros::ZERO).get());
        UsageRecord {
            request_id: open.request_id,
            tenant_id: open.tenant_id,
            key_id: open.key_id,
            model: open.model,
            backend: open.backend,
            slo: open.slo,
            reason,
            prompt_tokens: tally.prompt_tokens,
            cached_prompt_tokens: tally.cached_prompt_tokens,
            output_tokens: tally.output_tokens,
            reasoning_tokens: tally.reasoning_tokens,
            ttft: self.first,
            tpot: span.checked_div(gaps).map(Micros::new),
            slo_met,
            tokens_in_slo: Tokens::new(self.tokens_in_slo.min(tally.output_tokens.get())),
            energy: tally.energy,
            energy_source: tally.energy_source,
            client_stall: self.stall,
            queue: tally.queue,
            started_at: open.started_at,
            finished_at: at,
            price_version: open.price_version,
            project_id: open.project_id,
            usage_source: tally.usage_source,
            charge: Nanos::ZERO,
            embeddings_tokens,
        }
    }

    /// Request goodput. Without a token, what counts is how long the client waited in vain.
    fn is_slo_met(&self, now: Instant, reason: EndReason) -> bool {
        let slo = &self.subject.open.slo;
        let waited = self.first.unwrap_or_else(|| self.elapsed(now));
        let span = Micros::new(self.last.get().saturating_sub(waited.get()));
        let is_served = matches!(reason, EndReason::Completed | EndReason::ClientGone);
        is_served
            && slo.is_ttft_met(self.subject.open.prompt_tokens, waited)
            && (self.first.is_none() || slo.is_tpot_met(span, self.tokens()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::{KeyId, ModelName, PlanVersionId, RequestId, Slo, SloClass, TenantId, UsageSource};

    use super::*;
    use crate::dispatch::Finish;

    fn meter(origin: Instant) -> Meter {
        let at = Timestamp::from_unix_micros(1);
        let open = OpenEntry {
            request_id: RequestId::generate(at),
            tenant_id: TenantId::generate(at),
            key_id: KeyId::new("k").expect("a key id"),
            model: ModelName::new("m").expect("a model name"),
            backend: "sim".to_owned(),
            slo: Slo::of_class(SloClass::Interactive),
            prompt_tokens: Tokens::new(5),
            started_at: at,
            price_version: PlanVersionId::new("demo@1").expect("a plan version"),
            project_id: None,
        };
        Meter::new(Subject { open, started: origin, is_for_embeddings: false })
    }

    fn tally(output: u64) -> Tally {
        Tally {
            prompt_tokens: Tokens::new(5),
            output_tokens: Tokens::new(output),
            usage_source: UsageSource::Engine,
            energy: Millijoules::new(7),
            ..Tally::nothing(Finish::Failed)
        }
    }

    /// Tokens handed over at these milliseconds; expected: TTFT µs, TPOT µs, request met, tokens in SLO.
    fn check(at_ms: &[u64], expected: (Option<u64>, Option<u64>, bool, u64)) {
        let origin = Instant::now();
        let mut meter = meter(origin);
        for ms in at_ms {
            let at = origin + Duration::from_millis(*ms);
            meter.token(at, at);
        }
        let end = origin + Duration::from_millis(at_ms.last().copied().unwrap_or(0));
        let tokens = u64::try_from(at_ms.len()).expect("few");
        let record = meter.finish(&tally(tokens), EndReason::Completed, end, Timestamp::from_unix_micros(2));
        let found = (
            record.ttft.map(Micros::get),
            record.tpot.map(Micros::get),
            record.slo_met,
            record.tokens_in_slo.get(),
        );
        assert_eq!(found, expected, "{at_ms:?}");
    }

    #[test]
    fn verdicts_follow_the_targets() {
        check(&[], (None, None, true, 0));
        check(&[500], (Some(500_000), None, true, 1));
        check(&[501], (Some(501_000), None, false, 0));
        check(&[100, 130, 160], (Some(100_000), Some(30_000), true, 3));
        check(&[100, 131, 161], (Some(100_000), Some(30_500), false, 3));
        // Late first token, fast rest: the request missed, later tokens caught up with their due times.
        check(&[520, 521, 522], (Some(520_000), Some(1_000), false, 2));
        // On time on average, two tokens late on their own.
        check(&[490, 491, 600, 601, 602], (Some(490_000), Some(28_000), true, 3));
    }

    #[test]
    fn a_stalled_client_counts_against_nobody() {
        let origin = Instant::now();
        let at = |ms| origin + Duration::from_millis(ms);
        let mut meter = meter(origin);
        meter.token(at(10), at(10));
        meter.stalled(at(15), at(60_015));
        // Produced in time while the client slept, produced late while it slept, and produced after it woke.
        meter.token(at(20), at(60_020));
        meter.token(at(50_000), at(60_020));
        meter.token(at(60_030), at(60_031));
        let record =
            meter.finish(&tally(4), EndReason::Completed, at(60_031), Timestamp::from_unix_micros(2));
        assert_eq!((record.tokens_in_slo.get(), record.client_stall.get()), (2, 60_000_000));
        assert_eq!(record.tpot, Some(Micros::new(20_007_000)));
        assert!(!record.slo_met, "the engine's own gaps were too long");
    }

    #[test]
    fn failures_never_meet_a_target() {
        let origin = Instant::now();
        for (reason, is_met) in [
            (EndReason::ClientGone, true),
            (EndReason::EngineError, false),
            (EndReason::Deadline, false),
            (EndReason::Crashed, false),
        ] {
            let record = meter(origin).finish(&tally(0), reason, origin, Timestamp::from_unix_micros(2));
            assert_eq!(record.slo_met, is_met, "{reason:?}");
        }
        let late = origin + Duration::from_millis(501);
        let record =
            meter(origin).finish(&tally(0), EndReason::ClientGone, late, Timestamp::from_unix_micros(2));
        assert!(!record.slo_met, "the client left after the target had passed");
    }
}
