//! One matrix product: all tokens of a step through one weight.
//! Never rounds a token's result differently because of how many others are in the step.
//! Used by the layers and by the output head.

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor};
use gemm::Parallelism;

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
    pub(super) fn new(weights: &[&[f32]], inputs: usize) -> Result<Self> {
        let stacked = weights.concat();
        let outputs = stacked.len() / inputs;
        let weight = Tensor::from_vec(stacked, (outputs, inputs), &Device::Cpu)?.t()?.contiguous()?;
        Ok(Self { weight, inputs })
    }

    /// The product.
    ///
    /// Shape: tokens × inputs in, tokens × outputs out.
    pub(super) fn apply(&self, states: Vec<f32>) -> std::result::Result<Vec<f32>, RunnerError> {
        let tokens = states.len() / self.inputs;
        let states = Tensor::from_vec(states, (tokens, self.inputs), &Device::Cpu)?;
        Ok(states.apply_op2_no_bwd(&self.weight, &Product)?.flatten_all()?.to_vec1()?)
    }
}

/// Candle's own matrix product on candle's own kernels, with the threads of the pool it runs in.
///
/// Candle's `matmul` asks for the machine's cores on every call, by reading `/proc/cpuinfo`; for small
/// models that took longer than the product.
/// Source: measured on the demo model; one stream ran at twice to four times the speed without it.
#[derive(Debug)]
struct Product;

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    /// Shape: rows × inner times inner × columns, both contiguous.
    fn cpu_fwd(
        &self,
        left: &CpuStorage,
        l: &Layout,
        right: &CpuStorage,
        r: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((rows, inner), (inner_right, columns)) = (l.shape().dims2()?, r.shape().dims2()?);
        let (Some(l), Some(r)) = (l.contiguous_offsets(), r.contiguous_offsets()) else {
            candle_core::bail!("a product of tensors that are not contiguous");
        };
        if inner != inner_right {
            candle_core::bail!("a product of {rows}×{inner} with {inner_right}×{columns}");
        }
        let (left, right) = (&left.as_slice::<f32>()?[l.0..l.1], &right.as_slice::<f32>()?[r.0..r.1]);
        let mut product = vec![0.0_f32; rows * columns];
        assert!(
            left.len() == rows * inner && right.len() == inner * columns,
            "slices are as long as their shapes"
        );
        let strides = [columns, inner].map(isize::try_from);
        let [Ok(columns_stride), Ok(inner_stride)] = strides else {
            candle_core::bail!("a product of more than half the address space");
        };
        let parallelism = match rayon::current_num_threads() {
            1 => Parallelism::None,
            threads => Parallelism::Rayon(threads),
        };
        // SAFETY: all three are row-major with exactly rows × columns elements of the given strides, as asserted
        // above; `product` is owned here and overlaps neither of the others.
        unsafe {
            gemm::gemm(
                rows,
                columns,
                inner,
                product.as_mut_ptr(),
                1,
                columns_stride,
                false,
                left.as_ptr(),
                1,
                inner_stride,
                right.as_ptr(),
                1,
                columns_stride,
                0.0,
                1.0,
                false,
                false,
                false,
                parallelism,
            );
        }
        Ok((CpuStorage::F32(product), (rows, columns).into()))
    }
}
