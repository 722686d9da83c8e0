//! Loads models: a hub folder, the embedded demo, or the simulation.
//! Never runs them.
//! Called once by `Engine::start`.

use domain::Fault;

use crate::{EngineConfig, EngineError, config::ModelSource, runner::Runner, sim, text::Text};

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Nothing can be loaded yet.
    #[error("models cannot be loaded yet")]
    NotYet,
}

impl ModelError {
    /// What kind of failure this is.
    pub fn fault(&self) -> Fault {
        Fault::Invalid
    }
}

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
/// Errors: see [`ModelError`].
pub(crate) fn load(config: &EngineConfig) -> Result<LoadedModel, EngineError> {
    match &config.source {
        ModelSource::Demo | ModelSource::Folder(_) => Err(ModelError::NotYet.into()),
        ModelSource::Sim(simulated) => load_sim(simulated),
    }
}

fn load_sim(config: &sim::SimConfig) -> Result<LoadedModel, EngineError> {
    config.check()?;
    let text = sim::text().map_err(|error| EngineError::Text(crate::TextError::Template(error)))?;
    Ok(LoadedModel {
        text,
        runner: Box::new(sim::SimRunner::new(config.clone())),
        context_tokens_max: config.context_tokens_max,
        vocabulary: u32::try_from(sim::vocabulary_len()).unwrap_or(u32::MAX),
        parameters: 0,
        architecture: "simulation".to_owned(),
    })
}
