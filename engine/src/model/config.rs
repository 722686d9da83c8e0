//! A model's `config.json`, read and checked: what shape the network has and whether this engine can run it.
//! Never guesses: what is not supported is refused by name.
//! Parsed first when a model is loaded; `weights` and the runner are built from it.

use serde::Deserialize;

use super::{ModelError, files::ModelFiles};

/// The file this is read from.
pub(crate) const CONFIG_FILE: &str = "config.json";

/// Architectures whose network is the one the runner computes.
const ARCHITECTURES: [&str; 2] = ["LlamaForCausalLM", "MistralForCausalLM"];
const ARCHITECTURES_TEXT: &str = "LlamaForCausalLM, MistralForCausalLM without sliding window";

/// Base of the rotary embedding where a model names none.
///
/// Source: transformers, LlamaConfig.
const ROPE_THETA_DEFAULT: f32 = 10_000.0;

/// The network's shape.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModelConfig {
    pub(crate) architecture: String,
    pub(crate) vocabulary: usize,
    pub(crate) hidden: usize,
    pub(crate) intermediate: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    /// Heads of keys and values, each shared by `heads / kv_heads` of the query's.
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) context_tokens_max: u32,
    pub(crate) norm_epsilon: f32,
    pub(crate) rope: Rope,
    /// The output layer is the embedding, transposed.
    pub(crate) is_tied: bool,
    pub(crate) eos: Vec<u32>,
}

impl ModelConfig {
    /// Numbers in one token's keys, or values, of one layer.
    pub(crate) fn kv_dim(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Numbers in one token's queries of one layer.
    pub(crate) fn query_dim(&self) -> usize {
        self.heads * self.head_dim
    }
}

/// How positions turn queries and keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rope {
    pub(crate) theta: f32,
    pub(crate) scaling: Option<Llama3Scaling>,
}

/// Llama 3's stretching of slow rotations to longer contexts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Llama3Scaling {
    pub(crate) factor: f32,
    pub(crate) low_frequency_factor: f32,
    pub(crate) high_frequency_factor: f32,
    pub(crate) original_context: f32,
}

/// The file as it is written. Fields that would change the network are here to be refused.
#[derive(Debug, Deserialize)]
struct ConfigFile {
    architectures: Vec<String>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    #[serde(default = "silu")]
    hidden_act: String,
    max_position_embeddings: u32,
    rms_norm_eps: f32,
    rope_theta: Option<f32>,
    rope_scaling: Option<RopeFile>,
    /// The newer place of both.
    rope_parameters: Option<RopeFile>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    sliding_window: Option<u32>,
    partial_rotary_factor: Option<f32>,
    quantization_config: Option<serde_json::Value>,
    #[serde(default)]
    eos_token_id: Ids,
}

#[derive(Debug, Deserialize)]
struct RopeFile {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f32>,
    factor: Option<f32>,
    low_freq_factor: Option<f32>,
    high_freq_factor: Option<f32>,
    original_max_position_embeddings: Option<u32>,
}

/// `generation_config.json`, which may name more tokens that end an answer.
#[derive(Debug, Deserialize)]
struct GenerationFile {
    #[serde(default)]
    eos_token_id: Ids,
}

/// One id or several.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Ids {
    #[default]
    None,
    One(u32),
    Many(Vec<u32>),
}

impl Ids {
    fn into_vec(self) -> Vec<u32> {
        match self {
            Self::None => Vec::new(),
            Self::One(id) => vec![id],
            Self::Many(ids) => ids,
        }
    }
}

fn silu() -> String {
    "silu".to_owned()
}

/// Reads and checks `config.json`, and the end tokens of `generation_config.json`.
///
/// Errors: the first thing that is wrong or not supported.
pub(crate) fn read(files: &ModelFiles) -> Result<ModelConfig, ModelError> {
    let file: ConfigFile = files.parse(CONFIG_FILE)?;
    let generation: Option<GenerationFile> = files.parse_if_there("generation_config.json")?;
    let check = Check { files };
    let architecture = check.features(&file)?;
    check.sizes(&file)?;
    let rope = check.rope(&file)?;
    let mut eos = file.eos_token_id.into_vec();
    eos.extend(generation.map(|generation| generation.eos_token_id.into_vec()).unwrap_or_default());
    eos.sort_unstable();
    eos.dedup();
    let is_known = |id: &u32| usize::try_from(*id).is_ok_and(|id| id < file.vocab_size);
    check.holds(eos.iter().all(is_known), "eos_token_id", "must be below vocab_size")?;
    let heads = file.num_attention_heads;
    let config = ModelConfig {
        architecture,
        vocabulary: file.vocab_size,
        hidden: file.hidden_size,
        intermediate: file.intermediate_size,
        layers: file.num_hidden_layers,
        heads,
        kv_heads: file.num_key_value_heads.unwrap_or(heads),
        head_dim: file.head_dim.unwrap_or(file.hidden_size / heads),
        context_tokens_max: file.max_position_embeddings,
        norm_epsilon: file.rms_norm_eps,
        rope,
        is_tied: file.tie_word_embeddings,
        eos,
    };
    Ok(config)
}

struct Check<'a> {
    files: &'a ModelFiles,
}

