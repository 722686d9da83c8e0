//! Decides, step by step, which sequences run and how many of their tokens: decodes first, then prompt chunks.
//! Never touches tensors, time or channels; it is a pure state machine over sequence ids.
//! Driven by the engine's thread: enqueue → plan → (run) → advance → extend or remove.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

/// Names one sequence in this engine, in order of submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SequenceId(pub(crate) u64);

/// Names one of the places where running sequences keep their keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SlotId(pub(crate) usize);

/// The bounds of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Sequences running together.
    pub(crate) sequences_max: usize,
    /// Tokens of one step, at least `sequences_max`.
    pub(crate) step_tokens_max: usize,
}

/// What one sequence does in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) id: SequenceId,
    pub(crate) slot: SlotId,
    /// Position of the first token to compute.
    pub(crate) start: usize,
    /// How many tokens to compute; at least one.
    pub(crate) tokens: usize,
    /// The last known token is among them, so the step yields a next one.
    pub(crate) yields: bool,
    /// The sequence's first step.
    pub(crate) is_first: bool,
}

/// A sequence that has a slot.
#[derive(Clone, Copy, Debug)]
struct Running {
    id: SequenceId,
    slot: SlotId,
    /// Tokens known: the prompt and what was produced.
    known: usize,
    /// Those of them whose keys and values are in the slot.
    computed: usize,
    /// The prompt is computed; each step now yields a token.
    decodes: bool,
    has_run: bool,
}

/// The waiting queue and the running set.
#[derive(Debug)]
pub(crate) struct Scheduler {
    limits: Limits,
    /// First come, first served.
    waiting: VecDeque<(SequenceId, usize)>,
    running: Vec<Running>,
    free_slots: Vec<SlotId>,
}

impl Scheduler {
    /// An empty scheduler.
    pub(crate) fn new(limits: Limits) -> Self {
        assert!(limits.sequences_max >= 1, "a scheduler without places");
        assert!(limits.step_tokens_max >= limits.sequences_max, "a step must move every sequence");
        let free_slots = (0..limits.sequences_max).rev().map(SlotId).collect();
        Self { limits, waiting: VecDeque::new(), running: Vec::new(), free_slots }
    }

    /// Adds a sequence with a prompt of `prompt_tokens` at the end of the queue.
    pub(crate) fn enqueue(&mut self, id: SequenceId, prompt_tokens: usize) {
        assert!(prompt_tokens > 0, "a sequence without a prompt");
        self.waiting.push_back((id, prompt_tokens));
    }

    /// Takes a sequence out, wherever it is; the slot it had is free again.
    pub(crate) fn remove(&mut self, id: SequenceId) -> Option<SlotId> {
        self.waiting.retain(|(waiting, _)| *waiting != id);
        let index = self.running.iter().position(|running| running.id == id)?;
        let slot = self.running.remove(index).slot;
        self.free_slots.push(slot);
        Some(slot)
    }

    /// Fills free slots from the queue and chooses the next step.
    ///
    /// Shape: decodes in order of admission, then prompt chunks in order of admission; at most
    /// `step_tokens_max` tokens in all, and at least one for each running sequence.
    pub(crate) fn plan(&mut self) -> Vec<Assignment> {
        self.admit();
        let prefilling = self.running.iter().filter(|running| !running.decodes).count();
        let mut budget = self.limits.step_tokens_max;
        let mut plan: Vec<Assignment> = Vec::with_capacity(self.running.len());
        for running in self.running.iter().filter(|running| running.decodes) {
            plan.push(running.assign(1));
            budget -= 1;
        }
        let mut behind = prefilling;
        for running in self.running.iter().filter(|running| !running.decodes) {
            behind -= 1;
            // Each one behind keeps one token: nobody stands still because of a long prompt before it.
            let assignment = running.assign(budget - behind);
            budget -= assignment.tokens;
            plan.push(assignment);
        }
        plan
    }

    /// Notes that a planned step was computed.
    pub(crate) fn advance(&mut self, plan: &[Assignment]) {
        for assignment in plan {
            if let Some(running) = self.find_running(assignment.id) {
                running.computed += assignment.tokens;
                running.decodes |= assignment.yields;
                running.has_run = true;
            }
        }
    }

    /// Notes that a sequence produced a token, which its next step computes.
    pub(crate) fn extend(&mut self, id: SequenceId) {
        if let Some(running) = self.find_running(id) {
            running.known += 1;
        }
    }

    /// Sequences without a slot.
    pub(crate) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// Sequences with a slot.
    pub(crate) fn running_len(&self) -> usize {
        self.running.len()
    }

    fn admit(&mut self) {
        while !self.waiting.is_empty() {
            let Some(slot) = self.free_slots.pop() else { return };
            if let Some((id, known)) = self.waiting.pop_front() {
                self.running.push(Running { id, slot, known, computed: 0, decodes: false, has_run: false });
            }
        }
    }

    fn find_running(&mut self, id: SequenceId) -> Option<&mut Running> {
        self.running.iter_mut().find(|running| running.id == id)
    }
}

impl Running {
    fn assign(&self, tokens_max: usize) -> Assignment {
        let pending = self.known - self.computed;
        assert!(pending > 0 && tokens_max > 0, "a running sequence has a token to compute and room for it");
        let tokens = pending.min(tokens_max);
        Assignment {
            id: self.id,
            slot: self.slot,
            start: self.computed,
            tokens,
            yields: tokens == pending,
            is_first: !self.has_run,
        }
    }
}
