//! A simulated model behind the engine's door: seeded, timed, and able to fail on demand.
//! Never a shortcut: it is one more `Runner`, so scheduling, sampling, energy and events are the real ones.
//! Started with `ModelSource::Sim` by tests across the workspace.

mod words;

use std::{collections::HashMap, sync::Arc, time::Duration};

pub(crate) use words::SimVocabulary;
use words::{ASSISTANT, END, FIRST_WORD, USER, VOCABULARY};

use crate::{
    error::EngineError,
    runner::{Batch, BatchRow, Logits, Runner, RunnerError},
    schedule::SlotId,
    text::{ChatTemplate, TemplateNames, Text},
};

/// The chat template of the simulation.
const TEMPLATE: &str = "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}<|assistant|>";

/// The simulated model draws its answers' lengths from here. Unit: tokens.
const WORDS_MIN: u64 = 8;
const WORDS_SPREAD: u64 = 56;

/// Words that compete for each place in a simulated answer.
const CANDIDATES: u64 = 8;

/// A score beside which a word's own never matters, at any temperature the engine takes.
const CERTAIN: f32 = 1.0e6;

/// How the simulation behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct SimConfig {
    /// Same seed, same answers.
    pub seed: u64,
    /// Prompt tokens per second; 0 takes no time.
    pub prefill_tokens_per_second: u64,
    /// Time of a step that decodes, however many sequences do.
    pub decode_step: Duration,
    /// Tokens of prompt and output together.
    pub context_tokens_max: u32,
    /// A step fails when it would give a sequence its token after this many. The engine goes on with other jobs.
    pub fail_after_tokens: Option<u32>,
    /// A step panics when it would give a sequence its token after this many. The engine does not go on.
    pub panic_after_tokens: Option<u32>,
    /// What it answers.
    pub answer: SimAnswer,
}

/// What the simulation answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimAnswer {
    /// The last user message, or the whole of a plain text.
    Echo,
    /// Words drawn by chance, 8 to 63 of them.
    Words,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            prefill_tokens_per_second: 0,
            decode_step: Duration::ZERO,
            context_tokens_max: 4_096,
            fail_after_tokens: None,
            panic_after_tokens: None,
            answer: SimAnswer::Words,
        }
    }
}

impl SimConfig {
    /// Errors: [`EngineError::BadConfig`].
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        if self.context_tokens_max < 2 {
            return Err(EngineError::BadConfig { what: "context_tokens_max must be at least 2" });
        }
        Ok(())
    }
}

/// The simulation's vocabulary and template.
///
/// Errors: none in practice; the template is a constant.
pub(crate) fn text() -> Result<Text, minijinja::Error> {
    let template = ChatTemplate::new(TEMPLATE.to_owned(), TemplateNames::default())?;
    let eos: Arc<[u32]> = Arc::new([END]);
    Ok(Text { vocabulary: Arc::new(SimVocabulary), template: Some(Arc::new(template)), eos })
}

/// Entries of the simulation's vocabulary.
pub(crate) fn vocabulary_len() -> usize {
    VOCABULARY
}

/// What the simulation remembers of a sequence.
#[derive(Debug, Default)]
struct Memory {
    known: Vec<u32>,
    /// The answer it means to give, from the first token on.
    answer: Option<Vec<u32>>,
    produced: usize,
}

/// The simulated device.
#[derive(Debug)]
pub(crate) struct SimRunner {
    config: SimConfig,
    memories: HashMap<SlotId, Memory>,
}

impl SimRunner {
    pub(crate) fn new(config: SimConfig) -> Self {
        Self { config, memories: HashMap::new() }
    }

