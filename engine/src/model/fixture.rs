//! Tiny random Llama folders for tests, written as the hub has them.
//! Never compiled into the program.
//! Used by the tests of `model`, `runner::cpu` and `work`.

use std::{collections::BTreeMap, path::Path};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

/// Tokens: 256 bytes, `<|end|>`, `<|user|>`.
pub(crate) const VOCABULARY: usize = 258;
pub(crate) const END: u32 = 256;

pub(crate) const TEMPLATE: &str = "{% for message in messages %}\n    {%- if message.role not in ['system', 'user', 'assistant'] %}{{ raise_exception('unknown role') }}{% endif %}\n<|user|>{{ message['content'] | trim }}<|end|>{% endfor %}";

/// A tensor's shape and values.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A model that tests can spoil before it is written.
#[derive(Clone, Debug)]
pub(crate) struct TinyModel {
    pub(crate) config: Value,
    pub(crate) tokenizer: Value,
    pub(crate) tokenizer_config: Value,
    pub(crate) tensors: Tensors,
    pub(crate) dtype: Dtype,
}

impl TinyModel {
    /// Two layers of 32, four heads sharing two of keys and values.
    pub(crate) fn new(seed: u64) -> Self {
        let config = json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCABULARY,
            "hidden_size": 32, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "hidden_act": "silu", "max_position_embeddings": 256,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false, "eos_token_id": END,
        });
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let mut tensors = Tensors::new();
        let mut add = |name: String, shape: &[usize], spread: f32, middle: f32| {
            let values = (0..shape.iter().product()).map(|_| middle + random.random_range(-spread..spread));
            tensors.insert(name, (shape.to_vec(), values.collect()));
        };
        add("model.embed_tokens.weight".into(), &[VOCABULARY, 32], 1.0, 0.0);
        add("model.norm.weight".into(), &[32], 0.2, 1.0);
        add("lm_head.weight".into(), &[VOCABULARY, 32], 1.0, 0.0);
        for layer in 0..2 {
            let mut part = |part: &str, shape: &[usize], spread, middle| {
                add(format!("model.layers.{layer}.{part}.weight"), shape, spread, middle);
            };
            part("input_layernorm", &[32], 0.2, 1.0);
            part("self_attn.q_proj", &[32, 32], 0.4, 0.0);
            part("self_attn.k_proj", &[16, 32], 0.4, 0.0);
            part("self_attn.v_proj", &[16, 32], 0.4, 0.0);
            part("self_attn.o_proj", &[32, 32], 0.4, 0.0);
            part("post_attention_layernorm", &[32], 0.2, 1.0);
            part("mlp.gate_proj", &[80, 32], 0.3, 0.0);
            part("mlp.up_proj", &[80, 32], 0.3, 0.0);
            part("mlp.down_proj", &[32, 80], 0.3, 0.0);
        }
        let tokenizer_config = json!({ "chat_template": TEMPLATE, "eos_token": "<|end|>" });
        Self { config, tokenizer: tokenizer(), tokenizer_config, tensors, dtype: Dtype::F32 }
    }

    /// Writes the folder with one safetensors file.
    pub(crate) fn write(&self, folder: &Path) {
        self.write_texts(folder);
        std::fs::write(folder.join("model.safetensors"), self.serialize(|_| true)).expect("weights");
    }

    /// Writes the folder with two shards and their index.
    pub(crate) fn write_sharded(&self, folder: &Path) {
        self.write_texts(folder);
        let shard = |name: &str| {
            format!("model-0000{}-of-00002.safetensors", 1 + usize::from(name.contains("layers.1")))
        };
        for file in [shard("layers.0"), shard("layers.1")] {
            std::fs::write(folder.join(&file), self.serialize(|name| shard(name) == file)).expect("shard");
        }
        let map: BTreeMap<&String, String> = self.tensors.keys().map(|name| (name, shard(name))).collect();
        let index = json!({ "metadata": {}, "weight_map": map });
        std::fs::write(folder.join("model.safetensors.index.json"), index.to_string()).expect("index");
    }

    fn write_texts(&self, folder: &Path) {
        let files = [
            ("config.json", &self.config),
            ("tokenizer.json", &self.tokenizer),
            ("tokenizer_config.json", &self.tokenizer_config),
        ];
        for (name, json) in files {
            std::fs::write(folder.join(name), serde_json::to_string_pretty(json).expect("json"))
                .expect("file");
        }
    }

    fn serialize(&self, is_in: impl Fn(&str) -> bool) -> Vec<u8> {
        let bytes = |values: &[f32]| -> Vec<u8> {
            #[expect(clippy::wildcard_enum_match_arm, reason = "tests write these element types only")]
            let one = |value: &f32| match self.dtype {
                Dtype::F16 => half::f16::from_f32(*value).to_le_bytes().to_vec(),
                Dtype::BF16 => half::bf16::from_f32(*value).to_le_bytes().to_vec(),
                Dtype::F64 => f64::from(*value).to_le_bytes().to_vec(),
                _ => value.to_le_bytes().to_vec(),
            };
            values.iter().flat_map(one).collect()
        };
        let kept: Vec<_> = self
            .tensors
            .iter()
            .filter(|(name, _)| is_in(name))
            .map(|(name, (shape, values))| (name.clone(), shape.clone(), bytes(values)))
            .collect();
        let views = kept.iter().map(|(name, shape, bytes)| {
            (name.clone(), TensorView::new(self.dtype, shape.clone(), bytes).expect("view"))
        });
        safetensors::serialize(views, None).expect("serialize")
    }
}

/// A byte-level tokenizer without merges.
fn tokenizer() -> Value {
    let mut next = 256;
    let mut symbol = |byte: u32| {
        let is_shown = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let code = if is_shown {
            byte
        } else {
            next += 1;
            next - 1
        };
        char::from_u32(code).expect("character").to_string()
    };
    let vocabulary: BTreeMap<String, u32> = (0..256).map(|byte| (symbol(byte), byte)).collect();
    let special = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
    };
    let bytes =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [special(END, "<|end|>"), special(END + 1, "<|user|>")],
        "pre_tokenizer": bytes, "decoder": bytes,
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                   "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                   "ignore_merges": false, "vocab": vocabulary, "merges": [] },
    })
}