impl Check<'_> {
    fn holds(&self, is_so: bool, field: &'static str, rule: &'static str) -> Result<(), ModelError> {
        if is_so {
            Ok(())
        } else {
            Err(ModelError::BadValue { file: self.files.path(CONFIG_FILE), field, rule })
        }
    }

    fn unsupported(&self, field: &'static str, found: String, supported: &'static str) -> ModelError {
        ModelError::Unsupported { file: self.files.path(CONFIG_FILE), field, found, supported }
    }

    /// Refuses networks that are not the one the runner computes.
    fn features(&self, file: &ConfigFile) -> Result<String, ModelError> {
        let found = file.architectures.iter().find(|name| ARCHITECTURES.contains(&name.as_str()));
        let Some(architecture) = found else {
            return Err(self.unsupported("architectures", file.architectures.join(", "), ARCHITECTURES_TEXT));
        };
        let quantization = file.quantization_config.as_ref().map(|found| {
            let method = found.get("quant_method").and_then(|method| method.as_str());
            method.unwrap_or("unnamed").to_owned()
        });
        let sliding = file.sliding_window.map(|tokens| tokens.to_string());
        let rotary =
            file.partial_rotary_factor.filter(|factor| *factor != 1.0).map(|factor| factor.to_string());
        let act = Some(file.hidden_act.clone()).filter(|act| act != "silu" && act != "swish");
        let bias = |has_bias: bool| has_bias.then(|| "true".to_owned());
        let refused = [
            ("hidden_act", act, "silu"),
            ("attention_bias", bias(file.attention_bias), "false"),
            ("mlp_bias", bias(file.mlp_bias), "false"),
            ("sliding_window", sliding, "null"),
            ("partial_rotary_factor", rotary, "1"),
            ("quantization_config", quantization, "none; weights in F32, F16 or BF16"),
        ];
        match refused.into_iter().find_map(|(field, found, supported)| Some((field, found?, supported))) {
            Some((field, found, supported)) => Err(self.unsupported(field, found, supported)),
            None => Ok(architecture.clone()),
        }
    }

    fn sizes(&self, file: &ConfigFile) -> Result<(), ModelError> {
        let heads = file.num_attention_heads;
        let kv_heads = file.num_key_value_heads.unwrap_or(heads);
        self.holds(file.vocab_size >= 1, "vocab_size", "must be at least 1")?;
        self.holds(u32::try_from(file.vocab_size).is_ok(), "vocab_size", "must fit in 32 bits")?;
        self.holds(file.hidden_size >= 1, "hidden_size", "must be at least 1")?;
        self.holds(file.intermediate_size >= 1, "intermediate_size", "must be at least 1")?;
        self.holds(file.num_hidden_layers >= 1, "num_hidden_layers", "must be at least 1")?;
        self.holds(heads >= 1, "num_attention_heads", "must be at least 1")?;
        self.holds(
            kv_heads >= 1 && heads.is_multiple_of(kv_heads),
            "num_key_value_heads",
            "must divide num_attention_heads",
        )?;
        let is_derivable = file.head_dim.is_some() || file.hidden_size.is_multiple_of(heads);
        self.holds(
            is_derivable,
            "num_attention_heads",
            "must divide hidden_size where head_dim is not given",
        )?;
        let head_dim = file.head_dim.unwrap_or(file.hidden_size / heads);
        self.holds(head_dim >= 2 && head_dim.is_multiple_of(2), "head_dim", "must be even and at least 2")?;
        // Products below are sizes of tensors, which must exist in the file; here they must not overflow.
        let sizes = [head_dim.checked_mul(heads), file.intermediate_size.checked_mul(2)];
        let is_small = |size: Option<usize>| size.is_some_and(|size| u32::try_from(size).is_ok());
        self.holds(
            sizes.into_iter().all(is_small),
            "num_attention_heads",
            "times head_dim must fit in 32 bits",
        )?;
        self.holds(file.max_position_embeddings >= 2, "max_position_embeddings", "must be at least 2")?;
        let epsilon = file.rms_norm_eps;
        self.holds(epsilon.is_finite() && epsilon >= 0.0, "rms_norm_eps", "must be a number not below 0")
    }

    fn rope(&self, file: &ConfigFile) -> Result<Rope, ModelError> {
        let given = file.rope_parameters.as_ref().or(file.rope_scaling.as_ref());
        let theta = file.rope_parameters.as_ref().and_then(|rope| rope.rope_theta).or(file.rope_theta);
        let theta = theta.unwrap_or(ROPE_THETA_DEFAULT);
        self.holds(theta.is_finite() && theta > 0.0, "rope_theta", "must be a number above 0")?;
        let scaling = match given.map(|rope| (rope, rope.rope_type.as_deref().unwrap_or("default"))) {
            None | Some((_, "default")) => None,
            Some((rope, "llama3")) => Some(self.llama3(rope)?),
            Some((_, other)) => {
                return Err(self.unsupported("rope_scaling type", other.to_owned(), "default, llama3"));
            }
        };
        Ok(Rope { theta, scaling })
    }

    fn llama3(&self, rope: &RopeFile) -> Result<Llama3Scaling, ModelError> {
        const FIELD: &str = "rope_scaling of type llama3";
        let given =
            (rope.factor, rope.low_freq_factor, rope.high_freq_factor, rope.original_max_position_embeddings);
        let (Some(factor), Some(low), Some(high), Some(original)) = given else {
            let rule = "needs factor, low_freq_factor, high_freq_factor and original_max_position_embeddings";
            return Err(ModelError::BadValue { file: self.files.path(CONFIG_FILE), field: FIELD, rule });
        };
        let is_sound = factor >= 1.0 && low > 0.0 && high > low && factor.is_finite() && high.is_finite();
        self.holds(
            is_sound && original >= 1,
            FIELD,
            "must have factor ≥ 1 and 0 < low_freq_factor < high_freq_factor",
        )?;
        Ok(Llama3Scaling {
            factor,
            low_frequency_factor: low,
            high_frequency_factor: high,
            original_context: original as f32,
        })
    }
}
