//! What good folders load as, and what bad ones are told.
//! Never runs a model but for one step.
//! Run by `cargo test -p engine`.

use std::{fs, path::Path};

use domain::ModelName;
use safetensors::Dtype;
use serde_json::json;

use super::{fixture::TinyModel, *};

fn config(folder: &Path) -> EngineConfig {
    EngineConfig::new(ModelName::new("tiny").expect("name"), ModelSource::Folder(folder.to_owned()))
}

fn refusal(folder: &Path) -> String {
    match load(&config(folder)) {
        Ok(_) => "loaded".to_owned(),
        Err(error) => {
            assert_ne!(error.fault(), domain::Fault::Broken, "{error}");
            error.to_string()
        }
    }
}

/// Spoils a model before it is written; the message must name the file and contain `expected`.
fn check(expected: &str, file: &str, spoil: impl Fn(&mut TinyModel)) {
    let folder = tempfile::tempdir().expect("folder");
    let mut model = TinyModel::new(1);
    spoil(&mut model);
    model.write(folder.path());
    let found = refusal(folder.path());
    assert!(
        found.contains(expected) && found.contains(file),
        "{found:?} should name {file} and say {expected:?}"
    );
}

/// Spoils the folder after it was written.
fn check_folder(expected: &str, spoil: impl Fn(&Path)) {
    let folder = tempfile::tempdir().expect("folder");
    TinyModel::new(1).write(folder.path());
    spoil(folder.path());
    let found = refusal(folder.path());
    assert!(found.contains(expected), "{found:?} should say {expected:?}");
}

#[test]
fn good_folders_load() {
    let change = |change: &dyn Fn(&mut TinyModel)| {
        let mut model = TinyModel::new(1);
        change(&mut model);
        model
    };
    let models = [
        change(&|_| {}),
        change(&|model| model.dtype = Dtype::F16),
        change(&|model| model.dtype = Dtype::BF16),
        change(&|model| model.config["architectures"] = json!(["MistralForCausalLM"])),
        change(&|model| model.config["eos_token_id"] = json!([1, 2])),
        change(&|model| {
            model.config["rope_parameters"] = json!({ "rope_type": "default", "rope_theta": 500_000.0 });
            model.config["rope_theta"] = json!(null);
        }),
        change(&|model| {
            model.tokenizer_config["chat_template"] = json!([{ "name": "default", "template": "x" }]);
            model.tokenizer_config["eos_token"] = json!({ "content": "<|end|>" });
        }),
        change(&|model| model.config["tie_word_embeddings"] = json!(true)),
    ];
    for model in models {
        let folder = tempfile::tempdir().expect("folder");
        model.write(folder.path());
        let loaded = load(&config(folder.path())).unwrap_or_else(|error| panic!("{error}: {}", model.config));
        assert_eq!((loaded.vocabulary, loaded.context_tokens_max), (258, 256));
        assert!(loaded.text.eos.contains(&fixture::END));
    }
}

#[test]
fn shards_load_as_one_file_does() {
    let (single, sharded) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let model = TinyModel::new(1);
    model.write(single.path());
    model.write_sharded(sharded.path());
    let logits = |folder: &Path| {
        let row = crate::runner::BatchRow {
            slot: crate::schedule::SlotId(0),
            start: 0,
            tokens: vec![1, 2, 3],
            logits_rows: 3,
        };
        let mut loaded = load(&config(folder)).expect("load");
        let expected: usize = model.tensors.values().map(|(_, values)| values.len()).sum();
        assert_eq!(loaded.parameters, expected as u64);
        loaded.runner.step(&crate::runner::Batch { rows: vec![row] }).expect("step")
    };
    assert_eq!(logits(single.path()), logits(sharded.path()));
    fs::remove_file(sharded.path().join("model-00002-of-00002.safetensors")).expect("remove");
    assert!(refusal(sharded.path()).contains("model-00002-of-00002.safetensors: no such file"));
}

#[test]
fn bad_configurations_are_told_what_is_wrong() {
    let row = |field: &'static str, value: serde_json::Value, expected: &str| {
        check(expected, "config.json", |model| model.config[field] = value.clone());
    };
    row(
        "architectures",
        json!(["GPT2LMHeadModel"]),
        "architectures \"GPT2LMHeadModel\" is not supported; supported: LlamaForCausalLM",
    );
    row("architectures", json!([]), "is not supported; supported: LlamaForCausalLM");
    row("hidden_act", json!("gelu"), "hidden_act \"gelu\" is not supported; supported: silu");
    row("attention_bias", json!(true), "attention_bias \"true\" is not supported; supported: false");
    row("sliding_window", json!(4096), "sliding_window \"4096\" is not supported");
    row(
        "quantization_config",
        json!({ "quant_method": "gptq" }),
        "quantization_config \"gptq\" is not supported",
    );
    row(
        "rope_scaling",
        json!({ "type": "yarn", "factor": 4.0 }),
        "rope_scaling type \"yarn\" is not supported; supported: default, llama3",
    );
    row("rope_scaling", json!({ "rope_type": "llama3", "factor": 8.0 }), "needs factor, low_freq_factor");
    row("rope_theta", json!(0.0), "rope_theta must be a number above 0");
    row("num_key_value_heads", json!(3), "num_key_value_heads must divide num_attention_heads");
    row("num_attention_heads", json!(0), "num_attention_heads must be at least 1");
    row("num_attention_heads", json!(5), "num_key_value_heads must divide");
    row("head_dim", json!(7), "head_dim must be even");
    row("head_dim", json!(u64::MAX - 1), "times head_dim must fit in 32 bits");
    row("max_position_embeddings", json!(1), "max_position_embeddings must be at least 2");
    row("vocab_size", json!("many"), "invalid type: string \"many\", expected usize at line ");
    row("hidden_size", json!(-1), "at line ");
    row("eos_token_id", json!(258), "eos_token_id must be below vocab_size");
}

