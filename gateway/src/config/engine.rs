//! From the configuration's words to an engine's.
//! Never checks again what the types already promise.
//! Called by `cli::serve` and `cli::check`.

use std::{num::NonZeroU32, time::Duration};

use engine::{EnergyConfig, EngineConfig, SimConfig};

use super::{Config, EnergyChoice, Model, ModelSource, Sim, SimAnswer};

impl Config {
    /// What the engine of one model is started with.
    pub fn engine(&self, model: &Model) -> EngineConfig {
        let source = match model.source {
            ModelSource::Demo => engine::ModelSource::Demo,
            ModelSource::Folder => engine::ModelSource::Folder(model.path.clone().unwrap_or_default()),
            ModelSource::Sim => engine::ModelSource::Sim(sim(&model.sim.clone().unwrap_or_default())),
        };
        let mut config = EngineConfig::new(model.name.clone(), source);
        let set = |field: &mut usize, value: Option<NonZeroU32>| {
            if let Some(value) = value.and_then(|value| usize::try_from(value.get()).ok()) {
                *field = value;
            }
        };
        set(&mut config.sequences_max, model.sequences_max);
        set(&mut config.queue_jobs_max, model.queue_jobs_max);
        set(&mut config.step_tokens_max, model.step_tokens_max);
        config.threads = usize::try_from(model.threads).unwrap_or(0);
        config.energy = EnergyConfig {
            source: match self.energy.source {
                EnergyChoice::Auto => engine::EnergyChoice::Auto,
                EnergyChoice::Rapl => engine::EnergyChoice::Rapl,
                EnergyChoice::Modelled => engine::EnergyChoice::Modelled,
            },
            busy_milliwatts: u64::from(self.energy.busy_milliwatts),
            idle_milliwatts: u64::from(self.energy.idle_milliwatts),
        };
        config
    }
}

fn sim(sim: &Sim) -> SimConfig {
    SimConfig {
        seed: sim.seed,
        prefill_tokens_per_second: u64::from(sim.prefill_tokens_per_second),
        decode_step: Duration::from_micros(u64::from(sim.decode_step_us)),
        context_tokens_max: sim.context_tokens_max,
        fail_after_tokens: sim.fail_after_tokens,
        panic_after_tokens: sim.panic_after_tokens,
        answer: match sim.answer {
            SimAnswer::Words => engine::SimAnswer::Words,
            SimAnswer::Echo => engine::SimAnswer::Echo,
        },
    }
}
