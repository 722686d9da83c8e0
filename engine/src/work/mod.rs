//! The engine's thread: take jobs in, schedule, run, sample, let out, account; again.
//! Never blocks on a consumer, and never lets a panic of a step escape.
//! Started by `Engine::start`; talks to the door through the `Inbox`.

mod inbox;
mod sequence;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use domain::Micros;
pub(crate) use inbox::{Arrival, Inbox};
use sequence::{Sequence, Verdict};

use crate::{
    energy::{Attribution, WINDOW_MAX},
    generation::Finish,
    runner::{Batch, BatchRow, Logits, Runner},
    schedule::{Assignment, Scheduler, SequenceId},
    text::Text,
};

/// Failed steps in a row after which the engine gives up. One may be bad luck with a batch; three different
/// batches are not.
const FAILED_STEPS_MAX: u32 = 3;

/// Everything the engine's thread owns.
pub(crate) struct Worker {
    inbox: Arc<Inbox>,
    scheduler: Scheduler,
    runner: Box<dyn Runner>,
    attribution: Attribution,
    text: Text,
    sequences: BTreeMap<SequenceId, Sequence>,
    next_id: u64,
    failed_steps: u32,
    is_failed: bool,
}

impl Worker {
    pub(crate) fn new(
        inbox: Arc<Inbox>,
        scheduler: Scheduler,
        runner: Box<dyn Runner>,
        attribution: Attribution,
        text: Text,
    ) -> Self {
        let sequences = BTreeMap::new();
        Self {
            inbox,
            scheduler,
            runner,
            attribution,
            text,
            sequences,
            next_id: 0,
            failed_steps: 0,
            is_failed: false,
        }
    }

    /// Runs until the door is shut.
    pub(crate) fn run(mut self) {
        let ended = catch_unwind(AssertUnwindSafe(|| self.run_until_stopped()));
        if ended.is_err() {
            // A defect of ours outside a step. Jobs still here say `Failed` when they are dropped.
            tracing::error!("the engine's thread panicked outside a step");
            self.is_failed = true;
        }
        self.inbox.close(self.is_failed);
    }

    fn run_until_stopped(&mut self) {
        loop {
            let is_idle = self.sequences.is_empty();
            let taken = self.inbox.take(is_idle.then_some(WINDOW_MAX));
            let is_stopping = taken.is_stopping;
            taken.arrivals.into_iter().for_each(|arrival| self.accept(arrival));
            if is_stopping || self.is_failed {
                let finish = if self.is_failed { Finish::Failed } else { Finish::Cancelled };
                self.finish(self.sequences.keys().map(|id| (*id, finish)).collect());
                self.report();
                if is_stopping {
                    return;
                }
                continue;
            }
            self.sweep(Instant::now());
            self.step();
            if self.attribution.is_due(Instant::now()) {
                self.attribution.close_window(Instant::now());
            }
            self.report();
        }
    }

    fn accept(&mut self, arrival: Arrival) {
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        self.scheduler.enqueue(id, arrival.job.prompt.ids().len());
        self.sequences.insert(id, Sequence::new(arrival, &self.text));
    }

    /// Ends what nobody waits for any more.
    fn sweep(&mut self, now: Instant) {
        let over = |(id, sequence): (&SequenceId, &Sequence)| Some((*id, sequence.is_over(now)?));
        self.finish(self.sequences.iter().filter_map(over).collect());
    }

    fn step(&mut self) {
        let plan = self.scheduler.plan();
        if plan.is_empty() {
            return;
        }
        // The board shows who runs before they can tell that they do.
        self.report();
        let started_at = Instant::now();
        for assignment in plan.iter().filter(|assignment| assignment.is_first) {
            if let Some(sequence) = self.sequences.get_mut(&assignment.id) {
                sequence.start(started_at);
            }
        }
        let batch = self.batch(&plan);
        let wanted = plan.iter().filter(|assignment| assignment.yields).count();
        let stepped = catch_unwind(AssertUnwindSafe(|| self.runner.step(&batch)));
        let ended_at = Instant::now();
        let work: Vec<_> = plan.iter().map(|assignment| (assignment.id, assignment.tokens)).collect();
        self.attribution.ran(ended_at.saturating_duration_since(started_at), &work);
        self.inbox.count_step(ended_at.saturating_duration_since(started_at));
        match stepped {
            Ok(Ok(logits)) if logits.rows_len() == wanted => {
                self.failed_steps = 0;
                self.scheduler.advance(&plan);
                self.let_out(&plan, &logits, ended_at);
            }
            Ok(Ok(_)) => {
                tracing::error!("a step gave another number of results than was asked for");
                self.fail_step(&plan);
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a step failed");
                self.fail_step(&plan);
            }
            Err(_) => {
                tracing::error!("a step panicked; the engine takes no more jobs");
                self.is_failed = true;
                self.fail_step(&plan);
            }
        }
    }

