//! The CPU runner against a plain reference, against itself in other batches, and against golden logits.
//! Never asserts on time.
//! Run by `cargo test -p engine`.

use std::path::Path;

use domain::ModelName;
use safetensors::SafeTensors;
use serde::Deserialize;

use super::*;
use crate::{
    ChatMessage, Engine, EngineConfig, Event, Finish, Job, ModelSource,
    model::{config, fixture::TinyModel},
};

fn load(files: &ModelFiles, slots: usize, threads: usize) -> CpuRunner {
    let shape = config::read(files).expect("config");
    CpuRunner::load(files, &shape, slots, threads).expect("weights")
}

fn tiny(model: &TinyModel, slots: usize, threads: usize) -> CpuRunner {
    let folder = tempfile::tempdir().expect("folder");
    model.write(folder.path());
    load(&ModelFiles::Folder(folder.path().to_owned()), slots, threads)
}

fn row(slot: usize, start: usize, tokens: &[u32], logits_rows: usize) -> BatchRow {
    BatchRow { slot: SlotId(slot), start, tokens: tokens.to_vec(), logits_rows }
}

fn step(runner: &mut CpuRunner, rows: Vec<BatchRow>) -> Vec<Vec<f32>> {
    let logits = runner.step(&Batch { rows }).expect("step");
    logits.rows().map(<[f32]>::to_vec).collect()
}

/// Some prompt that differs with `seed`.
fn prompt(seed: usize, length: usize) -> Vec<u32> {
    (0..length)
        .map(|index| u32::try_from((seed * 7919 + index * index * 31 + index * 17) % 250).expect("small"))
        .collect()
}

fn likeliest(row: &[f32]) -> u32 {
    let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    u32::try_from(best.expect("not empty").0).expect("small")
}

/// The largest difference, relative to the largest absolute logit of the expected row.
fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let worst = found.iter().zip(expected).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    worst / scale
}

mod reference {
    //! The network once more, as plainly as it can be written: 64-bit, one token at a time, no cache.

    use crate::model::fixture::TinyModel;

    fn product(weight: &[f32], input: &[f64]) -> Vec<f64> {
        weight
            .chunks_exact(input.len())
            .map(|row| row.iter().zip(input).map(|(w, x)| f64::from(*w) * x).sum())
            .collect()
    }

    fn norm(input: &[f64], scale: &[f32]) -> Vec<f64> {
        let mean = input.iter().map(|x| x * x).sum::<f64>() / input.len() as f64;
        input.iter().zip(scale).map(|(x, s)| x / (mean + 1e-5).sqrt() * f64::from(*s)).collect()
    }

    fn turn(heads: &mut [f64], position: usize, frequency: &dyn Fn(usize) -> f64) {
        for head in heads.chunks_exact_mut(8) {
            for pair in 0..4 {
                let (sin, cos) = (position as f64 * frequency(pair)).sin_cos();
                let (a, b) = (head[pair], head[pair + 4]);
                (head[pair], head[pair + 4]) = (a * cos - b * sin, b * cos + a * sin);
            }
        }
    }

