//! Llama-family networks on the CPU: ragged batches, one matrix product for all tokens of a step.
//! Never pads, and never lets one sequence's numbers depend on which others share the step.
//! Built when a model is loaded; driven as a `Runner` by the engine's thread.

mod attention;
mod layer;
mod linear;
mod rope;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use layer::{Layer, Step, rms_norm};
use linear::Linear;
use rope::RopeTable;

use super::{Batch, BatchRow, Logits, Runner, RunnerError};
use crate::{
    model::{ModelError, config::ModelConfig, files::ModelFiles, weights::Weights},
    schedule::SlotId,
};

/// Keys and values of one sequence.
///
/// Shape: for each layer, `tokens` rows of `kv_dim`. Grows with the sequence, at most to the model's
/// context; stays allocated for the next one.
#[derive(Clone, Debug, Default)]
struct KvSlot {
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    tokens: usize,
}

/// See the file's header.
pub(crate) struct CpuRunner {
    config: ModelConfig,
    /// Shape: vocabulary × hidden.
    embedding: Vec<f32>,
    layers: Vec<Layer>,
    final_norm: Vec<f32>,
    head: Linear,
    rope: RopeTable,
    slots: Vec<KvSlot>,
    threads: Arc<rayon::ThreadPool>,
    parameters: u64,
}

impl CpuRunner {
    /// Loads the weights.
    ///
    /// Errors: files, tensors and shapes that are not as `config.json` says.
    pub(crate) fn load(
        files: &ModelFiles,
        config: &ModelConfig,
        slots: usize,
        threads: usize,
    ) -> Result<Self, ModelError> {
        let mut weights = Weights::read(files, |name| !is_ignored(name, config.is_tied))?;
        let (vocabulary, hidden) = (config.vocabulary, config.hidden);
        let embedding = weights.take("model.embed_tokens.weight", &[vocabulary, hidden])?;
        let mut layers = Vec::new();
        for index in 0..config.layers {
            layers.push(Layer::take(&mut weights, config, index)?);
        }
        let final_norm = weights.take("model.norm.weight", &[hidden])?;
        let head = if config.is_tied {
            Linear::new(&[&embedding], hidden)
        } else {
            Linear::new(&[&weights.take("lm_head.weight", &[vocabulary, hidden])?], hidden)
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.thread_name(|index| format!("engine cpu {index}")).build();
        let empty = KvSlot {
            keys: vec![Vec::new(); config.layers],
            values: vec![Vec::new(); config.layers],
            tokens: 0,
        };
        Ok(Self {
            embedding,
            layers,
            final_norm,
            head: head.map_err(|error| ModelError::Tensor { error })?,
            rope: RopeTable::new(config.rope, config.head_dim),
            slots: vec![empty; slots],
            threads: Arc::new(pool.map_err(|error| ModelError::Threads { error })?),
            parameters: weights.parameters(),
            config: config.clone(),
        })
    }

    /// Numbers the model consists of.
    pub(crate) fn parameters(&self) -> u64 {
        self.parameters
    }

    /// The batch must continue what the slots hold and stay inside the model.
    fn check(&self, row: &BatchRow) -> Result<(), RunnerError> {
        let slot = self.slots.get(row.slot.0).ok_or(RunnerError::OutsideModel)?;
        if slot.tokens != row.start {
            return Err(RunnerError::OutOfStep { slot: row.slot.0, held: slot.tokens, start: row.start });
        }
        let is_known = |id: &u32| (*id as usize) < self.config.vocabulary;
        let end = row.start.saturating_add(row.tokens.len());
        let fits = end <= self.config.context_tokens_max as usize && row.logits_rows <= row.tokens.len();
        if !fits || !row.tokens.iter().all(is_known) {
            return Err(RunnerError::OutsideModel);
        }
        Ok(())
    }

    fn embed(&self, batch: &Batch) -> Vec<f32> {
        let hidden = self.config.hidden;
        let ids = batch.rows.iter().flat_map(|row| row.tokens.iter());
        ids.flat_map(|id| &self.embedding[*id as usize * hidden..][..hidden]).copied().collect()
    }

    fn forward(&mut self, batch: &Batch) -> Result<Logits, RunnerError> {
        batch.rows.iter().try_for_each(|row| self.check(row))?;
        let (hidden, epsilon) = (self.config.hidden, self.config.norm_epsilon);
        let mut states = self.embed(batch);
        let positions = batch.rows.iter().flat_map(|row| row.start..row.start + row.tokens.len());
        let turns = self.rope.turns(positions);
        let step = Step { batch, config: &self.config, turns: &turns };
        for (index, layer) in self.layers.iter().enumerate() {
            layer.run(&step, &mut states, &mut self.slots, index)?;
        }
        for row in &batch.rows {
            self.slots[row.slot.0].tokens += row.tokens.len();
        }
        let wanted = wanted_states(batch, &states, hidden);
        if wanted.is_empty() {
            return Ok(Logits::new(Vec::new(), self.config.vocabulary));
        }
        let normed = rms_norm(&wanted, &self.final_norm, epsilon);
        Ok(Logits::new(self.head.apply(normed)?, self.config.vocabulary))
    }
}

impl Runner for CpuRunner {
    fn step(&mut self, batch: &Batch) -> Result<Logits, RunnerError> {
        let threads = Arc::clone(&self.threads);
        threads.install(|| self.forward(batch))
    }

    fn clear(&mut self, slot: SlotId) {
        if let Some(slot) = self.slots.get_mut(slot.0) {
            slot.keys.iter_mut().chain(&mut slot.values).for_each(Vec::clear);
            slot.tokens = 0;
        }
    }
}

/// Older checkpoints carry tables that are computed here, and tied ones may repeat the embedding.
fn is_ignored(name: &str, is_tied: bool) -> bool {
    name.ends_with(".rotary_emb.inv_freq") || (is_tied && name == "lm_head.weight")
}

/// The states of each row's last tokens for which logits are wanted.
fn wanted_states(batch: &Batch, states: &[f32], hidden: usize) -> Vec<f32> {
    let mut wanted = Vec::new();
    let mut end = 0;
    for row in &batch.rows {
        end += row.tokens.len();
        wanted.extend_from_slice(&states[(end - row.logits_rows) * hidden..end * hidden]);
    }
    wanted
}
