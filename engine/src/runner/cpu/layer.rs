//! One transformer layer: norm, attention, norm, gated feed-forward, each added to the states.
//! Never mixes tokens except in attention.
//! Run in order by `CpuRunner` for every step.

use rayon::prelude::*;

use super::{KvSlot, attention::attend, linear::Linear, rope::Turns};
use crate::{
    model::{ModelError, config::ModelConfig, weights::Weights},
    runner::{Batch, RunnerError},
};

/// Rows that a thread takes at least. Below it handing over costs more than it saves. Unit: tokens.
const TOKENS_PER_THREAD_MIN: usize = 16;

/// What all layers of a step share.
pub(super) struct Step<'a> {
    pub(super) batch: &'a Batch,
    pub(super) config: &'a ModelConfig,
    pub(super) turns: &'a Turns,
}

/// One layer's weights.
#[derive(Debug)]
pub(super) struct Layer {
    attention_norm: Vec<f32>,
    /// Queries, keys and values in one product.
    query_key_value: Linear,
    attention_out: Linear,
    feed_norm: Vec<f32>,
    /// Gate and up projection in one product.
    gate_up: Linear,
    down: Linear,
}

impl Layer {
    /// Takes the weights of layer `index`.
    pub(super) fn take(
        weights: &mut Weights,
        config: &ModelConfig,
        index: usize,
    ) -> Result<Self, ModelError> {
        let (hidden, intermediate) = (config.hidden, config.intermediate);
        let (query, kv) = (config.query_dim(), config.kv_dim());
        let mut take =
            |part: &str, shape: &[usize]| weights.take(&format!("model.layers.{index}.{part}.weight"), shape);
        let attention_norm = take("input_layernorm", &[hidden])?;
        let q = take("self_attn.q_proj", &[query, hidden])?;
        let k = take("self_attn.k_proj", &[kv, hidden])?;
        let v = take("self_attn.v_proj", &[kv, hidden])?;
        let o = take("self_attn.o_proj", &[hidden, query])?;
        let feed_norm = take("post_attention_layernorm", &[hidden])?;
        let gate = take("mlp.gate_proj", &[intermediate, hidden])?;
        let up = take("mlp.up_proj", &[intermediate, hidden])?;
        let down = take("mlp.down_proj", &[hidden, intermediate])?;
        let linear = |weights: &[&[f32]], inputs| {
            Linear::new(weights, inputs).map_err(|error| ModelError::Tensor { error })
        };
        Ok(Self {
            attention_norm,
            query_key_value: linear(&[&q, &k, &v], hidden)?,
            attention_out: linear(&[&o], query)?,
            feed_norm,
            gate_up: linear(&[&gate, &up], hidden)?,
            down: linear(&[&down], intermediate)?,
        })
    }

    /// Runs the layer over the states and stores this step's keys and values.
    ///
    /// Shape: states are tokens × hidden, in the order of the batch.
    pub(super) fn run(
        &self,
        step: &Step<'_>,
        states: &mut [f32],
        slots: &mut [KvSlot],
        layer: usize,
    ) -> Result<(), RunnerError> {
        let config = step.config;
        let (query, kv) = (config.query_dim(), config.kv_dim());
        let stride = query + 2 * kv;
        let normed = rms_norm(states, &self.attention_norm, config.norm_epsilon);
        let mut projected = self.query_key_value.apply(normed)?;
        for (token, row) in projected.chunks_exact_mut(stride).enumerate() {
            step.turns.apply(token, &mut row[..query + kv]);
        }
        store(step.batch, &projected, query, kv, slots, layer);
        let mixed = attend(step.batch, config, &projected, stride, slots, layer);
        add(states, &self.attention_out.apply(mixed)?);
        let normed = rms_norm(states, &self.feed_norm, config.norm_epsilon);
        let gated = gate(&self.gate_up.apply(normed)?, config.intermediate);
        add(states, &self.down.apply(gated)?);
        Ok(())
    }
}

/// Appends this step's keys and values to the slots of their sequences.
fn store(batch: &Batch, projected: &[f32], query: usize, kv: usize, slots: &mut [KvSlot], layer: usize) {
    let mut rows = projected.chunks_exact(query + 2 * kv);
    for sequence in &batch.rows {
        let slot = &mut slots[sequence.slot.0];
        for row in rows.by_ref().take(sequence.tokens.len()) {
            slot.keys[layer].extend_from_slice(&row[query..query + kv]);
            slot.values[layer].extend_from_slice(&row[query + kv..]);
        }
    }
}

/// Divides each row by its root mean square and scales it.
pub(super) fn rms_norm(states: &[f32], scale: &[f32], epsilon: f32) -> Vec<f32> {
    let mut normed = states.to_vec();
    for row in normed.chunks_exact_mut(scale.len()) {
        let squares: f32 = row.iter().map(|value| value * value).sum();
        let factor = 1.0 / (squares / row.len() as f32 + epsilon).sqrt();
        row.iter_mut().zip(scale).for_each(|(value, scale)| *value = *value * factor * scale);
    }
    normed
}

/// SiLU of the gate, times the up projection.
///
/// Shape: tokens × (gate, up) in, tokens × intermediate out.
fn gate(gate_up: &[f32], intermediate: usize) -> Vec<f32> {
    let mut gated = vec![0.0; gate_up.len() / 2];
    let rows = gated.par_chunks_exact_mut(intermediate).zip(gate_up.par_chunks_exact(2 * intermediate));
    rows.with_min_len(TOKENS_PER_THREAD_MIN).for_each(|(out, row)| {
        let (gate, up) = row.split_at(intermediate);
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = gate / (1.0 + (-gate).exp()) * up;
        }
    });
    gated
}

fn add(states: &mut [f32], change: &[f32]) {
    states.iter_mut().zip(change).for_each(|(state, change)| *state += change);
}
