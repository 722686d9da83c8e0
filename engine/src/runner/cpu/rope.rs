//! Rotary position embedding: turns pairs of numbers by an angle that grows with the position.
//! Never depends on the batch; a token's angles follow from its position alone.
//! Computed once per step and used by every layer.

use crate::model::config::Rope;

/// How fast each pair turns. Unit: radians per position.
#[derive(Debug)]
pub(super) struct RopeTable {
    frequencies: Vec<f32>,
}

/// Cosine and sine for each token of a step.
///
/// Shape: tokens × half a head.
#[derive(Debug)]
pub(super) struct Turns {
    cosines: Vec<f32>,
    sines: Vec<f32>,
    half: usize,
}

impl RopeTable {
    /// Source: transformers, `ROPE_INIT_FUNCTIONS` "default" and "llama3", in 32-bit floats as there.
    pub(super) fn new(rope: Rope, head_dim: usize) -> Self {
        let frequency = |pair: usize| 1.0 / rope.theta.powf((2 * pair) as f32 / head_dim as f32);
        let frequencies =
            (0..head_dim / 2).map(frequency).map(|frequency| stretch(rope, frequency)).collect();
        Self { frequencies }
    }

    /// The angles of tokens at these positions.
    pub(super) fn turns(&self, positions: impl Iterator<Item = usize>) -> Turns {
        let angles = positions
            .flat_map(|position| self.frequencies.iter().map(move |frequency| position as f32 * frequency));
        let (sines, cosines) = angles.map(f32::sin_cos).unzip();
        Turns { cosines, sines, half: self.frequencies.len() }
    }
}

impl Turns {
    /// Turns every head of one token's queries or keys.
    ///
    /// Shape: heads × head dimension; the pairs are the first half against the second.
    pub(super) fn apply(&self, token: usize, heads: &mut [f32]) {
        let cosines = &self.cosines[token * self.half..][..self.half];
        let sines = &self.sines[token * self.half..][..self.half];
        for head in heads.chunks_exact_mut(2 * self.half) {
            let (first, second) = head.split_at_mut(self.half);
            for (((a, b), cosine), sine) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
                (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
            }
        }
    }
}

/// Llama 3 slows rotations that are slow already, leaves fast ones, and blends in between.
fn stretch(rope: Rope, frequency: f32) -> f32 {
    let Some(scaling) = rope.scaling else { return frequency };
    let wavelength = std::f32::consts::TAU / frequency;
    let (low, high) = (scaling.low_frequency_factor, scaling.high_frequency_factor);
    if wavelength > scaling.original_context / low {
        frequency / scaling.factor
    } else if wavelength < scaling.original_context / high {
        frequency
    } else {
        let blend = (scaling.original_context / wavelength - low) / (high - low);
        (1.0 - blend) * frequency / scaling.factor + blend * frequency
    }
}
