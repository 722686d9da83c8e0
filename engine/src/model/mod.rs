//! Loads models: a hub folder, the embedded demo, or the simulation.
//! Never runs them, and never panics on what a file holds.
//! Called once by `Engine::start`.

pub(crate) mod config;
mod error;
pub(crate) mod files;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod weights;

pub use error::ModelError;
use files::ModelFiles;

use crate::{
    EngineConfig, EngineError, TextError,
    config::ModelSource,
    runner::{Runner, cpu::CpuRunner},
    sim::{self, SimConfig, SimRunner},
    text::Text,
};

/// A model ready to run.
pub(crate) struct LoadedModel {
    pub(crate) text: Text,
    pub(crate) runner: Box<dyn Runner>,
    pub(crate) context_tokens_max: u32,
    pub(crate) vocabulary: u32,
    pub(crate) parameters: u64,
    pub(crate) architecture: String,
}

/// Loads what the configuration names.
///
/// Errors: see [`ModelError`]; a simulation with impossible settings.
pub(crate) fn load(config: &EngineConfig) -> Result<LoadedModel, EngineError> {
    match &config.source {
        ModelSource::Demo => load_files(&ModelFiles::Demo, config),
        ModelSource::Folder(folder) => load_files(&ModelFiles::Folder(folder.clone()), config),
        ModelSource::Sim(simulated) => load_sim(simulated),
    }
}

fn load_files(files: &ModelFiles, config: &EngineConfig) -> Result<LoadedModel, EngineError> {
    let shape = config::read(files)?;
    let text = text::read(files, &shape)?;
    let runner = CpuRunner::load(files, &shape, config.sequences_max, config.thread_count())?;
    Ok(LoadedModel {
        text,
        context_tokens_max: shape.context_tokens_max,
        vocabulary: u32::try_from(shape.vocabulary).unwrap_or(u32::MAX),
        parameters: runner.parameters(),
        architecture: format!(
            "{}, {} layers of {}, {} heads sharing {} of keys and values",
            shape.architecture, shape.layers, shape.hidden, shape.heads, shape.kv_heads
        ),
        runner: Box::new(runner),
    })
}

fn load_sim(config: &SimConfig) -> Result<LoadedModel, EngineError> {
    config.check()?;
    let text = sim::text().map_err(TextError::Template)?;
    Ok(LoadedModel {
        text,
        runner: Box::new(SimRunner::new(config.clone())),
        context_tokens_max: config.context_tokens_max,
        vocabulary: u32::try_from(sim::vocabulary_len()).unwrap_or(u32::MAX),
        parameters: 0,
        architecture: "simulation".to_owned(),
    })
}