    /// How long the step takes: prompt tokens at their rate, and one decode time if anything decodes.
    fn duration(&self, batch: &Batch) -> Duration {
        let is_decode = |row: &&BatchRow| {
            row.start > 0 && self.memories.get(&row.slot).is_some_and(|memory| memory.answer.is_some())
        };
        let decodes = batch.rows.iter().filter(is_decode).count();
        let tokens: usize = batch.rows.iter().map(|row| row.tokens.len()).sum();
        let prefill = (tokens - decodes) as u128 * 1_000_000_000;
        let nanos = prefill.checked_div(u128::from(self.config.prefill_tokens_per_second)).unwrap_or(0);
        let decode = if decodes > 0 { self.config.decode_step } else { Duration::ZERO };
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).saturating_add(decode)
    }

    fn remember(&mut self, row: &BatchRow) -> Result<(), RunnerError> {
        let memory = self.memories.entry(row.slot).or_default();
        if memory.known.len() != row.start {
            return Err(RunnerError::OutOfStep {
                slot: row.slot.0,
                held: memory.known.len(),
                start: row.start,
            });
        }
        memory.known.extend_from_slice(&row.tokens);
        Ok(())
    }

    fn answer(&mut self, slot: SlotId) -> Result<Vec<f32>, RunnerError> {
        let memory = self.memories.entry(slot).or_default();
        let (config, known) = (&self.config, &memory.known);
        let answer = memory.answer.get_or_insert_with(|| match config.answer {
            SimAnswer::Echo => echo(known),
            SimAnswer::Words => vec![FIRST_WORD; words_len(config.seed, known)],
        });
        let place = memory.produced;
        memory.produced += 1;
        let is_past = |limit: Option<u32>| limit.is_some_and(|limit| place >= limit as usize);
        if is_past(config.fail_after_tokens) {
            return Err(RunnerError::Simulated);
        }
        assert!(!is_past(config.panic_after_tokens), "the simulation panics here, as configured");
        let mut scores = vec![f32::NEG_INFINITY; VOCABULARY];
        add_words(&mut scores, config.seed, known);
        let certain = match answer.get(place) {
            Some(token) if config.answer == SimAnswer::Echo => Some(*token),
            Some(_) => None,
            None => Some(END),
        };
        if let Some(token) = certain {
            scores[token as usize] = CERTAIN;
        }
        Ok(scores)
    }
}

impl Runner for SimRunner {
    fn step(&mut self, batch: &Batch) -> Result<Logits, RunnerError> {
        std::thread::sleep(self.duration(batch));
        let mut values = Vec::new();
        for row in &batch.rows {
            self.remember(row)?;
            if row.logits_rows > 0 {
                values.extend(self.answer(row.slot)?);
            }
        }
        Ok(Logits::new(values, VOCABULARY))
    }

    fn clear(&mut self, slot: SlotId) {
        self.memories.remove(&slot);
    }
}

/// The tokens of the last user message; of a text without messages, all.
fn echo(known: &[u32]) -> Vec<u32> {
    let Some(start) = known.iter().rposition(|token| *token == USER) else {
        return known.to_vec();
    };
    let message = known[start + 1..].iter().copied();
    message.take_while(|token| *token != END && *token != ASSISTANT).collect()
}

fn words_len(seed: u64, known: &[u32]) -> usize {
    let length = WORDS_MIN + mix(seed, known) % WORDS_SPREAD;
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Scores a few words by chance, as a model would: depending on all that came before.
fn add_words(scores: &mut [f32], seed: u64, known: &[u32]) {
    let words = (VOCABULARY - FIRST_WORD as usize) as u64;
    let mut chance = mix(seed ^ 0x5EED, known);
    for _ in 0..CANDIDATES {
        chance = mix(chance, &[]);
        let word = FIRST_WORD as usize + usize::try_from(chance % words).unwrap_or(0);
        // 0 to 2 in steps of 1/128, so that no two machines disagree.
        let steps = u8::try_from((chance >> 40) % 256).unwrap_or(0);
        scores[word] = f32::from(steps) / 128.0;
    }
}

/// SplitMix64 over the seed and the tokens.
fn mix(seed: u64, tokens: &[u32]) -> u64 {
    let scramble = |state: u64| {
        let state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        state ^ (state >> 31)
    };
    tokens.iter().fold(scramble(seed), |state, token| scramble(state ^ u64::from(*token)))
}