    /// Logits of the last of `tokens`.
    pub(super) fn logits(model: &TinyModel, tokens: &[u32], frequency: &dyn Fn(usize) -> f64) -> Vec<f32> {
        let weight = |name: &str| -> &[f32] { &model.tensors[name].1 };
        let embedding = weight("model.embed_tokens.weight");
        let mut states: Vec<Vec<f64>> = tokens
            .iter()
            .map(|id| embedding[*id as usize * 32..][..32].iter().map(|x| f64::from(*x)).collect())
            .collect();
        for layer in 0..2 {
            let part = |part: &str| weight(&format!("model.layers.{layer}.{part}.weight"));
            let (mut queries, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
            for (position, state) in states.iter().enumerate() {
                let normed = norm(state, part("input_layernorm"));
                let mut query = product(part("self_attn.q_proj"), &normed);
                let mut key = product(part("self_attn.k_proj"), &normed);
                turn(&mut query, position, frequency);
                turn(&mut key, position, frequency);
                queries.push(query);
                keys.push(key);
                values.push(product(part("self_attn.v_proj"), &normed));
            }
            for position in 0..states.len() {
                let mut mixed = Vec::new();
                for head in 0..4 {
                    let kv = head / 2 * 8;
                    let score = |other: usize| -> f64 {
                        let dot: f64 =
                            (0..8).map(|i| queries[position][head * 8 + i] * keys[other][kv + i]).sum();
                        (dot / 8_f64.sqrt()).exp()
                    };
                    let total: f64 = (0..=position).map(score).sum();
                    mixed.extend(
                        (0..8).map(|i| {
                            (0..=position).map(|o| score(o) / total * values[o][kv + i]).sum::<f64>()
                        }),
                    );
                }
                let out = product(part("self_attn.o_proj"), &mixed);
                states[position].iter_mut().zip(out).for_each(|(state, out)| *state += out);
                let normed = norm(&states[position], part("post_attention_layernorm"));
                let gate = product(part("mlp.gate_proj"), &normed);
                let up = product(part("mlp.up_proj"), &normed);
                let gated: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
                let down = product(part("mlp.down_proj"), &gated);
                states[position].iter_mut().zip(down).for_each(|(state, down)| *state += down);
            }
        }
        let last = norm(states.last().expect("a token"), weight("model.norm.weight"));
        let head = if model.config["tie_word_embeddings"] == true {
            "model.embed_tokens.weight"
        } else {
            "lm_head.weight"
        };
        #[expect(clippy::cast_possible_truncation, reason = "the reference is compared in 32 bits")]
        product(weight(head), &last).into_iter().map(|x| x as f32).collect()
    }
}

#[test]
fn logits_equal_the_plain_reference() {
    let plain = |pair: usize| 10_000_f64.powf(-2.0 * pair as f64 / 8.0);
    let model = TinyModel::new(1);
    let mut tied = TinyModel::new(2);
    tied.config["tie_word_embeddings"] = true.into();
    tied.tensors.remove("lm_head.weight");
    for model in [&model, &tied] {
        let mut runner = tiny(model, 1, 1);
        let tokens = prompt(3, 40);
        let found = step(&mut runner, vec![row(0, 0, &tokens, 40)]);
        for (index, found) in found.iter().enumerate() {
            let expected = reference::logits(model, &tokens[..=index], &plain);
            assert!(distance(found, &expected) < 1e-5, "position {index}: {}", distance(found, &expected));
        }
    }
}

#[test]
fn llama3_scaling_slows_slow_rotations() {
    let mut model = TinyModel::new(4);
    model.config["rope_scaling"] = serde_json::json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    });
    // Wavelengths 6.28, 62.8, 628 and 6283 against borders at 64 / 4 = 16 and 64 / 1 = 64.
    let scaled = |pair: usize| {
        let frequency = 10_000_f64.powf(-2.0 * pair as f64 / 8.0);
        let blend = (64.0 / (std::f64::consts::TAU / frequency) - 1.0) / 3.0;
        [frequency, (1.0 - blend) * frequency / 8.0 + blend * frequency, frequency / 8.0, frequency / 8.0]
            [pair]
    };
    let tokens = prompt(5, 50);
    let found = step(&mut tiny(&model, 1, 1), vec![row(0, 0, &tokens, 1)]);
    let expected = reference::logits(&model, &tokens, &scaled);
    assert!(distance(&found[0], &expected) < 1e-5, "{}", distance(&found[0], &expected));
}

#[test]
fn chunks_of_a_prompt_give_the_logits_of_the_whole() {
    for threads in [1, 3] {
        let tokens = prompt(6, 60);
        let mut runner = tiny(&TinyModel::new(7), 2, threads);
        let whole = step(&mut runner, vec![row(0, 0, &tokens, 60)]);
        for sizes in [vec![59, 1], vec![1, 59], vec![7; 9], vec![1; 60]] {
            let mut start = 0;
            let mut found = Vec::new();
            for size in sizes {
                let end = (start + size).min(tokens.len());
                found.extend(step(&mut runner, vec![row(1, start, &tokens[start..end], end - start)]));
                start = end;
            }
            assert_eq!(found, whole, "bit by bit");
            runner.clear(SlotId(1));
        }
    }
}

