//! Attention of each token over its own sequence's keys and values.
//! Never sees another sequence, and never a later token of its own.
//! Called by `layer`, once per layer and step, for all tokens and heads at once.

use rayon::prelude::*;

use super::KvSlot;
use crate::{model::config::ModelConfig, runner::Batch};

/// Work that a thread takes at least. Below it handing over costs more than it saves. Unit: tokens × heads.
const TASKS_PER_THREAD_MIN: usize = 4;

/// Partial sums of a dot product, so that the compiler can use vector registers.
const LANES: usize = 16;

/// One token's place in the step.
#[derive(Clone, Copy)]
struct Place<'a> {
    keys: &'a [f32],
    values: &'a [f32],
}

/// Mixes values by how well keys match queries.
///
/// Shape: queries are tokens × rows of `query_stride`, of which the first heads × head dimension are read;
/// the result is tokens × (heads × head dimension). The slots hold this step's keys and values already.
pub(super) fn attend(
    batch: &Batch,
    config: &ModelConfig,
    queries: &[f32],
    query_stride: usize,
    slots: &[KvSlot],
    layer: usize,
) -> Vec<f32> {
    let (heads, head_dim, kv_dim) = (config.heads, config.head_dim, config.kv_dim());
    let places: Vec<Place<'_>> = batch
        .rows
        .iter()
        .flat_map(|row| {
            let slot = &slots[row.slot.0];
            // A token sees itself and what came before it.
            (1..=row.tokens.len()).map(move |offset| Place {
                keys: &slot.keys[layer][..(row.start + offset) * kv_dim],
                values: &slot.values[layer][..(row.start + offset) * kv_dim],
            })
        })
        .collect();
    let group = heads / config.kv_heads;
    let mut mixed = vec![0.0; places.len() * heads * head_dim];
    let tasks = mixed.par_chunks_exact_mut(head_dim).enumerate().with_min_len(TASKS_PER_THREAD_MIN);
    tasks.for_each_init(Vec::new, |scores, (task, out)| {
        let (token, head) = (task / heads, task % heads);
        let query = &queries[token * query_stride + head * head_dim..][..head_dim];
        attend_one(query, places[token], kv_dim, (head / group) * head_dim, scores, out);
    });
    mixed
}

/// One token's one head, with the widest registers this machine has. The sums are the same with all.
fn attend_one(
    query: &[f32],
    place: Place<'_>,
    kv_dim: usize,
    offset: usize,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has what the function is compiled for.
        return unsafe { attend_one_wide(query, place, kv_dim, offset, scores, out) };
    }
    attend_one_plain(query, place, kv_dim, offset, scores, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn attend_one_wide(
    query: &[f32],
    place: Place<'_>,
    kv_dim: usize,
    offset: usize,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    attend_one_plain(query, place, kv_dim, offset, scores, out);
}

#[inline(always)]
fn attend_one_plain(
    query: &[f32],
    place: Place<'_>,
    kv_dim: usize,
    offset: usize,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let head_dim = query.len();
    let scale = 1.0 / (head_dim as f32).sqrt();
    scores.clear();
    scores.resize(place.keys.len() / kv_dim, 0.0);
    // A plain loop: closures are not compiled for the wide registers of the function around them.
    for (score, key) in scores.iter_mut().zip(place.keys.chunks_exact(kv_dim)) {
        *score = dot(query, &key[offset..offset + head_dim]) * scale;
    }
    let score_max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - score_max).exp());
    let total: f32 = scores.iter().sum();
    out.fill(0.0);
    for (score, value) in scores.iter().zip(place.values.chunks_exact(kv_dim)) {
        for (out, value) in out.iter_mut().zip(&value[offset..offset + head_dim]) {
            *out += score * value;
        }
    }
    out.iter_mut().for_each(|out| *out /= total);
}

/// Always sums in the same order, whatever the machine.
#[inline(always)]
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (left_chunks, right_chunks) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    let rest: f32 =
        left_chunks.remainder().iter().zip(right_chunks.remainder()).map(|(left, right)| left * right).sum();
    for (left, right) in left_chunks.zip(right_chunks) {
        for lane in 0..LANES {
            lanes[lane] += left[lane] * right[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}