    fn batch(&self, plan: &[Assignment]) -> Batch {
        let row = |assignment: &Assignment| {
            let known = self.sequences.get(&assignment.id).map_or(&[][..], Sequence::known);
            BatchRow {
                slot: assignment.slot,
                start: assignment.start,
                tokens: known[assignment.start..assignment.start + assignment.tokens].to_vec(),
                logits_rows: usize::from(assignment.yields),
            }
        };
        Batch { rows: plan.iter().map(row).collect() }
    }

    /// Draws the next token of every sequence that has logits, and ends those that are through.
    fn let_out(&mut self, plan: &[Assignment], logits: &Logits, now: Instant) {
        let mut ended = Vec::new();
        let yielding = plan.iter().filter(|assignment| assignment.yields);
        for (assignment, row) in yielding.zip(logits.rows()) {
            let Some(sequence) = self.sequences.get_mut(&assignment.id) else { continue };
            // Whoever left during the step is not given, nor billed, its token.
            if let Some(finish) = sequence.is_over(now) {
                ended.push((assignment.id, finish));
                continue;
            }
            let verdict = sequence.draw(row, &self.text.eos);
            if verdict.has_token() {
                self.inbox.count_token();
            }
            match verdict {
                Verdict::GoesOn => self.scheduler.extend(assignment.id),
                Verdict::EndsWithToken(finish) | Verdict::Ends(finish) => ended.push((assignment.id, finish)),
            }
        }
        self.finish(ended);
    }

    /// Ends the sequences of a failed step; the others go on unless the engine gives up.
    fn fail_step(&mut self, plan: &[Assignment]) {
        self.failed_steps += 1;
        if self.failed_steps >= FAILED_STEPS_MAX {
            tracing::error!(
                steps = FAILED_STEPS_MAX,
                "too many steps failed in a row; the engine takes no more jobs"
            );
            self.is_failed = true;
        }
        if self.is_failed {
            self.inbox.fail();
        }
        self.finish(plan.iter().map(|assignment| (assignment.id, Finish::Failed)).collect());
    }

    /// Takes sequences out, frees their slots and says `Finished` for each.
    fn finish(&mut self, ended: Vec<(SequenceId, Finish)>) {
        if ended.is_empty() {
            return;
        }
        let now = Instant::now();
        self.attribution.close_window(now);
        for (id, _) in &ended {
            if let Some(slot) = self.scheduler.remove(*id) {
                self.clear(slot);
            }
        }
        // The door shows the energy before the caller can learn that the job ended.
        self.report();
        for (id, finish) in ended {
            let energy = self.attribution.take(id);
            if let Some(sequence) = self.sequences.remove(&id) {
                if let Some(started_at) = sequence.started_at() {
                    self.inbox.count_job(now.saturating_duration_since(started_at));
                }
                let queue = Micros::from_duration(now.saturating_duration_since(sequence.arrived_at()));
                sequence.finish(finish, energy, queue);
            }
        }
    }

    fn clear(&mut self, slot: crate::schedule::SlotId) {
        let cleared = catch_unwind(AssertUnwindSafe(|| self.runner.clear(slot)));
        if cleared.is_err() {
            tracing::error!("clearing a slot panicked; the engine takes no more jobs");
            self.is_failed = true;
            self.inbox.fail();
        }
    }

    fn report(&self) {
        self.inbox.report(
            self.scheduler.running_len(),
            self.scheduler.waiting_len(),
            self.attribution.totals(),
        );
    }
}
