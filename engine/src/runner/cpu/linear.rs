//! One matrix product: all tokens of a step through one weight.
//! Never rounds a token's result differently because of how many others are in the step.
//! Used by the layers and by the output head.

use candle_core::{Device, Tensor};

use crate::runner::RunnerError;

/// A weight, or several stacked, that a step's states are multiplied with.
#[derive(Debug)]
pub(super) struct Linear {
    /// Shape: inputs × outputs. This way round the product reads it as it lies.
    weight: Tensor,
    inputs: usize,
}

impl Linear {
    /// From weights as checkpoints hold them.
    ///
    /// Shape: each outputs × inputs; their outputs are stacked in the given order.
    pub(super) fn new(weights: &[&[f32]], inputs: usize) -> Result<Self, candle_core::Error> {
        let stacked = weights.concat();
        let outputs = stacked.len() / inputs;
        let weight = Tensor::from_vec(stacked, (outputs, inputs), &Device::Cpu)?.t()?.contiguous()?;
        Ok(Self { weight, inputs })
    }

    /// The product.
    ///
    /// Shape: tokens × inputs in, tokens × outputs out.
    pub(super) fn apply(&self, states: Vec<f32>) -> Result<Vec<f32>, RunnerError> {
        let tokens = states.len() / self.inputs;
        let states = Tensor::from_vec(states, (tokens, self.inputs), &Device::Cpu)?;
        Ok(states.matmul(&self.weight)?.flatten_all()?.to_vec1()?)
    }
}