/// Greedy continuations of prompts, decoded together or alone.
fn greedy(runner: &mut CpuRunner, prompts: &[Vec<u32>], tokens: usize) -> Vec<Vec<u32>> {
    let rows = |(slot, prompt): (usize, &Vec<u32>)| row(slot, 0, prompt, 1);
    let mut logits = step(runner, prompts.iter().enumerate().map(rows).collect());
    let mut answers: Vec<Vec<u32>> = logits.iter().map(|row| vec![likeliest(row)]).collect();
    while answers[0].len() < tokens {
        let rows = |(slot, answer): (usize, &Vec<u32>)| {
            row(slot, prompts[slot].len() + answer.len() - 1, &answer[answer.len() - 1..], 1)
        };
        logits = step(runner, answers.iter().enumerate().map(rows).collect());
        answers.iter_mut().zip(&logits).for_each(|(answer, row)| answer.push(likeliest(row)));
    }
    (0..prompts.len()).for_each(|slot| runner.clear(SlotId(slot)));
    answers
}

#[test]
fn prompts_decoded_together_go_on_as_they_do_alone() {
    let demo = load(&ModelFiles::Demo, 8, 2);
    for mut runner in [tiny(&TinyModel::new(8), 8, 2), demo] {
        let prompts: Vec<Vec<u32>> = (0..8).map(|seed| prompt(seed, 3 + seed * 5)).collect();
        let together = greedy(&mut runner, &prompts, 24);
        for (prompt, expected) in prompts.iter().zip(&together) {
            let alone = greedy(&mut runner, std::slice::from_ref(prompt), 24);
            assert_eq!(&alone[0], expected);
        }
    }
}

#[test]
fn a_token_has_the_same_logits_in_any_batch() {
    let mut runner = load(&ModelFiles::Demo, 33, 2);
    let tokens = prompt(9, 20);
    let alone = step(&mut runner, vec![row(32, 0, &tokens, 20)]);
    for others in [1, 2, 3, 7, 16, 32] {
        runner.clear(SlotId(32));
        let mut rows: Vec<BatchRow> =
            (0..others).map(|slot| row(slot, 0, &prompt(slot, 1 + slot * 3), 0)).collect();
        rows.push(row(32, 0, &tokens, 20));
        assert_eq!(step(&mut runner, rows), alone, "{others} others, bit by bit");
        (0..others).for_each(|slot| runner.clear(SlotId(slot)));
    }
}

#[test]
fn a_batch_that_does_not_fit_is_refused_before_it_changes_anything() {
    let mut runner = tiny(&TinyModel::new(10), 2, 1);
    let before = step(&mut runner, vec![row(0, 0, &[1, 2, 3], 1)]);
    let refused = [
        row(0, 2, &[4], 1),
        row(0, 4, &[4], 1),
        row(1, 1, &[4], 1),
        row(2, 0, &[4], 1),
        row(1, 0, &[258], 1),
        row(1, 0, &[1], 2),
        row(1, 0, &[1; 257], 1),
    ];
    for bad in refused {
        let rows = vec![row(1, 0, &[9], 1), bad.clone()];
        assert!(runner.step(&Batch { rows: rows.clone() }).is_err(), "{bad:?}");
        assert!(runner.step(&Batch { rows: vec![bad.clone()] }).is_err(), "{bad:?}");
    }
    runner.clear(SlotId(0));
    assert_eq!(step(&mut runner, vec![row(0, 0, &[1, 2, 3], 1)]), before);
}

/// One chat as transformers rendered, tokenised and continued it.
#[derive(Deserialize)]
struct Golden {
    messages: Vec<ChatMessage>,
    rendered: String,
    ids: Vec<u32>,
    greedy_text: String,
}

