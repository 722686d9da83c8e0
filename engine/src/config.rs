//! What an engine is started with, and the bounds it works in.
//! Never read from files here: the gateway parses its own configuration and fills this in.
//! Taken by [`Engine::start`](crate::Engine::start).

use std::path::PathBuf;

use domain::ModelName;

use crate::{EngineError, sim::SimConfig};

/// Sequences decoded together. On a CPU the weights are read once per step for all of them; beyond
/// this many the step is bound by arithmetic and each further one slows all others.
pub(crate) const SEQUENCES_MAX: usize = 32;

/// Jobs waiting for a place. Several rounds of [`SEQUENCES_MAX`]; beyond it a refusal now is kinder than
/// a timeout later.
pub(crate) const QUEUE_JOBS_MAX: usize = 256;

/// Prompt and decode tokens of one step. Bounds how long a long prompt holds up running decodes.
pub(crate) const STEP_TOKENS_MAX: usize = 512;

/// Threads of one engine. More than any machine it is meant for has; catches a slip of the hand.
const THREADS_MAX: usize = 1_024;

/// Power drawn by a busy small server CPU. Unit: milliwatts. Declared, not measured: set it per machine.
pub(crate) const BUSY_MILLIWATTS: u64 = 65_000;

/// Power drawn by the same CPU at rest. Unit: milliwatts. Declared, not measured: set it per machine.
pub(crate) const IDLE_MILLIWATTS: u64 = 15_000;

/// Declared power above this is a slip of the hand. Unit: milliwatts; one megawatt.
const MILLIWATTS_MAX: u64 = 1_000_000_000;

/// How an engine is built.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The name clients ask for.
    pub name: ModelName,
    /// Where the model comes from.
    pub source: ModelSource,
    /// Sequences decoded together.
    pub sequences_max: usize,
    /// Jobs waiting for a place among them.
    pub queue_jobs_max: usize,
    /// Prefill and decode tokens per step; at least `sequences_max`, so that every sequence moves each step.
    pub step_tokens_max: usize,
    /// Threads of the forward pass; 0 means all cores but one, and at least one.
    pub threads: usize,
    /// Where energy figures come from.
    pub energy: EnergyConfig,
}

impl EngineConfig {
    /// A configuration with the default bounds.
    pub fn new(name: ModelName, source: ModelSource) -> Self {
        Self {
            name,
            source,
            sequences_max: SEQUENCES_MAX,
            queue_jobs_max: QUEUE_JOBS_MAX,
            step_tokens_max: STEP_TOKENS_MAX,
            threads: 0,
            energy: EnergyConfig::default(),
        }
    }

    /// Errors: [`EngineError::BadConfig`] naming the field.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        let energy = self.energy;
        let rules = [
            (self.sequences_max >= 1, "sequences_max must be at least 1"),
            (self.queue_jobs_max >= 1, "queue_jobs_max must be at least 1"),
            (self.step_tokens_max >= self.sequences_max, "step_tokens_max must be at least sequences_max"),
            (self.threads <= THREADS_MAX, "threads must be at most 1024"),
            (
                energy.busy_milliwatts >= energy.idle_milliwatts,
                "busy_milliwatts must not be below idle_milliwatts",
            ),
            (energy.busy_milliwatts <= MILLIWATTS_MAX, "busy_milliwatts must be at most 1000000000"),
        ];
        match rules.into_iter().find(|(is_kept, _)| !is_kept) {
            Some((_, what)) => Err(EngineError::BadConfig { what }),
            None => Ok(()),
        }
    }

    /// The number of threads that `threads` stands for on this machine.
    pub(crate) fn thread_count(&self) -> usize {
        if self.threads > 0 {
            return self.threads;
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        cores.saturating_sub(1).max(1)
    }
}

/// Where a model comes from.
#[derive(Clone, Debug)]
pub enum ModelSource {
    /// The small chat model that is part of the program.
    Demo,
    /// A folder as the model hub has them: `config.json`, safetensors, `tokenizer.json`.
    Folder(PathBuf),
    /// No model: a simulation behind the same door, for tests.
    Sim(SimConfig),
}

/// Where energy figures come from.
#[derive(Clone, Copy, Debug)]
pub struct EnergyConfig {
    /// Which meter.
    pub source: EnergyChoice,
    /// Power of the device at work. Unit: milliwatts. Also the weight of working time when a window is split.
    pub busy_milliwatts: u64,
    /// Power of the device at rest. Unit: milliwatts. Also the weight of idle time when a window is split.
    pub idle_milliwatts: u64,
}

impl Default for EnergyConfig {
    fn default() -> Self {
        Self {
            source: EnergyChoice::Auto,
            busy_milliwatts: BUSY_MILLIWATTS,
            idle_milliwatts: IDLE_MILLIWATTS,
        }
    }
}

/// Which meter to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnergyChoice {
    /// The processor's counters when they can be read and move, else the declared power model.
    Auto,
    /// The processor's counters; starting fails when they cannot be read.
    Rapl,
    /// The declared power model.
    Modelled,
}
