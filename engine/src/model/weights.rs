//! A model's tensors, from one safetensors file or several with an index, as 32-bit floats.
//! Never keeps a file in memory longer than its tensors take to convert.
//! Taken apart by the runner, tensor by tensor, each checked against the shape it must have.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::Deserialize;

use super::{ModelError, files::ModelFiles};

const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";

/// Shards of one model. The largest models of the hub have some hundreds.
const SHARDS_MAX: usize = 4_096;

#[derive(Debug, Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Stored {
    shape: Vec<usize>,
    values: Vec<f32>,
    file: PathBuf,
}

/// Tensors not yet taken.
#[derive(Debug)]
pub(crate) struct Weights {
    tensors: BTreeMap<String, Stored>,
    /// Where a missing tensor should have been.
    source: PathBuf,
    parameters: u64,
}

impl Weights {
    /// Reads all tensors that `is_wanted` asks for.
    ///
    /// Errors: missing, cut or malformed files; tensors of other kinds than F32, F16, BF16.
    pub(crate) fn read(files: &ModelFiles, is_wanted: impl Fn(&str) -> bool) -> Result<Self, ModelError> {
        let index: Option<Index> = files.parse_if_there(INDEX_FILE)?;
        let source = files.path(if index.is_some() { INDEX_FILE } else { SINGLE_FILE });
        let mut weights = Self { tensors: BTreeMap::new(), source, parameters: 0 };
        let Some(index) = index else {
            weights.read_file(files, SINGLE_FILE, &is_wanted, None)?;
            return Ok(weights);
        };
        let shards: BTreeSet<&String> = index.weight_map.values().collect();
        if shards.len() > SHARDS_MAX {
            let rule = "names more than 4096 files";
            return Err(ModelError::BadValue { file: files.path(INDEX_FILE), field: "weight_map", rule });
        }
        for shard in shards {
            if shard.is_empty() || shard.contains(['/', '\\']) || shard == ".." || shard == "." {
                return Err(ModelError::BadShardName { file: files.path(INDEX_FILE), found: shard.clone() });
            }
            let named: Vec<&str> = index
                .weight_map
                .iter()
                .filter(|(_, file)| *file == shard)
                .map(|(name, _)| name.as_str())
                .collect();
            weights.read_file(files, shard, &is_wanted, Some(&named))?;
        }
        Ok(weights)
    }

    /// A tensor of exactly this shape. Each can be taken once.
    ///
    /// Errors: missing, or of another shape.
    pub(crate) fn take(&mut self, tensor: &str, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
        let Some(stored) = self.tensors.remove(tensor) else {
            return Err(ModelError::MissingTensor { file: self.source.clone(), tensor: tensor.to_owned() });
        };
        if stored.shape != expected {
            return Err(ModelError::WrongShape {
                file: stored.file,
                tensor: tensor.to_owned(),
                found: stored.shape,
                expected: expected.to_vec(),
            });
        }
        self.parameters += stored.values.len() as u64;
        Ok(stored.values)
    }

    /// Numbers taken so far.
    pub(crate) fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Reads one file. With `named`, exactly those tensors must be in it.
    fn read_file(
        &mut self,
        files: &ModelFiles,
        name: &str,
        is_wanted: impl Fn(&str) -> bool,
        named: Option<&[&str]>,
    ) -> Result<(), ModelError> {
        let bytes: Cow<'static, [u8]> = files.weights(name)?;
        let file = files.path(name);
        let bad = |error| ModelError::BadSafetensors { file: file.clone(), error };
        let tensors = SafeTensors::deserialize(&bytes).map_err(bad)?;
        if let Some(missing) = named.into_iter().flatten().find(|name| tensors.tensor(name).is_err()) {
            return Err(ModelError::MissingTensor { file: file.clone(), tensor: (*missing).to_owned() });
        }
        for (tensor, view) in tensors.iter().filter(|(tensor, _)| is_wanted(tensor)) {
            let values = to_f32(&view).ok_or_else(|| ModelError::Unsupported {
                file: file.clone(),
                field: "element type",
                found: format!("{:?} of {tensor}", view.dtype()),
                supported: "F32, F16, BF16",
            })?;
            if !values.iter().all(|value| value.is_finite()) {
                return Err(ModelError::NotFinite { file: file.clone(), tensor: tensor.to_owned() });
            }
            let stored = Stored { shape: view.shape().to_vec(), values, file: file.clone() };
            self.tensors.insert(tensor.to_owned(), stored);
        }
        Ok(())
    }
}

/// The tensor's values; `None` for element types that are not plain floats.
fn to_f32(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let data = view.data();
    let pairs = || data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other element type is refused alike")]
    match view.dtype() {
        Dtype::F32 => {
            let quads = data.chunks_exact(4);
            Some(quads.map(|quad| f32::from_le_bytes([quad[0], quad[1], quad[2], quad[3]])).collect())
        }
        Dtype::F16 => Some(pairs().map(|bits| half::f16::from_bits(bits).to_f32()).collect()),
        Dtype::BF16 => Some(pairs().map(|bits| half::bf16::from_bits(bits).to_f32()).collect()),
        _ => None,
    }
}