fn golden_file(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo-golden").join(name);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; made by cargo xtask train-demo", path.display()))
}

fn quads(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    bytes.chunks_exact(4).map(|quad| [quad[0], quad[1], quad[2], quad[3]])
}

fn demo_config() -> EngineConfig {
    EngineConfig::new(ModelName::new("demo").expect("name"), ModelSource::Demo)
}

/// Relative to the largest absolute logit of each row.
const GOLDEN_DISTANCE_MAX: f32 = 1e-4;

#[test]
fn the_demo_model_computes_what_transformers_computes() {
    let chats: Vec<Golden> = serde_json::from_slice(&golden_file("prompts.json")).expect("prompts.json");
    let bytes = golden_file("logits.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).expect("logits.safetensors");
    let mut loaded = crate::model::load(&demo_config()).expect("load");
    assert!(!chats.is_empty());
    for (number, chat) in chats.iter().enumerate() {
        let tensor = |part: &str| tensors.tensor(&format!("prompt_{number}.{part}")).expect("tensor");
        let ids = |part: &str| -> Vec<u32> { quads(tensor(part).data()).map(u32::from_le_bytes).collect() };
        assert_eq!(ids("ids"), chat.ids);
        let template = loaded.text.template.as_ref().expect("template");
        assert_eq!(template.render(&chat.messages).expect("render"), chat.rendered);
        assert_eq!(loaded.text.prompt(&chat.messages).expect("prompt").ids(), chat.ids);

        let expected: Vec<f32> = quads(tensor("logits").data()).map(f32::from_le_bytes).collect();
        let [kept, vocabulary] = *tensor("logits").shape() else { panic!("logits are rows") };
        let batch = Batch { rows: vec![row(0, 0, &chat.ids, kept)] };
        let found = loaded.runner.step(&batch).expect("step");
        assert_eq!(found.rows_len(), kept);
        for (found, expected) in found.rows().zip(expected.chunks_exact(vocabulary)) {
            assert!(
                distance(found, expected) < GOLDEN_DISTANCE_MAX,
                "prompt {number}: {}",
                distance(found, expected)
            );
        }
        loaded.runner.clear(SlotId(0));
    }
}

#[test]
fn the_demo_model_answers_as_transformers_does() {
    let chats: Vec<Golden> = serde_json::from_slice(&golden_file("prompts.json")).expect("prompts.json");
    let bytes = golden_file("logits.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).expect("logits.safetensors");
    let engine = Engine::start(demo_config()).expect("start");
    let submit = |(number, chat): (usize, &Golden)| {
        let tensor = tensors.tensor(&format!("prompt_{number}.greedy")).expect("tensor");
        let expected: Vec<u32> = quads(tensor.data()).map(u32::from_le_bytes).collect();
        let mut job = Job::new(
            engine.prompt(&chat.messages).expect("prompt"),
            u32::try_from(expected.len()).expect("small"),
        );
        job.sampling.temperature = 0.0;
        (expected, chat.greedy_text.clone(), engine.submit(job).expect("submit"))
    };
    // All at once: together they answer as alone.
    let running: Vec<_> = chats.iter().enumerate().map(submit).collect();
    for (expected, greedy_text, mut generation) in running {
        let (mut ids, mut text) = (Vec::new(), String::new());
        while let Some(event) = generation.next_blocking() {
            match event {
                Event::Started(_) => {}
                Event::Token(token) => {
                    ids.push(token.id);
                    text += &token.text;
                }
                Event::Finished(tally) => {
                    text += &tally.tail;
                    // Transformers keeps the end token in its list; here it is neither counted nor let out.
                    let is_ended = expected.len() > ids.len();
                    assert_eq!(tally.finish, if is_ended { Finish::Stop } else { Finish::Length });
                }
            }
        }
        assert_eq!(ids, expected[..ids.len()]);
        assert!(expected.len() - ids.len() <= 1);
        assert_eq!(text, greedy_text);
    }
}
