//! The interface between scheduling and devices: a batch of ragged rows in, logits out.
//! Never samples, schedules or counts; it only computes.
//! Implemented by `runner::cpu` and by `sim`; driven by the engine's thread.

pub(crate) mod cpu;

use crate::schedule::SlotId;

/// One sequence's part of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchRow {
    /// Where its keys and values are.
    pub(crate) slot: SlotId,
    /// Position of the first token; equal to the number of tokens the slot holds.
    pub(crate) start: usize,
    /// The tokens to compute.
    pub(crate) tokens: Vec<u32>,
    /// For how many of the last tokens logits are wanted.
    pub(crate) logits_rows: usize,
}

/// All that one step computes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<BatchRow>,
}

/// Scores of every vocabulary entry as next token.
///
/// Shape: one row per wanted position, in the order of the batch; each `vocabulary` long.
#[derive(Debug, PartialEq)]
pub(crate) struct Logits {
    values: Vec<f32>,
    vocabulary: usize,
}

impl Logits {
    pub(crate) fn new(values: Vec<f32>, vocabulary: usize) -> Self {
        assert!(vocabulary > 0 && values.len().is_multiple_of(vocabulary), "logits are whole rows");
        Self { values, vocabulary }
    }

    /// One row per wanted position.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.vocabulary)
    }

    pub(crate) fn rows_len(&self) -> usize {
        self.values.len() / self.vocabulary
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunnerError {
    /// The tensor library refused an operation.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// The batch contradicts what the slot holds; a defect in the caller.
    #[error("slot {slot} holds {held} tokens, but the batch goes on at position {start}")]
    OutOfStep {
        /// The slot.
        slot: usize,
        /// Tokens it holds.
        held: usize,
        /// Position the batch wants to go on at.
        start: usize,
    },
    /// A token id or position the model does not have.
    #[error("a token id or position is outside the model")]
    OutsideModel,
    /// The simulation was told to fail here.
    #[error("the simulation fails here, as configured")]
    Simulated,
}

/// Computes steps.
pub(crate) trait Runner: Send {
    /// Computes the batch and keeps its keys and values in the slots.
    ///
    /// Errors: after one, the slots of the batch must be cleared before they are used again.
    fn step(&mut self, batch: &Batch) -> Result<Logits, RunnerError>;

    /// Forgets what a slot holds.
    fn clear(&mut self, slot: SlotId);
}