#[test]
fn bad_tensors_are_told_by_name() {
    let weights = "model.safetensors";
    check("tensor model.layers.1.mlp.up_proj.weight is missing", weights, |model| {
        model.tensors.remove("model.layers.1.mlp.up_proj.weight");
    });
    check("tensor lm_head.weight is missing", weights, |model| {
        model.tensors.remove("lm_head.weight");
    });
    check("tensor model.norm.weight has shape [2, 16]; config.json asks for [32]", weights, |model| {
        model.tensors.get_mut("model.norm.weight").expect("there").0 = vec![2, 16];
    });
    check(
        "tensor model.embed_tokens.weight has shape [258, 32]; config.json asks for [258, 64]",
        weights,
        |model| {
            model.config["hidden_size"] = json!(64);
        },
    );
    check("tensor model.layers.2.input_layernorm.weight is missing", weights, |model| {
        model.config["num_hidden_layers"] = json!(1_000_000_000);
    });
    check("tensor model.norm.weight has values that are not finite", weights, |model| {
        model.tensors.get_mut("model.norm.weight").expect("there").1[3] = f32::NAN;
    });
    check("element type \"F64 of", weights, |model| model.dtype = Dtype::F64);
    check("has token ids up to 257, but the model's vocabulary has 200 entries", "tokenizer.json", |model| {
        model.config["vocab_size"] = json!(200);
        model.config["eos_token_id"] = json!(1);
    });
    check("the chat template does not compile", "tokenizer_config.json", |model| {
        model.tokenizer_config["chat_template"] = json!("{% for %}");
    });
    check("chat_template must have one named default", "tokenizer_config.json", |model| {
        model.tokenizer_config["chat_template"] = json!([{ "name": "tools", "template": "x" }]);
    });
    check("not a tokenizer", "tokenizer.json", |model| model.tokenizer["model"]["type"] = json!("Sorcery"));
}

#[test]
fn bad_files_are_told_by_path() {
    let write = |name: &'static str, bytes: Vec<u8>| {
        move |folder: &Path| fs::write(folder.join(name), &bytes).expect("write")
    };
    let remove =
        |name: &'static str| move |folder: &Path| fs::remove_file(folder.join(name)).expect("remove");
    let cut = |keep: fn(u64) -> u64| {
        move |folder: &Path| {
            let file =
                fs::OpenOptions::new().write(true).open(folder.join("model.safetensors")).expect("open");
            file.set_len(keep(file.metadata().expect("length").len())).expect("cut");
        }
    };
    check_folder("config.json: no such file", remove("config.json"));
    check_folder("model.safetensors: no such file", remove("model.safetensors"));
    check_folder("tokenizer.json: no such file", remove("tokenizer.json"));
    check_folder(
        "config.json: key must be a string at line 2 column 3",
        write("config.json", b"{\n  oops".to_vec()),
    );
    check_folder("config.json: missing field", write("config.json", b"{}".to_vec()));
    check_folder("model.safetensors: not a whole safetensors file", cut(|length| length - 1));
    check_folder("model.safetensors: not a whole safetensors file", cut(|length| length / 2));
    check_folder("model.safetensors: not a whole safetensors file", cut(|_| 100));
    check_folder("model.safetensors: not a whole safetensors file", cut(|_| 3));
    check_folder("model.safetensors: not a whole safetensors file", cut(|_| 0));
    let index = |map: &str| format!("{{\"weight_map\": {map}}}").into_bytes();
    let index_file = "model.safetensors.index.json";
    check_folder("\"../w\", which is not a plain file name", write(index_file, index("{\"a\": \"../w\"}")));
    check_folder("tensor a is missing", write(index_file, index("{\"a\": \"model.safetensors\"}")));
    check_folder("is missing", write(index_file, index("{}")));
    check_folder("index.json: missing field `weight_map`", write(index_file, b"{}".to_vec()));
    assert!(refusal(Path::new("/nowhere/at/all")).contains("/nowhere/at/all/config.json: no such file"));
}

#[test]
fn a_model_without_template_only_continues_text() {
    let folder = tempfile::tempdir().expect("folder");
    let mut model = TinyModel::new(1);
    model.tokenizer_config = json!({});
    model.write(folder.path());
    let loaded = load(&config(folder.path())).expect("load");
    assert!(matches!(loaded.text.prompt(&[]), Err(TextError::NoTemplate)));
    assert_eq!(loaded.text.prompt_text("ab").expect("prompt").ids(), [97, 98]);
    fs::write(folder.path().join("chat_template.jinja"), "{{ messages[0].content }}").expect("write");
    let loaded = load(&config(folder.path())).expect("load");
    let message = crate::ChatMessage { role: crate::Role::User, content: "c".to_owned() };
    assert_eq!(loaded.text.prompt(&[message]).expect("prompt").ids(), [99], "a file of its own comes first");
}
