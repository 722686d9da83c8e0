//! Runs language models: prompts go in, tokens come out with their count and their joules.
//! Never knows HTTP, tenants or money; a job carries an opaque fairness key and cache scope instead.
//! The gateway starts one [`Engine`] per model and submits [`Job`]s to it.

mod config;
mod door;
mod energy;
mod error;
mod forecast;
mod generation;
mod job;
mod model;
mod runner;
mod sample;
mod schedule;
pub mod sim;
mod text;
mod work;

pub use config::{EnergyChoice, EnergyConfig, EngineConfig, ModelSource};
pub use door::{Engine, EngineStatus, ModelInfo};
pub use energy::EnergyError;
pub use error::EngineError;
pub use forecast::Forecast;
pub use generation::{Event, Finish, Generation, Started, Tally, Token};
pub use job::{ChatMessage, Job, Prompt, Role, Sampling};
pub use model::ModelError;
pub use sim::{SimAnswer, SimConfig};
pub use text::{TextError, TokenCounter};
